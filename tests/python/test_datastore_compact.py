"""Compaction: what it drops, and that nobody sees a difference."""

import random

import crdtkv as ck
from house.datastores import ID, LONG, assert_equal, content, datastore, identity, meet, put_all, state
from oracle.datastore import leave_out


def overwritten(kv, keys=20, times=10):
    for n in range(times):
        put_all(kv, ((f"{k:03}", [n, LONG]) for k in range(keys)))


def test_superseded_bodies_go(kv):
    overwritten(kv)
    before = state(kv)
    result = kv.compact()
    assert result["dropped"] == 9 and result["after"] < result["before"] / 5
    assert state(kv) == before
    assert kv.compact()["dropped"] == 0
    assert len(kv.changes()) == 10
    assert kv.check() == []


def test_history_is_what_is_kept(kv):
    overwritten(kv, keys=1)
    kv.compact()
    assert [e.value[0] for e in kv.history("000")] == [9]


def test_conflicts_counters_and_deletes_stay():
    a, b, c = datastore(1), datastore(2), datastore(3)
    for kv, n in ((a, 1), (b, 2), (c, 3)):
        kv["k"] = [n, LONG]
        kv.counter("n" * 60).increment(n)
    meet(a, b, c)
    overwritten(a)
    del a["003"]
    meet(a, b, c)
    for kv in (a, b):
        before = state(kv)
        kv.compact()
        assert state(kv) == before
    assert len(a.conflicts("k")) == 3 and int(a.counter("n" * 60)) == 6
    meet(a, b, c)
    assert_equal(a, b, c)


def test_a_newcomer_agrees_on_everything():
    a, full = datastore(1), datastore(2)
    overwritten(a)
    a.put("x", LONG, dag="d")
    a.counter("n").increment(7)
    meet(a, full)
    small = len(a.export())
    a.compact()
    assert len(a.export()) < small
    for way in (lambda kv: kv.apply(a.export()), lambda kv: ck.sync(kv, a), lambda kv: kv.merge(a)):
        newcomer = datastore(3)
        way(newcomer)
        assert_equal(newcomer, a, full)
        newcomer["000"] = "new"
        meet(newcomer, full, a)
        assert_equal(newcomer, full, a)
        assert newcomer.check() == []


def test_who_was_away_for_long_converges():
    a, b = datastore(1), datastore(2)
    overwritten(a, times=3)
    meet(a, b)
    b["001"] = [LONG, "b's, while away"]
    b["own"] = LONG
    b.delete("002")
    b.counter("n").increment(3)
    overwritten(a, times=10)
    del a["005"]
    for key in list(a):
        if key.startswith("01"):
            del a[key]
    for _ in range(3):
        a.compact()
    meet(a, b)
    assert_equal(a, b)
    assert b["own"] == LONG and int(a.counter("n")) == 3
    assert [LONG, "b's, while away"] in a.conflicts("001").values()
    assert "002" in a, "somebody put it again at the same time"
    assert "010" not in a and "005" not in b


def test_deletes_are_not_forgotten():
    """Else what they deleted would come back with whoever still has it."""
    a, b = datastore(1), datastore(2)
    a["k"] = LONG
    meet(a, b)
    del a["k"]
    a.commit()
    for _ in range(5):
        a["other"] = LONG
        a.commit()
        a.compact()
    meet(a, b)
    assert b == {"other": LONG} and a == b
    newcomer = datastore(3)
    newcomer.apply(b.export())
    newcomer.apply(a.export())
    assert_equal(a, b, newcomer)


def test_compaction_here_changes_nothing_there():
    a, b = datastore(1), datastore(2)
    overwritten(a)
    meet(a, b)
    history = [e.value for e in b.history("000")]
    a.compact()
    meet(a, b)
    assert [e.value for e in b.history("000")] == history
    assert_equal(a, b)


