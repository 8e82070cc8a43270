"""Transactions of a Store: seen by nobody before their end, then at once, in the order of last writes."""

import gc
import threading
from collections.abc import MutableMapping

import pytest

import crdtkv as ck
from house.stores import NOON, assert_equal, assert_sound, pull, state, store, whole

FIRST = NOON << 16


def filled(**content):
    s = store()
    s.update(content)
    return s


def hlcs(s):
    return {key: entry.hlc for key, entry in s.entries().items()}


# ---- what it sees


def test_a_transaction_is_a_mutable_mapping_over_the_store():
    s = filled(a=1, c=3)
    with s.transaction() as t:
        assert isinstance(t, MutableMapping) and t == {"a": 1, "c": 3} and len(t) == 2
        t["b"] = 2
        t["d"] = 4
        del t["c"]
        assert list(t) == ["a", "b", "d"] and len(t) == 3 and list(t.items()) == [("a", 1), ("b", 2), ("d", 4)]
        assert t == {"a": 1, "b": 2, "d": 4} and "c" not in t and t.get("c", 9) == 9 and list(t.values()) == [1, 2, 4]
        assert t.pop("a") == 1 and t.pop("a", None) is None and t.setdefault("b", 7) == 2 and t.setdefault("e") is None
        t.update({"f": 6}, g=7)
        assert t.popitem() == ("g", 7)
        with pytest.raises(KeyError):
            t["a"]
        with pytest.raises(KeyError):
            del t["a"]
        assert dict(t) == {"b": 2, "d": 4, "e": None, "f": 6}
    assert s == {"b": 2, "d": 4, "e": None, "f": 6}


def test_it_reads_its_own_writes_and_nobody_else_does():
    s = filled(a=1)
    before = state(s)
    with s.transaction() as t:
        t["a"] = 2
        t["b"] = [1]
        assert t["a"] == 2 and t["b"] == [1] and t["b"] is not t["b"]
        assert s["a"] == 1 and "b" not in s and len(s) == 1 and list(s) == ["a"] and dict(s) == {"a": 1}
        assert s.get("b") is None and list(s.items()) == [("a", 1)] and s[:] == {"a": 1} and len(s.conflicts("a")) == 1
        del t["a"]
        assert "a" not in t and s["a"] == 1 and state(s) == before
        fresh = store("z")
        pull(fresh, s)
        assert fresh == {"a": 1} and ck.Store.load(s.save()) == {"a": 1}
        assert s.copy() == {"a": 1}
    assert s == {"b": [1]}


def test_hidden_values_stay_listed_until_the_commit_supersedes_them():
    a, b = store("a"), store("b")
    a["k"], b["k"] = 1, 2
    pull(a, b)
    with a.transaction() as t:
        assert t["k"] == 2
        t["k"] = 3
        assert [e.value for e in a.conflicts("k")] == [2, 1]
    assert [e.value for e in a.conflicts("k")] == [3]


def test_iteration_of_a_transaction_merges_both_in_key_order():
    s = store()
    s.update({f"{i:03}": i for i in range(0, 300, 2)})
    with s.transaction() as t:
        for i in range(299, 0, -2):
            t[f"{i:03}"] = i
        for i in range(0, 300, 5):
            del t[f"{i:03}"]
        wanted = [f"{i:03}" for i in range(300) if i % 5]
        assert list(t) == wanted and list(reversed(list(t))) == wanted[::-1] and len(t) == len(wanted)
        assert list(s) == [f"{i:03}" for i in range(0, 300, 2)]
    assert list(s) == wanted
    assert_sound(s)


def test_errors_in_a_transaction_leave_it_as_it_was():
    s = filled(a=1)
    with s.transaction() as t:
        t["b"] = 2
        for wrong, error in (
            (lambda: t.__setitem__(5, 1), TypeError),
            (lambda: t.__setitem__("b", object()), TypeError),
            (lambda: t.__setitem__("b", 1 << 64), OverflowError),
            (lambda: t.__setitem__("b" * 5000, 1), ck.LimitError),
            (lambda: t.__setitem__("\ud800", 1), ValueError),
            (lambda: 5 in t, TypeError),
            (lambda: t.get(5), TypeError),
            (lambda: t["nope"], KeyError),
        ):
            with pytest.raises(error):
                wrong()
        assert t == {"a": 1, "b": 2}
    assert s == {"a": 1, "b": 2}


def test_a_transaction_cannot_be_hashed_and_its_repr_is_short():
    s = store()
    with s.transaction() as t:
        t["k"] = "x" * 100_000
        assert len(repr(t)) < 300
        with pytest.raises(TypeError):
            hash(t)


# ---- its hlcs


def test_puts_get_consecutive_hlcs_in_the_order_of_last_writes():
    s = store()
    with s.transaction() as t:
        for key in ("d", "a", "c", "b"):
            t[key] = 1
        t["a"] = 2
        t["d"] = 3
    assert hlcs(s) == {"c": FIRST, "b": FIRST + 1, "a": FIRST + 2, "d": FIRST + 3} and s.clock.last == FIRST + 3


