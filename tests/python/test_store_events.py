"""Events of a Store: one for each key whose value changed, after all of it has happened."""

import sys
import threading

import pytest

import crdtkv as ck
from house.stores import assert_equal, pull, store


def watched(s, prefix=None):
    """The events of a store from now on."""
    events = []
    s.observe(events.append, prefix)
    return events


def seen(events):
    return {event.key: (event.old, event.new) for event in events}


# ---- what is told


def test_a_put_an_overwrite_and_a_removal():
    s = store()
    events = watched(s)
    s["k"] = 1
    s["k"] = [2]
    del s["k"]
    assert all(type(event) is ck.KeyEvent for event in events)
    assert [(e.key, e.old, e.new, e.is_local) for e in events] == [
        ("k", ck.MISSING, 1, True),
        ("k", 1, [2], True),
        ("k", [2], ck.MISSING, True),
    ]
    assert [e.author for e in events[:2]] == [s.incarnation] * 2


def test_events_are_values():
    events = watched(store())
    assert (
        ck.KeyEvent("k", 1, 2, b"a", True) == ck.KeyEvent("k", 1, 2, b"a", True) != ck.KeyEvent("k", 1, 3, b"a", True)
    )
    with pytest.raises(AttributeError):
        ck.KeyEvent("k", 1, 2, b"a", True).key = "x"
    assert events == []


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (lambda s: s.pop("a"), {"a": (1, ck.MISSING)}),
        (lambda s: s.pop("z", None), {}),
        (lambda s: s.popitem(), {"b": (2, ck.MISSING)}),
        (lambda s: s.setdefault("a", 9), {}),
        (lambda s: s.setdefault("c", 9), {"c": (ck.MISSING, 9)}),
        (lambda s: s.update(a=5, c=6), {"a": (1, 5), "c": (ck.MISSING, 6)}),
        (lambda s: s.clear(), {"a": (1, ck.MISSING), "b": (2, ck.MISSING)}),
        (lambda s: s.__delitem__(slice("a", "b")), {"a": (1, ck.MISSING)}),
        (lambda s: s.insert_with_op("a", 7), {"a": (1, 7)}),
        (lambda s: s.remove_with_op("a"), {"a": (1, ck.MISSING)}),
        (lambda s: s.__ior__({"a": 8}), {"a": (1, 8)}),
        (lambda s: (s["a"], s.get("z"), list(s), s.save(), s.request_diff(), s.opset(), s.entries()), {}),
    ],
)
def test_every_way_to_write_tells(act, wanted):
    s = store()
    s.update(a=1, b=2)
    events = watched(s)
    act(s)
    assert seen(events) == wanted and len(events) == len(wanted)
    assert all(e.is_local for e in events)


def test_what_fails_tells_nothing():
    s = store()
    s["a"] = 1
    events = watched(s)
    for wrong in (
        lambda: s.__setitem__("a", object()),
        lambda: s.__delitem__("z"),
        lambda: s.update([("a", 2), ("b", object())]),
        lambda: s.integrate_op(b"garbage"),
        lambda: s.integrate_diff(b""),
    ):
        with pytest.raises((TypeError, KeyError, ck.DecodeError)):
            wrong()
    assert events == []


# ---- transactions


def test_a_transaction_tells_its_net_effect_after_its_end():
    s = store()
    s.update(a=1, b=2)
    found = []

    def look(event):
        found.append((event.key, event.old, event.new, dict(s)))
        with s.transaction():  # the one before has ended
            pass

    s.observe(look)
    with s.transaction() as t:
        t["a"] = 5
        t["a"] = 6
        t["c"] = 7
        del t["b"]
        t["d"] = 8
        del t["d"]
        assert found == []
    after = {"a": 6, "c": 7}
    assert sorted(found, key=lambda f: f[0]) == [
        ("a", 1, 6, after),
        ("b", 2, ck.MISSING, after),
        ("c", ck.MISSING, 7, after),
    ]


def test_an_aborted_transaction_tells_nothing():
    s = store()
    events = watched(s)
    t = s.begin()
    t["a"] = 1
    t.abort()
    t = s.begin()
    t["a"] = 1
    del t
    with pytest.raises(ValueError), s.transaction() as t:
        t["a"] = 1
        raise ValueError
    assert events == []


# ---- integration


