"""The clock of a Store: 48 bits of milliseconds, 16 of counter; never back, never far ahead."""

from datetime import timedelta
from time import time

import pytest

import crdtkv as ck
from house.named import named
from house.stores import NOON, Clock, pull, state, store

END = (1 << 48) - 2  # the last millisecond there is
MINUTE = 60_000


def hlc(s, key):
    return s.entries()[key].hlc


def written(s):
    """The hlc that a put gets."""
    s["now"] = 1
    return hlc(s, "now")


# ---- what a put gets


def test_an_hlc_is_milliseconds_and_a_counter():
    s = store()
    s["a"] = 1
    s["b"] = 1
    assert hlc(s, "a") == NOON << 16 and hlc(s, "b") == (NOON << 16) + 1


def test_a_new_millisecond_begins_at_counter_zero():
    clock = Clock()
    s = ck.Store("a", clock=clock)
    written(s)
    clock.ms += 1
    assert written(s) == (NOON + 1) << 16 and written(s) == ((NOON + 1) << 16) + 1


def test_the_clock_of_the_machine_counts_milliseconds_since_1970():
    s = ck.Store()
    before = int(time() * 1000)
    got = written(s)
    assert before <= got >> 16 <= int(time() * 1000)


def test_a_clock_that_goes_back_moves_no_hlc_back():
    clock = Clock()
    s = ck.Store("a", clock=clock)
    got = [written(s)]
    for ms in (NOON - 1, NOON - MINUTE, 1, 0, NOON - 1, NOON):
        clock.ms = ms
        got.append(written(s))
    assert got == [(NOON << 16) + i for i in range(7)]


def test_more_than_65536_puts_in_a_millisecond_borrow_from_the_next():
    clock = Clock()
    s = ck.Store("a", clock=clock)
    with s.transaction() as t:
        for i in range(65_537):
            t[f"{i:05}"] = i
    assert hlc(s, "65535") == (NOON << 16) + 65_535 and hlc(s, "65536") == (NOON + 1) << 16
    clock.ms = NOON + 1
    assert written(s) == ((NOON + 1) << 16) + 1


def test_last_is_the_greatest_issued_and_now_what_the_next_put_would_get():
    clock = Clock()
    s = ck.Store("a", clock=clock)
    assert s.clock.last == 0 and s.clock.now() == s.clock.now() == NOON << 16 and s.clock.last == 0
    for ms in (NOON, NOON, NOON + 5, NOON - 5):
        clock.ms = ms
        will_be = s.clock.now()
        before = s.save()
        assert s.clock.now() == will_be and s.save() == before
        assert written(s) == will_be == s.clock.last


def test_a_store_works_in_1970():
    s = store(ms=0)
    first, second = written(s), written(s)
    assert first < second < 1 << 16


def test_the_clock_cannot_be_set():
    s = store()
    with pytest.raises(AttributeError):
        s.clock.last = 5
    with pytest.raises(AttributeError):
        s.clock = None


# ---- learning from peers


def test_a_put_after_a_pull_is_later_than_all_that_came():
    a, b = store("a", NOON + MINUTE), store("b")
    written(a)
    pull(b, a)
    assert b.clock.last == a.clock.last and written(b) == a.clock.last + 1


@pytest.mark.parametrize("way", ["diff", "op", "ops", "opset"])
def test_every_way_in_teaches_the_clock(way):
    a, b = store("a", NOON + MINUTE), store("b")
    op = a.insert_with_op("k", 1)
    if way == "diff":
        pull(b, a)
    elif way == "op":
        b.integrate_op(op)
    elif way == "ops":
        b.integrate_ops([op])
    else:
        b.integrate_opset(a.opset())
    assert b["k"] == 1 and b.clock.last == (NOON + MINUTE) << 16 == written(b) - 1


def test_a_pull_that_brings_only_knowledge_of_removed_dots_teaches_the_clock_too():
    a, b = store("a", NOON + MINUTE), store("b")
    written(a)
    del a["now"]
    pull(b, a)
    assert len(b) == 0 and b.clock.last == (NOON + MINUTE) << 16


