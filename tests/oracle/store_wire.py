"""Messages of stores as bytes: what tests/oracle/store.py speaks of, written and read. docs/format.md, "Store".

A writer takes what a reader gives. Every reader is strict: a message has one form, and bytes that are not in it are
`Broken`, or `Beyond` a limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import xxhash

from . import spans
from .nested import Beyond, nested, read_nested
from .runs import read_runs, write_runs
from .spans import Spans
from .store import Diff, Key, Known, Op, OpSet, Part, Piece, Request, Row, Rows
from .wire import Broken, Reader, blob, text_of, varint

VERSION = 1
END = ((1 << 48) - 1) << 16  # dots are below: not all bits of the time are set
MAX_NAME, MAX_KEY = 255, 4096


# The frame


def framed(kind: bytes, payload: bytes) -> bytes:
    message = kind + bytes([VERSION]) + payload
    return message + xxhash.xxh3_64_intdigest(message).to_bytes(8, "little")


def opened(kind: bytes, message: bytes) -> Reader:
    """A reader of the payload."""
    if len(message) < 10 or message[:2] != kind + bytes([VERSION]):
        raise Broken("another kind of message, or version")
    if xxhash.xxh3_64_intdigest(message[:-8]) != int.from_bytes(message[-8:], "little"):
        raise Broken("the checksum does not fit")
    return Reader(message[2:-8])


# Incarnations, numbers, sets, rows


def read_peer(r: Reader) -> bytes:
    peer = r.blob()
    if not 9 <= len(peer) <= MAX_NAME + 9 or peer[-9:-8] != b"/":
        raise Broken("not an incarnation")
    return peer


def ascending(peers: Iterable[bytes]) -> None:
    if any(a >= b for a, b in pairwise(peers)):
        raise Broken("incarnations ascend")


def read_hlc(r: Reader, low: int = 0) -> int:
    hlc = r.varint()
    if not low <= hlc < END:
        raise Broken("not an hlc")
    return hlc


def read_set(r: Reader, end: int = END) -> Spans:
    """Of dots below `end`."""
    return read_runs(r, 1, end - 1)


def write_key(key: Key) -> bytes:
    raw, is_bytes = (key, 1) if isinstance(key, bytes) else (key.encode(), 0)
    return varint(len(raw) << 1 | is_bytes) + raw


def read_key(r: Reader) -> Key:
    head = r.varint()
    if head >> 1 > MAX_KEY:
        raise Beyond("a key of more than 4 KiB")
    raw = r.take(head >> 1)
    return raw if head & 1 else text_of(raw)


def read_row(r: Reader, before: int) -> tuple[int, Row]:
    hlc = before + 1 + r.varint()
    if hlc >= END:
        raise Broken("not an hlc")
    key = read_key(r)
    return hlc, Row(key, read_nested(r))


def write_row(before: int, hlc: int, row: Row) -> bytes:
    return varint(hlc - before - 1) + write_key(row.key) + nested(row.value)


def read_rows(r: Reader, before: int, n: int) -> Rows:
    rows: Rows = {}
    for _ in range(n):
        before, row = read_row(r, before)
        rows[before] = row
    return rows


def write_rows(before: int, rows: Rows) -> bytes:
    out = b""
    for hlc in sorted(rows):
        out += write_row(before, hlc, rows[hlc])
        before = hlc
    return out


# Messages


def write_request(request: Request) -> bytes:
    return framed(
        b"Q",
        b"".join(blob(peer) + varint(end) + write_runs(live) for peer, (end, live) in sorted(request.items())),
    )


def read_request(message: bytes) -> Request:
    r = opened(b"Q", message)
    found = []
    while not r.done():
        peer, bookmark = read_peer(r), read_hlc(r, 1)
        found.append((peer, Known(bookmark, read_set(r, bookmark + 1))))
    ascending(peer for peer, _ in found)
    return dict(found)


def write_diff(diff: Diff) -> bytes:
    out = b""
    for peer, part in sorted(diff.items()):
        out += blob(peer) + varint(part.start) + varint(part.end - part.start) + write_runs(part.dead)
        out += varint(len(part.rows)) + write_rows(part.start, part.rows)
    return framed(b"D", out)


def read_diff(message: bytes) -> Diff:
    r = opened(b"D", message)
    found = []
    while not r.done():
        peer, start = read_peer(r), read_hlc(r)
        end = start + r.varint()
        if end >= END:
            raise Broken("not an hlc")
        dead = read_set(r, start + 1)
        rows = read_rows(r, start, r.varint())
        if max(rows, default=0) > end:
            raise Broken("a row above the end")
        if start == end and not dead:
            raise Broken("a part that says nothing")
        found.append((peer, Part(start, end, dead, rows)))
    ascending(peer for peer, _ in found)
    return dict(found)


def write_op(op: Op) -> bytes:
    out = bytes([op.row is not None]) + blob(op.peer) + varint(op.prev)
    if op.row is not None and op.hlc is not None:
        out += write_row(op.prev, op.hlc, op.row)
    return framed(b"O", out + b"".join(blob(peer) + write_runs(dead) for peer, dead in op.dead))


def read_op(message: bytes) -> Op:
    r = opened(b"O", message)
    is_put, author, prev = r.flag(), read_peer(r), read_hlc(r)
    hlc, row = read_row(r, prev) if is_put else (None, None)
    dead = []
    while not r.done():
        peer = read_peer(r)
        dead.append((peer, read_set(r, prev + 1 if peer == author else END)))
    ascending(peer for peer, _ in dead)
    if not all(found for _, found in dead) or not (is_put or dead):
        raise Broken("it supersedes nothing")
    return Op(author, prev, hlc, row, tuple(dead))


def write_opset(opset: OpSet) -> bytes:
    out = b""
    for peer, piece in sorted(opset.items()):
        out += blob(peer) + write_runs(piece.covered) + write_runs(piece.dead)
        out += varint(len(piece.rows)) + write_rows(0, piece.rows)
    return framed(b"S", out)


def read_opset(message: bytes) -> OpSet:
    r = opened(b"S", message)
    found = []
    while not r.done():
        peer, covered, dead = read_peer(r), read_set(r), read_set(r)
        rows = read_rows(r, 0, r.varint())
        if not covered and not dead:
            raise Broken("a part that says nothing")
        if spans.minus(dead, covered) != dead:
            raise Broken("dead, and covered")
        if not all(spans.holds(covered, hlc) for hlc in rows):
            raise Broken("a row that is not covered")
        found.append((peer, Piece(covered, dead, rows)))
    ascending(peer for peer, _ in found)
    return dict(found)


# Saves


class Kept(NamedTuple):
    """Of one incarnation, in a save; `mine` and `killed`: what no op set has told yet."""

    bookmark: int
    mine: tuple[int, int]
    killed: Spans
    rows: Rows


@dataclass
class Save:
    name: Key
    clock: int
    parts: dict[bytes, Kept]
    waiting: list[Op | OpSet]


def read_save(message: bytes) -> Save:
    r = opened(b"V", message)
    is_bytes, raw = r.flag(), r.blob()
    if len(raw) > MAX_NAME:
        raise Broken("a name that is too long")
    name = raw if is_bytes else text_of(raw)
    clock = read_hlc(r)
    found = [(read_peer(r), read_kept(r)) for _ in range(r.varint())]
    ascending(peer for peer, _ in found)
    waiting = []
    while not r.done():
        held = r.blob()
        waiting.append(read_op(held) if held[:1] == b"O" else read_opset(held))
    if any(part.bookmark > clock for _, part in found):
        raise Broken("the clock is behind")
    return Save(name, clock, dict(found), waiting)


def read_kept(r: Reader) -> Kept:
    bookmark, start = read_hlc(r, 1), read_hlc(r)
    end = start + r.varint()
    killed = read_set(r, bookmark + 1)
    rows = read_rows(r, 0, r.varint())
    if max(end, *rows, 0) > bookmark:
        raise Broken("above the bookmark")
    if spans.minus(killed, ((start + 1, end + 1),)) != killed or any(spans.holds(killed, hlc) for hlc in rows):
        raise Broken("killed, and mine or alive")
    return Kept(bookmark, (start, end), killed, rows)


def write_save(save: Save) -> bytes:
    raw, is_bytes = (save.name, True) if isinstance(save.name, bytes) else (save.name.encode(), False)
    out = bytes([is_bytes]) + blob(raw) + varint(save.clock) + varint(len(save.parts))
    for peer, part in sorted(save.parts.items()):
        start, end = part.mine
        out += blob(peer) + varint(part.bookmark) + varint(start) + varint(end - start) + write_runs(part.killed)
        out += varint(len(part.rows)) + write_rows(0, part.rows)
    for held in save.waiting:
        out += blob(write_op(held) if isinstance(held, Op) else write_opset(held))
    return framed(b"V", out)
