"""Bytes of a link: numbers, pieces and names, written and read. Reading is bounded by the bytes that are there.

docs/format.md, "Notation".
"""

from __future__ import annotations

from crdtkv.errors import DecodeError

__all__ = ["Reader", "blob", "varint"]

_TOP = 1 << 64  # numbers are below


def varint(n: int) -> bytes:
    """A number, 7 bits a byte, least significant first.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def blob(data: bytes) -> bytes:
    """Some bytes behind their number."""
    return varint(len(data)) + data


class Reader:
    """Takes bytes apart from the front. DecodeError, wherever they are not what was asked for.

    >>> reader = Reader(bytes([5, 2, 104, 105]))
    >>> reader.varint(), reader.text(10), reader.left
    (5, 'hi', 0)
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self._at = data, at

    @property
    def left(self) -> int:
        """Bytes that nobody has taken yet."""
        return len(self._data) - self._at

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n > self.left:
            raise self.broken("it ends too early")
        self._at += n
        return self._data[self._at - n : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def byte(self) -> int:
        """The next one, as a number."""
        return self.take(1)[0]

    def varint(self, below: int = _TOP) -> int:
        """A number, in its shortest form."""
        n = shift = 0
        while True:
            b = self.byte()
            n |= (b & 0x7F) << shift
            if b < 0x80:
                break
            shift += 7
            if shift > 63:
                raise self.broken("a number is too long")
        if n >= below or (b == 0 and shift):
            raise self.broken("a number is out of range, or not in its shortest form")
        return n

    def blob(self, longest: int) -> bytes:
        """Bytes behind their number."""
        return self.take(self.varint(longest + 1))

    def text(self, longest: int) -> str:
        """UTF-8 behind the number of its bytes."""
        data = self.blob(longest)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self.broken("a text is not UTF-8") from None

    def end(self) -> None:
        """DecodeError if something is left."""
        if self.left:
            raise self.broken("there are bytes left over")

    def broken(self, what: str) -> DecodeError:
        """The error that says so, and where."""
        error = DecodeError(f"frame, byte {self._at}: {what}")
        error.offset = self._at
        return error
