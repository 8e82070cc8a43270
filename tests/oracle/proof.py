"""Proofs of equivocation: two paths of headers, from one place of a lane to two signatures of its author."""

from __future__ import annotations

from dataclasses import dataclass

import xxhash

from .bundle import seal
from .wire import (
    Broken,
    Header,
    Malformed,
    Reader,
    Refused,
    blob,
    change_id_of,
    is_valid_key,
    lane_id_of,
    parse_header,
    signature_holds,
    signed_message,
    varint,
)

MAGIC = b"CKP\x01"
MAX_PROOF = 2 * 1024 * 1024


@dataclass(frozen=True)
class Side:
    headers: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True)
class Proof:
    doc_id: bytes
    key: bytes
    nonce: bytes
    seq: int
    sides: tuple[Side, Side]

    @property
    def lane_id(self) -> bytes:
        return lane_id_of(self.doc_id, self.key, self.nonce)


def write_proof(proof: Proof) -> bytes:
    """Unchecked. The caller puts the side with the smaller first id first."""
    out = MAGIC + proof.doc_id + proof.key + proof.nonce + varint(proof.seq)
    for side in proof.sides:
        out += varint(len(side.headers)) + b"".join(blob(header) for header in side.headers) + side.signature
    return seal(out)


def read_proof(data: bytes) -> Proof:
    """`Malformed` for what is no proof at all."""
    if not 12 <= len(data) <= MAX_PROOF or data[:4] != MAGIC:
        raise Malformed("magic")
    if xxhash.xxh3_64_intdigest(data[:-8]) != int.from_bytes(data[-8:], "little"):
        raise Malformed("check")
    reader = Reader(data[4:-8])
    try:
        doc_id, key, nonce, seq = reader.take(32), reader.take(32), reader.take(16), reader.varint()
        sides = read_side(reader), read_side(reader)
        reader.end()
    except Broken as error:
        raise Malformed(str(error)) from error
    return Proof(doc_id, key, nonce, seq, sides)


def read_side(reader: Reader) -> Side:
    n = reader.varint()
    if n == 0:
        raise Malformed("a side of nothing")
    headers = []
    for _ in range(n):
        headers.append(reader.blob())
    return Side(tuple(headers), reader.take(64))


def holds(proof: Proof) -> bool:
    """Did the author of this lane sign two histories that part at `seq`?"""
    lane_id = proof.lane_id
    if not is_valid_key(proof.key):
        return False
    firsts: list[Header] = []
    for side in proof.sides:
        try:
            headers = [parse_header(data) for data in side.headers]
        except Refused:
            return False
        ids = [change_id_of(lane_id, data) for data in side.headers]
        for k in range(1, len(ids)):
            if headers[k].prev != ids[k - 1] or headers[k].seq != headers[k - 1].seq + 1:
                return False
        if headers[0].seq != proof.seq or headers[-1].seq > 0xFFFFFFFF:
            return False
        if not signature_holds(
            proof.key, signed_message(proof.doc_id, lane_id, headers[-1].seq, ids[-1]), side.signature
        ):
            return False
        firsts.append(headers[0])
    a, b = (change_id_of(lane_id, side.headers[0]) for side in proof.sides)
    return firsts[0].prev == firsts[1].prev and a < b
