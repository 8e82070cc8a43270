"""Single operations: in any order, any number of times, through gaps; and the caps on what waits."""

import random
from itertools import permutations

import pytest

import crdtkv as ck
from house.stores import assert_equal, assert_sound, meet, pull, state, store, whole

CAP = 1024
MIB = 1 << 20


def chain(s, n):
    """The ops of n puts of one author."""
    return [s.insert_with_op(f"{i:05}", i) for i in range(n)]


# ---- one op


def test_an_op_is_applied_at_home_and_brings_the_same_elsewhere():
    a, b = store("a"), store("b")
    op = a.insert_with_op("k", {"n": [1]})
    assert type(op) is bytes and a == {"k": {"n": [1]}}
    report = b.integrate_op(op)
    assert report and report.applied == ("k",) and report.waiting == () and report.refused == ()
    assert_equal(a, b)
    gone = a.remove_with_op("k")
    assert a == {} and b.integrate_op(gone).applied == ("k",) and b == {}
    assert_equal(a, b)


def test_removing_what_is_not_there_is_a_key_error():
    a = store()
    with pytest.raises(KeyError):
        a.remove_with_op("k")
    a["k"] = 1
    with pytest.raises(KeyError):
        a.remove_with_op(b"k")
    assert a == {"k": 1}


def test_an_op_twice_is_the_same_as_once():
    a, b = store("a"), store("b")
    ops = [a.insert_with_op("k", 1), a.insert_with_op("k", 2), a.remove_with_op("k"), a.insert_with_op("k", 3)]
    for op in ops:
        assert b.integrate_op(op)
        before = state(b)
        assert not b.integrate_op(op) and state(b) == before
    for op in random.Random(1).choices(ops, k=20):
        assert not b.integrate_op(op) and b == {"k": 3}
    assert_equal(a, b)


def test_ones_own_op_coming_back_changes_nothing():
    a = store()
    ops = [a.insert_with_op("k", 1), a.insert_with_op("k", 2), a.remove_with_op("k")]
    before = state(a)
    for op in ops:
        assert not a.integrate_op(op)
    assert not a.integrate_ops(ops) and state(a) == before


def test_an_op_is_any_buffer_and_nothing_else():
    op = store("a").insert_with_op("k", 1)
    for kind in (bytes, bytearray, memoryview):
        b = store("b")
        assert b.integrate_op(kind(op)) and b == {"k": 1}
        b = store("b")
        assert b.integrate_ops([kind(op)]) and b == {"k": 1}
    b = store("b")
    for wrong in (None, 5, "text", [op]):
        with pytest.raises(TypeError):
            b.integrate_op(wrong)
    for wrong in (None, 5, op, [op, None], [op, "text"], [[op]]):
        with pytest.raises(TypeError):
            b.integrate_ops(wrong)
    assert b == {} and b.clock.last == 0


def test_ops_may_come_from_any_iterable():
    a = store("a")
    ops = chain(a, 3)
    for given in (ops, tuple(ops), iter(ops), (op for op in ops)):
        b = store("b")
        assert set(b.integrate_ops(given).applied) == {"00000", "00001", "00002"} and b == a
    assert not store("c").integrate_ops([])


# ---- gaps


def test_an_op_over_a_gap_waits_until_the_gap_is_filled():
    a, b = store("a"), store("b")
    one, two, three = chain(a, 3)
    report = b.integrate_op(three)
    assert not report and report.applied == () and len(report.waiting) == 1 and report.refused == () and b == {}
    assert b.integrate_op(two).waiting and b == {}
    report = b.integrate_op(one)
    assert set(report.applied) == {"00000", "00001", "00002"} and report.waiting == ()
    assert_equal(a, b)


def test_what_waits_is_not_shown_not_sent_and_moves_no_bookmark():
    a, b = store("a"), store("b")
    _, two = chain(a, 2)
    empty = b.request_diff()
    b.integrate_op(two)
    assert b == {} and len(b.entries()) == 0 and b.request_diff() == empty
    fresh = store("c")
    pull(fresh, b)
    assert fresh == {}
    pull(b, a)
    assert_equal(a, b)


def test_an_op_waits_for_the_dots_of_others_that_it_supersedes():
    a, b, c = store("a"), store("b"), store("c")
    one = a.insert_with_op("k", "a")
    b.integrate_op(one)
    two = b.insert_with_op("k", "b")
    assert not c.integrate_op(two) and c == {}
    assert c.integrate_op(one) and c == {"k": "b"}
    assert len(c.conflicts("k")) == 1
    assert_equal(b, c)


def test_a_removal_waits_for_what_it_removes():
    a, b, c = store("a"), store("b"), store("c")
    one = a.insert_with_op("k", 1)
    b.integrate_op(one)
    gone = b.remove_with_op("k")
    assert not c.integrate_op(gone)
    report = c.integrate_op(one)
    assert report.applied in ((), ("k",)) and c == {}
    assert not c.integrate_op(one) and not c.integrate_op(gone) and c == {}
    assert_equal(b, c)


