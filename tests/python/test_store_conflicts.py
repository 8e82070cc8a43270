"""Concurrent writes of a key: who is shown, who stays hidden, and who supersedes whom."""

from itertools import permutations

import pytest

import crdtkv as ck
from house.stores import NOON, assert_equal, meet, pull, store, whole


def values(s, key="k"):
    return [e.value for e in s.conflicts(key)]


def writers(**ms):
    stores = [store(name, NOON + at) for name, at in ms.items()]
    for name, s in zip(ms, stores):
        s["k"] = name
    return stores


# ---- who is shown


def test_the_greater_hlc_is_shown_on_both_sides():
    for first, second in ((0, 1), (1, 0)):
        a, b = writers(a=first, b=second)
        meet(a, b)
        assert a["k"] == b["k"] == ("a" if first > second else "b")
        assert_equal(a, b)


def test_with_equal_hlc_the_greater_incarnation_is_shown():
    a, b = writers(a=0, b=0)
    assert a.entries()["k"].hlc == b.entries()["k"].hlc
    meet(a, b)
    assert values(a) == values(b) == ["b", "a"]
    one, two = store("n", incarnation=b"\x01" * 8), store("n", incarnation=b"\xff" * 8)
    one["k"], two["k"] = 1, 2
    meet(one, two)
    assert values(one) == values(two) == [2, 1]


def test_incarnations_are_compared_as_bytes_whole():
    short, long = store("a", incarnation=b"\xff" * 8), store("aa", incarnation=b"\x00" * 8)
    short["k"], long["k"] = "short", "long"
    meet(short, long)
    assert short["k"] == long["k"] == max((short.incarnation, "short"), (long.incarnation, "long"))[1]


def test_values_do_not_decide():
    a, b = store("a"), store("b")
    a["k"], b["k"] = "zzz", None
    meet(a, b)
    assert a["k"] is None and values(b) == [None, "zzz"]


# ---- conflicts


def test_conflicts_lists_all_the_shown_one_first():
    a, b, c = writers(a=1, b=2, c=0)
    meet(a, b, c)
    for s in (a, b, c):
        found = s.conflicts("k")
        assert [(e.value, e.peer, e.hlc >> 16) for e in found] == [
            ("b", b.incarnation, NOON + 2),
            ("a", a.incarnation, NOON + 1),
            ("c", c.incarnation, NOON),
        ]
        assert found[0] == s.entries()["k"] and len(s) == len(s.entries()) == 1 and list(s.values()) == ["b"]
    assert_equal(a, b, c)


def test_conflicts_of_a_missing_key_is_empty_and_of_a_lone_entry_one():
    s = store()
    s["k"] = 1
    assert s.conflicts("z") == [] and s.conflicts(b"k") == [] and s.conflicts("k") == [s.entries()["k"]]


def test_a_loser_that_arrives_changes_no_entry():
    a, b = writers(a=0, b=1)
    report = pull(b, a)
    assert report.applied == () and values(b) == ["b", "a"]
    assert pull(a, b).applied == ("k",)


# ---- who supersedes


@pytest.mark.parametrize("end", [lambda s: s.update(k="new"), lambda s: s.pop("k"), lambda s: s.clear()])
def test_who_saw_both_supersedes_both(end):
    a, b = writers(a=0, b=1)
    c = store("c")
    pull(c, a)
    pull(c, b)
    end(c)
    for first, second in ((a, b), (b, a)):
        pull(first, c)
        assert values(first) == values(c)
        pull(second, first)
    meet(a, b, c)
    assert_equal(a, b, c)
    assert values(a) in ([], ["new"])


def test_who_saw_one_supersedes_that_one_only():
    a, b = writers(a=0, b=1)
    del b["k"]
    meet(a, b)
    assert values(a) == values(b) == ["a"]
    a, b = writers(a=0, b=1)
    a["k"] = "a again"
    meet(a, b)
    assert values(a) == values(b) == ["b", "a again"]


def test_the_hidden_one_is_shown_when_the_winner_is_removed_by_one_who_saw_the_winner_only():
    a, b, c = *writers(a=0, b=1), store("c")
    pull(c, b)
    pull(a, b)
    assert values(a) == ["b", "a"]
    del c["k"]
    report = pull(a, c)
    assert report.applied == ("k",) and values(a) == ["a"] and a["k"] == "a" and len(a) == 1
    meet(a, b, c)
    assert_equal(a, b, c)


