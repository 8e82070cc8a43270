"""Stores in the hands of many threads."""

import random
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


def pull(a, b):
    """a takes what b has."""
    report = a.integrate_diff(b.build_diff(a.request_diff()))
    assert not report.waiting
    return report


def test_eight_threads_on_one_store():
    s = ck.Store()
    n = 400

    def work(i):
        rng = random.Random(i)
        other = ck.Store()
        for k in range(n):
            s[f"{i}/{k}"] = [i, {"k": k}]
            s[f"mine/{i}"] = k
            assert s[f"mine/{i}"] == k and f"{i}/{k}" in s and s.get(b"no") is None
            what = rng.random()
            if what < 0.05:
                other["x" * i] = k
                pull(s, other)
                pull(other, s)
            elif what < 0.1:
                assert len(s[f"{i}/" : f"{i}0"]) == k + 1 == len(s.keys(f"{i}/"))
                assert s.entries()[f"mine/{i}"].value == k == s.conflicts(f"mine/{i}")[0].value
                assert s.stats()["keys"] > k and repr(s)
            elif what < 0.15:
                assert ck.Store.load(s.save()) and s.index_size() and s.opset()
            elif what < 0.2:
                s.update({f"many/{i}/{j}": j for j in range(20)})
                del s[f"many/{i}/" : f"many/{i}0"]
            elif what < 0.25:
                assert s.pop(f"{i}/{k}") == [i, {"k": k}] and s.setdefault(f"{i}/{k}", "again") == "again"

    run(*[lambda i=i: work(i) for i in range(8)])
    assert all(s[f"mine/{i}"] == n - 1 and len(s.keys(f"{i}/")) == n for i in range(8))
    assert not s.keys("many/") and ck.Store.load(s.save()).entries() == s.entries()


def test_eight_stores_in_a_ring():
    ring = [ck.Store(f"peer {i}") for i in range(8)]

    def work(i):
        rng = random.Random(i)
        mine, other = ring[i], ring[(i + 1) % 8]
        for k in range(60):
            mine[f"{rng.randrange(100)}"] = [i, k]
            mine.pop(f"{rng.randrange(100)}", None)
            pull(mine, other)
            pull(other, mine)

    run(*[lambda i=i: work(i) for i in range(8)])
    for _ in range(2):
        for i in range(8):
            pull(ring[i], ring[i - 1])
    assert all(s.entries() == ring[0].entries() for s in ring) and len(ring[0]) > 0
    assert len({s.request_diff() for s in ring}) == 1


def test_long_work_in_crowds():
    """Enough keys for the GIL to go."""
    a, b = ck.Store("a"), ck.Store("b")
    a.update({f"a{i:05}": "x" * 50 for i in range(6000)})
    b.update({f"b{i:05}": "x" * 50 for i in range(6000)})
    stop = threading.Event()

    def exchange(one, other, name):
        for i in range(4):
            pull(one, other)
            one[f"{name}{i}"] = i
            with one.transaction() as t:
                t.update({f"{name}/{k}": i for k in range(5000)})
                t.clear() if i == 9 else t.pop(f"{name}/{i}")

    def look():
        while not stop.is_set():
            n = len(a)
            assert len(a.keys("a")) >= 6000 and n >= 6000 and a.get("a00000") == "x" * 50

    def first():
        try:
            run(lambda: retried(exchange, a, b, "a"), lambda: retried(exchange, b, a, "b"))
        finally:
            stop.set()

    run(first, look, look)
    pull(a, b), pull(b, a), pull(a, b)
    assert a.entries() == b.entries() and len(a) > 20000


def retried(f, *args):
    """A transaction of another thread is open: again."""
    while True:
        try:
            return f(*args)
        except RuntimeError:
            time.sleep(0.001)


def test_one_transaction_at_a_time_and_each_is_whole():
    s = ck.Store()
    s["n"] = 0
    tries = []

    def work():
        done = 0
        while done < 100:
            try:
                t = s.begin()
            except RuntimeError:
                tries.append(1)
                time.sleep(0)
                continue
            t["n"] += 1
            t[f"{t['n']}"] = t["n"]
            t.commit()
            done += 1

    def look():
        while (n := s["n"]) < 600:
            part = s[:]
            assert len(part) == part["n"] + 1 >= n + 1

    run(*[work] * 6, look)
    assert s["n"] == 600 and len(s) == 601


def test_a_transaction_may_be_used_from_several_threads():
    s = ck.Store()
    with s.transaction() as t:
        run(*[lambda i=i: t.update({f"{i}/{k}": k for k in range(500)}) for i in range(8)])
        run(*[lambda i=i: [t.__setitem__(f"{i}", k) for k in range(500)] for i in range(8)])
        assert len(t) == 8 * 501 and not s
    assert len(s) == 8 * 501


def test_who_ends_it_ends_it_for_all():
    s = ck.Store()
    ended = []
    for _ in range(50):
        t = s.begin()
        t["x"] = 1

        def end(t=t):
            try:
                t.commit()
                ended.append(1)
            except ck.StaleHandleError:
                pass

        run(*[end] * 4)
    assert len(ended) == 50


def test_reads_while_a_diff_comes_in():
    source = ck.Store()
    source.update({f"{i:06}": ["x"] * 20 for i in range(20000)})
    s = ck.Store()
    diff = source.build_diff(s.request_diff())
    stop = threading.Event()

    def take():
        try:
            s.integrate_diff(diff)
        finally:
            stop.set()

    def reader():
        while not stop.is_set():
            assert len(s) in (0, 20000) and s.get("000500", ["x"] * 20) == ["x"] * 20

    run(take, reader, reader)
    assert s == source


def test_iteration_sees_all_or_says_that_it_cannot():
    s = ck.Store()
    s.update({f"{i:03}": i for i in range(200)})
    stop = threading.Event()
    whole = []

    def writer():
        try:
            for i in range(300):
                s["100"] = i  # no key comes or goes
                if i % 10 == 0:
                    s["x"] = i
                    del s["x"]
        finally:
            stop.set()

    def reader():
        while not stop.is_set():
            try:
                keys = list(s)
            except RuntimeError:
                continue
            assert len(keys) in (200, 201) and keys == sorted(keys)
            whole.append(keys)

    run(writer, reader, reader)
    assert list(s) == [f"{i:03}" for i in range(200)]


def test_one_iterator_of_many_threads():
    s = ck.Store()
    s.update({f"{i:04}": i for i in range(3000)})
    walk = iter(s.items())
    seen = []
    run(*[lambda: seen.extend(walk) for _ in range(6)])
    assert sorted(seen) == list(s.items()) and next(walk, None) is None


def test_every_event_is_told_once_and_in_order():
    s = ck.Store()
    seen = []
    with s.observe(seen.append):
        run(*[lambda i=i: [s.__setitem__(f"{i}", k) for k in range(200)] for i in range(6)])
        while len(seen) < 1200:  # the thread that tells may still be at it
            time.sleep(0.001)
    for i in range(6):
        mine = [event for event in seen if event.key == f"{i}"]
        assert [event.new for event in mine] == list(range(200))
        assert [event.old for event in mine] == [ck.MISSING, *range(199)]


def test_observers_come_and_go_while_others_write():
    s = ck.Store()
    stop = threading.Event()

    def writer():
        try:
            for i in range(500):
                s["x"] = i
        finally:
            stop.set()

    def observer():
        while not stop.is_set():
            with s.observe(lambda event: None):
                time.sleep(0)

    run(writer, observer, observer)
    assert s["x"] == 499
