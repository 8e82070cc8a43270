"""What documents, datastores and stores have in common, for tests of the file that keeps them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import crdtkv as ck

KINDS = ("doc", "datastore", "store")


def edit(kept: Any, key: str, value: Any) -> None:
    """A lone edit, which the open change holds."""
    kept[key] = value


def put(kept: Any, key: str, value: Any) -> None:
    """A change of its own, on disk when this returns."""
    kept[key] = value
    kept.commit()


def content(kept: Any) -> dict[Any, Any]:
    return kept.to_py() if isinstance(kept, ck.Doc) else dict(kept)


def child(program: str, *args: object) -> subprocess.Popen[bytes]:
    """Another process that runs a program, with pipes on both ends."""
    command = [sys.executable, "-X", "dev", "-c", program, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def sql(path: str | Path, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    """What a stranger does to a closed file."""
    db = sqlite3.connect(path)
    try:
        with db:
            return db.execute(statement, params).fetchall()
    finally:
        db.close()