def test_the_past_is_never_refused():
    for ms in (0, 1, NOON - 10_000 * MINUTE):
        a, b = store("a", ms), store("b")
        last = written(b)
        a["old"] = 1
        pull(b, a)
        assert b["old"] == 1 and written(b) == last + 1


def test_a_put_of_one_who_had_seen_the_old_value_wins_although_his_clock_is_behind():
    a, b = store("a", NOON + MINUTE), store("b", NOON - MINUTE)
    a["k"] = "old"
    pull(b, a)
    b["k"] = "new"
    pull(a, b)
    assert a["k"] == b["k"] == "new" and len(a.conflicts("k")) == 1


# ---- drift


def messages(ms):
    """One of each kind of message, from a store whose clock stands at ms, and how to take it in."""
    a = store("z", ms, max_drift=None)
    op = a.insert_with_op("k", 1)
    empty = ck.Store().request_diff()
    return {
        "diff": (a.build_diff(empty), lambda s, m: s.integrate_diff(m)),
        "op": (op, lambda s, m: s.integrate_op(m)),
        "ops": (op, lambda s, m: s.integrate_ops([m])),
        "opset": (a.opset(), lambda s, m: s.integrate_opset(m)),
    }


@pytest.mark.parametrize("way", ["diff", "op", "ops", "opset"])
def test_a_dot_beyond_the_drift_is_refused_and_leaves_no_trace(way):
    s = store("a")
    s["mine"] = 1
    before = state(s)
    for ms in (NOON + 10 * MINUTE + 1, NOON + 100 * MINUTE, END):
        message, take = messages(ms)[way]
        with pytest.raises(ck.ClockDriftError):
            take(s, message)
        assert state(s) == before and "k" not in s
    message, take = messages(NOON + 10 * MINUTE)[way]
    take(s, message)
    assert s["k"] == 1 and s.clock.last == (NOON + 10 * MINUTE) << 16


@pytest.mark.parametrize("way", ["diff", "op", "ops", "opset"])
def test_what_was_refused_for_its_time_is_welcome_when_that_time_has_come(way):
    clock = Clock()
    s = ck.Store("a", clock=clock)
    message, take = messages(NOON + 20 * MINUTE)[way]
    with pytest.raises(ck.ClockDriftError):
        take(s, message)
    clock.ms += 10 * MINUTE
    take(s, message)
    assert s["k"] == 1


def test_a_part_in_the_future_refuses_the_whole_message():
    good, late = store("b"), store("z", NOON + 11 * MINUTE)
    good["good"] = late["late"] = 1
    relay = store("r", max_drift=None)
    pull(relay, good)
    pull(relay, late)
    s = store("a")
    before = state(s)
    with pytest.raises(ck.ClockDriftError):
        pull(s, relay)
    with pytest.raises(ck.ClockDriftError):
        s.integrate_opset(ck.Store.merge_opsets(good.opset(), late.opset()))
    assert state(s) == before


def test_a_bookmark_in_the_future_is_refused_even_if_nothing_is_live_there():
    far = store("z", NOON + 11 * MINUTE)
    written(far)
    del far["now"]
    s = store("a")
    before = state(s)
    with pytest.raises(ck.ClockDriftError):
        pull(s, far)
    assert state(s) == before


def test_one_op_in_the_future_refuses_all_of_them():
    late = store("z", NOON + 11 * MINUTE)
    ops = [store("b").insert_with_op("good", 1), late.insert_with_op("late", 1)]
    s = store("a")
    before = state(s)
    for order in (ops, ops[::-1]):
        with pytest.raises(ck.ClockDriftError):
            s.integrate_ops(order)
        assert state(s) == before


def test_an_op_that_would_wait_is_refused_for_its_time_all_the_same():
    late = store("z", NOON + 11 * MINUTE)
    late.insert_with_op("k", 1)
    s = store("a")
    with pytest.raises(ck.ClockDriftError):
        s.integrate_op(late.insert_with_op("k", 2))
    assert s.clock.last == 0


