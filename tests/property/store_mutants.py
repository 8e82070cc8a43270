"""Stores that leave out one rule each: the schedules must notice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from oracle import spans
from oracle.spans import Spans
from oracle.store import Diff, Op, OpSet, Piece, Report, Rows, Store


class Deaf(Store):
    """Its clock does not learn from what it hears."""

    def learn(self, heard: Iterable[int]) -> None:
        pass


class Hasty(Store):
    """Its bookmark moves over gaps."""

    def fits(self, peer: bytes, start: int) -> bool:
        return True


class Winner(Store):
    """Drops the losers of concurrent puts at once."""

    def settle(self, peer: bytes, told: Spans, rows: Rows) -> None:
        super().settle(peer, told, rows)
        for key in self.entries():
            for dot in list(self.conflicts(key))[1:]:
                del self.live[dot.peer][dot.hlc]


class HalfOpen(Store):
    """What was removed at the bookmark itself is not told."""

    def dead_here(self, theirs: Spans, rows: Rows, bookmark: int) -> Spans:
        return super().dead_here(theirs, rows, bookmark - 1)


class Revenant(Store):
    """Loads under the incarnation of the save."""

    def copy(self, incarnation: bytes, clock: Any) -> Store:
        return super().copy(self.incarnation, clock)


class Literal(Store):
    """Of a diff it drops what is listed as dead, not what is missing among the rows."""

    def integrate_diff(self, diff: Diff) -> Report:
        kept = {
            peer: {hlc: row for hlc, row in self.live.get(peer, {}).items() if not spans.holds(part.dead, hlc)}
            for peer, part in diff.items()
        }
        return super().integrate_diff(
            {peer: part._replace(rows={**kept[peer], **part.rows}) for peer, part in diff.items()}
        )


class Impatient(Store):
    """Does an op before it has seen what that supersedes, and forgets about it."""

    def may_act(self, op: Op) -> bool:
        return self.fits(op.peer, op.prev)

    def act(self, op: Op) -> None:
        seen = {peer: spans.below(dead, self.bookmark.get(peer, 0) + 1) for peer, dead in op.dead}
        super().act(replace(op, dead=tuple(seen.items())))


class Forgetful(Store):
    """Forgets the dead dots of an op set that it has not seen yet."""

    def take_piece(self, peer: bytes, piece: Piece) -> Piece:
        return super().take_piece(peer, piece)._replace(dead=())


class Deathless(Store):
    """Ops supersede nothing elsewhere."""

    def act(self, op: Op) -> None:
        super().act(replace(op, dead=()))


class Resurrecting(Store):
    """Takes in again what it has seen superseded."""

    def settle(self, peer: bytes, told: Spans, rows: Rows) -> None:
        super().settle(peer, told, rows)
        self.live.setdefault(peer, {}).update(rows)


class Wide(Store):
    """No mutant: of what it superseded it tells as few runs as it can without saying anything false."""

    def opset(self) -> OpSet:
        return {peer: self.widened(peer, piece) for peer, piece in super().opset().items()}

    def widened(self, peer: bytes, piece: Piece) -> Piece:
        whole = tuple((piece.dead[0][0], piece.dead[-1][1]) for _ in piece.dead[:1])
        dead = spans.minus(whole, spans.of(self.live.get(peer, ())))
        return piece._replace(dead=spans.minus(dead, piece.covered))


MUTANTS = (
    Deaf,
    Hasty,
    Winner,
    HalfOpen,
    Revenant,
    Literal,
    Impatient,
    Forgetful,
    Deathless,
    Resurrecting,
)
