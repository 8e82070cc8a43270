"""Counters: exact, each author's own part, several lanes, forks."""

import pytest

import crdtkv as ck
from house.datastores import datastore, identity, meet
from house.named import named


def test_counting(kv):
    c = kv.counter("likes/42")
    assert int(c) == 0 and c.value == 0 and c.by_author() == {}
    c += 1
    c.increment()
    c.increment(5)
    c -= 2
    c.decrement()
    c.decrement(3)
    assert int(c) == c.value == 1 == int(kv.counter("likes/42"))
    kv.commit()
    assert int(c) == 1 and c.by_author() == {kv.identity.public_key: 1}


def test_counters_are_apart_from_keys(kv):
    kv["n"] = "key"
    kv.counter("n").increment(4)
    assert kv["n"] == "key" and int(kv.counter("n")) == 4 and len(kv) == 1
    del kv["n"]
    assert int(kv.counter("n")) == 4 and kv == {}
    assert kv.conflicts("n") == {}


def test_names_keep_their_type(kv):
    kv.counter("n").increment(1)
    kv.counter(b"n").increment(2)
    kv.counter("").increment(3)
    assert int(kv.counter("n")) == 1 and int(kv.counter(b"n")) == 2 and int(kv.counter("")) == 3
    for bad in (5, None, 1.5):
        with pytest.raises(TypeError):
            kv.counter(bad)
    with pytest.raises(ck.LimitError):
        kv.counter("n" * 4097).increment()


def test_names_by_prefix(kv):
    with kv.batch() as b:
        for name in ("a/1", b"a/2", "b", "a", ""):
            b.increment(name, 7)
    assert list(kv.counters()) == ["", "a", "a/1", b"a/2", "b"]
    assert list(kv.counters(prefix="a/")) == list(kv.counters(b"a/")) == ["a/1", b"a/2"]
    assert list(kv.counters(prefix="z")) == []


def test_totals_beyond_64_bits_are_exact(kv):
    c = kv.counter("n")
    for _ in range(5):
        c.increment(2**63 - 1)
    assert int(c) == 5 * (2**63 - 1)
    for _ in range(10):
        c.decrement(2**63 - 1)
    assert int(c) == -5 * (2**63 - 1)
    kv.commit()
    assert kv.counter("n").value == -5 * (2**63 - 1)
    c.increment(-(2**63))
    assert int(c) == -5 * (2**63 - 1) - 2**63


def test_sums_of_many_authors_are_exact():
    stores = [datastore(n) for n in range(1, 9)]
    for kv in stores:
        for _ in range(3):
            kv.counter("n").increment(2**63 - 1)
    meet(*stores)
    for kv in stores:
        assert int(kv.counter("n")) == 24 * (2**63 - 1)
        assert kv.counter("n").by_author() == {s.identity.public_key: 3 * (2**63 - 1) for s in stores}


@pytest.mark.parametrize("bad", ["1", 1.0, None, [1]], ids=named)
def test_amounts_are_integers(kv, bad):
    c = kv.counter("n")
    for call in (c.increment, c.decrement):
        with pytest.raises(TypeError):
            call(bad)
    assert kv.commit() is None


def test_one_amount_is_of_64_bits(kv):
    c = kv.counter("n")
    for bad in (2**63, -(2**63) - 1):
        with pytest.raises(OverflowError):
            c.increment(bad)
    with pytest.raises(OverflowError):
        c.decrement(2**63 + 1)
    assert int(c) == 0 and kv.commit() is None


def test_each_author_adds_to_his_own_part():
    a, b, c = datastore(1), datastore(2), datastore(3)
    a.counter("n").increment(10)
    b.counter("n").decrement(3)
    meet(a, b, c)
    a.counter("n").increment(1)
    b.counter("n").increment(1)
    meet(a, b, c)
    for kv in (a, b, c):
        assert int(kv.counter("n")) == 9
        assert kv.counter("n").by_author() == {identity(1).public_key: 11, identity(2).public_key: -2}