@pytest.mark.parametrize("way", ["diff", "ops", "opset"])
def test_what_others_wrote_tells_its_author(way):
    a, b = store("a"), store("b")
    a.update(x=1, y=2)
    pull(b, a)
    b.opset(), a.opset()
    events = watched(b)
    ops = [a.insert_with_op("x", 5), a.insert_with_op("z", 6), a.remove_with_op("y")]
    if way == "diff":
        pull(b, a)
    elif way == "ops":
        b.integrate_ops(ops)
    else:
        b.integrate_opset(a.opset())
    assert seen(events) == {"x": (1, 5), "y": (2, ck.MISSING), "z": (ck.MISSING, 6)} and len(events) == 3
    assert {e.key: e.author for e in events} == {"x": a.incarnation, "y": None, "z": a.incarnation}
    assert not any(e.is_local for e in events)


def test_an_integration_tells_after_all_of_it():
    a, b = store("a"), store("b")
    a.update({f"k{i}": i for i in range(5)})
    sizes = []
    b.observe(lambda event: sizes.append((len(b), event.new == b[event.key])))
    pull(b, a)
    assert sizes == [(5, True)] * 5


def test_an_op_that_waited_tells_when_it_is_released():
    a, b = store("a"), store("b")
    one, two = a.insert_with_op("x", 1), a.insert_with_op("y", 2)
    events = watched(b)
    b.integrate_op(two)
    assert events == []
    b.integrate_op(one)
    assert seen(events) == {"x": (ck.MISSING, 1), "y": (ck.MISSING, 2)}


def test_what_changes_no_shown_value_tells_nothing():
    a, b = store("a"), store("b")
    a["k"], b["k"] = 1, 2
    events = watched(b)
    pull(b, a)
    assert len(b.conflicts("k")) == 2 and events == []
    pull(b, a)
    b.integrate_diff(a.build_diff(b.request_diff()))
    assert events == []


def test_a_hidden_value_that_comes_to_light_tells_its_author():
    a, b, c = store("a"), store("b"), store("c")
    a["k"], b["k"] = 1, 2
    pull(c, a)
    pull(c, b)
    events = watched(c)
    del b["k"]
    pull(c, b)
    (event,) = events
    assert (event.key, event.old, event.new, event.author, event.is_local) == ("k", 2, 1, a.incarnation, False)


# ---- prefixes


def test_an_observer_of_a_prefix_hears_of_keys_of_both_types_below_it():
    s = store()
    one, two, all_of_them = watched(s, "a/"), watched(s, b"a"), watched(s)
    for key in ("a/x", b"a/y", "a", b"b", "", b"a0"):
        s[key] = 1
    assert [e.key for e in one] == ["a/x", b"a/y"] and [e.key for e in two] == ["a/x", b"a/y", "a", b"a0"]
    assert len(all_of_them) == 6
    assert [e.key for e in watched(s, "")] == []
    s.clear()
    assert {e.key for e in one[2:]} == {"a/x", b"a/y"}


def test_a_prefix_of_another_type_is_a_type_error():
    s = store()
    for wrong in (5, ("a",), object()):
        with pytest.raises(TypeError):
            s.observe(print, wrong)
    with pytest.raises(TypeError):
        s.observe(5)


# ---- subscriptions


def test_a_cancelled_observer_hears_no_more():
    s = store()
    events = []
    subscription = s.observe(events.append)
    assert type(subscription) is ck.Subscription
    s["a"] = 1
    subscription.cancel()
    subscription.cancel()
    s["a"] = 2
    assert len(events) == 1
    with s.observe(events.append):
        s["a"] = 3
    s["a"] = 4
    assert [e.new for e in events] == [1, 3]


def test_an_observer_may_cancel_itself_and_others():
    s = store()
    events = []

    def once(event):
        events.append("once")
        mine.cancel()
        other.cancel()

    mine = s.observe(once)
    other = s.observe(lambda event: events.append("other"))
    s["a"] = 1
    s["a"] = 2
    assert events.count("once") == 1 and events.count("other") <= 1


def test_an_observer_twice_hears_twice():
    s = store()
    events = []
    s.observe(events.append)
    s.observe(events.append)
    s["a"] = 1
    assert len(events) == 2


def test_a_copy_has_no_observers():
    s = store()
    events = watched(s)
    twin = s.copy()
    twin["a"] = 1
    assert events == []


# ---- exceptions, writes


class MineError(Exception):
    pass


def raising(event):
    raise MineError(event.key)


