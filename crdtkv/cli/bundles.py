"""Files that travel: export and import of one name as a bundle, backup of all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from typing import Any, BinaryIO, cast

import click

from crdtkv import _core
from crdtkv.cli.answers import BadBytesError, No
from crdtkv.cli.command import FILE, NAME, command, screen_of
from crdtkv.cli.history import version
from crdtkv.cli.screen import clean
from crdtkv.cli.target import find, made, reading, writing
from crdtkv.database import Database
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.errors import DecodeError
from crdtkv.store import Store

__all__ = ["backup", "export", "import_"]

DOC, DATASTORE, STORE = b"CKB", b"CKD", b"V"  # how bundles and saved stores begin
LARGEST = 256 << 20  # bytes that are read from a pipe
NOTHING = "no bundle of a document or datastore, and no saved store"


@command("export")
@FILE
@NAME
@click.argument("out", type=click.Path())
@click.option("--since", metavar="VERSION", help="Only what this version lacks: ids, with a comma between them.")
@click.pass_context
def export(ctx: click.Context, file: str, name: str, out: str, since: str | None) -> None:
    """Write NAME with all its history to OUT, as a bundle for `import` elsewhere; "-" is stdout."""
    screen = screen_of(ctx)
    if out == "-" and screen.json:
        raise click.UsageError("stdout cannot have both the bundle and JSON")
    if out == "-" and sys.stdout.isatty():
        raise click.UsageError("a bundle is no text: give a file, or a pipe")
    with screen.busy("exporting"), reading(file) as db:
        kept = find(db, name)
        if since is None:
            data = kept.save()
        elif isinstance(kept, Store):
            raise click.UsageError(f"{name!r} is a store: it keeps no history")
        else:
            data = kept.export(version(kept, since))
    if out == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    write_whole(out, data)
    if screen.json:
        screen.value({"name": name, "out": out, "size": len(data)})
    else:
        screen.write(f"{clean(out)}: {len(data):,} bytes\n")


def write_whole(path: str, data: bytes) -> None:
    """A file that is there whole or not at all, and may be read by whom the old one was; what is no plain file is
    written to as it is.
    """
    mode = None
    if os.path.lexists(path):
        if os.path.islink(path) or not os.path.isfile(path):
            with open(path, "wb") as device:
                device.write(data)
            return
        mode = stat.S_IMODE(os.stat(path).st_mode)
    try:
        handle, new = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".crdtkv-")
    except OSError as error:
        error.filename = path
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if mode is None:
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        os.chmod(new, mode)
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


@command("import")
@FILE
@NAME
@click.argument("source", metavar="IN", type=click.Path())
@click.pass_context
def import_(ctx: click.Context, file: str, name: str, source: str) -> None:
    """Take a bundle in; "-" is stdin. A NAME that is not there is made, of the kind and id of the bundle.

    What is bad inside is left out and reported, the rest lands; then the exit code is 4. So are changes whose ancestors
    are not here, which a file does not keep; then it is 1, and the bundle can come again after its ancestors.
    """
    screen = screen_of(ctx)
    with writing(file) as db:
        if source == "-":
            data = bundle_of(sys.stdin.buffer)
        else:
            with open(source, "rb") as opened:
                data = bundle_of(opened)
        with screen.busy(f"importing {len(data):,} bytes"):
            kind, report = taken_in(db, name, data)
    refused = [refusal.reason for refusal in report["refused"]]
    if screen.json:
        ids = {key: [as_text(kind, id) for id in report[key]] for key in ("applied", "void", "waiting")}
        screen.value({"name": name, "kind": kind, **ids, "known": report["known"], "refused": refused})
    else:
        words = [f"{len(report[key])} {key}" for key in ("applied", "void", "waiting", "refused") if report[key]]
        words += [f"{report['known']} known"] * bool(report["known"])
        screen.write(f"{clean(name)}: {', '.join(words) or 'nothing new'}\n")
    if refused:
        raise BadBytesError(f"{len(refused)} refused: {refused[0]}")
    if report["waiting"]:
        raise No(
            f"{len(report['waiting'])} left out, whose ancestors are not here: import these first, then this again"
        )


def bundle_of(stream: BinaryIO) -> bytes:
    """All of it, if it begins as one, and if it ends: what is no file may go on for ever."""
    data = stream.read(len(DOC))
    if not data.startswith((DOC, DATASTORE, STORE)):
        raise BadBytesError(NOTHING)
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return data + stream.read()
    data += stream.read(LARGEST + 1 - len(data))
    if len(data) > LARGEST:
        raise BadBytesError(f"more than {LARGEST >> 20} MiB, and it does not end: put it into a file first")
    return data


def as_text(kind: str, what: Any) -> Any:
    """The id of a change, in hex; of a store, a key."""
    return what if kind == "store" else what.hex()


def taken_in(db: Database, name: str, data: bytes) -> tuple[str, dict[str, Any]]:
    """The kind of a bundle, and what became of its content."""
    there = db.names().get(name)
    kind, uid = what_is(data)
    if there not in (None, kind):
        raise BadBytesError(f"a bundle of a {kind}, but {name!r} is a {there}")
    if kind == "store":
        return kind, store_taken_in(db, name, data)
    with made(db, name, kind, id=None if there else uid) as kept:
        report = cast(Doc | Datastore, kept).apply(data)
    if there is None and not report and (report.refused or report.waiting):  # nothing of it is any good here
        db.delete(name)
    return kind, {key: getattr(report, key) for key in ("applied", "void", "waiting", "refused", "known")}


def what_is(data: bytes) -> tuple[str, bytes | None]:
    """What a bundle is one of, and which."""
    if data.startswith(DOC):
        return "doc", _core._doc_id_of(data)
    if data.startswith(DATASTORE):
        return "datastore", _core._datastore_id_of(data)
    try:
        Store.load(data)
    except DecodeError:
        raise BadBytesError(NOTHING) from None
    return "store", None


def store_taken_in(db: Database, name: str, data: bytes) -> dict[str, Any]:
    """A store has no changes: what is applied are keys."""
    other = Store.load(data)
    if name not in db.names():
        kept, applied = db.add(name, other), tuple(other)
    else:
        kept = cast(Store, find(db, name))
        applied = kept.integrate_diff(other.build_diff(kept.request_diff())).applied
    kept.commit()
    news = set(applied)  # also keys that are gone there
    known = sum(key not in news for key in other)
    return {"applied": applied, "void": (), "waiting": (), "refused": (), "known": known}


@command("backup")
@FILE
@click.argument("dest", type=click.Path())
@click.pass_context
def backup(ctx: click.Context, file: str, dest: str) -> None:
    """Write a consistent copy of FILE to DEST, also while somebody writes. The key file is not copied."""
    screen = screen_of(ctx)
    os.stat(os.path.dirname(dest) or ".")  # so that it is the folder that is named, if it is not there
    with screen.busy("copying") as work, reading(file) as db:
        work.towards(db.stats()["bytes"], lambda: size_of(f"{dest}-new"))
        db.backup(dest)
    size = os.path.getsize(dest)
    if screen.json:
        screen.value({"file": file, "dest": dest, "size": size})
    else:
        screen.write(f"{clean(dest)}: {size:,} bytes\n")


def size_of(path: str) -> int:
    """Of a copy that grows there; 0 before and after."""
    with suppress(OSError):
        return os.path.getsize(path)
    return 0
