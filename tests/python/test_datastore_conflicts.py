"""Concurrent values, history, and who wrote what."""

import pytest

import crdtkv as ck
from house.datastores import LONG, Clock, assert_equal, datastore, identity, meet


def test_all_concurrent_values_are_kept_and_one_is_shown():
    a, b, c = datastore(1), datastore(2), datastore(3)
    for kv, value in ((a, "a"), (b, "b"), (c, "c")):
        kv["k"] = value
    meet(a, b, c)
    assert_equal(a, b, c)
    conflicts = a.conflicts("k")
    assert set(conflicts.values()) == {"a", "b", "c"}
    assert next(iter(conflicts.values())) == a["k"] == dict(a.query())["k"]
    assert all(isinstance(key, str) for key in conflicts) and len(conflicts) == 3
    b["k"] = "after"
    meet(a, b, c)
    assert list(a.conflicts("k").values()) == ["after"] and a["k"] == "after"


def test_the_longer_past_wins():
    """Ties go by the derived clock first, not by time or author."""
    a, b = datastore(1, clock=Clock(5)), datastore(2, clock=Clock(10**9))
    a["x"] = 1
    a.commit()
    a["k"] = "later in its past"
    b["k"] = "first"
    meet(a, b)
    assert a["k"] == b["k"] == "later in its past"


def test_conflicts_of_what_is_not_there(kv):
    assert kv.conflicts("k") == {}
    kv["k"] = 1
    del kv["k"]
    assert kv.conflicts("k") == {}


def test_add_wins():
    """A delete removes what its author had seen."""
    a, b = datastore(1), datastore(2)
    a["k"] = 1
    meet(a, b)
    del a["k"]
    b["k"] = 2
    meet(a, b)
    assert_equal(a, b)
    assert a["k"] == 2
    del b["k"]
    meet(a, b)
    assert "k" not in a and "k" not in b


def test_a_delete_leaves_the_concurrent_losers_that_its_author_had_not_seen():
    a, b, c = datastore(1), datastore(2), datastore(3)
    a["k"], b["k"], c["k"] = 1, 2, 3
    meet(a, b)
    del a["k"]
    assert "k" not in a
    meet(a, b, c)
    assert_equal(a, b, c)
    assert list(a.conflicts("k").values()) == [3]


def test_two_deletes_at_once():
    a, b = datastore(1), datastore(2)
    a["k"] = 1
    meet(a, b)
    del a["k"], b["k"]
    meet(a, b)
    assert a == b == {} and a.root == b.root


def test_delete_of_what_is_not_there_makes_no_change(kv):
    assert kv.delete("k") is False
    assert kv.commit() is None and kv.changes() == []


def test_history_newest_first(kv):
    kv["k"] = 1
    first = kv.commit()
    kv["k"] = LONG
    second = kv.commit("second")
    del kv["k"]
    third = kv.commit()
    history = kv.history("k")
    assert [entry.kind for entry in history] == ["delete", "put", "put"]
    assert [entry.change for entry in history] == [third.id, second.id, first.id]
    assert [entry.value for entry in history[1:]] == [LONG, 1] and history[0].value in (None, ck.MISSING)
    assert {entry.author for entry in history} == {kv.identity.public_key}
    assert all(entry.key == "k" and isinstance(entry.time, int) for entry in history)
    assert kv.history("other") == [] and isinstance(history, list)


def test_open_operations_stand_one_by_one(kv):
    kv["k"] = 0
    kv.commit()
    kv["k"] = 1
    kv["k"] = 2
    del kv["k"]
    kv["other"] = 1
    history = kv.history("k")
    assert [(e.kind, e.change is None) for e in history] == [
        ("delete", True),
        ("put", True),
        ("put", True),
        ("put", False),
    ]
    assert [e.value for e in history[1:]] == [2, 1, 0]
    change = kv.commit()
    assert [e.change for e in kv.history("k")] == [change.id] * 3 + [kv.changes()[0].id]


def test_history_names_time_and_authors():
    clock = Clock(1234)
    a, b = datastore(1, clock=clock), datastore(2, clock=clock)
    a["k"] = "a"
    a.commit()
    clock.wait(1000)
    meet(a, b)
    b["k"] = "b"
    b.commit()
    meet(a, b)
    entries = a.history("k")
    assert [(e.value, e.author, e.time) for e in entries] == [
        ("b", identity(2).public_key, 2234),
        ("a", identity(1).public_key, 1234),
    ]
    assert [(e.value, e.author, e.time) for e in b.history("k")] == [(e.value, e.author, e.time) for e in entries]


def test_conflict_ids_are_those_of_operations(kv):
    with kv.batch() as b:
        b.put("x", 1)
        b.put("k", 2)
    (change,) = kv.changes()
    (op,) = kv.conflicts("k")
    assert change.id.hex() in op


def test_a_key_with_many_versions():
    a, b = datastore(1), datastore(2)
    for n in range(1000):
        a["k"] = n
        a.commit()
    meet(a, b)
    assert len(b.history("k")) == 1000 and len(b.conflicts("k")) == 1 and b["k"] == 999
    del b["k"]
    meet(a, b)
    assert a == {} and len(a.history("k")) == 1001


def test_many_at_once_on_one_key():
    stores = [datastore(n) for n in range(1, 21)]
    for n, kv in enumerate(stores):
        kv["k"] = n
    first = stores[0]
    for kv in stores[1:]:
        first.merge(kv)
    assert sorted(first.conflicts("k").values()) == list(range(20))
    second = datastore(30)
    for kv in reversed(stores):
        second.merge(kv)
    assert second.conflicts("k") == first.conflicts("k") and list(second.conflicts("k")) == list(first.conflicts("k"))
    second["k"] = "one"
    first.merge(second)
    assert list(first.conflicts("k").values()) == ["one"]


def test_entries_are_read_only(kv):
    kv["k"] = [1]
    (entry,) = kv.history("k")
    with pytest.raises((AttributeError, TypeError)):
        entry.value = 2
    assert "Entry" in repr(entry)
