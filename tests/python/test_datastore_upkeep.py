"""check, repair, stats, save, load, fork, pickle, copy, graph."""

import copy
import pickle

import pytest

import crdtkv as ck
from house.datastores import LONG, Clock, assert_equal, content, datastore, identity, meet, put_all, state


def filled(kv):
    put_all(kv, ((f"{n:03}", [n, LONG]) for n in range(50)))
    kv.put("x", 1, dag="d")
    kv.counter("n").increment(5)
    del kv["010"]
    kv.commit()
    return kv


def test_check_finds_nothing(kv):
    assert kv.check() == []
    filled(kv)
    assert kv.check() == []


def test_repair_changes_nothing_that_is_right(kv):
    before = state(filled(kv))
    report = kv.repair()
    assert not report.applied and not report.refused
    assert state(kv) == before and kv.check() == []
    kv["after"] = 1
    kv.commit()
    assert kv["after"] == 1


def test_stats_are_numbers(kv):
    empty = kv.stats()
    filled(kv)
    stats = kv.stats()
    names = {"changes", "ops", "lanes", "heads", "void", "waiting", "later", "waiting_bytes"}
    names |= {"evicted", "equivocations", "verified", "memory"}
    assert names <= set(stats) and all(type(stats[name]) is int and stats[name] >= 0 for name in names)
    assert stats["changes"] == len(kv.changes()) and stats["heads"] == len(kv.heads) and stats["void"] == 0
    assert empty["changes"] == 0
    assert stats["ops"] == sum(change.n_ops for change in kv.changes())


def test_save_and_load(kv):
    filled(kv)
    data = kv.save()
    assert data == kv.save()
    other = ck.Datastore.load(data, identity(1))
    assert state(other) == state(kv) and other.id == kv.id and other.identity.public_key == kv.identity.public_key
    other["new"] = 1
    change = other.commit()
    assert change.seq == 0, "a new lane"
    meet(kv, other)
    assert_equal(kv, other)
    assert kv.equivocations() == []


@pytest.mark.parametrize("wrong", [b"", b"nonsense", bytes(200)], ids=["nothing", "words", "zeros"])
def test_loading_what_is_none(wrong):
    with pytest.raises(ck.DecodeError):
        ck.Datastore.load(wrong)


def test_a_flipped_save_is_refused():
    data = filled(datastore(1)).save()
    for k in range(0, len(data), 97):
        with pytest.raises(ck.DecodeError):
            ck.Datastore.load(data[:k] + bytes([data[k] ^ 4]) + data[k + 1 :])
    with pytest.raises(ck.DecodeError):
        ck.Datastore.load(data[:-5])


def test_fork_goes_on_in_a_lane_of_its_own(kv):
    filled(kv)
    twin = kv.fork()
    assert content(twin)[0] == content(kv)[0] and twin.identity.public_key == kv.identity.public_key
    kv["k"], twin["k"] = 1, 2
    kv.commit(), twin.commit()
    meet(kv, twin)
    assert_equal(kv, twin)
    assert len(kv.conflicts("k")) == 2 and kv.equivocations() == []
    other = kv.fork(identity(5))
    other["k"] = 3
    assert other.commit().author == identity(5).public_key


def test_fork_of_heads():
    kv = datastore(1)
    kv["a"] = 1
    kv.commit()
    heads = kv.heads
    kv["b"] = 2
    past = kv.fork(heads=heads)
    assert past == {"a": 1} and past.heads == heads
    with pytest.raises((KeyError, ck.Error)):
        kv.fork(heads=[bytes(32)])


def test_copy_and_pickle():
    kv = filled(datastore(1))
    twin = copy.copy(kv)
    assert content(twin) == content(kv)
    data = pickle.dumps(kv)
    assert bytes([1]) * 32 not in data
    other = pickle.loads(data)
    assert content(other) == content(kv) and other.identity.public_key != kv.identity.public_key
    other["new"] = 1
    assert len(kv) + 1 == len(other)
    deep = copy.deepcopy(kv)
    assert content(deep) == content(kv)


def test_changes_since():
    kv = datastore(1, clock=Clock(77))
    kv["a"] = 1
    one = kv.commit("first")
    kv["b"] = 2
    two = kv.commit()
    kv.put("c", 3, dag="d")
    assert [c.id for c in kv.changes()][:2] == [one.id, two.id] and len(kv.changes()) == 3
    later = kv.changes(since=[one.id])
    assert two.id in {c.id for c in later} and one.id not in {c.id for c in later}
    assert one.time == 77 and one.message == "first" and two.prev == one.id and two.seq == 1 and one.void is None


def test_a_closed_file_is_stale(tmp_path):
    with ck.Database(tmp_path / "x.db") as db:
        kv = db.datastore("kv")
        kv["a"] = 1
        c = kv.counter("n")
        query = kv.query()
    for call in (lambda: kv["a"], lambda: kv.put("a", 2), lambda: len(kv), lambda: next(query), lambda: int(c)):
        with pytest.raises(ck.StaleHandleError):
            call()


def test_leaving_the_file_commits(tmp_path):
    with ck.Database(tmp_path / "x.db", identity(1)) as db:
        db.datastore("kv")["a"] = 1
    with ck.Database(tmp_path / "x.db", identity(1)) as db:
        kv = db.datastore("kv")
        assert kv == {"a": 1}
        kv["b"] = 2
        assert kv.commit().seq == 0, "a new lane after every open"
        assert len({change.lane for change in kv.changes()}) == 2


def test_what_waits_survives_reopening_or_is_asked_for_again(tmp_path):
    a = datastore(1)
    a["x"] = 1
    before = a.heads
    a["y"] = 2
    with ck.Database(tmp_path / "x.db") as db:
        kv = db.datastore("kv", id=a.id)
        kv.apply(a.export(before))
    with ck.Database(tmp_path / "x.db") as db:
        kv = db.datastore("kv")
        ck.sync(kv, a)
        assert kv == {"x": 1, "y": 2}
        assert_equal(kv, a)


def test_everything_again_after_reopening(tmp_path):
    with ck.Database(tmp_path / "x.db", identity(1)) as db:
        kv = filled(db.datastore("kv"))
        kv.put("conflict", 1)
        other = kv.fork(identity(2))
        other["conflict"] = 2
        kv["conflict"] = 3
        kv.merge(other)
        before = state(kv), [c.id for c in kv.changes()], [e.change for e in kv.history("conflict")]
    for _ in range(2):
        with ck.Database(tmp_path / "x.db", identity(1)) as db:
            kv = db.datastore("kv")
            assert (state(kv), [c.id for c in kv.changes()], [e.change for e in kv.history("conflict")]) == before
            assert kv.check() == [] and db.check() == []


def test_an_index_that_is_gone_is_made_again(tmp_path):
    import sqlite3

    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        put_all(kv, ((f"{n:05}", "x" * 200) for n in range(5000)))
        before = state(kv)
    con = sqlite3.connect(path)
    con.execute("DELETE FROM block")
    con.commit()
    con.close()
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        kv.repair()
        assert state(kv) == before and kv.check() == []
