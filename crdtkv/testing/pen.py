"""Pen: writes the changes of one lane, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crdtkv.identity import Identity
from crdtkv.testing.desk import Desk, Edit
from crdtkv.testing.wire import INLINE, Opening, Part, change_id_of, digest, signed_message, varint, write_bundle

__all__ = ["MAX_PARENTS", "Pen", "foreign_of", "header_of", "ref_of", "thin"]

MAX_PARENTS = 32
RUN_CHANGES, RUN_BYTES = 1024, 256 << 10  # under one signature; bytes without those of the last change


class Pen:
    """Writes honest changes of one lane, one behind the other, at a desk of its own that stands at the last one."""

    __slots__ = ("desk", "head", "identity", "lane", "opening", "seq", "taken", "tip")

    def __init__(
        self, desk: Desk, head: bytes, identity: Identity, lane: bytes, opening: Opening, tip: bytes | None, seq: int
    ) -> None:
        self.desk, self.head, self.identity = desk, head, identity
        self.lane, self.opening = lane, opening
        self.tip, self.seq = tip, seq
        self.taken = b""  # the bundle that take() wrote

    def foreign(self) -> list[bytes]:
        """The heads that are not of the own lane: the parents of the next change."""
        return foreign_of(self.desk, self.lane)

    def sign(self, part: Part, seq: int) -> Part:
        message = signed_message(self.desk.id, self.lane, seq, part.id)
        return replace(part, signature=self.identity._sign(message))

    def body(self, edit: Edit, prev: bytes | None, parents: Sequence[bytes]) -> tuple[int, bytes]:
        """(n_ops, body) of what `edit` does, as a change behind these would say it. The replica stays as it is."""
        return self.desk.body(edit, self.lane, prev, parents)

    def next(self, edit: Edit | None, parents: Sequence[bytes]) -> Part:
        """The next change, signed; without an edit one that does nothing."""
        n_ops, body = self.body(edit or _nothing, self.tip, parents)
        header = header_of(1, self.desk.type, self.seq, self.tip, parents, n_ops, b"\0", len(body), ref_of(body))
        form = int(len(body) > INLINE)
        part = Part(self.lane, self.opening, change_id_of(self.lane, header), header, form, body if form else b"", b"")
        return self.sign(part, self.seq)

    def take(self, part: Part) -> None:
        """Goes on behind this change."""
        self.taken = write_bundle(self.head, [part])
        for refusal in self.desk.apply(self.taken).refused:
            raise refusal.error(f"an edit makes a change that cannot be built upon: {refusal.reason}")
        self.tip, self.seq = part.id, self.seq + 1

    def knots(self) -> list[Part]:
        """As many changes that do nothing as it takes to leave no more than 32 other heads."""
        out = []
        while len(parents := self.foreign()) > MAX_PARENTS:
            out.append(self.next(None, parents[:MAX_PARENTS]))
            self.take(out[-1])
        return out

    def write(self, edit: Edit) -> list[Part]:
        """The next change behind its knots, all signed; goes on behind it."""
        out = self.knots()
        out.append(self.next(edit, self.foreign()))
        self.take(out[-1])
        return out


def _nothing(replica: object) -> None:
    """The edit of a knot."""


def foreign_of(desk: Desk, lane: bytes) -> list[bytes]:
    """The heads there that are not of this lane."""
    places = ((head, desk.place_of(head)) for head in desk.heads)
    return [head for head, place in places if place and place[0] != lane]


def ref_of(body: bytes) -> bytes:
    """What a header says of a body: the body itself if it is short, else its hash."""
    return body if len(body) <= INLINE else digest(b"crdtkv-body-v1", body)


def header_of(
    ver: int,
    type: int,
    seq: int,
    prev: bytes | None,
    parents: Sequence[bytes],
    n_ops: int,
    epoch: bytes,
    body_len: int,
    ref: bytes,
) -> bytes:
    """A header of these fields, whatever they are."""
    return b"".join(
        (
            varint(ver),
            varint(type),
            varint(seq),
            b"\0" if prev is None else b"\1" + prev,
            varint(len(parents)),
            *parents,
            varint(n_ops),
            epoch,
            varint(body_len),
            ref,
        )
    )


def thin(parts: list[Part]) -> list[Part]:
    """Leaves the last signature, and those before it that keep runs within what is accepted."""
    out, n, n_bytes = [], 0, 0
    for at, part in enumerate(parts):
        n, n_bytes = n + 1, n_bytes + max(len(part.body), INLINE)
        ends = at + 1 == len(parts) or n == RUN_CHANGES or n_bytes > RUN_BYTES
        out.append(part if ends else replace(part, signature=b""))
        if ends:
            n = n_bytes = 0
    return out
