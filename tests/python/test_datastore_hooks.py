"""Hooks: old and new value, who and whose, exactly one per key, exceptions."""

import pytest

import crdtkv as ck
from house.datastores import datastore, meet


@pytest.fixture
def watched(kv):
    events = []
    kv.observe(events.append)
    return kv, events


def short(events):
    return [(e.key, e.old, e.new, e.is_local) for e in events]


def test_a_lone_edit_tells_at_once(watched):
    kv, events = watched
    kv["a"] = 1
    assert short(events) == [("a", ck.MISSING, 1, True)]
    kv["a"] = 2
    assert short(events[1:]) == [("a", 1, 2, True)]
    del kv["a"]
    assert short(events[2:]) == [("a", 2, ck.MISSING, True)]
    assert all(e.author == kv.identity.public_key for e in events)
    kv.commit()
    assert len(events) == 3


def test_a_batch_tells_one_per_key_when_it_is_written(watched):
    kv, events = watched
    kv["gone"] = 1
    events.clear()
    with kv.batch() as b:
        b.put("a", 1)
        b.put("a", 2)
        b.put("b", 3)
        b.put("c", 1)
        b.delete("c")
        b.delete("gone")
        assert events == []
    assert sorted(short(events)) == [
        ("a", ck.MISSING, 2, True),
        ("b", ck.MISSING, 3, True),
        ("gone", 1, ck.MISSING, True),
    ] or sorted(short(events), key=lambda e: e[0]) == [
        ("a", ck.MISSING, 2, True),
        ("b", ck.MISSING, 3, True),
        ("gone", 1, ck.MISSING, True),
    ]


def test_no_visible_change_no_event(watched):
    kv, events = watched
    kv["a"] = 1
    events.clear()
    kv.delete("nothing")
    with kv.batch() as b:
        b.increment("n")
    kv.counter("n").increment(2)
    kv.commit()
    assert events == []


def test_what_comes_from_others():
    a, b = datastore(1), datastore(2)
    events = []
    b.observe(events.append)
    a["x"], a["y"] = 1, 2
    meet(a, b)
    assert sorted((e.key, e.old, e.new, e.is_local, e.author) for e in events) == [
        ("x", ck.MISSING, 1, False, a.identity.public_key),
        ("y", ck.MISSING, 2, False, a.identity.public_key),
    ]
    events.clear()
    del a["x"]
    a["y"] = 3
    a["y"] = 4
    meet(a, b)
    assert [(e.key, e.old, e.new) for e in sorted(events, key=lambda e: e.key)] == [("x", 1, ck.MISSING), ("y", 2, 4)]


def test_a_loser_that_comes_is_no_event():
    a, b = datastore(1), datastore(2)
    a["k"], b["k"] = "a", "b"
    events = []
    a.observe(events.append)
    b.observe(events.append)
    meet(a, b)
    assert len(events) == 1 and events[0].new == a["k"]


def test_values_are_plain_and_fresh(watched):
    kv, events = watched
    kv["a"] = {"x": [1, b"y"]}
    events[0].new["x"].append(2)
    assert kv["a"] == {"x": [1, b"y"]}


def test_on_put_and_on_delete(kv):
    puts, deletes = [], []
    kv.on_put(puts.append)
    kv.on_delete(deletes.append)
    kv["a"] = 1
    kv["a"] = 2
    del kv["a"]
    kv["a"] = 3
    assert [(e.old, e.new) for e in puts] == [(ck.MISSING, 1), (1, 2), (ck.MISSING, 3)]
    assert [(e.old, e.new) for e in deletes] == [(2, ck.MISSING)]


def test_observing_a_prefix(kv):
    events = []
    kv.observe(events.append, prefix="a/")
    more = []
    kv.observe(more.append, prefix=b"a")
    kv.update({"a/1": 1, "a": 2, "b": 3})
    kv[b"a/2"] = 4
    assert [e.key for e in events] == ["a/1", b"a/2"]
    assert [e.key for e in more] == ["a/1", "a", b"a/2"]


def test_cancel(kv):
    events = []
    subscription = kv.observe(events.append)
    kv["a"] = 1
    subscription.cancel()
    kv["a"] = 2
    assert len(events) == 1
    with kv.observe(events.append):
        kv["a"] = 3
    kv["a"] = 4
    assert len(events) == 2


def test_exceptions_come_last_and_undo_nothing(kv):
    events = []

    def bad(event):
        raise ZeroDivisionError

    kv.observe(bad)
    kv.observe(events.append)
    kv.on_put(bad)
    with pytest.raises(ExceptionGroup) as caught:
        kv["a"] = 1
    assert len(caught.value.exceptions) == 2
    assert kv["a"] == 1 and len(events) == 1
    with pytest.raises(ExceptionGroup), kv.batch() as b:
        b.put("b", 1)
        b.put("c", 1)
    assert (kv == {"a": 1, "b": 1, "c": 1} and len(events) == 3 and kv.commit() is None) or len(kv.changes()) == 2


