"""One lie for each rule of the format page, with the verdict that it meets.

`tell(kind, pen, replica)` needs a replica with at least two heads of other lanes, a Text "t" of four or more visible
characters, a Text "u" of two, a key "k" that is no Text, a deleted character, and a pen that has written twice.
`stage(seed)` makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .author import Author, Draft, Pen
from .body import (
    BYTES,
    FLOAT,
    INT,
    NONE,
    STR,
    TRUE,
    Delete,
    InChange,
    InLane,
    Insert,
    Own,
    Ref,
    Set,
    encode_body,
)
from .bundle import APART, OMITTED, REFERRED, STATED, Item, Lane, opened
from .fugue import ItemId
from .model import APPLIED, VOID, Replica
from .wire import Header, blob, body_hash_of, varint, zigzag

REFUSED, WAITING, LATER = "refused", "waiting", "later"


@dataclass(frozen=True)
class Lie:
    kind: str
    verdict: str
    id: bytes
    bundle: bytes


# Lies in the header: what becomes of an honest header

HEADERS: dict[str, tuple[str, Callable[[Header], Header]]] = {
    "version": (REFUSED, lambda h: replace(h, ver=2)),
    "type": (REFUSED, lambda h: replace(h, type=2)),
    "seq too large": (REFUSED, lambda h: replace(h, seq=2**32 - 1)),
    "seq 0 with prev": (REFUSED, lambda h: replace(h, seq=0)),
    "seq without prev": (REFUSED, lambda h: replace(h, prev=None)),
    "parents unsorted": (REFUSED, lambda h: replace(h, parents=h.parents[::-1])),
    "parents repeated": (REFUSED, lambda h: replace(h, parents=h.parents[:1] * 2)),
    "33 parents": (REFUSED, lambda h: replace(h, parents=tuple(bytes([k]) * 32 for k in range(33)))),
    "32 unknown parents": (WAITING, lambda h: replace(h, parents=tuple(bytes([k]) * 32 for k in range(32)))),
    "n_ops too large": (REFUSED, lambda h: replace(h, n_ops=2**24 + 1)),
    "n_ops wrong": (VOID, lambda h: replace(h, n_ops=h.n_ops + 1)),
    "n_ops 0": (VOID, lambda h: replace(h, n_ops=0)),
    "epoch": (REFUSED, lambda h: replace(h, epoch=bytes(32))),
    "body_len too small": (REFUSED, lambda h: replace(h, body_len=h.body_len - 1)),
    "body_len too large": (REFUSED, lambda h: replace(h, body_len=h.body_len + 1)),
    "body_len beyond the limit": (REFUSED, lambda h: replace(h, body_len=2**24 + 1, body_ref=bytes(32))),
    "hash of a short body": (REFUSED, lambda h: replace(h, body_ref=body_hash_of(h.body_ref))),
    "bytes behind": (REFUSED, lambda h: replace(h, body_ref=h.body_ref + b"\0")),
    "own lane among the parents": (REFUSED, lambda h: replace(h, parents=tuple(sorted([*h.parents, h.prev or b""])))),
    "prev of another lane": (REFUSED, lambda h: replace(h, prev=h.parents[0], parents=())),
    "seq skips": (REFUSED, lambda h: replace(h, seq=h.seq + 1)),
    "unknown prev": (WAITING, lambda h: replace(h, prev=bytes(32))),
    "unknown parent": (WAITING, lambda h: replace(h, parents=(bytes(32), *h.parents))),
}


# Lies in the body: bytes, and the n_ops that the header gives


def op(kind: int, payload: bytes) -> bytes:
    return varint(kind) + blob(payload)


def plain(ops: bytes, flags: int = 0) -> bytes:
    return varint(flags) + zigzag(0) + ops


def put(key: bytes, tag: int, value: bytes) -> bytes:
    return op(3, varint(0) + blob(key) + varint(tag) + blob(value))


BODIES: dict[str, tuple[str, int, bytes]] = {
    "nothing at all": (VOID, 0, b""),
    "time is not minimal": (VOID, 0, b"\0\x80\0"),
    "message is not UTF-8": (VOID, 0, b"\1\0\1\xff"),
    "empty table": (VOID, 0, b"\2\0\0\0"),
    "table beyond the body": (VOID, 0, b"\2\0" + varint(2**63)),
    "payload beyond the body": (VOID, 0, plain(varint(1) + varint(100))),
    "INSERT of nothing": (VOID, 0, plain(op(1, b"\1\1\0"))),
    "INSERT of half a character": (VOID, 1, plain(op(1, b"\1\1\0\xc3"))),
    "INSERT of a surrogate": (VOID, 1, plain(op(1, b"\1\1\0\xed\xa0\x80"))),
    "DELETE of nothing": (VOID, 0, plain(op(2, b"\1\1\0"))),
    "DELETE of the start": (VOID, 1, plain(op(2, b"\0\1"))),
    "DELETE with bytes behind": (VOID, 1, plain(op(2, b"\1\1\1\0"))),
    "distance 0": (VOID, 1, plain(op(2, b"\1\0\1"))),
    "ref beyond the table": (VOID, 1, plain(op(2, varint(99) + b"\0\1"))),
    "None with content": (VOID, 1, plain(put(b"k", NONE, b"\0"))),
    "int is not minimal": (VOID, 1, plain(put(b"k", INT, b"\x80\0"))),
    "float of seven bytes": (VOID, 1, plain(put(b"k", FLOAT, bytes(7)))),
    "another NaN": (VOID, 1, plain(put(b"k", FLOAT, bytes.fromhex("000000000000f8ff")))),
    "str is not UTF-8": (VOID, 1, plain(put(b"k", STR, b"\xff"))),
    "key is not UTF-8": (VOID, 1, plain(put(b"\xff", TRUE, b""))),
    "key too long": (VOID, 1, plain(put(b"k" * 4097, TRUE, b""))),
    "key just not too long": (APPLIED, 1, plain(put(b"k" * 4096, TRUE, b""))),
    "no operation": (APPLIED, 0, plain(b"")),
    "infinity": (APPLIED, 1, plain(put(b"k", FLOAT, bytes.fromhex("000000000000f07f")))),
    "unknown flag": (LATER, 0, plain(b"", flags=4)),
    "unknown flag before rubbish": (LATER, 0, plain(b"\xff\xff", flags=4)),
    "unknown kind": (LATER, 0, plain(op(5, b"whatever"))),
    "kind 0": (LATER, 0, plain(op(0, b""))),
    "unknown kind before a broken frame": (VOID, 0, plain(op(5, b"whatever") + varint(1))),
    "unknown kind with a wrong op": (LATER, 0, plain(op(5, b"") + op(2, b""))),
    "reserved tag": (LATER, 1, plain(put(b"k", 16, b""))),
    "unknown tag": (LATER, 1, plain(put(b"k", 2**40, b"abc"))),
}


# Lies about the graph: what a draft does


def text(draft: Draft, key: str) -> ItemId:
    """The Text that is longest under this key."""
    slots = [slot.id for slot in draft.seen.slots.values() if slot.key == key and slot.id in draft.texts()]
    return max(slots, key=lambda id: len(draft.visible(id)))


def foreign(draft: Draft) -> ItemId:
    """An item of a parent's lane, in the Text under t."""
    return next(id for id in draft.visible(text(draft, "t")) if id not in draft.naming.own)


