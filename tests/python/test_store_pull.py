"""State sync of Stores: request, diff, and what becomes of diffs that come late, twice, or to the wrong address."""

import random
from itertools import permutations

import pytest

import crdtkv as ck
from house.stores import NOON, assert_equal, assert_sound, meet, pull, state, store, whole


def written(name, *keys, ms=NOON):
    s = store(name, ms)
    for i, key in enumerate(keys):
        s[key] = i
    return s


def known(s):
    """What it holds and asks for; the clock hears of what is refused, too."""
    return whole(s), s.request_diff()


# ---- one pull


def test_a_pull_brings_all_and_says_which_keys_changed():
    a, b = written("a", "x", b"x", "y"), store("b")
    report = pull(b, a)
    assert type(report) is ck.Report and type(report.applied) is tuple and set(report.applied) == {"x", b"x", "y"}
    assert report and report.refused == () and report.waiting == () and report.void == ()
    assert_equal(a, b)


def test_a_pull_of_nothing_new_says_so():
    a, b = written("a", "x"), store("b")
    pull(b, a)
    before = state(b)
    report = pull(b, a)
    assert not report and report.applied == () and report.refused == () and state(b) == before


def test_a_pull_names_removed_and_overwritten_keys_and_no_others():
    a, b = written("a", "x", "y", "z"), store("b")
    pull(b, a)
    del a["x"]
    a["y"] = 9
    assert set(pull(b, a).applied) == {"x", "y"} and b == {"y": 9, "z": 2}


def test_the_giver_is_not_changed():
    a, b = written("a", "x"), written("b", "y")
    before = state(a)
    pull(b, a)
    assert state(a) == before and "y" not in a


def test_pulls_both_ways_make_equals():
    a, b = written("a", "x", "y"), written("b", "y", "z")
    pull(a, b)
    pull(b, a)
    assert_equal(a, b)
    assert set(a) == {"x", "y", "z"}


def test_all_travels_through_a_third():
    a, b, c = written("a", "x", "y"), store("b"), store("c")
    pull(b, a)
    pull(c, b)
    assert_equal(a, b, c)
    del a["x"]
    a["y"] = 5
    pull(b, a)
    pull(c, b)
    assert c == {"y": 5}
    assert_equal(a, b, c)


def test_a_removal_by_another_than_the_author_travels():
    a, b, c = written("a", "x", "y"), store("b"), store("c")
    pull(b, a)
    pull(c, a)
    del b["x"]
    pull(c, b)
    assert c == {"y": 1}
    pull(a, c)
    assert a == {"y": 1}


def test_a_key_put_and_removed_before_the_pull_is_never_seen_and_never_asked_for_again():
    a, b = written("a", "x", "y"), store("b")
    del a["y"]
    pull(b, a)
    assert b == {"x": 0} and b.request_diff() == a.request_diff()
    again = a.build_diff(b.request_diff())
    assert not b.integrate_diff(again)


def test_all_kinds_of_buffers_are_taken_and_other_types_are_type_errors():
    a = written("a", "x")
    for kind in (bytes, bytearray, memoryview):
        b = store("b")
        assert b.integrate_diff(kind(a.build_diff(kind(b.request_diff())))) and b == a
    for wrong in (None, 5, "text", [b"x"]):
        for take in (a.build_diff, a.integrate_diff):
            with pytest.raises(TypeError):
                take(wrong)


def test_messages_are_bytes_and_the_same_twice():
    a, b = written("a", "x", "y"), written("b", "z")
    request = b.request_diff()
    diff = a.build_diff(request)
    assert type(request) is bytes is type(diff) and request == b.request_diff() and diff == a.build_diff(request)


# ---- the same, late, out of order


def test_a_diff_twice_is_the_same_as_once():
    a, b = written("a", "x", "y"), written("b", "z")
    diff = a.build_diff(b.request_diff())
    assert b.integrate_diff(diff)
    before = state(b)
    for _ in range(3):
        report = b.integrate_diff(diff)
        assert not report and report.applied == () and state(b) == before


def test_an_old_diff_brings_nothing_back():
    a, b = written("a", "x", "y"), store("b")
    request = b.request_diff()
    old = a.build_diff(request)
    pull(b, a)
    del b["x"]
    b["y"] = "mine"
    before = state(b)
    assert not b.integrate_diff(old) and state(b) == before
    del a["y"]
    pull(b, a)
    assert b == {"y": "mine"}
    assert not b.integrate_diff(old) and b == {"y": "mine"}


