"""Files: the disks of datastores that live in real files, in a folder that goes away with them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from crdtkv import Database, Datastore, Identity
from crdtkv.testing.replica import Clock

__all__ = ["Files"]

NAME = "kv"
SHM = "/dev/shm"  # files in memory, where there is such a place: what a plug that is pulled loses is decided here


class Files:
    """Databases by their datastores. Nothing on the disk before the first is made."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._n = 0
        self._open: dict[int, Database] = {}

    def path(self) -> Path:
        """One that nobody has."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="crdtkv-", dir=SHM if os.access(SHM, os.W_OK) else None))
        self._n += 1
        return self._folder / f"{self._n}.db"

    def make(self, identity: Identity, id: bytes, clock: Clock) -> Datastore:
        """A datastore in a new file."""
        return self._opened(self.path(), identity, id, clock)

    def copy(self, kv: Datastore) -> Path:
        """What is on the disk of a datastore, and not its open change, as another file."""
        path = self.path()
        file = kv._file
        assert file is not None
        file.backup(path)
        return path

    def reopen(self, copy: Path, like: Datastore, clock: Clock) -> Datastore:
        """Go on with what a copy holds. The copy may be used again."""
        path = self.path()
        shutil.copyfile(copy, path)
        return self._opened(path, like.identity, like.id, clock)

    def _opened(self, path: Path, identity: Identity, id: bytes, clock: Clock) -> Datastore:
        db = Database(path, identity, durability="normal")
        db._close.detach()  # it is closed here, and never commits
        for name in [name for name, kind in db.names().items() if kind == "datastore"]:
            kv = db.datastore(name, clock=clock)
            if kv.id == id:
                break
        else:
            kv = db.datastore(NAME, id=id, clock=clock)
        self._open[kv_key(kv)] = db
        return kv

    def pull_the_plug(self, kv: Datastore) -> None:
        """Close its file, if it is one of these, without a commit."""
        db = self._open.pop(kv_key(kv), None)
        if db is not None:
            db._open.close()

    def close(self) -> None:
        """All of them, and delete the folder."""
        while self._open:
            self._open.popitem()[1]._open.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def kv_key(kv: Datastore) -> int:
    """Datastores are equal by content: this one is itself. Its Database holds it as long as this is asked."""
    return id(kv)
