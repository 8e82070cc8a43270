"""Keys and values: get, put, del, query, count. They work on datastores and stores, and on the root of documents."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import click

from crdtkv.cli.answers import No
from crdtkv.cli.command import FILE, KEY, NAME, TEXT, arguments, command, hexed, screen_of
from crdtkv.cli.jsonout import parse
from crdtkv.cli.screen import shown, shown_key
from crdtkv.cli.target import KINDS, Kept, find, made, reading, writing
from crdtkv.datastore import Counters, Datastore
from crdtkv.doc import Doc
from crdtkv.ordered import Key, order
from crdtkv.store import Store
from crdtkv.text import Text

__all__ = ["count", "delete", "get", "put", "query"]

HEX = click.option("--hex", "is_hex", is_flag=True, help="Keys are bytes, given in hex.")


def plain(value: Any) -> Any:
    """A value without handles."""
    return value.to_py() if hasattr(value, "to_py") else value


# ---- one key


@command("get")
@FILE
@NAME
@KEY
@HEX
@click.option("--raw", is_flag=True, help="Print text and bytes exactly as they are, whatever they do to a terminal.")
@click.option(
    "--all", "all_values", is_flag=True, help="All values that were put at the same time, the shown one first."
)
@click.pass_context
def get(ctx: click.Context, file: str, name: str, key: str, is_hex: bool, raw: bool, all_values: bool) -> None:
    """Print the value of KEY. Exit code 1: it is not there."""
    screen = screen_of(ctx)
    with reading(file) as db:
        kept: Any = find(db, name)
        place = key_for(kept, key, is_hex)
        with arguments():
            if place not in kept:
                raise No(f"no such key: {key!r}")
        value = concurrent(kept, place) if all_values else plain(kept[place])
    if all_values and not screen.json:
        for each in value:
            screen.line(shown(each))
    elif screen.json:
        screen.value(value)
    elif raw and isinstance(value, str | bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(value.encode() if isinstance(value, str) else value)
    elif isinstance(value, str):
        screen.text(value)
    else:
        screen.write(shown(value) + "\n")


def key_for(kept: Kept, key: str, is_hex: bool) -> Any:
    """A key as it was meant, of the kind that what is kept there has: text; bytes too, but for documents."""
    place = hexed(key, is_hex)
    if isinstance(kept, Doc) and isinstance(place, bytes):
        raise click.UsageError("the keys of a document are text")
    return place


def concurrent(kept: Kept, key: Any) -> list[Any]:
    """The values of a key that nobody has superseded."""
    if isinstance(kept, Store):
        return [entry.value for entry in kept.conflicts(key)]
    return list(map(plain, kept.conflicts(key).values()))


@command("put")
@FILE
@NAME
@KEY
@click.argument("value", required=False)
@HEX
@click.option("--bytes", "is_bytes", is_flag=True, help="Store the value as bytes, as they are.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the value from stdin, to its end.")
@click.option(
    "--text", "is_text", is_flag=True, help="In a document: a text that people edit together; changed, not replaced."
)
@click.option("--kind", type=click.Choice(KINDS), help="What a new NAME is (default: datastore).")
@click.option("--message", "-m", type=TEXT, help="What the change says of itself.")
@click.pass_context
def put(
    ctx: click.Context,
    file: str,
    name: str,
    key: str,
    value: str | None,
    is_hex: bool,
    is_bytes: bool,
    from_stdin: bool,
    is_text: bool,
    kind: str | None,
    message: str | None,
) -> None:
    """Set KEY to VALUE: JSON if it parses, else the text itself.

    A NAME that is not there is made, as a datastore unless --kind says otherwise.
    """
    screen = screen_of(ctx)
    if (value is None) != from_stdin:
        raise click.UsageError("give a VALUE or --stdin" if value is None else "give a VALUE or --stdin, not both")
    data = sys.stdin.buffer.read() if from_stdin else os.fsencode(value or "")
    try:
        content: Any = data if is_bytes else data.decode()
    except UnicodeDecodeError:
        raise click.UsageError("the value is not UTF-8; --bytes takes it as it is") from None
    with writing(file) as db, arguments():
        if not is_bytes and not is_text:
            content = parse(content)
        with made(db, name, kind, "doc" if is_text else "datastore") as kept:
            place = key_for(kept, key, is_hex)
            change: Any = None
            if isinstance(kept, Store):
                kept[place] = content
                kept.commit()
            elif isinstance(kept, Datastore):
                batch = kept.batch(message=message)
                batch.put(place, content)
                change = batch.commit()
            else:
                change = put_in_doc(kept, place, content, is_text, message)
        said = {"name": name, "kind": db.names()[name], "change": change and change.id.hex()}
    if screen.json:
        screen.value(said)


def put_in_doc(doc: Doc, key: str, content: Any, is_text: bool, message: str | None) -> Any:
    """Sets a key of the root; its change, or None if nothing had to be changed."""
    old = doc.get(key)
    if not is_text:
        doc[key] = content
    elif isinstance(old, Text):
        old.update(content)
    else:
        doc[key] = Text(content)
    return doc.commit(message)


@command("del")
@FILE
@NAME
@KEY
@HEX
@click.pass_context
def delete(ctx: click.Context, file: str, name: str, key: str, is_hex: bool) -> None:
    """Delete KEY. Exit code 1: it is not there."""
    screen = screen_of(ctx)
    with writing(file) as db, arguments():
        kept: Any = find(db, name)
        place = key_for(kept, key, is_hex)
        if place not in kept:
            raise No(f"no such key: {key!r}")
        del kept[place]
        change = kept.commit()
        said = {"name": name, "kind": db.names()[name], "change": change and change.id.hex()}
    if screen.json:
        screen.value(said)


# ---- many keys


@command("query")
@FILE
@NAME
@click.option("--prefix", type=TEXT, default="", help="Only keys that begin with it.")
@click.option("--after", type=TEXT, help="Only keys beyond it, in the direction of travel.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many first.")
@click.option("--reverse", is_flag=True, help="Greatest key first.")
@click.option("--keys-only", is_flag=True, help="Keys without values.")
@click.option("--counters", is_flag=True, help="The counters of a datastore and their totals, instead.")
@HEX
@click.pass_context
def query(
    ctx: click.Context,
    file: str,
    name: str,
    prefix: str,
    after: str | None,
    limit: int | None,
    offset: int,
    reverse: bool,
    keys_only: bool,
    counters: bool,
    is_hex: bool,
) -> None:
    """Print keys and values in order of the keys' bytes."""
    screen = screen_of(ctx)
    with reading(file) as db:
        beyond = None if after is None else hexed(after, is_hex)
        kept = find(db, name)
        if counters and not isinstance(kept, Datastore):
            raise click.UsageError(f"{name!r} is a {db.names()[name]}: only datastores have counters by name")
        mapping = kept.counters() if counters else kept  # type: ignore[union-attr]
        found = entries(mapping, hexed(prefix, is_hex), beyond, reverse, keys_only)
        rows = islice(found, offset, None if limit is None else offset + limit)
        if screen.json:
            screen.values(rows)
        elif keys_only:
            for key in rows:
                screen.line((shown_key(key), "bold cyan"))
        else:
            for key, value in rows:
                screen.line((shown_key(key), "bold cyan"), shown(value))


