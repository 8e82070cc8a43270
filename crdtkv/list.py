"""List: a list that many can edit at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, MutableSequence
from typing import Any, Self, SupportsIndex

from crdtkv import _core
from crdtkv.entry import Conflicts, merged

__all__ = ["List"]


class List(_core.List, MutableSequence[Any]):
    """A list that many can edit at once. Follows list, slices and all.

    A new one is detached: it holds a list until it is stored in a document, of whose content it then is the handle.
    Items keep their identity: their handles stay when they shift, and move(), sort() and reverse() move them.
    Searching and comparing copy; so does storing a container that is somewhere already. Not hashable.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["todo"] = ["milk", {"name": "bread", "n": 2}]
    >>> todo = doc["todo"]
    >>> todo.insert(0, "eggs")
    >>> todo[2]["n"] += 1
    >>> todo.to_py()
    ['eggs', 'milk', {'n': 3, 'name': 'bread'}]
    """

    __slots__ = ()

    # ---- reading

    def __contains__(self, value: object) -> bool:
        return value in self.to_py()

    def __reversed__(self) -> Iterator[Any]:
        return iter(self[::-1])

    def index(self, value: Any, start: SupportsIndex = 0, stop: SupportsIndex = 2**63 - 1, /) -> int:
        """Where a value first is; ValueError if nowhere."""
        return self.to_py().index(value, start, stop)

    def count(self, value: Any, /) -> int:
        """How often a value is in the list."""
        return self.to_py().count(value)

    def conflicts(self, index: SupportsIndex, /) -> Conflicts:
        """All values of an item that were set at the same time, by the op that set them; the shown one first.

        Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["l"] = [5]
        >>> list(doc["l"].conflicts(0).values())
        [5]
        """
        return merged(self._conflicts(index), self._doc)

    # ---- editing

    def remove(self, value: Any, /) -> None:
        """Remove the first item that equals a value; ValueError if there is none."""
        del self[self.index(value)]

    def clear(self) -> None:
        """Remove all items."""
        del self[:]

    def reverse(self) -> None:
        """Turn the order around, by moving the items."""
        last = len(self) - 1
        self._moves((last, i) for i in range(last))

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Sort by moving as few items as possible. Stable; `key` gets what indexing would give.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["l"] = ["b", "a", "c"]
        >>> doc["l"].sort(reverse=True)
        >>> doc["l"].to_py()
        ['c', 'b', 'a']
        """
        items = self[:] if key else self.to_py()
        ranks = [key(item) for item in items] if key else items
        order = sorted(range(len(items)), key=ranks.__getitem__, reverse=reverse)
        self._moves(moves_to(order))

    def __imul__(self, n: SupportsIndex) -> Self:
        try:
            times = n.__index__()
        except AttributeError:
            return NotImplemented
        if times < 1:
            self.clear()
        else:
            self.extend(self[:] * (times - 1))
        return self

    # ---- new lists

    def copy(self) -> Self:
        """A detached list with the same content."""
        return self.__copy__()

    def __add__(self, other: Any) -> list[Any]:
        plain = plain_list(other)
        return NotImplemented if plain is None else self.to_py() + plain

    def __radd__(self, other: Any) -> list[Any]:
        plain = plain_list(other)
        return NotImplemented if plain is None else plain + self.to_py()

    def __mul__(self, n: SupportsIndex) -> list[Any]:
        return self.to_py() * n

    __rmul__ = __mul__

    # ---- comparing

    def __eq__(self, other: object) -> bool:
        plain = plain_list(other)
        return NotImplemented if plain is None else self.to_py() == plain

    def __lt__(self, other: Any) -> bool:
        plain = plain_list(other)
        return NotImplemented if plain is None else self.to_py() < plain

    def __le__(self, other: Any) -> bool:
        plain = plain_list(other)
        return NotImplemented if plain is None else self.to_py() <= plain

    def __gt__(self, other: Any) -> bool:
        plain = plain_list(other)
        return NotImplemented if plain is None else self.to_py() > plain

    def __ge__(self, other: Any) -> bool:
        plain = plain_list(other)
        return NotImplemented if plain is None else self.to_py() >= plain

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.container(self)


def plain_list(value: object) -> list[Any] | None:
    """A List or list as a plain list; None for anything else."""
    if isinstance(value, List):
        return value.to_py()
    return value if isinstance(value, list) else None


def ascending(order: list[int]) -> list[int]:
    """A longest ascending run of some of the numbers, in order.

    >>> ascending([3, 0, 2, 1, 4])
    [0, 1, 4]
    """
    ends: list[int] = []  # the least number that ends a run of each length
    before: dict[int, int] = {}
    for number in order:
        length = bisect_left(ends, number)
        if length:
            before[number] = ends[length - 1]
        ends[length : length + 1] = [number]
    run = ends[-1:]
    while run and run[-1] in before:
        run.append(before[run[-1]])
    return run[::-1]


def moves_to(order: list[int]) -> list[tuple[int, int]]:
    """The fewest moves (i, j) after which the item that was at order[k] stands at k.

    A longest ascending run stays. Every other item has a slot to leave and one to go to, on a line with those that
    stay: behind each of these first come the slots of those that go there. A place is the number of items before.

    >>> moves_to([1, 2, 0])
    [(0, 2)]
    """
    stay = ascending(order)
    if len(stay) == len(order):
        return []
    staying = set(stay)
    leave: list[list[int]] = [[] for _ in range(len(stay) + 1)]
    enter: list[list[int]] = [[] for _ in range(len(stay) + 1)]
    for items, slots in ((range(len(order)), leave), (order, enter)):
        segment = 0
        for item in items:
            if item in staying:
                segment += 1
            else:
                slots[segment].append(item)
    line = Sums(2 * len(order))
    source: dict[int, int] = {}
    target: dict[int, int] = {}
    at = 0
    for segment in range(len(stay) + 1):
        if segment:
            line.add(at, 1)
            at += 1
        for item in enter[segment]:
            target[item] = at
            at += 1
        for item in leave[segment]:
            source[item] = at
            line.add(at, 1)
            at += 1
    moves = []
    for item in order:
        if item not in staying:
            i = line.below(source[item])
            line.add(source[item], -1)
            j = line.below(target[item])
            line.add(target[item], 1)
            moves.append((i, j))
    return moves


class Sums:
    """Numbers at places, and their sums up to a place, both in O(log n)."""

    __slots__ = ("tree",)

    def __init__(self, n: int) -> None:
        self.tree = [0] * (n + 1)

    def add(self, at: int, amount: int) -> None:
        """Add an amount at a place."""
        at += 1
        while at < len(self.tree):
            self.tree[at] += amount
            at += at & -at

    def below(self, at: int) -> int:
        """The sum before a place."""
        total = 0
        while at > 0:
            total += self.tree[at]
            at -= at & -at
        return total
