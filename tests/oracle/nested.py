"""Nested values: what a store keeps under a key."""

from __future__ import annotations

import math
import struct
from typing import Any

from .wire import Broken, Reader, blob, text_of, varint, zigzag

NONE, FALSE, TRUE, INT, FLOAT, STR, BYTES, LIST, DICT = 0, 1, 2, 3, 4, 5, 6, 32, 33
NAN = bytes.fromhex("000000000000f87f")
MAX_DEPTH = 64
MAX_BYTES = 1 << 20


class Beyond(Exception):
    """Well formed, beyond a limit."""


def nested(value: Any) -> bytes:
    """The bytes of a value."""
    data = write(value, 0)
    if len(data) > MAX_BYTES:
        raise Beyond("longer than 1 MiB")
    return data


def write(value: Any, depth: int) -> bytes:
    """One value that stands in `depth` containers."""
    match value:
        case None:
            return varint(NONE) + blob(b"")
        case bool():
            return varint(TRUE if value else FALSE) + blob(b"")
        case int():
            return varint(INT) + blob(zigzag(value))
        case float():
            return varint(FLOAT) + blob(NAN if math.isnan(value) else struct.pack("<d", value))
        case str():
            return varint(STR) + blob(value.encode())
        case bytes():
            return varint(BYTES) + blob(value)
        case list() | tuple() | dict() if depth == MAX_DEPTH:
            raise Beyond("too deep")
        case list() | tuple():
            return varint(LIST) + blob(b"".join(write(item, depth + 1) for item in value))
        case dict():
            entries = (blob(key.encode()) + write(item, depth + 1) for key, item in value.items())
            return varint(DICT) + blob(b"".join(entries))
    raise TypeError(type(value))


def read_nested(reader: Reader, depth: int = 0) -> Any:
    """One value that stands in `depth` containers; `Broken` if it is none."""
    start = reader.at
    tag, content = reader.varint(), Reader(reader.blob())
    if reader.at - start > MAX_BYTES:
        raise Beyond("longer than 1 MiB")
    if tag in (LIST, DICT) and depth == MAX_DEPTH:
        raise Beyond("too deep")
    if tag == LIST:
        items = []
        while not content.done():
            items.append(read_nested(content, depth + 1))
        return items
    if tag == DICT:
        entries: dict[str, Any] = {}
        while not content.done():
            key = content.str()
            if key in entries:
                raise Broken("a key twice")
            entries[key] = read_nested(content, depth + 1)
        return entries
    value = read_scalar(tag, content)
    content.end()
    return value


def read_scalar(tag: int, content: Reader) -> Any:
    match tag:
        case 0 | 1 | 2:
            return (None, False, True)[tag]
        case 3:
            return content.zigzag()
        case 4:
            bits = content.take(8)
            number = struct.unpack("<d", bits)[0]
            if math.isnan(number) and bits != NAN:
                raise Broken("another NaN")
            return number
        case 5:
            return text_of(content.take(len(content.data)))
        case 6:
            return content.take(len(content.data))
    raise Broken("unknown tag")
