"""Attacks on identity and integrity, rows 1 to 14 of the table in docs/security.md. Each test is one attack."""

import contextlib
import hashlib
import itertools
import os
import random
import subprocess
import sys
from dataclasses import replace

import nacl.bindings as sodium
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import wire
from house import ways
from house.ways import in_every_order, meets

ADA, BEN, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in range(3))
P = 2**255 - 19  # coordinates of points of Ed25519 are numbers below it
L = 2**252 + 27742317777372353535851937790883648493  # order of the group in which signatures live


def put(key, value=1):
    return lambda doc: doc.update({key: value})


def last(bundle):
    return wire.take_apart(bundle)[-1].id


@pytest.fixture
def doc():
    new = ck.Doc(ADA, clock=lambda: 1000)
    new.update(t=ck.Text("hello"), l=[1, 2], n={"a": 1})
    new.commit()
    return new


@pytest.fixture
def eve(doc):
    return testing.Forger(doc, EVE, seed=1)


def is_evidence(doc, author=EVE):
    (e,) = doc.equivocations()
    return e.author == author.public_key and ck.verify_equivocation(e.proof) == author.public_key


def test_01_equivocation(doc, eve):
    """Two changes of one lane and seq, split between peers: both land everywhere, and everybody has the proof."""
    for replica in in_every_order(doc, eve.fork(put("x", "yes"), put("x", "no"))):
        assert is_evidence(replica) and sorted(replica.conflicts("x").values()) == ["no", "yes"]


def test_01_equivocation_between_peers(doc, eve):
    one, two = doc.fork(), doc.fork()
    yes, no = eve.fork(put("x", "yes"), put("x", "no"))
    one.apply(yes)
    two.apply(no)
    assert not one.equivocations() and not two.equivocations()
    ck.sync(one, two)
    testing.assert_converged(one, two)
    assert is_evidence(one) and is_evidence(two)


def test_02_deep_equivocation(doc, eve):
    """A long common prefix, then two branches: a session finds the fork by few hashes and sends what is behind it."""
    prefix = testing.join(*eve.chain([None] * 1000))
    eve.advance(prefix)
    one, two = doc.fork(), doc.fork()
    branches = eve.fork([put("x", "yes")] * 50, [put("x", "no")] * 50)
    for replica, branch in zip((one, two), branches):
        replica.apply(prefix)
        replica.apply(branch)
    missing = sum(len(replica.export(eve.doc.heads)) for replica in (one, two))
    report = ck.sync(one, two)
    testing.assert_converged(one, two)
    assert is_evidence(one) and report.changes == 100 and report.rounds <= 12
    assert report.bytes <= 64 + 40 * one.stats()["lanes"] + 1.5 * missing + 2048 < len(prefix) / 4


@pytest.mark.parametrize("lane", ["fresh", "ben's", "made up"])
@pytest.mark.parametrize("signer", [BEN, EVE], ids=["ben signs", "eve signs"])
@pytest.mark.parametrize("author", [BEN, EVE], ids=["as ben", "as eve"])
def test_03_forged_author(doc, author, signer, lane):
    """Only who holds the key of the lane's opening writes in a lane; who else says that he does is refused."""
    ben = doc.fork(BEN)
    ben["b"] = 1
    doc.merge(ben)
    bens = doc.changes()[-1]
    fields = {
        "fresh": {},
        "ben's": {"lane_id": bens.lane, "nonce": doc._opening(bens.lane)[1], "prev": bens.id, "parents": []},
        "made up": {"lane_id": bytes(32)},
    }[lane]
    bundle = testing.Forger(doc, EVE).forge(put("x"), author=author.public_key, sign_with=signer, **fields)
    honest = author is signer and (lane == "fresh" or (lane == "ben's" and author is BEN))
    assert meets(doc, bundle) == ("applied" if honest else "refused")


def flips(bundle):
    for at, bit in itertools.product(range(len(bundle)), range(8)):
        yield bundle[:at] + bytes([bundle[at] ^ 1 << bit]) + bundle[at + 1 :]


def test_04_tampering(doc, eve):
    """Any single bit: refused by the checksum, and behind a checksum made right still never another state."""
    ben = doc.fork(BEN)
    ben["t"].insert(2, "a text that is long enough to stand outside of its header")
    ben["t"].delete(3, 2)
    raw = eve.forge(lambda d: d["t"].insert(0, "another one that is long enough to stand outside of its header"))
    for bundle in (ben.export(doc.heads), raw):
        before, full = ways.state(doc), doc.fork()
        full.apply(bundle)
        after = ways.state(full)
        for flipped in flips(bundle):
            with pytest.raises(ck.DecodeError):
                doc.apply(flipped)
        for flipped in flips(bundle[:-8]):
            copy = doc.fork()
            with contextlib.suppress(ck.DecodeError):
                copy.apply(testing.reseal(flipped + bytes(8)))
            assert ways.state(copy) in (before, after)