def test_answers_to_one_request_may_come_in_any_order():
    a = written("a", "w")
    base = store("b")
    pull(base, a)
    base["mine"] = 1
    request = base.request_diff()
    diffs = []
    for change in (
        lambda: a.update(x=1, y=2),
        lambda: a.__delitem__("w"),
        lambda: (a.__delitem__("x"), a.update(y=3)),
        lambda: a.update(w="again"),
    ):
        change()
        diffs.append(a.build_diff(request))
    wanted = base.copy()
    pull(wanted, a)
    for order in permutations(diffs):
        b = ck.Store.load(base.save(), "b", clock=lambda: NOON)
        for diff in order:
            b.integrate_diff(diff)
        # the last diff holds all there is; what an older one brings after it is known to be gone
        assert dict(b.entries()) == dict(wanted.entries()) == {**dict(a.entries()), "mine": base.entries()["mine"]}
        assert b.request_diff() == wanted.request_diff()


def test_answers_of_several_to_one_request_may_come_in_any_order():
    a, b, c = written("a", "x", "y"), store("b"), store("c")
    pull(b, a)
    pull(c, a)
    del b["x"]
    b["z"] = 1
    a["y"] = "new"
    c["y"] = "other"
    d = store("d")
    pull(d, a.copy())
    request = d.request_diff()
    diffs = [s.build_diff(request) for s in (a, b, c)]
    seen = set()
    for order in permutations(diffs):
        e = ck.Store.load(d.save(), "d", clock=lambda: NOON)
        for diff in order:
            e.integrate_diff(diff)
        seen.add(repr(whole(e)))
    assert len(seen) == 1
    meet(a, b, c, d)
    assert repr(whole(d)) in seen


def test_a_diff_asked_for_before_own_writes_is_still_right_after_them():
    a, b = written("a", "x"), store("b")
    request = b.request_diff()
    b["x"] = "mine"
    b["y"] = 1
    b.integrate_diff(a.build_diff(request))
    pull(a, b)
    assert_equal(a, b)
    assert [e.value for e in a.conflicts("x")] == ["mine", 0] and a["y"] == 1


# ---- diffs for others


def test_a_part_that_starts_above_the_bookmark_is_left_out_and_named():
    a, ahead, behind = written("a", "x", "y"), store("b"), store("c")
    pull(ahead, a)
    a["z"] = 5
    del a["x"]
    behind["own"] = 1
    before = known(behind)
    report = behind.integrate_diff(a.build_diff(ahead.request_diff()))
    assert not report and report.applied == () and known(behind) == before
    (refusal,) = report.refused
    assert type(refusal) is ck.Refusal and refusal.id == a.incarnation and refusal.reason
    assert issubclass(refusal.error, ck.Error)
    pull(behind, a)
    assert behind == {"y": 1, "z": 5, "own": 1}


def test_the_other_parts_of_such_a_diff_are_taken():
    a, b, ahead, behind = written("a", "x"), written("b", "y"), store("c"), store("d")
    pull(ahead, a)
    a["z"] = 1
    pull(a, b)
    report = behind.integrate_diff(a.build_diff(ahead.request_diff()))
    assert [r.id for r in report.refused] == [a.incarnation] and report.applied == ("y",) and behind == {"y": 0}
    pull(behind, a)
    assert_equal(a, behind)


def test_removals_in_a_part_that_is_left_out_are_left_out_too():
    a, ahead, behind = written("a", "x", "y"), store("b"), store("c")
    pull(behind, a)
    a["z"] = 1
    pull(ahead, a)
    del a["x"]
    a["w"] = 2
    before = known(behind)
    report = behind.integrate_diff(a.build_diff(ahead.request_diff()))
    assert [r.id for r in report.refused] == [a.incarnation] and known(behind) == before and "x" in behind
    pull(behind, a)
    assert_equal(a, behind)


def test_a_diff_for_one_who_knew_less_is_taken():
    a, b, knows_more = written("a", "x"), store("b"), store("c")
    request = b.request_diff()
    pull(knows_more, a)
    del knows_more["x"]
    a["y"] = 1
    report = knows_more.integrate_diff(a.build_diff(request))
    assert report.refused == () and report.applied == ("y",) and knows_more == {"y": 1}


def test_a_diff_for_another_never_moves_a_bookmark_over_a_gap():
    rng = random.Random(6)
    for _ in range(60):
        stores = [store(name) for name in "abcd"]
        requests = []
        written_keys = set()
        for _ in range(30):
            s = rng.choice(stores)
            key = f"{s.peer_id}{rng.randrange(10**6)}"
            s[key] = 1
            written_keys.add(key)
            requests.append(rng.choice(stores).request_diff())
            giver, taker = rng.choice(stores), rng.choice(stores)
            taker.integrate_diff(giver.build_diff(rng.choice(requests)))
        meet(*stores)
        assert set(stores[0]) == written_keys
        assert_equal(*stores)


