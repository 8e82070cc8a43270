"""The order of a text: FugueMax by the tree of its paper (Weidner, Gentle, Kleppmann: The Art of the Fugue).

Every insert that names any two origins has a place in the tree, so the order is defined for liars too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class ItemId(NamedTuple):
    """The item number `number` of a change."""

    change: bytes
    number: int


class OpId(NamedTuple):
    """The total order of operations."""

    clock: int
    change: bytes
    at: int  # which of the single operations of its change


@dataclass(frozen=True)
class Char:
    """A code point. `left` None is the start, `right` None the end, `parent` None the root of the tree."""

    id: ItemId
    op: OpId
    text: ItemId  # the SET that made the Text it stands in
    char: str
    left: ItemId | None
    right: ItemId | None
    parent: ItemId | None
    side: str  # "L" or "R"


def place(chars: Mapping[ItemId, Char], left: ItemId | None, right: ItemId | None) -> tuple[ItemId | None, str]:
    """Parent and side of an item with these origins."""
    if right is not None and on_right_side(chars, right, left):
        return right, "L"
    return left, "R"


def on_right_side(chars: Mapping[ItemId, Char], item: ItemId, above: ItemId | None) -> bool:
    """Is `item` a descendant of `above` on its right side? Every item is that of the start."""
    if above is None:
        return True
    while True:
        char = chars[item]
        if char.parent == above:
            return char.side == "R"
        if char.parent is None:
            return False
        item = char.parent


def order(chars: Iterable[Char]) -> list[Char]:
    """All items of one text, deleted ones too, from left to right. With an item come its origins."""
    known = {char.id: char for char in chars}
    children: dict[tuple[ItemId | None, str], list[Char]] = {}
    for char in sorted(known.values(), key=lambda char: char.op):  # origins before what names them
        siblings = children.setdefault((char.parent, char.side), [])
        k = 0
        while k < len(siblings) and sibling_before(known, children, siblings[k], char):
            k += 1
        siblings.insert(k, char)
    out: list[Char] = []
    todo: list[tuple[Char, bool]] = [(char, False) for char in reversed(children.get((None, "R"), []))]
    while todo:
        char, open = todo.pop()
        if open:
            out.append(char)
            continue
        todo += [(child, False) for child in reversed(children.get((char.id, "R"), []))]
        todo.append((char, True))
        todo += [(child, False) for child in reversed(children.get((char.id, "L"), []))]
    return out


Children = Mapping[tuple[ItemId | None, str], list[Char]]


def sibling_before(known: Mapping[ItemId, Char], children: Children, a: Char, b: Char) -> bool:
    """Left siblings by id. Right siblings by descending position of their right origin, then by id."""
    if a.side == "L" or a.right == b.right:
        return a.op < b.op
    if a.right is None or b.right is None:
        return a.right is None
    return stands_before(known, children, b.right, a.right)


def stands_before(known: Mapping[ItemId, Char], children: Children, a: ItemId, b: ItemId) -> bool:
    """Does a stand left of b? Their ways down from the root part somewhere."""
    way_a, way_b = way_to(known, a), way_to(known, b)
    k = 0
    while k < len(way_a) and k < len(way_b) and way_a[k] == way_b[k]:
        k += 1
    if k == len(way_a):
        return way_b[k].side == "R"  # b is below a
    if k == len(way_b):
        return way_a[k].side == "L"  # a is below b
    x, y = way_a[k], way_b[k]
    if x.side != y.side:
        return x.side == "L"
    siblings = children[x.parent, x.side]
    return siblings.index(x) < siblings.index(y)


def way_to(known: Mapping[ItemId, Char], item: ItemId | None) -> list[Char]:
    out = []
    while item is not None:
        out.append(known[item])
        item = known[item].parent
    return out[::-1]
