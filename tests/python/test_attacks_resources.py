"""Attacks on memory and time, rows 27 to 41 of the table in docs/security.md, small ones: each shows what bounds it."""

import contextlib
import subprocess
import sys
from dataclasses import replace

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import wire
from house import ways
from house.ways import FarEnd, in_every_order, in_small_stack, meets

ADA, BEN, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in range(3))
HUGE = [2**31, 2**32 - 1, 2**32, 2**59, 2**63, 2**64 - 1]


def put(key, value=1):
    return lambda doc: doc.update({key: value})


def last(bundle):
    return wire.take_apart(bundle)[-1].id


def op(kind, *payload):
    return wire.varint(kind) + wire.blob(b"".join(payload))


@pytest.fixture
def doc():
    new = ck.Doc(ADA, clock=lambda: 1000)
    new.update(t=ck.Text("hello"), l=[1, 2])
    new.commit()
    return new


@pytest.fixture
def eve(doc):
    return testing.Forger(doc, EVE, seed=1)


def nested(depth):
    """An empty dict, so deep that its containers are `depth`."""
    value = {}
    for _ in range(depth - 1):
        value = {"d": value}
    return value


def depth_of(value):
    depth = 0
    while isinstance(value, dict):
        depth, value = depth + 1, value.get("d")
    return depth


def test_27_deep_values(doc):
    """A plain value is taken as containers, to 256 deep; one deeper leaves no trace."""
    doc["d"] = nested(256)
    before = ways.state(doc)
    for deeper in (nested(257), nested(5000)):
        with pytest.raises(ck.LimitError):
            doc["e"] = deeper
        assert ways.state(doc) == before
    assert depth_of(in_small_stack(doc.to_py)["d"]) == 256


def test_28_deep_containers(doc, eve):
    """Container in container by operations: the 257th is void, and walks do not recurse over what others made."""
    step = op(3, b"\1\1\1d", b"\x10\0")  # a Map in the one made last
    first = op(3, b"\0\1d", b"\x10\0")
    deep, deeper = (eve.forge(body=b"\0\0" + first + step * (n - 1)) for n in (256, 257))
    assert meets(doc, deep) == "applied"
    assert meets(doc, deeper) == "void"
    doc.apply(deep)
    assert depth_of(in_small_stack(doc.to_py)["d"]) == 256
    assert in_small_stack(lambda: ck.Doc.load(doc.save())) == doc
    listed = op(5, b"\0\0\1\1", b"\x11\0")
    lists = op(3, b"\0\1l", b"\x11\0")
    assert meets(doc, testing.Forger(doc, EVE).forge(body=b"\0\0" + lists + listed * 255)) == "applied"
    assert meets(doc, testing.Forger(doc, EVE).forge(body=b"\0\0" + lists + listed * 256)) == "void"


