"""One message of a session: its frame, and the keyed hash h of the format page."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import xxhash

from .wire import Broken, Malformed, Reader, blob, digest, varint

KIND = 0x50
MAX_MESSAGE = 2**20 + 4096
COMPARE, LATER, BUNDLE, LIVE = 1, 2, 3, 4


class Misfit(Exception):
    """A message that breaks a rule of sessions: this one is over."""


@dataclass(frozen=True)
class Hello:
    root: bytes
    later: bytes
    salt: bytes


@dataclass
class Message:
    more: bool
    number: int
    heard: int
    hello: Hello | None = None
    parts: dict[int, bytes] = field(default_factory=dict)


def write_message(message: Message) -> bytes:
    out = bytes([KIND + message.more]) + varint(message.number) + varint(message.heard)
    if message.hello:
        out += message.hello.root + message.hello.later + message.hello.salt
    for tag in sorted(message.parts):
        out += varint(tag) + blob(message.parts[tag])
    return out + check(out)


def read_message(data: bytes) -> Message:
    if len(data) > MAX_MESSAGE:
        raise Misfit("too long")
    try:
        return _read_message(data)
    except Broken as error:
        raise Malformed(str(error)) from error


def _read_message(data: bytes) -> Message:
    if len(data) < 4 or check(data[:-4]) != data[-4:]:
        raise Malformed("check")
    reader = Reader(data[:-4])
    kind = reader.u8()
    if kind not in (KIND, KIND + 1):
        raise Malformed("no message")
    message = Message(kind > KIND, reader.varint(), reader.varint())
    if message.number == 1:
        message.hello = Hello(reader.take(32), reader.take(16), reader.take(8))
    last = -1
    while not reader.done():
        tag = reader.varint()
        if tag <= last:
            raise Malformed("tags out of order")
        last = tag
        message.parts[tag] = reader.blob()
    return message


def check(data: bytes) -> bytes:
    return (xxhash.xxh3_64_intdigest(data) & 0xFFFFFFFF).to_bytes(4, "little")


# The keyed hash


def session_key(doc_id: bytes, a: Hello, b: Hello) -> bytes:
    return digest(b"crdtkv-sync-v1", doc_id + min(a.salt, b.salt) + max(a.salt, b.salt))[:16]


def siphash(key: bytes, data: bytes) -> int:
    """SipHash-2-4 (Aumasson, Bernstein 2012)."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        sip_round(v)
        sip_round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def sip_round(v: list[int]) -> None:
    half(v, 0, 1, 13, 32)
    half(v, 2, 3, 16, 0)
    half(v, 0, 3, 21, 0)
    half(v, 2, 1, 17, 32)


def half(v: list[int], a: int, b: int, turn: int, then: int) -> None:
    v[a] = (v[a] + v[b]) % 2**64
    v[b] = rotated(v[b], turn) ^ v[a]
    v[a] = rotated(v[a], then)


def rotated(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) % 2**64
