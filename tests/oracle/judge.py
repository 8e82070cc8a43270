"""Canonical form and rule 14: what a change does, or why it is void."""

from __future__ import annotations

from .body import TEXT, Body, Delete, InChange, InLane, Insert, Own, Parent, Ref, Set, Unset, count, range_of
from .fugue import Char, ItemId, OpId, place
from .graph import Change, Effects, Graph, Naming, Slot
from .wire import Void


class Judge:
    """Canonical form and rule 14 for one change, operation by operation."""

    def __init__(self, graph: Graph, change: Change) -> None:
        self.change = change
        self.naming = Naming(graph, change.lane.id, change.header.prev, change.header.parents)
        self.seen = graph.everything(self.naming.past)  # the past, and what this change has done so far
        self.out = Effects()
        self.index = 0

    def effects(self, body: Body) -> Effects:
        if sum(count(op) for op in body.ops) != self.change.header.n_ops:
            raise Void("n_ops is not the sum of the counts")
        refs = body.refs()
        if {ref.lane for ref in refs if isinstance(ref, InLane)} != set(body.lanes):
            raise Void("a lane in the table is not used")
        if {ref.change for ref in refs if isinstance(ref, InChange)} != set(body.changes):
            raise Void("a change in the table is not used")
        before = None
        for op in body.ops:
            if isinstance(op, Insert):
                self.insert(op, before)
            elif isinstance(op, Delete):
                self.delete(op, before)
            else:
                self.write(op)
            self.index += count(op)
            before = op
        return self.out

    def item(self, ref: Ref | None) -> ItemId | None:
        if ref is None:
            return None
        item = self.naming.resolve(ref)
        if self.naming.name(item) != ref:
            raise Void("there is an earlier form to name this item")
        return item

    def next(self) -> tuple[ItemId, OpId]:
        number = len(self.out.made)
        return ItemId(self.change.id, number), OpId(self.change.clock, self.change.id, self.index)

    def make(self, item: Char | Slot) -> None:
        for effects in self.seen, self.out:
            if isinstance(item, Char):
                effects.chars[item.id] = item
            else:
                effects.slots[item.id] = item
            effects.made.append(item.id)
        self.naming.own.append(item.id)

    def insert(self, op: Insert, before: object) -> None:
        left, right, container = self.item(op.left), self.item(op.right), self.item(op.container)
        chars = self.seen.chars
        if any(origin is not None and origin not in chars for origin in (left, right)):
            raise Void("an origin that is no code point")
        texts = {chars[origin].text for origin in (left, right) if origin is not None}
        if len(texts) > 1:
            raise Void("origins of two Texts")
        text = texts.pop() if texts else container
        if text is None or text not in self.seen.slots or self.seen.slots[text].tag != TEXT:
            raise Void("no Text to stand in")
        if isinstance(before, Insert) and op.left == Own(1) and self.seen.chars[self.naming.own[-1]].right == right:
            raise Void("two runs that are one")
        parent, side = place(chars, left, right)
        if any(char.text == text and (char.parent, char.side) == (parent, side) for char in chars.values()):
            raise Void("the place has a child")
        for k, char in enumerate(op.text):
            id, start = self.next()
            self.make(Char(id, start._replace(at=self.index + k), text, char, left, right, parent, side))
            left, parent, side = id, id, "R"

    def delete(self, op: Delete, before: object) -> None:
        if isinstance(before, Delete):
            where, start, end = range_of(before)
            where_now, start_now, end_now = range_of(op)
            if where == where_now and (end == start_now or end_now == start):
                raise Void("two ranges that are one")
        gone = {item for item, _ in self.seen.deletes}
        for k in range(op.n):
            item = self.naming.resolve(step(op.first, k))
            if item not in self.seen.chars:
                raise Void("DELETE of what is no code point")
            if item in gone:
                raise Void("DELETE of what is deleted")
            self.out.deletes.append((item, self.change.id))
            self.seen.deletes.append((item, self.change.id))
        self.item(op.first)

    def write(self, op: Set | Unset) -> None:
        if op.map is not None:
            raise Void("this is no map")
        id, at = self.next()
        if isinstance(op, Set):
            self.make(Slot(id, at, op.key, op.tag, op.value))
        else:
            self.out.unsets.append((op.key, at))


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
