"""Op sets: the net changes of a replica, which merge as a lattice and wait over gaps."""

import random
from itertools import permutations

import pytest

import crdtkv as ck
from house.stores import assert_equal, assert_sound, meet, pull, state, store, whole

merge = ck.Store.merge_opsets


def authored(name, *steps):
    """The op set after each step of one author."""
    s = store(name)
    sets = []
    for step in steps:
        step(s)
        sets.append(s.opset())
    return s, sets


# ---- one set


def test_an_opset_brings_what_changed():
    a, b = store("a"), store("b")
    a["x"], a["y"] = 1, 2
    with a.transaction() as t:
        t["z"] = 3
    a.insert_with_op("w", 4)
    opset = a.opset()
    assert type(opset) is bytes
    report = b.integrate_opset(opset)
    assert type(report) is ck.Report and set(report.applied) == {"w", "x", "y", "z"} and not report.refused
    assert_equal(a, b)


def test_an_opset_is_what_changed_since_the_last_one():
    a, b = store("a"), store("b")
    a["x"] = 1
    first = a.opset()
    a["y"] = 2
    second = a.opset()
    assert b.integrate_opset(first).applied == ("x",) and b.integrate_opset(second).applied == ("y",)
    assert_equal(a, b)


def test_an_opset_of_no_changes_says_nothing():
    a, b = store("a"), store("b")
    assert not b.integrate_opset(a.opset())
    a["x"] = 1
    a.opset()
    nothing = a.opset()
    assert nothing == a.opset() and not b.integrate_opset(nothing) and b == {}


def test_an_opset_holds_net_changes_only():
    a = store("a")
    for i in range(500):
        a["x"] = "secret" * 10
        a["x"] = i
        a["gone"] = "secret" * 10
        del a["gone"]
    opset = a.opset()
    b = store("b")
    assert b"secret" not in opset and len(opset) < 150
    assert b.integrate_opset(opset).applied == ("x",)
    assert_equal(a, b)


def test_deletes_travel():
    a, b = store("a"), store("b")
    a["x"], a["y"] = 1, 2
    b.integrate_opset(a.opset())
    del a["x"]
    a["y"] = 3
    report = b.integrate_opset(a.opset())
    assert set(report.applied) == {"x", "y"} and b == {"y": 3}
    assert_equal(a, b)


def test_a_delete_alone_travels_and_so_does_that_of_anothers_entry():
    a, b, c = store("a"), store("b"), store("c")
    a["x"] = 1
    opset = a.opset()
    b.integrate_opset(opset)
    c.integrate_opset(opset)
    del b["x"]
    gone = b.opset()
    assert a.integrate_opset(gone).applied == ("x",) and c.integrate_opset(gone).applied == ("x",)
    assert a == b == c == {}
    assert_equal(a, b, c)


def test_what_came_from_others_is_not_ones_own_change():
    a, b, c = store("a"), store("b"), store("c")
    a["x"] = 1
    b.integrate_opset(a.opset())
    pull(b, a)
    b.integrate_op(a.insert_with_op("y", 2))
    assert not c.integrate_opset(b.opset()) and c == {}
    del a["x"]
    pull(b, a)
    assert not a.integrate_opset(b.opset())


def test_hidden_values_travel():
    a, b, c = store("a"), store("b"), store("c")
    a["k"], b["k"] = 1, 2
    one, two = a.opset(), b.opset()
    c.integrate_opset(two)
    report = c.integrate_opset(one)
    assert report.applied == () and [e.value for e in c.conflicts("k")] == [2, 1]
    meet(a, b, c)
    assert_equal(a, b, c)


def test_an_opset_twice_is_the_same_as_once_and_at_home_it_is_nothing():
    a, (one, two) = authored("a", lambda s: s.update(x=1, y=2), lambda s: (s.pop("x"), s.update(y=3)))
    b = store("b")
    for opset in (one, two):
        assert b.integrate_opset(opset)
        before = state(b)
        assert not b.integrate_opset(opset) and state(b) == before
    assert not b.integrate_opset(one) and b == {"y": 3}
    home = state(a)
    assert not a.integrate_opset(one) and not a.integrate_opset(two) and state(a) == home


