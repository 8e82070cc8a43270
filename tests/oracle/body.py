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


@dataclass(frozen=True)
class Elements:
    left: Ref | None
    right: Ref | None
    container: Ref | None
    values: tuple[tuple[int, bytes], ...]  # each a tag and what it holds


@dataclass(frozen=True)
class Assign:
    element: Ref | None
    tag: int
    value: bytes


@dataclass(frozen=True)
class Move:
    element: Ref | None
    left: Ref | None
    right: Ref | None


@dataclass(frozen=True)
class Add:
    set: Ref | None
    tag: int
    value: bytes


@dataclass(frozen=True)
class Discard:
    set: Ref | None
    tag: int
    value: bytes


@dataclass(frozen=True)
class Count:
    counter: Ref | None
    amount: int


@dataclass(frozen=True)
class Mark:
    sides: int
    start: Ref | None
    end: Ref | None
    container: Ref | None
    name: str
    value: tuple[int, bytes] | None  # None: the name is taken away


@dataclass(frozen=True)
class Restore:
    change: bytes
    first: Ref
    n: int


Op = Insert | Delete | Set | Unset | Elements | Assign | Move | Add | Discard | Count | Mark | Restore
KINDS = (Insert, Delete, Set, Unset, Elements, Assign, Move, Add, Discard, Count, Mark, Restore)  # kind 1 and so on

NONE, FALSE, TRUE, INT, FLOAT, STR, BYTES = PLAIN = tuple(range(7))
MAP, LIST, SET, COUNTER, TEXT = NEW = tuple(range(16, 21))
DEFAULT = 8  # added to the tag of a new container, the tag of a default one
DEFAULTS = tuple(tag + DEFAULT for tag in NEW)
TAGS = (*PLAIN, *NEW, *DEFAULTS)
NAN = bytes.fromhex("000000000000f87f")
MAX_KEY = 4096
START_BEHIND, END_BEHIND = 1, 2  # sides


def count(op: Op) -> int:
    """Single operations in one op."""
    if isinstance(op, Insert):
        return len(op.text)
    if isinstance(op, Elements):
        return len(op.values)
    return op.n if isinstance(op, (Delete, Restore)) else 1


def refs_of(op: Op) -> list[Ref | None]:
    """Its refs in the order of the payload, without a container that is not written."""
    if isinstance(op, (Insert, Elements)):
        return [op.left, op.right, op.container] if op.left is op.right is None else [op.left, op.right]
    if isinstance(op, Mark):
        return [op.start, op.end, op.container] if op.start is op.end is None else [op.start, op.end]
    if isinstance(op, Move):
        return [op.element, op.left, op.right]
    if isinstance(op, (Delete, Restore)):
        return [op.first]
    if isinstance(op, (Set, Unset)):
        return [op.map]
    if isinstance(op, Assign):
        return [op.element]
    return [op.counter if isinstance(op, Count) else op.set]


def range_of(op: Delete | Restore) -> tuple[object, int, int]:
    """What the first number of the ref stands for, and the range [start, end) under it."""
    ref = op.first
    if isinstance(ref, Own):
        return "own", -ref.distance, -ref.distance + op.n
    where: object = ref.index if isinstance(ref, Parent) else ref.lane if isinstance(ref, InLane) else ref.change
    return (type(ref), where), ref.offset, ref.offset + op.n


def touch(a: Op | None, b: Op) -> bool:
    """Are these two DELETEs, or two RESTOREs of one change, whose ranges meet at an end? (RESTOREs may have to.)"""
    if not isinstance(a, (Delete, Restore)) or not isinstance(b, (Delete, Restore)) or type(a) is not type(b):
        return False
    if isinstance(a, Restore) and isinstance(b, Restore) and a.change != b.change:
        return False
    (where_a, start_a, end_a), (where_b, start_b, end_b) = range_of(a), range_of(b)
    return where_a == where_b and (end_a == start_b or end_b == start_a)


@dataclass(frozen=True)
class Body:
    time: int
    message: str | None = None
    ops: tuple[Op, ...] = ()
    lanes: tuple[bytes, ...] = ()  # the table
    changes: tuple[bytes, ...] = ()

    def refs(self) -> list[Ref | None]:
        return [ref for op in self.ops for ref in refs_of(op)]

    def used_lanes(self) -> set[bytes]:
        return {ref.lane for ref in self.refs() if isinstance(ref, InLane)}

    def used_changes(self) -> set[bytes]:
        named = {ref.change for ref in self.refs() if isinstance(ref, InChange)}
        return named | {op.change for op in self.ops if isinstance(op, Restore)}


def body_of(time: int, message: str | None, ops: tuple[Op, ...]) -> Body:
    """A body with just the table that its ops need."""
    body = Body(time, message, ops)
    return Body(time, message, ops, tuple(sorted(body.used_lanes())), tuple(sorted(body.used_changes())))


# Writing


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


def encode_value(tag: int, value: bytes) -> bytes:
    return varint(tag) + blob(value)


def encode_op(op: Op, body: Body, n_parents: int) -> bytes:
    payload = b"".join(encode_ref(ref, body, n_parents) for ref in refs_of(op))
    if isinstance(op, Insert):
        payload += op.text.encode()
    elif isinstance(op, Elements):
        payload += b"".join(encode_value(*value) for value in op.values)
    elif isinstance(op, (Delete, Restore)):
        payload += varint(op.n)
    elif isinstance(op, (Set, Unset)):
        payload += blob(op.key.encode())
    elif isinstance(op, Count):
        payload += zigzag(op.amount)
    elif isinstance(op, Mark):
        payload = bytes([op.sides]) + payload + blob(op.name.encode())
        payload += b"" if op.value is None else encode_value(*op.value)
    if isinstance(op, (Set, Assign, Add, Discard)):
        payload += encode_value(op.tag, op.value)
    if isinstance(op, Restore):
        payload = varint(body.changes.index(op.change)) + payload
    return varint(1 + KINDS.index(type(op))) + blob(payload)


