"""Attacks on causality, rows 15 to 26 and 61, 62 of the table in docs/security.md. Each test is one attack."""

import itertools
import random

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import wire
from house.ways import FarEnd, in_every_order, in_small_stack, meets
from oracle.model import Replica

ADA, BEN, CYD, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in range(4))
INT64 = 2**63 - 1


def put(key, value=1):
    return lambda doc: doc.update({key: value})


def last(bundle):
    return wire.take_apart(bundle)[-1].id


def op(kind, *payload):
    return wire.varint(kind) + wire.blob(b"".join(payload))


@pytest.fixture
def doc():
    new = ck.Doc(ADA, clock=lambda: 1000)
    new.update(t=ck.Text("hello"), l=[1, 2], c=ck.Counter(0))
    new.commit()
    return new


@pytest.fixture
def eve(doc):
    return testing.Forger(doc, EVE, seed=1)


def test_15_replay(doc, eve):
    """Everything three times in random order, by all ways: the same as once."""
    bundles = [*eve.chain([put("a"), put("b"), put("c")]), *eve.fork(None, None), eve.forge(n_ops=9)]
    bundles.append(eve.forge(parents=[bytes(32)]))
    once = doc.fork()
    for bundle in bundles:
        once.apply(bundle)
    rng = random.Random(15)
    for _ in range(20):
        replica = doc.fork()
        far = FarEnd(replica)
        for bundle in rng.sample(bundles * 3, 3 * len(bundles)):
            rng.choice([replica.apply, far.bundle])(bundle)
        testing.assert_converged(once, replica)
        for name in ("changes", "waiting", "waiting_bytes", "void", "lanes", "equivocations"):
            assert replica.stats()[name] == once.stats()[name]
        assert all(replica.apply(bundle).known == 1 for bundle in bundles)


def test_16_withheld_ancestor(doc, eve):
    """Whichever is withheld, what depends on it waits, is named, and nothing of it shows; then all of it lands."""
    bundles = eve.chain([put(key) for key in "uvwxyz"])
    for at, withheld in enumerate(bundles):
        replica = doc.fork()
        far = FarEnd(replica)
        for bundle in bundles[:at] + bundles[at + 1 :]:
            far.bundle(bundle)
        assert replica.missing == ((last(withheld),) if at < 5 else ())
        assert sorted(replica.waiting) == sorted(map(last, bundles[at + 1 :]))
        assert len(replica.changes()) == 1 + at and set("uvwxyz"[at:]).isdisjoint(replica)
        assert len(replica.apply(withheld).applied) == 6 - at and not replica.waiting and not replica.missing


def test_16_a_session_asks_for_it(doc, eve):
    """Whoever offers the end of a lane serves what is behind it: in a session nothing has to wait."""
    bundles = eve.chain([put(key) for key in "uvwxyz"])
    full, replica = doc.fork(), doc.fork()
    full.apply(testing.join(*bundles))
    replica.apply(bundles[-1])
    assert len(replica.waiting) == 1
    ck.sync(full, replica)
    testing.assert_converged(full, replica)
    assert not replica.waiting


def test_17_dangling_hashes(doc):
    """Waiting changes are bounded, a lane, a peer, and in all; unsigned ones never wait; dropping is safe."""
    peer = doc.fork()
    far = FarEnd(peer)
    for k in range(12):
        far.bundle(testing.Forger(doc, EVE, seed=k).forge(body=bytes(1 << 20), parents=[bytes(32)]))
        assert peer.stats()["waiting_bytes"] <= 4 << 20
    liars = [testing.Forger(doc, EVE, seed=seed) for seed in range(6)]
    body = bytes(1 << 20)
    for n, liar in enumerate(liars, 1):
        for k in range(12):
            doc.apply(liar.forge(body=body, prev=bytes([k]) * 32, seq=k + 1))
        assert doc.stats()["waiting_bytes"] <= min(8 * n, 32) << 20
        assert doc.stats()["waiting"] >= min(6 * n, 28)
    assert doc.stats()["evicted"] > 0 and doc.stats()["changes"] == 1
    assert meets(doc, liars[0].forge(body=body, parents=[bytes(32)], signature=b"")) == "refused"
    first, second = liars[0].chain([put("a"), put("b")])
    doc.apply(second)  # there is room for small ones of low seq, also after the flood
    assert last(second) in doc.waiting and len(doc.apply(first).applied) == 2


