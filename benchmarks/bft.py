"""What hashing and signatures cost in a bulk load: `make bft`.

Runs two builds of bench_bft in turns, one of them with benchmarks/c/bare/crypto.c, which hashes and verifies nothing,
and prints the medians of the CPU times of all loads and their ratio. The histories are made alike, of changes of
64 KiB.
"""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

BUILDS = Path(__file__).resolve().parents[1] / "build" / "c"
TURNS = 7


def main() -> None:
    times: dict[str, list[int]] = {"bench": [], "bare": []}
    for _ in range(TURNS):
        for flavour, taken in times.items():
            done = subprocess.run([BUILDS / flavour / "bench_bft"], capture_output=True, text=True, check=True)
            taken += map(int, done.stdout.split())
    whole, bare = (statistics.median(taken) / 1e6 for taken in times.values())
    fastest = min(times["bench"]) / min(times["bare"])
    print(f"200 changes of 64 KiB, loaded: {whole:.2f} ms; without hashes and signatures: {bare:.2f} ms")
    print(f"ratio of medians {whole / bare:.3f}, of the fastest {fastest:.3f}")


if __name__ == "__main__":
    main()
