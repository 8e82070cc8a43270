"""Key-value stores under one face: 16-byte keys, 100-byte values, and what a Python program says to each of them.

Each is used as its users would: the methods are bound before a loop, files are told to use as much cache as memory has.
Every write is one call for each pair but in update(), the one way there is to hand over all.

insert(pairs)     in one transaction, where there are any;  single(pairs): outside of one
get(keys)         every value;  scan(): all in key order;  prefixes(some): what begins so, in order
delete(keys)      in one transaction;  update(pairs): all in one call
key(k)            a key of 16 bytes as this store wants it
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Pairs = list[tuple[Any, bytes]]


def count(walk: Iterable[Any]) -> int:
    n = 0
    for _ in walk:
        n += 1
    return n


def after(prefix: bytes) -> bytes:
    """The first key behind all with that prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix[-1] < 255 else after(prefix[:-1])


class Dict:
    """Nothing ordered, nothing copied: the bound of what a call from Python costs."""

    def __init__(self) -> None:
        self.at: Any = {}

    @contextmanager
    def writer(self) -> Iterator[Any]:
        """What takes `[key] = value` in a transaction."""
        yield self.at

    @staticmethod
    def key(k: bytes) -> Any:
        return k

    def insert(self, pairs: Pairs) -> None:
        with self.writer() as at:
            for k, v in pairs:
                at[k] = v

    def single(self, pairs: Pairs) -> None:
        at = self.at
        for k, v in pairs:
            at[k] = v

    def get(self, keys: list[Any]) -> None:
        at = self.at
        for k in keys:
            at[k]

    def scan(self) -> int:
        return count(sorted(self.at.items()))

    def delete(self, keys: list[Any]) -> None:
        with self.writer() as at:
            for k in keys:
                del at[k]

    def update(self, pairs: Pairs) -> None:
        self.at.update(pairs)

    def __len__(self) -> int:
        return len(self.at)


class SortedDict(Dict):
    def __init__(self) -> None:
        import sortedcontainers

        self.at = sortedcontainers.SortedDict()

    def scan(self) -> int:
        return count(self.at.items())

    def prefixes(self, some: list[bytes]) -> int:
        at, n = self.at, 0
        for prefix in some:
            for k in at.irange(prefix, after(prefix), (True, False)):
                at[k]
                n += 1
        return n


class Crdtkv(Dict):
    def __init__(self) -> None:
        import crdtkv

        self.at = crdtkv.Store("ada")

    @contextmanager
    def writer(self) -> Iterator[Any]:
        with self.at.transaction() as transaction:
            yield transaction

    def scan(self) -> int:
        return count(self.at.items())

    def prefixes(self, some: list[bytes]) -> int:
        items = self.at.items
        return sum(count(items(prefix=prefix)) for prefix in some)


class Pycrdt(Dict):
    """Keys are str; what has no order is sorted by whoever wants order."""

    def __init__(self) -> None:
        import pycrdt

        self.doc = pycrdt.Doc()
        self.at = self.doc.get("map", type=pycrdt.Map)

    @contextmanager
    def writer(self) -> Iterator[Any]:
        with self.doc.transaction():
            yield self.at

    @staticmethod
    def key(k: bytes) -> str:
        return k.decode()

    def update(self, pairs: Pairs) -> None:
        self.at.update(dict(pairs))


class Sqlite:
    """A table without row ids; the cache holds all of it."""

    path = ":memory:"

    def __init__(self) -> None:
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA cache_size = -1000000")
        self.db.execute("CREATE TABLE store (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")

    @staticmethod
    def key(k: bytes) -> bytes:
        return k

    @contextmanager
    def writer(self) -> Iterator[Any]:
        self.db.execute("BEGIN")
        yield self.db.execute
        self.db.execute("COMMIT")

    def insert(self, pairs: Pairs) -> None:
        with self.writer() as execute:
            for pair in pairs:
                execute("REPLACE INTO store VALUES (?, ?)", pair)

    def single(self, pairs: Pairs) -> None:
        execute = self.db.execute
        for pair in pairs:
            execute("REPLACE INTO store VALUES (?, ?)", pair)

    def get(self, keys: list[bytes]) -> None:
        execute = self.db.execute
        for k in keys:
            execute("SELECT v FROM store WHERE k = ?", (k,)).fetchone()[0]

    def scan(self) -> int:
        return count(self.db.execute("SELECT k, v FROM store ORDER BY k"))

    def prefixes(self, some: list[bytes]) -> int:
        execute, query = self.db.execute, "SELECT k, v FROM store WHERE k >= ? AND k < ? ORDER BY k"
        return sum(count(execute(query, (prefix, after(prefix)))) for prefix in some)

    def delete(self, keys: list[bytes]) -> None:
        with self.writer() as execute:
            for k in keys:
                execute("DELETE FROM store WHERE k = ?", (k,))

    def update(self, pairs: Pairs) -> None:
        self.db.execute("BEGIN")
        self.db.executemany("REPLACE INTO store VALUES (?, ?)", pairs)
        self.db.execute("COMMIT")

    def __len__(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM store").fetchone()[0])


class SqliteFile(Sqlite):
    """As it is by default: a rollback journal, synchronous=FULL."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = str(Path(self.directory.name, "store.db"))
        super().__init__()


class Lmdb:
    """A file, synced at each commit, as by default."""

    def __init__(self) -> None:
        import lmdb

        self.directory = tempfile.TemporaryDirectory()
        self.env = lmdb.open(self.directory.name, map_size=1 << 32)

    @staticmethod
    def key(k: bytes) -> bytes:
        return k

    def insert(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as transaction:
            put = transaction.put
            for k, v in pairs:
                put(k, v)

    def single(self, pairs: Pairs) -> None:
        begin = self.env.begin
        for k, v in pairs:
            with begin(write=True) as transaction:
                transaction.put(k, v)

    def get(self, keys: list[bytes]) -> None:
        with self.env.begin() as transaction:
            get = transaction.get
            for k in keys:
                get(k)

    def scan(self) -> int:
        with self.env.begin() as transaction:
            return count(transaction.cursor())

    def prefixes(self, some: list[bytes]) -> int:
        n = 0
        with self.env.begin() as transaction:
            cursor = transaction.cursor()
            for prefix in some:
                if cursor.set_range(prefix):
                    for k, _ in cursor.iternext():
                        if not k.startswith(prefix):
                            break
                        n += 1
        return n

    def delete(self, keys: list[bytes]) -> None:
        with self.env.begin(write=True) as transaction:
            delete = transaction.delete
            for k in keys:
                delete(k)

    def update(self, pairs: Pairs) -> None:
        with self.env.begin(write=True) as transaction:
            transaction.cursor().putmulti(pairs)

    def __len__(self) -> int:
        return int(self.env.stat()["entries"])


STORES: dict[str, tuple[str, Any]] = {  # name -> (module, class)
    "crdtkv": ("crdtkv", Crdtkv),
    "dict": ("builtins", Dict),
    "SortedDict": ("sortedcontainers", SortedDict),
    "pycrdt": ("pycrdt", Pycrdt),
    "sqlite3": ("sqlite3", Sqlite),
    "sqlite3, a file": ("sqlite3", SqliteFile),
    "lmdb, a file": ("lmdb", Lmdb),
}
