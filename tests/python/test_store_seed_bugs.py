"""The bugs of the store that this one is to replace, each by name."""

from time import process_time

import pytest

import crdtkv as ck
from house.stores import NOON, Clock, assert_equal, assert_sound, meet, pull, store


def test_a_diff_with_only_deletes_is_not_dropped():
    a, b = store("a"), store("b")
    a["x"], a["y"] = 1, 2
    pull(b, a)
    del a["x"]
    report = pull(b, a)
    assert report and report.applied == ("x",) and b == {"y": 2}


def test_a_delete_of_the_authors_newest_entry_travels():
    a, b = store("a"), store("b")
    a["x"], a["newest"] = 1, 2
    pull(b, a)
    del a["newest"]
    assert pull(b, a).applied == ("newest",) and b == {"x": 1}
    del b["x"]
    assert pull(a, b).applied == ("x",)


def test_a_delete_of_the_only_entry_there_ever_was_travels():
    a, b = store("a"), store("b")
    a["only"] = 1
    pull(b, a)
    del a["only"]
    pull(b, a)
    assert b == {}


def test_a_losing_concurrent_dot_neither_panics_nor_stays_for_ever():
    a, b, c = store("a"), store("b"), store("c")
    a["k"], b["k"] = 1, 2
    meet(a, b, c)
    for s in (a, b, c):
        assert s == {"k": 2}
        fresh = store("z")
        pull(fresh, s)
        assert fresh == {"k": 2}
    c["k"] = 3
    meet(a, b, c)
    del a["k"]
    meet(a, b, c)
    assert_equal(a, b, c)
    empty = store("e")
    assert a == {} and a.index_size() <= empty.index_size() + 3 * 30
    assert_sound(a)


def test_in_a_transaction_remove_then_insert_ends_inserted():
    s, other = store("a"), store("b")
    s["k"] = "old"
    pull(other, s)
    with s.transaction() as t:
        del t["k"]
        t["k"] = "new"
    assert s == {"k": "new"}
    pull(other, s)
    assert other == {"k": "new"}
    t = s.begin()
    del t["k"]
    t["k"] = "newer"
    other.integrate_ops(t.commit_with_ops())
    assert other == s == {"k": "newer"}


def test_in_a_transaction_insert_then_remove_ends_removed():
    s, other = store("a"), store("b")
    s["k"] = "old"
    pull(other, s)
    t = s.begin()
    t["k"] = "new"
    del t["k"]
    other.integrate_ops(t.commit_with_ops())
    assert s == {}
    pull(other, s)
    assert_equal(s, other)


def test_op_sync_does_not_ignore_deletes():
    a, b, c = store("a"), store("b"), store("c")
    put = a.insert_with_op("k", 1)
    gone = a.remove_with_op("k")
    b.integrate_ops([put, gone])
    c.integrate_ops([gone, put])
    assert b == c == {}
    a["k"] = 1
    b.integrate_opset(a.opset())
    del a["k"]
    b.integrate_opset(a.opset())
    assert b == {}


def test_the_clock_does_not_mix_units():
    clock = Clock()
    s = ck.Store("a", clock=clock)
    s["a"] = 1
    clock.ms += 1
    s["b"] = 1
    assert [e.hlc for e in s.entries().values()] == [NOON << 16, (NOON + 1) << 16]
    clock.ms += 3_600_000
    s["c"] = 1
    assert s.entries()["c"].hlc - s.entries()["b"].hlc == 3_600_000 << 16


def test_the_clock_learns_from_peers():
    a, b = store("a", NOON + 5000), store("b")
    a["k"] = 1
    pull(b, a)
    b["l"] = 2
    assert b.entries()["l"].hlc > a.entries()["k"].hlc


def test_a_key_that_nobody_deleted_does_not_vanish_with_clocks_askew():
    # a's bookmark at b is ahead of b's own clock: without learning, b's dots would be below what others have seen of it
    a, b, c = store("a", NOON + 5000), store("b"), store("c", NOON - 5000)
    a["k"] = 1
    pull(b, a)
    b["k"] = 2
    pull(c, b)
    c["k"] = 3
    c["mine"] = 4
    meet(a, b, c)
    assert a == b == c == {"k": 3, "mine": 4}
    assert_equal(a, b, c)


def test_a_fresh_replicas_request_can_be_read():
    a, fresh = store("a"), ck.Store()
    a["k"] = 1
    fresh.integrate_diff(a.build_diff(fresh.request_diff()))
    assert fresh == {"k": 1}
    assert ck.Store().build_diff(ck.Store().request_diff())
    assert not ck.Store().integrate_diff(ck.Store().build_diff(ck.Store().request_diff()))


def test_a_diff_without_deletes_can_be_read():
    a, b = store("a"), store("b")
    a["x"] = 1
    b["y"] = 2
    pull(b, a)
    a["z"] = 3
    assert pull(b, a).applied == ("z",)


def test_overwriting_ones_own_key_leaks_no_dot():
    s = store()
    for i in range(20_000):
        s["k"] = i
    assert len(s.conflicts("k")) == 1 and s.index_size() < 60 and len(s.save()) < 120
    other = store("b")
    diff = s.build_diff(other.request_diff())
    assert len(diff) < 80
    other.integrate_diff(diff)
    assert_equal(s, other)
    assert other.entries()["k"].hlc == s.clock.last


def test_an_overwritten_dot_is_not_sent_with_the_winners_value():
    a, b = store("a"), store("b")
    a["k"] = "old"
    pull(b, a)
    a["k"] = "new"
    pull(b, a)
    assert [e.value for e in b.conflicts("k")] == ["new"]


def test_contiguous_dots_take_hundreds_of_bytes_and_not_131220():
    s = store()
    with s.transaction() as t:
        for i in range(200_000):
            t[i.to_bytes(4, "big")] = None
    assert s.index_size() <= 300
    behind = ck.Store.load(s.save())
    s["one more"] = 1
    assert len(behind.request_diff()) <= 300 and len(s.build_diff(behind.request_diff())) < 100


def test_an_op_over_a_gap_loses_no_key():
    a, b, c = store("a"), store("b"), store("c")
    a.insert_with_op("lost on the way", 1)
    b.integrate_op(a.insert_with_op("came", 2))
    pull(b, c)
    pull(c, b)
    meet(a, b, c)
    assert a == b == c == {"lost on the way": 1, "came": 2}


def test_a_lost_disk_under_the_same_name_deletes_nothing():
    a, b = ck.Store("a"), ck.Store("b")
    a["old"] = 1
    pull(b, a)
    a = ck.Store("a")
    pull(b, a)
    a["new"] = 2
    pull(b, a)
    assert b == {"old": 1, "new": 2}


def test_two_operations_are_named_apart():
    a = store("a")
    ops = {a.insert_with_op("k", 1) for _ in range(10)}
    assert len(ops) == 10


@pytest.mark.parametrize("n", [20_000])
def test_a_replica_a_little_behind_costs_a_little(n):
    a, b = store("a"), store("b")
    with a.transaction() as t:
        for i in range(n):
            t[f"{i * 7919 % n:06}"] = i
    pull(b, a)
    for i in range(0, n, n // 20):
        a[f"{i:06}"] = "new"
    request = b.request_diff()
    began = process_time()
    diff = a.build_diff(request)
    assert process_time() - began < 0.1 and len(diff) < 20 * 30 + 400
    b.integrate_diff(diff)
    assert_equal(a, b)
