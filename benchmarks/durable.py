"""Key-value stores in a file under one face, each batch durable when the call returns: benchmarks/datastore_cases.py.

Each is used as its users would, with what it has by default unless its class says otherwise.

batched(pairs)     in batches of BATCH, a commit each;  single(pairs): a commit each
get(keys)          every value;  prefix(p): how many begin so, read in order with their values
close()            everything in the file;  paths(): the files it takes
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keyvalue import after, count

BATCH = 1000
Pairs = list[tuple[bytes, bytes]]
UPSERT = "INSERT INTO kv VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v"


def cut(pairs: Pairs) -> Iterator[Pairs]:
    return (pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH))


class Crdtkv:
    def __init__(self, folder: Path) -> None:
        import crdtkv

        self.folder = folder
        self.db = crdtkv.Database(folder / "crdtkv.db")
        self.at: Any = self.db.datastore("bench")

    def batched(self, pairs: Pairs) -> None:
        for part in cut(pairs):
            with self.at.batch() as b:
                put = b.put
                for k, v in part:
                    put(k, v)

    def single(self, pairs: Pairs) -> None:
        put, commit = self.at.put, self.at.commit
        for k, v in pairs:
            put(k, v)
            commit()

    def get(self, keys: list[bytes]) -> None:
        at = self.at
        for k in keys:
            at[k]

    def prefix(self, p: bytes) -> int:
        return count(self.at.query(p))

    def close(self) -> None:
        self.db.close()

    def paths(self) -> Iterable[Path]:
        return self.folder.glob("crdtkv.db*")


class Sqlite:
    """WAL, synchronous=FULL, a table without row ids; its default cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = sqlite3.connect(folder / "plain.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")

    def batched(self, pairs: Pairs) -> None:
        for part in cut(pairs):
            self.bulk(part)

    def bulk(self, pairs: Pairs) -> None:
        self.db.execute("BEGIN")
        self.db.executemany(UPSERT, pairs)
        self.db.execute("COMMIT")

    def single(self, pairs: Pairs) -> None:
        execute = self.db.execute
        for pair in pairs:
            execute(UPSERT, pair)

    def get(self, keys: list[bytes]) -> None:
        execute = self.db.execute
        for k in keys:
            execute("SELECT v FROM kv WHERE k = ?", (k,)).fetchone()[0]

    def prefix(self, p: bytes) -> int:
        return count(self.db.execute("SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k", (p, after(p))))

    def close(self) -> None:
        self.db.close()

    def paths(self) -> Iterable[Path]:
        return self.folder.glob("plain.db*")


class SqliteBulk(Sqlite):
    """The same, all in one transaction: what SQLite can do where nothing needs to be durable on the way."""

    def batched(self, pairs: Pairs) -> None:
        self.bulk(pairs)


class Lmdb:
    """Synced at each commit, as by default."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self.folder = folder / "lmdb"
        self.env = lmdb.open(str(self.folder), map_size=1 << 34)

    def batched(self, pairs: Pairs) -> None:
        for part in cut(pairs):
            with self.env.begin(write=True) as transaction:
                transaction.cursor().putmulti(part)

    def single(self, pairs: Pairs) -> None:
        for k, v in pairs:
            with self.env.begin(write=True) as transaction:
                transaction.put(k, v)

    def get(self, keys: list[bytes]) -> None:
        with self.env.begin() as transaction:
            get = transaction.get
            for k in keys:
                get(k)

    def prefix(self, p: bytes) -> int:
        with self.env.begin() as transaction:
            cursor, n = transaction.cursor(), 0
            if cursor.set_range(p):
                for k, _ in cursor.iternext():
                    if not k.startswith(p):
                        break
                    n += 1
        return n

    def close(self) -> None:
        self.env.close()

    def paths(self) -> Iterable[Path]:
        return [self.folder / "data.mdb"]


FILES: dict[str, tuple[str, Any]] = {  # name -> (module, class)
    "crdtkv": ("crdtkv", Crdtkv),
    "sqlite3": ("sqlite3", Sqlite),
    "sqlite3, bulk": ("sqlite3", SqliteBulk),
    "lmdb": ("lmdb", Lmdb),
}
