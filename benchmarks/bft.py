"""What hashing and signatures cost in a bulk load: `make bft`.

    python benchmarks/bft.py [--page]

Runs two builds of the same programs in turns, one of them with benchmarks/c/bare/crypto.c, which hashes and verifies
nothing. Loaded are automerge-paper as one change (if its trace is there, see benchmarks/flat.py) and 200 changes of
64 KiB of pastes, typing, deletes and keys. Medians of CPU times. --page writes the table into docs/performance.md.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from tables import markdown, put

BUILDS = Path(__file__).resolve().parents[1] / "build" / "c"
TURNS = 9


def mixed(build: Path) -> list[float]:
    """ms of each load."""
    done = subprocess.run([build / "bench_bft"], capture_output=True, text=True, check=True)
    return [int(line) / 1e6 for line in done.stdout.split()]


def paper(build: Path) -> list[float]:
    """ms, a median itself; none without the trace."""
    done = subprocess.run([build / "bench_text", "load", "--runs", "21", "--tsv"], capture_output=True, text=True)
    return [float(line.split("\t")[3]) / 1e6 for line in done.stdout.splitlines() if "automerge" in line]


def main() -> None:
    rows = [["loaded, ms", "as it is", "without hashes and signatures", "ratio of medians", "of the fastest", "target"]]
    for what, load in (("automerge-paper, one change", paper), ("200 changes of 64 KiB", mixed)):
        times: dict[str, list[float]] = {"bench": [], "bare": []}
        for _ in range(TURNS):
            for flavour, taken in times.items():
                taken += load(BUILDS / flavour)
        if not all(times.values()):
            continue
        whole, bare = (statistics.median(taken) for taken in times.values())
        fastest = min(times["bench"]) / min(times["bare"])
        rows.append([what, f"{whole:.2f}", f"{bare:.2f}", f"{whole / bare:.2f}", f"{fastest:.2f}", "<= 1.15"])
    print(markdown(rows))
    if "--page" in sys.argv:
        put("bft", markdown(rows))


if __name__ == "__main__":
    main()
