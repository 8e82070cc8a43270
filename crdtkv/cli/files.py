"""Files as a whole: init, ls, show, check, verify, stats, compact."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import click

from crdtkv.cli.answers import Exit, FileTrouble
from crdtkv.cli.command import ANY_NAME, FILE, NAME, TEXT, command, screen_of
from crdtkv.cli.keys import plain
from crdtkv.cli.paths import walk
from crdtkv.cli.progress import Work
from crdtkv.cli.screen import Cell, clean, shown_key
from crdtkv.cli.target import find, must_be_a_file, reading, writing
from crdtkv.database import Database
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.equivocation import Equivocation, verify_equivocation
from crdtkv.errors import DecodeError, SignatureError, StoreError
from crdtkv.store import Store

__all__ = ["check", "compact", "init", "ls", "show", "stats", "verify"]


@command("init")
@FILE
@click.pass_context
def init(ctx: click.Context, file: str) -> None:
    """Make a new, empty FILE, and beside it the key that signs what you write, FILE.key."""
    screen = screen_of(ctx)
    must_be_a_file(file)
    if os.path.lexists(file) and not is_empty(file):
        raise FileTrouble(f"{file}: there is something already; nothing was changed")
    with Database(file) as db:
        author = db.identity.public_key.hex()
    if screen.json:
        screen.value({"file": file, "author": author})
    else:
        screen.write(f"{clean(file)} is ready; what you write there is signed by {author[:16]}\n")


@command("ls")
@FILE
@ANY_NAME
@click.pass_context
def ls(ctx: click.Context, file: str, name: str | None) -> None:
    """List the names in FILE, or the keys of NAME, each with its kind."""
    screen = screen_of(ctx)
    with reading(file) as db:
        rows: Iterable[tuple[str, str]]
        if name is None:
            rows = [(each, str(kind)) for each, kind in db.names().items()]
        else:
            kept: Any = find(db, name)
            rows = ((shown_key(key) if not isinstance(key, str) else key, kind_of(kept[key])) for key in kept)
        if screen.json:
            screen.value(dict(rows))
        else:
            titles = ("name", "kind") if name is None else ("key", "kind")
            screen.table(titles, (((each, "bold cyan"), (kind, "dim")) for each, kind in rows))


def is_empty(file: str) -> bool:
    """A file of no bytes, such as mktemp makes, may become a database."""
    return os.path.isfile(file) and not os.path.islink(file) and os.path.getsize(file) == 0


def kind_of(value: Any) -> str:
    """What a value is, in one word."""
    return "null" if value is None else type(value).__name__.lower()


@command("show")
@FILE
@NAME
@click.argument("path", type=TEXT, required=False)
@click.pass_context
def show(ctx: click.Context, file: str, name: str, path: str | None) -> None:
    """Show all of NAME, or what is at PATH in it: items/0/title, or '["items", 0, "title"]'."""
    screen = screen_of(ctx)
    with reading(file) as db:
        value = plain(walk(find(db, name), path or ""))
    if screen.json:
        screen.value(value)
    elif isinstance(value, str):
        screen.text(value)
    else:
        screen.tree(path or name, value)


# ---- is all well?


@command("check")
@FILE
@click.pass_context
def check(ctx: click.Context, file: str) -> None:
    """Look for damage: every page, record, hash and signature. Exit code 1: there are findings, a line each."""
    screen = screen_of(ctx)
    with screen.busy("checking") as work:
        found = findings(file, work)
    if screen.json:
        screen.value(found)
    else:
        for line in found:
            screen.line((line, "red"))
        if not found:
            screen.write("all is well\n")
    if found:
        ctx.exit(Exit.NO)


def findings(file: str, work: Work) -> list[str]:
    """What is wrong with a file of ours."""
    try:
        with reading(file) as db:
            return db._check_through(work.steps)
    except (StoreError, DecodeError) as error:
        if getattr(error, "errno", None) is not None:  # the device, not the bytes on it
            raise
        return [str(error)]


@command("verify")
@FILE
@click.pass_context
def verify(ctx: click.Context, file: str) -> None:
    """Believe nothing: take every change in anew, signature by signature, and name who told two stories.

    Exit code 1: something does not hold, or somebody lied.
    """
    screen = screen_of(ctx)
    with screen.busy("checking") as work:
        found = findings(file, work)
    said: dict[str, Any] = {}
    with suppress(StoreError, DecodeError), reading(file) as db:
        for name in screen.steps("verifying", list(db.names())):
            try:
                kept = find(db, name)
                said[name] = {"kind": db.names()[name]} | ({} if isinstance(kept, Store) else verified(kept))
            except (StoreError, DecodeError) as error:
                found += [f"{name!r}: {error}"] * (f"{name!r}: {error}" not in found)
    found += [f"{name!r}: {line}" for name, about in said.items() for line in about.pop("findings", ())]
    lies = [lie for about in said.values() for lie in about.get("equivocations", ())]
    if screen.json:
        screen.value({"ok": not found and not lies, "findings": found, "names": said})
    else:
        for line in found:
            screen.line((line, "red"))
        screen.table(("name", "changes", "root"), verdicts(said))
    if found or lies:
        ctx.exit(Exit.NO)


def verified(kept: Doc | Datastore) -> dict[str, Any]:
    """What a replica that knows nothing makes of all changes of this one."""
    of: Any = Doc if isinstance(kept, Doc) else Datastore
    fresh = of(id=kept.id)
    report = fresh.apply(kept.save())
    wrong = [f"refused: {refusal.reason}" for refusal in report.refused]
    if fresh.root != kept.root:
        wrong.append("a replica that takes it all in comes to another root")
    changes = kept.changes()
    lies = []
    for lie in kept.equivocations():
        about = told(lie)
        try:
            if verify_equivocation(lie.proof) != lie.author:
                wrong.append(f"the proof against {about['author']} convicts somebody else")
        except (DecodeError, SignatureError) as error:
            wrong.append(f"the proof against {about['author']} does not hold: {error}")
        lies.append(about)
    return {
        "changes": len(changes),
        "authors": sorted({change.author.hex() for change in changes}),
        "void": sum(change.void is not None for change in changes),
        "root": kept.root.hex(),
        "equivocations": lies,
        "findings": wrong,
    }


def told(lie: Equivocation) -> dict[str, Any]:
    """An equivocation as JSON has it."""
    return {
        "author": lie.author.hex(),
        "lane": lie.lane.hex(),
        "seq": lie.seq,
        "a": lie.a.hex(),
        "b": lie.b.hex(),
        "proof": lie.proof,
    }


def verdicts(said: dict[str, Any]) -> Iterator[list[Cell]]:
    """A line for each name, and one for each lie."""
    for name, about in said.items():
        if about["kind"] == "store":
            yield [(name, "bold cyan"), "a store: nothing in it is signed"]
            continue
        n, authors = about["changes"], len(about["authors"])
        whose = f"{n} change{'s' * (n != 1)} of {authors} author{'s' * (authors != 1)}"
        yield [(name, "bold cyan"), whose, f"root {about['root'][:16]}"]
        for lie in about["equivocations"]:
            stories = f"{lie['a'][:8]} and {lie['b'][:8]}"
            told = f"author {lie['author'][:16]} told two stories as number {lie['seq']}: {stories}"
            yield [(name, "bold cyan"), (told, "red")]


# ---- figures


@command("stats")
@FILE
@ANY_NAME
@click.pass_context
def stats(ctx: click.Context, file: str, name: str | None) -> None:
    """Print figures of FILE, or of NAME in it."""
    screen = screen_of(ctx)
    with reading(file) as db:
        figures: dict[str, Any] = db.stats() if name is None else find(db, name).stats()
    if screen.json:
        screen.value(figures)
    else:
        rows = ((key, f"{n:,}" if type(n) is int and screen.is_terminal else str(n)) for key, n in figures.items())
        screen.table(("figure", ""), rows)


@command("compact")
@FILE
@ANY_NAME
@click.pass_context
def compact(ctx: click.Context, file: str, name: str | None) -> None:
    """Make FILE small, or only what NAME takes: superseded bodies of datastores go, content and roots stay."""
    screen = screen_of(ctx)
    with screen.busy("compacting") as work, writing(file) as db:
        sizes = db._compact_through(work.steps) if name is None else compacted(db, name)
    if screen.json:
        screen.value(sizes)
    else:
        screen.write(f"{sizes['before']:,} bytes before, {sizes['after']:,} after\n")


def compacted(db: Database, name: str) -> dict[str, Any]:
    """Of a datastore what is dead goes, of others the record is written anew. "before" and "after" in bytes."""
    kept = find(db, name)
    if isinstance(kept, Datastore):
        return kept.compact()
    before = db.stats()["bytes"]
    kept._compact()
    return {"before": before, "after": db.stats()["bytes"]}
