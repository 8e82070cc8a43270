"""Host: an honest replica in a simulated network, with its disk, its backups and what it believes of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crdtkv import Datastore, DecodeError, Doc, Report, Session, SyncError, sync
from crdtkv.testing.replica import seed_of

__all__ = ["Host"]

Version = tuple[bytes, ...]
CAP = 32 << 20  # bytes that may wait in a document


class Host:
    """A replica that keeps to the rules: what leaves it is on its disk before.

    Its disk is a version: reading it back is loading what had been saved then. What its document has at the start is
    on the disk.
    """

    def __init__(self, name: str, doc: Doc | Datastore, seed: bytes) -> None:
        self.name = name
        self._seed, self._starts = seed, 0
        self.beliefs: dict[str, Version] = {}  # the heads that others have, as far as is known here
        self._begin(doc)
        self.disk = doc.heads
        self.held = {change.id for change in doc.changes()}  # the changes on the disk
        self.written = set(self.held)  # those that it ever made
        self.backups: list[tuple[Version, frozenset[bytes]]] = [(self.disk, frozenset(self.held))]

    def _begin(self, doc: Doc | Datastore) -> None:
        """Go on with a replica that has just been made; what it writes goes to a lane that the seed decides."""
        doc._seed(seed_of(self._seed, self._starts))
        self._starts += 1
        self.doc: Any = doc
        self.undo: Any = doc.undo_stack() if isinstance(doc, Doc) else None  # an UndoStack
        self.beliefs.clear()
        self._told = doc.heads

    def _loaded(self) -> Doc | Datastore:
        """What is on the disk, read back."""
        old = self.doc
        new: Doc | Datastore = type(old)(old.identity, id=old.id, clock=old._clock)
        new.apply(old.export((), self.disk))
        found = {change.id for change in new.changes()}
        assert found == self.held, f"{self.name}: {len(found ^ self.held)} changes differ from what was saved"
        return new

    def close(self) -> None:
        """Close the open change, and take note of what was written since the last time."""
        if (heads := self.doc.heads) != self._told:
            self.written.update(change.id for change in self.doc.changes(self._told))
            self._told = heads

    def flush(self) -> None:
        """Put everything on the disk."""
        self.close()
        if self.disk != (heads := self.doc.heads):
            self.held.update(change.id for change in self.doc.changes(self.disk))
            self.disk = heads

    def back_up(self) -> None:
        """Put everything on the disk, and keep a copy of that."""
        self.flush()
        self.backups.append((self.disk, frozenset(self.held)))

    def bundle(self, since: Iterable[bytes]) -> bytes:
        """What another replica lacks, safe on the disk first."""
        self.flush()
        data: bytes = self.doc.export(since)
        return data

    def receive(self, data: bytes) -> str:
        """Take a bundle in; what became of it."""
        self.close()
        before = self.doc.root
        try:
            report = self.doc.apply(data)
        except DecodeError as error:
            assert self.doc.root == before, f"{self.name}: a refused bundle has left a trace"
            return type(error).__name__
        return self._heard(before, report)

    def hear(self, session: Session, data: bytes) -> str:
        """Take in a message of a session at this end; what became of it, nothing if that ends the session."""
        self.close()
        before = self.doc.root
        try:
            report = session.receive(data)
        except (DecodeError, SyncError):
            self._told = self.doc.heads  # what was authentic stays
            return ""
        return self._heard(before, report)

    def sync(self, other: Host) -> str:
        """Exchange all with another one, on a good line; what became of it."""
        for host in (self, other):
            host.flush()
        report = sync(self.doc, other.doc)
        for host in (self, other):
            host._told = host.doc.heads
        return f"{report.changes} changes"

    def _heard(self, before: bytes, report: Report) -> str:
        self._told = self.doc.heads
        waiting = self.doc.stats()["waiting_bytes"]
        assert waiting <= CAP, f"{self.name}: {waiting} bytes wait"
        is_new = self.doc.root != before  # bodies that come after all are new, and no change
        ok = bool(report) == is_new or (report and isinstance(self.doc, Datastore))
        assert ok, f"{self.name}: root and report disagree on what is new"
        counts = (len(report.applied), len(report.void), len(report.waiting), len(report.refused), report.known)
        return "{} applied, {} void, {} waiting, {} refused, {} known".format(*counts)

    # ---- what happens to a machine

    def crash(self) -> None:
        """Lose what is not on the disk."""
        self._begin(self._loaded())

    def restore(self, backup: int) -> None:
        """Go back to an old backup. What nobody else has is lost, and that is nobody's lie."""
        self.disk, held = self.backups[backup]
        self.held = set(held)
        del self.backups[backup + 1 :]
        self._begin(self._loaded())

    def clone(self, name: str) -> Host:
        """A copy of the disk in another machine, under the same identity."""
        return Host(name, self._loaded(), seed_of(self._seed, name))
