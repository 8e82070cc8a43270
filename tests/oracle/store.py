"""A key-value store without tombstones, to be read aloud. docs/format.md, "Store".

Every put has a dot: (hlc, incarnation of its author). A store has, of each incarnation, the dots that are live, with
their keys and values, and a bookmark: it has seen all dots up to there. A dot at or below the bookmark that is not live
was superseded, and never comes back. So

    live = all puts - all that were superseded

and a put or a remove supersedes the values of its key that its author had. Of several values of a key the one with the
greatest dot is shown. All that travels says two kinds of things, which stay true for ever: "these dots are dead", and
"between here and there, these dots are all that live".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter
from typing import Any, NamedTuple

from . import spans
from .spans import Spans

Key = str | bytes
MAX_MS = (1 << 48) - 2
MAX_HELD = 1024  # ops that wait, of one incarnation


class Dot(NamedTuple):
    """Dots compare by hlc, then by the bytes of the incarnation."""

    hlc: int
    peer: bytes


class Row(NamedTuple):
    key: Key
    value: Any


Rows = dict[int, Row]  # by hlc, of one incarnation


class Gone(Enum):
    """In the writes of a transaction: the key is removed."""

    GONE = 0

    def __repr__(self) -> str:
        return "GONE"


GONE = Gone.GONE


class Drift(Exception):
    """A message of the future."""


class Full(Exception):
    """The clock is at its end."""


# What travels


class Known(NamedTuple):
    """Of one incarnation, in a request."""

    bookmark: int
    live: Spans


Request = dict[bytes, Known]


class Part(NamedTuple):
    """Of one incarnation, in a diff: `dead` are dead, and of (start, end] the rows are all that live."""

    start: int
    end: int
    dead: Spans
    rows: Rows

    def greatest(self) -> int:
        return self.end


Diff = dict[bytes, Part]


@dataclass(frozen=True)
class Op:
    """A put, or a remove (hlc and row are None)."""

    peer: bytes
    prev: int  # its author's bookmark before
    hlc: int | None
    row: Row | None = field(compare=False)  # its dot is name enough
    dead: tuple[tuple[bytes, Spans], ...]  # what it supersedes, in order of incarnations

    def greatest(self) -> int:
        return max([self.prev, self.hlc or 0, *(stop - 1 for _, dead in self.dead for _, stop in dead)])


class Piece(NamedTuple):
    """Of one incarnation, in an op set: of `covered` the rows are all that live; `dead`, which are others, are dead."""

    covered: Spans
    dead: Spans
    rows: Rows

    def greatest(self) -> int:
        return max(stop - 1 for found in (self.covered, self.dead) for _, stop in found)


OpSet = dict[bytes, Piece]
NO_PIECE = Piece((), (), {})


def merge_opsets(*opsets: OpSet) -> OpSet:
    """The join of a lattice: what any of them says is dead is dead, else what any of them says lives."""
    peers = sorted({peer for opset in opsets for peer in opset})
    return {peer: merge_pieces([opset.get(peer, NO_PIECE) for opset in opsets]) for peer in peers}


def merge_pieces(pieces: Iterable[Piece]) -> Piece:
    pieces = list(pieces)
    covered = spans.join(run for piece in pieces for run in piece.covered)
    rows = {hlc: row for piece in pieces for hlc, row in piece.rows.items()}
    dead = spans.join(
        run for piece in pieces for run in (*piece.dead, *spans.minus(piece.covered, spans.of(piece.rows)))
    )
    return Piece(
        covered,
        spans.minus(dead, covered),
        {hlc: rows[hlc] for hlc in sorted(rows) if not spans.holds(dead, hlc)},
    )


def advance_request(request: Request, diff: Diff) -> Request:
    """What the maker of a request would ask after taking the diff in, if nothing that waits there acts then."""
    out = dict(request)
    for peer, part in diff.items():
        bookmark, live = request.get(peer, Known(0, ()))
        if part.start <= bookmark:
            told = spans.join([*part.dead, (part.start + 1, part.end + 1)])
            gone = spans.minus(told, spans.of(part.rows))
            news = spans.of(hlc for hlc in part.rows if hlc > bookmark)
            out[peer] = Known(max(bookmark, part.end), spans.join([*spans.minus(live, gone), *news]))
    return dict(sorted(out.items()))


@dataclass
class Report:
    waiting: list[bytes] = field(default_factory=list)  # incarnations of which something of this message waits
    refused: list[bytes] = field(default_factory=list)


# The store


class Store:
    """`incarnation` names the dots of this store, `clock` gives milliseconds, as `max_drift` is; None: no check."""

    def __init__(self, incarnation: bytes, clock: Callable[[], int], max_drift: int | None = 600_000) -> None:
        self.incarnation = incarnation
        self.now_ms = clock
        self.max_drift = max_drift
        self.live: dict[bytes, Rows] = {}
        self.bookmark: dict[bytes, int] = {}
        self.clock = 0  # the greatest hlc issued or seen
        self.waiting: list[Op] = []
        self.pending: OpSet = {}
        self.mine: dict[bytes, tuple[int, int]] = {}  # dots in (start, end] this store put since the last opset()
        self.killed: set[Dot] = set()  # others that it superseded since then

    # Reading

    def conflicts(self, key: Key) -> dict[Dot, Any]:
        """All values of a key, the shown one first."""
        found = []
        for peer, rows in self.live.items():
            for hlc, row in rows.items():
                if row.key == key:
                    found.append((Dot(hlc, peer), row.value))
        return dict(sorted(found, key=itemgetter(0), reverse=True))

    def entries(self) -> dict[Key, tuple[Any, Dot]]:
        """What is shown, in order of keys."""
        shown: dict[Key, tuple[Any, Dot]] = {}
        for peer, rows in self.live.items():
            for hlc, (key, value) in rows.items():
                if key not in shown or shown[key][1] < (hlc, peer):
                    shown[key] = value, Dot(hlc, peer)
        return {key: shown[key] for key in sorted(shown, key=by_bytes)}

    def content(self) -> dict[Key, Any]:
        return {key: value for key, (value, _) in self.entries().items()}

    # Writing

    def next_hlc(self) -> int:
        hlc = max(self.clock + 1, self.now_ms() << 16)
        if hlc >> 16 > MAX_MS:
            raise Full
        return hlc

    def insert_with_op(self, key: Key, value: Any) -> Op:
        return self.write(key, Row(key, value), self.next_hlc())

    def remove_with_op(self, key: Key) -> Op:
        """KeyError if it is not there."""
        if not self.conflicts(key):
            raise KeyError(key)
        return self.write(key, None, None)

    def commit_with_ops(self, writes: Mapping[Key, Any]) -> list[Op]:
        """A transaction: its last write of each key, in their order. The puts get consecutive hlcs."""
        hlc = self.next_hlc() if any(value is not GONE for value in writes.values()) else 0
        ops = []
        for key, value in writes.items():
            if value is not GONE:
                ops.append(self.write(key, Row(key, value), hlc))
                hlc += 1
            elif self.conflicts(key):
                ops.append(self.write(key, None, None))
        return ops

    def put(self, key: Key, value: Any) -> None:
        self.insert_with_op(key, value)

    def remove(self, key: Key) -> None:
        self.remove_with_op(key)

    def commit(self, writes: Mapping[Key, Any]) -> None:
        self.commit_with_ops(writes)

    def abort(self, writes: Mapping[Key, Any]) -> None:
        """Nobody ever sees them."""

    def write(self, key: Key, row: Row | None, hlc: int | None) -> Op:
        own = self.incarnation
        prev = self.bookmark.get(own, 0)
        dead = self.conflicts(key)
        for dot in dead:
            del self.live[dot.peer][dot.hlc]
            start, end = self.mine.get(dot.peer, (0, 0))
            if not start < dot.hlc <= end:
                self.killed.add(dot)
        if row is not None and hlc is not None:
            self.live.setdefault(own, {})[hlc] = row
            self.bookmark[own] = self.clock = hlc
            self.mine[own] = self.mine.get(own, (0, 0))[0], hlc
        return Op(own, prev, hlc, row, by_peer(dead))

    # State sync

    def request_diff(self) -> Request:
        return {peer: Known(end, spans.of(self.live.get(peer, ()))) for peer, end in sorted(self.bookmark.items())}

    def build_diff(self, request: Request) -> Diff:
        out = {}
        for peer, mine in sorted(self.bookmark.items()):
            start, theirs = request.get(peer, (0, ()))
            rows = self.live.get(peer, {})
            part = Part(
                start,
                max(start, mine),
                self.dead_here(theirs, rows, mine),
                {hlc: rows[hlc] for hlc in sorted(rows) if hlc > start},
            )
            if part.dead or part.start < part.end:
                out[peer] = part
        return out

    def dead_here(self, theirs: Spans, rows: Rows, bookmark: int) -> Spans:
        """What lives there, was seen here, and does not live here."""
        return spans.minus(spans.below(theirs, bookmark + 1), spans.of(rows))

    def integrate_diff(self, diff: Diff) -> Report:
        self.learn(part.greatest() for part in diff.values())
        report = Report()
        for peer, part in diff.items():
            if not self.fits(peer, part.start):
                report.refused.append(peer)
                continue
            self.settle(peer, part.dead, {})
            self.settle(peer, ((part.start + 1, part.end + 1),), part.rows)
        self.try_again()
        return report

    # Ops

    def integrate_ops(self, ops: Iterable[Op]) -> Report:
        ops = list(ops)
        self.learn(op.greatest() for op in ops)
        self.waiting += [op for op in dict.fromkeys(ops) if op not in self.waiting]
        self.try_again()
        report = Report()
        for peer in {op.peer: None for op in ops}:
            held = sorted((op for op in self.waiting if op.peer == peer), key=lambda op: op.hlc or op.prev)
            for op in held[MAX_HELD:]:
                self.waiting.remove(op)
                report.refused.append(peer)
        report.waiting = list({op.peer: None for op in ops if op in self.waiting})
        return report

    def integrate_op(self, op: Op) -> Report:
        return self.integrate_ops([op])

    def may_act(self, op: Op) -> bool:
        """All that its author had seen of its own dots, and all that it supersedes, was seen here."""
        return self.fits(op.peer, op.prev) and all(
            stop - 1 <= self.bookmark.get(peer, 0) for peer, dead in op.dead for _, stop in dead
        )

    def act(self, op: Op) -> None:
        for peer, dead in op.dead:
            self.settle(peer, dead, {})
        if op.hlc is not None and op.row is not None:
            self.settle(op.peer, ((op.hlc, op.hlc + 1),), {op.hlc: op.row})

    # Op sets

    def opset(self) -> OpSet:
        """What this store itself changed since it was last asked, net: as each of its incarnations since then."""
        killed = dict(by_peer(self.killed))
        out = {}
        for peer in sorted(self.mine.keys() | killed):
            start, end = self.mine.get(peer, (0, 0))
            rows = {hlc: row for hlc, row in sorted(self.live.get(peer, {}).items()) if start < hlc <= end}
            piece = Piece(spans.join([(start + 1, end + 1)]), killed.get(peer, ()), rows)
            if piece != NO_PIECE:
                out[peer] = piece
        self.mine = {peer: (end, end) for peer, (_, end) in self.mine.items()}
        self.killed = set()
        return out

    def integrate_opset(self, opset: OpSet) -> Report:
        self.learn(piece.greatest() for piece in opset.values())
        self.pending = merge_opsets(self.pending, opset)
        self.try_again()
        return Report(waiting=[peer for peer, piece in opset.items() if piece.greatest() > self.bookmark.get(peer, 0)])

    def take_piece(self, peer: bytes, piece: Piece) -> Piece:
        """What fits acts; what is left."""
        left = []
        for start, stop in piece.covered:
            if self.fits(peer, start - 1):
                rows = {hlc: row for hlc, row in piece.rows.items() if start <= hlc < stop}
                self.settle(peer, ((start, stop),), rows)
            else:
                left.append((start, stop))
        seen = spans.below(piece.dead, self.bookmark.get(peer, 0) + 1)
        self.settle(peer, seen, {})
        covered = tuple(left)
        rows = {hlc: row for hlc, row in piece.rows.items() if spans.holds(covered, hlc)}
        return Piece(covered, spans.minus(piece.dead, seen), rows)

    # What all of them come to

    def fits(self, peer: bytes, start: int) -> bool:
        """What begins behind `start` leaves no gap."""
        return start <= self.bookmark.get(peer, 0)

    def settle(self, peer: bytes, told: Spans, rows: Rows) -> None:
        """Of the dots in `told` the rows are all that live. What was seen here and is not live stays dead."""
        bookmark = self.bookmark.get(peer, 0)
        if not told:
            return
        live = self.live.setdefault(peer, {})
        for hlc in [hlc for hlc in live if hlc not in rows and spans.holds(told, hlc)]:
            del live[hlc]
        live.update({hlc: row for hlc, row in rows.items() if hlc > bookmark})
        self.bookmark[peer] = max(bookmark, told[-1][1] - 1)

    def try_again(self) -> None:
        """What waits and may act now does."""
        while self.waiting or self.pending:
            ready = [op for op in self.waiting if self.may_act(op)]
            for op in ready:
                self.act(op)
            self.waiting = [op for op in self.waiting if op not in ready]
            pieces = {peer: self.take_piece(peer, piece) for peer, piece in self.pending.items()}
            left = {peer: piece for peer, piece in pieces.items() if piece != NO_PIECE}
            if not ready and left == self.pending:
                return
            self.pending = left

    def learn(self, heard: Iterable[int]) -> None:
        """The clock moves on to the greatest hlc that a message speaks of; Drift if that is too far in the future."""
        greatest = max(heard, default=0)
        if self.max_drift is not None and greatest >> 16 > self.now_ms() + self.max_drift:
            raise Drift
        self.clock = max(self.clock, greatest)

    # Copies

    def copy(self, incarnation: bytes, clock: Callable[[], int]) -> Store:
        """What a save of this store loads as: the same under a fresh incarnation."""
        other = type(self)(incarnation, clock, self.max_drift)
        other.live = {peer: dict(rows) for peer, rows in self.live.items()}
        other.bookmark = dict(self.bookmark)
        other.clock = self.clock
        other.waiting = list(self.waiting)
        other.pending = dict(self.pending)
        other.mine = dict(self.mine)
        other.killed = set(self.killed)
        return other


def by_bytes(key: Key) -> tuple[bytes, bool]:
    """The order of keys: by bytes, a str before bytes."""
    return (key, True) if isinstance(key, bytes) else (key.encode(), False)


def by_peer(dots: Iterable[Dot]) -> tuple[tuple[bytes, Spans], ...]:
    found: dict[bytes, list[int]] = {}
    for hlc, peer in dots:
        found.setdefault(peer, []).append(hlc)
    return tuple((peer, spans.of(found[peer])) for peer in sorted(found))
