"""Map: a dict that many can edit at once; and what a document has in common with it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, Protocol, Self, runtime_checkable

from crdtkv import _core
from crdtkv.entry import Conflicts, Entry, History, key_of, merged

__all__ = ["Items", "Keys", "Map", "MapMethods", "Ordered", "Values"]


class Keys(KeysView[str]):
    """The keys of a mapping, which can be gone through from the end, as those of a dict."""

    __slots__ = ()

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.keys(self)


class Values(ValuesView[Any]):
    """The values of a mapping, which can be gone through from the end."""

    __slots__ = ()

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(self)[::-1])

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.keys(self)


class Items(ItemsView[str, Any]):
    """The keys and values of a mapping, which can be gone through from the end."""

    __slots__ = ()

    def __reversed__(self) -> Iterator[tuple[str, Any]]:
        return iter(list(self)[::-1])

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.keys(self)


class Ordered(Mapping[str, Any]):
    """A mapping in order of its keys' bytes, whose views can be gone through from the end."""

    __slots__ = ()

    def keys(self) -> Keys:
        """The keys, as dict.keys(), in order of their bytes."""
        return Keys(self)

    def values(self) -> Values:
        """The values, as dict.values(), in order of their keys."""
        return Values(self)

    def items(self) -> Items:
        """The keys and values, as dict.items(), in order of the keys."""
        return Items(self)


class MapMethods(Ordered, MutableMapping[str, Any]):
    """What Map and Doc have in common, beside what is in C: that is what is abstract here."""

    __slots__ = ()

    @abstractmethod
    def _conflicts(self, key: str, /) -> list[tuple[bytes, int, Any]]:
        """Change id, number and value of each value of a key; the shown one first."""

    @abstractmethod
    def _history(self, key: str, /) -> list[tuple[bool, Any, bytes, bytes, int]]:
        """What was written to a key, newest first: is it a value, the value, author, change id, time."""

    @abstractmethod
    def to_py(self) -> dict[str, Any]:
        """The content as a plain dict."""

    @property
    @abstractmethod
    def _replica(self) -> Any:
        """The document it is in, None if it is in none."""

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key, in order of their bytes, and return it with its content, plain."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): there is no key")

    def clear(self) -> None:
        """Remove all keys."""
        for key in self:
            try:
                del self[key]
            except KeyError:  # another thread was faster
                continue

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Set many keys, as dict.update(). All values are looked at first: on TypeError and the like nothing is set."""
        new = dict(*args, **kwargs)
        _core._check(new, self)
        for key, value in new.items():
            self[key] = value

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**self.to_py(), **plain_dict(other)}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**other, **self.to_py()}

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Self:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self.to_py() == plain_dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def conflicts(self, key: str, /) -> Conflicts:
        """All values that stand at a key because they were set at the same time, by the op that set them.

        The one that is shown comes first; {} if nothing is there. Closes the open change.

        >>> import crdtkv as ck
        >>> a = ck.Doc()
        >>> b = a.fork()
        >>> a["x"], b["x"] = 1, 2
        >>> a.merge(b).applied == b.heads
        True
        >>> sorted(a.conflicts("x").values())
        [1, 2]
        """
        return merged(self._conflicts(key), self._replica)

    def history(self, key: str, /) -> History:
        """Who wrote what to a key, newest first: a list of Entry. Containers are shown by their content.

        Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> del doc["x"]
        >>> [(entry.kind, entry.value) for entry in doc.history("x")]
        [('delete', MISSING), ('put', 1)]
        """
        return History((Entry.of(key, *row) for row in self._history(key)), key_of(self._replica))


@runtime_checkable
class _Past(Protocol):
    """A View, which this file must not import."""

    _past: _core.View

    def to_py(self) -> dict[str, Any]: ...


def plain_dict(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as a dict, plain if it is one of ours."""
    if type(mapping) is dict:
        return mapping
    ours: Any = mapping
    if isinstance(ours, _core.Map | _core.Doc | _Past):
        content: dict[str, Any] = ours.to_py()
        return content
    return dict(mapping)


class Map(_core.Map, MapMethods):
    """A dict with str keys that many can edit at once. Keys are in order of their bytes.

    A new one is detached: it holds a dict until it is stored in a document, of whose content it then is the handle.
    Values are None, bool, int, float, str, bytes, and containers: a dict becomes a Map, a list a List, a set a Set.
    Where two set one key at the same time, both values are kept (conflicts()) and one is shown. Not hashable.
    Unlike a dict, it copies a container that is somewhere already and is assigned to another place.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["settings"] = {"theme": "dark", "fonts": ["serif"]}
    >>> settings = doc["settings"]
    >>> settings["fonts"].append("mono")
    >>> settings.to_py()
    {'fonts': ['serif', 'mono'], 'theme': 'dark'}
    >>> doc["fonts"] = settings["fonts"]    # a copy
    >>> doc["fonts"].append("sans")
    >>> settings["fonts"].to_py()
    ['serif', 'mono']
    """

    __slots__ = ()

    @property
    def _replica(self) -> Any:
        return self._doc

    def copy(self) -> Self:
        """A detached map with the same content."""
        return self.__copy__()

    @classmethod
    def fromkeys(cls, keys: Iterable[str], value: Any = None, /) -> Self:
        """A detached map that has `value` at each key."""
        return cls(dict.fromkeys(keys, value))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.container(self)
