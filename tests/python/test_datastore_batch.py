"""Batches: invisible until written, one change, splitting, several at once, what an exception leaves."""

import pytest

import crdtkv as ck
from house.datastores import content, datastore, meet


def test_a_batch_is_one_change(kv):
    with kv.batch() as b:
        b.put("a", 1)
        b.put(b"b", [2])
        b.delete("nothing")
        b.increment("n", 5)
    (change,) = kv.changes()
    assert kv == {"a": 1, b"b": [2]} and int(kv.counter("n")) == 5 and kv.heads == (change.id,)


def test_nothing_is_seen_before_it_is_written(kv):
    kv["a"] = 0
    with kv.batch() as b:
        b.put("a", 1)
        b.put("b", 2)
        b.increment("n")
        assert kv == {"a": 0} and list(kv.query()) == [("a", 0)] and int(kv.counter("n")) == 0
        assert len(kv.history("a")) == 1
    assert kv == {"a": 1, "b": 2} and int(kv.counter("n")) == 1


def test_the_last_operation_on_a_key_wins(kv):
    kv["gone"] = 1
    with kv.batch() as b:
        b.put("a", 1)
        b.put("a", 2)
        b.put("b", 1)
        b.delete("b")
        b.delete("c")
        b.put("c", 3)
        b.delete("gone")
    assert kv == {"a": 2, "c": 3}


def test_increments_add_up(kv):
    with kv.batch() as b:
        for n in range(100):
            b.increment("n", n)
        b.decrement("n")
        b.decrement("m", 7)
        b.increment(b"m")
    assert int(kv.counter("n")) == 4949 and int(kv.counter("m")) == -7 and int(kv.counter(b"m")) == 1


def test_an_exception_drops_what_is_not_written(kv):
    kv["a"] = 0
    with pytest.raises(ZeroDivisionError), kv.batch() as b:
        b.put("a", 1)
        b.increment("n")
        raise ZeroDivisionError
    assert kv == {"a": 0} and int(kv.counter("n")) == 0


def test_what_was_committed_before_an_exception_stays(kv):
    with pytest.raises(ZeroDivisionError), kv.batch() as b:
        b.put("a", 1)
        b.commit()
        raise ZeroDivisionError
    assert kv == {"a": 1} and len(kv.changes()) == 1


def test_abort(kv):
    b = kv.batch()
    b.put("a", 1)
    b.abort()
    assert kv == {} and kv.changes() == []
    with kv.batch() as b:
        b.put("a", 1)
        b.abort()
    assert kv == {} and kv.changes() == []


def test_commit_without_a_block(kv):
    b = kv.batch()
    b.put("a", 1)
    b.commit()
    assert kv == {"a": 1} and len(kv.changes()) == 1


def test_an_empty_batch_makes_no_change(kv):
    with kv.batch():
        pass
    kv.batch().commit()
    assert kv.changes() == [] and kv.heads == ()


def test_several_may_be_open(kv):
    with kv.batch() as a, kv.batch() as b:
        a.put("k", "a")
        b.put("k", "b")
        a.put("a", 1)
        b.put("b", 1)
        kv["lone"] = 1
        b.commit()
        assert kv == {"k": "b", "b": 1, "lone": 1}
        a.commit()
        assert kv == {"k": "a", "a": 1, "b": 1, "lone": 1}
    assert list(kv.conflicts("k").values()) == ["a"]


def test_a_batch_supersedes_what_is_there_when_it_is_written(kv):
    b = kv.batch()
    b.put("k", "batch")
    kv["k"] = "meanwhile"
    b.commit()
    assert kv["k"] == "batch" and len(kv.conflicts("k")) == 1


def test_lone_edits_before_it_are_a_change_of_their_own(kv):
    kv["lone"] = 1
    with kv.batch() as b:
        b.put("a", 2)
    assert [c.n_ops for c in kv.changes()] == [1, 1] and kv == {"lone": 1, "a": 2}


def test_larger_ones_split(kv):
    with kv.batch(max_bytes=10_000) as b:
        for n in range(100):
            b.put(f"{n:03}", "x" * 1000)
    assert 10 <= len(kv.changes()) <= 30 and len(kv) == 100
    with kv.batch() as b:
        for n in range(30):
            b.put(f"{n:03}", "y" * 100_000)
    assert len(kv) == 100 and kv["029"] == "y" * 100_000 and kv["030"] == "x" * 1000


