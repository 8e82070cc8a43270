"""One lie for each rule of the format page, with the verdict that it meets.

`tell(kind, pen, replica)` needs a replica with at least two heads of other lanes, a Text "t" of four or more visible
characters, a Text "u" of two, a key "k" that is no Text, a deleted character, and a pen that has written twice.
`stage(seed)` makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .author import DRAFT, Author, Draft, Pen
from .body import (
    BYTES,
    COUNTER,
    DEFAULT,
    DEFAULTS,
    END_BEHIND,
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
    Count,
    Delete,
    Discard,
    Elements,
    InChange,
    InLane,
    Insert,
    Mark,
    Move,
    Own,
    Parent,
    Ref,
    Restore,
    Set,
    Unset,
    encode_body,
)
from .bundle import (
    APART,
    OMITTED,
    REFERRED,
    STATED,
    Item,
    Lane,
    frame_bundle,
    opened,
    write_lane,
    write_sections,
)
from .effects import Register
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


V = {  # payloads up to the value, in which every ref is the last own item
    3: b"\0\1k",
    5: b"\1\1\0",
    6: b"\1\1",
    8: b"\1\1",
    9: b"\1\1",
    11: b"\0\1\2\1\1\1n",
}
ODD_PAYLOADS = {4: b"\0\1k", 7: b"\1\1\0\0", 10: b"\1\1\0", 12: b"\0\1\1\1"}

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
    **{f"kind {k} of nothing": (VOID, 1, plain(op(k, b""))) for k in range(1, 13)},
    **{f"kind {k} with bytes behind": (VOID, 1, plain(op(k, ODD_PAYLOADS[k] + b"\0"))) for k in (4, 7, 10, 12)},
    **{f"kind {k} with half a value": (VOID, 1, plain(op(k, V[k] + b"\x02\1"))) for k in V},
    **{f"kind {k} with a tag that is not minimal": (VOID, 1, plain(op(k, V[k] + b"\x87\0\0"))) for k in V},
    **{f"kind {k} with an unknown tag": (LATER, 1, plain(op(k, V[k] + b"\7\0"))) for k in V},
    **{f"kind {k} with an unknown tag and bytes behind": (VOID, 1, plain(op(k, V[k] + b"\7\0\7"))) for k in V},
    **{f"kind {k} with two values": (VOID, 1, plain(op(k, V[k] + b"\7\0\7\0"))) for k in V if k != 5},
    **{f"kind {k} with a default": (VOID, 1, plain(op(k, V[k] + varint(24) + b"\0"))) for k in V if k != 3},
    **{f"kind {k} with a Map": (VOID, 1, plain(op(k, V[k] + varint(16) + b"\0"))) for k in (8, 9, 11)},
    **{f"tag {tag}": (LATER, 1, plain(put(b"k", tag, b""))) for tag in (7, 15, 21, 23, 29)},
    **{f"tag {tag} with content": (VOID, 1, plain(put(b"k", tag, b"\0"))) for tag in (*NEW, *DEFAULTS)},
    **{f"an empty container, tag {tag}": (APPLIED, 1, plain(put(b"c", tag, b""))) for tag in (*NEW, *DEFAULTS)},
    "unknown tag behind a value of ELEMENTS": (LATER, 2, plain(op(5, V[5] + b"\2\0\7\0"))),
    "unknown tag before a broken value of ELEMENTS": (VOID, 2, plain(op(5, V[5] + b"\7\0\2\1"))),
    "unknown tag with a side of nothing": (LATER, 1, plain(op(11, b"\xff\0\0\0\0\7\0"))),
    "unknown tag with a ref to nowhere": (LATER, 1, plain(op(8, varint(99) + b"\0\7\0"))),
    "unknown tag with a key that is not UTF-8": (LATER, 1, plain(put(b"\xff", 7, b""))),
    "unknown tag, but two refs where one is": (VOID, 1, plain(op(6, b"\1\1\1\1\7\0"))),
    "COUNT has no tags": (VOID, 1, plain(op(10, b"\1\1\7\0"))),
    "COUNT is not minimal": (VOID, 1, plain(op(10, b"\1\1\x80\0"))),
    "ELEMENTS without values": (VOID, 0, plain(op(5, V[5]))),
    "MARK with a third side": (VOID, 1, plain(op(11, b"\4" + V[11][1:]))),
    "MARK without a name": (VOID, 1, plain(op(11, b"\0\1\2\1\1\0"))),
    "MARK with a name that is not UTF-8": (VOID, 1, plain(op(11, b"\0\1\2\1\1\1\xff"))),
    "MARK with a name too long": (VOID, 1, plain(op(11, b"\0\1\2\1\1" + blob(b"n" * 4097)))),
    "RESTORE of a change beyond the table": (VOID, 1, plain(op(12, b"\0\1\1\1"))),
    "unknown kind": (LATER, 0, plain(op(13, b"whatever"))),
    "kind 0": (LATER, 0, plain(op(0, b""))),
    "unknown kind before a broken frame": (VOID, 0, plain(op(13, b"whatever") + varint(1))),
    "unknown kind with a wrong op": (LATER, 0, plain(op(13, b"") + op(2, b""))),
    "unknown tag": (LATER, 1, plain(put(b"k", 2**40, b"abc"))),
}


# Lies about the graph: what a draft does


def text(draft: Draft, key: str) -> ItemId:
    """The Text that is longest under this key."""
    return max(held(draft, key), key=lambda id: len(draft.visible(id)))


def held(draft: Draft, key: str) -> list[ItemId]:
    """The containers under a key of the root."""
    return [value.container for value in draft.view().values(None, key) if value.container]


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


def value_of(draft: Draft, key: str) -> ItemId:
    return draft.view().values(None, key)[-1].id


def child_taken(draft: Draft) -> None:
    every = draft.nodes(text(draft, "t"))
    draft.insert_between(text(draft, "t"), every[0], every[1], "x")
    draft.insert_between(text(draft, "t"), every[0], every[1], "y")


def odd_origins(draft: Draft) -> None:
    """Right before left: a place at the right of the last item, which is free."""
    every = draft.nodes(text(draft, "t"))
    draft.insert_between(text(draft, "t"), every[-1], every[0], "odd")


def twice(draft: Draft) -> None:
    shown = draft.visible(text(draft, "t"))
    for item in (shown[0], shown[2], shown[0]):
        draft.ops.append(Delete(ref(draft, item), 1))


ONE = ((TRUE, b""),)


def its(draft: Draft, key: str) -> ItemId:
    """The container under a key of the root."""
    return held(draft, key)[-1]


def of(draft: Draft, key: str) -> Ref:
    return ref(draft, draft.makers(its(draft, key))[0])


def nth(draft: Draft, key: str, k: int) -> Ref:
    """A slot or character that shows."""
    return ref(draft, draft.visible(its(draft, key))[k])


def first_of(draft: Draft, key: str) -> ItemId:
    """The first value that a key of the root ever had."""
    return min(draft.seen.of_register(Register(None, key)), key=lambda value: value.op).id


def moved(draft: Draft) -> ItemId:
    """The item of a MOVE."""
    nodes = draft.seen.nodes.values()
    return next(node.id for node in nodes if isinstance(node.what, ItemId) and node.what != node.id)


def deleted(draft: Draft, tag: int = TEXT) -> ItemId:
    """A character or element that a change before this one has deleted."""
    seen = draft.seen
    gone = (item for item, by in seen.deletes - seen.restores if by != DRAFT)
    return min(item for item in gone if kind_of(draft, item) == tag)


def kind_of(draft: Draft, item: ItemId) -> int:
    """Of what it stands in."""
    seen = draft.seen
    return seen.containers[seen.nodes[item].holder].tag if item in seen.nodes else MAP


def restored(draft: Draft) -> ItemId:
    return min(draft.seen.restores)[0]


def gone_now(draft: Draft) -> ItemId:
    """An element that this change deletes."""
    element = draft.elements(its(draft, "list"))[1]
    draft.delete_item(element)
    return element


def by(draft: Draft, item: ItemId) -> bytes:
    """The change that has deleted or replaced it."""
    return min(change for one, change in draft.seen.deletes | draft.seen.replaces if one == item)


def all_replaced(draft: Draft) -> list[ItemId]:
    """The values under a and b of the Map m, replaced by one change of the own lane."""
    return sorted(item for item, _ in draft.seen.replaces if draft.seen.values[item].register.name in ("a", "b"))


def replaced(draft: Draft) -> ItemId:
    return all_replaced(draft)[0]


def range_deleted(draft: Draft) -> list[ItemId]:
    """Two characters that one DELETE has named."""
    gone = sorted(item for item, _ in draft.seen.deletes if kind_of(draft, item) == TEXT)
    return next([a, b] for a in gone for b in gone if b == a._replace(number=a.number + 1))


def restores(draft: Draft, items: list[ItemId]) -> list[Restore]:
    return [Restore(by(draft, item), ref(draft, item), 1) for item in items]


def restored_and(draft: Draft, then: Callable[[ItemId, bytes], None]) -> None:
    """A RESTORE, something else, and what is done to the item then."""
    item = deleted(draft)
    change = by(draft, item)
    draft.restore_item(change, item)
    draft.unset("nothing")
    then(item, change)


def in_deleted(draft: Draft) -> None:
    inside = its(draft, "m")
    draft.unset("m")
    draft.insert(draft.new_text("t", inside), 0, "nobody reads this")


def deep(draft: Draft, depth: int, last: int = MAP) -> ItemId:
    """A container of this depth."""
    inside = None
    for k in range(depth):
        inside = draft.set("x", last if k == depth - 1 else MAP, b"", inside)
    assert inside
    return inside


def by_other_item(draft: Draft) -> None:
    """All who asked for the default under d at the same time have made it; the first of them names it."""
    first, *_, last = draft.makers(its(draft, "d"))
    assert first != last
    draft.ops.append(Set(ref(draft, last), "k", TRUE, b""))


def two_runs_of_elements(draft: Draft) -> None:
    draft.elements_at(its(draft, "list"), 0, *ONE)
    before = draft.ops[-1]
    assert isinstance(before, Elements)
    right = Own(before.right.distance + 1) if isinstance(before.right, Own) else before.right
    draft.ops.append(Elements(Own(1), right, None, ONE))


def behind_a_slot(draft: Draft) -> None:
    """A slot in which nothing is any more."""
    inside = its(draft, "list")
    element = draft.seen.nodes[moved(draft)].what
    assert isinstance(element, ItemId) and element not in draft.visible(inside)
    every = draft.nodes(inside)
    draft.elements_between(inside, element, every[every.index(element) + 1], *ONE)


def move_behind_itself(draft: Draft) -> None:
    first, second, *_ = draft.elements(its(draft, "list"))
    draft.move_between(first, first, second)


def taken_slot(draft: Draft) -> None:
    element, *_, last = draft.elements(its(draft, "list"))
    for _ in "ab":
        draft.move_between(element, last, draft.nodes(its(draft, "list"))[-1])


def slot_in_range(draft: Draft) -> None:
    """A value, a MOVE, a value: named as three in a row."""
    draft.set("x", TRUE)
    draft.move(draft.elements(its(draft, "list"))[0], 1)
    draft.set("y", TRUE)
    draft.ops.append(Delete(Own(3), 3))


def mark(draft: Draft, sides: int, start: int, end: int) -> None:
    shown = draft.visible(text(draft, "t"))
    draft.mark_between(text(draft, "t"), sides, shown[start], shown[end], "n", None)


GRAPHS: dict[str, tuple[str, Callable[[Draft], object]]] = {
    "lane in the table, of a parent": (VOID, by_lane),
    "lane in the table, the own": (VOID, own_by_lane),
    "change in the table, unforked": (VOID, lambda d: d.ops.append(Delete(InChange(*foreign(d)), 1))),
    "change in the table, unknown": (VOID, lambda d: d.ops.append(Delete(InChange(bytes(32), 0), 1))),
    "lane in the table, unknown": (VOID, lambda d: d.ops.append(Delete(InLane(bytes(32), 0), 1))),
    "two runs that are one": (VOID, two_runs),
    "two ranges that are one": (VOID, two_ranges),
    "no container": (VOID, lambda d: d.ops.append(Insert(None, None, None, "x"))),
    "container is no Text": (VOID, lambda d: d.ops.append(Insert(None, None, ref(d, value_of(d, "k")), "x"))),
    "origins of two Texts": (VOID, two_texts),
    "origin is no code point": (VOID, lambda d: d.ops.append(Insert(ref(d, value_of(d, "k")), None, None, "x"))),
    "the place is taken": (VOID, lambda d: d.insert_between(text(d, "t"), None, None, "x")),
    "the place is taken in this change": (VOID, child_taken),
    "origins that are no neighbours": (APPLIED, odd_origins),
    "deleted before": (VOID, lambda d: d.ops.append(Delete(ref(d, deleted(d)), 1))),
    "deleted twice in this change": (VOID, twice),
    "DELETE of a value": (APPLIED, lambda d: d.ops.append(Delete(ref(d, value_of(d, "k")), 1))),
    "DELETE beyond the chain": (VOID, lambda d: (d.set("x", TRUE), d.ops.append(Delete(Own(1), 2)))),
    "an item beyond the chain of a parent": (
        VOID,
        lambda d: d.ops.append(Delete(Parent(0, len(d.naming.chains[0])), 1)),
    ),
    # Containers
    "SET in a List": (VOID, lambda d: d.ops.append(Set(of(d, "list"), "k", BYTES, b""))),
    "UNSET in a Set": (VOID, lambda d: d.ops.append(Unset(of(d, "set"), "k"))),
    "SET in a value": (VOID, lambda d: d.ops.append(Set(ref(d, value_of(d, "k")), "k", TRUE, b""))),
    "SET in a Map": (APPLIED, lambda d: d.set("k", TRUE, b"", its(d, "m"))),
    "ADD to the root": (VOID, lambda d: d.ops.append(Add(None, TRUE, b""))),
    "ADD to a Map": (VOID, lambda d: d.ops.append(Add(of(d, "m"), TRUE, b""))),
    "DISCARD in a List": (VOID, lambda d: d.ops.append(Discard(of(d, "list"), TRUE, b""))),
    "DISCARD of no member": (APPLIED, lambda d: d.discard(its(d, "set"), STR, b"nobody")),
    "COUNT on the root": (VOID, lambda d: d.ops.append(Count(None, 1))),
    "COUNT on a Set": (VOID, lambda d: d.ops.append(Count(of(d, "set"), 1))),
    "COUNT of nothing": (APPLIED, lambda d: d.count(its(d, "n"), 0)),
    "COUNT of very much": (APPLIED, lambda d: d.count(its(d, "n"), -(2**63))),
    "a container in a deleted one": (APPLIED, lambda d: in_deleted(d)),
    "depth 256": (APPLIED, lambda d: deep(d, 256)),
    "depth 257": (VOID, lambda d: deep(d, 257)),
    "depth 257, a default": (VOID, lambda d: d.set("x", TEXT + DEFAULT, b"", deep(d, 256))),
    "depth 256, and a scalar in it": (APPLIED, lambda d: d.set("x", TRUE, b"", deep(d, 256))),
    "depth 257, an element": (VOID, lambda d: d.elements_at(deep(d, 256, LIST), 0, (TRUE, b""), (SET, b""))),
    "depth 257, an assigned one": (VOID, lambda d: d.assign(d.elements_at(deep(d, 256, LIST), 0, (TRUE, b""))[0], MAP)),
    "a default container by its other item": (VOID, lambda d: by_other_item(d)),
    "a default container by its first item": (APPLIED, lambda d: d.set("k", TRUE, b"", its(d, "d"))),
    "a second default container": (APPLIED, lambda d: d.set("k", TRUE, b"", d.set("d", MAP + DEFAULT))),
    "a default container of another kind": (APPLIED, lambda d: d.add(d.set("d", SET + DEFAULT), TRUE)),
    "container named by a value that is none": (VOID, lambda d: d.ops.append(Add(ref(d, value_of(d, "k")), TRUE, b""))),
    # Lists
    "two runs of elements that are one": (VOID, lambda d: two_runs_of_elements(d)),
    "ELEMENTS in no List": (VOID, lambda d: d.ops.append(Elements(None, None, None, ONE))),
    "ELEMENTS in a Text": (VOID, lambda d: d.ops.append(Elements(None, None, of(d, "e"), ONE))),
    "INSERT in a List": (VOID, lambda d: d.ops.append(Insert(None, None, of(d, "empty"), "x"))),
    "ELEMENTS at a character": (VOID, lambda d: d.ops.append(Elements(ref(d, foreign(d)), None, None, ONE))),
    "INSERT at an element": (VOID, lambda d: d.ops.append(Insert(nth(d, "list", -1), None, None, "x"))),
    "ELEMENTS in two Lists": (VOID, lambda d: d.ops.append(Elements(nth(d, "list", 0), nth(d, "other", 0), None, ONE))),
    "ELEMENTS where one is": (VOID, lambda d: d.ops.append(Elements(None, None, of(d, "list"), ONE))),
    "ELEMENTS at a value": (VOID, lambda d: d.ops.append(Elements(ref(d, value_of(d, "k")), None, None, ONE))),
    "ELEMENTS behind a slot": (APPLIED, lambda d: behind_a_slot(d)),
    "ASSIGN to nothing": (VOID, lambda d: d.ops.append(Assign(None, TRUE, b""))),
    "ASSIGN to a value": (VOID, lambda d: d.ops.append(Assign(ref(d, value_of(d, "k")), TRUE, b""))),
    "ASSIGN to a character": (VOID, lambda d: d.ops.append(Assign(ref(d, foreign(d)), TRUE, b""))),
    "ASSIGN to a slot": (VOID, lambda d: d.ops.append(Assign(ref(d, moved(d)), TRUE, b""))),
    "ASSIGN to a deleted element": (VOID, lambda d: d.assign(deleted(d, LIST), TRUE)),
    "ASSIGN to a restored element": (APPLIED, lambda d: d.assign(restored(d), TRUE)),
    "ASSIGN to an element deleted in this change": (VOID, lambda d: d.assign(gone_now(d), TRUE)),
    "MOVE to nowhere": (VOID, lambda d: d.ops.append(Move(nth(d, "list", 0), None, None))),
    "MOVE of nothing": (VOID, lambda d: d.ops.append(Move(None, nth(d, "list", -1), None))),
    "MOVE of a value": (VOID, lambda d: d.ops.append(Move(ref(d, value_of(d, "k")), nth(d, "list", -1), None))),
    "MOVE of a slot": (VOID, lambda d: d.ops.append(Move(ref(d, moved(d)), nth(d, "list", -1), None))),
    "MOVE to another List": (VOID, lambda d: d.ops.append(Move(nth(d, "list", 0), nth(d, "other", -1), None))),
    "MOVE to two Lists": (VOID, lambda d: d.ops.append(Move(nth(d, "list", 0), nth(d, "list", 1), nth(d, "other", 0)))),
    "MOVE among characters": (VOID, lambda d: d.ops.append(Move(nth(d, "list", 0), ref(d, foreign(d)), None))),
    "MOVE of a deleted element": (VOID, lambda d: d.move(deleted(d, LIST), 0)),
    "MOVE of an element deleted in this change": (VOID, lambda d: d.move(gone_now(d), 0)),
    "MOVE of a restored element": (APPLIED, lambda d: d.move(restored(d), 0)),
    "MOVE of a replaced element": (APPLIED, lambda d: d.move(d.elements(its(d, "list"))[0], 2)),
    "MOVE behind itself": (
        APPLIED,
        lambda d: move_behind_itself(d),
    ),
    "MOVE to where a slot is": (VOID, lambda d: taken_slot(d)),
    # DELETE and RESTORE
    "DELETE of a slot": (VOID, lambda d: d.ops.append(Delete(ref(d, moved(d)), 1))),
    "DELETE of a range with a slot in it": (VOID, lambda d: slot_in_range(d)),
    "DELETE of a replaced value": (VOID, lambda d: d.delete_item(replaced(d))),
    "DELETE of a value replaced in this change": (VOID, lambda d: (d.unset("k"), d.delete_item(first_of(d, "k")))),
    "DELETE of a replaced element": (APPLIED, lambda d: d.delete_item(d.elements(its(d, "list"))[0])),
    "DELETE of a mark": (APPLIED, lambda d: d.delete_item(min(d.seen.marks))),
    "DELETE of a restored element": (APPLIED, lambda d: d.delete_item(restored(d))),
    "DELETE of a member": (APPLIED, lambda d: d.delete_item(d.view().values(its(d, "set"), 1)[-1].id)),
    "RESTORE": (APPLIED, lambda d: d.restore_item(by(d, deleted(d)), deleted(d))),
    "RESTORE of a range": (APPLIED, lambda d: [d.restore_item(by(d, item), item) for item in range_deleted(d)]),
    "RESTORE of a range apart": (VOID, lambda d: d.ops.extend(restores(d, range_deleted(d)))),
    "RESTORE beyond a range": (VOID, lambda d: d.ops.append(replace(restores(d, range_deleted(d))[0], n=3))),
    "RESTORE of what is replaced": (APPLIED, lambda d: d.restore_item(by(d, replaced(d)), replaced(d))),
    "RESTORE of the value of an element": (
        APPLIED,
        lambda d: d.restore_item(d.prev or b"", d.elements(its(d, "list"))[0]),
    ),
    "RESTORE of a range of what is replaced": (
        VOID,
        lambda d: d.ops.append(replace(restores(d, [replaced(d)])[0], n=2)),
    ),
    "RESTORE of what is replaced, side by side": (APPLIED, lambda d: d.ops.extend(restores(d, all_replaced(d)))),
    "RESTORE of what is replaced, side by side, downwards": (
        APPLIED,
        lambda d: d.ops.extend(restores(d, all_replaced(d))[::-1]),
    ),
    "RESTORE of what is replaced, side by side, as one": (
        VOID,
        lambda d: d.ops.append(replace(restores(d, all_replaced(d))[0], n=2)),
    ),
    "RESTORE of what is not deleted": (VOID, lambda d: d.restore_item(foreign(d).change, foreign(d))),
    "RESTORE of what another change deleted": (VOID, lambda d: d.restore_item(d.prev or b"", deleted(d))),
    "RESTORE of what is restored": (VOID, lambda d: d.restore_item(by(d, restored(d)), restored(d))),
    "RESTORE twice in this change": (
        VOID,
        lambda d: restored_and(d, lambda item, change: d.restore_item(change, item)),
    ),
    "RESTORE and DELETE again": (APPLIED, lambda d: restored_and(d, lambda item, _: d.delete_item(item))),
    "RESTORE by another form": (VOID, lambda d: d.ops.append(Restore(by(d, deleted(d)), InChange(*deleted(d)), 1))),
    "MOVE by another form": (
        VOID,
        lambda d: d.ops.append(Move(InChange(*d.elements(its(d, "list"))[0]), nth(d, "list", -1), None)),
    ),
    "RESTORE of an unknown change": (VOID, lambda d: d.restore_item(bytes(32), deleted(d))),
    # Marks
    "MARK of everything": (APPLIED, lambda d: d.mark_between(text(d, "e"), 0, None, None, "n" * 4096, (TRUE, b""))),
    "MARK of nowhere": (VOID, lambda d: d.ops.append(Mark(0, None, None, None, "n", None))),
    "MARK of a List": (VOID, lambda d: d.ops.append(Mark(0, None, None, of(d, "list"), "n", None))),
    "MARK at an element": (VOID, lambda d: d.ops.append(Mark(0, nth(d, "list", 0), None, None, "n", None))),
    "MARK at a value": (VOID, lambda d: d.ops.append(Mark(0, ref(d, value_of(d, "k")), None, None, "n", None))),
    "MARK in two Texts": (VOID, lambda d: d.ops.append(Mark(0, ref(d, foreign(d)), nth(d, "u", 0), None, "n", None))),
    "MARK from behind": (VOID, lambda d: mark(d, 0, 2, 1)),
    "MARK of no width": (VOID, lambda d: mark(d, 0, 1, 1)),
    "MARK of no width, behind": (VOID, lambda d: mark(d, START_BEHIND | END_BEHIND, 1, 1)),
    "MARK inside out": (VOID, lambda d: mark(d, START_BEHIND, 1, 1)),
    "MARK of one character": (APPLIED, lambda d: mark(d, END_BEHIND, 1, 1)),
    "MARK between two characters": (APPLIED, lambda d: mark(d, START_BEHIND, 1, 2)),
    "MARK with a side of the start": (
        VOID,
        lambda d: d.mark_between(text(d, "t"), START_BEHIND, None, foreign(d), "n", None),
    ),
    "MARK with a side of the end": (
        VOID,
        lambda d: d.mark_between(text(d, "t"), END_BEHIND, foreign(d), None, "n", None),
    ),
    "MARK from the start to before the first": (
        APPLIED,
        lambda d: d.mark_between(text(d, "t"), 0, None, d.nodes(text(d, "t"))[0], "n", None),
    ),
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


# Lies in columns: what becomes of honest ones. All of them are malformed but the first.

HONEST_COLUMNS = {
    5: b"\5\1",
    6: b"\0\1",
    7: b"\0\1",
    11: bytes(
        [3, 5, 7 | 1 << 5, 0 | 1 << 3]
    ),  # a List, two elements, the second moved to the front, the first assigned to
    12: b"\1\2\1\1",
    15: zigzag(1 - 2),
    16: zigzag(1 - 3),
    17: b"\0" + zigzag(0) + b"\0" + zigzag(2 - 2),
    19: blob(b"l") + varint(LIST) + blob(b"") + (varint(TRUE) + blob(b"")) * 2 + b"\6" + varint(NONE) + blob(b""),
}
CONTENT = HONEST_COLUMNS[19][:-3]  # without that of the last run

COLUMNS: dict[str, dict[int, bytes]] = {
    "columns": {},
    "code 6": {11: bytes([3, 5, 7 | 1 << 5, 6 | 1 << 3])},
    "class 3": {11: bytes([3, 5, 7 | 3 << 5, 0 | 1 << 3])},
    "code 0 of no class": {11: bytes([3, 5, 7 | 1 << 5, 0]), 16: b""},
    "code 0 with a right class": {11: bytes([3, 5, 7 | 1 << 5, 0 | 1 << 3 | 1 << 5])},
    "code 0, rev": {11: bytes([3, 5, 7 | 1 << 5, 0 | 1 << 3 | 1 << 7])},
    "ELEMENTS, rev": {11: bytes([3, 5 | 1 << 7, 7 | 1 << 5, 0 | 1 << 3])},
    "MOVE, rev": {11: bytes([3, 5, 7 | 1 << 5 | 1 << 7, 0 | 1 << 3])},
    "SET with a right class": {11: bytes([3 | 1 << 5, 5, 7 | 1 << 5, 0 | 1 << 3])},
    **{f"code 0, kind {k}": {19: CONTENT + bytes([k]) + b"\0\0"} for k in (0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 255)},
    "code 0, COUNT without amount": {19: CONTENT + b"\x0a"},
    "code 0, COUNT that is not minimal": {19: CONTENT + b"\x0a\x80\0"},
    "code 0, COUNT with bytes behind": {19: CONTENT + b"\x0a\1\1"},
    "two MOVEs": {5: b"\6\1", 12: b"\1\2\2\1"},
    "two ASSIGNs": {5: b"\6\1", 12: b"\1\2\1\2"},
    "no elements": {5: b"\3\1", 12: b"\1\0\1\1"},
    "more elements than values": {5: b"\7\1", 12: b"\1\4\1\1"},
    "fewer elements than values": {5: b"\4\1", 12: b"\1\1\1\1"},
    "half a value": {19: CONTENT + b"\6\5\2a"},
    "no value": {19: CONTENT + b"\6"},
    "a value too many": {19: HONEST_COLUMNS[19] + b"\0\0"},
    "a holder of the own lane by its index": {17: b"\1" + zigzag(0) + b"\0" + zigzag(0)},
    "an element of the own lane by its index": {17: b"\0" + zigzag(0) + b"\1" + zigzag(0)},
    "an element of no lane": {17: b"\0" + zigzag(0) + b"\3" + zigzag(0)},
    "no element": {17: b"\0" + zigzag(0)},
    "a holder too many": {17: b"\0\0\0\0\0\0"},
    "a holder that is not made": {17: b"\0" + zigzag(1) + b"\0" + zigzag(0)},
    "an element that is not made": {17: b"\0" + zigzag(0) + b"\0" + zigzag(1)},
    "an element below 0": {17: b"\0" + zigzag(0) + b"\0" + zigzag(-3)},
    "an element at 2^33": {17: b"\0" + zigzag(0) + b"\2" + zigzag(2**33)},
    "an origin that is not made": {15: zigzag(1)},
    "an origin below 0": {15: zigzag(-3)},
    "an origin too many": {14: zigzag(0)},
    "a target that is not made": {16: zigzag(1)},
    "a target below 0": {16: zigzag(-4)},
    "no target": {16: b""},
    "a target too many": {16: zigzag(-2) * 2},
    "class 2 of the own lane": {11: bytes([3, 5, 7 | 1 << 5, 0 | 2 << 3]), 13: b"\0"},
    "class 2 of no lane": {11: bytes([3, 5, 7 | 1 << 5, 0 | 2 << 3]), 13: b"\2"},
    "class 2 without a lane": {11: bytes([3, 5, 7 | 1 << 5, 0 | 2 << 3])},
    "a run of elements over its slice": {
        5: b"\2\1",
        11: bytes([3, 5]),
        12: b"\1\2",
        15: b"",
        16: b"",
        17: b"\0\0",
        19: CONTENT,
    },
}


def lie_in_columns(kind: str, pen: Pen) -> bytes:
    """One change that `pen` has not signed, in columns, in a bundle of its lane and another."""
    sections = {
        1: varint(2) + write_lane(pen.lane) + write_lane(Lane(REFERRED, bytes(32))),
        2: varint(1) + b"\0\1\0\0\1\0",
        3: b"\0\0\1",
        9: bytes(64),
        **HONEST_COLUMNS,
        **COLUMNS[kind],
    }
    return frame_bundle(pen.doc_id, write_sections(sections))


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
    furnish(draft)
    pens[0].write(replica, draft)
    draft = pens[2].draft(replica)
    draft.insert(draft.texts()[0], 2, "xyz")
    pens[2].write(replica, draft)
    draft = pens[2].draft(replica)
    draft.unset("l")
    rearrange(draft)
    pens[2].write(replica, draft)
    heads = replica.heads
    for pen in pens[:2]:  # two concurrent ones
        draft = pen.draft(replica, heads if pen.tip is None else [id for id in heads if id != pen.tip])
        draft.insert(draft.texts()[0], 1, "pq")
        draft.set("d", MAP + DEFAULT)
        pen.write(replica, draft)
    return replica, pens[2]


def furnish(draft: Draft) -> None:
    """One of everything."""
    inside = draft.set("m", MAP)
    draft.set("a", TRUE, b"", inside)
    draft.set("b", TRUE, b"", inside)
    for key in ("list", "other"):
        draft.elements_at(draft.set(key, LIST), 0, *((INT, zigzag(k)) for k in range(6)))
    draft.delete(its(draft, "list"), 4, 2)
    draft.set("empty", LIST)
    draft.new_text("e")
    draft.add(draft.set("set", SET), INT, zigzag(1))
    draft.count(draft.set("n", COUNTER), 5)
    draft.mark(text(draft, "t"), 0, 3, "bold", (TRUE, b""))
    text_of_two = draft.new_text("gone")
    draft.insert(text_of_two, 0, "ab")
    draft.delete(text_of_two, 0, 2)


def rearrange(draft: Draft) -> None:
    """Something of it replaced, something moved, something restored."""
    inside, items = its(draft, "m"), its(draft, "list")
    draft.unset("a", inside)
    draft.unset("b", inside)
    draft.assign(draft.elements(items)[0], STR, b"zero")
    draft.move(draft.elements(items)[1], 3)
    item, change = min(deed for deed in draft.seen.deletes if kind_of(draft, deed[0]) == LIST)
    draft.restore_item(change, item)
