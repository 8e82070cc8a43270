"""Numbers, names, signatures, and the header of a change. Knows no graph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

from nacl import bindings
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


class Broken(Exception):
    """Bytes that do not decode. Whoever reads turns it into one of the verdicts below."""


class Malformed(Exception):
    """The whole bundle (or proof) is not accepted."""


class Refused(Exception):
    """This change is not stored."""


class Void(Exception):
    """This change is stored and has no effect."""


class Later(Exception):
    """This change is kept for a newer version."""


# Numbers


def varint(value: int) -> bytes:
    """LEB128, minimal."""
    if not 0 <= value < 1 << 64:
        raise OverflowError(value)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(value)
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def blob(data: bytes) -> bytes:
    return varint(len(data)) + data


def text_of(data: bytes) -> str:
    """Strict UTF-8: Python's decoder takes no surrogates and no overlong forms."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Broken("not UTF-8") from error


class Reader:
    """Takes bytes from the front of `data`; `Broken` when they run out or do not decode."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def done(self) -> bool:
        return self.at == len(self.data)

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise Broken("bytes run out")
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        for k in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << 7 * k
            if byte < 0x80:
                if byte == 0 and k > 0:
                    raise Broken("varint is not minimal")
                if value >= 1 << 64:
                    raise Broken("varint is too large")
                return value
        raise Broken("varint is too long")

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -((value + 1) >> 1)

    def blob(self) -> bytes:
        return self.take(self.varint())

    def str(self) -> str:
        return text_of(self.blob())

    def flag(self) -> bool:
        """A u8 that is 0 or 1."""
        byte = self.u8()
        if byte > 1:
            raise Broken("neither 0 nor 1")
        return byte == 1

    def end(self) -> None:
        if not self.done():
            raise Broken("bytes left over")


# Names


def digest(personalisation: bytes, message: bytes) -> bytes:
    """H(p, m) of the format page."""
    return hashlib.blake2b(message, digest_size=32, person=personalisation).digest()


def founded_doc_id(key: bytes, nonce: bytes) -> bytes:
    return digest(b"crdtkv-doc-v1", key + nonce)


def lane_id_of(doc_id: bytes, key: bytes, nonce: bytes) -> bytes:
    return digest(b"crdtkv-lane-v1", doc_id + key + nonce)


def body_hash_of(body: bytes) -> bytes:
    return digest(b"crdtkv-body-v1", body)


def change_id_of(lane_id: bytes, header: bytes) -> bytes:
    return hashlib.blake2b(header, digest_size=32, salt=lane_id[:16], person=lane_id[16:]).digest()


def signed_message(doc_id: bytes, lane_id: bytes, seq: int, change_id: bytes) -> bytes:
    return b"crdtkv-sig-v1" + doc_id + lane_id + seq.to_bytes(4, "little") + change_id


def is_valid_key(key: bytes) -> bool:
    """On the curve, canonical, in the prime-order group, not of small order."""
    return bindings.crypto_core_ed25519_is_valid_point(key)


def signature_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


# Header

MAX_SEQ = 2**32 - 2
MAX_PARENTS = 32
MAX_OPS = 2**24
MAX_BODY = 2**24
INLINE = 48


@dataclass(frozen=True)
class Header:
    """Fields as written, forged ones too. `body_ref` is the body itself up to 48 bytes, else its hash."""

    seq: int
    prev: bytes | None
    parents: tuple[bytes, ...]
    n_ops: int
    body_len: int
    body_ref: bytes
    ver: int = 1
    type: int = 1
    epoch: bytes | None = None

    def encode(self) -> bytes:
        out = varint(self.ver) + varint(self.type) + varint(self.seq)
        out += b"\0" if self.prev is None else b"\1" + self.prev
        out += varint(len(self.parents)) + b"".join(self.parents)
        out += varint(self.n_ops)
        out += b"\0" if self.epoch is None else b"\1" + self.epoch
        return out + varint(self.body_len) + self.body_ref


def header_for(
    seq: int, prev: bytes | None, parents: tuple[bytes, ...], n_ops: int, body: bytes, type: int = 1
) -> Header:
    """The honest header over this body."""
    ref = body if len(body) <= INLINE else body_hash_of(body)
    return Header(seq, prev, tuple(sorted(parents)), n_ops, len(body), ref, type=type)


def parse_header(data: bytes) -> Header:
    """Fields of a header; `Refused` if the bytes do not decode."""
    reader = Reader(data)
    try:
        ver, kind, seq = reader.varint(), reader.varint(), reader.varint()
        prev = reader.take(32) if reader.flag() else None
        parents = []
        for _ in range(reader.varint()):
            parents.append(reader.take(32))
        n_ops = reader.varint()
        epoch = reader.take(32) if reader.flag() else None
        body_len = reader.varint()
        ref = reader.take(body_len if body_len <= INLINE else 32)
        reader.end()
    except Broken as error:
        raise Refused(f"header: {error}") from error
    return Header(seq, prev, tuple(parents), n_ops, body_len, ref, ver, kind, epoch)


def check_header(header: Header, type: int = 1) -> None:
    """The rules on a header that need nothing else. `type`: of a document, or of a datastore."""
    for rule, reason in (
        (header.ver == 1, "unknown version"),
        (header.type == type, "of another type"),
        (header.seq <= MAX_SEQ, "seq is too large"),
        ((header.prev is not None) == (header.seq > 0), "prev stands iff seq > 0"),
        (len(header.parents) <= MAX_PARENTS, "more than 32 parents"),
        (all(a < b for a, b in pairwise(header.parents)), "parents do not ascend"),
        (header.n_ops <= MAX_OPS, "n_ops is too large"),
        (header.epoch is None, "key epoch"),
        (header.body_len <= MAX_BODY, "body is too long"),
    ):
        if not rule:
            raise Refused(reason)
