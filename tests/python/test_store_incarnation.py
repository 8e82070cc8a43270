"""Incarnations: what a lost or cloned disk, a copy or a forked process writes is never mistaken for something else."""

import copy
import os
import pickle
import sys

import pytest

import crdtkv as ck
from house.stores import NOON, Clock, assert_equal, meet, pull, store

AGAIN = {
    "load": lambda s: ck.Store.load(s.save(), s.peer_id),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "method": lambda s: s.copy(),
    "pickle": lambda s: pickle.loads(pickle.dumps(s)),
}
again = pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)


# ---- what it is


def test_an_incarnation_is_drawn_at_the_first_write():
    s = ck.Store("laptop")
    assert s.incarnation is None
    s.get("k"), s.save(), s.request_diff(), list(s), s.opset(), s.clock.now(), s.clear(), s.update({})
    with s.transaction():
        pass
    assert s.incarnation is None
    s["k"] = 1
    first = s.incarnation
    assert type(first) is bytes and first.startswith(b"laptop/") and len(first) == len(b"laptop/") + 8
    s["k"] = 2
    s.request_diff(), s.save(), s.opset()
    s.insert_with_op("k", 3)
    assert s.incarnation == first == s.entries()["k"].peer


@pytest.mark.parametrize(
    "write",
    [
        lambda s: s.__setitem__("k", 1),
        lambda s: s.update(k=1),
        lambda s: s.setdefault("k", 1),
        lambda s: s.insert_with_op("k", 1),
    ],
)
def test_every_kind_of_put_draws_one(write):
    s = ck.Store(b"x")
    write(s)
    assert s.entries()["k"].peer == s.incarnation and s.incarnation.startswith(b"x/")


def test_taking_in_draws_none():
    a, b = ck.Store("a"), ck.Store("b")
    a["k"] = 1
    pull(b, a)
    b.integrate_op(a.insert_with_op("l", 1))
    b.integrate_opset(a.opset())
    assert b.incarnation is None and b == a


def test_what_is_refused_draws_none_that_shows():
    s = ck.Store("a")
    with pytest.raises(TypeError):
        s["k"] = object()
    with pytest.raises(KeyError):
        del s["k"]
    with pytest.raises(ValueError), s.transaction() as t:
        t["k"] = 1
        raise ValueError
    assert s == {} and s.request_diff() == ck.Store().request_diff()


def test_incarnations_of_one_name_differ():
    seen = set()
    for _ in range(50):
        s = ck.Store("same")
        s["k"] = 1
        seen.add(s.incarnation)
    assert len(seen) == 50


def test_an_incarnation_may_be_given_as_8_bytes_or_whole():
    for given in (b"12345678", b"a/12345678"):
        s = ck.Store("a", incarnation=given)
        s["k"] = 1
        assert s.incarnation == b"a/12345678" == s.entries()["k"].peer
    with pytest.raises(ValueError):
        ck.Store("a", incarnation=b"b/12345678")


def test_a_name_may_hold_anything():
    for name in (b"", b"/", b"a/b/c", b"\x00\xff", "é", b"x" * 100):
        s = ck.Store(name)
        s["k"] = 1
        raw = name.encode() if isinstance(name, str) else name
        assert s.incarnation[:-8] == raw + b"/"
        fresh = ck.Store()
        pull(fresh, s)
        assert fresh == s and ck.Store.load(s.save(), name).peer_id == s.peer_id


# ---- copies


@again
def test_a_copy_opens_an_incarnation_of_its_own(again):
    a = ck.Store("a", clock=None)
    a["k"] = 1
    twin = again(a)
    assert twin.incarnation is None and twin.peer_id == a.peer_id and twin.entries()["k"].peer == a.incarnation
    before = a.incarnation
    twin["t"] = 1
    a["s"] = 1
    assert a.incarnation == before != twin.incarnation and twin.incarnation.startswith(b"a/")


@again
def test_cloned_disks_that_both_write_lose_nothing(again):
    a, friend = ck.Store("a"), ck.Store("f")
    a.update(both=1, mine=1)
    pull(friend, a)
    one, two = again(a), again(a)
    one["one"], two["two"], a["three"] = 1, 2, 3
    one["both"] = "one"
    del two["mine"]
    meet(one, two, a, friend)
    assert_equal(one, two, a, friend)
    assert dict(friend) == {"both": "one", "one": 1, "two": 2, "three": 3}
    assert len({one.incarnation, two.incarnation, a.incarnation}) == 3