def test_an_authors_lanes_add_up():
    a = datastore(1)
    a.counter("n").increment(5)
    b = a.fork()
    c = ck.Datastore.load(a.save(), identity(1))
    for n, kv in enumerate((a, b, c)):
        kv.counter("n").increment(10**n)
    meet(a, b, c)
    for kv in (a, b, c):
        assert int(kv.counter("n")) == 116 and kv.counter("n").by_author() == {identity(1).public_key: 116}
    assert len({change.lane for change in a.changes()}) == 3


def test_a_lost_disk_counts_nothing_twice():
    a, peer = datastore(1), datastore(2)
    a.counter("n").increment(5)
    old = a.save()
    a.counter("n").increment(5)
    meet(a, peer)
    restored = ck.Datastore.load(old, identity(1))
    restored.counter("n").increment(100)
    meet(restored, peer)
    assert int(peer.counter("n")) == int(restored.counter("n")) == 110
    assert peer.equivocations() == []


def test_delivery_in_any_order_and_twice():
    a, b = datastore(1), datastore(2)
    bundles = []
    for _ in range(10):
        before = a.heads
        a.counter("n").increment(1)
        bundles.append(a.export(before))
    for bundle in [*reversed(bundles), *bundles]:
        b.apply(bundle)
    assert int(b.counter("n")) == 10 == int(a.counter("n"))


def test_the_open_change_counts(kv):
    c = kv.counter("n")
    c.increment(3)
    assert int(c) == 3 and list(kv.counters()) == ["n"] and c.by_author() == {kv.identity.public_key: 3}
    with kv.batch() as b:
        b.increment("n", 4)
        assert int(c) == 3
    assert int(c) == 7
    c.increment(1)
    assert int(c) == 8


def test_counting_to_nothing(kv):
    c = kv.counter("n")
    c.increment(5)
    c.decrement(5)
    kv.commit()
    assert int(c) == 0
    c.increment(0)
    assert int(c) == 0


def test_a_handle_goes_on(kv):
    c = kv.counter("n")
    d = kv.counter("n")
    c += 2
    assert int(d) == 2
    with pytest.raises((AttributeError, TypeError)):
        c.value = 5
    assert "n" in repr(c) and "2" in repr(c)


def test_two_hundred_thousand_increments(kv):
    with kv.batch() as b:
        for n in range(20_000):
            b.increment(f"{n % 100}", n)
    assert sum(int(kv.counter(name)) for name in kv.counters()) == sum(range(20_000))
    assert len(list(kv.counters())) == 100


def test_a_liar_cannot_touch_anybody_elses_part():
    from crdtkv import testing

    a = datastore(1)
    a.counter("n").increment(5)
    a.commit()
    liar = identity(66)
    bundle = testing.Forger(a, liar).forge(lambda d: d.counter("n").increment(-1000))
    assert len(a.apply(bundle).applied) == 1
    assert a.counter("n").by_author() == {identity(1).public_key: 5, liar.public_key: -1000}


def test_of_a_forked_lane_one_story_counts():
    from crdtkv import testing

    a, b = datastore(1), datastore(2)
    liar = identity(66)
    x, y = testing.Forger(a, liar).fork(
        lambda d: d.counter("n").increment(10), lambda d: d.counter("n").increment(1000)
    )
    a.apply(x), a.apply(y)
    b.apply(y), b.apply(x)
    assert int(a.counter("n")) == int(b.counter("n")) and int(a.counter("n")) in (10, 1000)
    assert len(a.equivocations()) == 1


def test_counters_survive_compaction_and_files(tmp_path):
    with ck.Database(tmp_path / "x.db", identity(1)) as db:
        kv = db.datastore("kv")
        for n in range(50):
            with kv.batch() as b:
                b.increment("n", n)
                b.increment("a long name of a counter, so that the body stands apart", -n)
        kv.compact()
        assert int(kv.counter("n")) == 1225
    for generation in range(3):
        with ck.Database(tmp_path / "x.db", identity(1)) as db:
            kv = db.datastore("kv")
            assert int(kv.counter("n")) == 1225 + generation
            kv.counter("n").increment(1)
            kv.commit()
            kv.compact()
            assert kv.counter("n").by_author() == {identity(1).public_key: 1226 + generation}