def test_exceptions_end_no_exchange():
    a, b = datastore(1), datastore(2)
    a.update({"x": 1, "y": 2})
    b.on_put(lambda event: 1 / 0)
    with pytest.raises(ExceptionGroup):
        b.apply(a.export())
    assert b == {"x": 1, "y": 2} and b.root == a.root
    a["z"] = 3
    with pytest.raises(ExceptionGroup):
        b.merge(a)
    assert b == a
    a["w"] = 4
    with pytest.raises(ExceptionGroup):
        ck.sync(a, b)
    assert b == a


def test_a_callback_may_read_and_write(kv):
    def index(event):
        if isinstance(event.key, str) and event.key.startswith("user/"):
            if event.old is not ck.MISSING:
                kv.delete(f"by-name/{event.old}")
            if event.new is not ck.MISSING:
                kv[f"by-name/{event.new}"] = event.key

    kv.observe(index, prefix="user/")
    kv["user/1"] = "ada"
    kv["user/2"] = "bob"
    kv["user/1"] = "eve"
    del kv["user/2"]
    assert dict(kv) == {"user/1": "eve", "by-name/eve": "user/1"}


def test_events_show_the_whole_change():
    """After all of it: a callback sees what the change made of every key."""
    a, b = datastore(1), datastore(2)
    seen = []
    b.observe(lambda event: seen.append(dict(b)))
    with a.batch() as batch:
        batch.put("x", 1)
        batch.put("y", 2)
    meet(a, b)
    assert seen == [{"x": 1, "y": 2}] * 2


def test_a_change_over_many_keys():
    a, b = datastore(1), datastore(2)
    events = []
    b.observe(events.append)
    with a.batch() as batch:
        for n in range(5000):
            batch.put(f"{n:04}", n)
    meet(a, b)
    assert sorted((e.key, e.new) for e in events) == [(f"{n:04}", n) for n in range(5000)]


def test_purge_and_what_shows_again(kv):
    kv["k"] = "default"
    kv.put("k", "other", dag="d")
    kv.put("l", 1, dag="d")
    events = []
    kv.observe(events.append)
    kv.purge("d")
    assert [(e.key, e.old, e.new) for e in sorted(events, key=lambda e: e.key)] == [
        ("k", "other", "default"),
        ("l", 1, ck.MISSING),
    ]


def test_compaction_tells_nothing(watched):
    kv, events = watched
    for n in range(5):
        kv["a"] = "x" * 100 + str(n)
        kv.commit()
    events.clear()
    kv.compact()
    kv.repair()
    assert events == []


def test_a_mirror_that_follows_is_equal():
    a, b = datastore(1), datastore(2)
    mirror = {}

    def follow(event):
        if event.new is ck.MISSING:
            assert mirror.pop(event.key) == event.old
        else:
            assert mirror.get(event.key, ck.MISSING) == event.old
            mirror[event.key] = event.new

    a.observe(follow)
    for n in range(300):
        kv = (a, b)[n % 2]
        key = f"{n * 37 % 40}"
        if n % 7 == 0:
            kv.delete(key)
        else:
            kv[key] = n
        if n % 11 == 0:
            meet(a, b)
    meet(a, b)
    assert mirror == dict(a) == dict(b)


def test_equivocations_are_told_once():
    from crdtkv import testing

    kv = datastore(1)
    found = []
    kv.observe_equivocations(found.append)
    x, y = testing.Forger(kv, ck.Identity.generate()).fork(lambda d: d.put("k", 1), lambda d: d.put("k", 2))
    kv.apply(x)
    assert found == []
    kv.apply(y)
    kv.apply(y)
    assert len(found) == 1 and found[0].lane == kv.equivocations()[0].lane


def test_long_values_are_told_a_few_at_a_time():
    """A liar's few bytes may change what many long values show: they are copied by the mebibyte, not all at once."""
    bytes_at_once = []

    class Watching(ck.Datastore):
        def _tell(self) -> None:
            while news := self._take_news():
                bytes_at_once.append(sum(len(side) for row in news for side in row[1:3] if side is not ck.MISSING))

    kv = Watching()
    other = kv.fork(ck.Identity.generate())
    with kv.batch() as b:
        for n in range(20):
            b.put(f"k{n}", "x" * 500_000)
    other.merge(kv)
    other.clear()
    with kv.observe(lambda event: None):
        kv.merge(other)
    assert not kv and sum(bytes_at_once) == 20 * 500_000 and max(bytes_at_once) < 5 << 20 and len(bytes_at_once) > 2
