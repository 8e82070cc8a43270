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
class Node:
    """What stands in an order: a code point of a Text, or a slot of a List.

    `left` None is the start, `right` None the end, `parent` None the root of the tree.
    """

    id: ItemId
    op: OpId
    holder: ItemId  # the Text or List it stands in
    what: str | ItemId  # the code point, or the element whose slot this is
    left: ItemId | None
    right: ItemId | None
    parent: ItemId | None
    side: str  # "L" or "R"


def place(nodes: Mapping[ItemId, Node], left: ItemId | None, right: ItemId | None) -> tuple[ItemId | None, str]:
    """Parent and side of an item with these origins."""
    if right is not None and on_right_side(nodes, right, left):
        return right, "L"
    return left, "R"


def on_right_side(nodes: Mapping[ItemId, Node], item: ItemId, above: ItemId | None) -> bool:
    """Is `item` a descendant of `above` on its right side? Every item is that of the start."""
    if above is None:
        return True
    while True:
        node = nodes[item]
        if node.parent == above:
            return node.side == "R"
        if node.parent is None:
            return False
        item = node.parent


def order(nodes: Iterable[Node]) -> list[Node]:
    """All items of one text or list, deleted ones too, from left to right. With an item come its origins."""
    known = {node.id: node for node in nodes}
    children: dict[tuple[ItemId | None, str], list[Node]] = {}
    for node in sorted(known.values(), key=lambda node: node.op):  # origins before what names them
        siblings = children.setdefault((node.parent, node.side), [])
        k = 0
        while k < len(siblings) and sibling_before(known, children, siblings[k], node):
            k += 1
        siblings.insert(k, node)
    out: list[Node] = []
    todo: list[tuple[Node, bool]] = [(node, False) for node in reversed(children.get((None, "R"), []))]
    while todo:
        node, open = todo.pop()
        if open:
            out.append(node)
            continue
        todo += [(child, False) for child in reversed(children.get((node.id, "R"), []))]
        todo.append((node, True))
        todo += [(child, False) for child in reversed(children.get((node.id, "L"), []))]
    return out


Children = Mapping[tuple[ItemId | None, str], list[Node]]


def sibling_before(known: Mapping[ItemId, Node], children: Children, a: Node, b: Node) -> bool:
    """Left siblings by id. Right siblings by descending position of their right origin, then by id."""
    if a.side == "L" or a.right == b.right:
        return a.op < b.op
    if a.right is None or b.right is None:
        return a.right is None
    return stands_before(known, children, b.right, a.right)


def stands_before(known: Mapping[ItemId, Node], children: Children, a: ItemId, b: ItemId) -> bool:
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


def way_to(known: Mapping[ItemId, Node], item: ItemId | None) -> list[Node]:
    out = []
    while item is not None:
        out.append(known[item])
        item = known[item].parent
    return out[::-1]
