"""What a Forger makes, and what replicas make of it. The oracle, which knows no Forger, judges along."""

import itertools
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import wire
from oracle.model import Replica

ADA, BEN, CYD, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in range(4))
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the group in which signatures live
UNKNOWN = b"\x77" * 32


def paper():
    """A document of three authors with two heads, BEN's and CYD's."""
    doc = ck.Doc(ADA, clock=lambda: 1000)
    doc["t"] = ck.Text("hello world")
    doc["l"] = [1, 2, 3]
    doc["n"] = {"deep": {"a": 1}}
    doc["s"] = {1, 2}
    doc["c"] = ck.Counter(5)
    doc.commit()
    ben, cyd = doc.fork(BEN), doc.fork(CYD)
    ben["t"].insert(3, "BEN")
    ben["l"].append("ben")
    ben.setdefault("both", {})["ben"] = 1
    cyd["t"].insert(7, "CYD")
    cyd["l"].insert(0, "cyd")
    cyd.setdefault("both", {})["cyd"] = 1
    doc.merge(ben)
    doc.merge(cyd)
    assert len(doc.heads) == 2
    return doc


def head_of(doc, author):
    (id,) = (change.id for change in doc.changes() if change.id in doc.heads and change.author == author.public_key)
    return id


def everywhere(doc):
    """A bit of everything that can be named, by everybody."""
    doc["t"].insert(4, "zz")
    doc["t"].delete(0, 2)
    doc["t"].mark(2, 9, "bold", True)
    doc["l"][1] = 5
    doc["l"].move(0, 3)
    doc["l"].insert(2, {"new": ck.Text("inner")})
    doc["l"][2]["new"].insert(2, "!")
    doc["n"]["deep"]["b"] = 2
    doc["s"].add(7)
    doc["s"].discard(1)
    doc["c"] += 3
    doc["both"]["eve"] = 1
    del doc["n"]["deep"]["a"]
    doc["n"]["deep"]["a"] = 2


def put(key, value=1):
    return lambda doc: doc.update({key: value})


def forger(doc=None, seed=0):
    return testing.Forger(paper() if doc is None else doc, EVE, seed=seed)


def last(bundle):
    return wire.take_apart(bundle)[-1].id


def state(doc):
    return doc.root, doc.heads, doc.to_py(), doc.waiting, [e.proof for e in doc.equivocations()]


def verdict(doc, bundle):
    """Of the last change of the bundle, and the report."""
    later = doc.stats()["later"]
    report = doc.apply(bundle)
    id = last(bundle)
    met = [name for name in ("applied", "void", "waiting") if id in getattr(report, name)]
    met += ["refused" for refusal in report.refused if refusal.id == id]
    if doc.stats()["later"] > later:
        assert id not in doc.waiting
        met = ["later"]
    (one,) = met or ["known"]
    return one, report


def oracle_of(doc):
    replica = Replica(doc.id)
    replica.apply(doc.export())
    assert replica.root == doc.root
    return replica


def oracle_verdict(replica, bundle):
    report, id = replica.apply(bundle), last(bundle)
    met = [name for name in ("applied", "void", "waiting", "later") if id in getattr(report, name)]
    met += ["refused" for refused, _ in report.refused if refused == id]
    (one,) = met or ["known"]
    return one


def judged_alike(doc, bundle):
    """The verdict of the core and of the oracle, on replicas that are left alike."""
    replica = oracle_of(doc)
    found, _ = verdict(doc, bundle)
    assert oracle_verdict(replica, bundle) == found
    assert replica.root == doc.root
    return found


# ---- what a forged change meets with


def malleable(message):
    signature = EVE._sign(message)
    s = int.from_bytes(signature[32:], "little") + ORDER
    return signature[:32] + s.to_bytes(32, "little")


SMALL = [  # encodings of points of small order
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
]
LONG = b"\0\0" + b"\3\6\0\1k\2\0" * 9  # a body that is not inline