def test_a_removed_and_written_key_counts_where_it_was_last_written():
    s = filled(a=0)
    with s.transaction() as t:
        del t["a"]
        t["b"] = 1
        t["a"] = 2
    assert s == {"a": 2, "b": 1} and hlcs(s) == {"b": FIRST + 1, "a": FIRST + 2}


def test_without_puts_the_clock_does_not_move():
    s = filled(a=1, b=2)
    last = s.clock.last
    with s.transaction():
        pass
    with s.transaction() as t:
        del t["a"]
    with s.transaction() as t:
        t.clear()
    assert s == {} and s.clock.last == last


def test_update_and_clear_are_transactions():
    s = store()
    seen = []
    s.observe(lambda event: seen.append(len(s)))
    s.update({"c": 1, "a": 2}, b=3)
    assert hlcs(s) == {"c": FIRST, "a": FIRST + 1, "b": FIRST + 2} and seen == [3, 3, 3]
    s.clear()
    assert seen == [3, 3, 3, 0, 0, 0] and s.clock.last == FIRST + 2


def test_the_dots_of_a_transaction_make_one_run():
    s = store()
    with s.transaction() as t:
        for i in range(10_000):
            t[f"{i * 7919 % 10_000}"] = i
    assert s.clock.last == FIRST + 9_999 and s.index_size() < 100


# ---- meanwhile


MEANWHILE = {
    "set": lambda s, m: s.__setitem__("k", 1),
    "delete": lambda s, m: s.__delitem__("a"),
    "delete a slice": lambda s, m: s.__delitem__(slice("a", "b")),
    "pop": lambda s, m: s.pop("a"),
    "popitem": lambda s, m: s.popitem(),
    "setdefault": lambda s, m: s.setdefault("k", 1),
    "update": lambda s, m: s.update(k=1),
    "clear": lambda s, m: s.clear(),
    "insert_with_op": lambda s, m: s.insert_with_op("k", 1),
    "remove_with_op": lambda s, m: s.remove_with_op("a"),
    "integrate_diff": lambda s, m: s.integrate_diff(m.build_diff(s.request_diff())),
    "integrate_op": lambda s, m: s.integrate_op(m.insert_with_op("m", 1)),
    "integrate_ops": lambda s, m: s.integrate_ops([m.insert_with_op("m", 1)]),
    "integrate_opset": lambda s, m: s.integrate_opset(m.opset()),
    "opset": lambda s, m: s.opset(),
    "begin": lambda s, m: s.begin(),
    "transaction": lambda s, m: s.transaction().__enter__(),
}


@pytest.mark.parametrize("way", MEANWHILE.values(), ids=MEANWHILE)
def test_meanwhile_other_writes_are_runtime_errors_and_hurt_neither(way):
    s, other = filled(a=1), store("m")
    other["o"] = 1
    before = state(s)
    with s.transaction() as t:
        t["t"] = 1
        with pytest.raises(RuntimeError):
            way(s, other)
        assert state(s) == before and t == {"a": 1, "t": 1}
    assert s == {"a": 1, "t": 1}
    assert_sound(s)


def test_union_in_place_meanwhile_is_a_runtime_error():
    s = filled(a=1)
    with s.transaction(), pytest.raises(RuntimeError):
        s |= {"k": 1}
    assert s == {"a": 1}


# ---- its end