def by_lane(draft: Draft) -> None:
    item = foreign(draft)
    lane = draft.naming.graph.changes[item.change].lane.id
    items = draft.naming.lane_items(lane) or []
    draft.ops.append(Delete(InLane(lane, items.index(item)), 1))


def own_by_lane(draft: Draft) -> None:
    draft.ops.append(Delete(InLane(draft.naming.lane_id, 0), 1))


def ref(draft: Draft, item: ItemId) -> Ref:
    return draft.naming.name(item)


def two_runs(draft: Draft) -> None:
    draft.insert(text(draft, "t"), 0, "x")
    before = draft.ops[-1]
    assert isinstance(before, Insert)
    right = Own(before.right.distance + 1) if isinstance(before.right, Own) else before.right
    draft.ops.append(Insert(Own(1), right, None, "y"))


def two_ranges(draft: Draft) -> None:
    """The own lane begins with x, y, z."""
    last = len(draft.naming.own)
    draft.ops += [Delete(Own(last), 1), Delete(Own(last - 1), 1)]


def two_texts(draft: Draft) -> None:
    draft.insert_between(text(draft, "t"), draft.visible(text(draft, "t"))[0], draft.visible(text(draft, "u"))[0], "x")


def slot_of(draft: Draft, key: str) -> ItemId:
    return next(slot.id for slot in draft.seen.slots.values() if slot.key == key and slot.id not in draft.texts())