def test_05_splicing(doc, eve):
    """Somebody else's unsigned changes below my signature: neither as his nor as mine."""
    ben = testing.Forger(doc, BEN, seed=2)
    (unsigned,) = ben.chain([put("b", "I am broke")], sign="none")
    (part,) = wire.take_apart(unsigned)
    tip = eve.forge(put("x"), prev=part.id, seq=1, parents=[])
    assert meets(doc, testing.join(unsigned, tip), id=part.id) == "refused"  # as Ben's: his key did not sign
    assert meets(doc, testing.join(unsigned, tip)) == "waiting"

    (own,) = wire.take_apart(tip)
    taken = replace(part, lane=eve.lane, opening=own.opening)  # as Eve's: another lane makes another id
    spliced = wire.write_bundle(wire.head_of(tip), [taken, own])
    assert meets(doc, spliced) == "refused"

    ben.advance(unsigned)
    doc.apply(ben.doc.export(doc.heads))  # Ben says it himself: then it is no prev for Eve
    assert meets(doc, tip) == "refused"


def test_06_signature_malleability(doc, eve):
    """(R, S + L) would be a second signature by anybody."""

    def with_s(change):
        def sign(message):
            signature = EVE._sign(message)
            s = change(int.from_bytes(signature[32:], "little"))
            return signature[:32] + s.to_bytes(32, "little")

        return sign

    assert meets(doc, eve.forge(put("x"), signature=with_s(lambda s: s))) == "applied"
    for change in (lambda s: s + L, lambda s: L, lambda s: 2**253 - 1, lambda s: s + 2 * L):
        assert meets(doc, eve.forge(put("x"), signature=with_s(change))) == "refused"


SMALL = [  # points of small order, in all encodings: of order 1, 2, 4, 8, then those that are not canonical
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    (P + 1).to_bytes(32, "little"),
    P.to_bytes(32, "little"),
    (1 | 1 << 255).to_bytes(32, "little"),
]


def hash_of(r, key, message):
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


