"""Author: writes changes with a real key against a model. All of it comes from one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from nacl.signing import SigningKey

from .body import (
    BYTES,
    FALSE,
    FLOAT,
    INT,
    NONE,
    STR,
    TEXT,
    TRUE,
    Body,
    Delete,
    Insert,
    Op,
    Ref,
    Set,
    Unset,
    body_of,
    count,
    encode_body,
    range_of,
)
from .bundle import Chain, Item, Lane, item_of, opened, write_bundle
from .fugue import Char, ItemId, OpId, order, place
from .graph import Naming, Slot
from .model import Replica
from .wire import Header, change_id_of, header_for, signed_message, zigzag

DRAFT = b"\xff" * 32  # stands for the id of the change that is being written
WORDS = ("a", "bc", "def", "é", "日本", "🙂", "x y")


class Draft:
    """One change in the making: operations by what they mean, written in canonical form."""

    def __init__(self, replica: Replica, lane: Lane, prev: bytes | None, parents: Sequence[bytes]) -> None:
        self.prev = prev
        self.parents = tuple(sorted(parents))
        self.seq = 0 if prev is None else replica.changes[prev].header.seq + 1
        self.naming = Naming(replica, lane.id, prev, self.parents)
        self.seen = replica.everything(self.naming.past)
        self.clock = 1 + max((replica.changes[id].clock for id in self.naming.past), default=0)
        self.ops: list[Op] = []
        self.n_made = 0

    # What is there to edit

    def texts(self) -> list[ItemId]:
        slots = [slot for slot in self.seen.slots.values() if slot.tag == TEXT]
        return [slot.id for slot in sorted(slots, key=lambda slot: slot.op)]

    def chars(self, text: ItemId) -> list[Char]:
        return order(char for char in self.seen.chars.values() if char.text == text)

    def visible(self, text: ItemId) -> list[ItemId]:
        gone = {item for item, _ in self.seen.deletes}
        return [char.id for char in self.chars(text) if char.id not in gone]

    # Honest edits

    def insert(self, text: ItemId, position: int, words: str) -> None:
        """Between the visible character before `position` and whatever stands behind that one."""
        shown, every = self.visible(text), [char.id for char in self.chars(text)]
        left = shown[position - 1] if position else None
        at = every.index(left) + 1 if left else 0
        self.insert_between(text, left, every[at] if at < len(every) else None, words)

    def delete(self, text: ItemId, position: int, n: int) -> None:
        for item in self.visible(text)[position : position + n]:
            self.delete_item(item)

    def set(self, key: str, tag: int, value: bytes = b"") -> ItemId:
        self.ops.append(Set(None, key, tag, value))
        slot = Slot(self.next(), OpId(self.clock, DRAFT, self.n_made), key, tag, value)
        self.seen.slots[slot.id] = slot
        self.made(slot.id)
        return slot.id

    def new_text(self, key: str) -> ItemId:
        return self.set(key, TEXT)

    def unset(self, key: str) -> None:
        self.ops.append(Unset(None, key))

    # The same by item, which lets a liar name what he likes

    def insert_between(self, text: ItemId, left: ItemId | None, right: ItemId | None, words: str) -> None:
        refs = [self.name(left), self.name(right), None if left or right else self.name(text)]
        before = self.ops[-1] if self.ops else None
        goes_on = isinstance(before, Insert) and left == self.naming.own[-1] and self.seen.chars[left].right == right
        if goes_on and isinstance(before, Insert):
            self.ops[-1] = Insert(before.left, before.right, before.container, before.text + words)
        else:
            self.ops.append(Insert(refs[0], refs[1], refs[2], words))
        parent, side = place(self.seen.chars, left, right)
        for char in words:
            id, op = self.next(), OpId(self.clock, DRAFT, self.n_made)
            self.seen.chars[id] = Char(id, op, text, char, left, right, parent, side)
            self.made(id)
            left, parent, side = id, id, "R"

    def delete_item(self, item: ItemId) -> None:
        self.seen.deletes.append((item, DRAFT))
        first = self.name(item)
        assert first is not None
        self.ops.append(Delete(first, 1))
        while len(self.ops) > 1:
            joined = join(self.ops[-2], self.ops[-1])
            if joined is None:
                return
            self.ops[-2:] = [joined]

    def next(self) -> ItemId:
        return ItemId(DRAFT, self.n_made)

    def made(self, item: ItemId) -> None:
        self.naming.own.append(item)
        self.n_made += 1

    def name(self, item: ItemId | None) -> Ref | None:
        return None if item is None else self.naming.name(item)

    # Into bytes

    def body(self, time: int = 0, message: str | None = None) -> Body:
        return body_of(time, message, tuple(self.ops))

    def header(self, data: bytes) -> Header:
        n_ops = sum(count(op) for op in self.ops)
        return header_for(self.seq, self.prev, self.parents, n_ops, data)


def join(a: Op, b: Op) -> Delete | None:
    """Two ranges that touch are one."""
    if not isinstance(a, Delete) or not isinstance(b, Delete):
        return None
    (where_a, start_a, end_a), (where_b, start_b, end_b) = range_of(a), range_of(b)
    if where_a != where_b or (end_a != start_b and end_b != start_a):
        return None
    return Delete(a.first if start_a < start_b else b.first, a.n + b.n)


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
        choose = self.random
        texts = draft.texts()
        what = choose.choice(["insert", "insert", "insert", "delete", "set", "unset", "text"])
        if not texts or what == "text":
            draft.new_text(choose.choice("tuv"))
        elif what == "insert":
            text = choose.choice(texts)
            draft.insert(text, choose.randint(0, len(draft.visible(text))), choose.choice(WORDS))
        elif what == "delete":
            text = choose.choice(texts)
            shown = len(draft.visible(text))
            at = choose.randint(0, shown)
            draft.delete(text, at, choose.randint(0, min(4, shown - at)))
        elif what == "set":
            draft.set(choose.choice("kltu"), *self.value())
        else:
            draft.unset(choose.choice("kltu"))

    def value(self) -> tuple[int, bytes]:
        choose = self.random
        return choose.choice(
            [
                (NONE, b""),
                (FALSE, b""),
                (TRUE, b""),
                (INT, zigzag(choose.randint(-(2**63), 2**63 - 1))),
                (FLOAT, bytes.fromhex(choose.choice(["0000000000000080", "000000000000f87f", "000000000000f03f"]))),
                (STR, choose.choice(WORDS).encode()),
                (BYTES, choose.randbytes(5)),
            ]
        )

    def lie(self, draft: Draft) -> None:
        """Operations that an honest author would not write: some are void, some are only odd."""
        choose = self.random
        texts = draft.texts()
        if not texts:
            draft.new_text("t")
            texts = draft.texts()
        text = choose.choice(texts)
        every = [char.id for char in draft.seen.chars.values() if char.text == text]
        if every and choose.random() < 0.3:
            draft.delete_item(choose.choice(every))
        else:
            other = [char.id for char in draft.seen.chars.values()] if choose.random() < 0.1 else every
            left, right = choose.choice([None, *every]), choose.choice([None, *other])
            draft.insert_between(text, left, right, choose.choice(WORDS))