def deleted(draft: Draft) -> ItemId:
    return draft.seen.deletes[0][0]


def child_taken(draft: Draft) -> None:
    every = [char.id for char in draft.chars(text(draft, "t"))]
    draft.insert_between(text(draft, "t"), every[0], every[1], "x")
    draft.insert_between(text(draft, "t"), every[0], every[1], "y")


def odd_origins(draft: Draft) -> None:
    """Right before left: a place at the right of the last item, which is free."""
    every = [char.id for char in draft.chars(text(draft, "t"))]
    draft.insert_between(text(draft, "t"), every[-1], every[0], "odd")


def twice(draft: Draft) -> None:
    shown = draft.visible(text(draft, "t"))
    for item in (shown[0], shown[2], shown[0]):
        draft.ops.append(Delete(ref(draft, item), 1))


GRAPHS: dict[str, tuple[str, Callable[[Draft], None]]] = {
    "lane in the table, of a parent": (VOID, by_lane),
    "lane in the table, the own": (VOID, own_by_lane),
    "change in the table, unforked": (VOID, lambda d: d.ops.append(Delete(InChange(*foreign(d)), 1))),
    "change in the table, unknown": (VOID, lambda d: d.ops.append(Delete(InChange(bytes(32), 0), 1))),
    "lane in the table, unknown": (VOID, lambda d: d.ops.append(Delete(InLane(bytes(32), 0), 1))),
    "two runs that are one": (VOID, two_runs),
    "two ranges that are one": (VOID, two_ranges),
    "no container": (VOID, lambda d: d.ops.append(Insert(None, None, None, "x"))),
    "container is no Text": (VOID, lambda d: d.ops.append(Insert(None, None, ref(d, slot_of(d, "k")), "x"))),
    "origins of two Texts": (VOID, two_texts),
    "origin is no code point": (VOID, lambda d: d.ops.append(Insert(ref(d, slot_of(d, "k")), None, None, "x"))),
    "the place is taken": (VOID, lambda d: d.insert_between(text(d, "t"), None, None, "x")),
    "the place is taken in this change": (VOID, child_taken),
    "origins that are no neighbours": (APPLIED, odd_origins),
    "deleted before": (VOID, lambda d: d.ops.append(Delete(ref(d, deleted(d)), 1))),
    "deleted twice in this change": (VOID, twice),
    "DELETE of a value": (VOID, lambda d: d.ops.append(Delete(ref(d, slot_of(d, "k")), 1))),
    "DELETE beyond the chain": (VOID, lambda d: d.ops.append(Delete(Own(1), 2))),
    "map is no map": (VOID, lambda d: d.ops.append(Set(ref(d, text(d, "t")), "k", BYTES, b""))),
    "own items of this change": (APPLIED, lambda d: leaning(d)),
}


def leaning(draft: Draft) -> None:
    """Operations that lean on each other are fine."""
    new = draft.new_text("t")
    draft.insert(new, 0, "abc")
    draft.insert(new, 1, "x")
    draft.delete(new, 1, 2)


# Lies about who says it


