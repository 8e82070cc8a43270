"""Mappings in key order: what stores, their transactions and datastores have in common beside what is in C."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, ClassVar, Self

from crdtkv.map import plain_dict
from crdtkv.patch import MISSING

__all__ = ["Key", "OrderedItems", "OrderedKeys", "OrderedMapping", "OrderedValues", "order"]

Key = str | bytes
Bounds = tuple[Key | None, Key | None, Key | None]  # prefix, start, stop


def order(key: Key) -> tuple[bytes, bool]:
    """What keys are in order of: their bytes, and on equal bytes str before bytes."""
    if isinstance(key, str):
        return key.encode(), False
    if isinstance(key, bytes):
        return bytes(key), True
    raise TypeError(f"a key must be str or bytes, not {type(key).__name__}")


def is_inside(key: Any, bounds: Bounds) -> bool:
    """Is a key in a range?"""
    prefix, start, stop = bounds
    place = order(key)
    return (
        (prefix is None or place[0].startswith(order(prefix)[0]))
        and (start is None or order(start) <= place)
        and (stop is None or place < order(stop))
    )


# ---- views


class Part:
    """What the views have in common: a range of keys, and a direction. Their base class wants the slots in them."""

    __slots__ = ()
    _what: ClassVar[int]  # what C goes through
    _of: OrderedMapping
    _bounds: Bounds
    _reverse: bool

    def __len__(self) -> int:
        return len(self._of) if self._bounds == (None, None, None) else self._of._count(*self._bounds)

    def __iter__(self) -> Iterator[Any]:
        return self._of._scan(self._what, *self._bounds, self._reverse)

    def __reversed__(self) -> Iterator[Any]:
        return self._of._scan(self._what, *self._bounds, not self._reverse)


class OrderedKeys(Part, KeysView[Key]):
    """The keys of an ordered mapping, or of a range of it: as dict.keys(), in key order."""

    __slots__ = ("_bounds", "_of", "_reverse")
    _what = 0

    def __init__(self, of: OrderedMapping, bounds: Bounds, reverse: bool) -> None:
        super().__init__(of)
        self._of, self._bounds, self._reverse = of, bounds, reverse

    def __contains__(self, key: object) -> bool:
        return key in self._of and is_inside(key, self._bounds)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.keys(self)


class OrderedValues(Part, ValuesView[Any]):
    """The values of an ordered mapping, or of a range of it: as dict.values(), in key order."""

    __slots__ = ("_bounds", "_of", "_reverse")
    _what = 1

    def __init__(self, of: OrderedMapping, bounds: Bounds, reverse: bool) -> None:
        super().__init__(of)
        self._of, self._bounds, self._reverse = of, bounds, reverse

    def __contains__(self, value: object) -> bool:
        return any(one is value or one == value for one in self)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.keys(self)


class OrderedItems(Part, ItemsView[Key, Any]):
    """The keys and values of an ordered mapping, or of a range of it: as dict.items(), in key order."""

    __slots__ = ("_bounds", "_of", "_reverse")
    _what = 2

    def __init__(self, of: OrderedMapping, bounds: Bounds, reverse: bool) -> None:
        super().__init__(of)
        self._of, self._bounds, self._reverse = of, bounds, reverse

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2 or item[0] not in self._of:
            return False
        key, value = item
        there = self._of.get(key, MISSING)
        return (there is value or there == value) and is_inside(key, self._bounds)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each key: `key` and `value`. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self, ("key", "value"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.keys(self)


def checked(*bounds: Key | None) -> Bounds:
    """TypeError or ValueError for what cannot be a key, now and not when somebody iterates."""
    for key in bounds:
        if key is not None:
            order(key)
    prefix, start, stop = bounds
    return prefix, start, stop


# ---- the mapping


class OrderedMapping(MutableMapping[Key, Any]):
    """What Store, Transaction and Datastore have in common, beside what is in C: that is what is abstract here."""

    __slots__ = ()

    @abstractmethod
    def _scan(
        self, what: int, prefix: Key | None, start: Key | None, stop: Key | None, reverse: bool, /
    ) -> Iterator[Any]:
        """The keys (0), values (1) or both (2) of a range, one after the other."""

    @abstractmethod
    def _count(self, prefix: Key | None, start: Key | None, stop: Key | None, /) -> int:
        """How many keys are in a range."""

    @abstractmethod
    def _update(self, items: dict[Any, Any], /) -> None:
        """Set the keys of a dict, all or none."""

    @abstractmethod
    def to_py(self) -> dict[Key, Any]:
        """The content as a plain dict."""

    def keys(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> OrderedKeys:
        """The keys, as dict.keys(), in key order: those that begin with `prefix` and are from `start` to before `stop`.

        Keys are in order of their bytes, a str before bytes if these are equal. A prefix fits keys of both types.
        Adding or removing keys while iterating is a RuntimeError. The length of a part is counted anew each time.

        >>> import crdtkv as ck
        >>> s = ck.Store()
        >>> s.update({"user/ben": 2, "user/ada": 1, "mode": "dark"})
        >>> list(s.keys("user/")), list(s.keys(start="n", reverse=True))
        (['user/ada', 'user/ben'], ['user/ben', 'user/ada'])
        """
        return OrderedKeys(self, checked(prefix, start, stop), bool(reverse))

    def values(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> OrderedValues:
        """The values, as dict.values(), in order of their keys. Arguments as those of keys()."""
        return OrderedValues(self, checked(prefix, start, stop), bool(reverse))

    def items(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> OrderedItems:
        """The keys and values, as dict.items(), in key order. Arguments as those of keys()."""
        return OrderedItems(self, checked(prefix, start, stop), bool(reverse))

    def to_pandas(self, prefix: Key | None = None) -> Any:
        """A pandas.DataFrame with a row for each key: `key` and `value`, as of items(prefix). Needs crdtkv[pandas].

        kv.to_pandas("user/")
        kv.items(start="a", stop="m").to_pandas()
        """
        return self.items(prefix).to_pandas()

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Set many keys, as dict.update(); of a store, in one transaction. On TypeError and the like nothing is set."""
        if args and isinstance(args[0], OrderedMapping):
            args = (args[0].to_py(), *args[1:])
        self._update(dict(*args, **kwargs))

    def __or__(self, other: Mapping[Any, Any]) -> dict[Key, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**plain(self), **plain(other)}

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Key, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**plain(other), **plain(self)}

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Key, Any]]) -> Self:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return plain(self) == plain(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def plain(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """The mapping as a dict of plain values."""
    return mapping.to_py() if isinstance(mapping, OrderedMapping) else plain_dict(mapping)
