"""Frames: what the two ends of a link say. One WebSocket message each; docs/format.md, "Links".

Reading is bounded, and every bit of a frame is covered by a checksum: TCP's own lets one wrong packet in many through.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple, TypeAlias

from crdtkv.errors import DecodeError
from crdtkv.net.directory import KINDS, LONGEST_NAME, Entry
from crdtkv.net.limits import FRAME, Code, LinkError
from crdtkv.net.presence import WORD
from crdtkv.net.wire import Reader, blob, varint

__all__ = ["Barrier", "Frame", "Gone", "Hello", "Names", "Passed", "Proof", "Said", "Taken", "Words", "read", "write"]

MAGIC = b"CKL"
VERSION = 1
HELLO, PROOF, NAMES, GONE, SAID, BARRIER, PASSED, WORDS, TAKEN = range(1, 10)
MOST_NAMES = 256  # in one frame
NAMES_AT_ONCE = 32  # that are said in one: making them takes the other end a while
MOST_WORDS = 64
LONGEST_ENDPOINT = 300
NUMBERS = 1 << 32


class Hello(NamedTuple):
    """The first thing each end says."""

    key: bytes
    nonce: bytes
    with_token: bool
    only: Entry | None  # the one object that this end is; its name does not travel
    endpoint: str  # host and port as the client dialled them; "" from the server


class Proof(NamedTuple):
    """That it has the key, and the token, if there is one."""

    signature: bytes
    mac: bytes  # b"" without a token


class Names(NamedTuple):
    """What this end shares; from the first on, the entries of an end have the numbers 0, 1, 2, ..."""

    entries: tuple[Entry, ...]


class Gone(NamedTuple):
    """Of one entry nothing more is said."""

    own: bool  # the speaker's, by its number; else the other end's
    number: int


class Said(NamedTuple):
    """A message of the session of one object, by the speaker's number."""

    number: int
    taken: int  # how many messages of this session the speaker has taken in
    message: bytes


class Taken(NamedTuple):
    """How many messages of the session of one object the speaker has taken in, when there is nothing else to say."""

    number: int
    n: int


class Barrier(NamedTuple):
    """Say `Passed` when you have told all that you have now."""

    number: int


class Passed(NamedTuple):
    """The answer."""

    number: int


class Words(NamedTuple):
    """Of presence: (age in ms, word)."""

    words: tuple[tuple[int, bytes], ...]


Frame: TypeAlias = Hello | Proof | Names | Gone | Said | Taken | Barrier | Passed | Words


def write(frame: Frame) -> bytes:
    """A frame as bytes.

    >>> read(write(Barrier(7)))
    Barrier(number=7)
    """
    body = _body(frame)
    return body + zlib.crc32(body).to_bytes(4, "little")


def _body(frame: Frame) -> bytes:
    match frame:
        case Said(number, taken, message):
            return bytes([SAID]) + varint(number) + varint(taken) + message
        case Taken(number, n):
            return bytes([TAKEN]) + varint(number) + varint(n)
        case Hello(key, nonce, with_token, only, endpoint):
            place = b"\0" if only is None else bytes([1 + KINDS.index(only.kind)]) + only.id
            return b"".join(
                (bytes([HELLO]), MAGIC, bytes([VERSION, with_token]), key, nonce, place, blob(endpoint.encode()))
            )
        case Proof(signature, mac):
            return bytes([PROOF]) + signature + mac
        case Names(entries):
            return bytes([NAMES]) + b"".join(
                bytes([1 + KINDS.index(kind)]) + id + blob(name.encode()) for name, kind, id in entries
            )
        case Gone(own, number):
            return bytes([GONE, own]) + varint(number)
        case Barrier(number):
            return bytes([BARRIER]) + varint(number)
        case Passed(number):
            return bytes([PASSED]) + varint(number)
        case Words(words):
            return bytes([WORDS]) + b"".join(varint(age) + blob(word) for age, word in words)


def read(data: bytes) -> Frame | None:
    """What somebody sent. None: of a kind that only a later version knows. DecodeError."""
    if not 5 <= len(data) <= FRAME:
        raise DecodeError(f"a frame has 5 to {FRAME} bytes, not {len(data)}")
    body = data[:-4]
    if zlib.crc32(body) != int.from_bytes(data[-4:], "little"):
        raise DecodeError("frame: checksum does not match")
    r = Reader(body)
    frame = _read(r)
    if frame is not None:
        r.end()
    return frame


def _read(r: Reader) -> Frame | None:
    match r.byte():
        case 5:  # SAID, by far the most frequent
            return Said(r.varint(NUMBERS), r.varint(), r.rest())
        case 1:
            return _hello(r)
        case 2:
            return Proof(r.take(64), r.rest())
        case 3:
            return Names(_entries(r))
        case 4:
            own = r.byte()
            if own > 1:
                raise r.broken("flags")
            return Gone(bool(own), r.varint(NUMBERS))
        case 6:
            return Barrier(r.varint())
        case 7:
            return Passed(r.varint())
        case 8:
            return Words(_words(r))
        case 9:
            return Taken(r.varint(NUMBERS), r.varint())
    return None


def _hello(r: Reader) -> Hello:
    if r.take(3) != MAGIC:
        raise r.broken("not the beginning of a link")
    version = r.byte()
    if version != VERSION:
        raise LinkError(Code.VERSION, f"version {version} of the protocol; this end speaks {VERSION}")
    with_token = r.byte()
    if with_token > 1:
        raise r.broken("flags")
    key, nonce = r.take(32), r.take(32)
    kind = r.byte()
    only = None if kind == 0 else Entry("", _kind(r, kind), r.take(32))
    return Hello(key, nonce, bool(with_token), only, r.text(LONGEST_ENDPOINT))


def _kind(r: Reader, kind: int) -> str:
    if not 1 <= kind <= len(KINDS):
        raise r.broken("a kind of object that is not known")
    return KINDS[kind - 1]


def _entries(r: Reader) -> tuple[Entry, ...]:
    entries = []
    while r.left:
        kind, id = _kind(r, r.byte()), r.take(32)
        entries.append(Entry(r.text(LONGEST_NAME), kind, id))
        if len(entries) > MOST_NAMES:
            raise r.broken(f"more than {MOST_NAMES} names at once")
    if not entries:
        raise r.broken("no names")
    return tuple(entries)


def _words(r: Reader) -> tuple[tuple[int, bytes], ...]:
    words = []
    while r.left:
        age = r.varint(NUMBERS)
        words.append((age, r.blob(WORD)))
        if len(words) > MOST_WORDS:
            raise r.broken(f"more than {MOST_WORDS} words at once")
    return tuple(words)
