"""A sheaf: headers of changes whose bodies are gone, in columns. Written from docs/format.md, "Sheaf".

Changes are named by number. `first` is the number of the first one, which the row's id says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash
import zstandard

from oracle.wire import Reader, varint, zigzag

HERE, DROPPED, CLAIMED = range(3)
INLINE = 48


@dataclass(frozen=True)
class Item:
    number: int
    lane: int
    state: int
    prev: int | None
    parents: tuple[int, ...]
    n_ops: int
    body_len: int
    tail: bytes  # the body, or its hash
    time: int = 0
    message: str | None = None
    signature: bytes | None = None


def signed(time: int) -> int:
    """Times wrap around."""
    time %= 1 << 64
    return time - (1 << 64) if time >> 63 else time


def write_sheaf(items: Sequence[Item], ids: bytes, *, squeeze: bool = False) -> bytes:
    """ids: the digest of what they are called."""
    columns = b"".join(varint(b.number - a.number - 1) for a, b in zip(items, items[1:], strict=False))
    columns += bytes(i.state | (i.signature is not None) << 2 | (i.message is not None) << 3 for i in items)
    columns += b"".join(varint(i.lane) for i in items)
    columns += b"".join(varint(0 if i.prev is None else i.number - i.prev) for i in items)
    for i in items:
        columns += varint(len(i.parents)) + b"".join(varint(i.number - p) for p in i.parents)
    columns += b"".join(varint(i.n_ops) for i in items) + b"".join(varint(i.body_len) for i in items)
    times = [0, *(i.time for i in items)]
    columns += b"".join(zigzag(signed(b - a)) for a, b in zip(times, times[1:], strict=False))
    for i in items:
        if i.message is not None:
            columns += varint(len(i.message.encode())) + i.message.encode()
    columns += b"".join(i.tail for i in items if i.body_len <= INLINE)
    out = b"\1" + varint(len(items)) + ids
    if squeeze:
        packed = zstandard.ZstdCompressor().compress(columns)
        out += varint(len(columns)) + varint(len(packed)) + packed
    else:
        out += varint(0) + varint(len(columns)) + columns
    out += b"".join(i.tail for i in items if i.body_len > INLINE)
    out += b"".join(i.signature for i in items if i.signature is not None)
    return xxhash.xxh3_64_intdigest(out).to_bytes(8, "little") + out


def read_sheaf(data: bytes, first: int) -> tuple[list[Item], bytes]:
    """The items, and the digest of what they are called."""
    assert xxhash.xxh3_64_intdigest(data[8:]).to_bytes(8, "little") == data[:8]
    r = Reader(data[8:])
    assert r.u8() == 1
    n = r.varint()
    ids = r.take(32)
    raw_len = r.varint()
    columns = r.blob()
    if raw_len:
        columns = zstandard.ZstdDecompressor().decompress(columns, max_output_size=raw_len)
        assert len(columns) == raw_len
    c = Reader(columns)
    numbers = [first]
    for _ in range(n - 1):
        numbers.append(numbers[-1] + 1 + c.varint())
    kinds = [c.u8() for _ in numbers]
    lanes = [c.varint() for _ in numbers]
    backs = [c.varint() for _ in numbers]
    parents = [tuple(number - c.varint() for _ in range(c.varint())) for number in numbers]
    n_ops = [c.varint() for _ in numbers]
    lens = [c.varint() for _ in numbers]
    times = [0]
    for _ in numbers:
        times.append(signed(times[-1] + c.zigzag()))
    messages = [c.blob().decode() if kind & 8 else None for kind in kinds]
    bodies = [c.take(size) if size <= INLINE else None for size in lens]
    assert c.done()
    tails = [r.take(32) if body is None else body for body in bodies]
    signatures = [r.take(64) if kind & 4 else None for kind in kinds]
    assert r.done()
    items = [
        Item(
            number=number,
            lane=lanes[i],
            state=kinds[i] & 3,
            prev=number - backs[i] if backs[i] else None,
            parents=parents[i],
            n_ops=n_ops[i],
            body_len=lens[i],
            tail=tails[i],
            time=times[i + 1],
            message=messages[i],
            signature=signatures[i],
        )
        for i, number in enumerate(numbers)
    ]
    return items, ids


def header_of(item: Item, ids: Sequence[bytes], seqs: Sequence[int]) -> bytes:
    """The header that was hashed and signed; ids and seqs of all changes, by number."""
    seq = 0 if item.prev is None else seqs[item.prev] + 1
    out = varint(1) + varint(2) + varint(seq)
    out += b"\0" if item.prev is None else b"\1" + ids[item.prev]
    out += varint(len(item.parents)) + b"".join(ids[p] for p in item.parents)
    return out + varint(item.n_ops) + b"\0" + varint(item.body_len) + item.tail


def digest_of(ids: Sequence[bytes]) -> bytes:
    return hashlib.blake2b(b"".join(ids), digest_size=32, person=b"crdtkv-sheaf-v1").digest()
