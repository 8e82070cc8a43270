"""What happened, and who did it: log, graph, diff, blame."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import click

from crdtkv import _core
from crdtkv.cli.answers import No
from crdtkv.cli.command import ANY_NAME, COUNT, FILE, NAME, TEXT, CountType, command, screen_of
from crdtkv.cli.keys import plain
from crdtkv.cli.lanes import colour, drawn, legend, ops
from crdtkv.cli.paths import holder_of, walk
from crdtkv.cli.screen import Cell, Screen, clean_text, shown
from crdtkv.cli.target import Kept, find, reading, with_history
from crdtkv.database import Database
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.graph import Node
from crdtkv.patch import MISSING, Patch, PatchList
from crdtkv.store import Store
from crdtkv.text import Text

__all__ = ["blame", "diff", "graph", "log", "version"]

HEX = re.compile(r"[0-9a-fA-F]{1,64}")


def when(ms: int | None) -> str:
    """A time as people read it, in UTC; whoever lied about it may have named none."""
    if ms is None:
        return "open"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


# ---- log


@command("log")
@FILE
@ANY_NAME
@click.option("--limit", "-n", type=COUNT, help="At most so many.")
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.pass_context
def log(ctx: click.Context, file: str, name: str | None, limit: int | None, reverse: bool) -> None:
    """List the changes of NAME, or of all names, newest first: id, name, author, time, ops, message."""
    screen = screen_of(ctx)
    with reading(file) as db:
        found = list(in_time(db, name))
        rows = (found if reverse else found[::-1])[:limit]
        if screen.json:
            screen.values(change_in_json(each, change) for each, change in rows)
            return
        screen.table(("id", "name", "author", "time", "ops", "message"), (row_of(*pair) for pair in rows))


def row_of(name: str, change: _core.Change) -> list[Cell]:
    """A line of the log."""
    says = [change.message] if change.message else []
    says += [f"(void: {change.void})"] * (change.void is not None)
    return [
        (change.id.hex()[:8], "yellow"),
        (name, "bold cyan"),
        change.author.hex()[:8],
        when(change.time),
        ops(change.n_ops),
        " ".join(says),
    ]


def in_time(db: Database, name: str | None) -> Iterator[tuple[str, _core.Change]]:
    """The changes of one name or of all, by time; within a name no clock that lies puts one before its parents."""

    def rising(each: str, kept: Doc | Datastore) -> Iterator[tuple[int, str, _core.Change]]:
        latest = 0
        for change in kept.changes():
            latest = max(latest, change.time)
            yield latest, each, change

    lists = [rising(each, kept) for each, kept in with_history(db, name)]
    for _, each, change in heapq.merge(*lists, key=itemgetter(0)):
        yield each, change


def place_in_json(name: str, change: _core.Change | Node) -> dict[str, Any]:
    """Which change it is, and where in the hash graph of what."""
    return {
        "id": change.id.hex(),
        "name": name,
        "dag": change.dag,
        "author": change.author.hex(),
        "lane": change.lane.hex(),
        "seq": change.seq,
        "prev": change.prev and change.prev.hex(),
        "parents": [parent.hex() for parent in change.parents],
    }


def change_in_json(name: str, change: _core.Change) -> dict[str, Any]:
    """A change as JSON has it."""
    return {
        **place_in_json(name, change),
        "time": change.time,
        "message": change.message,
        "n_ops": change.n_ops,
        "signed": change.signed,
        "void": change.void,
    }


# ---- graph


@command("graph")
@FILE
@ANY_NAME
@click.option("--limit", type=CountType(min=1), default=200, help="The newest so many changes (200).")
@click.option("--dot", is_flag=True, help="In the language of Graphviz.")
@click.option("--svg", is_flag=True, help="As an SVG picture.")
@click.pass_context
def graph(ctx: click.Context, file: str, name: str | None, limit: int, dot: bool, svg: bool) -> None:
    """Draw the hash graph of NAME, or of all names: lanes as columns, newest change first."""
    screen = screen_of(ctx)
    if dot + svg + screen.json > 1:
        raise click.UsageError("one of --json, --dot and --svg")
    with reading(file) as db:
        found = [(each, kept.graph(limit)) for each, kept in with_history(db, name)]
    if (dot or svg) and len(found) != 1:
        raise click.UsageError("which NAME? A picture has one graph")
    if screen.json:
        screen.values(node_in_json(each, node) for each, picture in found for node in picture)
    elif dot:
        screen.text(found[0][1].to_dot())
    elif svg:
        screen.text(found[0][1]._repr_svg_())
    else:
        for each, picture in found:
            draw(screen, each, list(picture), picture.n_left_out)


def draw(screen: Screen, name: str, nodes: list[Node], n_older: int) -> None:
    """One graph with its legend."""
    screen.line((name, "bold cyan"))
    screen.table(("lanes", "change", "id", "ops", "marks"), drawn(nodes))
    if n_older:
        screen.line(f"and {n_older} older changes")
    screen.table(("lane", "id", "author", "DAG"), legend(nodes))


def node_in_json(name: str, node: Node) -> dict[str, Any]:
    """A node of a graph as JSON has it."""
    return {
        **place_in_json(name, node),
        "n_ops": node.n_ops,
        "head": node.is_head,
        "fork": node.is_fork,
        "void": node.void,
    }


# ---- diff


def version(kept: Doc | Datastore, words: str) -> tuple[bytes, ...]:
    """A version as people write it: `heads`, `empty`, or the beginnings of ids with commas between them."""
    if words == "heads":
        return kept.heads
    if words == "empty":
        return ()
    ids = sorted(change.id for change in kept.changes())
    return tuple(full_id(ids, word) for word in words.split(","))


def full_id(ids: list[bytes], word: str) -> bytes:
    """The id that begins so. No: there is none; a usage error: there are several, or these are no hex digits."""
    if not HEX.fullmatch(word):
        raise click.UsageError(f"a version is `heads`, `empty` or ids in hex, not {word!r}")
    found = [id for id in ids if id.hex().startswith(word.lower())]
    if not found:
        raise No(f"no change has an id that begins with {word}; `crdtkv log` lists them")
    if len(found) > 1:
        raise click.UsageError(f"{len(found)} ids begin with {word}: give more digits")
    return found[0]


@command("diff")
@FILE
@NAME
@click.argument("a", type=TEXT)
@click.argument("b", type=TEXT)
@click.pass_context
def diff(ctx: click.Context, file: str, name: str, a: str, b: str) -> None:
    """Show what turns version A of NAME into version B.

    A version is `heads`, `empty`, or the beginnings of ids from `log`, with commas between them.
    """
    screen = screen_of(ctx)
    with reading(file) as db:
        kept = find(db, name)
        if isinstance(kept, Store):
            raise click.UsageError(f"{name!r} is a store: it keeps no history")
        old, new = version(kept, a), version(kept, b)
        steps = kept.diff(old, new) if isinstance(kept, Doc) else turned(kept, old, new)
    if screen.json:
        screen.values(map(patch_in_json, steps))
        return
    screen.table(("path", "kind", "at", "old or new", "new"), map(step_row, steps))


def step_row(step: Patch) -> list[Cell]:
    """A line of a diff: what was, if anything, and what is, if anything."""
    where = "/".join(map(str, step.path)) or "."
    return [(where, "bold cyan"), step.kind, shown(step.position), *was(step), *becomes(step)]


def turned(kv: Datastore, a: tuple[bytes, ...], b: tuple[bytes, ...]) -> PatchList:
    """The same for a datastore: both versions are made in memory, and compared key by key."""
    old, new = (kv.fork(heads=version).to_py() for version in (a, b))
    steps = PatchList(Patch((), "remove", key, old[key]) for key in old if key not in new)  # type: ignore[arg-type]
    for key, value in new.items():
        before = old.get(key, MISSING)
        if before is MISSING or shown(before) != shown(value):  # 1, 1.0 and True are three values
            steps.append(Patch((), "set", key, before, value))  # type: ignore[arg-type]
    return steps


def was(step: Patch) -> list[Cell]:
    return [] if step.old is MISSING else [(f"- {shown(step.old)}", "red")]


def becomes(step: Patch) -> list[Cell]:
    return [] if step.new is MISSING else [(f"+ {shown(step.new)}", "green")]


def patch_in_json(step: Patch) -> dict[str, Any]:
    """A patch as JSON has it; `old` and `new` are left out where there is none."""
    said = {"path": list(step.path), "kind": step.kind, "position": step.position}
    return said | {key: value for key, value in (("old", step.old), ("new", step.new)) if value is not MISSING}


# ---- blame


@command("blame")
@FILE
@NAME
@click.argument("path", type=TEXT)
@click.pass_context
def blame(ctx: click.Context, file: str, name: str, path: str) -> None:
    """Show who wrote what is at PATH: each piece of a text, or the history of a key."""
    screen = screen_of(ctx)
    with reading(file) as db:
        kept = find(db, name)
        if isinstance(kept, Store):
            raise click.UsageError(f"{name!r} is a store: it does not know who wrote what; `get` shows the value")
        what = walk(kept, path)
        if isinstance(what, Text):
            runs = list(pieces(kept, what))
            if screen.json:
                screen.values(runs)
            else:
                show_pieces(screen, runs)
            return
        holder, key = holder_of(kept, path)
        writes = [written(entry) for entry in holder.history(key)] if hasattr(holder, "history") else None
    if writes is None:
        raise click.UsageError(f"{path!r} is inside a value that is written as a whole: blame its key")
    if screen.json:
        screen.values(writes)
        return
    screen.table(("change", "author", "time", "kind", "value"), map(write_row, writes))


def write_row(write: dict[str, Any]) -> list[Cell]:
    """A line of the history of a key."""
    change = (write["change"] or "")[:8]
    return [(change, "yellow"), write["author"][:8], when(write["time"]), write["kind"], shown(write["value"])]


def pieces(kept: Kept, text: Text) -> Iterator[dict[str, Any]]:
    """The runs of a text, each by one change."""
    times = {change.id: change.time for change in kept.changes()} if isinstance(kept, Doc) else {}
    content = str(text)
    for start, end, author, change in text.blame():
        yield {
            "start": start,
            "end": end,
            "text": content[start:end],
            "author": author.hex(),
            "change": change.hex(),
            "time": times.get(change),
        }


def show_pieces(screen: Screen, runs: list[dict[str, Any]]) -> None:
    """In a pipe a line for each run; on a terminal the text, coloured by author, above it."""
    column: dict[str, int] = {}
    for run in runs:
        column.setdefault(run["author"], len(column))
    if screen.is_terminal:
        for run in runs:
            screen.write(screen.painted((run["text"], colour(column[run["author"]])), clean_text))
        screen.write("\n\n")

    def row(run: dict[str, Any]) -> list[Cell]:
        author: Cell = (run["author"][:8], colour(column[run["author"]]))
        where = f"{run['start']}-{run['end']}"
        return [where, author, (run["change"][:8], "yellow"), when(run["time"]), shown(run["text"])]

    screen.table(("from-to", "author", "change", "time", "text"), map(row, runs))


def written(entry: Any) -> dict[str, Any]:
    """An entry of a history as JSON has it."""
    return {
        "kind": entry.kind,
        "value": None if entry.value is MISSING else plain(entry.value),
        "author": entry.author.hex(),
        "change": entry.change and entry.change.hex(),
        "time": entry.time,
    }
