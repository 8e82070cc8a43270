"""The body of a change: operations, refs, the table, and every rule on them that needs no graph."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from .wire import Broken, Later, Reader, Void, blob, text_of, varint, zigzag


@dataclass(frozen=True)
class Own:
    """The item `distance` before the next item of the own chain."""

    distance: int


@dataclass(frozen=True)
class Parent:
    """The item `offset` of the chain that ends in parent `index`."""

    index: int
    offset: int


@dataclass(frozen=True)
class InLane:
    """The item `offset` of a lane in the table."""

    lane: bytes
    offset: int


@dataclass(frozen=True)
class InChange:
    """Item number `offset` of a change in the table."""

    change: bytes
    offset: int


Ref = Own | Parent | InLane | InChange


@dataclass(frozen=True)
class Insert:
    left: Ref | None
    right: Ref | None
    container: Ref | None
    text: str


@dataclass(frozen=True)
class Delete:
    first: Ref
    n: int


@dataclass(frozen=True)
class Set:
    map: Ref | None
    key: str
    tag: int
    value: bytes


@dataclass(frozen=True)
class Unset:
    map: Ref | None
    key: str


Op = Insert | Delete | Set | Unset

NONE, FALSE, TRUE, INT, FLOAT, STR, BYTES, TEXT = 0, 1, 2, 3, 4, 5, 6, 20
TAGS = (NONE, FALSE, TRUE, INT, FLOAT, STR, BYTES, TEXT)
NAN = bytes.fromhex("000000000000f87f")
MAX_KEY = 4096


def count(op: Op) -> int:
    """Single operations in one op."""
    if isinstance(op, Insert):
        return len(op.text)
    return op.n if isinstance(op, Delete) else 1


def range_of(op: Delete) -> tuple[object, int, int]:
    """What the first number of the ref stands for, and the range [start, end) under it."""
    ref = op.first
    if isinstance(ref, Own):
        return "own", -ref.distance, -ref.distance + op.n
    where: object = ref.index if isinstance(ref, Parent) else ref.lane if isinstance(ref, InLane) else ref.change
    return (type(ref), where), ref.offset, ref.offset + op.n


@dataclass(frozen=True)
class Body:
    time: int
    message: str | None = None
    ops: tuple[Op, ...] = ()
    lanes: tuple[bytes, ...] = ()  # the table
    changes: tuple[bytes, ...] = ()

    def refs(self) -> list[Ref | None]:
        out: list[Ref | None] = []
        for op in self.ops:
            if isinstance(op, Insert):
                out += [op.left, op.right, op.container]
            elif isinstance(op, Delete):
                out += [op.first]
            else:
                out += [op.map]
        return out


def body_of(time: int, message: str | None, ops: tuple[Op, ...]) -> Body:
    """A body with just the table that its refs need."""
    refs = Body(time, message, ops).refs()
    lanes = sorted({ref.lane for ref in refs if isinstance(ref, InLane)})
    changes = sorted({ref.change for ref in refs if isinstance(ref, InChange)})
    return Body(time, message, ops, tuple(lanes), tuple(changes))


def encode_ref(ref: Ref | None, body: Body, n_parents: int) -> bytes:
    if ref is None:
        return varint(0)
    if isinstance(ref, Own):
        return varint(1) + varint(ref.distance)
    if isinstance(ref, Parent):
        return varint(2 + ref.index) + varint(ref.offset)
    if isinstance(ref, InLane):
        return varint(2 + n_parents + body.lanes.index(ref.lane)) + varint(ref.offset)
    return varint(2 + n_parents + len(body.lanes) + body.changes.index(ref.change)) + varint(ref.offset)


def encode_op(op: Op, body: Body, n_parents: int) -> bytes:
    if isinstance(op, Insert):
        payload = encode_ref(op.left, body, n_parents) + encode_ref(op.right, body, n_parents)
        if op.left is None and op.right is None:
            payload += encode_ref(op.container, body, n_parents)
        return varint(1) + blob(payload + op.text.encode())
    if isinstance(op, Delete):
        return varint(2) + blob(encode_ref(op.first, body, n_parents) + varint(op.n))
    payload = encode_ref(op.map, body, n_parents) + blob(op.key.encode())
    if isinstance(op, Set):
        return varint(3) + blob(payload + varint(op.tag) + blob(op.value))
    return varint(4) + blob(payload)


def encode_body(body: Body, n_parents: int) -> bytes:
    table = bool(body.lanes or body.changes)
    out = varint((body.message is not None) | table << 1) + zigzag(body.time)
    if body.message is not None:
        out += blob(body.message.encode())
    if table:
        out += varint(len(body.lanes)) + b"".join(body.lanes)
        out += varint(len(body.changes)) + b"".join(body.changes)
    return out + b"".join(encode_op(op, body, n_parents) for op in body.ops)


def parse_body(data: bytes, n_parents: int) -> Body:
    """The body with refs by name. `Later` or `Void` by every rule that needs no graph."""
    try:
        return _parse_body(Reader(data), n_parents)
    except Broken as error:
        raise Void(f"body: {error}") from error


def _parse_body(reader: Reader, n_parents: int) -> Body:
    flags = reader.varint()
    if flags > 3:
        raise Later("unknown flag")
    time = reader.zigzag()
    message = reader.blob() if flags & 1 else None
    lanes: list[bytes] = []
    changes: list[bytes] = []
    if flags & 2:
        for table in lanes, changes:
            for _ in range(reader.varint()):
                table.append(reader.take(32))
    framed = []
    while not reader.done():
        framed.append((reader.varint(), reader.blob()))
    # The framing holds. What is unknown comes before what is wrong.
    for kind, payload in framed:
        if kind not in (1, 2, 3, 4):
            raise Later("unknown op kind")
        if kind == 3 and _value_tag(payload) not in TAGS:
            raise Later("unknown value tag")
    if flags & 2 and not lanes and not changes:
        raise Void("the table is empty")
    for table in lanes, changes:
        if any(a >= b for a, b in itertools.pairwise(table)):
            raise Void("the table does not ascend")
    body = Body(time, None if message is None else text_of(message), (), tuple(lanes), tuple(changes))
    ops = tuple(_parse_op(kind, Reader(payload), body, n_parents) for kind, payload in framed)
    return Body(body.time, body.message, ops, body.lanes, body.changes)


def _value_tag(payload: bytes) -> int:
    """Tag of the value of a SET whose payload can be taken apart, else one that is known."""
    reader = Reader(payload)
    try:
        if reader.varint():
            reader.varint()
        reader.blob()
        tag = reader.varint()
        reader.blob()
        reader.end()
    except Broken:
        return NONE
    return tag


def _parse_op(kind: int, reader: Reader, body: Body, n_parents: int) -> Op:
    if kind == 1:
        left, right = _parse_ref(reader, body, n_parents), _parse_ref(reader, body, n_parents)
        container = _parse_ref(reader, body, n_parents) if left is None and right is None else None
        text = text_of(reader.take(len(reader.data) - reader.at))
        if not text:
            raise Void("INSERT of nothing")
        return Insert(left, right, container, text)
    if kind == 2:
        first, n = _parse_ref(reader, body, n_parents), reader.varint()
        reader.end()
        if first is None or n == 0:
            raise Void("DELETE of nothing")
        return Delete(first, n)
    where, key = _parse_ref(reader, body, n_parents), reader.str()
    if len(key.encode()) > MAX_KEY:
        raise Void("key is too long")
    if kind == 4:
        reader.end()
        return Unset(where, key)
    tag, value = reader.varint(), reader.blob()
    reader.end()
    check_value(tag, value)
    return Set(where, key, tag, value)


def _parse_ref(reader: Reader, body: Body, n_parents: int) -> Ref | None:
    first = reader.varint()
    if first == 0:
        return None
    number = reader.varint()
    if first == 1:
        if number == 0:
            raise Void("a ref at distance 0")
        return Own(number)
    first -= 2
    if first < n_parents:
        return Parent(first, number)
    first -= n_parents
    if first < len(body.lanes):
        return InLane(body.lanes[first], number)
    first -= len(body.lanes)
    if first < len(body.changes):
        return InChange(body.changes[first], number)
    raise Void("a ref beyond the table")


def check_value(tag: int, value: bytes) -> None:
    """There is one way to write a value."""
    if tag in (NONE, FALSE, TRUE, TEXT) and value:
        raise Void("this value has no content")
    if tag == INT:
        reader = Reader(value)
        reader.varint()
        reader.end()
    if tag == FLOAT:
        if len(value) != 8:
            raise Void("a float has eight bytes")
        bits = int.from_bytes(value, "little")
        if bits & (2**63 - 1) > 0x7FF << 52 and value != NAN:
            raise Void("there is one NaN")
    if tag == STR:
        text_of(value)
