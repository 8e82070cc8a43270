"""OpenFile: the file of a Database while it is open, and what of it is."""

from __future__ import annotations

import os
import warnings
from threading import Condition

from crdtkv import _core
from crdtkv.catalogue import Catalogue
from crdtkv.errors import DecodeError, MissingFileError, StoreError
from crdtkv.identity import Identity
from crdtkv.kept import Kept, let_go

__all__ = ["MEMORY", "OpenFile", "key_at", "open_file", "own_identity"]

SCHEMA = 2  # what this version writes; PRAGMA user_version
MIGRATIONS: dict[int, tuple[str, ...]] = {  # version n -> the SQL that makes a file of version n + 1 of it
    1: (
        "CREATE TABLE sheaf(id INTEGER PRIMARY KEY, last INTEGER NOT NULL, "
        "n INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    ),
}
MEMORY = ":memory:"


def open_file(path: str | None, read_only: bool, durability: str) -> _core.File:
    """The file, of this version: an older one is brought up to date, one version after the other."""
    while True:
        try:
            file = _core.File(path, read_only=read_only, durability=durability)
        except FileNotFoundError as error:
            raise MissingFileError(*error.args, path) from None
        try:
            ((version,),) = file.run("PRAGMA user_version")
            if version == SCHEMA:
                return file
            if version not in MIGRATIONS:
                raise StoreError(f"{path!r} is of version {version}, which this version cannot read any more")
            if read_only:
                helps = "open it once for writing, to bring it up to date; `crdtkv compact` does"
                raise StoreError(f"{path!r} is of version {version}: {helps}")
            file.begin()
            for statement in MIGRATIONS[version]:
                file.run(statement)
            file.run(f"PRAGMA user_version = {version + 1}")
            file.commit()
        except BaseException:
            file.close()
            raise
        file.close()  # opened again, so that its tables are compared with those of its new version


def key_at(path: str) -> Identity | None:
    """The identity in the key file, for a reader, who can do without."""
    try:
        return Identity.load(path)
    except (OSError, DecodeError):
        return None


def own_identity(path: str) -> Identity:
    """The identity in the key file; a new one, if there is none. Whoever calls holds the lock of the database.

    DecodeError: what is there is no key, or has a password.
    """
    try:
        return Identity.load(path)
    except DecodeError as error:
        helps = "if it has a password, give identity=; if it is damaged, put it aside, and a new one is made"
        raise DecodeError(f"{path!r}: {error}; {helps}") from None
    except FileNotFoundError:
        identity = Identity.generate()
        identity.save(path)
        return identity


class OpenFile:
    """The file, and what of it is open. Knows no Database, so that one that nobody holds any more is noticed.

    The lock is held for the catalogue and for `objects`, never while an object is called that somebody else may have:
    that one may wait for the end of a block, and whoever is in the block may wait for the lock.
    """

    __slots__ = ("catalogue", "closing", "file", "lock", "objects", "path", "pid", "visited")

    def __init__(self, path: str, file: _core.File) -> None:
        self.path, self.file, self.pid = path, file, os.getpid()
        self.catalogue = Catalogue(file)
        self.objects: dict[str, Kept | None] = {}  # None: on its way in or out
        self.visited: set[str] = set()  # opened for a moment, by one call that keeps it to itself
        self.lock = Condition()
        self.closing = False

    @property
    def is_mine(self) -> bool:
        """Or that of the process which this one was forked from."""
        return self.pid == os.getpid()

    def opened(self) -> list[tuple[str, Kept]]:
        return [(name, kept) for name, kept in list(self.objects.items()) if kept is not None]

    def settle(self, name: str, kept: Kept | None) -> None:
        """Under the lock: it is in (or still in), or it is out (None)."""
        if kept is None:
            del self.objects[name]
        else:
            self.objects[name] = kept
        self.lock.notify_all()

    def commit(self) -> list[Exception]:
        """Close the open changes of all objects; what went wrong. RuntimeError: this thread is inside a block."""
        errors: list[Exception] = []
        for name, kept in self.opened():
            try:
                kept.commit()
            except RuntimeError:
                raise
            except Exception as error:
                if self.objects.get(name) is kept:  # else it was deleted meanwhile
                    errors.append(error)
        return errors

    def close(self) -> None:
        """Without a commit. Whoever comes after this has begun finds a closed database."""
        with self.lock:
            if self.closing:
                return
            self.closing = True
            while self.visited or None in self.objects.values():
                self.lock.wait()
        for _, kept in self.opened():
            let_go(kept)
        self.objects.clear()
        self.file.close()

    def abandon(self) -> None:
        """What the garbage collector, or the end of the process, does with a Database that was not closed."""
        if not self.is_mine or self.closing:
            return
        lost: object = None
        try:
            if not self.file.read_only:
                lost = next(iter(self.commit()), None)
        except Exception as error:
            lost = error
        finally:
            self.close()
        if lost is not None:
            warnings.warn(f"the last edits in {self.path!r} are lost: {lost}", ResourceWarning, stacklevel=2)
        warnings.warn(f"unclosed crdtkv.Database {self.path!r}", ResourceWarning, stacklevel=2)
