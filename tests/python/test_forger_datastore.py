"""Forger at a datastore: in any DAG, and where bodies were left out."""

from dataclasses import replace

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.wire import dags_of, head_of, take_apart, wrap, write_bundle
from house.datastores import LONG, assert_equal, datastore, identity, meet

LIAR = identity(66)


def compacted():
    """A replica that dropped most of its bodies."""
    kv = datastore(1)
    for n in range(6):
        for dag in ("default", "x"):
            kv.put(dag, [n, LONG], dag=dag)
            kv.commit()
    assert kv.compact()["dropped"] == 10
    return kv


@pytest.mark.parametrize("dag", ["default", "x", "new"])
def test_two_stories_in_any_dag(dag):
    a, b = datastore(1), datastore(2)
    a.put("k", 0, dag="x")
    a["k"] = 1
    meet(a, b)
    f = testing.Forger(a, LIAR, dag=dag)
    yes, no = f.fork(lambda kv: kv.put("k", "yes", dag=dag), [lambda kv: kv.put("k", "no", dag=dag), None])
    for kv, stories in (a, (yes, no)), (b, (no, yes)):
        assert [len(kv.apply(story).applied) for story in stories] == ([1, 2] if stories[0] == yes else [2, 1])
    assert_equal(a, b)
    assert [e.author for e in a.equivocations()] == [LIAR.public_key]
    assert {change.dag for change in a.changes() if change.author == LIAR.public_key} == {dag}
    assert sorted(a.conflicts("k").values()) == ["no", "yes"]


def test_an_edit_counts_only_in_the_forgers_dag():
    kv = datastore(1)
    f = testing.Forger(kv, LIAR, dag="x")
    kv.apply(f.forge(lambda kv: (kv.put("in", 1, dag="x"), kv.put("out", 1))))
    assert dict(kv) == {"in": 1}
    assert f.doc.dags() == {"default": ()}, "nothing moved"


def test_one_goes_on_in_a_dag():
    kv = datastore(1)
    f = testing.Forger(kv, LIAR, dag="x")
    one = f.forge(lambda kv: kv.put("k", 1, dag="x"))
    f.advance(one)
    two = f.forge(lambda kv: kv.put("k", 2, dag="x"))
    assert len(kv.apply(two).waiting) == 1 and len(kv.apply(one).applied) == 2
    assert list(kv.conflicts("k").values()) == [2]
    three, four = f.chain([None, None])
    report = kv.apply(testing.join(three, four))
    assert len(report.applied) == 2 and len(kv) == 3


def test_where_bodies_were_left_out():
    a = compacted()
    fresh = datastore(2)
    f = testing.Forger(a, LIAR, dag="x")
    before, last = (change for change in a.changes() if change.dag == "x" and change.seq in (4, 5))
    assert a.apply(f.forge(lane_id=before.lane, prev=last.id, seq=6, parents=[])).refused
    assert a.apply(f.forge(parents=[before.id])).applied
    fresh.apply(a.export())
    assert_equal(a, fresh)


def test_what_is_taken_apart_is_put_together():
    a, b = compacted(), datastore(2)
    a["k"] = LONG
    parts = {name: take_apart(bundle) for name, bundle in dags_of(a.export()).items()}
    assert sorted(part.form for part in parts["x"]) == [1, 3, 3, 3, 3, 3]
    heads = {name: head_of(bundle) for name, bundle in dags_of(a.export()).items()}
    b.apply(wrap(a.id, {name: write_bundle(heads[name], some) for name, some in parts.items()}))
    assert_equal(a, b)
    assert [part.whole_body() for part in parts["x"][:-1]] == [b""] * 5


def test_the_claim_of_a_liar_hides_and_takes_nothing():
    a, b = datastore(1), datastore(2)
    a["k"] = LONG
    (part,) = take_apart(dags_of(a.export())["default"])
    claim = write_bundle(head_of(dags_of(a.export())["default"]), [replace(part, form=3, body=b"")])
    assert b.apply(wrap(a.id, {"default": claim})).applied and b == {} and b.root == a.root
    a.apply(wrap(a.id, {"default": claim}))
    meet(a, b)
    assert_equal(a, b)
    assert b == {"k": LONG}


def test_what_was_void_is_not_counted():
    kv = datastore(1)
    g = testing.Forger(kv, LIAR)
    for edit in (lambda kv: kv.counter("m").increment(5), None, lambda kv: kv.counter("m").increment(2)):
        bundle = g.forge(edit) if edit else g.forge(body=b"\0\0\3\1\2")
        g.advance(bundle)
        kv.apply(bundle)
    assert kv.stats()["void"] == 1 and int(kv.counter("m")) == 7


def test_documents_have_no_dags():
    with pytest.raises(TypeError, match="DAG"):
        testing.Forger(ck.Doc(), LIAR, dag="x")
    assert testing.Forger(ck.Doc(), LIAR, dag="default").forge()


def test_a_bomb_in_a_dag():
    kv = datastore(1)
    bomb = testing.Forger(kv, LIAR, dag="a name of some length").bomb(1 << 28)
    assert len(bomb) <= 1 << 16
    with pytest.raises(ck.DecodeError):
        kv.apply(bomb)
