"""Listing: a list that a notebook shows as a table, and so are its slices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self, SupportsIndex, TypeVar, overload

from crdtkv.brief import briefly

__all__ = ["Listing"]

T = TypeVar("T")


@briefly
class Listing(list[T]):
    """A list whose slices are of its own kind. `you`: the public key of whoever asked for it, to mark what is theirs.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> type(doc.changes()[-5:]).__name__
    'ChangeList'
    """

    __slots__ = ("_you",)

    def __init__(self, items: Iterable[T] = (), you: bytes | None = None) -> None:
        super().__init__(items)
        self._you = you

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, at: slice, /) -> Self: ...
    def __getitem__(self, at: SupportsIndex | slice, /) -> T | Self:
        found: Any = super().__getitem__(at)
        return type(self)(found, self._you) if isinstance(at, slice) else found
