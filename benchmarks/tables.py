"""Writes the figures into docs/performance.md, between the markers <!-- NAME --> and <!-- end NAME -->.

python benchmarks/tables.py build/bench.json      the Python tables, from `make bench ARGS="--json build/bench.json"`
                                                  further JSON files (--only) replace the cases they hold
python benchmarks/tables.py --c                   runs build/c/bench/bench_text (after `make cbench`)
python benchmarks/tables.py --instructions        runs it under callgrind: minutes
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import run

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
BENCH = ROOT / "build" / "c" / "bench" / "bench_text"
PATHS = {
    "replay": "local replay, one open change",
    "load": "load of the bundle with one change, to the text",
    "load_keys": "load of the bundle with a change per keystroke, to the text",
    "replay_keys": "local replay, a hashed change per keystroke",
    "export_keys": "export of the bundle with a change per keystroke",
    "merge": "friendsforever, merged from bytes, to the text",
}
C_TARGETS = {  # ns
    "replay": 10e6,
    "load": 5e6,
    "load_keys": 150e6,
    "load_svelte": 1.3e6,  # diamond-types in its own format, with no author verified
    "merge": 3e6,
    "live_unsigned": 1500,
}


def put(name: str, text: str) -> None:
    """Replaces what stands between the markers of that name."""
    page = PAGE.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        sys.exit(f"{PAGE}: no {begin} ... {end}")
    before, _, rest = page.partition(begin)
    PAGE.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}")


def markdown(rows: list[list[str]]) -> str:
    """A Markdown table; the first column is words, the rest figures."""
    head, *body = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def of_python(path: Path, *others: Path) -> None:
    """`others`: later reports, which replace the cases they hold; the page says which."""
    report = json.loads(path.read_text())
    anew = []
    for other in others:
        later = json.loads(other.read_text())
        cases = [case for case in later["results"] if case != "floor"]
        report["results"] |= {case: later["results"][case] for case in cases}
        anew.append(
            f"Measured apart, all libraries anew ({later['runs']} run(s), cut off at {later['limit']:.0f} s): "
            f"{', '.join(f'`{case}`' for case in cases)}."
        )
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items()) or "no peer"
    traces = "Made-up traces of the same shape." if report["made_up"] else "The traces as published."
    first = f"Python {report['python']}, {report['processors']} processors; {versions}. {traces}"
    first += (
        f" Median of {report['runs']} runs, CPU time. *> {report['limit']:.0f} s*: a run, which is all of a case with "
    )
    first += (
        "its saves, loads and checks, took longer by the clock and was cut off; it says nothing of a single figure."
    )
    put("python", "\n\n".join([first, markdown(run.table(report)), *run.notes(report)]))
    put(
        "containers",
        "\n\n".join([markdown(run.table(report, run.CONTAINERS, itself=True)), *run.container_notes(report), *anew]),
    )
    put("histories", markdown(run.table(report, run.HISTORIES)))
    put("replicas", markdown(run.replicas(report)))
    put("differences", markdown(run.differences(report)))
    put("growth", markdown(run.growth(report)))


def of_c() -> None:
    done = subprocess.run([BENCH, "--tsv"], cwd=ROOT, capture_output=True, text=True, check=True)
    rows = [["case", "trace", "median", "least", "bytes", "target", ""]]
    for line in done.stdout.splitlines():
        name, trace, what, median, least, n_bytes, kind, made_up = line.split("\t")
        target = None if made_up == "1" else C_TARGETS.get(name)
        met = "" if target is None else "yes" if float(median) <= target else "NO"
        shown = f"{int(n_bytes):,} of {kind}" if int(n_bytes) and kind else ""
        trace += " (made up)" if made_up == "1" else ""
        words = "" if target is None else f"<= {duration(target)}"
        rows.append([f"`{name}`: {what}", trace, duration(float(median)), duration(float(least)), shown, words, met])
    put("c", markdown(rows))


def duration(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"


def of_instructions() -> None:
    parts = []
    for case, what in PATHS.items():
        total, functions = instructions(case)
        rows = [["function or library", "million", "share"]]
        rows += [[f"`{name}`", f"{n / 1e6:,.1f}", f"{n / total:.0%}"] for name, n in functions.most_common(10)]
        parts.append(f"### {what}: {total / 1e6:,.1f} million\n\n{markdown(rows)}")
    put("instructions", "\n\n".join(parts))


def instructions(case: str) -> tuple[int, Counter[str]]:
    """Instructions of the measured part, and by function; those of a foreign library are one item."""
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp, "out")
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=measured_*", f"--callgrind-out-file={out}"]
        subprocess.run([*command, BENCH, case, "--once"], cwd=ROOT, capture_output=True, check=True)
        annotate = ["callgrind_annotate", "--threshold=100", "--auto=no", str(out)]
        text = subprocess.run(annotate, capture_output=True, text=True, check=True).stdout
    total, functions = 0, Counter[str]()
    for line in text.splitlines():
        found = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(.+)", line)
        if not found:
            continue
        n, what = int(found[1].replace(",", "")), found[2]
        if what.startswith("PROGRAM TOTALS"):
            total = n
            continue
        library = re.search(r"\[[^\]]*/(lib\w+?)[-.][^/\]]*\]$|\[[^\]]*/(ld)-[^/\]]*\]$", what)
        name = re.sub(r"^[^:]*:", "", what.partition(" [")[0])
        name = re.sub(r"\.(constprop|isra|part|lto_priv|cold)(\.\d+)?", "", name).split("'")[0]
        if library:
            name = library[1] or library[2]
            if name == "libc":
                name = "libc: memory moves, malloc"
        functions[name] += n
    return total, functions


def main(arguments: list[str]) -> None:
    for argument in arguments:
        if argument == "--c":
            of_c()
        elif argument == "--instructions":
            of_instructions()
    if files := [Path(argument) for argument in arguments if not argument.startswith("--")]:
        of_python(*files)
    if not arguments:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
