"""One datastore and many threads."""

import subprocess
import sys
import threading
import time

import crdtkv as ck
from house.datastores import assert_equal, datastore, put_all


def together(*work):
    """Runs all at once; the first exception comes out."""
    failed = []

    def guarded(one):
        try:
            one()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def test_writers_of_keys_of_their_own(kv):
    def write(who):
        for n in range(300):
            kv[f"{who}/{n:03}"] = n
            if n % 50 == 49:
                kv.commit()

    together(*(lambda who=who: write(who) for who in range(4)))
    assert len(kv) == 1200 and all(kv[f"{who}/{n:03}"] == n for who in range(4) for n in range(300))
    assert kv.check() == []


def test_counting_loses_nothing(kv):
    def count():
        for _ in range(500):
            kv.counter("n").increment()

    together(*[count] * 4)
    assert int(kv.counter("n")) == 2000


def test_batches_at_once(kv):
    def write(who):
        for n in range(20):
            with kv.batch() as b:
                for k in range(50):
                    b.put(f"{who}/{k:02}", n)
                b.increment("n", 50)

    together(*(lambda who=who: write(who) for who in range(4)))
    assert len(kv) == 200 and set(kv.values()) == {19} and int(kv.counter("n")) == 4000


def test_readers_while_somebody_writes(kv):
    put_all(kv, ((f"{n:03}", 0) for n in range(20)))
    stop = threading.Event()

    def write():
        for n in range(1, 15):
            put_all(kv, ((f"{k:03}", n) for k in range(20)))
        stop.set()

    def read():
        while not stop.is_set():
            keys = list(kv.query(keys_only=True))
            assert keys == [f"{n:03}" for n in range(20)]
            assert kv["010"] >= 0 and len(kv) == 20

    together(write, read, read)
    assert set(kv.values()) == {14}


def test_compaction_while_others_work(kv):
    def write():
        for n in range(10):
            put_all(kv, ((f"{k:03}", "x" * 100 + str(n)) for k in range(20)))

    def compact():
        for _ in range(20):
            kv.compact()

    together(write, compact, lambda: [list(kv.query()) for _ in range(50)])
    assert set(kv.values()) == {"x" * 100 + "9"} and kv.check() == []


def test_exchange_in_all_directions():
    stores = [datastore(n) for n in range(1, 5)]

    def work(k):
        for n in range(40):
            stores[k][f"{k}/{n}"] = n
            stores[k].apply(stores[(k + 1 + n) % 4].export())

    together(*(lambda k=k: work(k) for k in range(4)))
    for _ in range(2):
        for a in stores:
            for b in stores:
                if a is not b:
                    a.merge(b)
    assert_equal(*stores)
    assert len(stores[0]) == 160


def test_merging_in_both_directions_at_once_does_not_lock_up():
    a, b = datastore(1), datastore(2)

    def merge(x, y):
        for n in range(100):
            x[f"{x.identity.public_key.hex()}/{n}"] = n
            x.merge(y)

    together(lambda: merge(a, b), lambda: merge(b, a))
    a.merge(b), b.merge(a)
    assert_equal(a, b)


def test_callbacks_may_come_from_any_thread(kv):
    seen = []
    kv.observe(lambda e: seen.append(e.key))

    def write(who):
        for n in range(100):
            kv[f"{who}/{n}"] = n

    together(*(lambda who=who: write(who) for who in range(3)))
    assert sorted(seen) == sorted(f"{who}/{n}" for who in range(3) for n in range(100))


def test_two_datastores_of_one_file(tmp_path):
    with ck.Database(tmp_path / "x.db") as db:
        stores = [db.datastore(f"{n}") for n in range(3)]

        def work(kv):
            for n in range(20):
                put_all(kv, ((f"{k}", n) for k in range(20)))
                assert len(list(kv.query())) == 20

        together(*(lambda kv=kv: work(kv) for kv in stores))
    with ck.Database(tmp_path / "x.db") as db:
        assert all(set(db.datastore(f"{n}").values()) == {19} and len(db.datastore(f"{n}")) == 20 for n in range(3))


HELD = """
import threading, time
import crdtkv as ck
from crdtkv import _core

uid = bytes(32)
file = _core.File({path!r})
file.begin()
file.run("INSERT INTO object(id, name, kind, uid) VALUES(1, 'x', 'datastore', ?)", uid)
file.commit()
there, here = _core.Datastore(id=uid), _core.Datastore(file=file, object=1)
with there.batch() as b:
    for n in range(20000):
        b.put(n.to_bytes(4, "big"), bytes(1000))
here.merge(there)
inside = threading.Event()

def hold():
    file.begin()
    inside.set()
    time.sleep(0.2)
    file.commit()

thread = threading.Thread(target=hold)
thread.start()
inside.wait()
assert here[bytes(4)] == bytes(1000)
thread.join()
"""


def test_a_read_waits_for_no_transaction(tmp_path):
    # What a merge brought is more than memory holds: if the next read wrote it out, it would wait for whoever holds
    # the file, and that thread for the interpreter.
    script = HELD.format(path=str(tmp_path / "a.db"))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_read_after_an_import_has_nothing_left_to_do(kv):
    """What an import brings goes into the indexes without the GIL, and not with it when somebody reads."""
    with kv.batch(max_bytes=1 << 24) as b:
        for n in range(30_000):
            b.put(f"{n * 7919 % 30_000:06}", n)
    data = kv.export()
    best = 1.0
    for _ in range(3):  # somebody else may have the processor
        other = datastore(2)
        start = time.perf_counter()
        other.apply(data)
        applied = time.perf_counter()
        assert "nothing" not in other
        best = min(best, (time.perf_counter() - applied) / (applied - start))
    assert best < 0.02
