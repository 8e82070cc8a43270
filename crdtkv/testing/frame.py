"""Messages of a session that no honest end writes: frames with any number and part, ranges that lie. docs/format.md."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from crdtkv import _core
from crdtkv.errors import DecodeError
from crdtkv.testing.wire import Reader, blob, digest, varint

__all__ = ["BUNDLE", "COMPARE", "LATER", "LIVE", "Hello", "Message", "read", "repair", "siphash", "write"]

COMPARE, LATER, BUNDLE, LIVE = 1, 2, 3, 4
SKIP, PRINT, TIPS, HAVE, KNOWN, PAST, FOUND = range(7)
WORD = (1 << 64) - 1

Tip: TypeAlias = tuple[int, int, int]  # key, height, h(id)


@dataclass(frozen=True, slots=True)
class Hello:
    root: bytes
    later: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Message:
    number: int
    heard: int
    parts: Mapping[int, bytes]
    hello: Hello | None


def repair(data: bytes) -> bytes:
    """The same message with the 32-bit check at its end made right again."""
    return data[:-4] + (_core._checksum(data[:-4]) & 0xFFFFFFFF).to_bytes(4, "little")


def write(number: int, heard: int, parts: Iterable[tuple[int, bytes]] = (), hello: Hello | None = None) -> bytes:
    """A message, unchecked: parts stand as given, a hello in any message. It says that more is to come."""
    greeting = hello.root + hello.later + hello.salt if hello else b""
    said = b"".join(varint(tag) + blob(part) for tag, part in parts)
    return repair(b"\x51" + varint(number) + varint(heard) + greeting + said + bytes(4))


def read(data: bytes) -> Message:
    """DecodeError for what is no message."""
    reader = Reader(data[1:-4])
    number, heard = reader.varint(), reader.varint()
    hello = Hello(reader.take(32), reader.take(16), reader.take(8)) if number == 1 else None
    parts = {}
    while reader.at < len(reader.data):
        tag = reader.varint()
        parts[tag] = reader.take(reader.varint())
    return Message(number, heard, parts, hello)


def key_of(doc_id: bytes, ours: bytes, theirs: bytes) -> bytes:
    """The key of a session with these salts."""
    return digest(b"crdtkv-sync-v1", doc_id + min(ours, theirs) + max(ours, theirs))[:16]


# ---- SipHash-2-4 (Aumasson, Bernstein 2012)


def siphash(key: bytes, data: bytes) -> int:
    """h of the format.

    >>> from crdtkv.testing.frame import siphash
    >>> hex(siphash(bytes(range(16)), bytes(range(15))))     # the vector of its authors
    '0xa129ca6149be45e5'
    """
    k0, k1 = struct.unpack("<QQ", key)
    v = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        a, b, c, d = _round(*_round(v[0], v[1], v[2], v[3] ^ word))
        v = (a ^ word, b, c, d)
    v = (v[0], v[1], v[2] ^ 0xFF, v[3])
    for _ in range(4):
        v = _round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) & WORD


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a, c = a + b & WORD, c + d & WORD
    b, d = _turned(b, 13) ^ a, _turned(d, 16) ^ c
    a, c = _turned(a, 32) + d & WORD, c + b & WORD
    d, b = _turned(d, 21) ^ a, _turned(b, 17) ^ c
    return a, b, _turned(c, 32), d


# ---- ranges


def bound(hi: int) -> bytes:
    """0: no end."""
    data = hi.to_bytes(8, "big").rstrip(b"\0")
    return bytes([len(data)]) + data


def _listed(tips: Sequence[Tip]) -> bytes:
    said = (key.to_bytes(8, "little") + varint(height) + id.to_bytes(8, "little") for key, height, id in tips)
    return varint(len(tips)) + b"".join(said)


def skip(hi: int) -> bytes:
    return bytes([SKIP]) + bound(hi)


def fingerprint(hi: int, total: int, n: int) -> bytes:
    return bytes([PRINT]) + bound(hi) + total.to_bytes(8, "little") + varint(n)


def listing(hi: int, tips: Sequence[Tip]) -> bytes:
    return bytes([TIPS]) + bound(hi) + _listed(tips)


def having(bits: bytes, tips: Sequence[Tip]) -> bytes:
    return bytes([HAVE]) + bits + _listed(tips)


def knowing(bits: bytes) -> bytes:
    return bytes([KNOWN]) + bits


def past(hashes: Sequence[int]) -> bytes:
    return bytes([PAST]) + b"".join(each.to_bytes(8, "little") for each in hashes)


def found(index: int) -> bytes:
    return bytes([FOUND]) + varint(index)


def read_bound(reader: Reader) -> int:
    n = reader.take(1)[0]
    return int.from_bytes(reader.take(n).ljust(8, b"\0"), "big")


def read_tips(reader: Reader) -> list[Tip]:
    out = []
    for _ in range(reader.varint()):
        key = int.from_bytes(reader.take(8), "little")
        height = reader.varint()
        out.append((key, height, int.from_bytes(reader.take(8), "little")))
    return out


class Stream:
    """The ranges in a stream of compare parts, cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, part: bytes) -> list[bytes]:
        """Those that are whole now."""
        self._rest += part
        out = []
        while True:
            reader = Reader(self._rest)
            try:
                out.append(reader.take(reader.varint()))
            except DecodeError:
                return out
            self._rest = self._rest[reader.at :]