REFUSED = {
    "ver": dict(ver=2),
    "ver 0": dict(ver=0),
    "ver as long as can be": dict(ver=2**64 - 1),
    "type of a datastore": dict(type=2),
    "type 0": dict(type=0),
    "doc_id": dict(doc_id=UNKNOWN),
    "doc_id with the lane of the real one": lambda f: dict(doc_id=UNKNOWN, lane_id=f.lane),
    "lane_id of nobody": dict(lane_id=UNKNOWN),
    "lane_id with another nonce": lambda f: dict(lane_id=f.lane, nonce=bytes(16)),
    "lane_id with another author": lambda f: dict(lane_id=f.lane, author=BEN.public_key),
    "author": dict(author=BEN.public_key),
    "lane_id of somebody else": lambda f: dict(lane_id=f.doc.changes()[0].lane),
    "the lane of somebody else, in order": lambda f: dict(
        lane_id=next(c for c in f.doc.changes() if c.author == BEN.public_key).lane,
        prev=head_of(f.doc, BEN),
        parents=[head_of(f.doc, CYD)],
    ),
    "seq 2**32 - 1": lambda f: dict(seq=2**32 - 1, prev=f.doc.heads[0]),
    "seq 2**32": lambda f: dict(seq=2**32, prev=f.doc.heads[0]),
    "seq 2**64 - 1": lambda f: dict(seq=2**64 - 1, prev=f.doc.heads[0]),
    "seq 0 with prev": lambda f: dict(seq=0, prev=f.doc.heads[0]),
    "seq without prev": dict(seq=1),
    "parents unsorted": lambda f: dict(parents=f.doc.heads[::-1]),
    "parents repeated": lambda f: dict(parents=[f.doc.heads[0], *f.doc.heads]),
    "33 parents": dict(parents=[bytes([k]) * 32 for k in range(33)]),
    "99 parents": lambda f: dict(parents=sorted([*f.doc.heads, *(bytes([k]) * 32 for k in range(97))])),
    "n_ops": dict(n_ops=2**24 + 1),
    "n_ops as large as can be": dict(n_ops=2**64 - 1),
    "body_len of a short body": dict(body=b"\0\0", body_len=3),
    "body_len of a long body": dict(body=LONG, body_len=len(LONG) + 1),
    "body_len 2**24 + 1": dict(body=LONG, body_len=2**24 + 1),
    "body_len 0": dict(body=LONG, body_len=0),
    "body_hash": dict(body=LONG, body_hash=UNKNOWN),
    "a hash where the body is short": dict(body=b"\0\0", body_hash=wire.digest(b"crdtkv-body-v1", b"\0\0")),
    "a hash where the body is as short as a hash": dict(body=bytes(32), body_hash=UNKNOWN),
    "signature missing": dict(signature=b""),
    "signature of zeros": dict(signature=bytes(64)),
    "signature by another key": dict(sign_with=BEN),
    "signature of something else": dict(signature=lambda message: EVE._sign(message + b"!")),
    "signature of another place": dict(signature=lambda m: EVE._sign(m[:77] + b"\1\0\0\0" + m[81:])),
    "signature without the domain": dict(signature=lambda message: EVE._sign(message[13:])),
    "signature with S + L": dict(signature=malleable),
    "signature with a small-order R and S = 0": dict(signature=SMALL[1] + bytes(32)),
    **{f"small-order key {k}": dict(author=key, signature=SMALL[1] + bytes(32)) for k, key in enumerate(SMALL)},
    "key_epoch": dict(key_epoch=bytes(32)),
    "key_epoch 1": dict(key_epoch=1),
}
WAITING = {
    "parent unknown": dict(parents=[UNKNOWN]),
    "parent unknown beside known ones": lambda f: dict(parents=sorted([UNKNOWN, *f.doc.heads])),
    "32 parents unknown": dict(parents=[bytes([k]) * 32 for k in range(32)]),
    "prev unknown": dict(seq=1, prev=UNKNOWN),
    "prev unknown, seq follows": dict(prev=UNKNOWN),
    "prev unknown, far away": dict(seq=2**32 - 2, prev=UNKNOWN),
}
VOID = {
    "n_ops too great": dict(n_ops=2),
    "n_ops 0": dict(n_ops=0),
    "n_ops as great as may be": dict(n_ops=2**24),
    "body empty": dict(body=b""),
    "body does not decode": dict(body=b"\xff"),
    "a long body does not decode": dict(body=b"\xff" * 1000),
    "SET in nothing": dict(body=b"\0\0\3\6\1\1\1k\2\0"),
    "DELETE of nothing": dict(body=b"\0\0\2\3\1\1\1"),
    "INSERT beside nothing": dict(body=b"\0\0\1\4\1\1\0x"),
    "COUNT of the root": dict(body=b"\0\0\x0a\2\0\2"),
}
LATER = {
    "an op kind": dict(body=b"\0\0\x4d\1x"),
    "a value tag": dict(body=b"\0\0\3\6\0\1k\x0c\1x"),
    "a flag": dict(body=b"\4\0"),
}


def fields(case, f):
    return case(f) if callable(case) else case


TABLE = [
    (expected, name, case)
    for expected, cases in (("refused", REFUSED), ("waiting", WAITING), ("void", VOID), ("later", LATER))
    for name, case in cases.items()
]


@pytest.mark.parametrize("expected, name, case", TABLE, ids=lambda x: x if isinstance(x, str) else "")
def test_what_a_forged_change_meets_with(expected, name, case):
    doc = paper()
    f = forger(doc)
    here, there = state(doc), state(f.doc)
    bundle = f.forge(None if "body" in fields(case, f) else put("x"), **fields(case, f))
    assert state(doc) == here and state(f.doc) == there  # nobody has moved

    assert judged_alike(doc.fork(), bundle) == expected
    replicas = [doc.fork() for _ in range(3)]
    honest = doc.fork(BEN)
    honest["later"] = "honest"
    news = honest.export(doc.heads)
    for replica, order in zip(replicas, [(bundle, news), (news, bundle), (bundle, bundle, news, bundle)]):
        before = state(replica)
        for data in order:
            found, report = verdict(replica, data)
            if data is bundle:
                assert found in (expected, "known")
                if expected == "refused":
                    assert not report and len(report.refused) == 1
        assert state(replica)[0] == before[0] or replica["later"] == "honest"
    testing.assert_converged(*replicas)
    testing.assert_converged(*(replicas if expected == "void" else [*replicas, honest]))
    for replica in replicas:
        ids = {change.id: change for change in replica.changes()}
        assert replica.to_py() == honest.to_py()
        assert (last(bundle) in ids) == (expected == "void")
        assert (last(bundle) in replica.waiting) == (expected == "waiting")
        assert replica.stats()["later"] == (expected == "later")
        if expected == "void":
            assert ids[last(bundle)].void
        assert replica.equivocations() == []


