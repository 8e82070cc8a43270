"""What operations do: items, values of registers, containers, what is deleted. Checks nothing: that is for judge.py."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .body import BYTES, DEFAULT, DEFAULTS, FALSE, FLOAT, INT, NEW, NONE, TRUE
from .fugue import ItemId, Node, OpId, place
from .wire import Reader, digest

Scalar = None | bool | int | float | str | bytes


class Register(NamedTuple):
    """A key of a Map (None: the root), a member of a Set, or an element of a List."""

    holder: ItemId | None
    name: Hashable


@dataclass(frozen=True)
class Value:
    """An item that is a value of a register, and the container that it made, if any."""

    id: ItemId
    op: OpId
    register: Register
    tag: int
    value: bytes
    container: ItemId | None


@dataclass(frozen=True)
class Container:
    """Known here by the item that made it; a default one, which many may make, by what `default_name` makes up."""

    tag: int  # that of a new one
    depth: int


@dataclass(frozen=True)
class Marking:
    """What a MARK makes."""

    id: ItemId
    op: OpId
    text: ItemId
    sides: int
    start: ItemId | None
    end: ItemId | None
    name: str
    value: tuple[int, bytes] | None


Pairs = set[tuple[ItemId, bytes]]  # an item, and the change that has done something to it


@dataclass
class Effects:
    """What the operations of one change, or of many, have done."""

    nodes: dict[ItemId, Node] = field(default_factory=dict)
    values: dict[ItemId, Value] = field(default_factory=dict)  # an element is here and among the nodes
    marks: dict[ItemId, Marking] = field(default_factory=dict)
    containers: dict[ItemId, Container] = field(default_factory=dict)
    counts: list[tuple[ItemId, int]] = field(default_factory=list)
    deletes: Pairs = field(default_factory=set)  # by a DELETE
    replaces: Pairs = field(default_factory=set)
    restores: Pairs = field(default_factory=set)  # with the change whose deed is taken back
    made: list[ItemId] = field(default_factory=list)

    def add(self, other: Effects) -> None:
        self.nodes |= other.nodes
        self.values |= other.values
        self.marks |= other.marks
        self.containers |= other.containers
        self.counts += other.counts
        self.deletes |= other.deletes
        self.replaces |= other.replaces
        self.restores |= other.restores
        self.made += other.made

    def is_element(self, item: ItemId) -> bool:
        return item in self.nodes and item in self.values

    def replaced(self) -> set[ItemId]:
        return {item for item, _ in self.replaces - self.restores}

    def deleted(self) -> set[ItemId]:
        named = {item for item, _ in self.deletes - self.restores}
        return named | {item for item in self.replaced() if not self.is_element(item)}

    def depth(self, holder: ItemId | None) -> int:
        return 0 if holder is None else self.containers[holder].depth

    def makers(self, container: ItemId) -> list[Value]:
        """The items that made it, in the order of operations. The first names it."""
        made = [value for value in self.values.values() if value.container == container]
        return sorted(made, key=lambda value: value.op)

    def of_register(self, register: Register) -> list[Value]:
        """Every item that ever was a value of it."""
        return [value for value in self.values.values() if value.register == register]


def scalar(tag: int, value: bytes) -> Scalar:
    if tag in (NONE, FALSE, TRUE):
        return {NONE: None, FALSE: False, TRUE: True}[tag]
    if tag == INT:
        return Reader(value).zigzag()
    if tag == FLOAT:
        number: float = struct.unpack("<d", value)[0]
        return number
    return value if tag == BYTES else value.decode()


def member(holder: ItemId | None, tag: int, value: bytes) -> Register:
    """Members are one if Python calls them equal, and NaN is NaN."""
    name = scalar(tag, value)
    return Register(holder, name if name == name else ("NaN",))


def default_name(register: Register, tag: int, before: set[ItemId]) -> ItemId:
    """The same for all who ask for the same on the same key and know of the same default containers there."""
    return ItemId(digest(b"oracle-default", repr((register, tag, sorted(before))).encode()), 0)


class Act:
    """One change in the making: what its operations do, on top of its causal past, `seen`."""

    def __init__(self, seen: Effects, change: bytes, clock: int, own: list[ItemId]) -> None:
        self.seen = seen  # the past, and what this change has done so far
        self.out = Effects()
        self.change = change
        self.clock = clock
        self.own = own  # the items of the own chain
        self.index = 0

    def next(self) -> tuple[ItemId, OpId]:
        return ItemId(self.change, len(self.out.made)), OpId(self.clock, self.change, self.index)

    def do(self, did: Effects) -> None:
        """A single operation."""
        self.seen.add(did)
        self.out.add(did)
        self.own += did.made
        self.index += 1

    def write(self, register: Register, tag: int, value: bytes) -> Value:
        """SET, ASSIGN and ADD."""
        did = self.value(register, tag, value)
        did.replaces = self.replacing(register)
        self.do(did)
        return did.values[did.made[0]]

    def clear(self, register: Register) -> None:
        """UNSET and DISCARD."""
        self.do(Effects(replaces=self.replacing(register)))

    def replacing(self, register: Register) -> Pairs:
        """What is a value to this operation. What the change itself restores is none."""
        seen, restores = self.seen, self.seen.restores - self.out.restores
        hidden = {item for item, _ in seen.replaces - restores}
        hidden |= {item for item, _ in seen.deletes - restores if not seen.is_element(item)}
        return {(value.id, self.change) for value in seen.of_register(register) if value.id not in hidden}

    def value(self, register: Register, tag: int, value: bytes) -> Effects:
        """The next item as a value, with the container that it makes."""
        id, op = self.next()
        if tag not in NEW + DEFAULTS:
            return Effects(values={id: Value(id, op, register, tag, value, None)}, made=[id])
        name = id
        if tag in DEFAULTS:
            others = [other for other in self.seen.of_register(register) if other.tag in DEFAULTS]
            name = default_name(register, tag, {other.container for other in others if other.container})
        container = Container(tag - DEFAULT if tag in DEFAULTS else tag, self.seen.depth(register.holder) + 1)
        return Effects(values={id: Value(id, op, register, tag, value, name)}, containers={name: container}, made=[id])

    def insert(self, text: ItemId, left: ItemId | None, right: ItemId | None, words: str) -> None:
        for char in words:
            id, _ = self.next()
            self.do(Effects(nodes=self.node(text, char, left, right), made=[id]))
            left = id

    def elements(
        self, holder: ItemId, left: ItemId | None, right: ItemId | None, values: Sequence[tuple[int, bytes]]
    ) -> None:
        for tag, value in values:
            id, _ = self.next()
            did = self.value(Register(holder, id), tag, value)
            did.nodes = self.node(holder, id, left, right)
            self.do(did)
            left = id

    def move(self, element: ItemId, left: ItemId | None, right: ItemId | None) -> None:
        id, _ = self.next()
        self.do(Effects(nodes=self.node(self.seen.nodes[element].holder, element, left, right), made=[id]))

    def node(self, holder: ItemId, what: str | ItemId, left: ItemId | None, right: ItemId | None) -> dict[ItemId, Node]:
        id, op = self.next()
        return {id: Node(id, op, holder, what, left, right, *place(self.seen.nodes, left, right))}

    def count(self, counter: ItemId, amount: int) -> None:
        self.do(Effects(counts=[(counter, amount)]))

    def mark(
        self,
        text: ItemId,
        sides: int,
        start: ItemId | None,
        end: ItemId | None,
        name: str,
        value: tuple[int, bytes] | None,
    ) -> None:
        id, op = self.next()
        self.do(Effects(marks={id: Marking(id, op, text, sides, start, end, name, value)}, made=[id]))

    def delete(self, item: ItemId) -> None:
        self.do(Effects(deletes={(item, self.change)}))

    def restore(self, change: bytes, item: ItemId) -> None:
        self.do(Effects(restores={(item, change)}))
