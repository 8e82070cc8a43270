"""Frames: the bytes of messages over NATS. Whoever may publish can send any: reading is bounded and believes nothing.

Three kinds: a Piece of a bundle for the log, a Notice of what somebody holds, a Note of a talk between two. A frame is
a version byte, a kind byte and the fields in their order. docs/network.md, "NATS JetStream".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from crdtkv.errors import DecodeError
from crdtkv.identity import Identity
from crdtkv.net.wire import Reader, blob, varint

__all__ = ["LARGEST", "Note", "Notice", "Piece", "pieces_of"]

VERSION = 1
PIECE, NOTICE, NOTE = b"\x01P", b"\x01N", b"\x01T"
DOMAIN = b"crdtkv-net-v1\x04"
LONGEST_NAME = 255  # bytes, as in a directory
LARGEST = 32 << 20  # bytes of a bundle in pieces: a change of 16 MiB, and room
MOST_PIECES = 1024
FIELDS = 512  # bytes of a frame that are not payload, at most
MESSAGE = (1 << 20) + (4 << 10)  # bytes of a session's message


def reader_of(data: bytes, kind: bytes) -> Reader:
    """Behind version and kind. DecodeError: it is of another kind."""
    reader = Reader(data)
    if reader.take(2) != kind:
        raise reader.broken("this is no frame of its kind and version")
    return reader


@dataclass(frozen=True, slots=True)
class Piece:
    """One of `n` pieces of a bundle: what stands in the log.

    >>> Piece.decode(Piece("notes", b"", 0, 1, b"bundle").encode()).data
    b'bundle'
    """

    name: str  # what the publisher calls the object, "" if nothing
    bundle: bytes  # 16 bytes, the digest of the whole; b"" if this is the whole
    index: int
    n: int
    data: bytes

    def encode(self) -> bytes:
        """As bytes."""
        head = PIECE + blob(self.name.encode()) + varint(self.n)
        return head + (varint(self.index) + self.bundle if self.n > 1 else b"") + self.data

    @classmethod
    def decode(cls, data: bytes) -> Piece:
        """From bytes; DecodeError."""
        reader = reader_of(data, PIECE)
        name, n = reader.text(LONGEST_NAME), reader.varint(MOST_PIECES + 1)
        if n == 0:
            raise reader.broken("no pieces")
        index = reader.varint(n) if n > 1 else 0
        return cls(name, reader.take(16) if n > 1 else b"", index, n, reader.rest())


def pieces_of(name: str, bundle: bytes, room: int) -> Iterator[bytes]:
    """A bundle as frames of at most `room` bytes.

    >>> [len(frame) for frame in pieces_of("", bytes(2000), 1512)]
    [1021, 1021]
    """
    size = max(1, room - FIELDS)
    n = -(-len(bundle) // size)
    if n <= 1:
        yield Piece(name, b"", 0, 1, bundle).encode()
        return
    if n > MOST_PIECES or len(bundle) > LARGEST:
        raise DecodeError(f"a bundle of {len(bundle)} bytes does not fit in messages of {room}")
    whole, size = blake2b(bundle, digest_size=16).digest(), -(-len(bundle) // n)
    for i in range(n):
        yield Piece(name, whole, i, n, bundle[i * size : (i + 1) * size]).encode()


@dataclass(frozen=True, slots=True)
class Notice:
    """What a peer says it holds of an object, signed by whom it speaks for.

    A notice proves that somebody with this key said so, not that it is true: it may start a talk, never end one.
    """

    author: bytes
    peer: bytes  # 16 bytes, where talks reach it
    number: int  # ms: grows with every notice of a peer
    wants_answer: bool
    is_logged: bool  # all of it is in the log
    root: bytes
    n_changes: int
    position: int  # of the log, up to where it has read
    name: str

    def fields(self) -> bytes:
        """What is signed, and what comes first."""
        return (
            NOTICE
            + self.author
            + self.peer
            + varint(self.number)
            + bytes([self.is_logged << 1 | self.wants_answer])
            + self.root
            + varint(self.n_changes)
            + varint(self.position)
            + blob(self.name.encode())
        )

    def encode(self, identity: Identity, place: bytes) -> bytes:
        """As bytes, signed. `place`: the subject it is for."""
        fields = self.fields()
        return fields + identity._sign(DOMAIN + blob(place) + fields)

    @classmethod
    def decode(cls, data: bytes) -> tuple[Notice, bytes]:
        """From bytes, with its signature, which is not verified yet; DecodeError."""
        reader = reader_of(data, NOTICE)
        author, peer, number, flags = reader.take(32), reader.take(16), reader.varint(), reader.varint(4)
        notice = cls(
            author,
            peer,
            number,
            bool(flags & 1),
            bool(flags & 2),
            reader.take(32),
            reader.varint(),
            reader.varint(),
            reader.text(LONGEST_NAME),
        )
        signature = reader.take(64)
        reader.end()
        return notice, signature

    def is_signed(self, signature: bytes, place: bytes) -> bool:
        """Did its author say this, and here?"""
        return Identity._verifies(self.author, DOMAIN + blob(place) + self.fields(), signature)


OPEN, WORD, END, BUSY = range(4)


@dataclass(frozen=True, slots=True)
class Note:
    """Part of a talk: a session's message, or a piece of one."""

    talk: bytes  # 8 bytes
    peer: bytes  # whom to answer
    what: int  # OPEN (the payload is kind and id of the object), WORD, END, BUSY
    number: int  # of this note in its direction, from 0
    is_last: bool  # the message ends here
    data: bytes

    def encode(self) -> bytes:
        """As bytes."""
        flags = bytes([self.what << 1 | self.is_last])
        return NOTE + self.talk + self.peer + flags + varint(self.number) + self.data

    @classmethod
    def decode(cls, data: bytes) -> Note:
        """From bytes; DecodeError."""
        reader = reader_of(data, NOTE)
        talk, peer, flags = reader.take(8), reader.take(16), reader.varint(8)
        return cls(talk, peer, flags >> 1, reader.varint(), bool(flags & 1), reader.rest())
