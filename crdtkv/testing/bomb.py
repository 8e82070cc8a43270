"""Bomb: few bytes that claim to unpack to many."""

from __future__ import annotations

from crdtkv import _core
from crdtkv.testing.wire import varint

__all__ = ["bomb_of"]

BOMB_BYTES = 64 << 10
ZSTD_MAGIC, ZSTD_BLOCK = b"\x28\xb5\x2f\xfd", 128 << 10


def bomb_of(head: bytes, payload: bytes, size: int, wrapping: int) -> bytes:
    """A bundle that claims to unpack to `size` bytes, this payload and zeros; with `wrapping` bytes around it no larger
    than BOMB_BYTES. ValueError: the payload does not fit."""
    payload = _fill(payload, size)
    frame = ZSTD_MAGIC + b"\xe0" + size.to_bytes(8, "little")  # one segment, 8 bytes of size
    room = BOMB_BYTES - wrapping - len(head) - 19 - len(frame) - len(payload) - 3
    zeros = size - len(payload)
    n_blocks = min(-(-zeros // ZSTD_BLOCK), room // 4)
    frame += _block(0, len(payload), n_blocks == 0) + payload
    for k in range(n_blocks):
        frame += _block(1, min(ZSTD_BLOCK, zeros - k * ZSTD_BLOCK), k + 1 == n_blocks) + b"\0"
    packed = head + b"\1" + varint(size) + frame
    return packed + _core._checksum(packed).to_bytes(8, "little")


def _fill(payload: bytes, size: int) -> bytes:
    """These sections and the beginning of one that nobody knows, whose content fills up to `size`."""
    for tag in (99, 999):  # one of them fits: a length that needs a byte more is a byte shorter
        for digits in range(1, 11):
            n = size - len(payload) - len(varint(tag)) - digits
            if n >= 0 and len(varint(n)) == digits:
                return payload + varint(tag) + varint(n)
    raise ValueError(f"a change does not fit {size} bytes")


def _block(kind: int, size: int, is_last: bool) -> bytes:
    """The header of a block of a Zstandard frame; kind 0: as it is, 1: one byte repeated."""
    return (int(is_last) | kind << 1 | size << 3).to_bytes(3, "little")