def entries(kept: Kept | Counters, prefix: Key, after: Key | None, reverse: bool, keys_only: bool) -> Iterator[Any]:
    """The keys (and values) with a prefix and beyond another key, whichever kind it is."""
    if isinstance(kept, Datastore):
        yield from kept.query(prefix, keys_only=keys_only, reverse=reverse, after=after)
        return
    mapping: Any = kept
    start, end = order(prefix)[0], None if after is None else order(after)[0]
    if isinstance(kept, Store):
        keys: Iterable[Any] = kept.keys(prefix, reverse=reverse)
    else:
        keys = reversed(list(kept)) if reverse else kept
    for key in keys:
        place = order(key)[0]
        if place.startswith(start) and (end is None or (place < end if reverse else place > end)):
            yield key if keys_only else (key, plain(mapping[key]))


@command("count")
@FILE
@NAME
@click.option("--prefix", type=TEXT, help="Only keys that begin with it.")
@click.pass_context
def count(ctx: click.Context, file: str, name: str, prefix: str | None) -> None:
    """Print how many keys there are."""
    screen = screen_of(ctx)
    with reading(file) as db:
        kept = find(db, name)
        n = len(kept) if prefix is None else sum(1 for _ in entries(kept, prefix, None, False, True))
    screen.value(n) if screen.json else screen.line(str(n))