def item_and_lane(kind: str, pen: Pen, draft: Draft) -> tuple[str, list[Item], Lane]:
    """The last item is the one that is judged."""
    draft.set("k", TRUE)
    item, lane = pen.item(draft), pen.lane
    assert item.signature is not None
    other = Author(99)
    if kind == "no signature":
        return REFUSED, [replace(item, signature=None)], lane
    if kind == "wrong signature":
        return REFUSED, [replace(item, signature=item.signature[:-1] + bytes([item.signature[-1] ^ 1]))], lane
    if kind == "signature of another author":
        return REFUSED, [replace(item, signature=other.sign(pen.doc_id + item.id))], lane
    if kind == "lane only referred to":
        return REFUSED, [item], replace(lane, form=REFERRED)
    if kind == "lane of another author":
        return REFUSED, [item], Lane(STATED, lane.id, other.key, lane.nonce)
    if kind == "stated lane that is true":
        return APPLIED, [item], replace(lane, form=STATED)
    if kind == "key is no point":
        bad = opened(pen.doc_id, bytes(32), lane.nonce)
        return REFUSED, [replace(item, lane_id=bad.id)], bad
    if kind == "omitted body":
        return "omitted", [replace(item, body_form=OMITTED)], lane
    if kind == "inline body apart":
        return REFUSED, [replace(item, body_form=APART, body=encode_body(draft.body(), 0))], lane
    if kind == "unsigned tail":
        return REFUSED, [item, next_of(pen, item, sign=False)], lane
    if kind == "covered by the next":
        return APPLIED, [next_of(pen, item), replace(item, signature=None)][::-1], lane
    if kind == "false signature, covered by the next":
        return APPLIED, [replace(item, signature=bytes(64)), next_of(pen, item)], lane
    if kind == "a link is missing":
        return REFUSED, [item, next_of(pen, next_of(pen, item))], lane
    assert kind == "fork"
    draft.ops[-1] = Set(None, "k", STR, b"fork")
    return APPLIED, [pen.item(draft)], lane


SPEECH = (
    "no signature",
    "wrong signature",
    "signature of another author",
    "lane only referred to",
    "lane of another author",
    "stated lane that is true",
    "key is no point",
    "omitted body",
    "inline body apart",
    "unsigned tail",
    "covered by the next",
    "false signature, covered by the next",
    "a link is missing",
    "fork",
)


def next_of(pen: Pen, item: Item, sign: bool = True) -> Item:
    """An empty change behind one that is not applied yet."""
    seq = header_of(item).seq + 1
    data = plain(b"")
    return pen.raw(Header(seq, item.id, (), 0, len(data), data), data, sign)


def header_of(item: Item) -> Header:
    from .wire import parse_header

    return parse_header(item.header)


# All of them

KINDS = (*HEADERS, *BODIES, *GRAPHS, *SPEECH)


def tell(kind: str, pen: Pen, replica: Replica) -> Lie:
    draft = pen.draft(replica)
    lane = pen.lane
    if kind in HEADERS:
        verdict, forge = HEADERS[kind]
        draft.set("k", TRUE)
        data = encode_body(draft.body(), len(draft.parents))
        items = [pen.raw(forge(draft.header(data)), data)]
    elif kind in BODIES:
        verdict, n_ops, data = BODIES[kind]
        items = [pen.raw(replace(draft.header(data), n_ops=n_ops), data)]
    elif kind in GRAPHS:
        verdict, act = GRAPHS[kind]
        act(draft)
        items = [pen.item(draft)]
    else:
        verdict, items, lane = item_and_lane(kind, pen, draft)
    return Lie(kind, verdict, items[-1].id, pen.bundle(*items, lane=lane))


def stage(seed: int, doc_id: bytes | None = None) -> tuple[Replica, Pen]:
    """A document fit for every lie, and the pen that will tell them."""
    doc_id = doc_id or Author(seed).random.randbytes(32)
    replica = Replica(doc_id)
    pens = [Author(seed + k).pen(doc_id) for k in range(3)]
    draft = pens[0].draft(replica)
    draft.insert(draft.new_text("t"), 0, "abcdef")
    draft.insert(draft.new_text("u"), 0, "uv")
    draft.set("k", TRUE)
    draft.delete(draft.texts()[0], 5, 1)
    pens[0].write(replica, draft)
    draft = pens[2].draft(replica)
    draft.insert(draft.texts()[0], 2, "xyz")
    pens[2].write(replica, draft)
    draft = pens[2].draft(replica)
    draft.unset("l")
    pens[2].write(replica, draft)
    heads = replica.heads
    for pen in pens[:2]:  # two concurrent ones
        draft = pen.draft(replica, heads if pen.tip is None else [id for id in heads if id != pen.tip])
        draft.insert(draft.texts()[0], 1, "pq")
        pen.write(replica, draft)
    return replica, pens[2]