def test_everybody_compacts_all_the_time():
    choose = random.Random(11)
    stores = [datastore(n) for n in range(1, 5)]
    full = datastore(9)
    for step in range(400):
        kv = choose.choice(stores)
        key, dag = f"k{choose.randrange(5)}", choose.choice(["default", "default", "x"])
        what = choose.randrange(10)
        if what < 4:
            kv.put(key, [step, LONG], dag=dag)
        elif what < 6:
            kv.delete(key)
        elif what < 7:
            kv.counter("n" * 50).increment(step)
        elif what < 8:
            kv.compact()
        else:
            ck.sync(kv, choose.choice([s for s in stores if s is not kv]))
        full.merge(kv)
    meet(*stores, full)
    meet(*stores, full)
    assert_equal(*stores, full)
    for kv in stores:
        kv.compact()
        assert kv.check() == []
    assert_equal(*stores, full)


def test_compliance_mode_keeps_all():
    kv = ck.Datastore(identity(1), id=ID, compliance=True)
    overwritten(kv, keys=2)
    assert kv.compact()["dropped"] == 0
    assert len(kv.history("000")) == 10


def test_rewrite_puts_what_is_alive_again(kv):
    put_all(kv, ((f"{n:03}", LONG) for n in range(100)))
    put_all(kv, ((f"{n:03}", "short") for n in range(95)))
    kv.compact()
    before, bytes_before = content(kv)[0], kv.compact()["after"]
    result = kv.compact(rewrite=True)
    assert content(kv)[0] == before and result["after"] < bytes_before
    assert kv.check() == []
    other = datastore(2)
    meet(kv, other)
    assert_equal(kv, other)


def test_rewrite_leaves_other_peoples_values():
    a, b = datastore(1), datastore(2)
    put_all(b, ((f"{n:03}", LONG) for n in range(50)))
    meet(a, b)
    put_all(a, ((f"{n:03}", "short") for n in range(49)))
    heads = len(a.changes())
    a.compact(rewrite=True)
    assert {e.author for e in a.history("049")} == {identity(2).public_key}
    assert len(a.changes()) <= heads + 1
    meet(a, b)
    assert_equal(a, b)


def test_compacting_nothing(kv):
    assert kv.compact()["dropped"] == 0
    kv["a"] = 1
    assert kv.compact()["dropped"] == 0 and kv == {"a": 1}


def test_it_survives_reopening_and_shrinks_the_file(tmp_path):
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        overwritten(kv, keys=3000)
        before = state(kv)
    size = path.stat().st_size
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        assert state(kv) == before
        db.compact()
        assert state(kv) == before and kv.check() == []
    assert path.stat().st_size < size / 4
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        assert state(kv) == before and db.check() == []
        other = ck.Datastore(id=kv.id)
        ck.sync(kv, other)
        assert_equal(kv, other)


def test_a_claim_that_a_body_is_dead_is_no_proof():
    """A liar who leaves bodies out is corrected by whoever has them."""
    a, liar, victim = datastore(1), datastore(2), datastore(3)
    a["k"] = LONG
    a.commit()
    forged = leave_out(a.export(), a.id)
    victim.apply(forged)
    assert victim == {} and victim.root == a.root
    ck.sync(victim, a)
    assert_equal(victim, a)
    liar.apply(forged)
    ck.sync(liar, victim)
    assert_equal(liar, victim, a)


def test_a_claim_does_not_take_away_what_is_here():
    a, victim = datastore(1), datastore(3)
    a["k"] = LONG
    meet(a, victim)
    victim.apply(leave_out(a.export(), a.id))
    assert victim == {"k": LONG} and victim.check() == []


def test_what_is_built_upon_a_claim_converges_too():
    a, victim, other = datastore(1), datastore(2), datastore(3)
    a["k"] = LONG
    a["l"] = LONG
    a.commit()
    meet(a, other)
    victim.apply(leave_out(a.export(), a.id))
    victim["k"] = "over what it never saw"
    victim.commit()
    victim.compact()
    other["l"] = "other"
    meet(other, victim, a)
    assert_equal(other, victim, a)
    assert a == {"k": "over what it never saw", "l": "other"}
