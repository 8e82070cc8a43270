"""Writers that are killed at any moment: nothing that was acknowledged is lost, and nobody tells two stories.

A child writes to documents, stores and datastores of one file and says on a pipe what has returned; the parent kills it
(kill -9) after 10 to 120 ms, opens the file and looks. Now and then the parent puts a backup in the place of the file,
or begins a new one. All that any generation ever published is gathered in one replica of each object, where a lane that
forks would show.

    python tests/house/crashes.py --loops 1000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv as ck  # noqa: E402
from house.kept import KINDS, content  # type: ignore[import-not-found]  # noqa: E402

LIFE = (0.010, 0.120)  # seconds a writer has
ONE_FILE = 50  # loops, so that looking at everything stays short


# ---- the child


def write(path: str, generation: int, seed: int, pipe: int) -> None:
    """Write until somebody kills us."""
    rng = random.Random(seed)

    def say(*words: Any) -> None:
        os.write(pipe, json.dumps(words).encode() + b"\n")

    with ck.Database(path, durability=rng.choice(("full", "normal"))) as db:
        say("open")
        i = 0
        while True:
            i += 1
            name, key = f"{rng.choice(KINDS)} {rng.randrange(2)}", f"{generation}.{i}"
            value = "x" * rng.choice((0, 1, 10, 100, 1000, 20_000)) + key
            one(db, name, key, value, rng, say)


def one(db: ck.Database, name: str, key: str, value: str, rng: random.Random, say: Any) -> None:
    kind = name.split()[0]
    kept = getattr(db, kind)(name)
    act = rng.random()
    if act < 0.5:  # one edit, one commit
        kept[key] = value
        if kind == "doc":
            change = kept.commit()
            say("change", name, change.lane.hex(), change.seq, change.id.hex())
        else:
            kept.commit()
        say("put", name, key, value)
    elif act < 0.75:  # two keys or none
        if kind == "doc":
            with kept.change():
                kept[key + "a"], kept[key + "b"] = value, value
        elif kind == "store":
            with kept.transaction() as t:
                t[key + "a"], t[key + "b"] = value, value
        else:
            with kept.batch() as b:
                b.put(key + "a", value)
                b.put(key + "b", value)
        say("put", name, key + "a", value)
        say("put", name, key + "b", value)
    elif act < 0.85:  # lone edits that only the whole file commits
        kept[key] = value
        db.commit()
        say("put", name, key, value)
    elif act < 0.95:
        mine = [k for k in list(kept)[:20] if isinstance(k, str) and k[-1].isdigit()]
        if mine:
            gone = rng.choice(mine)
            say("deleting", name, gone)
            del kept[gone]
            kept.commit()
            say("deleted", name, gone)
    elif act < 0.97 and kind == "doc":  # somebody else's change comes in
        other = kept.fork(ck.Identity.generate())
        other[key] = value
        report = kept.apply(other.export(kept.heads))
        assert report.applied
        say("put", name, key, value)
    elif act < 0.98:
        db.compact()
    elif act < 0.99:
        scratch = db.doc(f"scratch {key}")
        scratch["a"] = 1
        scratch.commit()
        say("name", f"scratch {key}")
        say("unnaming", f"scratch {key}")
        db.delete(f"scratch {key}")
        say("unnamed", f"scratch {key}")
    elif kind == "datastore":
        counter = kept.counter("n")
        amount = rng.randrange(1, 10)
        say("counting", name, amount)
        counter += amount
        kept.commit()
        say("counted", name, amount)


# ---- the parent


class Said:
    """What writers have acknowledged, and of what nobody knows how it went."""

    def __init__(self) -> None:
        self.puts: dict[tuple[str, str], str] = {}
        self.gone: set[tuple[str, str]] = set()
        self.unsure: set[tuple[str, str]] = set()
        self.changes: dict[tuple[str, str, int], str] = {}
        self.names: dict[str, bool] = {}
        self.counts: dict[str, list[int]] = {}
        self.n = 0

    def hear(self, line: bytes) -> None:
        what, *rest = json.loads(line)
        self.n += what in ("put", "deleted", "change", "counted", "unnamed")
        if what == "put":
            self.puts[rest[0], rest[1]] = rest[2]
        elif what == "deleting":
            self.unsure.add((rest[0], rest[1]))
        elif what == "deleted":
            self.gone.add((rest[0], rest[1]))
            self.unsure.discard((rest[0], rest[1]))
        elif what == "change":
            self.changes[rest[0], rest[1], rest[2]] = rest[3]
        elif what in ("name", "unnamed"):
            self.names[rest[0]] = what == "name"
        elif what == "unnaming":
            del self.names[rest[0]]
        elif what == "counting":
            low, high = self.counts.get(rest[0], [0, 0])
            self.counts[rest[0]] = [low, high + rest[1]]
        elif what == "counted":
            self.counts[rest[0]][0] += rest[1]

    def copy(self) -> Said:
        other = Said()
        for name, value in vars(self).items():
            other.__dict__[name] = value if isinstance(value, int) else type(value)(value)
        other.counts = {name: list(range_) for name, range_ in self.counts.items()}
        return other


def run_writer(path: Path, generation: int, rng: random.Random, said: Said) -> None:
    """A writer from birth to death, in a process of its own."""
    reading, writing = os.pipe()
    seed = rng.randrange(2**32)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            write(str(path), generation, seed, writing)
            code = 0
        except BaseException as error:
            os.write(2, f"the writer failed: {error!r}\n".encode())
        finally:
            os._exit(code)
    os.close(writing)
    # Most are killed at work; some while they open the file.
    is_open, end = rng.random() < 0.1, time.monotonic() + rng.uniform(*LIFE)
    rest = b""
    killed = False
    while True:
        wait = end - time.monotonic()
        if not killed and wait <= 0:
            if is_open:
                os.kill(pid, signal.SIGKILL)
                killed = True
            else:
                wait = 10.0
        ready, _, _ = select.select([reading], [], [], None if killed else max(wait, 0))
        if not ready:
            continue
        data = os.read(reading, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b'["open"]':
                if not is_open:
                    is_open, end = True, time.monotonic() + rng.uniform(*LIFE)
            else:
                said.hear(line)
    os.close(reading)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, "the writer failed"


def look(path: Path, said: Said, ever: dict[object, Any]) -> None:
    """Is everything there that somebody has acknowledged, and nothing twice?"""
    with ck.Database(path) as db:
        assert (found := db.check()) == [], found
        names = db.names()
        assert all((name in names) == there for name, there in said.names.items()), (names, said.names)
        everything = {name: getattr(db, kind)(name) for name, kind in names.items()}
        contents = {name: content(kept) for name, kept in everything.items()}
        for (name, key), value in said.puts.items():
            if (name, key) in said.gone:
                assert key not in contents[name], f"{name!r} {key!r} is there again"
            elif (name, key) not in said.unsure or key in contents[name]:
                assert contents[name].get(key) == value, f"{name!r} {key!r} is lost"
        for name, keys in contents.items():
            for key in keys:
                if key[-1] in "ab" and name[:7] != "scratch":
                    twin = key[:-1] + ("b" if key[-1] == "a" else "a")
                    assert keys.get(twin) == keys[key], f"{name!r} {key!r}: half of a change"
        for name, (low, high) in said.counts.items():
            assert low <= int(everything[name].counter("n")) <= high, f"{name!r}: a count is lost"
        there = {
            (n, c.lane.hex(), c.seq): c.id.hex()
            for n, k in everything.items()
            if hasattr(k, "changes")
            for c in k.changes()
        }
        for place, id in said.changes.items():
            assert there.get(place) == id, f"change {place} is lost"
        for name, kept in everything.items():
            if isinstance(kept, ck.Store):
                ever.setdefault(name, ck.Store("ever"))
                ever[name].integrate_diff(kept.build_diff(ever[name].request_diff()))
            else:
                ever.setdefault((name, kept.id), type(kept)(id=kept.id)).merge(kept)
                assert kept.equivocations() == [] == ever[name, kept.id].equivocations(), f"{name!r}: two stories"
                if name[:7] != "scratch":
                    assert type(kept).load(kept.save()).root == kept.root


def crash(loops: int, seed: int, folder: Path) -> dict[str, float]:
    """So many writers; figures."""
    rng = random.Random(seed)
    figures: dict[str, float] = {"loops": 0, "acknowledged": 0, "restored": 0, "files": 0}
    started = time.monotonic()
    said, ever = Said(), dict[object, Any]()
    backups: list[tuple[bytes, bytes, Said]] = []
    for loop in range(loops):
        if loop % ONE_FILE == 0:
            path = folder / f"{loop}.db"
            said, ever, backups = Said(), {}, []
            figures["files"] += 1
        elif backups and rng.random() < 0.05:
            file, key, then = rng.choice(backups)
            path.write_bytes(file)
            Path(f"{path}.key").write_bytes(key)
            said = then.copy()
            figures["restored"] += 1
        n = said.n
        run_writer(path, loop, rng, said)
        figures["acknowledged"] += said.n - n
        try:
            look(path, said, ever)
        except BaseException:
            kept = Path(tempfile.mkdtemp(prefix="crash-")) / path.name
            shutil.copy(path, kept)
            print(f"loop {loop} of seed {seed}; the file: {kept}", file=sys.stderr)
            raise
        figures["loops"] += 1
        if rng.random() < 0.1:
            backups.append((path.read_bytes(), Path(f"{path}.key").read_bytes(), said.copy()))
    figures["seconds"] = round(time.monotonic() - started, 1)
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--loops", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = crash(given.loops, given.seed, Path(folder))
    said = ", ".join(f"{value} {name}" for name, value in figures.items())
    print(f"seed {given.seed}: {said}: none lost, no two stories")


if __name__ == "__main__":
    main()