def test_clones_of_clones_with_clocks_that_stand_still_make_no_dot_twice():
    a = store("a")
    a["k"] = 0
    clones = [a]
    for i in range(6):
        clones.append(ck.Store.load(clones[i // 2].save(), "a", clock=Clock()))
    for i, s in enumerate(clones):
        s[f"own{i}"] = i
        s["shared"] = i
    meet(*clones)
    assert_equal(*clones)
    assert {f"own{i}" for i in range(7)} <= set(a) and len(a.conflicts("shared")) == 7
    assert len({e.peer for e in a.conflicts("shared")}) == 7


# ---- lost disks


def test_a_lost_disk_deletes_nothing():
    a, b = ck.Store("a"), ck.Store("b")
    for i in range(10):
        a[f"k{i}"] = i
    pull(b, a)
    a = ck.Store("a")
    a["new"] = 1
    pull(b, a)
    assert set(b) == {"new", *(f"k{i}" for i in range(10))}
    pull(a, b)
    assert_equal(a, b)


def test_a_lost_disk_deletes_nothing_by_ops_or_opsets():
    for way in ("ops", "opset"):
        a, b = ck.Store("a"), ck.Store("b")
        b.integrate_op(a.insert_with_op("old", 1))
        a = ck.Store("a")
        op = a.insert_with_op("new", 1)
        if way == "ops":
            b.integrate_op(op)
        else:
            b.integrate_opset(a.opset())
        assert set(b) == {"old", "new"}


def test_an_old_backup_put_back_deletes_nothing():
    clock = Clock()
    a, b = ck.Store("a", clock=clock), store("b")
    a["kept"] = 1
    backup = a.save()
    a["after"] = 2
    a["kept"] = 3
    pull(b, a)
    a = ck.Store.load(backup, "a", clock=clock)
    a["again"] = 4
    pull(b, a)
    assert b == {"kept": 3, "after": 2, "again": 4}
    pull(a, b)
    assert_equal(a, b)


def test_an_old_backup_takes_its_own_later_ops_back():
    a, b = store("a"), store("b")
    first = a.insert_with_op("x", 1)
    backup = a.save()
    second = a.insert_with_op("y", 2)
    b.integrate_ops([first, second])
    a = ck.Store.load(backup, "a", clock=Clock())
    third = a.insert_with_op("z", 3)
    assert b.integrate_op(third).applied == ("z",)
    assert a.integrate_op(second).applied == ("y",)
    assert_equal(a, b)


def test_what_a_restored_replica_had_removed_comes_back_and_can_be_removed_again():
    a, b = store("a"), store("b")
    a["k"] = 1
    pull(b, a)
    backup = a.save()
    del a["k"]
    a = ck.Store.load(backup, "a", clock=Clock())
    assert a == {"k": 1}
    pull(a, b)
    del a["k"]
    pull(b, a)
    assert b == {}


def test_a_restored_replica_learns_what_was_removed_after_its_backup():
    a, b = store("a"), store("b")
    a["k"] = 1
    backup = a.save()
    del a["k"]
    pull(b, a)
    a = ck.Store.load(backup, "a", clock=Clock())
    pull(a, b)
    assert_equal(a, b)
    a = ck.Store.load(backup, "a", clock=Clock())
    pull(b, a)
    assert b == {}


# ---- save and load


def test_load_restores_all_but_the_incarnation():
    a, b = store("a"), store("b")
    a.update(k=1, gone=1)
    b["k"] = 2
    del a["gone"]
    pull(a, b)
    back = ck.Store.load(a.save(), "a")
    assert_equal(a, back)
    assert back.clock.last == a.clock.last and back.incarnation is None and len(back.conflicts("k")) == 2


def test_load_under_another_name():
    a = store("a")
    a["k"] = 1
    back = ck.Store.load(a.save(), "other", clock=Clock(), incarnation=b"12345678")
    assert back.peer_id in ("other", b"other")
    back["l"] = 1
    assert back.incarnation == b"other/12345678" and back.entries()["k"].peer == a.incarnation


def test_a_copy_shares_neither_clock_nor_content():
    a = ck.Store("a", clock=Clock(NOON))
    a["k"] = [1]
    twin = a.copy()
    for i in range(5):
        twin[f"t{i}"] = i
    assert a.clock.last == NOON << 16 and set(a) == {"k"}


def test_a_copy_that_removed_what_the_original_put_later_can_be_saved():
    a = store("a")
    a["k"] = 1
    copied = ck.Store.load(a.save(), "a", clock=Clock())
    a["later"] = 2
    pull(copied, a)
    del copied["later"], copied["k"]
    again = ck.Store.load(copied.save(), "a", clock=Clock())
    assert again == {} and again.request_diff() == copied.request_diff()
    assert set(a.integrate_opset(again.opset()).applied) == {"k", "later"} and a == {}


def test_what_no_opset_told_is_told_after_a_load():
    a, b = store("a"), store("b")
    a.update({f"a{i:03}": i for i in range(100)})
    b.integrate_opset(a.opset())
    a.update(mine=1)
    back = ck.Store.load(a.save(), "a", clock=Clock())
    a.update({f"b{i:03}": i for i in range(100)})
    b.integrate_opset(a.opset())
    pull(back, a)
    for keys in (
        [f"b{i:03}" for i in range(100)],
        ["mine"],
        [f"a{i:03}" for i in [*range(98, 0, -2), *range(1, 99, 2)]],
    ):
        for key in keys:
            del back[key]
    again = ck.Store.load(back.save(), "a", clock=Clock())
    told = again.opset()
    assert set(again) == {"a000", "a099"} and set(b.integrate_opset(told).applied) >= {"b000", "a001", "a098"}
    pull(b, again)
    assert_equal(again, b)


# ---- fork of the process


def in_a_child(write):
    """What `write` gives, done in a forked process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            data = write()
            with os.fdopen(writer, "wb") as out:
                out.write(data)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as come:
        data = come.read()
    assert os.waitpid(child, 0)[1] == 0
    return data


needs_fork = pytest.mark.skipif(not hasattr(os, "fork") or sys.version_info >= (3, 12), reason="fork warns of threads")


@needs_fork
def test_a_forked_process_writes_under_an_incarnation_of_its_own():
    a = store_without_incarnation()
    a["before"] = 1

    def write():
        a["child"] = 1
        a["same"] = "child"
        return a.save()

    data = in_a_child(write)
    a["parent"] = 1
    a["same"] = "parent"
    child = ck.Store.load(data, clock=Clock())
    assert child.entries()["child"].peer != a.entries()["parent"].peer
    meet(a, child)
    assert_equal(a, child)
    assert set(a) == {"before", "child", "parent", "same"} and len(a.conflicts("same")) == 2


@needs_fork
def test_children_that_write_first_draw_different_incarnations():
    a = store_without_incarnation()

    def write():
        a["k"] = 1
        return a.incarnation

    assert len({in_a_child(write) for _ in range(5)}) == 5 and a.incarnation is None


@needs_fork
def test_a_child_of_a_child_and_its_ops():
    a, b = store_without_incarnation(), store("b")
    first = a.insert_with_op("k", 0)

    def deeper():
        op = a.insert_with_op("k", 1)
        inner = in_a_child(lambda: a.insert_with_op("k", 2))
        return len(op).to_bytes(4, "big") + op + inner

    data = in_a_child(deeper)
    n = int.from_bytes(data[:4], "big")
    last = a.insert_with_op("k", 3)
    b.integrate_ops([first, data[4 : 4 + n], data[4 + n :], last])
    assert {e.value for e in b.conflicts("k")} == {2, 3} and len({e.peer for e in b.conflicts("k")}) == 2


@needs_fork
def test_a_transaction_across_a_fork_is_of_one_incarnation():
    a = store_without_incarnation()
    a["k"] = 0
    t = a.begin()
    t["x"] = 1

    def write():
        t["y"] = 2
        t.commit()
        return a.save()

    child = ck.Store.load(in_a_child(write), clock=Clock())
    t["z"] = 3
    t.commit()
    meet(a, child)
    assert_equal(a, child)
    assert a == {"k": 0, "x": 1, "y": 2, "z": 3} and len(a.conflicts("x")) == 2


def store_without_incarnation():
    return ck.Store("a", clock=Clock())
