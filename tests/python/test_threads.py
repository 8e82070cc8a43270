import random
import resource
import sys
import threading
import time

import pytest

import crdtkv as ck
from house.threads import run


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_eight_threads_on_one_document():
    doc = ck.Doc()
    doc["t"] = ck.Text()
    n = 300

    def work(i):
        rng = random.Random(i)
        other = doc.fork()
        for k in range(n):
            doc["t"].insert(0, "x")
            doc[f"{i}"] = k
            if rng.random() < 0.1:
                assert doc.heads
            if rng.random() < 0.05:
                other["t"].insert(0, "y")
                doc.merge(other)
            if rng.random() < 0.05:
                doc.export(), str(doc["t"]), doc.to_py(), doc.stats(), doc.changes(), repr(doc)
            if rng.random() < 0.05:
                with doc.change():
                    doc["t"].insert(0, "ab")
                    doc["t"].delete(0, 2)

    run(*[lambda i=i: work(i) for i in range(8)])
    assert doc["t"].count("x") == 8 * n and all(doc[str(i)] == n - 1 for i in range(8))
    twin = ck.Doc.load(doc.save())
    assert twin == doc and twin.root == doc.root


def test_eight_replicas_in_a_ring():
    first = ck.Doc()
    first["t"] = ck.Text()
    ring = [first, *(first.fork() for _ in range(7))]

    def work(i):
        for _ in range(60):
            ring[i]["t"].insert(0, "x")
            ring[i].merge(ring[(i + 1) % 8])
            ring[(i + 1) % 8].merge(ring[i])

    run(*[lambda i=i: work(i) for i in range(8)])
    for _ in range(2):
        for i in range(8):
            ring[i].merge(ring[i - 1])
    assert len({doc.root for doc in ring}) == 1 and all(doc["t"] == "x" * 480 for doc in ring)


def test_edits_of_others_wait_for_the_end_of_a_block_and_reads_do_not():
    doc = ck.Doc()
    doc["t"] = ck.Text("0")
    doc.commit()
    inside, read = threading.Event(), threading.Event()
    order = []

    def block():
        with doc.change("block"):
            doc["a"] = 1
            inside.set()
            assert read.wait(30)
            time.sleep(0.05)
            order.append("block")
            doc["b"] = 2

    def reader():
        inside.wait(30)
        assert len(doc) == 2 and str(doc["t"]) == "0" and doc.to_py() == {"a": 1, "t": "0"} and doc.waiting == ()
        assert "b" not in doc and doc.stats() and repr(doc["t"])
        read.set()

    def editor():
        inside.wait(30)
        doc["t"].insert(0, "x")
        order.append("edit")

    def closer():
        inside.wait(30)
        assert doc.heads
        order.append("heads")

    def other_block():
        inside.wait(30)
        with doc.change():
            doc["c"] = 3
            order.append("other")

    run(block, reader, editor, closer, other_block)
    assert order[0] == "block" and sorted(order) == ["block", "edit", "heads", "other"]
    (change,) = [c for c in doc.changes() if c.message == "block"]
    assert change.n_ops == 2


def test_blocks_of_many_threads_are_whole():
    doc = ck.Doc()
    doc["n"] = 0

    def work():
        for _ in range(100):
            with doc.change():
                n = doc["n"]
                doc["n"] = n + 1

    run(*[work] * 6)
    assert doc["n"] == 600 and len(doc.changes()) == 601


def test_block_after_block_does_not_shut_others_out():
    doc = ck.Doc()
    doc["n"] = 0
    stop = threading.Event()

    def greedy():
        while not stop.is_set():
            with doc.change():
                for _ in range(50):
                    doc["n"] = 1

    def modest():
        try:
            for i in range(30):
                doc["m"] = i
        finally:
            stop.set()

    run(greedy, modest)
    assert doc["m"] == 29


def test_block_that_raises_lets_others_go_on():
    doc = ck.Doc()
    inside = threading.Event()

    def broken():
        with pytest.raises(KeyError), doc.change():
            doc["a"] = 1
            inside.set()
            time.sleep(0.02)
            raise KeyError

    def editor():
        inside.wait(30)
        doc["b"] = 2

    run(broken, editor)
    assert doc == {"b": 2}


