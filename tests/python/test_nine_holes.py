"""Nine holes that a prototype of a Byzantine-fault-tolerant JSON CRDT had, and one more: none of them is here.

Each test is named after what went wrong there. In docs/security.md they are rows 1, 3, 11, 13, 17, 20 to 22 and 26.
"""

import itertools
import random
import threading

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing import wire
from house.ways import in_every_order, meets

ADA, BEN, EVE = (ck.Identity.from_seed(bytes([k]) * 32) for k in range(3))


def put(key, value=1):
    return lambda doc: doc.update({key: value})


def last(bundle):
    return wire.take_apart(bundle)[-1].id


@pytest.fixture
def doc():
    new = ck.Doc(ADA, clock=lambda: 1000)
    new.update(list=[1, 2, 3], text=ck.Text("abc"))
    new.commit()
    return new


def test_hole_1_forged_author_accepted(doc):
    """It asked who signed the envelope, not whose operations are in it: Eve's signature on what says it is Ben's."""
    ben = doc.fork(BEN)
    ben["b"] = 1
    doc.merge(ben)
    bens = doc.changes()[-1]
    f = testing.Forger(doc, EVE)
    for fields in (
        {"author": BEN.public_key},
        {"lane_id": bens.lane, "prev": bens.id, "parents": []},
        {"lane_id": bens.lane, "author": EVE.public_key, "prev": bens.id, "parents": []},
    ):
        assert meets(doc, f.forge(put("x"), **fields)) == "refused"
    assert meets(doc, f.forge(put("x"))) == "applied"


def test_hole_2_equivocation_reorders_a_list(doc):
    """Two elements under one id: replicas that got them in another order showed another list, for ever."""
    f = testing.Forger(doc, EVE)
    stories = f.fork(*(lambda d, k=k: d["list"].insert(1, k) for k in ("one", "two", "three")))
    shown = {repr(replica.to_py()) for replica in in_every_order(doc, stories)}
    assert len(shown) == 1 and all(repr(k) in next(iter(shown)) for k in ("one", "two", "three"))


def test_hole_3_equivocation_splits_a_register(doc):
    """Two values under one id: whoever came first won, on each replica another one."""
    f = testing.Forger(doc, EVE)
    stories = f.fork(put("x", "yes"), put("x", "no"), lambda d: d["list"].__setitem__(0, "yes"), put("x"))
    shown = {repr(replica.to_py()) for replica in in_every_order(doc, stories)}
    assert len(shown) == 1


def test_hole_4_the_greatest_seq_ends_all_writing(doc):
    """A seq of 2^64 - 1 was accepted, and the next local insert overflowed."""
    f = testing.Forger(doc, EVE)
    first = f.forge(put("a"))
    f.advance(first)
    doc.apply(first)
    for seq in (2**64 - 1, 2**63, 2**32, 2**32 - 1, 2**32 - 2):
        assert meets(doc, f.forge(put("x"), seq=seq)) == "refused"
        doc.apply(f.forge(put("x"), seq=seq))
        doc["text"].insert(0, "!")
        doc["list"].insert(0, 1)
        assert doc.commit().seq < 100
    assert str(doc["text"]) == "!!!!!abc"


def test_hole_5_honest_objects_are_refused(doc):
    """JSON objects were hashed in the order of a hash map, so that most did not survive a round trip."""
    rng = random.Random(5)
    for n in range(200):
        keys = [rng.randbytes(3).hex() for _ in range(rng.randrange(2, 30))]
        doc[f"object {n}"] = {key: rng.choice([1, 2.5, None, "x", {"b": 1, "a": [1, {}]}]) for key in keys}
        doc.commit()
    copy = ck.Doc(id=doc.id)
    report = copy.apply(doc.export())
    assert not report.refused and not report.void and len(report.applied) == 201
    again = ck.Doc.load(copy.save())
    testing.assert_converged(doc, copy, again)
    assert again.export() == copy.export()


