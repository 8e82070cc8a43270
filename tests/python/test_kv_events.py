"""Who is told of keys that change in a Datastore."""

import pytest

import crdtkv as ck


def recorder(events):
    return lambda event: events.append((event.key, event.old, event.new, event.is_local))


def test_lone_writes_are_told_at_once():
    kv = ck.Datastore()
    events, puts, gone = [], [], []
    subscriptions = [kv.observe(recorder(events)), kv.on_put(recorder(puts)), kv.on_delete(recorder(gone))]
    kv["x"] = [1]
    kv["x"] = [1]
    kv["x"] = 2
    del kv["x"]
    kv.delete("x")
    put, replaced, deleted = ("x", ck.MISSING, [1], True), ("x", [1], 2, True), ("x", 2, ck.MISSING, True)
    assert [event for event in events if event[1] != event[2]] == [put, replaced, deleted]
    assert gone == [deleted] and put in puts and replaced in puts and deleted not in puts
    for subscription in subscriptions:
        subscription.cancel()
    kv["x"] = 3
    assert len(gone) == 1 and events[-1] == deleted


def test_author_and_prefix():
    a = ck.Datastore()
    b = a.fork(ck.Identity.generate())
    events = []
    with b.observe(events.append, prefix="user/"):
        a.update({"user/ada": 1, b"user/\xff": 2, "mode": "dark"})
        a.counter("user/n").increment()
        b.merge(a)
    assert [(e.key, e.new, e.author, e.is_local) for e in events] == [
        ("user/ada", 1, a.identity.public_key, False),
        (b"user/\xff", 2, a.identity.public_key, False),
    ]
    with pytest.raises(TypeError):
        a.observe(events.append, prefix=5)
    for wrong in (a.observe, a.on_put, a.on_delete):
        with pytest.raises(TypeError, match="callable"):
            wrong(5)


def test_a_batch_is_told_when_it_is_written_each_key_once():
    kv = ck.Datastore()
    kv["old"] = 1
    events = []
    seen = []
    with kv.observe(recorder(events)), kv.on_put(lambda event: seen.append(kv.to_py())), kv.batch() as b:
        b.put("x", 1)
        b.put("x", 2)
        b.delete("old")
        b.put("gone", 1)
        b.delete("gone")
        assert events == []
        b.commit()
    assert sorted(events, key=lambda e: e[0]) == [("old", 1, ck.MISSING, True), ("x", ck.MISSING, 2, True)]
    assert seen == [{"x": 2}], "after the whole change"


def test_only_what_is_shown_is_told():
    a = ck.Datastore()
    b = a.fork(ck.Identity.generate())
    a["x"], b["x"] = "a", "b"
    events = {}
    for kv in (a, b):
        events[id(kv)] = []
        kv.observe(recorder(events[id(kv)]))
    a.merge(b)
    b.merge(a)
    told = events[id(a)] + events[id(b)]
    assert len(told) == 1 and {told[0][1], told[0][2]} == {"a", "b"} and a["x"] == b["x"] == told[0][2]


def test_all_ways_in_are_told():
    for way in ("apply", "merge", "sync", "session"):
        a = ck.Datastore()
        b = a.fork(ck.Identity.generate())
        a.put("x", 1, dag="d")
        events = []
        b.observe(recorder(events))
        if way == "apply":
            b.apply(a.export())
        elif way == "merge":
            b.merge(a)
        elif way == "sync":
            ck.sync(a, b)
        else:
            left, right = a.session(), b.session()
            while not (left.done and right.done):
                for one, other in ((left, right), (right, left)):
                    while message := one.send():
                        other.receive(message)
        assert events == [("x", ck.MISSING, 1, False)], way


def test_exceptions_come_last_and_undo_nothing():
    kv = ck.Datastore()
    heard = []

    def fails(event):
        raise ValueError(event.key)

    kv.observe(fails)
    kv.observe(heard.append)
    with pytest.raises(ExceptionGroup, match=r"observe\(\)") as caught:
        kv.update(a=1, b=2)
    assert [str(error) for error in caught.value.exceptions] == ["a", "b"]
    assert len(heard) == 2 and kv == {"a": 1, "b": 2}
    with pytest.raises(ExceptionGroup):
        kv["c"] = 3
    with pytest.raises(ExceptionGroup), kv.batch() as b:
        b.put("d", 4)
    assert kv["c"] == 3 and kv["d"] == 4 and len(heard) == 4
    with pytest.raises(ZeroDivisionError), kv.batch() as b:
        b.put("e", 5)
        1 / 0  # noqa: B018
    other = kv.fork(ck.Identity.generate())
    other["f"] = 6
    with pytest.raises(ExceptionGroup):
        ck.sync(kv, other)
    assert kv["f"] == 6 and kv.root == other.root


def test_a_callback_may_write_and_cancel():
    kv = ck.Datastore()
    order = []

    def follow(event):
        order.append(event.key)
        if event.key < "d":
            kv[chr(ord(event.key) + 1)] = event.new
        if event.key == "c":
            other.cancel()

    kv.observe(follow)
    heard = []
    other = kv.observe(lambda event: heard.append(event.key))
    kv["a"] = 1
    assert order == ["a", "b", "c", "d"] and heard == ["a", "b"] and list(kv) == ["a", "b", "c", "d"]


def test_who_comes_late_hears_nothing_of_before():
    kv = ck.Datastore()
    kv["x"] = 1
    events = []
    with kv.observe(recorder(events)):
        pass
    kv["y"] = 1
    with kv.observe(recorder(events)):
        kv.commit()
    assert events == []
