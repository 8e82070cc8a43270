"""View: a version of the past, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crdtkv import _core
from crdtkv.patch import plain_dict

__all__ = ["View"]


class View(Mapping[str, Any]):
    """A document as it was: what Doc.at() returns. Reads like the document; its texts are read-only.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> then = doc.heads
    >>> doc["x"] = 2
    >>> doc.at(then)["x"], doc["x"]
    (1, 2)
    """

    __slots__ = ("__weakref__", "_entries", "_heads", "_past")

    def __init__(self, past: _core.View, heads: tuple[bytes, ...]) -> None:
        self._past = past
        self._heads = heads
        self._entries: dict[str, Any] | None = None

    def _map(self) -> dict[str, Any]:
        if self._entries is None:
            self._entries = dict(self._past._entries())
        return self._entries

    @property
    def heads(self) -> tuple[bytes, ...]:
        """The version: the ids it was asked for, sorted."""
        return self._heads

    def __getitem__(self, key: str, /) -> Any:
        return self._map()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._map())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._map())

    def __len__(self) -> int:
        return len(self._map())

    def to_py(self) -> dict[str, Any]:
        """The content as a plain dict, keys in order of their bytes; a Text becomes a str."""
        return plain_dict(self._map())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, View):
            return self.to_py() == other.to_py()
        if isinstance(other, Mapping):
            return self.to_py() == plain_dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<View at {', '.join(head.hex()[:8] for head in self._heads[:4]) or 'the beginning'}: {len(self)} keys>"

    def __reduce__(self) -> str:
        raise TypeError("a View is bound to its document; pickle to_py() or the document")