@pytest.mark.parametrize("name", ["prev of another lane", "seq jumps", "a parent of the own lane"])
def test_lies_about_an_ancestor_are_refused_when_it_is_here(name):
    doc = paper()
    f = forger(doc)
    first = f.forge(put("x"))
    f.advance(first)
    lies = {
        "prev of another lane": dict(prev=head_of(doc, BEN), parents=[]),
        "seq jumps": dict(seq=2),
        "a parent of the own lane": dict(parents=[last(first)]),
    }
    bundle = f.forge(**lies[name])
    early, late = doc.fork(), doc.fork()
    assert judged_alike(doc.fork(), testing.join(first, bundle)) == "refused"
    early.apply(first)
    assert verdict(early, bundle)[0] == "refused"
    found, _ = verdict(late, bundle)
    assert found == ("refused" if name == "prev of another lane" else "waiting")
    report = late.apply(first)
    assert last(first) in report.applied and not late.waiting
    testing.assert_converged(early, late)
    assert last(bundle) not in {change.id for change in late.changes()}


def body_of(bundle):
    """The bytes of the body of the last change."""
    part = wire.take_apart(bundle)[-1]
    if part.form:
        return part.body
    reader = wire.Reader(part.header)
    for _ in range(3):
        reader.varint()
    for _ in range(2):
        reader.take(32 * reader.varint())  # prev, parents
    reader.varint()
    reader.take(32 * reader.varint())  # epoch
    return reader.take(reader.varint())


def test_containers_may_be_256_deep():
    doc = ck.Doc(ADA)
    top = bottom = {}
    for _ in range(254):
        bottom["d"] = bottom = {}
    doc["d"] = top
    f = forger(doc)

    def one_deeper(d):
        place = d["d"]
        while "d" in place:
            place = place["d"]
        place["d"] = {}

    body = body_of(f.forge(one_deeper))
    two_deeper = body + b"\3\6\1\1\1d\x10\0"  # a SET of an empty Map in what the operation before has made
    assert judged_alike(doc.fork(), f.forge(body=body)) == "applied"
    assert judged_alike(doc.fork(), f.forge(body=two_deeper)) == "void"


def test_a_void_change_may_be_built_upon():
    doc = paper()
    f = forger(doc)
    void = f.forge(put("x"), n_ops=9)
    f.advance(void)
    child = f.forge(put("y"))
    ben = doc.fork(BEN)
    ben.apply(void)
    ben["z"] = 1
    parent = ben.export(doc.heads)
    replicas = [doc.fork() for _ in range(3)]
    for replica, order in zip(replicas, [(void, child, parent), (parent, child, void), (child, void, parent)]):
        for bundle in order:
            assert not replica.apply(bundle).refused
        assert replica["y"] == 1 and replica["z"] == 1 and "x" not in replica and not replica.waiting
    testing.assert_converged(*replicas)


def test_what_is_later_is_kept_and_forwarded_and_never_a_parent():
    doc = paper()
    f = forger(doc)
    later = f.forge(body=b"\0\0\x4d\1x")
    f.advance(later)
    child = f.forge(put("y"))
    replica = doc.fork()
    assert verdict(replica, later)[0] == "later"
    assert verdict(replica, child)[0] == "waiting"
    copy = doc.fork()
    copy.apply(replica.export(doc.heads))
    for one in (replica, copy):
        assert one.stats()["later"] == 1 and one.root == doc.root and one.heads == doc.heads


def test_an_unsigned_tail_is_applied_when_it_comes_again_under_a_signature():
    doc = paper()
    bundles = forger(doc).chain([put("x"), put("y"), put("z")], sign="last")
    for bundle in bundles[:2]:
        report = doc.apply(bundle)
        assert [r.reason for r in report.refused] == ["unsigned"] and "x" not in doc and not doc.waiting
    assert judged_alike(doc, testing.join(*bundles)) == "applied"
    assert doc["x"] == doc["y"] == doc["z"] == 1
    assert [change.signed for change in doc.changes() if change.author == EVE.public_key] == [True] * 3


def test_a_waiting_change_that_comes_again_with_its_unsigned_ancestors_covers_them():
    doc = paper()
    one, two = forger(doc).chain([put("x"), put("y")], sign="last")
    assert verdict(doc, two)[0] == "waiting"
    report = doc.apply(testing.join(one, two))
    assert set(report.applied) == {last(one), last(two)} and not doc.waiting


# ---- what the body says under another header


def honest_effect(f, edit):
    doc = f.doc.fork(BEN)
    doc.apply(f.forge(edit))
    return doc.to_py()


@pytest.mark.parametrize("advanced", [False, True])
def test_more_parents_name_the_same_things(advanced):
    doc = paper()
    f = forger(doc)
    if advanced:
        f.advance(f.forge(everywhere))
    wanted = honest_effect(f, everywhere)
    older = [change.id for change in doc.changes() if change.id not in doc.heads]
    for extra in ([], older):
        bundle = f.forge(everywhere, parents=sorted([*doc.heads, *extra]))
        replica = f.doc.fork(BEN)
        assert judged_alike(replica, bundle) == "applied"
        assert replica.to_py() == wanted
        assert ck.Doc.load(replica.save()) == replica


def test_fewer_parents_name_the_same_things():
    doc = paper()
    f = forger(doc)
    ben, cyd = head_of(doc, BEN), head_of(doc, CYD)

    def ada_only(d):
        d["t"].insert(0, "oh, ")
        d["n"]["deep"]["b"] = 2
        d["c"] += 1

    def beside_ben(d):
        d["t"].delete(str(d["t"]).index("BEN"), 2)
        d["both"]["eve"] = 1

    for edit, fits in ((ada_only, [[], [ben], [cyd], [ben, cyd]]), (beside_ben, [[ben], [ben, cyd]])):
        wanted = honest_effect(f, edit)
        for parents in ([], [ben], [cyd], [ben, cyd]):
            root = [doc.changes()[0].id]
            bundle = f.forge(edit, parents=sorted(parents or root))
            replica = doc.fork()
            expected = "applied" if parents in fits else "void"
            assert judged_alike(replica, bundle) == expected
            assert replica.to_py() == (wanted if expected == "applied" else doc.to_py())