def test_a_put_wins_over_a_concurrent_remove_whatever_the_clocks_say():
    for at in (-1000, 0, 1000):
        a = store("a")
        a["k"] = "old"
        b = store("b", NOON + at)
        pull(b, a)
        del a["k"]
        b["k"] = "new"
        meet(a, b)
        assert a == b == {"k": "new"}
        assert_equal(a, b)


def test_a_put_wins_over_a_concurrent_remove_by_ops_and_opsets():
    a, b, c = store("a"), store("b"), store("c")
    put = a.insert_with_op("k", "old")
    b.integrate_op(put)
    c.integrate_op(put)
    b.opset(), a.opset()
    gone, again = a.remove_with_op("k"), b.insert_with_op("k", "new")
    for first, second in ((gone, again), (again, gone)):
        twin = c.copy()
        twin.integrate_op(first)
        twin.integrate_op(second)
        assert twin == {"k": "new"}
    for order in ((a.opset(), b.opset()),):
        c.integrate_opset(order[0])
        assert c == {}
        c.integrate_opset(order[1])
    a.integrate_op(again)
    b.integrate_op(gone)
    assert a == b == c == {"k": "new"}
    assert_equal(a, b, c)


def test_two_concurrent_removes_are_one():
    a, b = store("a"), store("b")
    a["k"] = 1
    pull(b, a)
    del a["k"], b["k"]
    meet(a, b)
    assert a == b == {}
    assert_equal(a, b)


# ---- hidden ones travel


@pytest.mark.parametrize("way", ["diff", "ops", "opset", "save", "copy"])
def test_hidden_ones_travel(way):
    a, b = store("a"), store("b", NOON + 1)
    ops = [a.insert_with_op("k", "a"), b.insert_with_op("k", "b")]
    both = ck.Store.merge_opsets(a.opset(), b.opset())
    pull(a, b)
    d = store("d")
    if way == "diff":
        pull(d, a)
    elif way == "ops":
        d.integrate_ops(ops)
    elif way == "opset":
        d.integrate_opset(both)
    elif way == "save":
        d = ck.Store.load(a.save())
    else:
        d = a.copy()
    assert values(d) == ["b", "a"]
    assert_equal(a, d)


def test_an_overwrite_names_the_hidden_ones_it_supersedes_also_in_its_op():
    a, b, c = *writers(a=0, b=1), store("c")
    pull(c, a)
    pull(c, b)
    watcher = c.copy()
    assert watcher.integrate_op(c.insert_with_op("k", "new")).applied == ("k",)
    assert values(watcher) == ["new"]
    assert watcher.integrate_op(c.remove_with_op("k")).applied == ("k",) and watcher == {}
    meet(a, b, c, watcher)
    assert_equal(a, b, c, watcher)
    assert a == {}


# ---- schedules


def loser_and_remover():
    """a and b write at once, b later; b removes what it wrote and has not seen a's. d has seen both, before that."""
    a, b, d = *writers(a=0, b=1), store("d")
    pull(d, a)
    pull(d, b)
    del b["k"]
    return a, b, d


@pytest.mark.parametrize("pairs", list(permutations(permutations(range(3), 2), 3)), ids=str)
def test_who_met_whom_does_not_matter_to_a_loser_that_nobody_superseded(pairs):
    # dropped at once where both met, the loser would count there as seen and removed, and would be deleted everywhere
    stores = loser_and_remover()
    for taker, giver in pairs:
        pull(stores[taker], stores[giver])
    meet(*stores)
    for s in stores:
        assert s == {"k": "a"} and len(s.conflicts("k")) == 1
    assert_equal(*stores)


def test_the_three_replica_schedule_in_full():
    a, b, d = loser_and_remover()
    assert values(d) == ["b", "a"]
    pull(a, d)
    assert values(a) == ["b", "a"]
    pull(a, b)
    pull(d, b)
    assert values(a) == values(d) == ["a"]
    pull(b, d)
    assert_equal(a, b, d)


def test_a_loser_in_ten_thousand_conflicts_is_kept():
    a, b = store("a"), store("b")
    with a.transaction() as t, b.transaction() as u:
        for i in range(10_000):
            t[f"{i:05}"], u[f"{9999 - i:05}"] = "a", "b"
    meet(a, b)
    assert_equal(a, b)
    assert len(a) == 10_000 and all(len(entries) == 2 for entries in whole(a).values())
    a.clear()
    pull(b, a)
    assert b == {} and b.request_diff() == a.request_diff() and b.index_size() < 200
