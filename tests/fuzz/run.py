"""Runs fuzz targets that `make fuzz` built, one after the other, and prints a table; 1 if one of them found something.

What a target finds is kept in build/corpus/<target>; inputs that break it in build/corpus/<target>-crash-*.
--keep then makes tests/fuzz/corpus/<target> anew: the fewest inputs of both places that reach what all of them reach,
small ones first, at most 60 and 40 kB, and every crash that was ever fixed (crash-*).

.venv/bin/python tests/fuzz/run.py --seconds 60 bundle session
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "c" / "fuzz"
FOUND = ROOT / "build" / "corpus"
KEPT = ROOT / "tests" / "fuzz" / "corpus"
MOST_FILES = 60
MOST_BYTES = 40_000
STATUS = re.compile(r"^#(\d+)\s.*\bcov: (\d+) .*\bcorp: (\d+)/", re.MULTILINE)
DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)


def folders(target: str) -> list[str]:
    """Where its inputs are; new ones go to the first."""
    places = FOUND / target, KEPT / target
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    return [str(place) for place in places]


def fuzz(target: str, seconds: int) -> bool:
    """A line of the table; True if nothing broke."""
    done = subprocess.run(
        [
            str(BUILT / f"fuzz_{target}"),
            f"-max_total_time={seconds}",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-entropic=0",
            f"-artifact_prefix={FOUND / target}-",
            *folders(target),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    status, end = STATUS.findall(done.stderr), DONE.findall(done.stderr)
    runs, edges, corpus = status[-1] if status else ("0", "0", "0")
    if end:
        runs = end[-1][0]
    speed = int(runs) // max(1, int(end[-1][1]) if end else seconds)
    print(f"{target:10} {int(runs):12,} {speed:9,} {edges:>7} {corpus:>7}  {'' if not done.returncode else 'BROKEN'}")
    if done.returncode:
        print(done.stderr[-6000:], file=sys.stderr)
    sys.stdout.flush()
    return not done.returncode


def features(target: str, inputs: list[Path]) -> dict[Path, set[int]]:
    """What each input reaches, by libFuzzer's own account of it."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh, all_of_them, control = (Path(scratch, name) for name in ("fresh", "all", "control"))
        fresh.mkdir()
        all_of_them.mkdir()
        for path in inputs:
            shutil.copy(path, all_of_them / path.name)
        subprocess.run(
            [
                str(BUILT / f"fuzz_{target}"),
                "-set_cover_merge=1",
                "-use_counters=0",
                f"-merge_control_file={control}",
                f"-artifact_prefix={FOUND / target}-",
                str(fresh),
                str(all_of_them),
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        by_name = {path.name: path for path in inputs}
        lines = control.read_text().splitlines()
        n = int(lines[0])
        names = [by_name[Path(line).name] for line in lines[2 : 2 + n]]
        reached: dict[Path, set[int]] = {}
        for line in lines[2 + n :]:
            kind, number, *rest = line.split()
            if kind == "FT":
                reached[names[int(number)]] = {int(feature) for feature in rest}
        return reached


def keep(target: str) -> None:
    """Chooses, one after the other, the input that reaches most that is new for its size."""
    inputs = {path.read_bytes(): path for folder in folders(target) for path in sorted(Path(folder).iterdir())}
    named = {hashlib.blake2b(data, digest_size=8).hexdigest(): data for data in inputs}
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in named.items():
            Path(scratch, name).write_bytes(data)
        left = features(target, sorted(Path(scratch).iterdir()))
    crashes = {path.name: path.read_bytes() for path in (KEPT / target).glob("crash-*")}
    chosen: list[str] = []
    room = MOST_BYTES - sum(map(len, crashes.values()))
    while left and len(chosen) + len(crashes) < MOST_FILES:
        path = max(left, key=lambda path: (len(left[path]) / (40 + len(named[path.name])), path.name))
        news = left.pop(path)
        if news and len(named[path.name]) <= room:
            chosen.append(path.name)
            room -= len(named[path.name])
        if news and chosen and chosen[-1] == path.name:
            left = {other: rest - news for other, rest in left.items() if rest - news}
    shutil.rmtree(KEPT / target)
    (KEPT / target).mkdir()
    for name, data in [*((name, named[name]) for name in chosen), *crashes.items()]:
        (KEPT / target / name).write_bytes(data)
    print(f"{target}: kept {len(chosen)} of {len(inputs)} inputs, and {len(crashes)} crashes")


def main() -> int:
    """0 if nothing broke."""
    known = sorted(path.stem.removeprefix("fuzz_") for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.c"))
    parser = argparse.ArgumentParser(description="Runs the fuzz targets.")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(known)}; all of them by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    parser.add_argument("--keep", action="store_true", help="make tests/fuzz/corpus anew from what was found")
    options = parser.parse_args()
    unknown = set(options.targets) - set(known)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=16")
    targets = options.targets or known
    good = True
    if options.seconds:
        print(f"{'target':10} {'executions':>12} {'a second':>9} {'edges':>7} {'corpus':>7}", flush=True)
        good = all([fuzz(target, options.seconds) for target in targets])
    if options.keep:
        for target in targets:
            keep(target)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