def test_without_parents_everything_is_out_of_reach():
    f = forger()
    assert judged_alike(f.doc.fork(), f.forge(everywhere, parents=[])) == "void"
    assert judged_alike(f.doc.fork(), f.forge(put("k"), parents=[])) == "applied"


def test_what_an_advanced_forger_knows_through_its_own_lane():
    f = forger()
    f.advance(f.forge(everywhere))
    for parents in ([], f.doc.heads[:0]):
        assert judged_alike(f.doc.fork(), f.forge(everywhere, parents=parents)) == "applied"


def test_parents_out_of_order_keep_their_names():
    """Refused, but the body is the one that this order asks for: names by the first parent that can."""
    doc = paper()
    f = forger(doc)
    ben, cyd = head_of(doc, BEN), head_of(doc, CYD)

    def beside_ben(d):
        d["t"].delete(str(d["t"]).index("BEN"), 2)

    def target(*parents):
        return tuple(body_of(f.forge(beside_ben, parents=parents))[-3:-1])

    offset = target(ben)[1]
    assert target(ben) == target(ben, cyd) == target(ben, cyd, ben) == (2, offset)
    assert target(cyd, ben) == target(UNKNOWN, ben) == (3, offset)
    assert target(UNKNOWN, cyd, ben) == (4, offset)


def test_a_forged_seq_alone_changes_no_name():
    f = forger()
    f.advance(f.forge(everywhere))
    honest, forged = f.forge(everywhere), f.forge(everywhere, seq=7)
    assert body_of(honest) == body_of(forged) and last(honest) != last(forged)


def test_a_fork_from_further_back():
    doc = paper()
    f = forger(doc)
    first, second = f.chain([everywhere, put("x")])
    f.advance(first)
    f.advance(second)
    again = f.forge(put("y"), prev=last(first))  # seq follows
    for order in itertools.permutations([first, second, again]):
        replica = doc.fork()
        for bundle in order:
            assert not replica.apply(bundle).refused
        assert replica["x"] == replica["y"] == 1
        ((seq, a, b),) = [(e.seq, e.a, e.b) for e in replica.equivocations()]
        assert seq == 1 and {a, b} == {last(second), last(again)}


def test_one_own_lane_can_be_forked_by_its_own_key():
    """lane_id of a lane that is here brings its true author and nonce."""
    doc = paper()
    mine = doc.fork(EVE)
    mine["x"] = 1
    f = testing.Forger(mine, EVE)
    (change,) = mine.changes(doc.heads)
    bundle = f.forge(put("y"), lane_id=change.lane, parents=change.parents)
    replica = mine.fork()
    assert judged_alike(replica, bundle) == "applied"
    assert replica["x"] == replica["y"] == 1 and len(replica.equivocations()) == 1


def test_a_sibling_as_prev():
    doc = paper()
    f = forger(doc)
    a, b = f.fork(put("x"), everywhere)
    f.advance(a)
    f.doc.apply(b)  # back from a stranger
    on_b = f.forge(put("y"), prev=last(b))
    replica = doc.fork()
    for bundle in (a, b, on_b):
        assert judged_alike(replica, bundle) == "applied"


# ---- where a forger stands


def test_a_new_forger():
    doc = paper()
    f = testing.Forger(doc, EVE)
    bundle = f.forge()
    (part,) = wire.take_apart(bundle)
    replica = doc.fork()
    replica.apply(bundle)
    (change,) = replica.changes(doc.heads)
    assert (change.seq, change.prev, change.parents, change.lane) == (0, None, doc.heads, f.lane)
    assert change.author == EVE.public_key and change.n_ops == 1 and change.id == part.id
    assert len(f.lane) == 32 and f.doc == doc and f.doc is not doc and repr(f).startswith("<Forger")
    assert testing.Forger(doc, EVE).lane != f.lane
    assert testing.Forger(doc, EVE).forge() != bundle


def test_one_of_an_empty_document():
    doc = ck.Doc(ADA, id=bytes(32))
    f = forger(doc)
    a, b = f.fork(put("x"), put("y"))
    assert doc.apply(a) and doc.apply(b) and len(doc.equivocations()) == 1


def test_equal_seeds_tell_equal_lies():
    doc = paper()
    one, two, other = forger(doc, 7), forger(doc, 7), forger(doc, 8)
    for f in (one, two, other):
        f.advance(f.forge())
    assert one.lane == two.lane != other.lane
    assert one.forge() == two.forge() != other.forge()
    assert one.fork(None, [None, put("k")]) == two.fork(None, [None, put("k")])
    assert one.chain([None] * 3) == two.chain([None] * 3)
    assert one.bomb(10**6) == two.bomb(10**6)


def test_nothing_moves_but_by_advance():
    doc = paper()
    f = forger(doc)
    before, inside = state(doc), state(f.doc)
    siblings = [f.forge(everywhere), *f.fork(everywhere, [everywhere, put("x")], None), *f.chain([put("y")])]
    f.bomb(1 << 20)
    assert state(doc) == before and state(f.doc) == inside
    ids = {wire.take_apart(bundle)[0].id for bundle in siblings}
    assert len(ids) == 3  # the edit that is made thrice makes the same change
    f.advance(siblings[0])
    assert state(doc) == before and f.doc.root != inside[0]
    assert verdict(f.doc.fork(), f.forge())[0] == "applied"
    replica = doc.fork()
    for bundle in siblings:
        replica.apply(bundle)
    ((seq, lane),) = [(e.seq, e.lane) for e in replica.equivocations()]
    assert (seq, lane) == (0, f.lane)