USES = {
    "get": lambda t: t["a"],
    "get of what it wrote": lambda t: t.get("b"),
    "set": lambda t: t.__setitem__("k", 1),
    "delete": lambda t: t.__delitem__("a"),
    "in": lambda t: "a" in t,
    "len": len,
    "iter": lambda t: next(iter(t)),
    "items": lambda t: list(t.items()),
    "update": lambda t: t.update(a=1),
    "clear": lambda t: t.clear(),
    "popitem": lambda t: t.popitem(),
    "commit": lambda t: t.commit(),
    "commit_with_ops": lambda t: t.commit_with_ops(),
    "abort": lambda t: t.abort(),
    "enter": lambda t: t.__enter__(),
}
ENDS = {
    "commit": lambda t: t.commit(),
    "commit_with_ops": lambda t: t.commit_with_ops(),
    "abort": lambda t: t.abort(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_after_its_end_every_use_is_a_stale_handle_error(end, use):
    s = filled(a=1)
    t = s.begin()
    t["b"] = 2
    end(t)
    before = state(s)
    with pytest.raises(ck.StaleHandleError):
        use(t)
    assert state(s) == before


def test_an_iterator_of_a_transaction_is_stale_after_its_end():
    s = filled(a=1, b=2)
    t = s.begin()
    steps, items = iter(t), iter(t.items())
    next(steps), next(items)
    t.abort()
    for stale in (steps, items):
        with pytest.raises(ck.StaleHandleError):
            next(stale)


def test_after_its_end_the_next_one_may_begin():
    s = store()
    for i, end in enumerate((*ENDS.values(), *ENDS.values())):
        t = s.begin()
        t[f"k{i}"] = i
        end(t)
        s["lone"] = i
    assert set(s) == {"k0", "k1", "k3", "k4", "lone"}


def test_abort_leaves_no_trace():
    s = filled(a=1, b=2)
    before = state(s)
    t = s.begin()
    t.update(a=5, c=6)
    del t["b"]
    t.abort()
    assert state(s) == before
    assert_sound(s)


def test_abort_or_commit_inside_the_block_is_no_error_at_its_end():
    s = filled(a=1)
    with s.transaction() as t:
        t["a"] = 2
        t.abort()
    assert s == {"a": 1}
    with s.transaction() as t:
        t["a"] = 2
        t.commit()
        s["b"] = 3
    assert s == {"a": 2, "b": 3}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_an_exception_aborts_and_goes_on(error):
    s = filled(a=1)
    before = state(s)
    with pytest.raises(error), s.transaction() as t:
        t["a"] = 2
        t["b"] = 3
        raise error
    assert state(s) == before
    with pytest.raises(ck.StaleHandleError):
        t["a"]
    s["b"] = 1


def test_a_dropped_transaction_aborts():
    s = filled(a=1)
    before = state(s)
    t = s.begin()
    t["a"] = 2
    t["b"] = 3
    del t
    gc.collect()
    assert state(s) == before
    s["b"] = 1
    with s.transaction() as again:
        again["c"] = 1
    assert s == {"a": 1, "b": 1, "c": 1}


def test_a_transaction_keeps_its_store_alive():
    t = filled(a=1).begin()
    gc.collect()
    t["b"] = 2
    assert dict(t) == {"a": 1, "b": 2}
    t.commit()


def test_a_transaction_in_a_cycle_of_garbage_aborts():
    s = filled(a=1)
    t = s.begin()
    cycle = [t]
    cycle.append(cycle)
    t["b"] = 1
    del t, cycle
    gc.collect()
    s["c"] = 1
    assert s == {"a": 1, "c": 1}


def test_clear_then_write_in_one_transaction():
    s = filled(a=1, b=2, c=3)
    with s.transaction() as t:
        t.clear()
        assert len(t) == 0 and list(t) == []
        t["b"] = 5
    assert s == {"b": 5}
    other = store("z")
    pull(other, s)
    assert_equal(s, other)


def test_a_key_written_and_removed_leaves_nothing():
    s = store()
    with s.transaction() as t:
        t["k"] = 1
        del t["k"]
        t["other"] = 1
    assert s == {"other": 1} and whole(s) == {"other": [(1, s.incarnation, s.clock.last)]}
    other = store("z")
    pull(other, s)
    assert_equal(s, other)
    assert_sound(s)


# ---- with ops


def test_commit_with_ops_gives_the_ops_in_order_of_their_hlc():
    s = filled(old=0)
    other = store("z")
    pull(other, s)
    t = s.begin()
    t["b"] = 1
    t["a"] = 2
    t["b"] = 3
    del t["old"]
    ops = t.commit_with_ops()
    assert type(ops) is list and all(type(op) is bytes for op in ops)
    came = []
    watcher = other.copy()
    for op in ops:
        came += watcher.integrate_op(op).applied
    assert [key for key in came if key != "old"] == ["a", "b"] and set(came) == {"a", "b", "old"}
    report = other.integrate_ops(ops)
    assert set(report.applied) == {"a", "b", "old"}
    assert_equal(s, other, watcher)


def test_an_empty_commit_has_no_ops():
    s = filled(a=1)
    assert s.begin().commit_with_ops() == []
    t = s.begin()
    t["k"] = 1
    del t["k"]
    ops = t.commit_with_ops()
    other = store("z")
    pull(other, s)
    other.integrate_ops(ops)
    assert_equal(s, other)


def test_the_ops_of_a_transaction_follow_those_before_it():
    s, other = store(), store("z")
    ops = [s.insert_with_op("a", 1)]
    t = s.begin()
    t["b"], t["a"] = 2, 3
    ops += t.commit_with_ops()
    ops += [s.remove_with_op("b")]
    for op in reversed(ops):
        other.integrate_op(op)
    assert other == {"a": 3}
    assert_equal(s, other)


def test_commit_gives_nothing_back():
    t = store().begin()
    t["a"] = 1
    assert t.commit() is None


def test_transactions_of_many_threads_do_not_mix():
    s = store()
    done = []

    def work(name):
        for i in range(50):
            while True:
                try:
                    t = s.begin()
                except RuntimeError:
                    continue
                t[f"{name}{i}"] = i
                t[f"{name}{i}b"] = i
                t.commit()
                break
        done.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 3 and len(s) == 300
    assert all(hlcs(s)[f"{n}{i}b"] == hlcs(s)[f"{n}{i}"] + 1 for n in "abc" for i in range(50))
