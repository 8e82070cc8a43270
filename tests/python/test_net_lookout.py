"""Lookout: what moved is seen, once; what is quiet is looked at in turn; what is gone is forgotten."""

import pytest

import crdtkv as ck
from crdtkv.net.directory import Directory
from crdtkv.net.lookout import AT_ONCE, WARM, Lookout


@pytest.fixture
def db():
    with ck.Database(":memory:") as db:
        yield db


def watch(db, names, **how):
    ids = {name: db.doc(name).id for name in names}
    directory = Directory(db)
    for id in ids.values():
        directory.open(id)
    return Lookout(directory, **how), ids


def test_what_moved_is_seen_once_and_its_open_change_is_closed(db):
    lookout, ids = watch(db, ["a", "b"])
    assert sorted(lookout.look()) == sorted(ids.values()) and lookout.look() == []
    db.doc("a")["x"] = 1
    assert lookout.look(at_all=False) == [ids["a"]] and len(db.doc("a").changes()) == 1
    assert lookout.look() == []


def test_what_somebody_knows_is_not_news(db):
    lookout, ids = watch(db, ["a"])
    lookout.look()
    db.doc("a")["x"] = 1
    db.doc("a").commit()
    lookout.saw(ids["a"], db.doc("a")._version)
    lookout.saw(bytes(32), 7)
    assert lookout.look() == []


def test_a_block_is_waited_for(db):
    lookout, ids = watch(db, ["a"])
    lookout.look()
    with db.doc("a").change():
        db.doc("a")["x"] = 1
        assert lookout.look() == []
    assert lookout.look() == [ids["a"]]
    with db.doc("a").change():
        assert lookout.look() == []
    assert lookout.look() == [ids["a"]]  # nothing happened, but who waits for it must know


def test_what_was_deleted_and_made_anew_is_watched(db):
    lookout, ids = watch(db, ["a", "b"])
    lookout.look()
    db.delete("a")
    db.doc("a", id=ids["a"])
    lookout._directory.open(ids["a"])
    assert lookout.look() == [ids["a"]]
    db.doc("a")["x"] = 1
    assert lookout.look() == [ids["a"]] and lookout.look() == []


def test_what_was_deleted_is_told_once(db):
    lookout, ids = watch(db, ["a", "b"])
    lookout.look()
    db.delete("a")
    assert lookout.look() == [ids["a"]] and lookout.look() == []


def test_quiet_ones_are_looked_at_in_turn(db):
    now = [0.0]
    names = [f"n{i}" for i in range(2 * AT_ONCE + 10)]
    lookout, ids = watch(db, names, clock=lambda: now[0])
    lookout.look()
    assert not lookout._warm  # new ones are no news
    db.doc("n5")["x"] = 1
    lookout.look()
    assert list(lookout._warm) == [ids["n5"]]
    now[0] += WARM + 1
    lookout.look(at_all=False)
    assert not lookout._warm
    db.doc("n0")["x"] = db.doc("n300")["x"] = 1
    seen = [id for _ in range(4) for id in lookout.look(at_all=False)]
    assert sorted(seen) == sorted([ids["n0"], ids["n300"]])
    db.doc("n300")["x"] = 2
    assert lookout.look(at_all=False) == [ids["n300"]]  # it is warm
    db.doc("n1")["x"] = 1
    assert lookout.look() == [ids["n1"]]


def test_callbacks_that_fail_and_commits_that_do(db, caplog):
    lookout, ids = watch(db, ["a"])
    lookout.look()
    subscription = db.doc("a").observe(lambda event: 1 / 0)
    db.doc("a")["x"] = 1
    assert lookout.look() == [ids["a"]] and "ZeroDivisionError" in caplog.text
    subscription.cancel()

    class Broken:
        _version = 3

        def commit(self):
            raise ck.StoreError("disk")

    lookout._all[ids["a"]].shared = Broken()
    assert lookout.look() == [] == lookout.look()
    assert caplog.text.count("disk") == 1


@pytest.mark.parametrize("n_changes", [1, 2, 3])
def test_it_sees_that_a_dag_was_purged_and_admitted_however_small_it_was(n_changes):
    kv = ck.Datastore()
    directory = Directory(kv)
    directory.open(kv.id)
    lookout = Lookout(directory)
    for n in range(n_changes):
        kv.put("x", n, dag="side")
        kv.commit()
    assert lookout.look() == [kv.id] and lookout.look() == []
    for change in (kv.purge, kv.admit):
        before = kv._version
        change("side")
        assert kv._version > before and lookout.look() == [kv.id], "versions only grow"
    kv.admit("side")
    assert lookout.look() == [], "it was here"
