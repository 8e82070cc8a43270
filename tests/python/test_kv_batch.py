"""Batches of a Datastore."""

import pytest

import crdtkv as ck


def test_a_batch_is_one_change_that_nobody_sees_before():
    kv = ck.Datastore()
    kv["lone"] = 1
    with kv.batch(message="both") as b:
        b.put("x", 1)
        b.put("x", [2])
        b.put("y", 1)
        b.delete("y")
        b.delete("lone")
        b.increment("n", 5)
        b.decrement("n")
        b.increment(name="m", n=2)
        assert kv == {"lone": 1} and not kv.counters() and b and "open" in repr(b)
    assert kv == {"x": [2]} and dict(kv.counters()) == {"n": 4, "m": 2}
    changes = kv.changes()
    assert [change.message for change in changes] == [None, "both"], "the lone write before is a change of its own"
    assert b and repr(b) == "<Batch: over>"


def test_its_end():
    kv = ck.Datastore()
    b = kv.batch()
    b.put("x", 1)
    change = b.commit()
    assert change.id in kv.heads and kv["x"] == 1 and len(b) == 0 and b.commit() is None
    b.put("x", 2)
    assert kv["x"] == 1
    with b:
        b.increment("n")
    assert kv["x"] == 2 and kv.counter("n") == 1
    c = kv.batch()
    c.put("x", 3)
    assert c.abort() is None and kv["x"] == 2
    with pytest.raises(ZeroDivisionError), kv.batch() as d:
        d.put("y", 1)
        assert d.commit().n_ops == 1
        d.put("y", 2)
        1 / 0  # noqa: B018
    assert kv["y"] == 1, "an exception drops what is not yet written"
    for over in (b, c, d):
        for use in (
            lambda over=over: over.put("x", 1),
            lambda over=over: over.delete("x"),
            lambda over=over: over.increment("x"),
            lambda over=over: over.decrement("x"),
            over.commit,
            over.abort,
            over.__enter__,
            lambda over=over: len(over),
        ):
            with pytest.raises(ck.StaleHandleError, match="over"):
                use()
    n = len(kv.changes())
    assert kv.batch().commit() is None
    with kv.batch():
        pass
    assert len(kv.changes()) == n, "an empty batch is no change"


def test_an_exception_drops_what_is_not_written():
    kv = ck.Datastore()
    with pytest.raises(ZeroDivisionError), kv.batch() as b:
        b.put("x", 1)
        b.increment("n")
        1 / 0  # noqa: B018
    assert kv == {} and not kv.counters() and kv.heads == ()
    dropped = kv.batch()
    dropped.put("x", 1)
    del dropped
    assert kv.commit() is None


def test_several_may_be_open():
    kv = ck.Datastore()
    with kv.batch() as a, kv.batch() as b:
        a.put("x", "a")
        b.put("x", "b")
        b.put("y", "b")
        kv["z"] = 0
    assert kv == {"x": "a", "y": "b", "z": 0}, "the one that is written last wins"


def test_a_large_one_splits_by_itself():
    kv = ck.Datastore()
    with kv.batch(max_bytes=10_000) as b:
        for n in range(100):
            b.put(f"{n:03}", "x" * 1000)
            if n == 50:
                seen = len(kv)
    assert 30 < seen < 51 and len(kv) == 100 and 8 < len(kv.changes()) < 16
    with pytest.raises(ZeroDivisionError), kv.batch(max_bytes=10_000) as b:
        for n in range(100, 195):
            b.put(f"{n:03}", "x" * 1000)
        1 / 0  # noqa: B018
    assert 180 < len(kv) < 195, "what was written before stays"
    with kv.batch(max_bytes=1) as b:
        b.put("a", 1)
        assert kv["a"] == 1


def test_update_and_clear_split_too():
    kv = ck.Datastore()
    kv.update({f"{n:04}": "x" * 1000 for n in range(3000)})
    assert len(kv) == 3000 and 2 < len(kv.changes()) < 8
    n = len(kv.changes())
    kv.clear()
    assert len(kv) == 0 and len(kv.changes()) == n + 1


def test_several_dags_in_one():
    kv = ck.Datastore()
    with kv.batch() as b:
        b.put("w", 0)
        b.put("x", 1)
        b.put("x", 2, dag="other")  # the last one on a key wins, whatever the DAG
        b.put("y", 3, dag="other")
        b.delete("z", dag="third")
    assert kv["x"] == 2 and kv["y"] == 3 and [change.dag for change in kv.changes()] == ["default", "other", "third"]
    assert set(kv.dags()) == {"default", "other", "third"} and len(kv.heads) == 3


def test_what_it_refuses():
    kv = ck.Datastore()
    for wrong in (
        lambda: kv.batch("x"),
        lambda: kv.batch(message=5),
        lambda: kv.batch().increment("n", "x"),
        lambda: kv.batch().increment("n", 1.5),
        lambda: kv.batch().increment(),
        lambda: kv.batch().increment("n", 1, 2),
        lambda: kv.batch().increment("n", name="n"),
        lambda: kv.batch().put("a"),
        ck.Batch,
    ):
        with pytest.raises(TypeError):
            wrong()
    for max_bytes in (0, -1):
        with pytest.raises(ValueError, match="max_bytes"):
            kv.batch(max_bytes)
    with pytest.raises(OverflowError):
        kv.batch().increment("n", 2**63)
