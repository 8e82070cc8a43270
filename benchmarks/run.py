"""crdtkv beside the other CRDTs that Python has, on the field's own editing traces: `make bench`.

    python benchmarks/run.py [--traces DIR] [--quick] [--runs N] [--limit SECONDS] [--only CASES] [--json FILE]

All in one run on one machine: every run of every case is a fresh process, the libraries take turns, the figure is the
median. Times are CPU time of the process. DIR (or CRDTKV_TRACES) holds automerge-paper.json.gz and
friendsforever.json.gz; without it traces of the same shape are made up from a seed. A library that is not installed is
left out; what takes longer than the limit says so. benchmarks/tables.py puts the JSON into docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libraries import LIBRARIES, PEERS

HERE = Path(__file__).resolve().parent
SIZES = (10_000, 100_000, 1_000_000)
Results = dict[str, dict[str, Any]]  # "case n" -> library -> figures, or text that says why not


@dataclass(frozen=True)
class Row:
    what: str
    case: str
    figure: Callable[[dict[str, float]], float]
    unit: str  # ns, us, ms, B, kB, MB
    target: float | str | tuple[str, float] | None = None  # at most that, less than that library, or that times its own


def of(*names: str, per: int = 1) -> Callable[[dict[str, float]], float]:
    return lambda figures: sum(figures[name] for name in names) / per


ROWS = [
    Row("one call per keystroke, one transaction", "typing", of("seconds"), "ms", 30),
    Row("... and its commit", "typing", of("seconds", "close"), "ms"),
    Row("a transaction per keystroke", "typing_each", of("seconds"), "ms"),
    Row("... and export, signed once", "typing_each", of("seconds", "export"), "ms", 200),
    Row("runs joined beforehand, a call each", "typing_joined", of("seconds"), "ms"),
    Row("Text.splices, one call for all", "splices", of("seconds"), "ms"),
    Row("saved, one transaction", "typing", of("bytes"), "kB", 110),
    Row("saved, a transaction per keystroke", "typing_each", of("bytes"), "kB", 165),
    Row("save, one transaction", "typing", of("export"), "ms"),
    Row("save, a transaction per keystroke", "typing_each", of("export"), "ms"),
    Row("load to the text, one transaction", "typing", of("load"), "ms", 5),
    Row("load to the text, a transaction per keystroke", "typing_each", of("load"), "ms", 150),
    Row("resident memory, one transaction", "typing", of("memory"), "MB", 2),
    Row("resident memory, a transaction per keystroke", "typing_each", of("memory"), "MB"),
    Row("friendsforever: real forks and merges", "forks", of("seconds"), "ms", "y-py"),
    Row("friendsforever: merged from bytes", "forks", of("load"), "ms", 3),
    Row("friendsforever: saved", "forks", of("bytes"), "kB"),
    Row("live: write and encode a keystroke", "live", of("write"), "us"),
    Row("live: apply a received keystroke", "live", of("apply"), "us"),
    Row("live: apply, the signature apart", "live", lambda f: f.get("unsigned", f["apply"]), "us", 1.5),
    Row("live: bytes of a keystroke", "live", of("bytes"), "B"),
]
KEYS, OBJECTS = 200_000, 20_000
CONTAINERS = [
    Row("200,000 keys set in a document", "map_root", of("seconds"), "ms", ("Python", 2.5)),
    Row("... in a Map inside it", "map_nested", of("seconds"), "ms", ("Python", 2.5)),
    Row("... random keys, random words", "map_random", of("seconds"), "ms", ("Python", 2.5)),
    Row("load, a key read: in the document", "map_root", of("load"), "ms", ("best peer", 0.2)),
    Row("load, a key read: in a Map inside it", "map_nested", of("load"), "ms", ("best peer", 0.2)),
    Row("load, a key read: random", "map_random", of("load"), "ms", ("best peer", 0.2)),
    Row("load, all as a dict: in the document", "map_root", of("every"), "ms"),
    Row("load, all as a dict: random", "map_random", of("every"), "ms"),
    Row("save: in the document", "map_root", of("export"), "ms"),
    Row("saved: in the document", "map_root", of("bytes"), "kB", ("best peer", 1)),
    Row("saved: in a Map inside it", "map_nested", of("bytes"), "kB", ("best peer", 1)),
    Row("saved: random", "map_random", of("bytes"), "kB", ("best peer", 1)),
    Row("memory of a key", "map_root", of("memory", per=KEYS), "B"),
    Row("append to a list, each of 100,000", "list_append", of("seconds"), "ns", 250),
    Row("insert anywhere in a list, each of 20,000", "list_insert", of("seconds"), "ns", 400),
    Row("memory of a list item, appended", "list_append", of("memory"), "B"),
    Row("memory of a list item, inserted anywhere", "list_insert", of("memory"), "B"),
    Row("a list of 20,000 flat dicts as containers", "objects", of("seconds", "close"), "ms", ("best peer", 0.1)),
    Row("... the same by key", "objects_keyed", of("seconds", "close"), "ms", ("best peer", 0.1)),
    Row("the list to Python's types", "objects", of("to_py"), "ms", ("Python", 1)),
    Row("... the same by key", "objects_keyed", of("to_py"), "ms", ("Python", 1)),
    Row("the list saved", "objects", of("bytes"), "kB"),
    Row("load and to Python's types", "objects", of("every"), "ms"),
    Row("memory of such an object", "objects", of("memory", per=OBJECTS), "B"),
]
HISTORIES = [
    Row("the text at one of 20 versions, 20 changes: median", "versions", of("median"), "ms", 2),
    Row("... the slowest, which is the first", "versions", of("most"), "ms"),
    Row("the same, a change per 1,000 edits: median", "versions 1000", of("median"), "ms", 2),
    Row("... the slowest, which is the first", "versions 1000", of("most"), "ms"),
    Row("100 replicas of 100 edits each, into one", "replicas 100", of("seconds"), "ms", "y-py"),
    Row("... applying alone", "replicas 100", of("apply", per=1), "us"),
    Row("... a fork", "replicas 100", of("fork"), "us"),
    Row("a block of 1,000 edits: an edit", "rollback", of("edits"), "ns"),
    Row("... its commit, per edit", "rollback", of("commit"), "ns"),
    Row("... its rollback, per edit", "rollback", of("raise"), "ns"),
    Row("an edit and its transaction, nobody observes", "events", of("none"), "us"),
    Row("... with one observer", "events", of("one"), "us"),
    Row("... after it cancelled", "events", of("cancelled"), "us"),
    Row("an edit of 1,000 in a transaction, nobody observes", "events", of("none, joined"), "us"),
    Row("... with one observer", "events", of("one, joined"), "us"),
    Row("... after it cancelled", "events", of("cancelled, joined"), "us"),
]
SLOW = {"typing", "typing_each", "list_append", "objects"}  # seconds to minutes in those that are quadratic in them
REPLICAS = (10, 100, 1_000)
BETWEEN = (1, 10, 100, 1_000, 10_000)
SCALE = {"ns": 1e9, "ms": 1e3, "us": 1e6, "kB": 1e-3, "MB": 1e-6, "B": 1.0}
GROWTH = [
    ("insert at random positions", "random_inserts", "seconds"),
    ("load that", "random_inserts", "load"),
    ("apply concurrent runs of 100 in one gap (a signature for each run)", "one_gap", "seconds"),
    ("two replicas prepend, each call", "prepends", "local"),
    ("and merge", "prepends", "seconds"),
]


def plan(installed: list[str], quick: bool) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(case, library, further arguments)"""
    yield "floor", "-", ()
    texts, others = ("typing", "typing_each", "typing_joined", "forks", "live"), {row.case for row in CONTAINERS}
    for case in (*texts, *sorted(others)):
        for library in [*installed, *(["Python"] if case in others else [])]:
            if quick and library in ("pycrdt", "y-py") and case in SLOW:
                continue
            yield case, library, ()
    for case, *step in ("versions",), ("versions", "1000"), ("differences",), ("differences", "1"):
        for library in installed:
            if library in ("crdtkv", "loro"):  # y-py has no versions, pycrdt's panic on this history
                yield case, library, tuple(step)
    for n in REPLICAS[:2] if quick else REPLICAS:
        for library in installed:
            yield "replicas", library, (str(n),)
    yield "rollback", "crdtkv", ()
    for library in installed:
        yield "events", library, ()
    yield "splices", "crdtkv", ()
    if "loro" in installed:
        yield "updates", "loro", ()
    for n in SIZES[:2] if quick else SIZES:
        for case in dict.fromkeys(case for _, case, _ in GROWTH):
            yield case, "crdtkv", (str(n),)