BOMB = """
import resource, crdtkv as ck
from crdtkv import testing
doc = ck.Doc()
f = testing.Forger(doc, ck.Identity.generate())
bombs = [f.bomb(size) for size in (5 << 20, 256 << 20, 1 << 40, 2**64 - 1)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in bombs:
    assert len(bomb) <= 1 << 16
    for deliver in (doc.apply, doc.session().receive):
        try:
            deliver(bomb)
        except ck.DecodeError:
            continue
        raise AssertionError("it went off")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_29_decompression_bomb(doc, eve):
    """64 KiB that claim gigabytes: refused before anything is unpacked."""
    script = f"import sys; sys.path[:0] = {sys.path!r}\n{BOMB}"
    grown = int(subprocess.check_output([sys.executable, "-c", script]))  # in KiB
    assert grown <= 8 << 10
    before = ways.state(doc)
    with pytest.raises(ck.DecodeError, match="64 times"):
        FarEnd(doc).bundle(eve.bomb(1 << 30))
    assert ways.state(doc) == before


def sections_of(bundle):
    """(head, sections) of a bundle that is not packed."""
    reader = wire.Reader(bundle[len(wire.head_of(bundle)) :])
    assert reader.take(1) == b"\0"
    reader = wire.Reader(reader.take(reader.varint()))
    sections = {}
    while reader.at < len(reader.data):
        tag = reader.varint()
        sections[tag] = reader.take(reader.varint())
    return sections


def bundle_of(head, sections):
    payload = b"".join(wire.varint(tag) + wire.blob(content) for tag, content in sections.items())
    return testing.reseal(head + b"\0" + wire.varint(len(payload)) + payload + bytes(8))


def with_huge(data):
    """The same with a huge number in place of each byte."""
    for at in range(len(data)):
        for number in HUGE:
            yield data[:at] + wire.varint(number) + data[at + 1 :]


def test_30_oversized_prefixes_of_bundles():
    """Whatever length or count a bundle claims, nothing is allocated for it: it is refused as what it is."""
    small = ck.Doc(ADA, clock=lambda: 30)
    raw = testing.Forger(small, EVE, seed=30).forge(put("x"))
    small.update(t=ck.Text("hello"), k=1)
    columns = small.export()
    for bundle in (raw, columns):
        head, sections = wire.head_of(bundle), sections_of(bundle)
        assert bundle_of(head, sections) == bundle
        replica, full = (ck.Doc(id=bundle[4:36]) for _ in range(2))
        full.apply(bundle)
        before, after = ways.state(replica), ways.state(full)
        for tag, content in sections.items():
            for changed in with_huge(content):
                target = ck.Doc(id=replica.id)
                with contextlib.suppress(ck.DecodeError):
                    target.apply(bundle_of(head, sections | {tag: changed}))
                assert ways.state(target) in (before, after)
        for number in HUGE:
            for lie in (
                head + b"\0" + wire.varint(number) + bundle[len(head) + 2 :],
                head + b"\1" + wire.varint(number) + bundle[len(head) + 2 :],
                head + b"\0\x0b\1" + wire.varint(number) + bytes(9),
            ):
                with pytest.raises(ck.DecodeError):
                    replica.apply(testing.reseal(lie))


def test_30_oversized_prefixes_of_changes(doc, eve):
    """The same in headers and bodies that their author signed."""
    (part,) = wire.take_apart(eve.forge(put("x")))
    head = wire.head_of(doc.export())
    for header in with_huge(part.header):
        id = wire.change_id_of(eve.lane, header)
        signature = EVE._sign(wire.signed_message(doc.id, eve.lane, 0, id))
        lie = wire.write_bundle(head, [replace(part, header=header, id=id, signature=signature)])
        assert ways.verdict(doc.fork(), lambda d, lie=lie: d.apply(lie), id) in ("refused", "waiting", "void", "later")
    table = b"\2\0\1" + doc.changes()[0].lane + b"\0" + op(3, b"\0\1k", b"\5\2xy") + op(1, b"\0\0\2\0", b"abc")
    for body in with_huge(table):
        assert ways.verdict(doc.fork(), lambda d, b=body: d.apply(eve.forge(body=b)), last(eve.forge(body=body))) in (
            "void",
            "later",
        )


def test_30_oversized_prefixes_of_messages(doc):
    for number in HUGE:
        for tag in (ways.COMPARE, ways.LATER, ways.BUNDLE, ways.LIVE, 99):
            far = FarEnd(doc)
            with pytest.raises((ck.DecodeError, ck.SyncError)):
                far.say(wire.varint(tag) + wire.varint(number) + b"x")
            far = FarEnd(doc)
            with pytest.raises((ck.DecodeError, ck.SyncError)):
                far.say(wire.varint(number) + b"\1x" + wire.varint(tag) + wire.varint(number))
        far = FarEnd(doc)
        with pytest.raises((ck.DecodeError, ck.SyncError)):
            far.say(wire.varint(ways.BUNDLE) + wire.blob(wire.varint(number) + b"x"))
        far = FarEnd(doc)
        opening = EVE.public_key + bytes(16)
        with pytest.raises((ck.DecodeError, ck.SyncError)):
            far.live(b"\1" + opening + wire.varint(number))
        for fields in ([number], [1, number], [1, 0, number], [1, 0, 1, number]):
            far = FarEnd(doc)
            with pytest.raises((ck.DecodeError, ck.SyncError)):
                far.live(b"\1" + opening + b"\0" + b"".join(map(wire.varint, fields)) + b"\0")


def tip(lane, height=1, id=7):
    return lane.to_bytes(8, "little") + wire.varint(height) + id.to_bytes(8, "little")


def test_31_parameters_of_the_comparison(doc):
    """No filter has parameters on the wire. What a comparison counts is bounded by what it brings and was asked."""
    lists = {
        "more tips than it brings": b"\2\0" + wire.varint(2**32) + tip(1),
        "more tips than anybody has": b"\2\0" + wire.varint(16385) + b"".join(tip(k) for k in range(1, 16386)),
        "tips out of order": b"\2\0\2" + tip(5) + tip(3),
        "a tip twice": b"\2\0\2" + tip(5) + tip(5),
        "a tip of no height": b"\2\0\1" + tip(5, 0),
        "a tip too high": b"\2\0\1" + tip(5, 2**32),
        "a range without end": b"\2\xff",
        "a fingerprint cut short": b"\1\0\0\0",
        "an answer to what nobody asked": b"\3\1",
        "a search of what nobody asked": b"\5" + bytes(64),
        "an unknown kind": b"\x09",
        "bytes left over": b"\2\0\0\0",
    }
    for name, content in lists.items():
        far = FarEnd(doc, root=bytes(32))
        with pytest.raises(ck.SyncError):
            far.compare(content)
            pytest.fail(name)
        assert far.session.send() is None and not far.session.done
    for n in (0, 1, 2**32, 2**64 - 1):  # of a fingerprint: told, not believed
        far = FarEnd(doc, root=bytes(32))
        far.compare(b"\1\0" + bytes(8) + wire.varint(n))
        assert len(far.session.send()) < 256


def test_34_churn(doc):
    """What was typed and deleted again stays, for a bounded price an operation."""
    n = 20_000
    doc["t"].splices([(0, 0, "x")])
    doc.commit()
    before, saved = doc.stats()["memory"], len(doc.save())
    doc["t"].splices([step for k in range(n) for step in ((k % 5, 0, "y"), (k % 5, 1, ""))])
    doc.commit()
    assert str(doc["t"]) == "xhello"
    assert (doc.stats()["memory"] - before) / n < 400 and (len(doc.save()) - saved) / n < 12


@pytest.fixture
def flood(doc, eve):
    """1,030 stories of one lane, all at one place."""
    return eve.fork(*[put(f"story {k % 3}", k) for k in range(1030)])


def test_35_head_flood(doc, flood):
    """Very many heads: an honest change has at most 32 parents, knots before it take in the rest."""
    doc.apply(testing.join(*flood[:500]))
    assert len(doc.heads) == 500
    doc["n"] = 1
    doc.commit()
    assert len(doc.heads) == 1 and max(len(change.parents) for change in doc.changes()) <= 32
    mine = [change for change in doc.changes() if change.author == ADA.public_key]
    assert len(mine) == 2 + -(-500 // 32) - 1 + (500 % 32 == 0)
    testing.assert_converged(doc, ck.Doc.load(doc.save()))


def test_36_equivocation_flood(doc, flood):
    """Beyond 1,024 tips of a lane a change is refused, and said so, unless an honest change builds upon it."""
    doc.apply(testing.join(*flood[:1020]))
    ben, more = doc.fork(BEN), flood[1020:]
    for bundle in more[:4]:
        assert doc.apply(bundle).applied
    refused = [doc.apply(bundle).refused for bundle in more[4:]]
    assert [r.error for (r,) in refused] == [ck.LimitError] * 6
    assert len(doc.equivocations()) == 1 and ck.verify_equivocation(doc.equivocations()[0].proof) == EVE.public_key
    before = ways.state(doc)
    assert FarEnd(doc).bundle(more[5]).refused and ways.state(doc) == before

    ben.apply(testing.join(*more[-4:]))  # Ben heard others of the stories
    ben["honest"] = 1
    ben.commit()
    doc["too"] = 1
    for _ in range(5):  # what is refused is welcome when it comes again and an honest change waits for it
        if doc.root != ben.root:
            ck.sync(doc, ben)
    assert doc["honest"] == 1 and ben["too"] == 1 and not doc.waiting and not ben.waiting
    testing.assert_converged(doc, ben)


def test_37_lane_flood(doc):
    """A lane for every change: it costs its author's bytes, a bounded price each, and a session still ends."""
    f = testing.Forger(doc, EVE, seed=37)
    n = 1000
    joined = testing.join(*[f.forge(put("x"), nonce=k.to_bytes(16, "big")) for k in range(n)])
    other = doc.fork(BEN)
    before = doc.stats()["memory"]
    assert len(doc.apply(joined).applied) == n and doc.stats()["lanes"] == n + 1
    assert (doc.stats()["memory"] - before) / n < 2000
    other["y"] = 1
    report = ck.sync(doc, other)
    testing.assert_converged(doc, other)
    assert report.rounds <= 6 and report.changes == n + 1