def test_exceptions_of_callbacks_are_gathered_and_undo_nothing():
    s = store()
    s.observe(raising)
    events = watched(s)
    s.observe(raising)
    with pytest.raises(ExceptionGroup) as caught:
        s["k"] = 1
    assert [type(e) for e in caught.value.exceptions] == [MineError] * 2
    assert s["k"] == 1 and len(events) == 1
    with pytest.raises(ExceptionGroup) as caught, s.transaction() as t:
        t["a"], t["b"] = 1, 2
    assert {str(e) for e in caught.value.exceptions} == {"a", "b"} and set(s) == {"a", "b", "k"}
    with pytest.raises(ExceptionGroup):
        del s["k"]
    assert "k" not in s and len(events) == 4


@pytest.mark.parametrize("way", ["diff", "op", "ops", "opset"])
def test_exceptions_during_an_integration_come_last(way):
    a, b = store("a"), store("b")
    ops = [a.insert_with_op("x", 1), a.insert_with_op("y", 2)]
    opset = a.opset()
    b.observe(raising)
    with pytest.raises(ExceptionGroup) as caught:
        if way == "diff":
            pull(b, a)
        elif way == "op":
            b.integrate_op(ops[0])
        elif way == "ops":
            b.integrate_ops(ops)
        else:
            b.integrate_opset(opset)
    wanted = {"x": 1} if way == "op" else {"x": 1, "y": 2}
    assert b == wanted and len(caught.value.exceptions) == len(wanted)
    if way != "op":
        assert_equal(a, b)


def test_exceptions_of_callbacks_end_no_session():
    a, b = store("a"), store("b")
    a["k"] = 1
    b.observe(raising)
    left, right = a.session(), b.session()
    with pytest.raises(ExceptionGroup):
        for _ in range(10):
            while (message := left.send()) is not None:
                right.receive(message)
            while (message := right.send()) is not None:
                left.receive(message)
    for _ in range(10):
        while (message := left.send()) is not None:
            right.receive(message)
        while (message := right.send()) is not None:
            left.receive(message)
    assert b == {"k": 1} and left.done and right.done


def test_callbacks_may_write():
    s = store()
    order = []

    def log(event):
        order.append((event.key, event.new))
        if event.key != "log":
            s["log"] = s.get("log", 0) + 1
            with s.transaction() as t:
                t["log"] = t["log"] + 1

    s.observe(log)
    s["a"] = 1
    del s["a"]
    with s.transaction() as t:
        t["b"], t["c"] = 1, 2
    assert s == {"b": 1, "c": 2, "log": 8}
    assert sorted(value for key, value in order if key == "log") == list(range(1, 9))


def test_callbacks_may_take_in_and_send():
    a, b, c = store("a"), store("b"), store("c")
    b.observe(lambda event: pull(c, b))
    a.observe(lambda event: pull(b, a))
    a["x"] = 1
    a.update(y=2, z=3)
    assert a == b == c == {"x": 1, "y": 2, "z": 3}
    assert_equal(a, b, c)


def test_a_callback_may_iterate_and_the_writer_may_not_while_it_does():
    s = store()
    s.update(a=1, b=2)
    kept = []
    s.observe(lambda event: kept.append(list(s.items())))
    s["c"] = 3
    assert kept == [[("a", 1), ("b", 2), ("c", 3)]]


def test_endless_writing_callbacks_end_in_an_exception():
    s = store()

    def more(event):
        if event.new < 100_000:
            s["k"] = event.new + 1

    s.observe(more)
    try:
        s["k"] = 0
    except (RecursionError, ExceptionGroup):
        pass
    else:
        assert s["k"] == 100_000
    assert s["k"] > 10 and len(s) == 1


def test_who_comes_later_hears_nothing_of_before():
    s = ck.Store("me")

    def stop(event):
        s["more"] = 1
        raise KeyboardInterrupt

    subscription = s.observe(stop)
    with pytest.raises(KeyboardInterrupt):
        s["x"] = 1
    subscription.cancel()
    heard = []
    s.observe(lambda event: heard.append(event.key))
    s["y"] = 1
    assert heard == ["y"]


def test_observers_that_come_while_others_go():
    s = ck.Store("me")
    heard = []

    def come_and_go():
        for _ in range(300):
            s.observe(lambda event: None).cancel()

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for n in range(20):
            threads = [threading.Thread(target=come_and_go) for _ in range(2)]
            for thread in threads:
                thread.start()
            subscription = s.observe(lambda event: heard.append(event.key))
            for thread in threads:
                thread.join()
            s[f"{n}"] = n
            assert heard == [f"{n}"]
            heard.clear()
            subscription.cancel()
    finally:
        sys.setswitchinterval(switch)
