"""Canonical form and rule 14: what a change does, or why it is void."""

from __future__ import annotations

from collections.abc import Iterator

from .body import (
    COUNTER,
    LIST,
    MAP,
    SET,
    TEXT,
    Add,
    Assign,
    Body,
    Count,
    Delete,
    Discard,
    Elements,
    InChange,
    InLane,
    Insert,
    Mark,
    Move,
    Op,
    Own,
    Parent,
    Ref,
    Restore,
    Set,
    Unset,
    count,
    touch,
)
from .effects import Act, Effects, Register, member
from .fugue import ItemId, order, place
from .graph import Change, Graph, Naming
from .view import places
from .wire import Void

MAX_DEPTH = 256


class Judge:
    """Canonical form and rule 14 for one change, operation by operation."""

    def __init__(self, graph: Graph, change: Change) -> None:
        self.change = change
        self.naming = Naming(graph, change.lane.id, change.header.prev, change.header.parents)
        self.act = Act(graph.everything(self.naming.past), change.id, change.clock, self.naming.own)
        self.seen = self.act.seen

    def effects(self, body: Body) -> Effects:
        if sum(count(op) for op in body.ops) != self.change.header.n_ops:
            raise Void("n_ops is not the sum of the counts")
        if body.used_lanes() != set(body.lanes):
            raise Void("a lane in the table is not used")
        if body.used_changes() != set(body.changes):
            raise Void("a change in the table is not used")
        before: Op | None = None
        for op in body.ops:
            if touch(before, op) and self.could_be_one(before, op):
                raise Void("two ranges that are one")
            self.one(op, before)
            before = op
        return self.act.out

    def could_be_one(self, *ranges: Op | None) -> bool:
        """DELETEs always; RESTOREs if DELETEs name all that they restore."""
        restores = [op for op in ranges if isinstance(op, Restore)]
        return all(deleted_by_name(self.naming, self.seen, op) for op in restores)

    def one(self, op: Op, before: Op | None) -> None:
        act = self.act
        if isinstance(op, (Insert, Elements)):
            holder, left, right = self.stand(op, TEXT if isinstance(op, Insert) else LIST)
            if type(op) is type(before) and op.left == Own(1) and self.seen.nodes[self.naming.own[-1]].right == right:
                raise Void("two runs that are one")
            if isinstance(op, Insert):
                act.insert(holder, left, right, op.text)
            else:
                self.check_depth(holder, *(tag for tag, _ in op.values))
                act.elements(holder, left, right, op.values)
        elif isinstance(op, Move):
            element = self.element(op.element)
            act.move(element, *self.stand(op, LIST)[1:])
        elif isinstance(op, (Set, Unset)):
            register = Register(self.container(op.map, MAP) if op.map else None, op.key)
            self.write(register, op) if isinstance(op, Set) else act.clear(register)
        elif isinstance(op, (Add, Discard)):
            register = member(self.container(op.set, SET), op.tag, op.value)
            self.write(register, op) if isinstance(op, Add) else act.clear(register)
        elif isinstance(op, Assign):
            self.write(self.seen.values[self.element(op.element)].register, op)
        elif isinstance(op, Count):
            act.count(self.container(op.counter, COUNTER), op.amount)
        elif isinstance(op, Mark):
            self.mark(op)
        elif isinstance(op, Delete):
            self.delete(op)
        else:
            self.restore(op)

    def item(self, ref: Ref | None) -> ItemId | None:
        if ref is None:
            return None
        item = self.naming.resolve(ref)
        if self.naming.name(item) != ref:
            raise Void("there is an earlier form to name this item")
        return item

    def container(self, ref: Ref | None, tag: int) -> ItemId:
        item = self.item(ref)
        value = self.seen.values.get(item) if item else None
        if value is None or value.container is None or self.seen.containers[value.container].tag != tag:
            raise Void("no container of this kind")
        if item != self.seen.makers(value.container)[0].id:
            raise Void("another item made this container first")
        return value.container

    def element(self, ref: Ref | None) -> ItemId:
        item = self.item(ref)
        if item is None or not self.seen.is_element(item):
            raise Void("this is no element")
        if item in self.seen.deleted():
            raise Void("the element is deleted")
        return item

    def stand(self, op: Insert | Elements | Move, tag: int) -> tuple[ItemId, ItemId | None, ItemId | None]:
        """The Text or List in which something is to stand, left and right of it what is to."""
        nodes = self.seen.nodes
        left, right = self.item(op.left), self.item(op.right)
        origins = [origin for origin in (left, right) if origin is not None]
        if any(origin not in nodes for origin in origins):
            raise Void("an origin that stands nowhere")
        holders = {nodes[origin].holder for origin in origins}
        if isinstance(op, Move):
            holders.add(nodes[self.element(op.element)].holder)
        elif not origins:
            holders.add(self.container(op.container, tag))
        if len(holders) > 1:
            raise Void("origins of two containers")
        holder = holders.pop()
        if self.seen.containers[holder].tag != tag:
            raise Void("not in such a container")
        parent, side = place(nodes, left, right)
        if any(node.holder == holder and (node.parent, node.side) == (parent, side) for node in nodes.values()):
            raise Void("the place has a child")
        return holder, left, right

    def write(self, register: Register, op: Set | Assign | Add) -> None:
        self.check_depth(register.holder, op.tag)
        self.act.write(register, op.tag, op.value)

    def check_depth(self, holder: ItemId | None, *tags: int) -> None:
        if self.seen.depth(holder) == MAX_DEPTH and any(tag >= MAP for tag in tags):
            raise Void("a container too deep")

    def mark(self, op: Mark) -> None:
        start, end = self.item(op.start), self.item(op.end)
        anchors = [anchor for anchor in (start, end) if anchor is not None]
        nodes = self.seen.nodes
        if any(anchor not in nodes for anchor in anchors):
            raise Void("a mark at what stands nowhere")
        holders = {nodes[anchor].holder for anchor in anchors}
        if not anchors:
            holders.add(self.container(op.container, TEXT))
        text = holders.pop()
        if holders or self.seen.containers[text].tag != TEXT:
            raise Void("a mark not in one Text")
        in_order = [node.id for node in order(node for node in nodes.values() if node.holder == text)]
        first, last = places(in_order, op.sides, start, end)
        if first >= last:
            raise Void("the start does not stand before the end")
        self.act.mark(text, op.sides, start, end, op.name, op.value)

    def delete(self, op: Delete) -> None:
        deleted = self.seen.deleted()
        for item in self.range(op):
            if not self.can_be_deleted(item):
                raise Void("DELETE of a slot")
            if item in deleted:
                raise Void("DELETE of what is deleted")
            self.act.delete(item)

    def can_be_deleted(self, item: ItemId) -> bool:
        """All items but those of MOVEs."""
        node = self.seen.nodes.get(item)
        return node is None or isinstance(node.what, str) or node.what == item

    def restore(self, op: Restore) -> None:
        if op.change not in self.naming.past:
            raise Void("RESTORE of a change that is not in the past")
        for item in self.range(op):
            deed = (item, op.change)
            if deed not in self.seen.deletes and (op.n > 1 or deed not in self.seen.replaces):
                raise Void("RESTORE of what this change did not delete")
            if deed in self.seen.restores:
                raise Void("RESTORE of what is restored")
            self.act.restore(op.change, item)

    def range(self, op: Delete | Restore) -> Iterator[ItemId]:
        """The items that it names."""
        self.item(op.first)
        yield from items_of(self.naming, op)


def deleted_by_name(naming: Naming, seen: Effects, op: Restore) -> bool:
    """Has a DELETE of that change named each of these?"""
    return all((item, op.change) in seen.deletes for item in items_of(naming, op))


def items_of(naming: Naming, op: Delete | Restore) -> Iterator[ItemId]:
    for k in range(op.n):
        yield naming.resolve(step(op.first, k))


def step(ref: Ref, k: int) -> Ref:
    """The item k further up."""
    if isinstance(ref, Own):
        if ref.distance <= k:
            raise Void("a range beyond the own chain")
        return Own(ref.distance - k)
    if isinstance(ref, Parent):
        return Parent(ref.index, ref.offset + k)
    if isinstance(ref, InLane):
        return InLane(ref.lane, ref.offset + k)
    return InChange(ref.change, ref.offset + k)
