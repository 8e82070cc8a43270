"""View: a version of the past, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crdtkv import _core
from crdtkv.entry import Conflicts, Entry, History, merged
from crdtkv.errors import StaleHandleError
from crdtkv.map import Ordered, plain_dict

__all__ = ["View"]


class View(Ordered):
    """A document as it was: what Doc.at() returns. Reads like the document; its containers are read-only.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = [1]
    >>> then = doc.heads
    >>> doc["x"].append(2)
    >>> doc.at(then)["x"] == [1], doc["x"] == [1, 2]
    (True, True)
    """

    __slots__ = ("__weakref__", "_heads", "_past", "_root")

    def __init__(self, past: _core.View, heads: tuple[bytes, ...]) -> None:
        self._past = past
        self._root = past._root()
        self._heads = heads

    @property
    def heads(self) -> tuple[bytes, ...]:
        """The version: the ids it was asked for, sorted."""
        return self._heads

    def __getitem__(self, key: str, /) -> Any:
        return self._root[key]

    def __contains__(self, key: object, /) -> bool:
        return key in self._root

    def __iter__(self) -> Iterator[str]:
        return iter(self._root)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._root))

    def __len__(self) -> int:
        return len(self._root)

    def to_py(self) -> dict[str, Any]:
        """The content as a plain dict, keys in order of their bytes."""
        return self._root.to_py()

    def conflicts(self, key: str, /) -> Conflicts:
        """All values that stood at a key, by the op that set them; the shown one first. Closes the open change."""
        return merged(self._root._conflicts(key))

    def history(self, key: str, /) -> History:
        """Who had written what to a key until then, newest first. Closes the open change."""
        return History(Entry.of(key, *row) for row in self._root._history(key))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self.to_py() == plain_dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**self.to_py(), **plain_dict(other)}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**other, **self.to_py()}

    def __repr__(self) -> str:
        place = ", ".join(head.hex()[:8] for head in self._heads[:4]) or "the beginning"
        try:
            return f"<View at {place}: {len(self)} keys>"
        except StaleHandleError:
            return f"<View at {place}: closed>"

    def __reduce__(self) -> str:
        raise TypeError("a View is bound to its document; pickle to_py() or the document")

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.view(self)
