"""Equivocation: an author who told two stories, and the proof of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdtkv._core import verify_equivocation

if TYPE_CHECKING:
    from crdtkv.doc import Doc

__all__ = ["Equivocation", "verify_equivocation"]


class Equivocation:
    """Two changes of one lane with one number: `a` and `b`, the smallest there. Made by Doc.equivocations()."""

    __slots__ = {  # noqa: RUF023 -- in the order of the API
        "author": "The public key of who did it.",
        "lane": "The id of the lane that forks.",
        "seq": "The number at which it forks.",
        "a": "The id of the smaller change.",
        "b": "The id of the greater one.",
        "_doc": "Where the proof comes from.",
        "_proof": "Once it has been asked for.",
    }

    def __init__(self, doc: Doc, author: bytes, lane: bytes, seq: int, a: bytes, b: bytes) -> None:
        self._doc = doc
        self._proof: bytes | None = None
        self.author = author
        self.lane = lane
        self.seq = seq
        self.a = a
        self.b = b

    @property
    def proof(self) -> bytes:
        """Bytes that convince anybody: see verify_equivocation(). Made when first asked for."""
        if self._proof is None:
            self._proof = self._doc._proof(self.author, self.lane, self.seq, self.a, self.b)
        return self._proof

    def _key(self) -> tuple[bytes, bytes, int, bytes, bytes]:
        return self.author, self.lane, self.seq, self.a, self.b

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Equivocation) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"<Equivocation of {self.author.hex()[:8]} at seq {self.seq}: {self.a.hex()[:8]} and {self.b.hex()[:8]}>"