def test_hole_6_joined_paths_sign_alike(doc):
    """Paths and fields were joined without separation, so that one signature served two operations."""
    edits = [
        lambda d: d.update({"a.b": {"c": 1}}),
        lambda d: d.update({"a": {"b.c": 1}}),
        lambda d: d.update({"a": {"b": {"c": 1}}}),
        lambda d: d.update({"ab": {"c": 1}}),
        lambda d: d.update({"a": {"bc": 1}}),
        lambda d: d.update({"abc": 1}),
        lambda d: d.update({"ab": "c1"}),
        lambda d: d.update({"a": "bc1"}),
    ]
    signed = []
    for edit in edits:
        f = testing.Forger(doc, EVE, seed=6)
        f.forge(edit, signature=lambda message: signed.append(message) or bytes(64))
    assert len(set(signed)) == len(edits) and {len(message) for message in signed} == {113}
    bundles = [testing.Forger(doc, EVE, seed=6).forge(edit) for edit in edits]
    signatures = [wire.take_apart(bundle)[0].signature for bundle in bundles]
    for (n, edit), (k, signature) in itertools.product(enumerate(edits), enumerate(signatures)):
        bundle = testing.Forger(doc, EVE, seed=6).forge(edit, signature=signature)
        assert bool(doc.fork().apply(bundle)) == (n == k)


def test_hole_7_dependants_of_what_failed(doc):
    """An operation that failed was marked as received, and what depended on it ran."""
    f = testing.Forger(doc, EVE)
    failed = f.forge(put("x"), signature=bytes(64))
    f.advance(failed)
    child = f.forge(put("y"))
    for replica in in_every_order(doc, [failed, child]):
        assert "x" not in replica and "y" not in replica and replica.missing == (last(failed),)
    void = testing.Forger(doc, EVE)
    nothing = void.forge(lambda d: d.update(z=ck.Text("z")), n_ops=99)
    void.advance(nothing)
    assert meets(void.doc, void.forge(body=b"\0\0\1\4\0\1\1!")) == "void"  # leans on what the void one did not make


def test_hole_8_dangling_operations_queue_without_a_cap(doc):
    """20,000 operations with unknown dependencies were queued, at 900 bytes each, and so was the next million."""
    f = testing.Forger(doc, EVE)
    body = bytes(100_000)
    for k in range(200):
        doc.apply(f.forge(body=body, seq=k + 1, prev=k.to_bytes(32, "big")))
        assert doc.stats()["waiting_bytes"] <= 8 << 20
    assert doc.stats()["evicted"] > 100 and doc.stats()["waiting"] > 50
    assert doc.apply(f.forge(put("x"))).applied  # what hangs on nothing still lands


def test_hole_9_a_reversed_chain_overflows_the_stack(doc):
    """30,000 operations in reverse order, released by recursion, ended it: here 3,000 in a tenth of the stack."""
    bundles = testing.Forger(doc, EVE).chain([lambda d: d["text"].insert(0, "x")] * 3000)
    doc.apply(testing.join(*bundles[:0:-1]))
    assert len(doc.waiting) == 2999
    reports, before = [], threading.stack_size(200 << 10)
    try:
        thread = threading.Thread(target=lambda: reports.append(doc.apply(bundles[0])))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert len(reports[0].applied) == 3000 and str(doc["text"]) == "x" * 3000 + "abc"


def test_one_more_hole_anybody_deletes_the_root(doc):
    """The root element could be deleted, by anybody: here there is no name for the root map."""
    f = testing.Forger(doc, EVE)
    for body in (
        b"\0\0\2\2\0\1",  # DELETE of nothing
        b"\0\0\2\3\1\0\1",  # of the item that comes next
        b"\0\0\2\3\2\x63\1",  # of an item that the parent never made
        b"\0\0\2\4\1\xff\x7f\1",
    ):
        assert meets(doc, f.forge(body=body)) == "void"
    clear = f.forge(lambda d: d.clear())
    assert meets(doc, clear) == "applied"
    doc.apply(clear)
    assert doc == {}
    doc["text"] = ck.Text("goes on")
    assert str(ck.Doc.load(doc.save())["text"]) == "goes on"