def test_39_ground_ids(doc):
    """An author may try until the id wins a tie: everybody sees the same winner, and who writes later wins."""
    f = testing.Forger(doc, EVE, seed=39)
    ada = doc.fork(ADA)
    ada["x"] = "ada"
    honest = ada.export(doc.heads)
    tries = [f.forge(body=b"\0" + wire.varint(2 * k) + op(3, b"\0\1x", b"\5\3eve")) for k in range(300)]
    ground = max(tries, key=last)
    lowest = min(tries, key=last)
    assert last(lowest) < ada.heads[0] < last(ground)
    for lie, shown in ((ground, "eve"), (lowest, "ada")):
        for replica in in_every_order(doc, [honest, lie]):
            assert replica["x"] == shown and len(replica.conflicts("x")) == 2
            replica["x"] = "later"
            assert replica["x"] == "later" and len(replica.conflicts("x")) == 1
    inserts = [testing.Forger(doc, EVE, seed=k).forge(lambda d, k=k: d["t"].insert(2, f"<{k}>")) for k in range(4)]
    in_every_order(doc, inserts)


def test_40_endless_sessions(doc):
    """64 messages that bring nothing new, one that is too long, one more byte than allowed, an endless bundle: over."""

    def is_over(far):
        with pytest.raises(ck.SyncError):
            far.say()
        assert far.session.send() is None and not far.session.done
        doc["goes on"] = doc.get("goes on", 0) + 1
        doc.commit()

    far = FarEnd(doc)
    for _ in range(64):
        far.say()
    with pytest.raises(ck.SyncError):
        far.say()
    is_over(far)

    far = FarEnd(doc)
    for _ in range(64):
        far.say(b"\x63\1x")  # a part that a later version may know
    with pytest.raises(ck.SyncError):
        far.say(b"\x63\1x")

    far = FarEnd(doc)
    long = ways.message(2, 1, b"\x63" + wire.blob(bytes(1 << 20)))
    assert far.session.receive(long) is not None
    with pytest.raises(ck.SyncError):
        far.session.receive(ways.message(3, 1, b"\x63" + wire.blob(bytes((1 << 20) + 4096))))
    is_over(far)

    far = FarEnd(doc, max_bytes=10_000)
    far.say(b"\x63" + wire.blob(bytes(9000)))
    with pytest.raises(ck.SyncError):
        far.say(b"\x63" + wire.blob(bytes(1000)))
    is_over(far)

    piece = bytes(1 << 20)
    for claim in ((33 << 20) - len(piece), (1 << 40)):
        far = FarEnd(doc)
        with pytest.raises(ck.SyncError):
            far.say(wire.varint(ways.BUNDLE) + wire.blob(wire.varint(claim) + piece))
    far = FarEnd(doc)
    far.say(wire.varint(ways.BUNDLE) + wire.blob(wire.varint(20 << 20) + piece))
    with pytest.raises(ck.SyncError):  # the second piece must say one piece less
        far.say(wire.varint(ways.BUNDLE) + wire.blob(wire.varint(20 << 20) + piece))


