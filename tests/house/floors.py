"""The rules of the house, checked: includes go down, foreign headers have one door each, headers stand alone.

A file includes its own room or lower floors; rooms on one floor never see each other. py/ sees replica/crdtkv.h only.
Run as a program it prints what is wrong. A header that is a template, included once for each type after defining its
parameters, says so in its first line with the word `template:` and is compiled by those who include it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {  # room -> floor
    "base": 0,
    "ds": 1,
    "crypto": 1,
    "graph": 2,
    "log": 3,
    "dag": 3,
    "types": 4,
    "disk": 4,
    "doc": 5,
    "kv": 5,
    "datastore": 6,
    "sync": 7,
    "replica": 8,
    "py": 9,
}
DOORS = {  # how a foreign header begins -> the only place where it enters
    "Python.h": "py/",
    "sodium": "crypto/",
    "roaring/": "ds/bits.c",
    "sqlite3.h": "disk/",
    "xxhash.h": "base/hash64.c",
    "zstd": "base/squeeze.c",
}
FACE = "replica/crdtkv.h"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
WARNINGS = "-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wswitch-enum -Werror"
PY_WARNINGS = "-Wno-missing-field-initializers -Wno-cast-function-type"


def sources(csrc: Path) -> list[str]:
    return sorted(path.relative_to(csrc).as_posix() for path in csrc.rglob("*.[ch]"))


def includes(csrc: Path) -> Iterator[tuple[str, str, bool]]:
    """(file, what it includes, whether in quotes)"""
    for source in sources(csrc):
        for quoted, angled in INCLUDE.findall((csrc / source).read_text()):
            yield source, quoted or angled, bool(quoted)


def rooms(csrc: Path) -> list[str]:
    """A room is on the plan and has C files; a C file is in a room."""
    wrong = [f"{source}: not in a room" for source in sources(csrc) if "/" not in source]
    for path in sorted(path for path in csrc.iterdir() if path.is_dir()):
        if path.name not in FLOORS:
            wrong.append(f"{path.name}/: not a room of the plan")
        if not any(path.rglob("*.c")):
            wrong.append(f"{path.name}/: a room without a C file")
    return wrong


def stairs(csrc: Path) -> list[str]:
    """Every include goes to the own room or down."""
    wrong = []
    for source, target, quoted in includes(csrc):
        room, to = source.split("/")[0], target.split("/")[0]
        if not quoted or room not in FLOORS:
            continue
        if to not in FLOORS or not (csrc / target).is_file():
            wrong.append(f'{source}: "{target}" is no file of a room; include by room and name')
        elif to != room and FLOORS[to] >= FLOORS[room]:
            wrong.append(f"{source} (floor {FLOORS[room]}) climbs to {target} (floor {FLOORS[to]})")
        elif room == "py" and to != "py" and target != FACE:
            wrong.append(f"{source}: includes {target}; py/ sees {FACE} only")
    return wrong


def doors(csrc: Path) -> list[str]:
    """Every foreign header enters through its door, and ours come in quotes."""
    wrong = []
    for source, target, quoted in includes(csrc):
        if not quoted and target.split("/")[0] in FLOORS:
            wrong.append(f"{source}: <{target}> is ours: quotes, please")
        for prefix, door in DOORS.items():
            if target.startswith(prefix) and not (source == door or (door.endswith("/") and source.startswith(door))):
                wrong.append(f"{source}: <{target}> enters only through {door}")
    return wrong


def cycles(csrc: Path) -> list[str]:
    """No header includes itself over other headers."""
    graph: dict[str, list[str]] = {}
    for source, target, quoted in includes(csrc):
        if quoted and source.endswith(".h"):
            graph.setdefault(source, []).append(target)
    wrong: list[str] = []
    done: set[str] = set()

    def visit(header: str, trail: list[str]) -> None:
        if header in trail:
            wrong.append("a circle of headers: " + " -> ".join([*trail[trail.index(header) :], header]))
        elif header not in done:
            for target in graph.get(header, ()):
                visit(target, [*trail, header])
            done.add(header)

    for header in graph:
        visit(header, [])
    return wrong


def alone(csrc: Path) -> list[str]:
    """Every header compiles by itself, with every warning an error."""
    headers = [name for name in sources(csrc) if name.endswith(".h")]
    headers = [name for name in headers if "template:" not in (csrc / name).read_text().partition("\n")[0]]
    foreign: list[str] = []
    if any(
        not quoted and target.startswith("sodium") for source, target, quoted in includes(csrc) if source in headers
    ):
        sys.path.insert(0, str(ROOT))
        import native_deps

        foreign = [word for native in native_deps.find() for word in native.cflags]
    cc = shlex.split(sysconfig.get_config_var("CC") or "cc")

    def compile_one(header: str) -> str:
        flags = [f"-I{csrc}", *WARNINGS.split(), *foreign]
        if header.startswith("py/"):
            flags += ["-isystem", sysconfig.get_path("include"), *PY_WARNINGS.split()]
        done = subprocess.run(
            [*cc, "-std=c11", "-S", "-o", "/dev/null", *flags, "-x", "c", "-"],
            input=f'#include "{header}"\n#include "{header}"\n',
            capture_output=True,
            text=True,
        )
        return f"{header}: does not compile alone\n{done.stderr}" if done.returncode else ""

    with ThreadPoolExecutor() as pool:
        return [problem for problem in pool.map(compile_one, headers) if problem]


RULES = [rooms, stairs, doors, cycles, alone]


def main(csrc: Path = ROOT / "csrc") -> int:
    wrong = [problem for rule in RULES for problem in rule(csrc)]
    print("\n".join(wrong) or f"floors ok: {len(sources(csrc))} files in {len(list(csrc.iterdir()))} rooms")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