def test_block_ends_in_its_thread():
    doc = ck.Doc()
    block = doc.change()
    block.__enter__()

    def other():
        with pytest.raises(RuntimeError):
            block.__exit__(None, None, None)

    run(other)
    doc["a"] = 1
    block.__exit__(None, None, None)
    assert doc.heads


def test_reads_while_a_bundle_comes_in():
    source = ck.Doc()
    source["t"] = ck.Text()
    for i in range(3000):
        source["t"].insert(i, "x")
        source.commit()
    data = source.save()
    doc = ck.Doc(id=source.id)
    stop = threading.Event()

    def apply():
        try:
            doc.apply(data)
        finally:
            stop.set()

    def reader():
        while not stop.is_set():
            assert doc.get("t", "") in ("", "x" * 3000) and doc.stats()["changes"] in (0, 3000, 3001)

    run(apply, reader, reader)
    assert doc == source


def test_one_handle_for_all_threads():
    doc = ck.Doc()
    doc["t"] = ck.Text("x")
    seen = []

    def work():
        for _ in range(200):
            a = doc["t"]
            b = doc["t"]
            assert a is b
        seen.append(a)

    keep = doc["t"]
    run(*[work] * 8)
    assert all(t is keep for t in seen)


def test_merging_crosswise_goes_through():
    a = ck.Doc()
    b = a.fork()
    stop = threading.Event()
    errors = []

    def work(mine, other, name):
        try:
            i = 0
            while not stop.is_set():
                mine[f"{name}{i % 50}"] = "x" * (i % 3000)
                mine.merge(other)
                i += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=args) for args in ((a, b, "a"), (b, a, "b"), (a, a, "c"))]
    for t in threads:
        t.start()
    time.sleep(0.5)
    stop.set()
    for t in threads:
        t.join(30)
        assert not t.is_alive()
    assert not errors
    a.merge(b)
    b.merge(a)
    assert a == b and a.root == b.root and not a.equivocations()


def test_one_list_of_many_threads():
    doc = ck.Doc()
    doc["l"], doc["c"], doc["s"], doc["m"] = [], ck.Counter(), set(), {}
    n = 200

    def work(i):
        rng = random.Random(i)
        for k in range(n):
            doc["l"].append({"by": i, "k": k})
            doc["c"] += 1
            doc["s"].add((i * n + k) % 50)
            doc["m"].setdefault(f"k{k % 7}", []).append(i)
            what = rng.random()
            if what < 0.1:
                assert len(doc.to_py()["l"]) > 0 and sum(1 for _ in doc["l"]) > 0 and doc["l"][:5]
            elif what < 0.15:
                doc["l"].move(0, rng.randrange(5))
            elif what < 0.2:
                with doc.change():
                    doc["l"].insert(0, [ck.Text("x")])
                    doc["l"].pop(0)
            elif what < 0.25:
                assert doc.heads

    run(*[lambda i=i: work(i) for i in range(6)])
    assert len(doc["l"]) == 6 * n == doc["c"] and len(doc["s"]) == 50
    assert sum(len(one) for one in doc["m"].values()) == 6 * n
    twin = ck.Doc.load(doc.save())
    assert twin == doc and twin.root == doc.root


def test_who_does_long_work_all_the_time_lets_others_in():
    sys.setswitchinterval(10)  # so that nobody has to let go of the GIL but in long work
    doc, is_over = ck.Doc(), threading.Event()
    doc["t"] = ck.Text("x" * 1_000_000)

    def long_work():
        while not is_over.is_set():
            doc.save()

    def short_work():
        for k in range(100):
            doc["k"] = k
        is_over.set()

    run(long_work, short_work)
    assert doc["k"] == 99


def test_short_work_of_many_threads_is_no_switch_of_threads_each_time():
    sys.setswitchinterval(0.005)
    doc = ck.Doc()
    doc["l"] = [{"k": k} for k in range(5000)]

    def work():
        for _ in range(4):
            assert len(doc.to_py()["l"]) == 5000  # long, so that others wait for it
            assert sum(1 for _ in doc["l"]) == 5000

    before = resource.getrusage(resource.RUSAGE_SELF)
    run(*[work] * 4)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_nvcsw - before.ru_nvcsw < 4 * 4 * 5000 / 10
