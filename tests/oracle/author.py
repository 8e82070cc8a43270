"""Author: writes changes with a real key against a model. All of it comes from one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nacl.signing import SigningKey

from .body import (
    BYTES,
    COUNTER,
    DEFAULT,
    DEFAULTS,
    END_BEHIND,
    FALSE,
    FLOAT,
    INT,
    LIST,
    MAP,
    NEW,
    NONE,
    SET,
    START_BEHIND,
    STR,
    TEXT,
    TRUE,
    Add,
    Assign,
    Body,
    Count,
    Delete,
    Discard,
    Elements,
    Insert,
    Mark,
    Move,
    Op,
    Ref,
    Restore,
    Set,
    Unset,
    body_of,
    count,
    encode_body,
    range_of,
    touch,
)
from .bundle import Chain, Item, Lane, item_of, opened, write_bundle
from .effects import Act, Register, member
from .fugue import ItemId
from .graph import Naming
from .judge import deleted_by_name
from .model import Replica
from .view import View
from .wire import Header, change_id_of, header_for, signed_message, zigzag

DRAFT = b"\xff" * 32  # stands for the id of the change that is being written
WORDS = ("a", "bc", "def", "é", "日本", "🙂", "x y")
GROWING = ((False, False), (False, True), (True, False), (True, True))

Tagged = tuple[int, bytes]


class Draft:
    """One change in the making: operations by what they mean, written in canonical form."""

    def __init__(self, replica: Replica, lane: Lane, prev: bytes | None, parents: Sequence[bytes]) -> None:
        self.prev = prev
        self.parents = tuple(sorted(parents))
        self.seq = 0 if prev is None else replica.changes[prev].header.seq + 1
        self.naming = Naming(replica, lane.id, prev, self.parents)
        self.seen = replica.everything(self.naming.past)
        clock = 1 + max((replica.changes[id].clock for id in self.naming.past), default=0)
        self.act = Act(self.seen, DRAFT, clock, self.naming.own)
        self.ops: list[Op] = []

    # What is there to edit

    def view(self) -> View:
        return View(self.seen)

    def containers(self, tag: int) -> list[ItemId]:
        return self.view().containers(tag)

    def texts(self) -> list[ItemId]:
        return self.containers(TEXT)

    def nodes(self, holder: ItemId) -> list[ItemId]:
        """All that ever stood in a Text or List."""
        return [node.id for node in self.view().order(holder)]

    def visible(self, holder: ItemId) -> list[ItemId]:
        """The characters or slots that show."""
        return [node.id for node in self.view().shown(holder)]

    def elements(self, holder: ItemId) -> list[ItemId]:
        return self.view().elements(holder)

    def makers(self, container: ItemId) -> list[ItemId]:
        """The items that made a container, in the order of operations: of a default container there may be many."""
        return [value.id for value in self.seen.makers(container)]

    # Honest edits

    def insert(self, text: ItemId, position: int, words: str) -> None:
        self.insert_between(text, *self.gap(text, self.visible(text), position), words)

    def delete(self, holder: ItemId, position: int, n: int) -> None:
        """Characters or elements that show."""
        shown = self.elements(holder) if self.seen.containers[holder].tag == LIST else self.visible(holder)
        for item in shown[position : position + n]:
            self.delete_item(item)

    def gap(self, holder: ItemId, shown: list[ItemId], position: int) -> tuple[ItemId | None, ItemId | None]:
        """What is shown before `position`, and whatever stands behind that."""
        every = self.nodes(holder)
        left = shown[position - 1] if position else None
        at = every.index(left) + 1 if left else 0
        return left, every[at] if at < len(every) else None

    def set(self, key: str, tag: int, value: bytes = b"", map: ItemId | None = None) -> ItemId:
        """The item, or the container that it makes."""
        self.ops.append(Set(self.of(map), key, tag, value))
        return self.write(Register(map, key), tag, value)

    def write(self, register: Register, tag: int, value: bytes) -> ItemId:
        made = self.act.write(register, tag, value)
        return made.container or made.id

    def new_text(self, key: str, map: ItemId | None = None) -> ItemId:
        return self.set(key, TEXT, b"", map)

    def unset(self, key: str, map: ItemId | None = None) -> None:
        self.ops.append(Unset(self.of(map), key))
        self.act.clear(Register(map, key))

    def elements_at(self, holder: ItemId, position: int, *values: Tagged) -> list[ItemId]:
        return self.elements_between(holder, *self.gap(holder, self.visible(holder), position), *values)

    def assign(self, element: ItemId, tag: int, value: bytes = b"") -> ItemId:
        self.ops.append(Assign(self.name(element), tag, value))
        return self.write(self.seen.values[element].register, tag, value)

    def move(self, element: ItemId, position: int) -> None:
        """To where `position` others that show are before it."""
        view = self.view()
        holder = self.seen.nodes[element].holder
        others = [node.id for node in view.shown(holder) if node.what != element]
        self.move_between(element, *self.gap(holder, others, position))

    def add(self, holder: ItemId, tag: int, value: bytes = b"") -> ItemId:
        self.ops.append(Add(self.of(holder), tag, value))
        return self.write(member(holder, tag, value), tag, value)

    def discard(self, holder: ItemId, tag: int, value: bytes = b"") -> None:
        self.ops.append(Discard(self.of(holder), tag, value))
        self.act.clear(member(holder, tag, value))

    def count(self, counter: ItemId, amount: int) -> None:
        self.ops.append(Count(self.of(counter), amount))
        self.act.count(counter, amount)

    def mark(
        self,
        text: ItemId,
        start: int,
        end: int,
        name: str,
        value: Tagged | None,
        grows: tuple[bool, bool] = (False, True),
    ) -> None:
        """The characters from `start` up to `end` that show. What is typed at an end that grows will be marked too."""
        shown = self.visible(text)
        first: ItemId | None = shown[start]
        last: ItemId | None = shown[end - 1]
        sides = END_BEHIND
        if grows[0]:
            first, sides = (shown[start - 1], sides | START_BEHIND) if start else (None, sides)
        if grows[1]:
            last, sides = (shown[end] if end < len(shown) else None), sides & ~END_BEHIND
        self.mark_between(text, sides, first, last, name, value)

    def undo(self, id: bytes) -> None:
        """Take back what is left of a change of the past: delete what it made, restore what it deleted or replaced."""
        effects = self.naming.graph.changes[id].effects
        deeds = sorted((effects.deletes | effects.replaces) - self.seen.restores)
        for item in effects.made:
            node = effects.nodes.get(item)
            slot_only = node is not None and item not in effects.values and isinstance(node.what, ItemId)
            if not slot_only and item not in self.seen.deleted():
                self.delete_item(item)
        for item, change in deeds:
            self.restore_item(change, item)
        for counter, amount in effects.counts:
            self.count(counter, -amount)

    # The same by item, which lets a liar name what he likes

    def insert_between(self, text: ItemId, left: ItemId | None, right: ItemId | None, words: str) -> None:
        before = self.ops[-1] if self.ops else None
        if isinstance(before, Insert) and self.goes_on(left, right):
            self.ops[-1] = replace(before, text=before.text + words)
        else:
            holder = None if left or right else self.of(text)
            self.ops.append(Insert(self.name(left), self.name(right), holder, words))
        self.act.insert(text, left, right, words)

    def elements_between(
        self, holder: ItemId, left: ItemId | None, right: ItemId | None, *values: Tagged
    ) -> list[ItemId]:
        """The elements."""
        before = self.ops[-1] if self.ops else None
        if isinstance(before, Elements) and self.goes_on(left, right):
            self.ops[-1] = replace(before, values=before.values + values)
        else:
            of = None if left or right else self.of(holder)
            self.ops.append(Elements(self.name(left), self.name(right), of, values))
        self.act.elements(holder, left, right, values)
        return self.naming.own[-len(values) :]

    def goes_on(self, left: ItemId | None, right: ItemId | None) -> bool:
        """Behind the last item that was made, before the same."""
        return left is not None and left == self.naming.own[-1] and self.seen.nodes[left].right == right

    def move_between(self, element: ItemId, left: ItemId | None, right: ItemId | None) -> None:
        self.ops.append(Move(self.name(element), self.name(left), self.name(right)))
        self.act.move(element, left, right)

    def mark_between(
        self, text: ItemId, sides: int, start: ItemId | None, end: ItemId | None, name: str, value: Tagged | None
    ) -> None:
        holder = None if start or end else self.of(text)
        self.ops.append(Mark(sides, self.name(start), self.name(end), holder, name, value))
        self.act.mark(text, sides, start, end, name, value)

    def delete_item(self, item: ItemId) -> None:
        first = self.name(item)
        assert first is not None
        self.ops.append(Delete(first, 1))
        self.act.delete(item)
        self.settle()

    def restore_item(self, change: bytes, item: ItemId) -> None:
        first = self.name(item)
        assert first is not None
        self.ops.append(Restore(change, first, 1))
        self.act.restore(change, item)
        self.settle()

    def settle(self) -> None:
        """Join the last range with those before it, until nothing touches."""
        while len(self.ops) > 1 and touch(*self.ops[-2:]):
            a, b = self.ops[-2:]
            assert isinstance(a, (Delete, Restore)) and isinstance(b, (Delete, Restore))
            joined = replace(a if range_of(a)[1] < range_of(b)[1] else b, n=a.n + b.n)
            if isinstance(joined, Restore) and not deleted_by_name(self.naming, self.seen, joined):
                return
            self.ops[-2:] = [joined]

    def name(self, item: ItemId | None) -> Ref | None:
        return None if item is None else self.naming.name(item)

    def of(self, container: ItemId | None) -> Ref | None:
        """By the first item that made it: the only one that names it."""
        return None if container is None else self.name(self.makers(container)[0])

    # Into bytes

    def body(self, time: int = 0, message: str | None = None) -> Body:
        return body_of(time, message, tuple(self.ops))

    def header(self, data: bytes) -> Header:
        n_ops = sum(count(op) for op in self.ops)
        return header_for(self.seq, self.prev, self.parents, n_ops, data)


@dataclass
class Pen:
    """One lane of an author in one document, and where it stands."""

    author: Author
    doc_id: bytes
    lane: Lane
    tip: bytes | None = None

    def draft(self, replica: Replica, parents: Sequence[bytes] | None = None) -> Draft:
        """The next change of this lane, on top of all heads that it may name."""
        if parents is None:
            parents = [id for id in replica.heads if replica.changes[id].lane.id != self.lane.id][:32]
        return Draft(replica, self.lane, self.tip, parents)

    def item(self, draft: Draft, time: int = 0, message: str | None = None, sign: bool = True) -> Item:
        """The change of this draft. The pen stays where it is."""
        data = encode_body(draft.body(time, message), len(draft.parents))
        return self.raw(draft.header(data), data, sign)

    def raw(self, header: Header | bytes, body: bytes, sign: bool = True) -> Item:
        """Any header over any body, truly signed."""
        item = item_of(self.lane, header, body)
        if not sign:
            return item
        data = item.header
        seq = header.seq if isinstance(header, Header) else 0
        return Item(item.lane_id, data, item.body_form, item.body, self.sign(data, seq))

    def sign(self, header: bytes, seq: int) -> bytes:
        id = change_id_of(self.lane.id, header)
        return self.author.sign(signed_message(self.doc_id, self.lane.id, seq & 0xFFFFFFFF, id))

    def bundle(self, *items: Item, lane: Lane | None = None) -> bytes:
        return write_bundle(self.doc_id, [Chain(lane or self.lane, list(items))])

    def write(self, replica: Replica, draft: Draft, time: int = 0, message: str | None = None) -> bytes:
        """Sign the draft, apply it to the author's own replica, go on behind it."""
        item = self.item(draft, time, message)
        data = self.bundle(item)
        report = replica.apply(data)
        assert report.applied == [item.id], report
        self.tip = item.id
        return data


