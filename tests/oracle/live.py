"""Live changes: a few changes behind others that both ends remember, as tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .bundle import OPENED, Chain, Lane, item_of, opened
from .graph import Change
from .message import Misfit
from .wire import Header, Malformed, Reader, blob, header_for, varint

TRACKS = 64
MAX_RUN = 8


@dataclass
class Track:
    lane: Lane
    seq: int
    prev: bytes | None


class Tracks:
    """Those of one direction."""

    def __init__(self, doc_id: bytes) -> None:
        self.doc_id = doc_id
        self.tracks: dict[int, Track] = {}
        self.turn = 0  # of the next new one

    # Writing

    def write(self, changes: Sequence[Change]) -> bytes:
        """Changes of which each is signed."""
        return b"".join(self.write_run([change]) for change in changes)

    def write_run(self, run: Sequence[Change]) -> bytes:
        first, last = run[0], run[-1]
        assert last.signature and len(run) <= MAX_RUN
        number = self.that_stands_before(first)
        if number is None:
            number, self.turn = self.turn, (self.turn + 1) % TRACKS
            out = varint(number << 1 | 1) + first.lane.key + first.lane.nonce
            out += varint(first.header.seq) + (first.header.prev or b"")
        else:
            out = varint(number << 1)
        self.tracks[number] = Track(first.lane, last.header.seq + 1, last.id)
        out += varint(len(run))
        for change in run:
            header = change.header
            out += varint(len(header.parents)) + b"".join(header.parents) + varint(header.n_ops) + blob(change.body)
        return out + last.signature

    def that_stands_before(self, change: Change) -> int | None:
        for number, track in self.tracks.items():
            if (track.lane.id, track.prev) == (change.lane.id, change.header.prev):
                return number
        return None

    # Reading

    def read(self, data: bytes) -> list[Chain]:
        reader, out = Reader(data), []
        while not reader.done():
            out.append(self.read_run(reader))
        return out

    def read_run(self, reader: Reader) -> Chain:
        number = reader.varint()
        if number >> 1 >= TRACKS:
            raise Malformed("no such track")
        if number & 1:
            key, nonce, seq = reader.take(32), reader.take(16), reader.varint()
            lane = opened(self.doc_id, key, nonce)
            self.tracks[number >> 1] = Track(lane, seq, reader.take(32) if seq else None)
        elif number >> 1 not in self.tracks:
            raise Misfit("a track that was not opened")
        track = self.tracks[number >> 1]
        chain = Chain(replace(track.lane, form=OPENED))
        n = reader.varint()
        if not 1 <= n <= MAX_RUN:
            raise Malformed("run")
        for _ in range(n):
            n_parents = reader.varint()
            parents = tuple(reader.take(32) for _ in range(n_parents))
            n_ops, body = reader.varint(), reader.blob()
            honest = header_for(track.seq, track.prev, (), n_ops, body)
            header: Header = replace(honest, parents=parents)
            chain.items.append(item_of(track.lane, header, body))
            track.seq, track.prev = track.seq + 1, chain.items[-1].id
        chain.items[-1] = replace(chain.items[-1], signature=reader.take(64))
        return chain
