"""Datastore and Database beside what else keeps keys in a file: sqlite3, lmdb and go-ds-crdt.

    python benchmarks/datastore.py [--n N] [--runs N] [--quick] [--only CASES] [--traces DIR] [--json FILE] [--page]

`make bench-datastore` runs it after building the extension. Every run of every case is a process of its own, the
libraries take turns, the figure is the median; times are by the clock, since the disk is part of them: what else the
machine does shows, so compare inside one run. --only takes names of CASES with commas between them. --page writes the
tables that were measured into docs/performance.md. What is not installed is left out, and named; go-ds-crdt is built
from benchmarks/go-ds-crdt where there is Go and its modules can be had. --inside runs build/c/bench/bench_datastore,
the core without Python, with --n keys.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datastore_cases import AUTHORS, BATCH, COUNTERS, INCREMENTS, OVERWRITES, VALUE, VERSIONS
from durable import FILES
from run import SCALE, figures_of, number, show
from tables import markdown, put

HERE = Path(__file__).resolve().parent
GO = HERE / "go-ds-crdt"
BUILT = HERE.parent / "build" / "go-ds-crdt"
INSIDE = HERE.parent / "build" / "c" / "bench" / "bench_datastore"
PAYLOAD = 16 + VALUE
GO_KINDS = {"go-ds-crdt": [], "go-ds-crdt, synced": ["sync"]}  # what its program is told
EDITS = 259_778  # of automerge-paper
CASES = ("keys", "single", "opening", "replica", "live", "overwrites", "counters", "total", "versions", "paper", "go")
Job = tuple[str, str, int]  # case, library, n
Report = dict[Job, Any]  # figures, or text that says why there are none
Table = list[list[str]]

CALLS = [  # what, figure, unit, targets: at least so many times as quick as that library
    ("durable puts in batches of 1,000, a key", "batched", "us", {"sqlite3": 3.0, "go-ds-crdt": 8.0}),
    ("a durable put by itself, in turns in one process", "single", "us", {"sqlite3": 0.7}),
    ("get, in random order", "get", "us", {"sqlite3": 0.5}),
    ("a tenth of all keys, by prefix", "prefix", "ms", {"sqlite3": 0.5}),
    ("closing", "close", "ms", {}),
    ("live: batches of 1,000 put here, applied there, a key", "live", "us", {"go-ds-crdt": 8.0}),
    ("a delete of a key with 1,000 versions", "delete", "ms", {"go-ds-crdt": 8.0}),
    ("bytes a key, once written and closed", "bytes", "B", {}),
    ("most memory of the process, all pairs among it", "resident", "MB", {}),
]
ALONE: list[
    tuple[str, str, str, float, str, str, float | None]
] = [  # what, case, figure, scale, unit, comparison, target
    ("durable batched puts, keys a second", "keys", "batched", -1, "B", ">=", 200_000),
    ("... opening: to the first value", "opening", "open", 1, "ms", "<=", 50),
    ("... bytes a key and value of 116, once written", "keys", "bytes", 1 / PAYLOAD, "B", "<=", 2.5),
    ("all to a fresh replica, durable and verified: session", "replica", "session", 1, "ms", "<=", 10_000),
    ("... merge()", "replica", "merge", 1, "ms", "<=", 10_000),
    ("... bytes of the session", "replica", "session: bytes", 1, "MB", "", None),
    ("bytes a key and value of 116, once written", "overwrites", "once", 1 / PAYLOAD, "B", "<=", 2.5),
    (
        f"... after {OVERWRITES} overwrites of each, each time in another order",
        "overwrites",
        "before",
        1 / PAYLOAD,
        "B",
        "",
        None,
    ),
    ("... and compact()", "overwrites", "after", 1 / PAYLOAD, "B", "<=", 3),
    ("... taking", "overwrites", "compact", 1, "ms", "", None),
    (f"increments of {COUNTERS:,} counters, batches of {BATCH:,}", "counters", "increments", 1, "ms", "<=", 1000),
    ("... its CPU time", "counters", "cpu: increments", 1, "ms", "", None),
    ("... all in one batch", "counters", "one batch", 1, "ms", "", None),
    (
        "total of a counter with that many authors, after an increment",
        "total",
        "after an increment",
        1,
        "us",
        "<=",
        100,
    ),
    ("... again", "total", "again", 1, "us", "<=", 100),
    ("... the first one after opening", "total", "after opening", 1, "us", "", None),
    ("a durable delete of a key with that many concurrent versions", "versions", "delete", 1, "ms", "", None),
    ("live: one put here, applied there, both durable", "live", "live, single", 1, "ms", "", None),
    ("a document of so many edits, from its file to its text", "paper", "open", 1, "ms", "<=", 10),
    ("... its CPU time", "paper", "cpu: open", 1, "ms", "", None),
    ("... typing it, a durable commit per 1,000 edits", "paper", "write", 1, "ms", "", None),
    ("... bytes of the file", "paper", "bytes", 1, "kB", "", None),
]


def go_program() -> Path | str:
    """Built from benchmarks/go-ds-crdt, or why not."""
    if not shutil.which("go"):
        return "there is no Go"
    done = subprocess.run(["go", "build", "-o", BUILT, "."], cwd=GO, capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["?"])[-1][:100] if done.returncode else BUILT


def plan(n: int, only: list[str], libraries: list[str], has_go: bool) -> list[Job]:
    sizes = {"overwrites": n // 10, "counters": INCREMENTS, "total": AUTHORS, "versions": VERSIONS, "paper": EDITS}
    sizes |= {"single": n // 10, "live": n // 5}
    jobs: list[Job] = [("keys", library, n) for library in libraries if "keys" in only]
    jobs += [(case, "crdtkv", sizes.get(case, n)) for case in CASES[1:-1] if case in only]
    if has_go and "go" in only:
        jobs += [(case, library, n // 5) for case in ("puts", "live") for library in GO_KINDS]
        jobs += [("versions", "go-ds-crdt", VERSIONS)]
    return jobs


def run_all(jobs: list[Job], runs: int, limit: float, traces: str) -> Report:
    seen: dict[Job, list[Any]] = {job: [] for job in jobs}
    for turn in range(runs):
        for job in jobs:
            if seen[job] and isinstance(seen[job][-1], str):
                continue  # cut off or broken
            if sys.stderr.isatty():
                print(f"\r{turn + 1}/{runs} {' '.join(map(str, job)):60}\r", end="", file=sys.stderr, flush=True)
            case, library, n = job
            if library in GO_KINDS:
                command = [str(BUILT), case, str(n), *GO_KINDS[library]]
            else:
                command = [sys.executable, str(HERE / "datastore_cases.py"), case, library, str(n)]
                command += [traces] if case == "paper" and traces else []
            seen[job].append(figures_of(command, limit))
    if sys.stderr.isatty():
        print(" " * 70, end="\r", file=sys.stderr)
    report: Report = {}
    for job, taken in seen.items():
        bad = next((run for run in taken if isinstance(run, str)), None)
        report[job] = bad or {name: statistics.median(run[name] for run in taken) for name in taken[0]}
    return report


# ---- tables, as lists of cells


def figures_by_library(report: Report) -> dict[str, dict[str, float]]:
    """What the cases that several libraries have measured, in one piece for each library."""
    out: dict[str, dict[str, float]] = {}
    for (case, library, _), figures in report.items():
        if isinstance(figures, dict) and case in ("keys", "puts", "live", "versions"):
            out.setdefault(library, {}).update(figures)
        elif isinstance(figures, dict) and case == "single":
            for name, seconds in figures.items():
                out.setdefault(name, {})["single"] = seconds
    return out


def beside(report: Report) -> Table:
    by = figures_by_library(report)
    libraries = [library for library in (*FILES, *GO_KINDS) if library in by]
    peers = [library for library in libraries if library != "crdtkv"]
    rows = [["", "unit", *libraries, *(f"{peer} / crdtkv" for peer in peers), "target", ""]]
    for what, figure, unit, targets in CALLS:
        ours = by.get("crdtkv", {}).get(figure)
        cells = [number(by[lib][figure], unit) if figure in by[lib] else "" for lib in libraries]
        ratios = {peer: by[peer][figure] / ours for peer in peers if ours and figure in by[peer]}
        words = ", ".join(f">= {bound:g} x {peer}" for peer, bound in targets.items() if peer in by)
        met = [ratios[peer] >= bound for peer, bound in targets.items() if peer in ratios]
        verdict = ("yes" if all(met) else "NO") if met else ""
        if any(cells):
            rows.append(
                [what, unit, *cells, *(f"{ratios[p]:.2f}" if p in ratios else "" for p in peers), words, verdict]
            )
    return rows


def alone(report: Report) -> Table:
    rows = [["", "of", "unit", "crdtkv", "target", ""]]
    for what, case, figure, scale, unit, comparison, target in ALONE:
        for (c, library, n), figures in report.items():
            if c != case or library != "crdtkv":
                continue
            if isinstance(figures, str):
                rows.append([what, f"{n:,}", unit, figures, "", "NO" if target else ""])
                continue
            value = 1 / figures[figure] if scale < 0 else figures[figure] * scale
            shown = "keys/s" if scale < 0 else "x" if scale < 1 else unit
            scaled = value * SCALE[unit]
            reached = target is not None and (scaled <= target if comparison == "<=" else scaled >= target)
            words = "" if target is None else f"{comparison} {target:,g}"
            verdict = "" if target is None else "yes" if reached else "NO"
            rows.append([what, f"{n:,}", shown, number(value, unit), words, verdict])
    return rows


def notes(report: Report) -> list[str]:
    out = []
    sizes = {case: n for case, library, n in report if library == "go-ds-crdt"}
    if sizes:
        out.append(
            f"go-ds-crdt: {sizes['puts']:,} keys by itself, {sizes['live']:,} with two live replicas; "
            "on Pebble, which syncs its writes in the last column alone. Its versions are puts one after the other, "
            "ours are concurrent."
        )
    for (case, library, _), figures in report.items():
        if case == "keys" and isinstance(figures, dict):
            cpu = ", ".join(f"{name} {figures[f'cpu: {name}'] * 1e6:.2f}" for name in ("batched", "get"))
            out.append(f"CPU time of {library}, us: {cpu}.")
    return out


def inside(n: int) -> str:
    """What benchmarks/c/bench_datastore.c says."""
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"bench_datastore-{os.getpid()}.db"
    try:
        done = subprocess.run([INSIDE, "--n", str(n), "--path", path], capture_output=True, text=True, check=True)
    finally:
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="keys (1,000,000)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one run with 100,000 keys")
    parser.add_argument("--limit", type=float, default=300, help="seconds that one run may take (300)")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--traces", default=os.environ.get("CRDTKV_TRACES", ""), help="a folder of *.json.gz")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--inside", action="store_true", help="the core in C alone, once, with --n keys")
    options = parser.parse_args()
    n, runs, only = options.n, options.runs, options.only.split(",")
    if options.quick:
        n, runs = 100_000, 1
    if unknown := set(only) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    machine = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start"
    if options.inside:
        text = inside(n)
        print(text, end="")
        if options.page:
            put("datastore-c", f"{n:,} keys; {machine}.\n\n```text\n{text}```")
        return 0
    libraries = []
    for library, (module, _) in FILES.items():
        if importlib.util.find_spec(module):
            libraries.append(library)
        else:
            print(f"{library}: no module {module} (pip install 'crdtkv[bench]'): left out")
    go = go_program() if "go" in only else ""
    if isinstance(go, str) and go:
        print(f"go-ds-crdt: {go}: left out")
    report = run_all(plan(n, only, libraries, isinstance(go, Path)), runs, options.limit, options.traces)
    versions = [f"SQLite {sqlite3.sqlite_version}"]
    versions += [f"lmdb {importlib.metadata.version('lmdb')}"] if "lmdb" in libraries else []
    versions += ["go-ds-crdt v0.6.8"] if isinstance(go, Path) else []
    trace = "The trace as published." if options.traces else "A made-up trace of the same shape."
    first = f"Python {platform.python_version()}, {machine}; {', '.join(versions)}. "
    first += f"{n:,} keys; median of {runs} run(s), by the clock. {trace}"
    sections: list[tuple[str, Callable[[Report], Table], list[str]]] = [
        ("datastore", beside, notes(report)),
        ("datastore-alone", alone, []),
    ]
    for name, make, words in sections:
        rows = make(report)
        if len(rows) == 1:
            continue
        show(rows)
        print(*words, "", sep="\n")
        if options.page:
            put(name, "\n\n".join([first, markdown(rows), *words]))
    if options.json:
        options.json.write_text(json.dumps([[*job, figures] for job, figures in report.items()], indent=1))
    failed = [f"{' '.join(map(str, job))}: {f}" for job, f in report.items() if isinstance(f, str)]
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent)]
    sys.exit(main())
