"""Keys and values as a plain table of SQLite, for whoever wants to query them with SQL."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

__all__ = ["write_table"]


def write_table(
    target: sqlite3.Connection | str | os.PathLike[str], table: str, items: Iterable[tuple[Any, Any]]
) -> int:
    """Make the table anew with these keys and values; the number of its rows. All or nothing."""
    if not isinstance(target, sqlite3.Connection):
        with closing(sqlite3.connect(target)) as connection:
            return write_table(connection, table, items)
    name = '"' + table.replace('"', '""') + '"'
    target.execute("SAVEPOINT crdtkv_to_sql")  # within a transaction of the caller, or one of its own
    try:
        target.execute(f"DROP TABLE IF EXISTS {name}")
        target.execute(f"CREATE TABLE {name} (key NOT NULL PRIMARY KEY, type TEXT NOT NULL, value) WITHOUT ROWID")
        target.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", rows(items))
        (n,) = target.execute(f"SELECT count(*) FROM {name}").fetchone()
    except BaseException:
        target.execute("ROLLBACK TO crdtkv_to_sql")
        raise
    finally:
        target.execute("RELEASE crdtkv_to_sql")
    return int(n)


def rows(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, str, Any]]:
    """(key, type, value) as SQLite takes them."""
    for key, value in items:
        if isinstance(value, list | dict):
            yield key, "json", json.dumps(value, default=in_json, ensure_ascii=False)
        else:
            yield key, "null" if value is None else type(value).__name__, value


def in_json(value: Any) -> dict[str, str]:
    """What JSON has no word for: bytes."""
    return {"bytes": base64.b64encode(value).decode()}
