"""Database: one SQLite file with any number of named documents, datastores and stores."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeAlias, TypeVar, cast

from crdtkv import _core
from crdtkv.brief import briefly
from crdtkv.catalogue import Catalogue, Row, peer_of
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.errors import DecodeError, StaleHandleError, StoreError
from crdtkv.figures import Stats
from crdtkv.identity import Identity
from crdtkv.kept import KINDS, Kept, is_bound, kind_of, let_go, uid_of
from crdtkv.openfile import MEMORY, OpenFile, key_at, open_file, own_identity
from crdtkv.ordered import Key
from crdtkv.replica import Clock
from crdtkv.store import DRIFT, Store
from crdtkv.weight import has_air, sizes

__all__ = ["Database", "Names"]

_K = TypeVar("_K", bound=Kept)
Steps: TypeAlias = Callable[[list[Row]], Iterable[Row]]  # goes through objects, and may show how far


@briefly
class Names(dict[str, str]):
    """What is in a file: a dict, name -> "doc", "datastore" or "store".

    >>> import crdtkv as ck
    >>> with ck.Database(":memory:") as db:
    ...     doc = db.doc("notes")
    ...     db.names() == {"notes": "doc"}
    True
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each name. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self.items(), ("name", "kind"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.names(self)


class Database:
    """One SQLite file with any number of named documents, datastores and stores.

    `path`: the file, made if absent; ":memory:" keeps all in memory. `identity` signs what is written; without one the
    file's own is used, which is made on first open and kept beside the file in PATH.key. `durability`: "full": what was
    committed survives power loss; "normal": it survives a killed process. `read_only`: needs no identity, touches
    nothing, may be many; sees the file as it was until refresh(). `compliance`: compaction drops nothing.

    One process writes at a time: StoreError, whose `pid` is the holder's. A context manager: leaving it commits and
    closes. May be used from several threads, not across os.fork().

    >>> import crdtkv as ck, os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "app.db")
    >>> with ck.Database(path) as db:
    ...     db.doc("notes")["title"] = "Picnic"
    ...     db.store("settings")["theme"] = {"dark": True}
    >>> with ck.Database(path) as db:
    ...     db.names(), db.doc("notes")["title"]
    ({'notes': 'doc', 'settings': 'store'}, 'Picnic')
    >>> folder.cleanup()
    """

    __slots__ = ("__weakref__", "_close", "_compliance", "_identity", "_is_own", "_open", "_read_only")

    def __init__(
        self,
        path: str | os.PathLike[str],
        identity: Identity | None = None,
        *,
        durability: Literal["full", "normal"] = "full",
        read_only: bool = False,
        compliance: bool = False,
    ) -> None:
        if identity is not None and not isinstance(identity, Identity):
            raise TypeError(f"identity must be an Identity, not {type(identity).__name__}")
        path = os.fsdecode(path)
        in_memory = path == MEMORY
        if in_memory and read_only:
            raise ValueError("a database in memory is new: there is nothing to read in it")
        file = open_file(None if in_memory else path, read_only, durability)
        try:
            key_file = f"{path}.key"
            if read_only:
                own = identity or key_at(key_file)
                identity = identity or Identity.generate()
            elif in_memory:
                own = identity = identity or Identity.generate()
            else:
                own = identity = identity or own_identity(key_file)
            if own is not None:
                file.set_key(own)
            self._is_own = own is not None and Catalogue(file).is_sealed_by(own, or_seal=not read_only)
        except BaseException:
            file.close()
            raise
        self._identity, self._read_only, self._compliance = identity, bool(read_only), bool(compliance)
        self._open = OpenFile(path, file)
        self._close = weakref.finalize(self, self._open.abandon)

    # ---- what it is

    @property
    def path(self) -> str:
        """Where the file is."""
        return self._open.path

    @property
    def identity(self) -> Identity:
        """Who signs what is written here. Of a reader: somebody who never writes."""
        return self._identity

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading. After an error of the device nothing is written either, see stats()."""
        return self._read_only

    def names(self) -> Names:
        """What is in the file: name -> "doc", "datastore" or "store"; in order of name.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     doc = db.doc("notes")
        ...     db.names()
        {'notes': 'doc'}
        """
        with self._using() as catalogue:
            return Names((row.name, row.kind) for row in catalogue.rows())

    # ---- objects by name

    def doc(self, name: str, *, id: bytes | None = None, clock: Clock | None = None) -> Doc:
        """The document of this name, made if there is none; the same object until the database is closed.

        `id`: which document it is to be, such as that of a peer; once it is there it has that id. ValueError: it has
        another one. TypeError: the name is that of something else. `clock` as in Doc, for whoever opens it first.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     db.doc("notes")["title"] = "Picnic"
        ...     db.doc("notes").to_py(), db.doc("notes") is db.doc("notes")
        ({'title': 'Picnic'}, True)
        """

        def uid() -> bytes:
            return Doc(self._identity, id=id, clock=clock).id

        def opened(row: Row) -> Doc:
            doc = Doc(self._identity, id=row.uid, clock=clock)
            doc._bind(self._open.file, row.number)
            return doc

        return self._get(Doc, name, uid, opened, is_any=id is None)

    def datastore(self, name: str, *, id: bytes | None = None, clock: Clock | None = None) -> Datastore:
        """The datastore of this name, made if there is none; the same object until the database is closed.

        `id`: which datastore it is to be, such as that of a peer; once it is there it has that id. ValueError: it has
        another one. TypeError: the name is that of something else. `clock` as in Datastore, for whoever opens it first.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     stats = db.datastore("stats")
        ...     with stats.batch() as b:
        ...         b.put("page/1", {"title": "Home"})
        ...         b.increment("views/1", 3)
        ...     stats["page/1"], int(stats.counter("views/1"))
        ({'title': 'Home'}, 3)
        """

        def uid() -> bytes:
            return Doc(self._identity, id=id, clock=clock).id

        def opened(row: Row) -> Datastore:
            return self._datastore(row, self._identity, clock)

        return self._get(Datastore, name, uid, opened, is_any=id is None)

    def _datastore(self, row: Row, identity: Identity, clock: Clock | None, salvage: bool = False) -> Datastore:
        return _core.Datastore.__new__(
            Datastore,
            identity,
            id=row.uid,
            file=self._open.file,
            object=row.number,
            compliance=self._compliance,
            verify=not self._is_own,
            salvage=salvage,
            clock=clock,
        )

    def store(
        self,
        name: str,
        *,
        id: Key | None = None,
        clock: Clock | None = None,
        max_drift: timedelta | None = DRIFT,
    ) -> Store:
        """The store of this name, made if there is none; the same object until the database is closed.

        `id`: its peer_id; the first one stays. ValueError: it has another one. TypeError: the name is that of something
        else. `clock` and `max_drift` as in Store, for whoever opens it first.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     db.store("settings", id="laptop")["volume"] = 7
        ...     dict(db.store("settings")), db.store("settings").peer_id
        ({'volume': 7}, 'laptop')
        """

        def uid() -> bytes:
            return uid_of(Store(id, clock=clock, max_drift=max_drift))

        def opened(row: Row) -> Store:
            store = Store(peer_of(row.uid), clock=clock, max_drift=max_drift)
            store._bind(self._open.file, row.number)
            return store

        return self._get(Store, name, uid, opened, is_any=id is None)

    def _get(
        self, of: type[_K], name: str, uid: Callable[[], bytes], opened: Callable[[Row], _K], *, is_any: bool
    ) -> _K:
        """The object of a name; `uid` says which one is wanted, or if `is_any` draws one for a new object."""
        kind = kind_of(of)
        with self._using(name) as catalogue:
            row = catalogue.find(name)
            if row is None:
                row = catalogue.enter(name, kind, uid())
            elif row.kind != kind:
                raise TypeError(f"{name!r} is a {row.kind}, not a {kind}")
            elif not is_any and uid() != row.uid:
                raise ValueError(f"{name!r} has another id: {row.uid.hex()}")
            elif name in self._open.objects:
                return self._there(of, name)
            self._open.objects[name] = kept = opened(row)
            return kept

    def _there(self, of: type[_K], name: str) -> _K:
        kept = self._open.objects[name]
        if not isinstance(kept, of):
            raise RuntimeError(f"{name!r} is being added or deleted by another thread")
        return kept

    def add(self, name: str, obj: _K) -> _K:
        """Put an object that lives in memory into the file, with all it knows; what is returned lives there.

        A document or store is the same object, and lives in the file from now on. Of a datastore a new one is made,
        which refuses what the old one purged, and has what waits there; the old one is a replica apart. Its identity
        stays its own until the file is opened again. ValueError: the name is taken, or the object lives in a file
        already.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["title"] = "Picnic"
        >>> with ck.Database(":memory:") as db:
        ...     db.add("notes", doc) is doc, db.doc("notes") is doc
        (True, True)
        """
        kind = kind_of(type(obj))
        with self._using() as catalogue:
            if catalogue.find(name) is not None:
                raise ValueError(f"{name!r} is taken")
            if is_bound(obj):
                raise ValueError("it lives in a file already")
            row = catalogue.enter(name, kind, uid_of(obj))
            self._open.objects[name] = None
        there: Kept | None = None
        try:
            there = self._moved(obj, row)
        finally:
            with self._open.lock:
                if there is None:
                    with suppress(StoreError):
                        catalogue.erase(row)
                self._open.settle(name, there)
        return cast(_K, there)

    def _moved(self, obj: Kept, row: Row) -> Kept:
        if not isinstance(obj, Datastore):
            obj._bind(self._open.file, row.number)
            return obj
        new = self._datastore(row, obj.identity, obj._clock)
        try:
            for dag in obj._purged():
                new._refuse(dag)
            new.merge(obj)
            new.apply(obj._waiting_bundle())
        except BaseException:
            new._erase()
            raise
        return new

    def delete(self, name: str) -> None:
        """Forget an object and all it knows; who holds it finds it stale. KeyError: there is no such name.

        Replicas elsewhere keep what they have: this is not a change that travels.
        """
        with self._using(name) as catalogue:
            row = catalogue.find(name)
            if row is None:
                raise KeyError(name)
            catalogue.must_be_writable()
            kept = self._there(KINDS[row.kind], name) if name in self._open.objects else None
            if kept is None and row.kind == "datastore":  # only itself knows all its rows
                kept = self._opened(row)
            self._open.objects[name] = None
        gone = False
        try:
            if isinstance(kept, Datastore):
                kept._erase()
            elif kept is not None:
                let_go(kept)
            gone = True
        finally:
            with self._open.lock:
                try:
                    if gone:
                        catalogue.erase(row)
                finally:
                    self._open.settle(name, None if gone else kept)

    # ---- the whole file

    def commit(self) -> None:
        """Close the open change of everything that is open: when this returns it is on disk.

        An error of one does not keep the others from it; the first is raised.
        """
        self._check_life()
        raise_first(self._open.commit())

    def refresh(self) -> None:
        """Of a reader: go on to the newest commit, with everything that is open. Of a writer: nothing to do.

        What was deleted meanwhile is stale.
        """
        with self._using() as catalogue:
            if not self._read_only:
                return
            self._open.file.refresh()
            catalogue.refresh()
            there = {(row.name, row.kind, row.uid) for row in catalogue.rows()}
            opened = self._open.opened()
            gone = [name for name, kept in opened if (name, kind_of(type(kept)), uid_of(kept)) not in there]
            for name in gone:
                del self._open.objects[name]
        for name, kept in opened:
            if name in gone:
                let_go(kept)
            else:
                kept._refresh()

    def check(self) -> list[str]:
        """What is wrong with the file: [] or a line for each finding. Reads everything, so it takes its time.

        SQLite's own check of pages and indexes; then of every object every record, hash and signature, and what is
        derived from them. Nothing is changed, and what one finding hides is not looked for.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     db.doc("notes")["title"] = "Picnic"
        ...     db.check()
        []
        """
        return self._check_through(iter)

    def _check_through(self, steps: Steps) -> list[str]:
        file, found = self._check_life(), list[str]()
        try:
            found += file.check()
            with self._using() as catalogue:
                found += catalogue.damage()
                rows = catalogue.whole()
        except (StoreError, DecodeError) as error:
            return [*found, str(error)]
        for row in steps(rows):
            try:
                with self._visit(row) as kept:
                    lines = [] if kept is None else kept.check() if isinstance(kept, Datastore) else kept._check()
                    found += [f"{row.name!r}: {line}" for line in lines]
            except (StoreError, DecodeError) as error:
                found.append(f"{row.name!r}: {error}")
        if not found and not self._read_only and not self._is_own:
            with self._using() as catalogue:
                catalogue.seal(self._identity)
                self._is_own = True
        return found

    @contextmanager
    def _visit(self, row: Row) -> Iterator[Kept | None]:
        """The object, which is closed again if it was not open; whoever else wants it waits. None: it is gone."""
        opened = self._open
        with self._using(row.name) as catalogue:
            if catalogue.find(row.name) != row:
                kept, mine = None, False
            elif row.name in opened.objects:
                kept, mine = opened.objects[row.name], False
            else:
                kept, mine = self._opened(row), True
                opened.visited.add(row.name)
        try:
            yield kept
        finally:
            if mine and kept is not None:
                let_go(kept)
                with opened.lock:
                    opened.visited.discard(row.name)
                    opened.lock.notify_all()

    def _opened(self, row: Row, salvage: list[str] | None = None) -> Kept:
        if row.kind == "datastore":
            datastore = self._datastore(row, self._identity, None, salvage is not None)
            if salvage is not None:
                salvage += datastore._lost()
            return datastore
        kept = Doc(self._identity, id=row.uid) if row.kind == "doc" else Store(peer_of(row.uid))
        lost = kept._bind(self._open.file, row.number, salvage is not None)
        if salvage is not None:
            salvage += lost
        return kept

    def salvage(self, name: str) -> list[str]:
        """Open what is left of a damaged object; a line for each part that is lost. From now on that is all there is.

        What is lost here comes back from whoever has it. KeyError: there is no such name. RuntimeError: it is open.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     doc = db.doc("notes")
        ...     db.salvage("notes")
        Traceback (most recent call last):
            ...
        RuntimeError: 'notes' is open: it is not damaged
        """
        with self._using(name) as catalogue:
            row = catalogue.find(name)
            if row is None:
                raise KeyError(name)
            if name in self._open.objects:
                raise RuntimeError(f"{name!r} is open: it is not damaged")
            lost: list[str] = []
            self._open.objects[name] = self._opened(row, lost)
            return lost

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a copy, whole and consistent, while everybody goes on. FileExistsError: there is something.

        While it grows it is at `path` with "-new" behind it, so that what is at `path` is whole.
        The key file is not copied: whoever opens the copy writes under a key of his own. Closes the open changes.
        """
        file = self._check_life()
        if not self._read_only:
            raise_first(self._open.commit())
        file.backup(path)

    def compact(self) -> Stats:
        """Make the file small: what no reader can miss is dropped. Bytes "before" and "after".

        Datastores drop superseded bodies (see Datastore.compact()), documents and stores write their record anew in one
        piece, and free pages go back to the file system. Content, history of documents, heads and roots stay; what
        was superseded in a datastore leaves its history(), unless `compliance` keeps it.

        >>> import crdtkv as ck
        >>> with ck.Database(":memory:") as db:
        ...     sizes = db.compact()
        ...     sizes["after"] <= sizes["before"]
        True
        """
        return self._compact_through(iter)

    def _compact_through(self, steps: Steps) -> Stats:
        file = self._check_life()
        with self._using() as catalogue:
            catalogue.must_be_writable()
        raise_first(self._open.commit())
        before = file.size()
        with self._using() as catalogue:
            rows = catalogue.rows()
        for row in steps(rows):
            with self._visit(row) as kept:
                if isinstance(kept, Datastore):
                    kept.compact()
                elif kept is not None:
                    kept._compact()
        file.shrink(0)
        if has_air(file):
            file.pack()
        return Stats(before=before, after=file.size())

    def stats(self) -> Stats:
        """Figures: "bytes" of the file, how many "names" "docs" "datastores" "stores" "open", "records", "poisoned".

        "poisoned": the device failed, and nothing is written until the file is opened again.
        """
        with self._using() as catalogue:
            file = self._open.file
            kinds = [row.kind for row in catalogue.rows()]
            ((n_records,),) = file.run("SELECT count(*) FROM record")
            figures = {
                "bytes": file.size(),
                "names": len(kinds),
                **{f"{kind}s": kinds.count(kind) for kind in ("doc", "datastore", "store")},
                "open": len(self._open.objects),
                "records": n_records,
                "poisoned": file.poisoned,
            }
            return Stats(figures)

    def _sizes(self) -> list[tuple[Row, int | None]]:
        """Rows of the catalogue with about how many bytes they have in the file; None where it is too long to read."""
        with self._using() as catalogue:
            rows, bytes_of = catalogue.whole(), sizes(self._open.file)
            return [(row, None if bytes_of is None else bytes_of.get(row.number, 0)) for row in rows]

    # ---- life

    def close(self) -> None:
        """Commit, put all data into the one file and let it go; again: nothing. Every use after it: StaleHandleError.

        If the last commit fails the file is closed all the same, and the error is raised. RuntimeError: this thread is
        inside a block of one of the objects; nothing is closed.
        """
        opened = self._open
        if not opened.is_mine or opened.closing:  # a child has only a picture of the file
            return
        errors = [] if self._read_only else opened.commit()
        opened.close()
        self._close.detach()
        raise_first(errors)

    def __enter__(self) -> Self:
        self._check_life()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self._open.is_mine or self._open.closing:
            return f"<Database {self.path!r}, closed>"
        return f"<Database {self.path!r}, {len(self._open.objects)} open{', read only' if self._read_only else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Database cannot be copied or pickled: it is a file, open it again")

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.database(self)

    def _check_life(self) -> _core.File:
        if not self._open.is_mine:
            raise StoreError("this process was forked from the one that opened the database; open it again here")
        if self._open.closing:
            raise StaleHandleError("the database is closed")
        return self._open.file

    @contextmanager
    def _using(self, name: str | None = None) -> Iterator[Catalogue]:
        """The catalogue, under the lock, when nobody visits the object of this name."""
        self._check_life()
        with self._open.lock:
            while name in self._open.visited:
                self._open.lock.wait()
            self._check_life()
            yield self._open.catalogue


def raise_first(errors: list[Exception]) -> None:
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"also: {other}")
        raise errors[0]
