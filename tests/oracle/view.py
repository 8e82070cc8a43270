"""What a set of changes says."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .body import COUNTER, END_BEHIND, LIST, MAP, START_BEHIND, TEXT
from .effects import Effects, Marking, Register, Scalar, Value, scalar
from .fugue import ItemId, Node, order

Plain = Scalar | dict[str, Any] | list[Any] | set[Any]


class View:
    """The content of a document, from the effects of a set of changes."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.deleted = effects.deleted()
        self.replaced = effects.replaced()
        self.alive: dict[Register, list[Value]] = {}
        for value in sorted(effects.values.values(), key=lambda value: value.op):
            if value.id not in (self.replaced if effects.is_element(value.id) else self.deleted):
                self.alive.setdefault(value.register, []).append(value)

    # Registers

    def values(self, holder: ItemId | None, name: Hashable) -> list[Value]:
        """What a key, member or element holds, in ascending order; the last is shown."""
        return self.alive.get(Register(holder, name), [])

    def registers(self, holder: ItemId | None) -> dict[Hashable, list[Value]]:
        """Keys (by their bytes) of a Map, members of a Set, elements of a List in their order, with what they hold."""
        if holder and self.effects.containers[holder].tag == LIST:
            return {element: self.values(holder, element) for element in self.elements(holder)}
        names = [register.name for register in self.alive if register.holder == holder]
        if all(isinstance(name, str) for name in names):
            names.sort(key=lambda name: str(name).encode())
        return {name: self.values(holder, name) for name in names}

    def containers(self, tag: int) -> list[ItemId]:
        """Every one ever made, there or not, by the first operation that made it."""
        makers = sorted(self.effects.values.values(), key=lambda value: value.op)
        made = dict.fromkeys(value.container for value in makers if value.container)
        return [container for container in made if self.effects.containers[container].tag == tag]

    def there(self) -> set[ItemId | None]:
        """The root, and what stands in a register of what is there."""
        out: set[ItemId | None] = set()
        todo: list[ItemId | None] = [None]
        for holder in todo:
            out.add(holder)
            for register, values in self.alive.items():
                if register.holder == holder and register.name not in self.deleted:
                    todo += [value.container for value in values if value.container and value.container not in out]
        return out

    # Lists and texts

    def order(self, holder: ItemId) -> list[Node]:
        return order(node for node in self.effects.nodes.values() if node.holder == holder)

    def shown(self, holder: ItemId) -> list[Node]:
        """The characters or slots that show."""
        nodes = self.order(holder)
        if self.effects.containers[holder].tag == TEXT:
            return [node for node in nodes if node.id not in self.deleted]
        last = {node.what: node for node in sorted(nodes, key=lambda node: node.op)}
        return [node for node in nodes if node is last[node.what] and node.what not in self.deleted]

    def elements(self, holder: ItemId) -> list[ItemId]:
        return [node.what for node in self.shown(holder) if isinstance(node.what, ItemId)]

    def text(self, container: ItemId) -> str:
        return "".join(str(node.what) for node in self.shown(container))

    def spans(self, container: ItemId) -> list[tuple[str, dict[str, Scalar]]]:
        """The text in the longest pieces of one formatting each."""
        order = [node.id for node in self.order(container)]
        marks = [mark for mark in self.effects.marks.values() if mark.text == container and mark.id not in self.deleted]
        out: list[tuple[str, dict[str, Scalar]]] = []
        for node in self.shown(container):
            covering = [mark for mark in marks if covers(order, mark, node.id)]
            last = {mark.name: mark.value for mark in sorted(covering, key=lambda mark: mark.op)}
            format = {name: scalar(*value) for name, value in sorted(last.items()) if value is not None}
            if out and shape(out[-1][1]) == shape(format):
                out[-1] = (out[-1][0] + str(node.what), format)
            else:
                out.append((str(node.what), format))
        return out

    # As Python has it

    def plain(self, value: Value) -> Plain:
        return scalar(value.tag, value.value) if value.container is None else self.to_py(value.container)

    def to_py(self, container: ItemId | None = None) -> Plain:
        tag = MAP if container is None else self.effects.containers[container].tag
        if tag == TEXT and container:
            return self.text(container)
        if tag == COUNTER:
            return sum(amount for counter, amount in self.effects.counts if counter == container)
        shown = {name: self.plain(held[-1]) if held else None for name, held in self.registers(container).items()}
        if tag == MAP:
            return {str(name): value for name, value in shown.items()}
        return list(shown.values()) if tag == LIST else set(shown.values())


def places(order: list[ItemId], sides: int, start: ItemId | None, end: ItemId | None) -> tuple[int, int]:
    """Where a mark begins and ends. Item k is at 3k + 1, with a place of its own before and behind it."""
    first = 3 * order.index(start) + 2 * bool(sides & START_BEHIND) if start else -1
    last = 3 * order.index(end) + 2 * bool(sides & END_BEHIND) if end else 3 * len(order)
    return first, last


def covers(order: list[ItemId], mark: Marking, item: ItemId) -> bool:
    first, last = places(order, mark.sides, mark.start, mark.end)
    return first < 3 * order.index(item) + 1 < last


def shape(value: Plain) -> str:
    """As text, sets in one order. There 1, 1.0 and True differ, 0.0 and -0.0 too, and NaN is NaN."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {shape(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shape(inner) for inner in value) + "]"
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(repr, value))) + "}" if value else "set()"
    return repr(value)
