"""How much of csrc/ the tests reach: a table of branches for each room from gcovr's JSON, and the gate.

`make cov` and `make ccov` end with it:

    python tests/house/coverage.py build/cov.json          the table; exit code 1 below the gate
    python tests/house/coverage.py build/cov.json dag/     besides, every branch not taken in files that begin so

The gate: every branch of the admission code, which is what decides about bytes and changes of others; 90 % of the core.
csrc/py is reported. A branch is one way out of a condition, so `a && b` has four. Two kinds are not counted:

- those of a line that asserts (CKV_ASSERT, CKV_MUST, CKV_PARANOID): the way that aborts is not there to be taken;
- the way past all cases of a `switch` without `default`: -Wswitch-enum sees to it that each value of the enum has one.

Everything else counts, allocations that fail as well.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ADMISSION = [
    *("base/buf.c", "base/buf.h", "base/utf8.c", "base/utf8.h", "ds/runs.c", "log/body.c", "log/columns.c"),
    *("log/nested.c", "kv/message.c", "kv/op.c", "kv/op_in.c", "kv/opset.c", "kv/pull.c", "kv/save.c"),
    *("dag/header.c", "dag/bundle.c", "dag/inbox.c", "dag/proof.c"),
    *("doc/import.c", "doc/unpack.c", "doc/admit.c", "doc/names.c", "doc/perform.c"),
]
ADMISSION_GATE, CORE_GATE = 100.0, 90.0  # percent of branches
ASSERTION = re.compile(r"\bCKV_(ASSERT|MUST|PARANOID)\(")
SWITCH = re.compile(r"^\s*switch \(")


@dataclass
class Count:
    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    taken: int = 0
    missed: list[str] = field(default_factory=list)  # where, and how often each way was taken

    def add(self, other: Count) -> None:
        self.lines += other.lines
        self.lines_run += other.lines_run
        self.branches += other.branches
        self.taken += other.taken
        self.missed += other.missed

    def percent(self) -> float:
        return 100.0 * self.taken / self.branches if self.branches else 100.0

    def row(self, name: str) -> str:
        lines = 100.0 * self.lines_run / self.lines if self.lines else 100.0
        return f"{name:<20} {lines:>7.1f} {self.branches:>9} {self.branches - self.taken:>8} {self.percent():>7.1f}"


def is_closed(source: list[str], number: int) -> bool:
    """Whether the switch on this line, from 1, has no default: that it ends where a line is indented like it."""
    first = source[number - 1]
    end = first[: len(first) - len(first.lstrip())] + "}"
    for line in source[number:]:
        if line.startswith(end):
            return True
        if line.startswith(end[:-1] + "default:"):
            return False
    return True


def counted(branches: list[dict[str, Any]], source: list[str], number: int) -> list[int]:
    """How often each way out of a line was taken, those that cannot be taken left out."""
    counts = [int(branch["count"]) for branch in branches]
    text = source[number - 1]
    if ASSERTION.search(text):
        return []
    if counts and counts[-1] == 0 and SWITCH.match(text) and is_closed(source, number):
        return counts[:-1]  # gcov lists it last
    return counts


def count_file(entry: dict[str, Any]) -> Count:
    name = str(entry["file"])
    source = (ROOT / name).read_text().splitlines()
    count, run = Count(), dict[int, bool]()
    for line in entry["lines"]:
        number = int(line["line_number"])
        run[number] = run.get(number, False) or line["count"] > 0
        ways = counted(line["branches"], source, number)
        count.branches += len(ways)
        count.taken += sum(way > 0 for way in ways)
        if not all(ways):
            count.missed.append(f"{name}:{number}: {ways} {source[number - 1].strip()}")
    count.lines, count.lines_run = len(run), sum(run.values())
    return count


def table(files: dict[str, Count]) -> Iterator[str]:
    """Rooms, then the files of the admission code, then the sums."""
    rooms: dict[str, Count] = {}
    for name, count in files.items():
        rooms.setdefault(name.split("/")[0], Count()).add(count)
    yield f"{'':<20} {'lines %':>7} {'branches':>9} {'missed':>8} {'%':>7}"
    yield from (count.row(f"{room}/") for room, count in sorted(rooms.items()))
    yield ""
    yield from (files.get(name, Count()).row(name) for name in ADMISSION)
    yield ""


def main(report: str, *show: str) -> int:
    entries = json.loads(Path(report).read_text())["files"]
    entries = [entry for entry in entries if (ROOT / entry["file"]).is_file()]  # objects of a file that went may stay
    files = {str(entry["file"]).removeprefix("csrc/"): count_file(entry) for entry in entries}
    admission, core = Count(), Count()
    for name, count in files.items():
        if name in ADMISSION:
            admission.add(count)
        if not name.startswith("py/"):
            core.add(count)
    print("\n".join(table(files)))
    print(admission.row("admission code"))
    print(core.row("core"))
    for name, count in files.items():
        if name.startswith(show):
            print("\n".join(count.missed))
    wrong = [f"{name}: not measured" for name in ADMISSION if name not in files]
    if admission.percent() < ADMISSION_GATE:
        wrong += [f"admission code: not every branch is taken ({ADMISSION_GATE:g} % is the gate)", *admission.missed]
    if core.percent() < CORE_GATE:
        wrong.append(f"core: {core.percent():.1f} % of branches, {CORE_GATE:g} % is the gate")
    print("\n".join(wrong) or "coverage ok", file=sys.stderr if wrong else sys.stdout)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