def test_40_comparisons_end(doc, eve):
    """Two ends that differ in a lane of very many tips and in a short one cut the range they disagree on: it ends.

    They told each other the same fingerprint for ever, whenever the short lane stood first under the session's key.
    """
    doc.apply(testing.join(*eve.fork(*[None] * 300)))
    for k in range(12):
        ben = doc.fork(BEN)
        ben[str(k)] = 1
        one, two = doc.session(), ben.session()
        for _ in range(12):
            for speaker, listener in ((one, two), (two, one)):
                while (said := speaker.send()) is not None:
                    listener.receive(said)
        assert one.done and two.done
        testing.assert_converged(doc, ben)


def test_41_verifying_over_and_over(doc, eve):
    """A signature is checked once for each time it is delivered and not yet covered: not again when others come."""
    n = 500
    bundles = eve.chain([put("x")] * n)
    for bundle in reversed(bundles):
        doc.apply(bundle)
    assert doc.stats()["verified"] <= n and doc.stats()["changes"] == n + 1
    once = doc.stats()["verified"]
    for bundle in (*bundles, testing.join(*bundles), doc.save()):
        doc.apply(bundle)
    assert doc.stats()["verified"] == once
    bad = testing.Forger(doc, EVE, seed=41).forge(put("y"), signature=bytes(64))
    doc.apply(bad)
    assert doc.stats()["verified"] == once + 1 and not doc.waiting  # dropped, not kept to be tried again
    for bundle in bundles:
        doc.apply(bundle)
    assert doc.stats()["verified"] == once + 1
