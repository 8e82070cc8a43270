"""Datastores in the hands of many threads, and of processes that were forked."""

import gc
import os
import random
import sys
import threading

import pytest

import crdtkv as ck
from crdtkv import _core
from house.threads import run


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_eight_threads_on_one_datastore(where, tmp_path):
    if where == "file":
        file = _core.File(str(tmp_path / "x.db"), durability="normal")
        kv = _core.Datastore.__new__(ck.Datastore, None, file=file)
    else:
        kv = ck.Datastore()
    n = 25
    heard = []
    kv.observe(lambda event: heard.append(event.key), prefix="0/")

    def work(i):
        rng = random.Random(i)
        other = kv.fork(ck.Identity.generate())
        for k in range(n):
            kv[f"{i}/{k}"] = [i, {"k": k}]
            kv[f"mine/{i}"] = k
            kv.counter("n").increment()
            assert kv[f"mine/{i}"] == k and f"{i}/{k}" in kv and kv.get(b"no") is None
            what = rng.random()
            if what < 0.05:
                other["x" * i] = k
                kv.merge(other)
                other.merge(kv)
            elif what < 0.1:
                assert sum(1 for _ in kv.query(f"{i}/")) == k + 1 == len(kv.keys(f"{i}/"))
                assert kv.history(f"mine/{i}")[0].value == k and k in kv.conflicts(f"mine/{i}").values()
                assert kv.stats()["keys"] > k and repr(kv) and kv.root and kv.heads
            elif what < 0.13:
                ck.sync(kv, other)
            elif what < 0.16:
                kv.compact()
            elif what < 0.25:
                with kv.batch() as b:
                    for j in range(20):
                        b.put(f"many/{i}/{j}", j)
                    b.increment("batched", 20)
                assert kv.pop(f"many/{i}/7") == 7

    run(*[lambda i=i: work(i) for i in range(8)])
    assert all(kv[f"mine/{i}"] == n - 1 and len(kv.keys(f"{i}/")) == n for i in range(8))
    assert kv.counter("n") == 8 * n and {f"0/{k}" for k in range(n)} <= set(heard) and kv.check() == []
    assert ck.Datastore.load(kv.save()) == kv and kv.equivocations() == []


def test_merging_in_circles():
    kvs = [ck.Datastore()]
    kvs += [kvs[0].fork(ck.Identity.generate()) for _ in range(3)]

    def work(i):
        for k in range(60):
            kvs[i][f"{i}/{k}"] = k
            kvs[i].merge(kvs[(i + 1) % 4])
            kvs[i].merge(kvs[(i + 3) % 4])

    run(*[lambda i=i: work(i) for i in range(4)])
    for _ in range(3):
        for i in range(4):
            kvs[i].merge(kvs[(i + 1) % 4])
    assert all(len(kv) == 240 and kv.root == kvs[0].root for kv in kvs)


def test_a_file_that_closes_under_others(tmp_path):
    file = _core.File(str(tmp_path / "x.db"))
    kv = _core.Datastore.__new__(ck.Datastore, None, file=file)
    kv.update({f"{n}": n for n in range(300)})
    started = threading.Barrier(5)

    def use(what):
        started.wait()
        with pytest.raises(ck.StaleHandleError):
            while True:
                what()

    def a_batch():
        with kv.batch() as b:
            b.put("x", 1)

    def close():
        started.wait()
        kv._close()
        file.close()

    run(
        lambda: use(lambda: list(kv.query())),
        lambda: use(a_batch),
        lambda: use(lambda: kv.counter("n").increment()),
        lambda: use(lambda: kv.session().send()),
        close,
    )


def in_child(work):
    """The exit code of a child that does it: 0 if it returns True."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_opens_lanes_of_its_own(tmp_path):
    kv = ck.Datastore()
    kv["x"] = 1
    kv.commit()
    bundle = tmp_path / "child"

    def child():
        kv["child"] = 2
        with kv.batch() as b:
            b.put("batch", 3)
        bundle.write_bytes(kv.export())
        return kv == {"x": 1, "child": 2, "batch": 3}

    assert in_child(child) == 0
    kv["parent"] = 4
    kv.commit()
    kv.apply(bundle.read_bytes())
    assert kv == {"x": 1, "child": 2, "batch": 3, "parent": 4} and kv.equivocations() == []
    assert len({change.lane for change in kv.changes()}) == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_file_is_its_openers(tmp_path):
    file = _core.File(str(tmp_path / "x.db"))
    kv = _core.Datastore.__new__(ck.Datastore, None, file=file)
    kv["x"] = 1
    kv.commit()

    def child():
        for write in (lambda: kv.put("y", 1), lambda: kv.apply(b""), lambda: kv.counter("n").increment()):
            with pytest.raises(ck.StoreError, match="forked"):
                write()
        return True

    assert in_child(child) == 0
    kv["z"] = 3
    assert kv.commit() and kv.check() == []
    kv._close()
    file.close()


def story():
    kv = ck.Datastore()
    kv["a"], kv["b"], kv[b"c"] = 1, ["x" * 99, {"y": None}], b"z"
    kv.put("d", 1, dag="other")
    del kv["a"]
    kv.get("b"), kv.pop("b"), kv.popitem(), kv.setdefault("e", [1]), kv.update(f=1), "f" in kv, len(kv), bool(kv)
    kv.size("f"), list(kv), dict(kv), kv == {}, list(kv.query(where=lambda k, v: True, offset=1, limit=1)), repr(kv)
    kv.observe(lambda event: None), kv.on_put(lambda event: None).cancel()
    kv.observe_equivocations(lambda e: None)
    with kv.batch(message="m") as b:
        b.put("g", [1]), b.delete("f"), b.increment("n"), len(b), repr(b)
    kv.batch().put("x", 1)
    c = kv.counter("n")
    c += 5
    int(c), c + 1, c.by_author(), repr(c), f"{c:>3}", dict(kv.counters()), kv.top(1), list(kv.crowd("x"))
    kv.conflicts("g"), kv.history("g"), kv.stats(), kv.changes(), kv.heads, kv.root, kv.dags(), kv.check(), kv.repair()
    other = kv.fork(ck.Identity.generate())
    other["h"] = 1
    kv.merge(other), ck.sync(kv, other), kv.compact(rewrite=True), kv.purge("other"), kv.admit("other"), kv.clear()
    half = kv.query()
    next(half, None)
    for wrong in (
        lambda: kv["no"],
        lambda: kv.put("k", {1}),
        lambda: kv.put(5, 1),
        lambda: kv.apply(b"x"),
        lambda: kv.query(limit=-1),
        lambda: b.put("x", 1),
        lambda: kv.changes(until=[bytes(32)]),
        lambda: kv.counter("n").increment(2**70),
    ):
        with pytest.raises((KeyError, TypeError, ValueError, ck.Error, OverflowError)):
            wrong()


def test_nothing_leaks():
    drift = []
    for _ in range(5):  # Python's own caches fill up at first
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(30):
            story()
        gc.collect()
        drift.append(sys.getallocatedblocks() - before)
    assert min(drift) < 30, f"a block or more each time: {drift}"