# ---- gaps


def test_an_opset_over_a_gap_waits_and_moves_no_bookmark():
    a, (one, two, three) = authored("a", *[lambda s, k=k: s.update({k: k}) for k in "xyz"])
    b = store("b")
    empty = b.request_diff()
    report = b.integrate_opset(three)
    assert not report and report.waiting and b == {} and b.request_diff() == empty
    assert b.integrate_opset(one).applied == ("x",) and b == {"x": "x"}
    assert set(b.integrate_opset(two).applied) == {"y", "z"}
    assert_equal(a, b)


def test_a_delete_waits_for_what_it_deletes():
    a, b, c = store("a"), store("b"), store("c")
    a["x"] = 1
    put = a.opset()
    b.integrate_opset(put)
    del b["x"]
    gone = b.opset()
    assert not c.integrate_opset(gone)
    c.integrate_opset(put)
    assert c == {} and not c.integrate_opset(put)
    assert_equal(b, c)


def test_a_pull_settles_what_waits():
    a, (one, two, three) = authored("a", lambda s: s.update(x=1), lambda s: s.update(y=2), lambda s: s.update(z=3, x=4))
    behind, b = store("c"), store("b")
    behind.integrate_opset(one)
    b.integrate_opset(three)
    pull(b, behind)
    assert b in ({}, {"x": 1})  # it knows already that a later x supersedes this one
    assert set(b.integrate_opset(two).applied) >= {"y", "z"} and b == {"x": 4, "y": 2, "z": 3}
    assert_equal(a, b)


def test_the_parts_of_others_in_a_merged_set_do_not_wait_for_a_gap():
    a, (_, a2) = authored("a", lambda s: s.update(x=1), lambda s: s.update(y=2))
    b, (b1,) = authored("b", lambda s: s.update(z=3))
    c = store("c")
    report = c.integrate_opset(merge(a2, b1))
    assert report.applied == ("z",) and report.waiting and c == {"z": 3}
    pull(c, a)
    assert set(c) == {"x", "y", "z"} and c["z"] == b["z"]


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_every_order_ends_the_same(order):
    a, sets = authored(
        "a",
        lambda s: s.update(x=1, y=1),
        lambda s: (s.pop("x"), s.update(z=1)),
        lambda s: s.update(x=2),
        lambda s: (s.pop("y"), s.pop("z")),
    )
    b = store("b")
    for i in order:
        b.integrate_opset(sets[i])
        b.integrate_opset(sets[i])
    assert b == {"x": 2}
    assert_equal(a, b)


def test_what_a_waiting_set_says_is_dead_is_not_shown_when_it_comes():
    _, (one, _, three) = authored(
        "a",
        lambda s: s.update(gone=1),
        lambda s: s.update(x=1),
        lambda s: (s.pop("gone"), s.update(x=2)),
    )
    b = store("b")
    b.integrate_opset(three)
    b.integrate_opset(one)
    assert b == {} and ck.Store.load(b.save()).request_diff() == b.request_diff()


# ---- merging


def some_sets(seed):
    """Op sets of three authors who see some of each other's, in no order."""
    rng = random.Random(seed)
    stores = [store(name) for name in "abc"]
    sets = []
    for step in range(40):
        s = rng.choice(stores)
        key = f"k{rng.randrange(5)}"
        kind = rng.random()
        if kind < 0.5:
            s[key] = step
        elif kind < 0.7:
            s.pop(key, None)
        elif kind < 0.85:
            sets.append(s.opset())
        elif sets:
            s.integrate_opset(rng.choice(sets))
    return stores, [*sets, *(s.opset() for s in stores)]


