"""Pieces: bundles that came in more than one message, until they are whole. Bounded, and nobody need send the rest."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from crdtkv.errors import DecodeError
from crdtkv.net.jetstream.frame import LARGEST, Piece

__all__ = ["Pieces"]

MOST_BUNDLES = 64


class Pieces:
    """Bundles in the making, of all objects of a link. The oldest goes first when there are too many.

    >>> from crdtkv.net.jetstream.frame import Piece, pieces_of
    >>> pieces = Pieces()
    >>> [pieces.add(bytes(32), Piece.decode(frame)) for frame in pieces_of("", b"abcdef", 515)]
    [None, b'abcdef']
    """

    __slots__ = ("_bundles", "_bytes", "dropped")

    def __init__(self) -> None:
        self._bundles: OrderedDict[tuple[bytes, bytes, int], dict[int, bytes]] = OrderedDict()
        self._bytes = 0
        self.dropped = 0  # bundles that were given up

    def add(self, id: bytes, piece: Piece) -> bytes | None:
        """The bundle, if this piece makes it whole. DecodeError: the pieces do not fit together."""
        if piece.n == 1:
            return piece.data
        key = (id, piece.bundle, piece.n)
        parts = self._bundles.setdefault(key, {})
        if piece.index not in parts:
            parts[piece.index] = piece.data
            self._bytes += len(piece.data)
        self._bundles.move_to_end(key)
        if len(parts) < piece.n:
            self._make_room()
            return None
        self._forget(key)
        whole = b"".join(parts[i] for i in range(piece.n))
        if len(whole) > LARGEST or blake2b(whole, digest_size=16).digest() != piece.bundle:
            raise DecodeError("pieces do not make the bundle that they are said to be of")
        return whole

    def _forget(self, key: tuple[bytes, bytes, int]) -> None:
        self._bytes -= sum(map(len, self._bundles.pop(key).values()))

    def _make_room(self) -> None:
        while self._bytes > LARGEST or len(self._bundles) > MOST_BUNDLES:
            self._forget(next(iter(self._bundles)))
            self.dropped += 1