def test_an_edit_that_raises_leaves_nothing():
    f = forger()
    before = state(f.doc)

    def fail(doc):
        doc["x"] = 1
        raise KeyError("enough")

    for make in (f.forge, f.fork, lambda edit: f.chain([put("a"), edit])):
        with pytest.raises(KeyError, match="enough"):
            make(fail)
    assert state(f.doc) == before
    assert verdict(f.doc.fork(), f.forge(lambda doc: doc.pop("x", 0)))[0] == "applied"


def test_an_edit_is_one_change():
    f = forger()
    with pytest.raises(RuntimeError):
        f.forge(lambda doc: doc.commit())
    replica = f.doc.fork()
    report = replica.apply(f.forge(lambda doc: [doc["t"].insert(0, "abc") for _ in range(100)]))
    assert len(report.applied) == 1 and replica.changes()[-1].n_ops == 300


def test_advance_goes_on():
    doc = paper()
    f = forger(doc)
    bundles = []
    for k in range(5):
        bundles.append(f.forge(lambda d, k=k: d["t"].insert(k, str(k))))
        f.advance(bundles[-1])
    for order in (bundles, bundles[::-1]):
        replica = doc.fork()
        for bundle in order:
            replica.apply(bundle)
        assert str(replica["t"]).startswith("01234") and replica.equivocations() == []
        testing.assert_converged(replica, f.doc)


def test_advance_takes_what_came_unsigned():
    doc = paper()
    f = forger(doc)
    for bundle in f.chain([put("x"), put("y")], sign="none"):
        f.advance(bundle)
    assert f.doc["y"] == 1
    assert verdict(doc, f.forge(put("z")))[0] == "waiting"


def test_advance_takes_own_bundles_only():
    doc = paper()
    f = forger(doc)
    for wrong in (doc.export(), forger(doc, 1).forge(), f.forge(nonce=bytes(16))):
        with pytest.raises(ValueError):
            f.advance(wrong)
    with pytest.raises(ck.DecodeError):
        f.advance(b"no bundle")
    assert f.doc.root == doc.root


def test_a_forger_hears_of_the_world():
    """What its document takes in are parents of what it makes next, but for what is of its own lane."""
    doc = paper()
    f = forger(doc)
    a, b = f.fork(put("x"), put("y"))
    f.advance(a)
    ben = doc.fork(BEN)
    ben.apply(b)
    f.doc.merge(ben)
    assert judged_alike(ben.fork(), testing.join(a, f.forge(everywhere))) == "applied"
    ben["w"] = 1  # on top of the sibling
    f.doc.merge(ben)
    bundle = f.forge(everywhere)
    replica = ben.fork()
    assert judged_alike(replica, testing.join(a, bundle)) == "applied"
    change = replica.changes()[-1]
    assert change.prev == last(a) and set(change.parents) == set(ben.heads)


def crowd(n):
    """A document with n heads."""
    doc = ck.Doc(ADA)
    doc["t"] = ck.Text("x")
    doc.commit()
    copies = [doc.fork() for _ in range(n)]
    for k, copy in enumerate(copies):
        copy[str(k)] = k
    for copy in copies:
        doc.apply(copy.export())
    assert len(doc.heads) == n
    return doc


def test_many_heads_need_knots():
    doc = crowd(70)
    f = forger(doc)
    for bundle in (f.forge(put("x")), *f.fork(put("x"), [put("x"), put("y")]), *f.chain([put("x")])):
        replica = doc.fork()
        report = replica.apply(bundle)
        assert len(report.applied) == len(wire.take_apart(bundle)) >= 3 and not report.refused
        assert len(replica.heads) == 1 and replica["x"] == 1


def test_no_local_limit_binds_a_liar():
    doc = ck.Doc(ADA)
    f = forger(doc)
    stories = f.fork(*[None] * 1100)
    for story in stories:
        f.advance(story)
    assert f.doc.stats()["heads"] == 1100
    taken = [bool(doc.apply(story)) for story in stories]
    assert taken == [True] * 1024 + [False] * 76
    assert verdict(doc, f.forge())[0] == "waiting"  # on the last story


def step_by_step(depth):
    def edit(doc):
        place = doc
        for _ in range(depth):
            place["x"] = {}
            place = place["x"]
        assert place.to_py() == {} and len(doc.to_py()) == 5

    return edit


