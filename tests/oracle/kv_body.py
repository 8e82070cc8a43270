"""Bodies of a datastore's changes: puts, deletes and counts in canonical bytes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .nested import MAX_DEPTH, Beyond, nested, read_nested
from .wire import MAX_OPS, Broken, Later, Reader, Void, blob, text_of, varint, zigzag

PUT, DELETE, COUNT, PART = 1, 2, 3, 4
MESSAGE = 1
MAX_KEY = 4096
MAX_NAMES = 1024
TOTAL_BITS = 96
SCALARS, CONTAINERS = range(7), (32, 33)

Key = str | bytes
Name = tuple[bytes, int]  # change id, index


@dataclass(frozen=True)
class Op:
    kind: int
    key: Key
    names: tuple[Name, ...] = ()
    value: bytes = b""  # PUT: nested
    total: int = 0  # COUNT, PART; a PART has one name: what it says again

    def plain(self) -> Any:
        return read_nested(Reader(self.value))


@dataclass(frozen=True)
class Body:
    ops: tuple[Op, ...]
    time: int = 0
    message: str | None = None


def put(key: Key, value: Any, names: tuple[Name, ...] = ()) -> Op:
    return Op(PUT, key, tuple(sorted(names)), nested(value))


def delete(key: Key, names: tuple[Name, ...] = ()) -> Op:
    return Op(DELETE, key, tuple(sorted(names)))


def count(name: Key, total: int) -> Op:
    return Op(COUNT, name, total=total)


def part(name: Key, of: Name, total: int) -> Op:
    return Op(PART, name, (of,), total=total)


# Writing


def write_body(body: Body) -> bytes:
    message = body.message
    head = varint(0 if message is None else MESSAGE) + zigzag(body.time)
    head += b"" if message is None else blob(message.encode())
    return head + b"".join(write_op(op) for op in body.ops)


def write_op(op: Op) -> bytes:
    payload = write_key(op.key)
    if op.kind == COUNT:
        payload += write_total(op.total)
    elif op.kind == PART:
        ((id, index),) = op.names
        payload += id + varint(index) + write_total(op.total)
    else:
        payload += varint(len(op.names)) + b"".join(id + varint(index) for id, index in op.names) + op.value
    return varint(op.kind) + blob(payload)


def write_key(key: Key) -> bytes:
    data = key if isinstance(key, bytes) else key.encode()
    return varint(len(data) << 1 | isinstance(key, bytes)) + data


def write_total(total: int) -> bytes:
    number = total << 1 if total >= 0 else (-total << 1) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


# Reading


def read_body(data: bytes, n_ops: int) -> Body:
    """`Later` goes before `Void`, as long as the framing holds."""
    reader = Reader(data)
    try:
        flags = reader.varint()
        if flags & ~MESSAGE:
            raise Later("a flag")
        time = reader.zigzag()
        message = reader.str() if flags & MESSAGE else None
        framed = []
        while not reader.done():
            framed.append((reader.varint(), reader.blob()))
    except Broken as error:
        raise Void(f"body: {error}") from error
    ops: list[Op] = []
    wrong: Broken | None = None
    later = False
    for kind, payload in framed:
        try:
            ops.append(read_op(kind, payload))
        except Later:
            later = True
        except Broken as error:
            wrong = wrong or error
    if later:
        raise Later("an operation or a value of a later version")
    if wrong:
        raise Void(f"body: {wrong}") from wrong
    if len(ops) != n_ops:
        raise Void("n_ops is not that of the body")
    return Body(tuple(ops), time, message)


def read_op(kind: int, payload: bytes) -> Op:
    reader = Reader(payload)
    if kind not in (PUT, DELETE, COUNT, PART):
        raise Later("a kind of operation")
    key = read_key(reader)
    if kind == COUNT:
        total = read_total(reader)
        reader.end()
        return Op(kind, key, total=total)
    if kind == PART:
        of = read_name(reader)
        total = read_total(reader)
        reader.end()
        return Op(kind, key, (of,), total=total)
    names = read_names(reader)
    if kind == DELETE:
        reader.end()
        return Op(kind, key, names)
    value = payload[reader.at :]
    if is_later(value):
        raise Later("a tag of values")
    try:
        read_nested(reader)
        reader.end()
    except Beyond as beyond:
        raise Broken(str(beyond)) from beyond
    return Op(kind, key, names, value)


def read_key(reader: Reader) -> Key:
    head = reader.varint()
    if head >> 1 > MAX_KEY:
        raise Broken("a key too long")
    data = reader.take(head >> 1)
    return data if head & 1 else text_of(data)


def read_names(reader: Reader) -> tuple[Name, ...]:
    n = reader.varint()
    if n > MAX_NAMES:
        raise Broken("too many names")
    names = [read_name(reader) for _ in range(n)]
    if any(a >= b for a, b in pairwise(names)):
        raise Broken("names out of order")
    return tuple(names)


def read_name(reader: Reader) -> Name:
    id, index = reader.take(32), reader.varint()
    if index > MAX_OPS:
        raise Broken("an index too large")
    return id, index


def read_total(reader: Reader) -> int:
    number = 0
    for k in range(14):
        byte = reader.u8()
        number |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            if byte == 0 and k:
                raise Broken("a total that is not minimal")
            total = number >> 1 if number & 1 == 0 else -((number + 1) >> 1)
            if abs(total) >= 1 << TOTAL_BITS:
                raise Broken("a total too large")
            return total
    raise Broken("a total too long")


def is_later(value: bytes) -> bool:
    """Does a value come apart into tags and blobs, of which one has an unknown tag?"""
    reader = Reader(value)
    try:
        unknown = has_unknown_tag(reader, 0)
        reader.end()
    except Broken:
        return False
    return unknown


def has_unknown_tag(reader: Reader, depth: int) -> bool:
    """In one value that stands in `depth` containers; in those that are too deep nobody looks."""
    tag, content = reader.varint(), Reader(reader.blob())
    if tag not in CONTAINERS or depth == MAX_DEPTH:
        return tag not in (*SCALARS, *CONTAINERS)
    unknown = False
    while not content.done():
        if tag == CONTAINERS[1]:
            content.blob()
        unknown |= has_unknown_tag(content, depth + 1)
    return unknown