def test_18_cycles(doc, eve):
    """No change can name itself: a hash cannot hold itself. What comes nearest waits for ever, hangs nobody."""
    a = eve.forge(put("a"))
    spiral = [a]
    for _ in range(20):  # each names what the one before would be called if only it did not name anything
        b = eve.forge(put("b"), parents=[last(spiral[-1])])
        spiral.append(eve.forge(put("a"), parents=[last(b)]))
    for order in (spiral, spiral[::-1], random.Random(18).sample(spiral, 21)):
        replica = doc.fork()
        replica.apply(testing.join(*order))
        assert replica["a"] == 1 and "b" not in replica and len(replica.waiting) == 20
        graph = {change.id: {*change.parents, change.prev} - {None} for change in replica.changes()}
        done = set()
        for id in graph:
            assert graph[id] <= done  # parents before children: no circle
            done.add(id)


@pytest.fixture
def texts(doc):
    """Ben wrote twice into the text; Cyd saw the first only. (doc, Ben's first, Ben's second, Cyd's)"""
    ben = doc.fork(BEN)
    ben["t"].insert(5, " one")
    first = ben.heads[0]
    cyd = ben.fork(CYD)
    cyd["y"] = 1
    ben["t"].insert(9, " two")
    ben["n"] = {}
    doc.merge(ben)
    doc.merge(cyd)
    return doc, first, ben.heads[0], cyd.heads[0]