def encode_body(body: Body, n_parents: int) -> bytes:
    table = bool(body.lanes or body.changes)
    out = varint((body.message is not None) | table << 1) + zigzag(body.time)
    if body.message is not None:
        out += blob(body.message.encode())
    if table:
        out += varint(len(body.lanes)) + b"".join(body.lanes)
        out += varint(len(body.changes)) + b"".join(body.changes)
    return out + b"".join(encode_op(op, body, n_parents) for op in body.ops)


# Reading


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
        if not 1 <= kind <= len(KINDS):
            raise Later("unknown op kind")
        if any(tag not in TAGS for tag in tags_in(kind, payload)):
            raise Later("unknown value tag")
    if flags & 2 and not lanes and not changes:
        raise Void("the table is empty")
    for table in lanes, changes:
        if any(a >= b for a, b in itertools.pairwise(table)):
            raise Void("the table does not ascend")
    body = Body(time, None if message is None else text_of(message), (), tuple(lanes), tuple(changes))
    ops = tuple(_parse_op(kind, Reader(payload), body, n_parents) for kind, payload in framed)
    return Body(body.time, body.message, ops, body.lanes, body.changes)


def tags_in(kind: int, payload: bytes) -> list[int]:
    """Tags of the values in a payload that comes apart to its end; of one that does not, or has none: nothing."""
    reader = Reader(payload)
    tags = []

    def skip_ref() -> bool:
        """Whether it names anything."""
        first = reader.varint()
        if first:
            reader.varint()
        return first != 0

    def skip_refs() -> None:
        """Two, and a container if both are none."""
        if not any([skip_ref(), skip_ref()]):
            skip_ref()

    of = KINDS[kind - 1]
    try:
        if of is Mark:
            reader.u8()
        if of in (Elements, Mark):
            skip_refs()
        elif of in (Set, Assign, Add, Discard):
            skip_ref()
        else:
            return []
        if of in (Set, Mark):
            reader.blob()
        while not reader.done():
            tags.append(reader.varint())
            reader.blob()
    except Broken:
        return []
    return tags if of is Elements or len(tags) <= 1 else []


def _parse_op(kind: int, reader: Reader, body: Body, n_parents: int) -> Op:
    op = _parse_payload(KINDS[kind - 1], reader, body, n_parents)
    reader.end()
    return op


def _parse_payload(of: type[Op], reader: Reader, body: Body, n_parents: int) -> Op:
    def ref() -> Ref | None:
        return _parse_ref(reader, body, n_parents)

    if of is Insert:
        left, right = ref(), ref()
        container = ref() if left is right is None else None
        text = text_of(reader.take(len(reader.data) - reader.at))
        if not text:
            raise Void("INSERT of nothing")
        return Insert(left, right, container, text)
    if of is Delete:
        return Delete(*_parse_range(reader, body, n_parents))
    if of is Set or of is Unset:
        where, key = ref(), reader.str()
        if len(key.encode()) > MAX_KEY:
            raise Void("key is too long")
        return Set(where, key, *_parse_value(reader, TAGS)) if of is Set else Unset(where, key)
    if of is Elements:
        left, right = ref(), ref()
        container = ref() if left is right is None else None
        values = []
        while not reader.done():
            values.append(_parse_value(reader, PLAIN + NEW))
        if not values:
            raise Void("ELEMENTS without a value")
        return Elements(left, right, container, tuple(values))
    if of is Assign:
        return Assign(ref(), *_parse_value(reader, PLAIN + NEW))
    if of is Move:
        return Move(ref(), ref(), ref())
    if of is Add:
        return Add(ref(), *_parse_value(reader, PLAIN))
    if of is Discard:
        return Discard(ref(), *_parse_value(reader, PLAIN))
    if of is Count:
        return Count(ref(), reader.zigzag())
    if of is Mark:
        return _parse_mark(reader, body, n_parents)
    change = reader.varint()
    if change >= len(body.changes):
        raise Void("a change beyond the table")
    return Restore(body.changes[change], *_parse_range(reader, body, n_parents))


def _parse_range(reader: Reader, body: Body, n_parents: int) -> tuple[Ref, int]:
    first, n = _parse_ref(reader, body, n_parents), reader.varint()
    if first is None or n == 0:
        raise Void("a range of nothing")
    return first, n


def _parse_value(reader: Reader, tags: tuple[int, ...]) -> tuple[int, bytes]:
    tag, value = reader.varint(), reader.blob()
    if tag not in tags:
        raise Void("no such value here")
    check_value(tag, value)
    return tag, value


def _parse_mark(reader: Reader, body: Body, n_parents: int) -> Mark:
    sides = reader.u8()
    start, end = _parse_ref(reader, body, n_parents), _parse_ref(reader, body, n_parents)
    container = _parse_ref(reader, body, n_parents) if start is end is None else None
    can = (START_BEHIND if start else 0) | (END_BEHIND if end else 0)
    if sides & ~can:
        raise Void("a side of nothing")
    name = reader.str()
    if not 1 <= len(name.encode()) <= MAX_KEY:
        raise Void("a name has 1 to 4096 bytes")
    value = None if reader.done() else _parse_value(reader, PLAIN)
    return Mark(sides, start, end, container, name, value)


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
    if tag not in (INT, FLOAT, STR, BYTES) and value:
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