# ---- sizes


def test_a_request_of_contiguous_edits_stays_small():
    a = store()
    with a.transaction() as t:
        for i in range(100_000):
            t[i.to_bytes(4, "big")] = None
    assert len(a.request_diff()) == a.index_size() <= 300


def test_a_diff_is_as_large_as_what_is_missing():
    a, b = store("a"), store("b")
    with a.transaction() as t:
        for i in range(20_000):
            t[f"{i:08}"] = "x" * 20
    pull(b, a)
    assert len(a.build_diff(b.request_diff())) < 100
    for i in range(0, 1000, 100):
        a[f"{i:08}"] = "y" * 20
        del a[f"{i + 1:08}"]
    diff = a.build_diff(b.request_diff())
    assert len(diff) < 10 * (8 + 20 + 10) + 20 * 10 + 200
    b.integrate_diff(diff)
    assert_equal(a, b)


def test_overwriting_and_removing_leave_nothing_behind():
    a = store()
    a["k"] = 1
    size = len(a.save())
    for i in range(3000):
        a["k"] = i
        a["other"] = i
        del a["other"]
    assert len(a.save()) < size + 50 and a.index_size() < 100
    assert len(a.build_diff(ck.Store().request_diff())) < 100


# ---- a request kept for a peer


def test_an_advanced_request_is_the_one_its_maker_would_make():
    a, b = written("a", "x", "y"), written("b", "y", "z")
    for change in (
        lambda: None,
        lambda: a.update(x=5, w=6),
        lambda: a.__delitem__("x"),
        lambda: (a.clear(), a.update(v=1)),
        lambda: a.clear(),
    ):
        change()
        request = b.request_diff()
        diff = a.build_diff(request)
        b.integrate_diff(diff)
        assert a.advance_request(request, diff) == b.request_diff()


def test_an_advanced_request_serves_a_known_peer_without_asking():
    a, b = written("a", "x"), store("b")
    request = b.request_diff()
    for i in range(5):
        a[f"k{i}"] = i
        if i % 2:
            del a[f"k{i - 1}"]
        diff = a.build_diff(request)
        request = a.advance_request(request, diff)
        assert not b.integrate_diff(diff).refused
    assert_equal(a, b)
    assert request == b.request_diff()


def test_advancing_a_request_by_a_diff_for_another_leaves_the_same_parts_out():
    a, ahead, behind = written("a", "x"), store("b"), store("c")
    pull(ahead, a)
    a["y"] = 1
    diff = a.build_diff(ahead.request_diff())
    request = behind.request_diff()
    assert a.advance_request(request, diff) == request
    behind.integrate_diff(diff)
    assert behind.request_diff() == request


def test_random_requests_advance_as_their_makers_do():
    rng = random.Random(4)
    stores = [store(name) for name in "abc"]
    for step in range(400):
        s, other = rng.sample(stores, 2)
        key = f"k{rng.randrange(8)}"
        if rng.random() < 0.6:
            s[key] = step
        else:
            s.pop(key, None)
        if rng.random() < 0.5:
            request = other.request_diff()
            diff = s.build_diff(request)
            other.integrate_diff(diff)
            assert s.advance_request(request, diff) == other.request_diff()
    meet(*stores)
    assert_equal(*stores)


# ---- many


@pytest.mark.parametrize("seed", range(30))
def test_random_schedules_converge_and_lose_nothing(seed):
    rng = random.Random(seed)
    stores = [store(name, NOON + rng.randrange(50)) for name in "abcd"]
    diffs, never_removed = [], set()
    for step in range(80):
        s, other = rng.sample(stores, 2)
        key = f"k{rng.randrange(6)}"
        kind = rng.random()
        if kind < 0.35:
            s[key] = step
        elif kind < 0.45:
            s.pop(key, None)
        elif kind < 0.5:
            with s.transaction() as t:
                t[key] = step
                t.pop("k0", None)
        elif kind < 0.55:
            s[f"own{step}"] = step
            never_removed.add(f"own{step}")
        elif kind < 0.8:
            pull(s, other)
        elif kind < 0.9:
            diffs.append(s.build_diff(other.request_diff()))
        elif diffs:
            s.integrate_diff(rng.choice(diffs))
    meet(*stores)
    assert_equal(*stores)
    assert never_removed <= set(stores[0])
    for diff in diffs:
        before = state(stores[0])
        assert not stores[0].integrate_diff(diff) and state(stores[0]) == before
    assert_sound(stores[seed % 4])