EDITS = {
    "delete": lambda d: d["t"].delete(10, 2),
    "insert": lambda d: d["t"].insert(11, "!"),
    "mark": lambda d: d["t"].mark(9, 12, "bold", True),
    "set": lambda d: d["n"].update(k=1),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("over", ["parent", "table", "nobody"])
def test_19_outside_the_causal_past(texts, over, edit):
    """What a change names must be in its past, not just here: void where it is here and where it is not."""
    doc, first, second, cyds = texts
    f = testing.Forger(doc, EVE, seed=19)
    parents = {"parent": [first], "table": [cyds], "nobody": [doc.changes()[0].id]}[over]
    lie = f.forge(edit, parents=parents)
    knows = ck.Doc.load(doc.export())
    lacks = ck.Doc.load(doc.export((), parents))
    assert second not in {change.id for change in lacks.changes()}
    assert meets(knows, lie) == meets(lacks, lie) == "void"
    assert meets(knows, f.forge(edit, parents=sorted(doc.heads))) == "applied"
    lacks.apply(lie)
    knows.apply(lie)
    ck.sync(knows, lacks)
    testing.assert_converged(knows, lacks)


def test_19_further_on_in_the_lane_of_a_parent(texts):
    """A parent's lane goes on behind it: its later items are as much outside as those of others."""
    doc, first, second, _ = texts
    f = testing.Forger(doc, EVE, seed=19)
    lacks = ck.Doc.load(doc.export((), [first]))
    for item, parent in itertools.product(range(8), (first, second)):  # the parent's items, from the lane's first
        bundle = f.forge(body=b"\0\0" + op(2, b"\2" + wire.varint(item), b"\1"), parents=[parent])
        in_past = item < 4 or parent == second
        assert meets(doc, bundle) == ("applied" if in_past else "void")
        assert meets(lacks, bundle) == ("waiting" if parent == second else "applied" if in_past else "void")


def test_20_children_of_the_void_and_of_the_refused(doc, eve):
    """Upon a void change one may build; what a refused one leaves behind waits and is never ready."""
    void = eve.forge(put("x"), n_ops=9)
    eve.advance(void)
    child = eve.forge(put("y"))
    for replica in in_every_order(doc, [void, child]):
        assert replica["y"] == 1 and "x" not in replica and not replica.waiting

    f = testing.Forger(doc, EVE, seed=20)
    first = f.forge(put("a"))
    lie = f.forge(put("b"), prev=last(first), seq=5)  # found out when its prev comes
    f.advance(first)
    f.advance(lie)
    orphan = f.forge(put("y"))
    for replica in in_every_order(doc, [first, lie, orphan]):
        assert replica["a"] == 1 and "b" not in replica and "y" not in replica
        assert replica.waiting == (last(orphan),) and replica.missing == (last(lie),)


def test_21_wrong_seq(doc, eve):
    """A seq that does not follow is refused, in whatever way it does not, and nothing asserts."""
    first = eve.forge(put("a"))
    for fields in ({"seq": 3}, {"seq": 3, "prev": None}, {"seq": 0, "prev": doc.heads[0]}, {"seq": 2**32 - 2}):
        assert meets(doc, eve.forge(put("x"), **fields)) == "refused"
    eve.advance(first)
    second = eve.forge(put("b"))
    knows = doc.fork()
    knows.apply(first)
    for seq in (0, 2, 3, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**63, 2**64 - 1):
        lie = eve.forge(put("x"), seq=seq, prev=last(first))
        assert meets(knows, lie) == "refused"
        for replica in in_every_order(doc, [first, lie, second]):
            assert replica["b"] == 1 and "x" not in replica and not replica.waiting


def test_22_reversed_chain(doc):
    """A long chain from its end to its begin, one at a time: it waits within its bounds, and is released by a loop."""
    n = 5_000
    bundles = testing.Forger(doc, EVE, seed=22).chain([lambda d: d["t"].insert(len(d["t"]), "x")] * n)
    for bundle in bundles[:0:-1]:
        doc.apply(bundle)
    kept = doc.stats()["waiting"]
    assert 0 < doc.stats()["waiting_bytes"] <= 8 << 20 and kept + doc.stats()["evicted"] == n - 1
    report = in_small_stack(lambda: doc.apply(bundles[0]))
    assert len(report.applied) == kept + 1 and not doc.waiting
    doc.apply(testing.join(*bundles))
    assert str(doc["t"]) == "hello" + "x" * n and doc.stats()["verified"] <= 2 * n


def head(time):
    """The head of a body that says it is of this time."""
    return b"\0" + wire.varint(((time << 1) ^ (time >> 63)) & (2**64 - 1))


SET_X = op(3, b"\0\1x", b"\5\4eve!")


def test_23_lying_about_logical_time(doc, eve):
    """Order comes from the graph: no field holds it, and the time that an author states plays no part."""
    ada = doc.fork(ADA)
    for value in "123":
        ada["x"] = value
        ada.commit()
    for time in (-INT64 - 1, -1, 0, 10**15, INT64):
        lie = eve.forge(body=head(time) + SET_X)  # concurrent, with a smaller clock
        for replica in in_every_order(doc, [lie, ada.export(doc.heads)]):
            assert replica["x"] == "3" and sorted(replica.conflicts("x").values()) == ["3", "eve!"]
    names = {name for name in dir(doc.changes()[0]) if not name.startswith("_")}
    assert names.isdisjoint({"clock", "lamport", "start_op", "priority"})


def test_24_far_future(doc, eve):
    """A document keeps no clock: a time of 2262 or before the flood is refused by nobody, and moves nobody's own."""
    for time in (INT64, 2**62, -INT64 - 1):
        lie = eve.forge(body=head(time) + SET_X)
        assert meets(doc, lie) == "applied"
        replica = doc.fork(BEN)
        replica.apply(lie)
        assert replica.changes()[-1].time == time
        replica["x"] = "later"
        assert replica.commit().time == 1000 and replica["x"] == "later"
        testing.assert_converged(replica, ck.Doc.load(replica.save()))


def test_24_far_future_then_far_past(doc):
    """Times as far apart as can be, in one lane and between honest ones: what is saved and sent can still be read.

    Their difference did not fit the column of times, so that after one liar's change nobody could load his own file.
    """
    f = testing.Forger(doc, EVE, seed=24)
    for time in (INT64, -INT64 - 1, 5, -INT64 - 1, INT64):
        lie = f.forge(body=head(time) + SET_X)
        assert meets(doc, lie) == "applied"
        f.advance(lie)
        doc.apply(lie)
        doc["t"].insert(0, "honest")
        doc.commit()
        f.advance(testing.join(doc.export(f.doc.heads), lie))
        fresh = ck.Doc(id=doc.id)
        ck.sync(doc, fresh)
        testing.assert_converged(doc, ck.Doc.load(doc.save()), fresh)
        assert [c.time for c in fresh.changes()] == [c.time for c in doc.changes()]


def test_25_backdating(doc, eve):
    """Old parents make a change old: it loses to what is newer, takes nothing away that it could not know of."""
    root = doc.changes()[0].id
    doc["x"] = "ada"
    doc["t"].delete(0, 5)
    doc["t"].insert(0, "new")
    doc.commit()
    f = testing.Forger(doc, EVE, seed=25)
    lies = [
        f.forge(lambda d: d.update(x="eve"), parents=[]),
        f.forge(lambda d: d["t"].insert(3, "!"), parents=[root]),  # beside what the root does not know
        f.forge(lambda d: d.pop("x"), parents=[]),
    ]
    for replica in in_every_order(doc, lies):
        assert replica["x"] == "ada" and str(replica["t"]) == "new"


def test_26_overflow(doc, eve):
    """Totals are exact whatever is added; an amount that does not fit 64 bits is void; the greatest seq is 2^32 - 2."""

    def count(by):
        return lambda d: [d["c"].__iadd__(by) for _ in range(1000)]

    amounts = (INT64, INT64, -INT64 - 1)
    bundles = [testing.Forger(doc, EVE, seed=k).forge(count(by)) for k, by in enumerate(amounts)]
    for replica in in_every_order(doc, bundles):
        assert replica["c"].value == 1000 * sum(amounts) > 2**64
        assert int(ck.Doc.load(replica.save())["c"]) == 1000 * sum(amounts)
    counter = b"\2\x09"  # over the only parent: the item that made it
    assert meets(doc, eve.forge(body=b"\0\0" + op(10, counter, wire.varint(2**64 - 1)))) == "applied"  # -2^63
    assert meets(doc, eve.forge(body=b"\0\0" + op(10, counter, b"\x80" * 9 + b"\2"))) == "void"  # 2^64

    unknown = b"\7" * 32
    assert meets(doc, eve.forge(put("x"), prev=unknown, seq=2**32 - 2)) == "waiting"
    for seq in (2**32 - 1, 2**32, 2**64 - 1):
        assert meets(doc, eve.forge(put("x"), prev=unknown, seq=seq)) == "refused"
    doc["t"].insert(0, "goes on, ")
    assert str(doc["t"]) == "goes on, hello"


# ---- rows 61 and 62: what operations say of places and of each other


def test_61_origins_that_never_were_neighbours():
    """Left of each other, far apart, in another container: placed by the tree alike everywhere, or void."""
    doc = ck.Doc(ADA, id=bytes(32), clock=lambda: 5)
    with doc.change():  # items: 0, then 1 to 6; 7, then 8 and 9; 10, then 11 to 13
        doc["t"] = ck.Text("abcdef")
        doc["l"] = [7, 8]
        doc["u"] = ck.Text("xyz")

    def insert(left, right, text=b"?", seed=61):
        places = [b"\0" if item is None else b"\2" + wire.varint(item) for item in (left, right)]
        return testing.Forger(doc, EVE, seed=seed).forge(body=b"\0\0" + op(1, *places, text))

    assert meets(doc, insert(2, 3)) == "applied"
    for left, right in [(2, 11), (12, 3), (8, None), (None, 9), (0, None), (7, 3), (2, 9), (6, 10)]:
        assert meets(doc, insert(left, right)) == "void"
    places = [(5, 2), (1, 6), (3, 3), (6, 1), (4, None), (None, 4), (2, 5), (6, 6), (1, 3), (3, 4)]
    bundles = [insert(left, right, b"%d" % k, seed=k) for k, (left, right) in enumerate(places)]
    verdicts = [meets(doc, bundle) for bundle in bundles]
    assert set(verdicts) == {"applied", "void"} and verdicts.count("applied") >= 3

    oracle, rng = Replica(doc.id), random.Random(61)
    oracle.apply(doc.export())
    oracle.apply(testing.join(*bundles))
    for _ in range(60):
        replica = doc.fork()
        for bundle in rng.sample(bundles, len(bundles)):
            replica.apply(bundle)
        assert replica.root == oracle.root and replica.to_py() == oracle.to_py()


OWN = b"\1\1"  # the item made last
TEXT, LIST, MAP, SET, COUNTER = (op(3, b"\0\1x", bytes([tag]) + b"\0") for tag in (20, 17, 16, 18, 19))
TYPED, LISTED = op(1, b"\0\0", OWN, b"ab"), op(5, b"\0\0", OWN, b"\3\1\2\3\1\4")
LEAN = {
    "typed into an own text": ([TEXT, TYPED], "ab"),
    "typed behind own typing": ([TEXT, TYPED, op(1, b"\1\2", OWN, b"-")], "a-b"),
    "typed before own typing": ([TEXT, TYPED, op(1, b"\0", b"\1\2", b"-")], "-ab"),
    "own typing deleted": ([TEXT, TYPED, op(2, OWN, b"\1")], "a"),
    "own container deleted": ([TEXT, op(2, OWN, b"\1")], None),
    "own typing marked": ([TEXT, TYPED, op(11, b"\2", b"\1\2", OWN, b"\1b", b"\2\0")], "ab"),
    "an own list filled": ([LIST, LISTED], [1, 2]),
    "an own element assigned": ([LIST, LISTED, op(6, OWN, b"\3\1\6")], [1, 3]),
    "an own element moved": ([LIST, LISTED, op(7, OWN, b"\0", b"\1\2")], [2, 1]),
    "an own map filled": ([MAP, op(3, OWN, b"\1k", b"\3\1\2")], {"k": 1}),
    "an own key erased": ([MAP, op(3, OWN, b"\1k", b"\3\1\2"), op(4, b"\1\2", b"\1k")], {}),
    "an own set filled": ([SET, op(8, OWN, b"\3\1\2")], {1}),
    "an own counter counted": ([COUNTER, op(10, OWN, b"\2")], 1),
}
FORWARD = {
    "typed into what comes later": [op(1, b"\0\0", OWN, b"ab"), TEXT],
    "typed behind what comes later": [TEXT, op(1, b"\1\0", b"\0", b"ab")],
    "deleted up to what comes later": [TEXT, TYPED, op(2, OWN, b"\2"), op(1, b"\1\2", OWN, b"-")],
    "deleted before it is typed": [TEXT, op(2, OWN, b"\2"), TYPED],
    "deleted twice": [TEXT, TYPED, op(2, OWN, b"\1"), op(2, OWN, b"\1")],
    "marked up to what comes later": [TEXT, op(11, b"\2", b"\0", b"\1\0", b"\1b", b"\2\0"), TYPED],
    "assigned before it is an element": [LIST, op(6, OWN, b"\3\1\6"), LISTED],
    "moved after it was deleted": [LIST, LISTED, op(2, OWN, b"\1"), op(7, OWN, b"\0", b"\1\2")],
    "a text counted": [TEXT, op(10, OWN, b"\2")],
    "a list typed into": [LIST, TYPED],
    "two inserts at one place": [TEXT, TYPED, op(1, b"\1\2", OWN, b"-"), op(1, b"\1\3", b"\1\2", b"+")],
}


@pytest.mark.parametrize("name", LEAN)
def test_62_operations_that_lean_on_each_other(doc, name):
    """What a change made earlier counts as its past."""
    ops, shown = LEAN[name]
    bundle = testing.Forger(doc, EVE, seed=62).forge(body=b"\0\0" + b"".join(ops))
    assert meets(doc, bundle) == "applied"
    doc.apply(bundle)
    assert doc.to_py().get("x") == shown == ck.Doc.load(doc.save()).to_py().get("x")


@pytest.mark.parametrize("name", FORWARD)
def test_62_operations_that_lean_forward(doc, name):
    """What comes later does not."""
    bundle = testing.Forger(doc, EVE, seed=62).forge(body=b"\0\0" + b"".join(FORWARD[name]))
    assert meets(doc, bundle) == "void"
    doc.apply(bundle)
    assert "x" not in doc and "x" not in ck.Doc.load(doc.save())