def test_long_chains_of_waiting_are_released_at_once():
    a, b, c = store("a"), store("b"), store("c")
    ops = []
    for i in range(300):
        writer, other = (a, b) if i % 2 else (b, a)
        op = writer.insert_with_op("k", i)
        other.integrate_op(op)
        ops.append(op)
    for op in reversed(ops[1:]):
        assert not c.integrate_op(op)
    assert c == {} and c.integrate_op(ops[0]).applied == ("k",) and c == {"k": 299}
    assert_equal(a, b, c)


@pytest.mark.parametrize("order", list(permutations(range(5))), ids=str)
def test_every_order_of_five_ops_of_two_authors_ends_the_same(order):
    a, b, c = store("a"), store("b"), store("c")
    ops = [a.insert_with_op("k", 1), b.insert_with_op("k", 2)]
    a.integrate_op(ops[1])
    ops += [a.insert_with_op("l", 3), a.remove_with_op("k"), b.insert_with_op("m", 4)]
    for i in order:
        c.integrate_op(ops[i])
    a.integrate_op(ops[4])
    assert c == a == {"l": 3, "m": 4}
    assert_equal(a, c)


def test_a_plain_put_makes_no_op_and_what_follows_waits_for_it():
    a, b = store("a"), store("b")
    a["plain"] = 1
    op = a.insert_with_op("k", 2)
    assert not b.integrate_op(op) and b == {}
    assert pull(b, a).waiting == () and b == {"plain": 1, "k": 2}
    assert not b.integrate_op(op)
    later = a.insert_with_op("l", 3)
    assert b.integrate_op(later).applied == ("l",)
    assert_equal(a, b)


def test_state_sync_settles_what_waits():
    a, b = store("a"), store("b")
    ops = chain(a, 4)
    behind = store("c")
    behind.integrate_ops(ops[:2])
    ops.append(a.insert_with_op("k", "last"))
    b.integrate_ops([ops[4], ops[2]])
    assert b == {}
    report = pull(b, behind)
    assert set(report.applied) == {"00000", "00001", "00002"} and set(b) == {"00000", "00001", "00002"}
    assert set(b.integrate_op(ops[3]).applied) == {"00003", "k"}
    assert_equal(a, b)


def test_a_waiting_op_that_a_pull_made_old_brings_nothing_back():
    a, b = store("a"), store("b")
    _, two = chain(a, 2)
    b.integrate_op(two)
    a.clear()
    pull(b, a)
    assert b == {} and not b.integrate_op(two)
    assert_equal(a, b)


def test_a_waiting_removal_takes_effect_when_a_pull_brings_its_target():
    a, b, c = store("a"), store("b"), store("c")
    a["k"] = 1
    pull(b, a)
    c.integrate_op(b.remove_with_op("k"))
    assert pull(c, a).refused == () and c == {}
    assert_equal(b, c)


# ---- caps


def test_1024_ops_of_a_peer_wait_and_the_one_after_is_refused():
    a, b = store("a"), store("b")
    ops = chain(a, CAP + 3)
    for op in ops[1 : CAP + 1]:
        report = b.integrate_op(op)
        assert report.waiting and report.refused == ()
    report = b.integrate_op(ops[CAP + 1])
    (refusal,) = report.refused
    assert refusal.id == a.incarnation and issubclass(refusal.error, ck.LimitError) and not report.waiting
    assert b == {}
    assert len(b.integrate_op(ops[0]).applied) == CAP + 1 and len(b) == CAP + 1
    assert set(b.integrate_ops(ops[CAP + 1 :]).applied) == {f"{CAP + 1:05}", f"{CAP + 2:05}"}
    assert_equal(a, b)


def test_beyond_the_cap_the_greatest_hlc_goes_whenever_it_came():
    a, b = store("a"), store("b")
    ops = chain(a, CAP + 2)
    for op in reversed(ops[2:]):
        assert not b.integrate_op(op).refused
    report = b.integrate_op(ops[1])
    assert [r.id for r in report.refused] == [a.incarnation] and report.waiting
    assert len(b.integrate_op(ops[0]).applied) == CAP + 1 and f"{CAP + 1:05}" not in b
    b.integrate_op(ops[-1])
    assert_equal(a, b)


def test_a_waiting_op_twice_takes_one_place():
    a, b = store("a"), store("b")
    ops = chain(a, CAP + 1)
    for op in ops[1:]:
        for _ in range(2):
            assert not b.integrate_op(op).refused
    assert len(b.integrate_op(ops[0]).applied) == CAP + 1


def test_4_mib_of_a_peer_wait_and_no_more():
    a, b = store("a"), store("b")
    first = a.insert_with_op("first", 1)
    ops = [a.insert_with_op(f"{i}", bytes([i]) * (MIB - 1000)) for i in range(6)]
    for op in ops[:4]:
        assert not b.integrate_op(op).refused
    for op in ops[4:]:
        assert [r.id for r in b.integrate_op(op).refused] == [a.incarnation]
    assert len(b.integrate_op(first).applied) == 5 and "4" not in b and "3" in b
    b.integrate_ops(ops)
    assert_equal(a, b)


