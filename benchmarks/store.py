"""Store beside what else Python has for keys and values, what its replicas tell each other, and the core in C.

    python benchmarks/store.py [--n N] [--runs N] [--quick] [--only CASES] [--libraries NAMES] [--json FILE] [--page]

`make bench-store` runs it after building the extension and build/c/bench/bench_store. Every run of every case is a
process of its own, the libraries take turns, the figure is the median; times are CPU time. --only takes names of
CASES with commas between them. --page writes the tables that were measured into docs/performance.md. What is not
installed is left out, and named.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keyvalue import STORES
from run import SCALE, figures_of, number, show
from store_cases import BEHIND, PATTERNS, PAYLOAD
from tables import duration, markdown, put

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent / "build" / "c" / "bench" / "bench_store"
EXCHANGED = ("request", "behind", "pull", "session", "disk", "opset", "op")
CASES = ("keys", "memory", *EXCHANGED, "scattered", "c")
Job = tuple[str, str, int, str]  # case, library, n, pattern
Report = dict[Job, Any]  # figures, or text that says why there are none
Table = list[list[str]]

CALLS = [  # what, figure, at most that many times that library
    ("insert, one call each in one transaction", "insert", ("SortedDict", 1 / 3)),
    ("insert outside of a transaction", "single", ("dict", 3)),
    ("get", "get", ("dict", 3)),
    ("scan of all in key order, an entry", "scan", None),
    ("the 15 or so keys with a prefix, a query", "prefix", None),
    ("overwrite, in one transaction", "overwrite", None),
    ("delete, in one transaction", "delete", None),
    ("`update()` with all, an entry", "update", None),
]
EXCHANGES = [  # what, case, figures to be added, unit, target
    ("request of {n:,} contiguous puts", "request", ("bytes",), "B", 300),
    ("... making it", "request", ("seconds",), "us", None),
    ("{b:,} behind of {n:,}: request", "behind", ("request",), "B", 300),
    ("... diff", "behind", ("bytes",), "B", BEHIND * (PAYLOAD + 10)),
    ("... building the diff", "behind", ("build",), "ms", 5),
    ("... integrating it", "behind", ("integrate",), "ms", None),
    ("all of {n:,} to a fresh replica: build", "pull", ("build",), "ms", None),
    ("... integrate", "pull", ("integrate",), "ms", None),
    ("... both", "pull", ("build", "integrate"), "ms", 1000),
    ("... diff", "pull", ("bytes",), "MB", None),
    ("`ck.sync`, {b:,} missing on each side", "session", ("seconds",), "ms", None),
    ("... bytes, both ways", "session", ("bytes",), "B", 2 * BEHIND * (PAYLOAD + 10)),
    ("`ck.sync`, all of {n:,} to a fresh replica", "session", ("all: seconds",), "ms", None),
    ("... bytes, both ways", "session", ("all: bytes",), "MB", None),
    ("... rounds", "session", ("all: rounds",), "", None),
    ("save {n:,}", "disk", ("save",), "ms", None),
    ("... load", "disk", ("load",), "ms", None),
    ("... bytes", "disk", ("bytes",), "MB", None),
    ("op set of {b:,} changes: make", "opset", ("make",), "ms", None),
    ("... take in", "opset", ("take",), "ms", None),
    ("... bytes", "opset", ("bytes",), "B", None),
    ("op of a put of a new key: make", "op", ("put, make",), "us", None),
    ("... take in", "op", ("put, take",), "us", None),
    ("... bytes", "op", ("put, bytes",), "B", None),
    ("op of a put of an old key: make", "op", ("put again, make",), "us", None),
    ("... take in", "op", ("put again, take",), "us", None),
    ("... bytes", "op", ("put again, bytes",), "B", None),
    ("op of a remove: make", "op", ("remove, make",), "us", None),
    ("... take in", "op", ("remove, take",), "us", None),
    ("... bytes", "op", ("remove, bytes",), "B", None),
]
SEED_MS = {  # the seed, in Rust, as measured earlier on a machine like the one these programs were written on
    "ascending": 1230,
    "scrambled": 2240,
    "pull": 1370,
}


def plan(n: int, libraries: list[str], only: list[str]) -> list[Job]:
    jobs = [(case, library, n, "") for case in ("keys", "memory") for library in libraries if case in only]
    if "crdtkv" in libraries:
        jobs += [(case, "crdtkv", n // 10 if case == "op" else n, "") for case in EXCHANGED if case in only]
        jobs += [("scattered", "crdtkv", n, pattern) for pattern in PATTERNS if "scattered" in only]
    return [job for job in jobs if job[:2] != ("memory", "lmdb, a file")]  # its memory is the file, mapped


def run_all(jobs: list[Job], runs: int, limit: float) -> Report:
    seen: dict[Job, list[Any]] = {job: [] for job in jobs}
    for turn in range(runs):
        for job in jobs:
            if seen[job] and (isinstance(seen[job][-1], str) or (job[0] == "scattered")):
                continue  # cut off or broken; or bytes, which are always the same
            if sys.stderr.isatty():
                print(f"\r{turn + 1}/{runs} {' '.join(map(str, job)):60}\r", end="", file=sys.stderr, flush=True)
            case, library, n, pattern = job
            command = [sys.executable, str(HERE / "store_cases.py"), case, library, str(n)]
            seen[job].append(figures_of([*command, pattern] if pattern else command, limit))
    if sys.stderr.isatty():
        print(" " * 70, end="\r", file=sys.stderr)
    report: Report = {}
    for job, taken in seen.items():
        bad = next((run for run in taken if isinstance(run, str)), None)
        report[job] = bad or {name: statistics.median(run[name] for run in taken) for name in taken[0]}
    return report


# ---- tables, as lists of cells


def ratio(a: float | None, b: float | None) -> str:
    return f"{a / b:.2f}" if a and b else ""


def met(value: float | None, bound: float | None) -> str:
    return "" if value is None or bound is None else "yes" if value <= bound else "NO"


def calls(report: Report, libraries: list[str]) -> Table:
    """ns of each call, and how many entries a second; the two ratios; memory below."""
    rows = [["ns each", *libraries, "SortedDict / crdtkv", "crdtkv / dict", "target", ""]]
    cases = [("keys", *call, 1e9, "") for call in CALLS]
    beside = [("memory", "memory of an entry beyond its key and value, bytes", "resident", 120, 1.0, "B")]
    for case, what, figure, target, scale, unit in [*cases, *beside]:
        by = {library: f for (c, library, _, _), f in report.items() if c == case}
        values = {lib: f[figure] * scale for lib, f in by.items() if isinstance(f, dict) and figure in f}
        if not by:
            continue
        cells = []
        for lib in libraries:
            why = by.get(lib, "")
            cells.append(number(values[lib], "B") if lib in values else why if isinstance(why, str) else "")
        words, bound = "", None
        if isinstance(target, tuple):
            name, factor = target
            words = f"<= {name} / {1 / factor:g}" if factor < 1 else f"<= {factor:g} x {name}"
            bound = values[name] * factor if name in values else None
        elif target:
            words, bound = f"<= {target} {unit}", target
        ours, sorted_dict, plain = (values.get(lib) for lib in ("crdtkv", "SortedDict", "dict"))
        rows.append([what, *cells, ratio(sorted_dict, ours), ratio(ours, plain), words, met(ours, bound)])
    return rows


def call_notes(report: Report) -> list[str]:
    figures = {(case, lib): f for (case, lib, _, _), f in report.items() if isinstance(f, dict)}
    out = []
    if plain := figures.get(("keys", "dict")):
        words = f"The loop over the prebuilt pairs, which is in each figure: {plain['loop'] * 1e9:.0f} ns."
        out.append(f"{words} dict sorts for its scan; dict and pycrdt know no prefixes.")
    waits = [
        f"{lib.partition(',')[0]} {f['single, by the clock'] * 1e6:,.0f} us"
        for (case, lib), f in figures.items()
        if case == "keys" and "file" in lib
    ]
    if waits:
        out.append(
            f"A write outside of a transaction waits for the disk, which is no CPU time; with it: {', '.join(waits)}."
        )
    if ours := figures.get(("keys", "crdtkv")):
        out.append(f"Inserts of crdtkv in one transaction: {1 / ours['insert']:,.0f} a second.")
    if stats := figures.get(("memory", "crdtkv")):
        n = next(n for case, _, n, _ in report if case == "memory")
        parts = [f"{name} {value / n:.1f}" for name, value in stats.items() if name.endswith("bytes")]
        out.append(f"What `stats()` says of that, bytes an entry: {', '.join(parts)}.")
    return out


def exchanges(report: Report) -> Table:
    rows = [["", "unit", "crdtkv", "target", ""]]
    for what, case, names, unit, target in EXCHANGES:
        for (c, _, n, _), figures in report.items():
            if c != case:
                continue
            if isinstance(figures, str):
                rows.append([what.format(n=n, b=BEHIND), unit, figures, "", "NO" if target else ""])
                continue
            value = sum(figures[name] for name in names)
            scaled = value * SCALE.get(unit, 1)
            words = f"<= {target:,}" if target else ""
            rows.append([what.format(n=n, b=BEHIND), unit, number(value, unit or "B"), words, met(scaled, target)])
    return rows


def scattered(report: Report) -> Table:
    rows = [["live dots", "request", "CRoaring, run-optimised", "request / CRoaring", "bits a dot", "target", ""]]
    for (case, _, n, pattern), f in report.items():
        if case == "scattered" and isinstance(f, str):
            rows.append([f"{n:,}: {pattern}", f, "", "", "", "", "NO"])
        elif case == "scattered":
            cells = [f"{f['bytes']:,.0f}", f"{f['roaring']:,.0f}", ratio(f["bytes"], f["roaring"])]
            more = [
                f"{f['bytes'] * 8 / f['dots']:.2f}",
                "<= 1.2 x, or 300",
                met(f["bytes"], max(300, 1.2 * f["roaring"])),
            ]
            rows.append([f"{f['dots']:,.0f}: {pattern}", *cells, *more])
    return rows


def inside(n: int, runs: int) -> Table:
    """What benchmarks/c/bench_store.c says."""
    command = [BENCH, "--n", str(n), "--runs", str(runs), "--tsv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [["case", "all", "each", "the seed, measured earlier", "seed / crdtkv", "target", ""]]
    for line in done.stdout.splitlines():
        name, what, ns, calls = line.split("\t")
        taken, seed = float(ns), SEED_MS.get(name, 0) * 1e6 * n / 1_000_000
        cells = [duration(seed), f"{seed / taken:.2f}", ">= 2", met(taken, seed / 2)] if seed else [""] * 4
        rows.append([f"`{name}`: {what}", duration(taken), duration(taken / int(calls)), *cells])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="entries (1,000,000)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one run with 100,000 entries")
    parser.add_argument("--limit", type=float, default=240, help="seconds that one run may take (240)")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--libraries", help="these alone, semicolons between them")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    n, runs, only = options.n, options.runs, options.only.split(",")
    if options.quick:
        n, runs = 100_000, 1
    if unknown := set(only) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    libraries = []
    for library, (module, _) in STORES.items():
        if options.libraries and library not in options.libraries.split(";"):
            continue
        if importlib.util.find_spec(module):
            libraries.append(library)
        else:
            print(f"{library}: no module {module} (pip install 'crdtkv[bench]'): left out")
    if "scattered" in only and not importlib.util.find_spec("pyroaring"):
        print("scattered: no module pyroaring (pip install 'crdtkv[bench]'): left out")
        only.remove("scattered")
    report = run_all(plan(n, libraries, only), runs, options.limit)
    packages = ("sortedcontainers", "pycrdt", "lmdb", "pyroaring")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages if importlib.util.find_spec(name)]
    versions.append(f"SQLite {sqlite3.sqlite_version}")
    first = f"Python {platform.python_version()}, {os.cpu_count()} processors; {', '.join(versions)}. "
    first += f"{n:,} entries; median of {runs} run(s), CPU time."
    sections: list[tuple[str, list[str], Callable[[], Table], list[str]]] = [
        ("store", ["keys", "memory"], lambda: calls(report, libraries), call_notes(report)),
        ("store-sync", list(EXCHANGED), lambda: exchanges(report), []),
        ("store-dots", ["scattered"], lambda: scattered(report), []),
        ("store-c", ["c"], lambda: inside(n, runs), []),
    ]
    for name, cases, make, notes in sections:
        if not set(cases) & set(only):
            continue
        rows = make()
        show(rows)
        print(*notes, "", sep="\n")
        if options.page:
            put(name, "\n\n".join([first, markdown(rows), *notes]))
    if options.json:
        options.json.write_text(json.dumps([[*job, figures] for job, figures in report.items()], indent=1))
    failed = [f"{' '.join(map(str, job))}: {f}" for job, f in report.items() if isinstance(f, str)]
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent)]
    sys.exit(main())
