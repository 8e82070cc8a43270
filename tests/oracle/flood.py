"""Floods: signed changes in great numbers, as fast as Python goes. Everything follows from the arguments.

One author opens as many lanes as he likes. Each change sets one key of the root map and travels raw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import islice

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from .bundle import frame_bundle, write_sections
from .wire import blob, change_id_of, lane_id_of, signed_message, varint

Signed = tuple[bytes, bytes, bytes]  # opening (key, nonce), header, signature


def body_of(key: str) -> bytes:
    """SET of a key of the root map to None."""
    op = b"\0" + blob(key.encode()) + b"\0\0"
    return b"\0\0" + varint(3) + blob(op)


def header_of(seq: int, prev: bytes | None, parents: Iterable[bytes], body: bytes) -> bytes:
    names = sorted(parents)
    past = (b"\1" + prev if prev else b"\0") + varint(len(names)) + b"".join(names)
    return varint(1) + varint(1) + varint(seq) + past + varint(1) + b"\0" + varint(len(body)) + body


def unknown(n: int) -> bytes:
    """The id of a change that nobody has."""
    return blake2b(n.to_bytes(8, "little"), digest_size=32, person=b"unknown").digest()


class Flooder:
    def __init__(self, doc_id: bytes, seed: int = 1) -> None:
        self.doc_id = doc_id
        self.key, self._secret = crypto_sign_seed_keypair(seed.to_bytes(32, "little"))

    def opening(self, lane: int) -> bytes:
        return self.key + lane.to_bytes(16, "little")

    def lane_id(self, lane: int) -> bytes:
        return lane_id_of(self.doc_id, self.key, lane.to_bytes(16, "little"))

    def sign(self, lane: int, seq: int, header: bytes) -> tuple[Signed, bytes]:
        """The change, and its id."""
        lane_id = self.lane_id(lane)
        change_id = change_id_of(lane_id, header)
        message = signed_message(self.doc_id, lane_id, seq, change_id)
        return (self.opening(lane), header, crypto_sign(message, self._secret)[:64]), change_id

    def dangling(self, n: int, lanes: int = 1) -> Iterator[Signed]:
        """First changes of lanes, each with a parent of its own that nobody has."""
        for i in range(n):
            yield self.sign(i % lanes, 0, header_of(0, None, [unknown(i)], body_of("k")))[0]

    def siblings(self, n: int) -> Iterator[tuple[Signed, bytes]]:
        """So many first changes of one lane."""
        for i in range(n):
            yield self.sign(0, 0, header_of(0, None, [], body_of(str(i))))

    def lanes(self, n: int) -> Iterator[Signed]:
        """Lanes of one change, each of which sets a key of its own."""
        for i in range(n):
            yield self.sign(i, 0, header_of(0, None, [], body_of(str(i))))[0]

    def chain(self, n: int, *, fits: Callable[[bytes], bool] | None = None) -> Iterator[Signed]:
        """One lane. `fits` chooses ids: bodies are tried until one does."""
        prev, tried = None, 0
        lane_id = self.lane_id(0)
        for seq in range(n):
            while True:
                header = header_of(seq, prev, [], body_of(f"k{tried}" if fits else "k"))
                tried += 1
                if fits is None or fits(change_id_of(lane_id, header)):
                    break
            signed, prev = self.sign(0, seq, header)
            yield signed


def bundle_of(doc_id: bytes, changes: Iterable[Signed], *, chained: bool = False) -> bytes:
    """One bundle, each change a chain of its own; or all of them one, with the last signature and one in 1,024."""
    lanes: dict[bytes, int] = {}
    items = list(changes)
    for opening, _, _ in items:
        lanes.setdefault(opening, len(lanes))
    if chained:
        signed = [k for k in range(len(items)) if k % 1024 == 1023 or k == len(items) - 1]
        gaps = [k - last - 1 for last, k in zip([-1, *signed], signed, strict=False)]
        chains = varint(1) + varint(0) + b"\0" + varint(len(signed)) + b"".join(map(varint, gaps))
        slices = varint(0) + b"\1" + varint(len(items))
    else:
        signed = list(range(len(items)))
        each = (varint(lanes[opening]) + b"\0\1\0" for opening, _, _ in items)
        chains = varint(len(items)) + b"".join(each)
        slices = b"".join(varint(k) + b"\1\1" for k in range(len(items)))
    sections = {
        1: varint(len(lanes)) + b"".join(b"\1" + opening for opening in lanes),
        2: chains,
        3: slices,
        9: b"".join(items[k][2] for k in signed),
        10: b"".join(blob(header) + b"\0" for _, header, _ in items),
    }
    return frame_bundle(doc_id, write_sections(sections))


def bundles_of(doc_id: bytes, changes: Iterable[Signed], per_bundle: int = 1000) -> Iterator[bytes]:
    rest = iter(changes)
    while some := list(islice(rest, per_bundle)):
        yield bundle_of(doc_id, some)
