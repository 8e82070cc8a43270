"""What it costs to live in a file: opening a paper, and one durable commit after the other, beside plain sqlite3.

    python benchmarks/kept.py [--traces DIR] [--commits 300]

DIR as for benchmarks/run.py; without it a trace of the same shape is made up. Medians of 5 runs, by the clock.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import crdtkv as ck
from crdtkv import traces


def clocked(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def write_paper(path: Path, trace: traces.Trace, per_commit: int) -> None:
    with ck.Database(path, durability="normal") as db:
        doc = db.doc("paper")
        doc["text"] = ck.Text()
        text, n = doc["text"], 0
        for splices in trace.txns:
            for pos, n_del, s in splices:
                text.splice(pos, n_del, s)
                n += 1
                if n % per_commit == 0:
                    doc.commit()


def paper(folder: Path, trace: traces.Trace, per_commit: int) -> None:
    path = folder / f"{per_commit}.db"
    wrote = clocked(lambda: write_paper(path, trace, per_commit))
    identity, opening, times = ck.Identity.load(f"{path}.key"), [], []
    for _ in range(5):
        start, cpu = time.perf_counter(), time.process_time()
        db = ck.Database(path, identity)
        doc = db.doc("paper")
        assert len(str(doc["text"])) > 0
        times.append((time.process_time() - cpu) * 1000)
        opening.append((time.perf_counter() - start) * 1000)
        verified = doc.stats()["verified"]
        db.close()
    print(f"a commit per {per_commit} keystrokes: written in {wrote:,.0f} ms, {path.stat().st_size / 1000:,.0f} kB;")
    print(
        f"    opened to its text in {statistics.median(opening):.1f} ms, {statistics.median(times):.1f} ms of CPU, "
        f"{verified} signatures verified"
    )


def repeat(call: Callable[[], object], n: int) -> None:
    for _ in range(n):
        call()


def commits(folder: Path, durability: Literal["full", "normal"], n: int) -> None:
    with ck.Database(folder / f"{durability}.db", durability=durability) as db:
        doc, store = db.doc("d"), db.store("s")
        doc["t"] = ck.Text()
        text = doc["t"]

        def key() -> None:
            text.insert(len(text), "x")
            doc.commit()

        def put() -> None:
            store["x"] = "x"
            store.commit()

        ours, stores = clocked(lambda: repeat(key, n)) / n, clocked(lambda: repeat(put, n)) / n
    plain = sqlite3.connect(folder / f"{durability}.plain", isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute(f"PRAGMA synchronous = {durability}")
    plain.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)")
    theirs = clocked(lambda: repeat(lambda: plain.execute("INSERT INTO t(data) VALUES (?)", (b"x" * 300,)), n)) / n
    plain.close()
    print(
        f"{durability}: a keystroke committed {1000 / ours:,.0f}/s, a put {1000 / stores:,.0f}/s, "
        f"a row of 300 bytes in plain sqlite3 {1000 / theirs:,.0f}/s"
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--traces", type=Path)
    parser.add_argument("--commits", type=int, default=300)
    args = parser.parse_args()
    trace = traces.read(args.traces / "automerge-paper.json.gz") if args.traces else traces.made_up(1, 259_778)
    with tempfile.TemporaryDirectory() as name:
        for per_commit in (1000, 10):
            paper(Path(name), trace, per_commit)
        commits(Path(name), "full", args.commits)
        commits(Path(name), "normal", args.commits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