@pytest.mark.parametrize("seed", range(15))
def test_merging_is_associative_commutative_and_idempotent(seed):
    _, sets = some_sets(seed)
    rng = random.Random(seed)
    for _ in range(20):
        x, y, z = rng.choices(sets, k=3)
        assert merge(x, y) == merge(y, x) and merge(x, x) == merge(x) == x
        assert merge(merge(x, y), z) == merge(x, merge(y, z)) == merge(x, y, z)
        assert merge(merge(x, y), y) == merge(x, y)


@pytest.mark.parametrize("seed", range(15))
def test_a_merged_set_does_what_its_parts_do_in_any_order(seed):
    stores, sets = some_sets(seed)
    rng = random.Random(seed)
    meet(*stores)
    for _ in range(4):
        rng.shuffle(sets)
        cut = sorted(rng.sample(range(len(sets) + 1), 2))
        groups = [sets[: cut[0]], sets[cut[0] : cut[1]], sets[cut[1] :]]
        s = store("z")
        for group in groups:
            if group:
                s.integrate_opset(merge(*group))
        assert whole(s) == whole(stores[0])
        assert_equal(s, stores[0])


@pytest.mark.parametrize("seed", range(30))
def test_replicas_that_see_every_opset_agree_without_state_sync(seed):
    rng = random.Random(seed)
    stores = [store(name) for name in "abc"]
    ways = [[], [], []]
    for step in range(60):
        i = rng.randrange(3)
        s = stores[i]
        key = f"k{rng.randrange(5)}"
        kind = rng.random()
        if kind < 0.4:
            s[key] = step
        elif kind < 0.55:
            s.pop(key, None)
        elif kind < 0.75:
            opset = s.opset()
            for j in range(3):
                if j != i:
                    ways[j].append(opset)
        elif ways[i]:
            s.integrate_opset(ways[i].pop(rng.randrange(len(ways[i]))))
    last = [s.opset() for s in stores]
    for i, s in enumerate(stores):
        ways[i] += [opset for j, opset in enumerate(last) if j != i]
        rng.shuffle(ways[i])
        for opset in ways[i]:
            assert not s.integrate_opset(opset).refused
    assert_equal(*stores)
    assert_sound(stores[0])


def test_a_merge_bridges_a_gap():
    a, (one, two, three) = authored("a", *[lambda s, k=k: s.update({k: k}) for k in "xyz"])
    b = store("b")
    ends = merge(one, three)
    report = b.integrate_opset(ends)
    assert report.applied == ("x",) and report.waiting
    b.integrate_opset(two)
    assert_equal(a, b)
    fresh = store("c")
    assert len(fresh.integrate_opset(merge(ends, two)).applied) == 3 and fresh == a


def test_a_merge_forgets_what_a_later_part_removed():
    _, (one, two) = authored("a", lambda s: s.update(x="secret" * 50, y=1), lambda s: s.pop("x"))
    both = merge(one, two)
    assert b"secret" in one and b"secret" not in both and len(both) < len(one)
    b = store("b")
    b.integrate_opset(both)
    assert b == {"y": 1} and not b.integrate_opset(one) and b == {"y": 1}


def test_ops_and_opsets_of_one_author_may_be_mixed():
    a, b, c = store("a"), store("b"), store("c")
    op1 = a.insert_with_op("x", 1)
    op2 = a.insert_with_op("y", 2)
    opset = a.opset()
    op3 = a.remove_with_op("x")
    for taker, order in ((b, (op3, op2, opset, op1)), (c, (opset, op3, op1, op2))):
        for message in order:
            take = taker.integrate_opset if message is opset else taker.integrate_op
            take(message)
        assert taker == {"y": 2}
    assert_equal(a, b, c)


def test_merge_takes_buffers_and_nothing_else():
    _, (one, two) = authored("a", lambda s: s.update(x=1), lambda s: s.update(y=2))
    assert merge(bytearray(one), memoryview(two)) == merge(one, two)
    for wrong in (None, 5, "text", [one]):
        with pytest.raises(TypeError):
            merge(one, wrong)
        with pytest.raises(TypeError):
            store("b").integrate_opset(wrong)