class Author:
    """A key and a stream of random choices."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.signing = SigningKey(self.random.randbytes(32))
        self.key = bytes(self.signing.verify_key)

    def sign(self, message: bytes) -> bytes:
        return self.signing.sign(message).signature

    def pen(self, doc_id: bytes) -> Pen:
        """A new lane."""
        return Pen(self, doc_id, opened(doc_id, self.key, self.random.randbytes(16)))

    def edit(self, draft: Draft, n: int = 3) -> None:
        """Up to n honest edits."""
        for _ in range(self.random.randint(1, n)):
            self.edit_once(draft)

    def edit_once(self, draft: Draft) -> None:
        """One honest edit of a container of any kind, or an undo."""
        choose = self.random
        edits = {LIST: self.edit_list, SET: self.edit_set, COUNTER: self.edit_counter, TEXT: self.edit_text}
        kind = choose.choices([MAP, *edits, None], [4, 4, 2, 1, 7, 1])[0]
        if kind is None:
            self.undo(draft)
        elif kind == MAP:
            self.edit_map(draft, choose.choice([None, None, *draft.containers(MAP)]))
        elif draft.containers(kind):
            edits[kind](draft, choose.choice(draft.containers(kind)))
        else:
            draft.set(choose.choice("klmtuv"), kind + choose.choice([0, DEFAULT]))

    def edit_map(self, draft: Draft, map: ItemId | None) -> None:
        choose = self.random
        key = choose.choice("klmtuv")
        held = draft.view().values(map, key)
        what = choose.choice(["set", "set", "new", "new", "default", "default", "unset", "delete"])
        if what == "set":
            draft.set(key, *self.value(), map)
        elif what == "new":
            draft.set(key, choose.choice(NEW), b"", map)
        elif what == "default":
            draft.set(key, choose.choice(DEFAULTS), b"", map)
        elif what == "delete" and held:
            draft.delete_item(choose.choice(held).id)
        else:
            draft.unset(key, map)

    def edit_list(self, draft: Draft, holder: ItemId) -> None:
        choose = self.random
        elements = draft.elements(holder)
        what = choose.choice(["insert", "insert", "assign", "move", "move", "delete"])
        if elements and choose.random() < 0.1:  # one of its values, which may be the last
            held = draft.view().values(holder, choose.choice(elements))
            assigned = [value.id for value in held if value.id not in draft.seen.nodes]
            if assigned:
                draft.delete_item(choose.choice(assigned))
                return
        if not elements or what == "insert":
            values = [self.value(NEW) for _ in range(choose.randint(1, 3))]
            draft.elements_at(holder, choose.randint(0, len(elements)), *values)
        elif what == "assign":
            draft.assign(choose.choice(elements), *self.value(NEW))
        elif what == "move":
            draft.move(choose.choice(elements), choose.randrange(len(elements)))
        else:
            draft.delete(holder, choose.randrange(len(elements)), choose.randint(1, 2))

    def edit_set(self, draft: Draft, holder: ItemId) -> None:
        (draft.add if self.random.random() < 0.7 else draft.discard)(holder, *self.value())

    def edit_counter(self, draft: Draft, counter: ItemId) -> None:
        draft.count(counter, self.random.choice([1, -1, self.random.randint(1 - 2**63, 2**63 - 1)]))

    def edit_text(self, draft: Draft, text: ItemId) -> None:
        choose = self.random
        shown = len(draft.visible(text))
        what = choose.choice(["insert", "insert", "insert", "delete", "mark"])
        at = choose.randint(0, shown)
        n = choose.randint(0, min(4, shown - at))
        if what == "insert" or not shown:
            draft.insert(text, at, choose.choice(WORDS))
        elif what == "delete":
            draft.delete(text, at, n)
        elif n:
            value = choose.choice([None, (TRUE, b""), self.value()])
            draft.mark(text, at, at + n, choose.choice(("bold", "link")), value, choose.choice(GROWING))

    def undo(self, draft: Draft) -> None:
        """Of a change of the own lane, undone or not."""
        own = sorted(id for id in draft.naming.past if draft.naming.graph.changes[id].lane.id == draft.naming.lane_id)
        if own:
            draft.undo(self.random.choice(own))

    def value(self, new: tuple[int, ...] = ()) -> Tagged:
        """One that is plain, or an empty container of these tags."""
        choose = self.random
        return choose.choice(
            [
                (NONE, b""),
                (FALSE, b""),
                (TRUE, b""),
                (INT, zigzag(choose.choice([0, 1, choose.randint(-(2**63), 2**63 - 1)]))),
                (FLOAT, bytes.fromhex(choose.choice(["0000000000000080", "000000000000f87f", "000000000000f03f"]))),
                (STR, choose.choice(WORDS).encode()),
                (BYTES, choose.randbytes(5)),
                *((tag, b"") for tag in new),
            ]
        )

    def lie(self, draft: Draft) -> None:
        """Operations that an honest author would not write: some are void, some are only odd."""
        choose = self.random
        for tag, key in ((TEXT, "t"), (LIST, "l")):
            if not draft.containers(tag):
                draft.set(key, tag)
        holder = choose.choice(draft.containers(choose.choice([TEXT, LIST])))
        nodes = draft.seen.nodes
        is_list = draft.seen.containers[holder].tag == LIST
        every = [node.id for node in nodes.values() if node.holder == holder]
        elements = [item for item in every if draft.seen.is_element(item)]
        other = list(nodes) if choose.random() < 0.1 else every
        left, right = choose.choice([None, *every]), choose.choice([None, *other])
        deeds = sorted(draft.seen.deletes | draft.seen.replaces)
        what = choose.choice(["delete", "restore", "stand", "stand", "move", "mark"])
        if what == "delete" and draft.naming.graph.changes:
            items = [*nodes, *draft.seen.values, *draft.seen.marks]
            draft.delete_item(choose.choice(items))
        elif what == "restore" and deeds:
            item, change = choose.choice(deeds)
            if change != DRAFT:
                draft.restore_item(change, item)
        elif what == "move" and elements:
            draft.move_between(choose.choice(elements), left, right)
        elif what == "mark" and not is_list:
            sides = choose.randrange(4) & ((START_BEHIND if left else 0) | (END_BEHIND if right else 0))
            draft.mark_between(holder, sides, left, right, "odd", None)
        elif is_list:
            draft.elements_between(holder, left, right, *(self.value(NEW) for _ in range(choose.randint(1, 2))))
        else:
            draft.insert_between(holder, left, right, choose.choice(WORDS))