def test_what_was_split_off_stays_after_an_exception(kv):
    with pytest.raises(ZeroDivisionError), kv.batch(max_bytes=1000) as b:
        for n in range(10):
            b.put(f"{n}", "x" * 400)
        raise ZeroDivisionError
    assert 0 < len(kv) < 10 and all(value == "x" * 400 for value in kv.values())


def test_a_value_larger_than_the_batch(kv):
    with kv.batch(max_bytes=100) as b:
        b.put("a", "x" * 5000)
        b.put("b", 1)
    assert kv["a"] == "x" * 5000 and kv["b"] == 1


def test_bad_input_leaves_the_batch_as_it_was(kv):
    with kv.batch() as b:
        b.put("a", 1)
        for call, error in (
            (lambda: b.put(5, 1), TypeError),
            (lambda: b.put("a", object()), TypeError),
            (lambda: b.put("k" * 4097, 1), ck.LimitError),
            (lambda: b.put("a", 2**63), OverflowError),
            (lambda: b.put("a", bytes(1 << 20)), ck.LimitError),
            (lambda: b.increment("n", 2**63), OverflowError),
            (lambda: b.increment("n", "x"), TypeError),
            (lambda: b.increment(7), TypeError),
            (lambda: b.delete(None), TypeError),
        ):
            with pytest.raises(error):
                call()
    assert kv == {"a": 1} and kv.changes()[0].n_ops == 1


def test_max_bytes_is_a_number(kv):
    with pytest.raises(TypeError):
        kv.batch("x")
    with pytest.raises(ValueError, match=r".*"):
        kv.batch(max_bytes=0)


def test_a_batch_over_several_dags_is_one_change_in_each(kv):
    with kv.batch() as b:
        b.put("a", 1)
        b.put("b", 2, dag="one")
        b.put("c", 3, dag="two")
        b.delete("d", dag="two")
    assert kv == {"a": 1, "b": 2, "c": 3}
    assert set(kv.dags()) == {"default", "one", "two"} and all(len(heads) == 1 for heads in kv.dags().values())
    assert len(kv.heads) == 3


def test_a_batch_supersedes_in_all_dags(kv):
    kv.put("k", 1, dag="one")
    kv.put("k", 2)
    with kv.batch() as b:
        b.put("k", 3, dag="two")
    assert kv["k"] == 3 and list(kv.conflicts("k").values()) == [3]
    with kv.batch() as b:
        b.delete("k")
    assert "k" not in kv


def test_batches_travel():
    a, b = datastore(1), datastore(2)
    with a.batch() as batch:
        for n in range(500):
            batch.put(f"{n:03}", n)
        batch.increment("n", 5)
    meet(a, b)
    assert content(a) == content(b) and len(b) == 500


def test_ten_thousand_keys_in_one(kv):
    with kv.batch() as b:
        for n in range(10_000):
            b.put(f"{n * 7919 % 10_000:05}", n)
    assert len(kv) == 10_000 and list(kv.query(limit=2, keys_only=True)) == ["00000", "00001"]


def test_a_batch_that_touches_a_purged_dag_says_which_and_waits(kv):
    kv.put("a", 0, dag="feed")
    b = kv.batch(max_bytes=500)
    b.put("a", 1, dag="feed")
    b.put("other", 1)
    kv.purge("feed")
    with pytest.raises(ck.StaleHandleError, match=r"the DAG 'feed' was purged; admit\('feed'\) lets it in again"):
        for n in range(100):
            b.put(f"k{n}", "x" * 50)
    n = len(b)
    for _ in range(3):  # it does not grow without end
        with pytest.raises(ck.StaleHandleError, match="'feed'"):
            b.put("more", 1)
        with pytest.raises(ck.StaleHandleError, match="'feed'"):
            b.increment("more")
    assert len(b) == n and "other" not in kv
    kv.admit("feed")
    b.put("more", 1)
    b.commit()
    assert kv["a"] == 1 and kv["other"] == 1 and kv["more"] == 1 and kv["k0"] == "x" * 50


def test_a_purged_dag_is_named_in_words_that_are_whole(kv):
    for name in ("ö" * 127, "x" * 79 + "ö" * 20, ""):
        kv.put("a", 0, dag=name)
        kv.purge(name)
        with pytest.raises(ck.StaleHandleError, match=f"the DAG '{name[:30]}.*' was purged"):
            kv.put("a", 1, dag=name)
    kv.purge("default")
    with pytest.raises(ck.StaleHandleError, match="the DAG 'default' was purged"):
        kv["a"] = 1
    with pytest.raises(ck.StaleHandleError, match="the DAG 'default' was purged"):
        kv.update(a=1)