def secret_of(seed):
    """The number behind a key."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 0xF8
    digest[31] = digest[31] & 0x7F | 0x40
    return int.from_bytes(digest, "little")


def times_base(n):
    return sodium.crypto_scalarmult_ed25519_base_noclamp(n.to_bytes(32, "little"))


def test_07_small_order_keys_and_r(doc, eve):
    """Under a key of small order (R, S) with R = S * base holds for every message, or for one in eight."""
    forgeries = [(r, 0) for r in SMALL] + [(times_base(7), 7)]
    for key, (r, s) in itertools.product(SMALL, forgeries):
        bundle = eve.forge(put("x"), author=key, signature=r + s.to_bytes(32, "little"))
        assert meets(doc, bundle) == "refused"

    def without_a_nonce(message):  # with the own key: S = h * a holds for R = identity
        h = hash_of(SMALL[0], EVE.public_key, message)
        return SMALL[0] + (h * secret_of(bytes([2]) * 32) % L).to_bytes(32, "little")

    assert meets(doc, eve.forge(put("x"), signature=without_a_nonce)) == "refused"


def test_08_mixed_order_key(doc, eve):
    """A key off the prime-order group verifies for some and not for others: nobody takes it, whatever it signs."""
    y = int.from_bytes(EVE.public_key, "little")
    sign_bit, y = y >> 255, y & ((1 << 255) - 1)
    mixed = (P - y | (1 - sign_bit) << 255).to_bytes(32, "little")  # A + (0, -1) negates both coordinates of A
    secret = secret_of(bytes([2]) * 32)

    def holds_for_some(message):
        for nonce in itertools.count(5):
            r = times_base(nonce)
            h = hash_of(r, mixed, message)
            if h % 2 == 0:  # then h times the point of order 2 is nothing
                signature = r + ((nonce + h * secret) % L).to_bytes(32, "little")
                assert VerifyKey(mixed).verify(message, signature) == message
                return signature

    assert meets(doc, eve.forge(put("x"), author=mixed, signature=holds_for_some)) == "refused"


def test_09_many_signatures_of_one_change(doc, eve):
    """An author can sign one message in any number of ways: they are one change."""
    secret = secret_of(bytes([2]) * 32)

    def sign(nonce):
        def by(message):
            r = times_base(nonce)
            return r + ((nonce + hash_of(r, EVE.public_key, message) * secret) % L).to_bytes(32, "little")

        return by

    bundles = [eve.forge(put("x"), signature=sign(nonce)) for nonce in range(5, 105)]
    assert len(set(bundles)) == 100 and len({last(bundle) for bundle in bundles}) == 1
    known = [doc.apply(bundle).known for bundle in bundles]
    assert known == [0] + [1] * 99 and doc.stats()["changes"] == 2 and doc["x"] == 1
    joined = testing.join(*bundles)
    fresh = ck.Doc.load(eve.doc.save())
    report = fresh.apply(joined)
    assert len(report.applied) == 1 and report.known == 99 and not fresh.equivocations()
    testing.assert_converged(doc, fresh)


def op(kind, *payload):
    return wire.varint(kind) + wire.blob(b"".join(payload))


def test_10_non_canonical_bytes(doc, eve):
    """There is one way to write each thing; whatever decodes to the same and looks different is void or refused."""
    key, nan, head = b"\0\1k", bytes.fromhex("000000000000f87f"), b"\0\0"  # head: no flags, time 0
    one, text = op(3, key, b"\3\1\2"), op(3, b"\0\1t", b"\x14\0")  # SET k = 1; SET t = Text()
    canonical = {
        "an int": head + one,
        "a NaN": head + op(3, key, b"\4\x08", nan),
        "None": head + op(3, key, b"\0\0"),
        "an insert": head + text + op(1, b"\0\0\1\1", b"xy"),
        "a time before 1970": b"\0\1" + one,
    }
    for name, body in canonical.items():
        assert meets(doc, eve.forge(body=body)) == "applied", name
    lane = doc.changes()[0].lane
    variants = {
        "flags in two bytes": b"\x80\0\0" + one,
        "a time in two bytes": b"\0\x80\0" + one,
        "a kind in two bytes": head + b"\x83\0" + one[1:],
        "a length in two bytes": head + b"\3\x86\0" + one[2:],
        "a reference in two bytes": head + op(3, b"\x80\0\1k", b"\3\1\2"),
        "an int in two bytes": head + op(3, key, b"\3\2\x82\0"),
        "a byte behind an int": head + op(3, key, b"\3\2\2\0"),
        "a byte in None": head + op(3, key, b"\0\1\0"),
        "a byte behind a payload": head + op(3, key, b"\3\1\2\0"),
        "a byte behind the body": head + one + b"\0",
        "NaN with a payload": head + op(3, key, b"\4\x08\1" + nan[1:]),
        "NaN with a sign": head + op(3, key, b"\4\x08" + nan[:7] + b"\xff"),
        "a float of four bytes": head + op(3, key, b"\4\4\0\0\x80\x3f"),
        "a surrogate": head + op(3, key, b"\5\3\xed\xa0\x80"),
        "an overlong character": head + op(3, key, b"\5\2\xc0\x80"),
        "a key that is no UTF-8": head + op(3, b"\0\1\xff", b"\3\1\2"),
        "an empty table": b"\2\0\0\0" + one,
        "a table that nothing uses": b"\2\0\1" + lane + b"\0" + one,
        "a table twice": b"\2\0\2" + lane * 2 + b"\0" + one,
        "two inserts that are one": head + text + op(1, b"\0\0\1\1", b"x") + op(1, b"\1\1\0", b"y"),
    }
    for name, body in variants.items():
        assert meets(doc, eve.forge(body=body)) == "void", name

    parts = wire.take_apart(eve.forge(body=head + one))
    for header in (b"\x81\0" + parts[0].header[1:], parts[0].header + b"\0"):
        id = wire.change_id_of(eve.lane, header)
        signature = EVE._sign(wire.signed_message(doc.id, eve.lane, 0, id))
        part = replace(parts[0], header=header, id=id, signature=signature)
        assert meets(doc, wire.write_bundle(wire.head_of(doc.export()), [part])) == "refused"


WRITER = """
import hashlib, random, struct, crdtkv as ck
from crdtkv import testing
doc = ck.Doc(ck.Identity.from_seed(bytes(32)), id=bytes(32), clock=lambda: 7)
random.seed(1)
def edit(d):
    d["map"] = {str(random.random()): random.random() for _ in range(100)}
    d["floats"] = [1e22, 0.1, -0.0, 1e-300, struct.unpack("<d", bytes.fromhex("010000000000f8ff"))[0]]
    d["ints"] = set(range(50))
    d["text"] = ck.Text("I\\u0130\\u0131")
