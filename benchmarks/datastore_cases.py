"""Cases of datastores and databases in files, each in a process of its own: benchmarks/datastore.py starts them.

python benchmarks/datastore_cases.py CASE LIBRARY N [TRACES]      prints the figures as JSON: seconds and bytes

Seconds by the clock, since the disk is part of it; "cpu: ..." is the CPU time of the same. Files lie in a folder of
their own under TMPDIR, on whatever disk that is.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from durable import BATCH, FILES, Crdtkv, Pairs
from measuring import SEED, Figures, need

VALUE = 100
SINGLE = 1000  # durable single puts
A_FEW = 10
IN_TURNS = ("crdtkv", "sqlite3", "lmdb")
GETS = 200_000
REOPENED = 7  # times
OVERWRITES = 10
VERSIONS = 1000
AUTHORS = 1000
COUNTERS, INCREMENTS = 1000, 200_000


def made_up(n: int, seed: int = SEED) -> Pairs:
    """Keys of 16 bytes in scrambled order, a tenth of which begin with each digit; values nothing can compress."""
    rng = random.Random(seed)
    return [(b"%d%015x" % (i % 10, rng.getrandbits(60)), rng.randbytes(VALUE)) for i in range(n)]


def clocked(out: Figures, name: str, call: Callable[[], Any], each: int = 1) -> Any:
    began, cpu = time.perf_counter(), time.process_time()
    result = call()
    out[f"cpu: {name}"] = (time.process_time() - cpu) / each
    out[name] = (time.perf_counter() - began) / each
    return result


def size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


# ---- beside others


def keys(library: str, n: int, folder: Path) -> Figures:
    """Everything in one process, seconds a call: what is written is there for what reads."""
    out: Figures = {}
    pairs = made_up(n)
    store = FILES[library][1](folder)
    clocked(out, "batched", lambda: store.batched(pairs), n)
    rng = random.Random(SEED + 1)
    some = rng.sample([k for k, _ in pairs], min(GETS, n))
    clocked(out, "get", lambda: store.get(some), len(some))
    found = clocked(out, "prefix", lambda: store.prefix(b"3"))
    need(found == n // 10, "the keys with a prefix")
    clocked(out, "prefix, again", lambda: store.prefix(b"4"))
    clocked(out, "close", store.close)
    out["bytes"] = size(store.paths()) / n
    out["resident"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return out


def single(library: str, n: int, folder: Path) -> Figures:
    """Durable puts one by one into n keys, a few here and a few there: the disk is as busy for one as for the other."""
    stores = {name: kind(folder) for name, (module, kind) in FILES.items() if name in IN_TURNS and find_spec(module)}
    for store in stores.values():
        store.batched(made_up(n))
    more = made_up(SINGLE, SEED + 2)
    taken: dict[str, list[float]] = {name: [] for name in stores}
    for i in range(0, SINGLE, A_FEW):
        for name, store in stores.items():
            began = time.perf_counter()
            store.single(more[i : i + A_FEW])
            taken[name].append((time.perf_counter() - began) / A_FEW)
    for store in stores.values():
        need(store.prefix(b"3") == (n + SINGLE) // 10, "the keys after single puts")
        store.close()
    return {name: statistics.median(times) for name, times in taken.items()}


# ---- Datastore alone


def opening(library: str, n: int, folder: Path) -> Figures:
    """A database with n keys: to the first value, in a process that has opened others before; the median."""
    import crdtkv

    pairs = made_up(n)
    store = Crdtkv(folder)
    store.batched(pairs)
    store.close()
    taken: list[Figures] = []
    for k, v in pairs[:REOPENED]:
        figures: Figures = {}

        def first(k: bytes = k) -> Any:
            db = crdtkv.Database(folder / "crdtkv.db")
            return db, db.datastore("bench")[k]

        db, value = clocked(figures, "open", first)
        need(value == v, "a value after opening")
        db.close()
        taken.append(figures)
    return {name: statistics.median(figures[name] for figures in taken) for name in taken[0]}


def replica(library: str, n: int, folder: Path) -> Figures:
    """All of it to a fresh replica in another file of this process, verified and durable: a session, and merge()."""
    import crdtkv

    out: Figures = {}
    store = Crdtkv(folder)
    store.batched(made_up(n))
    for name in ("session", "merge"):
        with crdtkv.Database(folder / f"{name}.db") as db:
            other = db.datastore("copy", id=store.at.id)
            if name == "session":
                out["session: bytes"] = clocked(out, name, lambda other=other: crdtkv.sync(store.at, other)).bytes
            else:
                clocked(out, name, lambda other=other: other.merge(store.at))
            need(other.root == store.at.root and len(other) == n, "two replicas")
        (folder / f"{name}.db").unlink()
    store.close()
    return out


def live(library: str, n: int, folder: Path) -> Figures:
    """Each batch put on one replica goes to another file through a session that stays open; both durable."""
    import crdtkv

    pairs = made_up(n)
    store = Crdtkv(folder)
    with crdtkv.Database(folder / "other.db") as db:
        other = db.datastore("copy", id=store.at.id)
        ends = store.at.session(), other.session()

        def talk() -> None:
            said = True
            while said:
                said = False
                for speaker, listener in (ends, ends[::-1]):
                    while (message := speaker.send()) is not None:
                        listener.receive(message)
                        said = True

        def run(pairs: Pairs, step: int) -> None:
            for i in range(0, len(pairs), step):
                with store.at.batch() as b:
                    for k, v in pairs[i : i + step]:
                        b.put(k, v)
                talk()

        out: Figures = {}
        talk()
        clocked(out, "live", lambda: run(pairs, BATCH), n)
        more = made_up(SINGLE, SEED + 2)
        clocked(out, "live, single", lambda: run(more, 1), SINGLE)
        need(other.root == store.at.root and other[more[-1][0]] == more[-1][1], "two replicas")
        store.close()
    return out


def overwrites(library: str, n: int, folder: Path) -> Figures:
    """Bytes a key in the file: written once; all overwritten ten times, in another order each time; compacted."""
    out: Figures = {}
    pairs = made_up(n)
    store = Crdtkv(folder)
    store.batched(pairs)
    store.close()
    out["once"] = size(store.paths()) / n
    store = Crdtkv(folder)
    rng = random.Random(SEED + 3)
    last: dict[bytes, bytes] = {}
    for _ in range(OVERWRITES):
        rng.shuffle(pairs)
        pairs = [(k, rng.randbytes(VALUE)) for k, _ in pairs]
        store.batched(pairs)
    last.update(pairs[:100])
    out["before"] = size(store.paths()) / n
    clocked(out, "compact", store.at.compact)
    clocked(out, "database", store.db.compact)
    store.close()
    out["after"] = size(store.paths()) / n
    store = Crdtkv(folder)
    need(all(store.at[k] == v for k, v in last.items()) and len(store.at) == n, "the keys after compaction")
    store.close()
    return out


def counters(library: str, n: int, folder: Path) -> Figures:
    """n increments on COUNTERS counters, a batch for each BATCH of them; then all of them in one batch."""
    out: Figures = {}
    rng = random.Random(SEED)
    names = [f"views/{rng.randrange(COUNTERS)}" for _ in range(n)]
    store = Crdtkv(folder)

    def run(step: int) -> None:
        for i in range(0, n, step):
            with store.at.batch() as b:
                increment = b.increment
                for name in names[i : i + step]:
                    increment(name)

    clocked(out, "increments", lambda: run(BATCH))
    clocked(out, "one batch", lambda: run(n))
    need(sum(store.at.counters("views/").values()) == 2 * n, "the totals")
    store.close()
    return out


def replicas(kv: Any, n: int, write: Callable[[Any, int], None]) -> None:
    """n authors who know nothing of each other write; kv takes in what each of them wrote."""
    import crdtkv

    for i in range(n):
        author = crdtkv.Datastore(crdtkv.Identity.generate(), id=kv.id)
        write(author, i)
        kv.apply(author.export())


def total(library: str, n: int, folder: Path) -> Figures:
    """The total of a counter to which n authors add, read again, after each increment, and after opening."""
    out: Figures = {}
    store = Crdtkv(folder)
    replicas(store.at, n, lambda author, i: author.counter("likes").increment(i))
    expected = n * (n - 1) // 2
    counter = store.at.counter("likes")
    need(int(counter) == expected, "the total")

    fresh: list[float] = []
    again: list[float] = []
    for _ in range(100):
        counter.increment()
        store.at.commit()
        for times in fresh, again:
            began = time.perf_counter()
            value = int(counter)
            times.append(time.perf_counter() - began)
    need(value == expected + 100, "the total after increments")
    out["after an increment"], out["again"] = statistics.median(fresh), statistics.median(again)
    store.close()
    opened: list[float] = []
    for _ in range(REOPENED):
        store = Crdtkv(folder)
        counter = store.at.counter("likes")
        began = time.perf_counter()
        value = int(counter)
        opened.append(time.perf_counter() - began)
        need(value == expected + 100, "the total after opening")
        store.close()
    out["after opening"] = statistics.median(opened)
    return out


def versions(library: str, n: int, folder: Path) -> Figures:
    """One durable delete of a key with n concurrent versions."""
    out: Figures = {}
    store = Crdtkv(folder)
    replicas(store.at, n, lambda author, i: author.put(b"key", i))
    need(len(store.at.conflicts(b"key")) == n, "the versions")

    def delete() -> None:
        del store.at[b"key"]
        store.at.commit()

    clocked(out, "delete", delete)
    need(b"key" not in store.at, "the key after the delete")
    store.close()
    return out


def paper(library: str, n: int, folder: Path, traces: str = "") -> Figures:
    """A text of so many edits, a commit after each 1,000, from its file to a str."""
    import crdtkv
    from crdtkv import traces as kept

    trace = kept.read(Path(traces) / "automerge-paper.json.gz") if traces else kept.made_up(SEED, n)
    path = folder / "paper.db"
    out: Figures = {"made up": not traces}

    def write() -> str:
        with crdtkv.Database(path) as db:
            doc = db.doc("paper")
            doc["text"] = crdtkv.Text()
            text, edits = doc["text"], 0
            for splices in trace.txns:
                for pos, n_del, s in splices:
                    text.splice(pos, n_del, s)
                    edits += 1
                    if edits % 1000 == 0:
                        doc.commit()
            return str(text)

    written = clocked(out, "write", write)
    out["bytes"] = path.stat().st_size
    taken: list[Figures] = []
    for _ in range(REOPENED):
        figures: Figures = {}

        def first() -> Any:
            db = crdtkv.Database(path)
            return db, str(db.doc("paper")["text"])

        db, text = clocked(figures, "open", first)
        need(text == written, "the text after opening")
        db.close()
        taken.append(figures)
    return out | {name: statistics.median(figures[name] for figures in taken) for name in taken[0]}


CASES: dict[str, Callable[..., Figures]] = {
    case.__name__: case for case in (keys, single, opening, replica, live, overwrites, counters, total, versions, paper)
}


def main(case: str, library: str, n: str, *args: str) -> None:
    with tempfile.TemporaryDirectory(prefix="crdtkv-bench-") as folder:
        print(json.dumps(CASES[case](library, int(n), Path(folder), *args)))


if __name__ == "__main__":
    main(*sys.argv[1:])
