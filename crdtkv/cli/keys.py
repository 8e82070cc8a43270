"""Keys and values: get, put, del, query, count. They work on datastores and stores, and on the root of documents."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import click

from crdtkv.cli.answers import No
from crdtkv.cli.command import COUNT, FILE, KEY, NAME, TEXT, arguments, command, hexed, screen_of
from crdtkv.cli.jsonout import parse, parse_pairs
from crdtkv.cli.paths import new_spot, spot_of
from crdtkv.cli.screen import shown, shown_key
from crdtkv.cli.target import KINDS, Kept, find, made, reading, writing
from crdtkv.datastore import Counters, Datastore
from crdtkv.doc import Doc
from crdtkv.ordered import Key, order
from crdtkv.store import Store
from crdtkv.text import Text

__all__ = ["count", "delete", "get", "put", "query"]

LARGEST = 16 << 20  # bytes of JSON that are read from stdin
HEX = click.option("--hex", "is_hex", is_flag=True, help="Keys are bytes, given in hex.")


def plain(value: Any) -> Any:
    """A value without handles."""
    return value.to_py() if hasattr(value, "to_py") else value


PATH = click.option(
    "--path", "is_path", is_flag=True, help="In a document: KEY is a path to a place in it, items/0/done."
)


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
@PATH
@click.pass_context
def get(
    ctx: click.Context, file: str, name: str, key: str, is_hex: bool, raw: bool, all_values: bool, is_path: bool
) -> None:
    """Print the value of KEY. Exit code 1: it is not there."""
    screen = screen_of(ctx)
    with reading(file) as db:
        kept: Any = find(db, name)
        place = key_for(kept, key, is_hex)
        with arguments():
            if is_path:
                kept, place = spot_of(tree(kept, is_hex), key)
            elif place not in kept:
                raise absent(kept, key)
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


def tree(kept: Kept, is_hex: bool) -> Doc:
    """What has paths."""
    if is_hex or not isinstance(kept, Doc):
        raise click.UsageError("--path is for documents, whose keys are text")
    return kept


def absent(kept: Kept, key: str) -> No:
    """There is no such key; but was it meant for one?"""
    hint = "; `crdtkv show` lists them"
    if isinstance(kept, Doc):
        with suppress(No):
            spot_of(kept, key)
            hint = "; --path takes it as a path, which leads somewhere"
    return No(f"no such key: {key!r}{hint}")


def concurrent(kept: Any, key: Any) -> list[Any]:
    """The values of a key that nobody has superseded."""
    if isinstance(kept, Store):
        return [entry.value for entry in kept.conflicts(key)]
    return list(map(plain, kept.conflicts(key).values()))


@command("put")
@FILE
@NAME
@click.argument("key", type=TEXT, required=False)
@click.argument("value", required=False)
@HEX
@click.option(
    "--pairs",
    "are_pairs",
    is_flag=True,
    help="Read many keys and values from stdin, as `query --json` prints them or as one [KEY, VALUE] a line.",
)
@click.option("--bytes", "is_bytes", is_flag=True, help="Store the value as bytes, as they are.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the value from stdin, to its end.")
@click.option(
    "--text", "is_text", is_flag=True, help="In a document: a text that people edit together; changed, not replaced."
)
@click.option("--kind", type=click.Choice(KINDS), help="What a new NAME is (default: datastore).")
@click.option("--message", "-m", type=TEXT, help="What the change says of itself.")
@PATH
@click.pass_context
def put(
    ctx: click.Context,
    file: str,
    name: str,
    key: str | None,
    value: str | None,
    is_hex: bool,
    are_pairs: bool,
    is_bytes: bool,
    from_stdin: bool,
    is_text: bool,
    kind: str | None,
    message: str | None,
    is_path: bool,
) -> None:
    """Set KEY to VALUE: JSON if it parses, else the text itself. Or many keys at once, with --pairs.

    A NAME that is not there is made, as a datastore unless --kind says otherwise.
    """
    screen = screen_of(ctx)
    if are_pairs:
        if key is not None or from_stdin or is_bytes or is_text or is_hex or is_path:
            raise click.UsageError("--pairs reads keys and values from stdin: nothing else says what they are")
        data = all_of_stdin(False)
    elif key is None:
        raise click.UsageError("Missing argument 'KEY'.", ctx)
    elif (value is None) != from_stdin:
        raise click.UsageError("give a VALUE or --stdin" if value is None else "give a VALUE or --stdin, not both")
    else:
        data = all_of_stdin(is_bytes or is_text) if from_stdin else os.fsencode(value or "")
    try:
        content: Any = data if is_bytes else data.decode()
    except UnicodeDecodeError:
        raise click.UsageError("the value is not UTF-8; --bytes takes it as it is") from None
    with writing(file) as db, arguments():
        if are_pairs:
            content = parse_pairs(content)
        elif not is_bytes and not is_text:
            content = parse(content)
        with made(db, name, kind, "doc" if is_text else "datastore") as kept:
            if key is None:
                change = put_many(kept, content, message)
            elif is_path:
                change = put_at(tree(kept, is_hex), key, content, is_text, message)
            else:
                looked_like_a_path = isinstance(kept, Doc) and not is_hex and is_new_path(kept, key)
                change = put_one(kept, key_for(kept, key, is_hex), content, is_text, message)
                if looked_like_a_path:
                    screen.note(f"{key!r} is a key of the root now; --path would have taken it as a path")
        said: dict[str, Any] = {"name": name, "kind": db.names()[name], "change": change and change.id.hex()}
        if are_pairs:
            said["keys"] = len(content)
    if screen.json:
        screen.value(said)


def all_of_stdin(is_whole: bool) -> bytes:
    """What comes from stdin, which may have no end. `is_whole`: not taken apart, which takes many times as much."""
    most = 4 * LARGEST if is_whole else LARGEST
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise click.UsageError(f"more than {most >> 20} MiB came from stdin: no value is as large")
    return data


def put_one(kept: Kept, key: Any, content: Any, is_text: bool, message: str | None) -> Any:
    """Sets one key; the change, None of a store."""
    if isinstance(kept, Doc):
        return put_in_doc(kept, key, content, is_text, message)
    if isinstance(kept, Store):
        kept[key] = content
        kept.commit()
        return None
    batch = kept.batch(message=message)
    batch.put(key, content)
    return batch.commit()


def put_many(kept: Kept, pairs: dict[Any, Any], message: str | None) -> Any:
    """Sets keys, all or none; the last change that it took, None of a store."""
    if isinstance(kept, Store):
        kept.update(pairs)
        kept.commit()
        return None
    before = kept.heads
    if isinstance(kept, Doc):
        if not all(isinstance(key, str) for key in pairs):
            raise click.UsageError("the keys of a document are text")
        with kept.change(message):
            kept.update(pairs)
    else:
        Datastore().update(pairs)  # what is wrong with one of them is said before the first is written
        with kept.batch(max_bytes=LARGEST, message=message) as batch:
            for key, value in pairs.items():
                batch.put(key, value)
    return next(reversed(kept.changes(since=before)), None)


def put_in_doc(doc: Doc, key: str, content: Any, is_text: bool, message: str | None) -> Any:
    """Sets a key of the root; its change, or None if nothing had to be changed."""
    put_in(doc, key, doc.get(key), content, is_text)
    return doc.commit(message)


def put_at(doc: Doc, path: str, content: Any, is_text: bool, message: str | None) -> Any:
    """Sets what is at a path, or a new key of a map that is there."""
    try:
        holder, key = spot_of(doc, path)
        old = holder[key]
    except No:
        (holder, key), old = new_spot(doc, path), None
    put_in(holder, key, old, content, is_text)
    return doc.commit(message)


def put_in(holder: Any, key: str | int, old: Any, content: Any, is_text: bool) -> None:
    if not is_text:
        holder[key] = content
    elif isinstance(old, Text):
        old.update(content)
    else:
        holder[key] = Text(content)


def is_new_path(doc: Doc, key: str) -> bool:
    """No key of the root, but a path to where something is, or may be."""
    if key in doc:
        return False
    for look in (spot_of, new_spot):
        with suppress(No):
            if look(doc, key)[0] is not doc:
                return True
    return False


@command("del")
@FILE
@NAME
@KEY
@HEX
@PATH
@click.pass_context
def delete(ctx: click.Context, file: str, name: str, key: str, is_hex: bool, is_path: bool) -> None:
    """Delete KEY. Exit code 1: it is not there."""
    screen = screen_of(ctx)
    with writing(file) as db, arguments():
        kept: Any = find(db, name)
        place = key_for(kept, key, is_hex)
        if is_path:
            holder, place = spot_of(tree(kept, is_hex), key)
        elif place in kept:
            holder = kept
        else:
            raise absent(kept, key)
        del holder[place]
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
@click.option("--limit", type=COUNT, help="At most so many.")
@click.option("--offset", type=COUNT, default=0, help="Leave out so many first.")
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