def test_the_drift_is_measured_against_the_clock_and_not_against_what_was_learnt():
    s = store("a")
    pull(s, store_written("b", NOON + 10 * MINUTE))
    with pytest.raises(ck.ClockDriftError):
        pull(s, store_written("c", NOON + 10 * MINUTE + 1))


def store_written(name, ms):
    s = store(name, ms)
    s[name] = 1
    return s


def test_a_request_from_the_future_changes_nothing():
    far = store_written("z", NOON + 1000 * MINUTE)
    s = store("a")
    s["k"] = 1
    before = state(s)
    try:
        diff = s.build_diff(far.request_diff())
    except ck.ClockDriftError:
        pass
    else:
        far.integrate_diff(diff)
        assert far["k"] == 1
    assert state(s) == before


def test_without_max_drift_any_time_is_taken():
    s = store("a", max_drift=None)
    pull(s, store_written("z", END - 1))
    assert s["z"] == 1 and s.clock.last == (END - 1) << 16 == written(s) - 1


@pytest.mark.parametrize("drift", [timedelta(0), timedelta(milliseconds=1), timedelta(days=30)])
def test_max_drift_is_a_timedelta(drift):
    ms = NOON + int(drift / timedelta(milliseconds=1))
    s = store("a", max_drift=drift)
    pull(s, store_written("b", ms))
    with pytest.raises(ck.ClockDriftError):
        pull(s, store_written("c", ms + 1))
    assert s == {"b": 1}


def test_the_greatest_timedelta_overflows_nothing():
    s = store("a", max_drift=timedelta.max)
    pull(s, store_written("z", END))
    assert s["z"] == 1


def test_load_checks_no_drift_and_takes_the_clock_along():
    far = store_written("z", NOON + 1000 * MINUTE)
    s = ck.Store.load(far.save(), "a", clock=Clock())
    assert s["z"] == 1 and s.clock.last == far.clock.last and written(s) == far.clock.last + 1


def test_a_loaded_store_checks_what_comes_later():
    s = ck.Store.load(store_written("a", NOON).save(), clock=Clock(), max_drift=timedelta(minutes=1))
    with pytest.raises(ck.ClockDriftError):
        pull(s, store_written("z", NOON + 2 * MINUTE))


# ---- the end of time


def test_after_the_last_hlc_there_is_none_and_the_store_stays_usable():
    s = store("a", END)
    with s.transaction() as t:
        for i in range(65_535):
            t[f"{i:05}"] = i
    assert written(s) == (END << 16) + 65_535
    before = state(s)
    for write in (
        lambda: s.__setitem__("more", 1),
        lambda: s.insert_with_op("more", 1),
        lambda: s.update(more=1),
        lambda: s.setdefault("more", 1),
        s.clock.now,
    ):
        with pytest.raises((ck.Error, OverflowError)):
            write()
        assert state(s) == before and "more" not in s
    fresh = store("b", END, max_drift=None)
    pull(fresh, s)
    assert fresh == s
    del s["00000"]
    pull(fresh, s)
    assert "00000" not in fresh and len(fresh) == 65_535
    assert ck.Store.load(s.save()) == s


def test_a_transaction_that_would_pass_the_end_of_time_is_undone_as_a_whole():
    s = store("a", END)
    with s.transaction() as t:
        for i in range(65_534):
            t[f"{i:05}"] = i
    before = state(s)
    with pytest.raises((ck.Error, OverflowError)), s.transaction() as t:
        t["x"] = t["y"] = t["z"] = 1
        del t["00000"]
    assert state(s) == before
    with s.transaction() as t:
        t["x"] = t["y"] = 1
    assert s.clock.last == (END << 16) + 65_535


