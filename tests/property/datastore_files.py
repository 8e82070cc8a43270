"""Schedules of datastores that live in files, closed and opened again, and packed; core and twin in lockstep.

Changes have the time of the clock on the wall, and ids depend on it: a seed does not always do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import crdtkv as ck
from property.datastore_schedules import ID, KINDS, Pair, Schedule, Step, steps_of


class InFiles(Schedule):
    """Where others commit lone edits, these are opened again, too."""

    def __init__(self, n: int, folder: Path, say: Callable[[str], object] = lambda line: None) -> None:
        self.folder = folder
        self.files: dict[str, tuple[ck.Database, int]] = {}  # by name of the replica, and whose it is
        super().__init__(n, say)

    def begin(self, identity: int, core: ck.Datastore | None = None) -> Pair:
        self.made += 1
        name = f"f{self.made}"
        return Pair(name, self.made, self.open(name, identity))

    def open(self, name: str, identity: int) -> ck.Datastore:
        author = ck.Identity.from_seed(bytes([identity]) * 32)
        db = ck.Database(self.folder / f"{name}.db", author, durability="normal")
        self.files[name] = db, identity
        return db.datastore("kv", id=ID)

    def reopen(self, pair: Pair, what: int, whom: int) -> None:
        self.say(f"{pair.name} is closed and opened")
        db, identity = self.files[pair.name]
        db.close()
        pair.core = self.open(pair.name, identity)
        for dag in pair.twin.dags.values():
            dag.waiting = {id: change for id, change in dag.waiting.items() if id in pair.core.waiting}
        db, _ = self.files[pair.name]
        if what % 3 == 0:
            self.say(f"the file of {pair.name} is compacted")
            db.compact()
            self.happened["bodies dropped"] += pair.dropped()
        found = db.check()
        assert found == [], f"check of the file of {pair.name}: {found}"

    def close(self) -> None:
        for db, _ in self.files.values():
            db.close()


def play(seed: int, folder: Path) -> int:
    """How many bodies were dropped."""
    lines: list[str] = []
    schedule = InFiles(2 + seed // len(KINDS) % 2, folder, lines.append)
    try:
        schedule.play(opened_again(step) for step in steps_of(seed))
        schedule.finish()
    except Exception as error:
        error.add_note("\n".join([f"seed {seed}:", *lines]))
        raise
    finally:
        schedule.close()
    return schedule.happened["bodies dropped"]


def opened_again(step: Step) -> Step:
    return step._replace(verb="reopen") if step.verb == "commit" else step