print(hashlib.sha256(testing.Forger(doc, ck.Identity.from_seed(bytes(32)), seed=1).forge(edit)).hexdigest())
"""


def test_11_honest_encodings_do_not_depend_on_the_machine(doc):
    """One author's bytes are the same under any hash seed and locale, and what honest replicas write they all take."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    machines = [{"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "1", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo"}]
    wrote = {subprocess.check_output([sys.executable, "-c", WRITER], env=env | machine) for machine in machines}
    assert len(wrote) == 1

    rng = random.Random(11)
    float_of = memoryview(bytes.fromhex("010000000000f8ff")).cast("d")
    values = [1, 1.0, True, None, "x", b"x", -0.0, 1e22, 0.1, float("nan"), float_of[0], {"z": 1, "a": {}}, [[], [1]]]
    for n in range(200):
        doc[f"k{n}"] = {str(rng.random()): rng.choice(values) for _ in range(rng.randrange(6))}
        doc[f"v{n}"] = values[n % len(values)]
        doc.commit()
    copy = ck.Doc(id=doc.id)
    report = copy.apply(doc.export())
    assert not report.refused and not report.void and len(report.applied) == 201
    testing.assert_converged(doc, copy)


def test_12_replay_in_another_document(doc):
    """A signed change of one document says nothing in another one, nor does a signature made for something else."""
    mine, other = ck.Doc(ADA, id=bytes(32)), ck.Doc(ADA, id=b"\1" * 32)
    mine["owe"] = 1000
    bundle = mine.export()
    with pytest.raises(ck.DecodeError):
        other.apply(bundle)
    moved = testing.reseal(bundle[:4] + other.id + bundle[36:])
    report = other.apply(moved)
    assert [r.error for r in report.refused] == [ck.SignatureError] and not other.changes()

    f = testing.Forger(doc, EVE)
    for lie in (
        lambda message: message[13:],  # no protocol
        lambda message: b"crdtkv-sig-v2" + message[13:],
        lambda message: message[:13] + other.id + message[45:],
        lambda message: message[:45] + bytes(32) + message[77:],  # another lane
        lambda message: message[:77] + b"\1" + message[78:],  # another seq
    ):
        assert meets(doc, f.forge(put("x"), signature=lambda message, lie=lie: EVE._sign(lie(message)))) == "refused"


def test_13_truncated_and_joined_fields(doc):
    """What is signed holds whole hashes at fixed places; paths and fields that read alike when joined stay apart."""
    doc.fork(EVE)["x"] = 1
    (part,) = wire.take_apart(testing.join(doc.export()))
    change = wire.change_id_of(part.lane, part.header)
    message = b"crdtkv-sig-v1" + doc.id + part.lane + bytes(4) + change
    assert part.id == change and len(message) == 113
    VerifyKey(ADA.public_key).verify(message, part.signature)
    for at in range(13, 113):
        with pytest.raises(BadSignatureError):
            VerifyKey(ADA.public_key).verify(
                message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :], part.signature
            )

    pairs = [
        (lambda d: d.update({"a.b": {"c": 1}}), lambda d: d.update({"a": {"b.c": 1}})),
        (lambda d: d.update({"k": "1", "l": "2"}), lambda d: d.update({"k": "12", "l": ""})),
        (lambda d: d.update({"k1": 2}), lambda d: d.update({"k": 12})),
        (lambda d: d.update({"k": 1}), lambda d: d.update({"k": "1"})),
        (lambda d: d.update({"k": 1}), lambda d: d.update({"k": True})),
        (lambda d: d.update({"k": 1}), lambda d: d.update({"k": 1.0})),
        (lambda d: d.update({"k": b"1"}), lambda d: d.update({"k": "1"})),
    ]
    for one, other in pairs:
        f = testing.Forger(doc, EVE, seed=13)
        assert last(f.forge(one)) != last(f.forge(other))


def test_14_hash_type_confusion(doc, eve):
    """A hash of one kind of thing is never that of another: each has its own personalisation."""
    header = wire.take_apart(eve.forge(put("x")))[0].header
    as_body = eve.forge(body=header)  # bytes that are a header and a body
    assert wire.take_apart(as_body)[0].body == header
    persons = (b"", b"crdtkv-body-v1", b"crdtkv-lane-v1", b"crdtkv-doc-v1", b"crdtkv-root-v1", b"crdtkv-bucket-v1")
    hashes = {wire.digest(person, header) for person in persons} | {wire.change_id_of(eve.lane, header)}
    assert len(hashes) == 7

    (opening,) = {doc._opening(change.lane) for change in doc.changes()}
    assert doc.changes()[0].lane == wire.digest(b"crdtkv-lane-v1", doc.id + opening[0] + opening[1])
    doc.apply(eve.forge(put("x")))
    names = sorted([doc.id, doc.root, eve.lane, wire.digest(b"crdtkv-body-v1", header), ADA.public_key])
    assert meets(doc, eve.forge(put("y"), parents=names)) == "waiting"  # none of them is a change
    for name in names:
        assert meets(doc, eve.forge(put("y"), prev=name, seq=1)) == "waiting"