def measure(case: str, library: str, traces: str, args: tuple[str, ...], limit: float) -> Any:
    """The figures of one run in a process of its own, or why there are none."""
    return figures_of([sys.executable, str(HERE / "cases.py"), case, library, traces, *args], limit)


def figures_of(command: list[str], limit: float) -> Any:
    """The JSON that a command prints, or why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"> {limit:.0f} s"
    if done.returncode:
        return f"FAILED: {(done.stderr.strip().splitlines() or ['?'])[-1][:100]}"
    return json.loads(done.stdout)


def run_all(installed: list[str], options: argparse.Namespace) -> Results:
    jobs = [job for job in plan(installed, options.quick) if not options.only or job[0] in options.only.split(",")]
    seen: dict[tuple[str, str, tuple[str, ...]], list[Any]] = {job: [] for job in jobs}
    for turn in range(options.runs):
        for job in jobs:
            case, library, args = job
            if turn and (isinstance(seen[job][-1], str) or options.slow.get(job)):
                continue
            if turn >= 3 and args:
                continue
            if sys.stderr.isatty():
                words = f"{turn + 1}/{options.runs} {case} {library} {' '.join(args)}"
                print(f"\r{words:60}\r", end="", file=sys.stderr, flush=True)
            figures = measure(case, library, options.traces, args, options.limit)
            seen[job].append(figures)
            options.slow[job] = isinstance(figures, dict) and figures.get("seconds", 0) > 5
    if sys.stderr.isatty():
        print(" " * 60, end="\r", file=sys.stderr)
    results: Results = {}
    for (case, library, args), runs in seen.items():
        bad = next((run for run in runs if isinstance(run, str)), None)
        median = bad or {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        results.setdefault(" ".join((case, *args)), {})[library] = median
    return results


# ---- tables, as lists of cells; benchmarks/tables.py writes them in Markdown


def number(value: float, unit: str) -> str:
    value *= SCALE[unit]
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(report: dict[str, Any], which: list[Row] = ROWS, *, itself: bool = False) -> list[list[str]]:
    """What is measured, then a column for each library, the fastest peer's figure over ours, and the target.

    `itself`: also a column for what Python has itself.
    """
    results, libraries = report["results"], list(report["libraries"])
    if itself:
        libraries.insert(1, "Python")
    rows = [["", "unit", *libraries, *(["Python / crdtkv"] if itself else []), "best peer / crdtkv", "target", ""]]
    for row in which:
        cells, values = [], {}
        if row.case not in results:
            continue
        for library in libraries:
            figures = results[row.case].get(library)
            if isinstance(figures, dict):
                try:
                    values[library] = row.figure(figures)
                except KeyError:
                    cells.append("")
                    continue
                cells.append(number(values[library], row.unit))
            else:
                cells.append(figures or "")
        ours, peers = values.get("crdtkv"), [values[p] for p in PEERS if p in values]
        best = min(peers, default=None)
        bounds = values | ({"best peer": best} if best is not None else {})
        ratios = [bounds.get("Python"), best] if itself else [best]
        target = met = ""
        if isinstance(row.target, tuple):
            name, factor = row.target
            target = f"<= {name}" if factor == 1 else f"<= {factor:g} x {name}"
            bound = bounds[name] * factor if name in bounds else None
        elif isinstance(row.target, str):
            target, bound = f"< {row.target}", values.get(row.target)
        elif row.target is not None:
            target, bound = f"<= {row.target:g}", row.target / SCALE[row.unit]
        if report["made_up"] and not isinstance(row.target, tuple):
            target = ""  # the targets are those of the real traces
        if target and ours is not None and bound is not None:
            met = "yes" if ours <= bound else "NO"
        shown = [f"{ratio / ours:.2f}" if ours and ratio is not None else "" for ratio in ratios]
        rows.append([row.what, row.unit, *cells, *shown, target, met])
    return rows


def notes(report: dict[str, Any]) -> list[str]:
    """What belongs under the table."""
    results, out = report["results"], []
    floor = results.get("floor", {}).get("-")
    if isinstance(floor, dict):
        out.append(f"The loop over the edits with a C function that does nothing: {floor['seconds'] * 1e3:.1f} ms.")
    live = results.get("live", {}).get("crdtkv")
    if isinstance(live, dict) and "verify" in live:
        out.append(f"The signature that is set apart, verified by itself: {live['verify'] * 1e6:.1f} us.")
    elif isinstance(live, dict):
        out.append("No libsodium to ask what a signature costs: it is in the figure of the live keystroke.")
    loro = results.get("updates", {}).get("loro")
    if isinstance(loro, dict):
        out.append(
            f"loro saves a snapshot with its state ready-made; as updates {loro['bytes'] / 1e3:.0f} kB, "
            f"loaded to the text in {loro['load'] * 1e3:.1f} ms."
        )
    forks = results.get("forks", {})
    same = [library for library, f in forks.items() if isinstance(f, dict) and f["end"]]
    if forks:
        out.append(f"friendsforever ends with the text of the trace in: {', '.join(same) or 'none'}.")
    return out


def container_notes(report: dict[str, Any]) -> list[str]:
    """Which format of each library is the small one and which the quick one."""
    words = []
    for case, what in ("map_root", "in the document"), ("map_random", "random"):
        for library, figures in report["results"].get(case, {}).items():
            if isinstance(figures, dict) and library in PEERS:
                forms = [name[: -len(": bytes")] for name in figures if name.endswith(": bytes")]
                words += [
                    f"{library}, {what}, {form}: {figures[f'{form}: bytes'] / 1e3:,.0f} kB, "
                    f"loaded in {figures[f'{form}: load'] * 1e3:,.0f} ms"
                    for form in forms
                ]
    return words and [
        "The peers' formats; the table has the smallest and the quickest of each. " + "; ".join(words) + "."
    ]


def replicas(report: dict[str, Any]) -> list[list[str]]:
    """us per edit for 10, 100 and 1,000 replicas."""
    rows = [["us per edit", *(f"{n:,}" for n in REPLICAS), "most / fewest"]]
    for library in report["libraries"]:
        found = [report["results"].get(f"replicas {n}", {}).get(library, "") for n in REPLICAS]
        cells = [f"{f['edit'] * 1e6:.2f}" if isinstance(f, dict) else f for f in found]
        ends = found[0], found[-1]
        both = all(isinstance(f, dict) for f in ends)
        rows.append([library, *cells, f"{ends[1]['edit'] / ends[0]['edit']:.2f}" if both else ""])
    return rows


def differences(report: dict[str, Any]) -> list[list[str]]:
    """ms of a diff by the edits between its two versions."""
    rows = [["ms, edits between the versions", *(f"{n:,}" for n in BETWEEN)]]
    for case, what in ("differences", "few changes"), ("differences 1", "a change per edit"):
        for library, figures in report["results"].get(case, {}).items():
            for place in ("head", "middle"):
                cells = [
                    f"{figures[f'{place} {n}'] * 1e3:.3f}" if isinstance(figures, dict) else figures for n in BETWEEN
                ]
                rows.append([f"{library}, {what}, at the {place}", *cells])
    return rows


def growth(report: dict[str, Any]) -> list[list[str]]:
    """ns per operation at 10^4, 10^5 and 10^6."""
    rows = [["ns per operation", *(f"{n:,}" for n in SIZES)]]
    for what, case, name in GROWTH:
        cells = []
        for n in SIZES:
            figures = report["results"].get(f"{case} {n}", {}).get("crdtkv", "")
            cells.append(f"{figures[name] * 1e9:,.0f}" if isinstance(figures, dict) else figures)
        rows.append([what, *cells])
    return rows


def show(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)), sep="  ")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", default=os.environ.get("CRDTKV_TRACES", ""), help="a folder of *.json.gz")
    parser.add_argument("--quick", action="store_true", help="one run of each, without what takes long")
    parser.add_argument("--runs", type=int, default=0, help="how many (5; with --quick 1)")
    parser.add_argument("--limit", type=float, default=60, help="seconds that one run may take (60)")
    parser.add_argument("--only", help="these cases alone, commas between them; no tables but theirs")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 5)
    options.slow = {}
    if options.traces:
        missing = [
            n for n in ("automerge-paper", "friendsforever") if not Path(options.traces, f"{n}.json.gz").exists()
        ]
        if missing:
            parser.error(f"no {' and no '.join(missing)}.json.gz in {options.traces}")
    else:
        print("No traces given (--traces or CRDTKV_TRACES): made up from a seed, of the same shape as the real ones.\n")
    installed = []
    for library, (module, _) in LIBRARIES.items():
        if importlib.util.find_spec(module):
            installed.append(library)
        else:
            print(f"{library} is not installed (pip install 'crdtkv[bench]'): left out")
    results = run_all(installed, options)
    versions = {name: importlib.metadata.version(name) for name in installed if name != "crdtkv"}
    report = {
        "libraries": installed,
        "versions": versions,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "made_up": not options.traces,
        "runs": options.runs,
        "limit": options.limit,
        "results": results,
    }
    show(table(report))
    print(*notes(report), "", sep="\n")
    show(table(report, CONTAINERS, itself=True))
    print(*container_notes(report), "", sep="\n")
    for rows in (table(report, HISTORIES), replicas(report), differences(report), growth(report)):
        if any(any(row[1:]) for row in rows[1:]):
            show(rows)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    failed = [
        f"{case} {lib}: {f}" for case, by in results.items() for lib, f in by.items() if str(f).startswith("FAILED")
    ]
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent)]
    sys.exit(main())