def test_a_store_that_learnt_the_end_of_time_can_still_learn_and_remove():
    z = store("z", END)
    with z.transaction() as t:
        for i in range(65_536):
            t[f"{i:05}"] = i
    s = store("a", max_drift=None)
    pull(s, z)
    assert s == z
    pull(s, store_written("b", NOON))
    assert s["b"] == 1
    with pytest.raises((ck.Error, OverflowError)):
        s["k"] = 1
    s.clear()
    pull(z, s)
    assert z == s == {}


# ---- clocks that fail


@pytest.mark.parametrize("wrong", [1.5, "now", None, b"", [], object()], ids=named)
def test_a_clock_that_gives_no_int_is_a_type_error_and_nothing_changes(wrong):
    refuses(wrong, TypeError)


@pytest.mark.parametrize("wrong", [-1, END + 1, 1 << 48, 1 << 63, 1 << 64, 10**30, -(10**30)])
def test_a_clock_beyond_48_bits_is_an_error_and_nothing_changes(wrong):
    refuses(wrong, (ValueError, OverflowError, ck.Error))


def refuses(wrong, error):
    clock = Clock()
    s = ck.Store("a", clock=clock)
    s["k"] = 1
    before = state(s)
    op = store("b").insert_with_op("o", 1)
    clock.ms = wrong
    for write in (
        lambda: s.__setitem__("new", 1),
        lambda: s.insert_with_op("new", 1),
        lambda: s.update(new=1, other=2),
        lambda: s.integrate_op(op),
        s.clock.now,
    ):
        with pytest.raises(error):
            write()
        assert state(s) == before
    clock.ms = NOON + 1
    s["new"] = 1
    s.integrate_op(op)
    assert s == {"k": 1, "new": 1, "o": 1}


def test_a_clock_that_raises_is_heard_and_nothing_changes():
    class Broken(Exception):
        pass

    broken = False

    def clock():
        if broken:
            raise Broken
        return NOON

    s = ck.Store("a", clock=clock)
    s["k"] = 1
    before = state(s)
    op, diff = store("b").insert_with_op("o", 1), store_written("c", NOON).build_diff(s.request_diff())
    broken = True
    for write in (
        lambda: s.__setitem__("new", 1),
        lambda: s.insert_with_op("new", 1),
        lambda: s.update(new=1),
        lambda: s.integrate_op(op),
        lambda: s.integrate_diff(diff),
        s.clock.now,
    ):
        with pytest.raises(Broken):
            write()
        assert state(s) == before
    with pytest.raises(Broken), s.transaction() as t:
        t["new"] = 1
    assert state(s) == before
    broken = False
    s["new"] = 1
    assert s == {"k": 1, "new": 1}


def test_reading_needs_no_clock():
    def clock():
        raise AssertionError("nobody should ask")

    s = ck.Store.load(store_written("k", NOON).save(), clock=clock)
    assert s["k"] == 1 and list(s.items()) == [("k", 1)] and s.request_diff() and s.save() and len(s.entries()) == 1
    with pytest.raises(AssertionError):
        s["k"] = 2
    assert s["k"] == 1


@pytest.mark.parametrize(
    "meddle",
    [
        lambda s: s.__setitem__("deep", 1),
        lambda s: s.pop("k", None),
        lambda s: s.clear(),
        lambda s: s.begin(),
        lambda s: s.save(),
        lambda s: s.integrate_op(store("b").insert_with_op("o", 1)),
    ],
)
def test_a_clock_that_meddles_with_its_store_breaks_nothing(meddle):
    inside = False

    def clock():
        nonlocal inside
        if not inside:
            inside = True
            try:
                meddle(s)
            except RuntimeError:
                pass
            finally:
                inside = False
        return NOON

    s = ck.Store("a", clock=clock)
    for key in ("k", "l", "k"):
        try:
            s[key] = key
        except RuntimeError:
            continue
        assert s[key] == key
    dots = [(e.hlc, e.peer) for e in s.entries().values()]
    assert len(set(dots)) == len(dots) == len(s)
    assert ck.Store.load(s.save()) == s
