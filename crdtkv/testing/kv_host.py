"""KvHost: an honest replica of a datastore, in memory or in a file, which also compacts and purges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crdtkv import Datastore, Doc, Report, Session
from crdtkv.testing.converged import difference, shown
from crdtkv.testing.files import Files
from crdtkv.testing.host import Host
from crdtkv.testing.replica import seed_of

__all__ = ["KvHost"]

Image = bytes | Path  # a disk: what save() gave, or a copy of the file


class KvHost(Host):
    """A Host whose disk holds bodies, too: what it once had is not what a version says of a replica that compacted.

    In memory its disk is what save() gave when it was last flushed. In a file it is the file, with all that was ever
    committed; backups and clones are copies of it, and go on in files of their own.
    """

    def __init__(self, name: str, kv: Datastore, seed: bytes, files: Files) -> None:
        self._files = files
        self._image = b""  # of one in memory
        self.purged: set[str] = set()
        super().__init__(name, kv, seed)
        self._settle()
        self._images: list[tuple[Image, frozenset[bytes], frozenset[str]]] = [self._a_copy()]

    @property
    def in_file(self) -> bool:
        return self.doc._file is not None

    # ---- its disk

    def _settle(self) -> None:
        """All that is here is on the disk."""
        self.held = {change.id for change in self.doc.changes()}
        if not self.in_file:
            self._image = self.doc.save()

    def _a_copy(self) -> tuple[Image, frozenset[bytes], frozenset[str]]:
        """A copy of the disk, without what is in memory alone; the changes in it, and what was purged."""
        if self.in_file:
            return self._files.copy(self.doc), frozenset(self.held), frozenset(self.purged)
        return self._image, frozenset(self.held), frozenset()  # what save() gave knows nothing of purges

    def _load(self, image: Image) -> Datastore:
        old: Datastore = self.doc
        clock = old._clock
        if isinstance(image, Path):
            assert clock is not None
            return self._files.reopen(image, old, clock)
        new = type(old)(old.identity, id=old.id, clock=clock)
        new.apply(image)
        return new

    def _go_on(self, image: Image, held: frozenset[bytes], purged: frozenset[str]) -> None:
        """With what a copy holds, and nothing else."""
        old, new = self.doc, self._load(image)
        self._files.pull_the_plug(old)
        self._begin(new)
        found = {change.id for change in new.changes()}
        own = {change.id for change in new.changes() if change.author == new.identity.public_key}
        lost, more = held - found, found - held
        assert not lost, f"{self.name}: {len(lost)} changes are not there that were saved"
        assert not more or (isinstance(image, Path) and more <= own), f"{self.name}: {len(more)} changes from nowhere"
        self.written |= more  # an open change that closed by itself
        self.purged = set(purged)
        self._settle()

    # ---- as a Host does

    def _begin(self, doc: Doc | Datastore) -> None:
        super()._begin(doc)
        self.disk = ()

    def close(self) -> None:
        before = self._told
        super().close()
        if self._told != before:
            self._durable()

    def _durable(self) -> None:
        """In a file all that anybody can see is on the disk."""
        if self.in_file:
            self.held = {change.id for change in self.doc.changes()}

    def flush(self) -> None:
        self.close()
        self._settle()

    def back_up(self) -> None:
        self.flush()
        self._images.append(self._a_copy())
        self.backups.append(((), frozenset()))

    def _heard(self, before: bytes, report: Report) -> str:
        told = super()._heard(before, report)
        self._durable()
        return told

    def hear(self, session: Session, data: bytes) -> str:
        told = super().hear(session, data)
        self._durable()
        return told

    def sync(self, other: Host) -> str:
        told = super().sync(other)
        for host in (self, other):
            assert isinstance(host, KvHost)
            host._durable()
        return told

    def crash(self) -> None:
        self._go_on(*self._a_copy())

    def restore(self, backup: int) -> None:
        del self._images[backup + 1 :]
        del self.backups[backup + 1 :]
        self._go_on(*self._images[backup])

    def clone(self, name: str) -> KvHost:
        image, _, purged = self._a_copy()
        clone = KvHost(name, self._load(image), seed_of(self._seed, name), self._files)
        clone.purged = set(purged)
        return clone

    # ---- upkeep

    def compact(self, rewrite: bool) -> str:
        """Drop what nobody needs, and show the same; what became of it."""
        self.close()
        before: Any = shown(self.doc)
        version = self.doc.heads, self.doc.root
        dropped = self.doc.compact(rewrite=rewrite)["dropped"]
        assert rewrite or (self.doc.heads, self.doc.root) == version, f"{self.name}: compaction has left a trace"
        self.close()
        after = shown(self.doc)
        if rewrite:  # what was put again is another operation
            before, after = without_ops(before), without_ops(after)
        if found := difference(before, after):
            path, was, now = found
            raise AssertionError(f"{self.name}: compaction turned {was!r} at {path} into {now!r}")
        return f"{dropped} bodies dropped"

    def purge(self, dag: str) -> str:
        """Forget a DAG, wherever else it is or is not."""
        self.close()
        ids = {change.id for change in self.doc.changes() if change.dag == dag}
        n = self.doc.purge(dag)
        assert n == len(ids), f"{self.name}: {n} changes purged of {len(ids)}"
        self.purged.add(dag)
        self._told = self.doc.heads
        self._settle()
        return f"{n} changes forgotten"

    def admit(self) -> None:
        """Let in again what was purged."""
        for dag in sorted(self.purged):
            self.doc.admit(dag)
        self.purged.clear()


def without_ops(shown: Any) -> Any:
    """What is shown, with values in conflict as a collection: their operations, and so their order, may change."""
    keys = {key: sorted(repr(value) for _, value in values) for key, values in shown["keys"].items()}
    return {"keys": keys, "counters": shown["counters"]}
