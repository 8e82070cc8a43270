"""Files and what is in them, opened for a command: to be read, without a trace; or to be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import click

from crdtkv.cli.answers import BadBytesError, FileTrouble, No
from crdtkv.database import Database
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.errors import StoreError
from crdtkv.store import Store

__all__ = ["KINDS", "Kept", "find", "made", "reading", "with_history", "writing"]

Kept = Doc | Datastore | Store
KINDS = ("doc", "datastore", "store")
MAGIC = b"SQLite format 3\0"
APPLICATION = 68  # where SQLite has the application's number
OURS = b"CKV1"


@contextmanager
def reading(file: str) -> Iterator[Database]:
    """The file, for a look. Nothing is written, also no key, and a writer elsewhere is not in the way."""
    must_be_a_file(file)
    with opened(file, read_only=True) as db:
        yield db


@contextmanager
def writing(file: str) -> Iterator[Database]:
    """The file, for a change. It must be there."""
    must_be_a_file(file)
    if not os.path.exists(file):
        raise FileNotFoundError(2, "no such file; `crdtkv init` makes one", file)
    if os.path.getsize(file) == 0:
        raise BadBytesError(f"an empty file; `crdtkv init` makes a database of it: {file!r}")
    with opened(file, read_only=False) as db:
        yield db


def opened(file: str, *, read_only: bool) -> Database:
    """The file. BadBytesError: it never was one of ours."""
    try:
        return Database(file, read_only=read_only)
    except StoreError as error:
        if error.errno is None and not is_crdtkv_file(file):
            raise BadBytesError(str(error)) from None
        raise


def must_be_a_file(file: str) -> None:
    if file == ":memory:":
        raise click.UsageError("a database in memory is new and gone at once: give a file")
    if os.path.isdir(file):
        raise FileTrouble(f"a folder, not a file: {file!r}; give the path of a database in it")
    if os.path.exists(file) and not os.path.isfile(file):  # whoever opens a pipe waits for its other end
        raise FileTrouble(f"a device or a pipe, not a file: {file!r}; put it into a file first")


def is_crdtkv_file(file: str) -> bool:
    """Does it begin as our files do? Then what is wrong with it is damage."""
    with open(file, "rb") as look:
        head = look.read(100)
    return head.startswith(MAGIC) and head[APPLICATION : APPLICATION + 4] == OURS


def find(db: Database, name: str) -> Kept:
    """The object of a name. No: there is none."""
    kind = db.names().get(name)
    if kind is None:
        raise No(f"no such name: {name!r}; `crdtkv ls` lists them")
    return cast(Kept, getattr(db, kind)(name))


@contextmanager
def made(db: Database, name: str, kind: str | None, default: str = "datastore", **how: Any) -> Iterator[Kept]:
    """The object of a name, made if there is none; `kind` is what the user asked for.

    If nothing comes of it, what was made goes again.
    """
    there = db.names().get(name)
    if there is not None and kind not in (None, there):
        raise click.UsageError(f"{name!r} is a {there}, not a {kind}")
    kept = cast(Kept, getattr(db, there or kind or default)(name, **how))
    try:
        yield kept
    except BaseException:
        if there is None:
            db.delete(name)
        raise


def with_history(db: Database, name: str | None) -> Iterator[tuple[str, Doc | Datastore]]:
    """(name, object) of what keeps changes: one, or all. A store keeps none."""
    if name is None:
        for each, kind in db.names().items():
            if kind != "store":
                yield each, getattr(db, kind)(each)
        return
    kept = find(db, name)
    if isinstance(kept, Store):
        raise click.UsageError(f"{name!r} is a store: it keeps no history")
    yield name, kept
