"""Directory: what a target shares with others, by id, and what becomes of names that others have.

A target is one document or datastore, or a database with many of them under names. Over a link they are matched by id.
A name that is not here is made here, within limits; a name that stands for something else here is a conflict, and is
left alone. Stores are nobody else's business. Without input or output; used by WebSocket links and by NATS.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, TypeAlias

from crdtkv.database import Database
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.errors import Error, StaleHandleError, StoreError
from crdtkv.identity import Identity
from crdtkv.net.limits import Meter

__all__ = ["Accept", "Directory", "Entry", "Quota", "Shared", "Target", "Verdict"]

Shared: TypeAlias = Doc | Datastore
Target: TypeAlias = Doc | Datastore | Database
Accept: TypeAlias = Callable[..., object]  # (name, kind, id), or only the first of these: may it be made?

LONGEST_NAME = 255  # bytes
NEW_NAMES = 1024  # that one link may bring
KINDS = ("doc", "datastore")

log = logging.getLogger("crdtkv.net")


class Entry(NamedTuple):
    """One object that an end shares. The name is "" where a target is one object."""

    name: str
    kind: str  # "doc" or "datastore"
    id: bytes


class Verdict(Enum):
    """What becomes of an entry of the other end."""

    SHARED = "shared"  # it is here, or was made
    CONFLICT = "conflict"  # its name stands for something else here
    REFUSED = "refused"  # by accept=, or for a limit


class Quota:
    """How many names one link may still bring; `meter`: and all of them together."""

    __slots__ = ("_meter", "left")

    def __init__(self, left: int = NEW_NAMES, meter: Meter | None = None) -> None:
        self.left, self._meter = left, meter

    def take(self) -> bool:
        """One more? False: no."""
        if self.left <= 0 or (self._meter is not None and not self._meter.take(1)):
            return False
        self.left -= 1
        return True


class Directory:
    """What a target shares.

    >>> import crdtkv as ck
    >>> with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
    ...     notes, other = here.doc("notes"), there.doc("notes")
    ...     directory = Directory(here)
    ...     [entry.name for entry in directory.entries()]
    ...     directory.offer(Entry("notes", "doc", other.id), Quota())
    ...     directory.offer(Entry("plans", "doc", bytes(32)), Quota())
    ...     here.names()
    ['notes']
    <Verdict.CONFLICT: 'conflict'>
    <Verdict.SHARED: 'shared'>
    {'notes': 'doc', 'plans': 'doc'}
    """

    __slots__ = ("_accept", "_by_id", "_by_name", "_db", "_one", "_seen", "_twins", "generation", "opened", "openings")

    def __init__(self, target: Target, *, accept: Accept | None = None) -> None:
        self._accept = None if accept is None else with_fewer(accept)
        self._one: Shared | None = None
        self._db: Database | None = None
        self._by_id: dict[bytes, Entry] = {}
        self._by_name: dict[str, Entry] = {}  # stores too, so that their names are taken
        self._twins: set[str] = set()  # names of what is shared under another one, of which somebody was told
        self._seen = -1  # how many names were ever added and deleted, at the last look
        self.opened: dict[bytes, Shared] = {}  # what open() gave out
        self.openings = 0  # grows with it
        self.generation = 0  # grows whenever entries() may say something else
        if isinstance(target, Database | Doc | Datastore):
            must_be_writable(target)
        if isinstance(target, Database):
            self._db = target
            self.refresh()
        elif isinstance(target, Doc | Datastore):
            self._one = target
            kind = "doc" if isinstance(target, Doc) else "datastore"
            self._by_id[target.id] = self._by_name[""] = Entry("", kind, target.id)
            self.refresh()
        else:
            raise TypeError(f"a Doc, Datastore or Database is shared, not {type(target).__name__}")

    @property
    def identity(self) -> Identity:
        """Who speaks for the target."""
        owner = self._db or self._one
        assert owner is not None
        identity: Identity = owner.identity
        return identity

    @property
    def only(self) -> bytes | None:
        """The id of the one object that the target is, None of a database."""
        return None if self._one is None else self._one.id

    def entries(self) -> list[Entry]:
        """All that is shared, by name, as refresh() found it."""
        return list(self._by_id.values())

    def get(self, id: bytes) -> Entry | None:
        """What this id stands for here."""
        return self._by_id.get(id)

    def has_news(self) -> bool:
        """May refresh() find other names? Cheap."""
        return self._db is not None and self._seen != self._state(self._db)

    def refresh(self) -> None:
        """Look again which names there are. StaleHandleError: the database was closed, or that of the object."""
        if self._one is not None:
            _ = self._one._version  # raises
        if self._db is None:
            return
        seen = self._state(self._db)
        with self._db._using() as catalogue:
            rows = catalogue.rows()
        self._by_name = {row.name: Entry(row.name, row.kind, row.uid) for row in rows}
        self._by_id = {entry.id: entry for entry in self._by_name.values() if entry.kind in KINDS}
        for entry in self._by_name.values():
            shared = self._by_id.get(entry.id, entry)
            if shared is not entry and entry.name not in self._twins:
                self._twins.add(entry.name)
                log.warning("%r is not shared: it is the same as %r, which is", entry.name, shared.name)
        self._seen = seen
        self.generation += 1

    def open(self, id: bytes) -> Shared:
        """The object itself. KeyError: it is not here, or no longer."""
        if self._one is not None:
            if id != self._one.id:
                raise KeyError(id)
            return self._given(id, self._one)
        assert self._db is not None
        entry = self._by_id[id]
        with self._db._using(entry.name) as catalogue:
            row = catalogue.find(entry.name)
        if row is None or (row.kind, row.uid) != (entry.kind, entry.id):
            self.refresh()
            raise KeyError(id)
        return self._given(id, self._make(self._db, entry))

    def _given(self, id: bytes, shared: Shared) -> Shared:
        if self.opened.get(id) is not shared:
            self.opened[id] = shared
            self.openings += 1
        return shared

    def offer(self, entry: Entry, quota: Quota) -> Verdict:
        """What becomes of an entry of the other end; it is made if it is new, and may be."""
        here = self._by_id.get(entry.id)
        if self.has_news():
            self.refresh()
            here = self._by_id.get(entry.id)
        if here is not None:
            return Verdict.SHARED if here.kind == entry.kind else Verdict.CONFLICT
        name = entry.name or entry.id.hex()
        if name in self._by_name:
            return Verdict.CONFLICT
        if self._db is None or len(name.encode()) > LONGEST_NAME or entry.kind not in KINDS:
            return Verdict.REFUSED
        entry = Entry(name, entry.kind, entry.id)
        if quota.left <= 0 or not self._is_welcome(entry) or not quota.take():
            return Verdict.REFUSED
        before = self._state(self._db)
        try:
            self._make(self._db, entry)
        except (TypeError, ValueError):  # made meanwhile, by somebody else
            self.refresh()
            return Verdict.CONFLICT
        except StaleHandleError:
            raise
        except Error as error:
            log.warning("%r cannot be made: %s", name, error)
            return Verdict.REFUSED
        self._by_name[name] = self._by_id[entry.id] = entry
        self.generation += 1
        if self._seen == before and self._state(self._db) == before + 1:
            self._seen = before + 1  # nobody else has made one
        return Verdict.SHARED

    def against(self, there: Entry) -> Entry | None:
        """What an entry that is in conflict is in conflict with; that may be a store."""
        return self._by_name.get(there.name or there.id.hex()) or self._by_id.get(there.id)

    def _is_welcome(self, entry: Entry) -> bool:
        if self._accept is None:
            return True
        try:
            return bool(self._accept(entry.name, entry.kind, entry.id))
        except Exception:
            log.exception("accept() failed for %r, which is refused", entry.name)
            return False

    @staticmethod
    def _make(db: Database, entry: Entry) -> Shared:
        make: Callable[..., Shared] = db.doc if entry.kind == "doc" else db.datastore
        return make(entry.name, id=entry.id)

    @staticmethod
    def _state(db: Database) -> int:
        """How many names were ever added, and deleted since the file was opened: grows with each."""
        added: int = sum(n for (n,) in db._check_life().run("SELECT value FROM meta WHERE key = 'objects'"))
        return added + db._open.catalogue.n_erased


def must_be_writable(target: Target) -> None:
    """StoreError: it is of a file that was opened for reading only."""
    if target.read_only if isinstance(target, Database) else target._is_read_only:
        what = repr(target.path) if isinstance(target, Database) else repr(target)
        raise StoreError(f"{what} is open for reading only; a link takes in what others write, so open it for writing")


def with_fewer(accept: Accept) -> Callable[[str, str, bytes], object]:
    """The same for one that wants only the name, or only name and kind.

    >>> with_fewer(lambda name: name != "secret")("notes", "doc", bytes(32))
    True
    """
    for n in (3, 2, 1):
        try:
            inspect.signature(accept).bind(*("",) * n)
        except (TypeError, ValueError):
            continue
        return lambda *entry: accept(*entry[:n])
    raise TypeError("accept is called with (name, kind, id)")
