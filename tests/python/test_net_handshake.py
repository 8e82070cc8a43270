"""The handshake: who has the key and the token comes in; nobody else does, whatever he has overheard."""

import itertools

import pytest

import crdtkv as ck
from crdtkv import net
from crdtkv.net.directory import Entry
from crdtkv.net.frame import Proof
from crdtkv.net.handshake import Handshake, gate
from crdtkv.net.limits import Code, LinkError

OPEN = gate(None, None)


class End(Handshake):
    """With what it said first."""


def pair(gates=(OPEN, OPEN), keys=(None, None), endpoint="example.org:80"):
    client = make(keys[0], gates[0], is_client=True, endpoint=endpoint)
    server = make(keys[1], gates[1], is_client=False)
    return client, server


def make(identity=None, gate=OPEN, *, is_client, endpoint=""):
    identity = identity or ck.Identity.generate()
    hello = Handshake.hello(identity, gate, endpoint=endpoint)
    shake = End(identity, gate, hello, is_client=is_client)
    shake.said = hello
    return shake


def shake(client, server):
    server.hear(client.said)
    client.hear(server.said)
    server.check(client.proof())
    client.check(server.proof())


def refused(call, code=Code.NOT_ALLOWED):
    with pytest.raises(LinkError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.reason


def test_two_strangers_learn_each_others_keys():
    ada, ben = ck.Identity.generate(), ck.Identity.generate()
    client, server = pair(keys=(ada, ben))
    shake(client, server)
    assert (client.theirs.key, server.theirs.key) == (ben.public_key, ada.public_key)


def test_only_those_who_are_allowed():
    ada, eve, ben = (ck.Identity.generate() for _ in range(3))
    server_gate = gate([ada.public_key], None)
    shake(*pair((OPEN, server_gate), (ada, ben)))
    client, server = pair((OPEN, server_gate), (eve, ben))
    assert "not allowed" in refused(lambda: shake(client, server))
    client_gate = gate(lambda key: key == ben.public_key, None)
    shake(*pair((client_gate, OPEN), (ada, ben)))
    refused(lambda: shake(*pair((client_gate, OPEN), (ada, eve))))
    refused(lambda: shake(*pair((OPEN, gate([], None)), (ada, ben))))


def test_whoever_has_the_token():
    shake(*pair((gate(None, "secret"), gate(None, b"secret"))))
    refused(lambda: shake(*pair((gate(None, "wrong"), gate(None, "secret")))))
    assert "needed" in refused(lambda: shake(*pair((OPEN, gate(None, "secret")))))
    assert "no token here" in refused(lambda: shake(*pair((gate(None, "secret"), OPEN))))


def test_a_server_that_does_not_know_the_token_is_found_out():
    client, server = pair((gate(None, "secret"), gate(None, "guessed")))
    server.hear(client.said)
    client.hear(server.said)
    client.proof()
    assert refused(lambda: client.check(server.proof())) == "wrong token"


def test_the_token_does_not_travel():
    client, server = pair((gate(None, "secret"), gate(None, "secret")))
    server.hear(client.said)
    client.hear(server.said)
    said = (*client.said, *client.proof(), *server.said, *server.proof())
    assert b"secret" not in b"".join(part for part in said if isinstance(part, bytes))


def test_a_proof_is_good_once():
    ada, ben = ck.Identity.generate(), ck.Identity.generate()
    client, server = pair(keys=(ada, ben))
    shake(client, server)
    overheard = client.said, client.proof()
    again = make(ben, is_client=False)
    again.hear(overheard[0])
    refused(lambda: again.check(overheard[1]))  # the server's nonce is another one


def test_a_proof_cannot_be_turned_around():
    both = ck.Identity.generate()
    client, server = pair(keys=(both, both))
    server.hear(client.said)
    client.hear(server.said)
    refused(lambda: client.check(client.proof()))
    refused(lambda: server.check(server.proof()))
    client.check(server.proof())


def test_an_echo_is_no_other_end():
    client, _ = pair()
    refused(lambda: client.hear(client.said), Code.MALFORMED)


def test_a_forwarded_proof_says_to_whom_it_was_given():
    """Eve is dialled by Ada, and wants to be Ada at Ben's, who knows his own name."""
    ada, ben = ck.Identity.generate(), ck.Identity.generate()
    client = make(ada, is_client=True, endpoint="eve.example:80")
    server = make(ben, gate([ada.public_key], None, ["ben.example:80"]), is_client=False)
    assert "name" in refused(lambda: server.hear(client.said))
    lied = client.said._replace(endpoint="ben.example:80")
    server.hear(lied)
    client.hear(server.said)
    assert "proof" in refused(lambda: server.check(client.proof()))


@pytest.mark.parametrize("host", ["ben.example:80", "Ben.Example:80", "[::1]:80", "::1:80", "127.0.0.1:80"])
def test_a_server_is_dialled_under_its_names_however_they_are_written(host):
    pytest.importorskip("websockets")
    ours = gate(None, None, [host])
    url = f"ws://{host}" if host != "::1:80" else "ws://[::1]:80"
    endpoint = net.connect(ck.Doc(), url)._endpoint
    shake(*pair((OPEN, ours), endpoint=endpoint))
    assert "name" in refused(lambda: shake(*pair((OPEN, ours), endpoint="eve.example:80")))


def test_somebody_elses_key_is_not_enough():
    ada, eve = ck.Identity.generate(), ck.Identity.generate()
    server = make(gate=gate([ada.public_key], None), is_client=False)
    client = make(eve, is_client=True)
    server.hear(client.said._replace(key=ada.public_key))
    client.hear(server.said)
    refused(lambda: server.check(client.proof()))
    refused(lambda: server.check(Proof(bytes(64), b"")))


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_keys_that_are_no_keys(key):
    server, client = make(is_client=False), make(is_client=True)
    server.hear(client.said._replace(key=key))
    for r, s in itertools.product((bytes(32), b"\x01" + bytes(31)), repeat=2):
        refused(lambda r=r, s=s: server.check(Proof(r + s, b"")))


@pytest.mark.parametrize("part", range(5))
def test_everything_that_was_said_is_under_the_proof(part):
    ada, ben = ck.Identity.generate(), ck.Identity.generate()
    client, server = pair(keys=(ada, ben))
    heard = [
        client.said._replace(nonce=bytes(32)),
        client.said._replace(endpoint="other:80"),
        client.said._replace(only=Entry("", "doc", bytes(32))),
    ]
    client.hear(server.said._replace(nonce=b"\x01" * 32) if part == 3 else server.said)
    server.hear(heard[part] if part < 3 else client.said)
    proof = client.proof()
    if part == 4:
        server.check(proof)  # nothing was changed
    else:
        refused(lambda: server.check(proof))


def test_out_of_turn():
    client, server = pair()
    refused(lambda: server.check(Proof(bytes(64), b"")), Code.MALFORMED)
    server.hear(client.said)
    refused(lambda: server.hear(client.said), Code.MALFORMED)


def test_what_people_write_wrongly():
    with pytest.raises(TypeError):
        gate(bytes(32), None)
    for hosts in ("example.org:80", [b"example.org:80"], [80]):
        with pytest.raises(TypeError, match="hosts"):
            gate(None, None, hosts)
    for host in ("example.org", "example.org:", ":80", "example.org:0", "example.org:65536", "example.org:http"):
        with pytest.raises(ValueError, match="name:port"):
            gate(None, None, [host])
    with pytest.raises(ValueError, match="32 bytes"):
        gate([b"short"], None)
    with pytest.raises(ValueError, match="empty"):
        gate(None, "")
    for keys in ([32], ["k" * 32], [None]):  # bytes(32) would be a key
        with pytest.raises(TypeError, match="public key"):
            gate(keys, None)
    for token in (5, 32, ["secret"], True):
        with pytest.raises(TypeError, match="token"):
            gate(None, token)