def test_each_peer_has_caps_of_its_own():
    authors = [store(name) for name in "bcd"]
    s = store("a")
    chains = [chain(author, CAP + 1) for author in authors]
    for ops in chains:
        assert not s.integrate_ops(ops[1:]).refused
    assert s == {}
    for ops in chains:
        s.integrate_op(ops[0])
    meet(s, *authors)
    assert all(len(s.conflicts(key)) == 3 for key in s)


def test_what_was_refused_is_welcome_by_state_sync():
    a, b = store("a"), store("b")
    for op in chain(a, CAP + 50)[1:]:
        b.integrate_op(op)
    pull(b, a)
    assert_equal(a, b)
    assert b.integrate_op(a.insert_with_op("next", 1)).applied == ("next",)


# ---- many at once


def test_one_bad_op_refuses_all():
    a, other = store("a"), store("o")
    good = chain(a, 3)
    bad = other.insert_with_op("bad", 1)
    b = store("b")
    before = state(b)
    for wrong in (b"", bad[:-1], bad + b"\0", bad[:-1] + bytes([bad[-1] ^ 1]), other.request_diff(), other.opset()):
        for at in range(4):
            with pytest.raises(ck.DecodeError):
                b.integrate_ops([*good[:at], wrong, *good[at:]])
            assert state(b) == before
    assert len(b.integrate_ops(good).applied) == 3


def test_an_iterable_that_fails_refuses_all():
    a, b = store("a"), store("b")
    op = a.insert_with_op("k", 1)

    def ops():
        yield op
        raise KeyError("mine")

    before = state(b)
    with pytest.raises(KeyError, match="mine"):
        b.integrate_ops(ops())
    assert state(b) == before


def test_ops_in_the_wrong_order_in_one_batch_are_all_taken():
    a, b = store("a"), store("b")
    ops = chain(a, 50)
    ops += [a.remove_with_op(f"{i:05}") for i in range(0, 50, 2)]
    report = b.integrate_ops(reversed(ops))
    assert not report.waiting and not report.refused
    assert_equal(a, b)


@pytest.mark.parametrize("seed", range(40))
def test_replicas_that_see_every_op_agree_without_state_sync(seed):
    rng = random.Random(seed)
    stores = [store(name) for name in "abc"]
    ways = {name: [] for name in range(3)}
    written, removed = set(), set()
    for step in range(60):
        i = rng.randrange(3)
        s = stores[i]
        kind = rng.random()
        key = f"k{rng.randrange(5)}"
        if kind < 0.35:
            ops = [s.insert_with_op(key, step)]
            written.add(key)
        elif kind < 0.5 and key in s:
            ops = [s.remove_with_op(key)]
            removed.add(key)
        elif kind < 0.6:
            t = s.begin()
            t[key], t["t"] = step, step
            written |= {key, "t"}
            ops = t.commit_with_ops()
        else:
            ops = []
            if ways[i]:
                batch = [ways[i].pop(rng.randrange(len(ways[i]))) for _ in range(rng.randrange(1, 4)) if ways[i]]
                s.integrate_ops(batch)
        for j in range(3):
            if j != i:
                ways[j] += ops * rng.randrange(1, 3)
    for i, s in enumerate(stores):
        rng.shuffle(ways[i])
        for op in ways[i]:
            assert not s.integrate_op(op).refused
    assert_equal(*stores)
    assert written - removed <= set(stores[0])
    assert_sound(stores[seed % 3])


@pytest.mark.parametrize("seed", range(40))
def test_lost_ops_lose_nothing_once_state_was_synced(seed):
    rng = random.Random(seed)
    stores = [store(name) for name in "abc"]
    network, kept = [], set()
    for step in range(80):
        i = rng.randrange(3)
        s = stores[i]
        kind = rng.random()
        key = f"k{rng.randrange(6)}"
        if kind < 0.3:
            op = s.insert_with_op(key, step)
        elif kind < 0.4:
            op = s.insert_with_op(f"own{step}", step)
            kept.add(f"own{step}")
        elif kind < 0.5 and key in s:
            op = s.remove_with_op(key)
        elif kind < 0.55:
            s[key] = step
            continue
        elif kind < 0.65:
            pull(s, rng.choice([x for x in stores if x is not s]))
            continue
        else:
            if network:
                j, op = network.pop(rng.randrange(len(network)))
                stores[j].integrate_op(op)
            continue
        network += [(j, op) for j in range(3) if j != i and rng.random() > 0.2]
    meet(*stores)
    assert_equal(*stores)
    wanted = whole(stores[0])
    for j, op in network:
        stores[j].integrate_op(op)
    assert kept <= set(stores[0]) and all(whole(s) == wanted for s in stores)
    assert_equal(*stores)