def in_one_piece(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return put("x", value)


def by_default(depth):
    def edit(doc):
        place = doc
        for _ in range(depth):
            place = place.setdefault("x", {})

    return edit


@pytest.mark.parametrize("nest", [step_by_step, in_one_piece, by_default])
def test_a_liar_nests_deeper_than_others_take(nest):
    doc = ck.Doc(ADA)
    doc.update(zip("abcd", range(4), strict=True))
    f = forger(doc)
    before = f.doc.to_py()
    deep, deeper, deepest = (f.forge(nest(depth)) for depth in (256, 257, 1024))
    with pytest.raises(ck.LimitError):
        f.forge(nest(1025))
    assert f.doc.to_py() == before
    for wrong in (deeper, deepest):
        replica, oracle = doc.fork(), oracle_of(doc)
        assert verdict(replica, wrong)[0] == oracle_verdict(oracle, wrong) == "void"
        assert replica == doc and replica.root == oracle.root
    assert verdict(doc, deep)[0] == "applied"
    with pytest.raises(ck.LimitError):
        nest(257)(doc)


def test_a_liar_writes_longer_keys_and_larger_changes_than_others_take():
    doc = paper()
    f = forger(doc)
    for edit in (put("k" * 4097), put("x", {"é" * 2049: 1}), lambda doc: doc["t"].mark(0, 1, "m" * 4097, 1)):
        bundle = f.forge(edit)
        assert verdict(doc.fork(), bundle)[0] == oracle_verdict(oracle_of(doc), bundle) == "void"
        with pytest.raises(ck.LimitError):
            edit(doc)
    large = f.forge(lambda doc: doc.update(a=b"a" * (9 << 20), b=b"b" * (9 << 20)))
    assert verdict(doc, large)[0] == "refused" and doc == paper()


# ---- stories


def test_a_fork_is_an_equivocation_wherever_it_is_told():
    doc = paper()
    f = forger(doc)
    stories = f.fork(put("vote", "yes"), [put("vote", "no"), everywhere], None)
    assert len(stories) == 3
    replicas = []
    for order in itertools.permutations(stories):
        replicas.append(doc.fork())
        for story in order:
            report = replicas[-1].apply(story)
            assert not report.refused and len(report.applied) == len(wire.take_apart(story))
    testing.assert_converged(*replicas)
    ((author, lane, seq),) = [(e.author, e.lane, e.seq) for e in replicas[0].equivocations()]
    assert (author, lane, seq) == (EVE.public_key, f.lane, 0)
    (proof,) = [e.proof for e in replicas[0].equivocations()]
    assert ck.verify_equivocation(proof) == EVE.public_key and len(proof) <= 16384


def test_branches_are_lists_of_edits():
    f = forger()
    assert f.fork() == ()
    with pytest.raises(ValueError):
        f.fork(put("x"), [])


def test_long_branches_are_signed_in_time():
    doc = ck.Doc(ADA)
    doc["t"] = ck.Text("")
    f = forger(doc)
    n, big = 1500, 3
    (many, large) = f.fork([lambda d: d["t"].insert(0, "x")] * n, [lambda d: d["t"].insert(0, "y" * 200_000)] * big)
    for story, size in ((many, n), (large, big)):
        parts = wire.take_apart(story)
        assert len(parts) == size and parts[-1].signature
        assert sum(bool(part.signature) for part in parts) == 2
        report = doc.apply(story)
        assert len(report.applied) == size and not report.refused
    assert len(doc["t"]) == n + big * 200_000


# ---- chains


@pytest.mark.parametrize("sign", ["all", "last", "none"])
def test_chains(sign):
    doc = paper()
    bundles = forger(doc).chain([everywhere, put("x"), put("y"), None], sign=sign)
    signed = [bool(wire.take_apart(bundle)[0].signature) for bundle in bundles]
    assert signed == {"all": [True] * 4, "last": [False] * 3 + [True], "none": [False] * 4}[sign]
    replicas = [doc.fork() for _ in range(24)]
    for replica, order in zip(replicas, itertools.permutations(bundles)):
        for bundle in order:
            replica.apply(bundle)
        assert (replica.root != doc.root) == (sign == "all")
        assert replica.waiting == ((last(bundles[3]),) if sign == "last" else ())
    testing.assert_converged(*replicas)


def test_a_chain_of_one_edit_and_of_none():
    f = forger()
    assert f.chain([]) == [] and len(f.chain(iter([None]))) == 1
    with pytest.raises(ValueError):
        f.chain([None], sign="some")


def test_a_long_chain_in_reverse():
    doc = ck.Doc(ADA)
    doc["t"] = ck.Text("")
    bundles = forger(doc).chain([lambda d: d["t"].insert(len(d["t"]), "x")] * 2000)
    reverse = doc.fork()
    for bundle in reversed(bundles):
        reverse.apply(bundle)
    doc.apply(testing.join(*bundles))
    testing.assert_converged(doc, reverse)
    assert str(doc["t"]) == "x" * 2000


# ---- join and reseal


def test_join_in_all_orders():
    doc = paper()
    f = forger(doc)
    bundles = [*f.chain([put("x"), everywhere]), f.forge(put("z"), n_ops=4), doc.export()]
    alone = ck.Doc(id=doc.id)
    for bundle in reversed(bundles):
        alone.apply(bundle)
    for order in itertools.permutations(bundles):
        joined = testing.join(*order)
        assert [part.id for part in wire.take_apart(joined)] == [
            part.id for bundle in order for part in wire.take_apart(bundle)
        ]
        replica = ck.Doc(id=doc.id)
        replica.apply(joined)
        testing.assert_converged(alone, replica)
    assert alone.to_py() != doc.to_py() and len(alone.equivocations()) == 1


def test_join_keeps_what_is_forged():
    """Whatever a change meets with alone, it meets with beside a good one."""
    doc = paper()
    f = forger(doc)
    good = doc.fork(BEN)
    good["good"] = 1
    for expected, _, case in TABLE:
        bundle = f.forge(**fields(case, f))
        for order in ((bundle, good.export(doc.heads)), (good.export(doc.heads), bundle)):
            replica = doc.fork()
            joined = testing.join(*order)
            (alone,) = wire.take_apart(bundle)
            assert alone in wire.take_apart(joined)
            report = replica.apply(joined)
            assert replica["good"] == 1
            assert (alone.id in {r.id for r in report.refused}) == (expected == "refused")
            assert (alone.id in report.void) == (expected == "void")
            assert replica.stats()["later"] == (expected == "later")


def test_one_bad_among_many_spoils_nothing():
    doc = paper()
    f = forger(doc)
    bundles = f.chain([None] * 300)
    bad = f.forge(signature=bytes(64))
    report = doc.apply(testing.join(*bundles[:150], bad, *bundles[150:]))
    assert len(report.applied) == 300 and [r.id for r in report.refused] == [last(bad)]


def test_join_of_what_replicas_export():
    """Columns, several lanes, void ones, marks and messages: in raw form it is the same document."""
    random.seed(5)
    doc = paper()
    doc.apply(forger(doc).forge(put("v"), n_ops=3))
    with doc.change("a message"):
        everywhere(doc)
    for _ in range(50):
        doc["t"].insert(random.randrange(len(doc["t"])), "typed")
        doc.commit()
    (whole, some) = doc.export(), doc.export(since=doc.changes()[20].parents)
    for joined in (testing.join(whole), testing.join(some, whole), testing.join(whole, some)):
        copy = ck.Doc.load(joined)
        testing.assert_converged(doc, copy)
        assert [c.message for c in copy.changes()] == [c.message for c in doc.changes()]
    assert oracle_of(doc).root == doc.root


def test_what_cannot_be_joined():
    doc = paper()
    empty = ck.Doc(id=doc.id).export()
    assert not doc.apply(testing.join(empty, empty))
    with pytest.raises(ValueError, match="nothing"):
        testing.join()
    with pytest.raises(ValueError, match="several"):
        testing.join(doc.export(), ck.Doc(id=bytes(32)).export())
    with pytest.raises(ck.DecodeError):
        testing.join(doc.export(), b"no bundle")
    with pytest.raises(TypeError):
        testing.join("text")


def test_a_founder_is_kept():
    doc = ck.Doc(ADA)
    doc["a"] = 1
    bundle = testing.Forger(doc, EVE).forge()
    assert wire.head_of(bundle) == wire.head_of(doc.export()) and len(wire.head_of(bundle)) == 85
    named = ck.Doc(ADA, id=bytes(32))
    assert len(wire.head_of(testing.Forger(named, EVE).forge())) == 37


def test_reseal():
    data = paper().export()
    for at in (0, 50, len(data) - 1):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert testing.reseal(data) == data == testing.reseal(data[:-8] + bytes(8))
        sealed = testing.reseal(flipped)
        assert (sealed == data) == (at >= len(data) - 8) and testing.reseal(sealed) == sealed
    with pytest.raises(ValueError):
        testing.reseal(b"short")


# ---- bombs


@pytest.mark.parametrize("size", [1 << 20, 1 << 24, 10**9, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_a_bomb_is_refused(size):
    doc = paper()
    bomb = forger(doc).bomb(size)
    before = state(doc)
    assert len(bomb) <= 1 << 16
    with pytest.raises(ck.DecodeError, match="64 times"):
        doc.apply(bomb)
    assert state(doc) == before


def test_a_bomb_is_what_it_claims():
    """Small ones are good bundles: what they hold is correctly signed, and they unpack to what they say."""
    zstandard = pytest.importorskip("zstandard")
    doc = paper()
    f = forger(doc)
    for size in (*range(400, 1000), 5000, 8000):
        bomb = f.bomb(size)
        replica = doc.fork()
        assert verdict(replica, bomb)[0] == "applied"
    for size in (10**6, 10**7):
        frame = f.bomb(size)[len(wire.head_of(doc.export())) + 1 :]
        frame = frame[frame.index(bytes.fromhex("28b52ffd")) : -8]
        assert len(zstandard.ZstdDecompressor().decompress(frame)) == size
    for size in (0, 100, -1):
        with pytest.raises(ValueError):
            f.bomb(size)


# ---- what cannot be written


def test_what_cannot_be_written():
    f = forger()
    for name in ("ver", "type", "seq", "n_ops", "body_len"):
        wire.take_apart(f.forge(**{name: 2**64 - 1}))
        for value in (2**64, 2**70, -1):
            with pytest.raises(OverflowError):
                f.forge(**{name: value})
        with pytest.raises(TypeError):
            f.forge(**{name: "1"})
    with pytest.raises(OverflowError):
        f.forge(key_epoch=2**256)
    for name in ("lane", "clock", "id", "message", "epoch"):
        with pytest.raises(TypeError, match=name):
            f.forge(**{name: 1})
    for name in ("doc_id", "lane_id", "prev", "body_hash", "author", "nonce", "key_epoch"):
        with pytest.raises(ValueError, match=name):
            f.forge(**{name: b"short"})
        with pytest.raises(TypeError):
            f.forge(**{name: "text"})
    with pytest.raises(ValueError):
        f.forge(parents=[b"short"])
    for signature in (b"short", lambda message: bytes(65)):
        with pytest.raises(ValueError):
            f.forge(signature=signature)


def test_the_message_to_sign():
    doc = paper()
    f = forger(doc)
    heard = []

    def sign(message):
        heard.append(message)
        return EVE._sign(message)

    bundle = f.forge(put("x"), signature=sign)
    (message,) = heard
    assert message == b"crdtkv-sig-v1" + doc.id + f.lane + bytes(4) + last(bundle)
    assert judged_alike(doc, bundle) == "applied"
    assert judged_alike(doc.fork(), f.forge(signature=lambda message: b"")) == "refused"


def test_signatures_of_one_change_are_one_change():
    doc = paper()
    f = forger(doc)
    bundle = f.forge(put("x"))
    doc.apply(bundle)
    for signature in (b"", bytes(64), malleable):
        other = f.forge(put("x"), signature=signature)
        assert last(other) == last(bundle)
        assert doc.apply(other).known == 1


# ---- random worlds


def scribble(doc, choose):
    """One random operation on whatever is there."""
    what = choose.randrange(12)
    t, items = doc["t"], doc["l"]
    at = choose.randint(0, len(t))
    if what < 4:
        t.insert(at, choose.choice(["a", "bcd", "é🙂"]))
    elif what < 6:
        t.delete(at, min(choose.randint(0, 6), len(t) - at))
    elif what == 6 and at < len(t):
        t.mark(at, len(t), choose.choice("uv"), choose.choice([True, None]))
    elif what == 7 or not items:
        items.insert(choose.randint(0, len(items)), choose.randrange(100))
    elif what == 8:
        items.move(choose.randrange(len(items)), choose.randrange(len(items)))
    elif what == 9:
        items[choose.randrange(len(items))] = choose.randrange(100)
    elif what == 10:
        doc.setdefault(choose.choice("xy"), {})[choose.choice("pq")] = choose.randrange(100)
    else:
        doc["c"] += choose.randrange(-5, 5)


def draw_header(f, choose):
    """Nothing forged, or parents, or an own change to follow, or both."""
    changes, header = f.doc.changes(), {}
    if choose.random() < 0.5:
        ids = [change.id for change in changes]
        header["parents"] = sorted(choose.sample(ids, choose.randint(0, min(4, len(ids)))))
    own = [change.id for change in changes if change.lane == f.lane]
    if own and choose.random() < 0.4:
        header["prev"] = choose.choice(own)
    return header


@pytest.mark.parametrize("seed", range(12))
def test_bodies_under_any_header(seed):
    """The oracle says what the core says, and a body is void only where it names what its header does not reach."""
    choose = random.Random(seed)
    doc = ck.Doc(ADA, id=bytes(32), clock=lambda: 5)
    doc.update(t=ck.Text("hello world"), l=[1, 2, 3], c=ck.Counter(0))
    f = forger(doc, seed)
    replicas = [doc.fork(who) for who in (ADA, BEN, CYD)]
    for _ in range(25):
        replica = choose.choice(replicas)
        what = choose.random()
        if what < 0.5:
            scribble(replica, choose)
            replica.commit()
        elif what < 0.65:
            replica.merge(choose.choice(replicas))
        elif what < 0.75:
            f.doc.merge(replica)
        else:
            header = draw_header(f, choose)
            bundle = f.forge(lambda d: [scribble(d, choose) for _ in range(3)], **header)
            copy = f.doc.fork()
            found = judged_alike(copy, bundle)
            assert found == "applied" or header
            if found == "void":
                (reason,) = [change.void for change in copy.changes() if change.id == last(bundle)]
                assert reason.endswith("outside the causal past")
            if found in ("applied", "void"):
                f.advance(bundle)
                replica.apply(bundle)
    for replica in replicas:
        replica.merge(f.doc)
    for one, other in itertools.permutations(replicas, 2):
        one.merge(other)
    testing.assert_converged(*replicas, ck.Doc.load(replicas[0].save()))


@pytest.mark.parametrize("seed", range(8))
def test_an_honest_delete_goes_over_what_a_liar_forked(seed):
    """It was written as one range of a chain whose items behind the fork are others: void on every other replica."""
    doc = ck.Doc(ADA, id=bytes(32), clock=lambda: 5)
    doc["t"] = ck.Text("")
    f = forger(doc, seed)
    first = f.forge(lambda d: d["t"].insert(0, "abc"))
    f.advance(first)
    one, two = f.fork(lambda d: d["t"].insert(3, "def"), lambda d: d["t"].insert(0, "xyz"))
    for bundle in (first, one, two):
        doc.apply(bundle)
    undo = doc.undo_stack()
    doc["t"].delete(str(doc["t"]).index("abcdef"), 6)
    for wanted in ("xyz", "xyzabcdef"):
        copy = ck.Doc.load(doc.save())
        testing.assert_converged(doc, copy)
        oracle = oracle_of(doc)
        assert str(copy["t"]) == wanted and oracle.to_py()["t"] == wanted
        undo.undo()


@pytest.mark.parametrize("cut", range(1, 5))
@pytest.mark.parametrize("late", [False, True])
def test_what_waited_under_a_signature_on_a_change_that_is_not_here_can_be_passed_on(cut, late):
    """The first changes of a run of five with one signature; the bodies of the others are lost."""
    doc = paper()
    ben = doc.fork(BEN)
    ben["p"] = 1
    eve = ben.fork(EVE)
    for n in range(5):
        with eve.change():
            eve["e"] = n
            eve["l"].append(n)
    run = eve.export(since=ben.heads)
    parts = wire.take_apart(run)
    assert [bool(part.signature) for part in parts] == [False] * 4 + [True]
    parts[cut:] = [replace(part, form=2, body=b"") for part in parts[cut:]]
    bundles = [ben.export(since=doc.heads), wire.write_bundle(wire.head_of(run), parts)]
    here = doc.fork(CYD)
    for bundle in reversed(bundles) if late else bundles:
        report = here.apply(bundle)
    assert len(report.applied) == cut + late and here["e"] == cut - 1 and not here.waiting
    there = doc.fork(ADA)
    assert not there.apply(here.export(since=doc.heads)).refused
    assert there.root == here.root and there == here


# ---- the package


def test_everything_public_has_words_and_an_example():
    for thing in (testing.Forger, testing.join, testing.reseal, testing.assert_converged):
        assert thing.__name__ in testing.__all__ and ">>>" in thing.__doc__
    for name in ("advance", "fork", "chain", "forge", "bomb"):
        assert ">>>" in getattr(testing.Forger, name).__doc__


def test_a_forger_needs_nothing_but_the_package():
    root = str(Path(ck.__file__).parent.parent)
    code = f"""
import sys
sys.path.insert(0, {root!r})
for foreign in ("hypothesis", "nacl", "xxhash", "zstandard"):
    sys.modules[foreign] = None  # an import raises
import crdtkv as ck
from crdtkv import testing
doc = ck.Doc()
print(bool(doc.apply(testing.Forger(doc, doc.identity).forge())))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n" and not done.stderr
