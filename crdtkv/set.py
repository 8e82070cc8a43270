"""Set: a set that many can edit at once."""

from __future__ import annotations

from collections.abc import Iterable, MutableSet
from collections.abc import Set as AbstractSet
from typing import Any, Self

from crdtkv import _core

__all__ = ["Set"]


class Set(_core.Set, MutableSet[Any]):
    """A set that many can edit at once: an add wins over a discard at the same time.

    A new one is detached: it holds a set until it is stored in a document, of whose content it then is the handle.
    Members are None, bool, int, float, str and bytes; those that are equal in Python are one. Iterates by type, then by
    their bytes. What makes a new set makes a plain one. Not hashable.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["tags"] = {"draft"}
    >>> doc["tags"] |= {"news", "crdt"}
    >>> sorted(doc["tags"] - {"draft"})
    ['crdt', 'news']
    """

    __slots__ = ()

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)

    # ---- editing

    def pop(self) -> Any:
        """Remove a member and return it; KeyError if there is none."""
        for member in self:
            self.remove(member)
            return member
        raise KeyError("pop from an empty set")

    def clear(self) -> None:
        """Remove all members."""
        self._discard_all(self.to_py())

    def update(self, *others: Iterable[Any]) -> None:
        """Add the members of all others, all or none."""
        self._add_all(set().union(*others))

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members of all others."""
        self._discard_all(self.to_py() & set().union(*others))

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep what is in all others."""
        mine = self.to_py()
        self._discard_all(mine - mine.intersection(*others))

    def symmetric_difference_update(self, other: Iterable[Any], /) -> None:
        """Keep what is in one of both, and not in the other."""
        mine, theirs = self.to_py(), set(other)
        self._add_all(theirs - mine)
        self._discard_all(mine & theirs)

    def __ior__(self, other: Any) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.update(other)
        return self

    def __isub__(self, other: Any) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.difference_update(other)
        return self

    def __iand__(self, other: Any) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ixor__(self, other: Any) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    # ---- new sets

    def copy(self) -> Self:
        """A detached set with the same members."""
        return self.__copy__()

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """What is in this one or in any other."""
        return self.to_py().union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        """What is in this one and in all others."""
        return self.to_py().intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[Any]:
        """What is in this one and in no other."""
        return self.to_py().difference(*others)

    def symmetric_difference(self, other: Iterable[Any], /) -> set[Any]:
        """What is in one of both, and not in the other."""
        return self.to_py().symmetric_difference(other)

    def __or__(self, other: Any) -> set[Any]:
        return self.to_py() | set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __and__(self, other: Any) -> set[Any]:
        return self.to_py() & set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __sub__(self, other: Any) -> set[Any]:
        return self.to_py() - set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __xor__(self, other: Any) -> set[Any]:
        return self.to_py() ^ set(other) if isinstance(other, AbstractSet) else NotImplemented

    __ror__ = __or__
    __rand__ = __and__
    __rxor__ = __xor__

    def __rsub__(self, other: Any) -> set[Any]:
        return set(other) - self.to_py() if isinstance(other, AbstractSet) else NotImplemented

    # ---- comparing

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Have both no member in common?"""
        return self.to_py().isdisjoint(other)

    def issubset(self, other: Iterable[Any], /) -> bool:
        """Is every member in the other?"""
        return self.to_py().issubset(other)

    def issuperset(self, other: Iterable[Any], /) -> bool:
        """Is every member of the other in this one?"""
        return self.to_py().issuperset(other)

    def __eq__(self, other: object) -> bool:
        return self.to_py() == set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return self.to_py() <= set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return self.to_py() < set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self.to_py() >= set(other) if isinstance(other, AbstractSet) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return self.to_py() > set(other) if isinstance(other, AbstractSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.container(self)
