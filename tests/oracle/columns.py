"""Changes in column form: read them back into headers and bodies, and write them.

A reader of columns knows no graph: an item of another lane is named by the first parent of that lane, else the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .body import (
    KINDS,
    Add,
    Assign,
    Body,
    Count,
    Delete,
    Discard,
    Elements,
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
    body_of,
    count,
    encode_body,
    encode_value,
    refs_of,
)
from .wire import MAX_OPS, MAX_PARENTS, Broken, Header, Reader, blob, header_for, varint, zigzag

REST = 0  # the code of the kinds that have none
CODES: dict[int, type[Op] | None] = {REST: None, 1: Insert, 2: Delete, 3: Set, 4: Unset, 5: Elements, 7: Move}
NO, OWN, OTHER = 0, 1, 2
COLUMN_TAGS = (5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19)
MAX_BASE, MAX_OFFSET = 1 << 32, 1 << 33

Place = tuple[int, int]  # (lane index, offset)


@dataclass
class Run:
    """What is left of one run. Places are in lanes; the `left` of an ordered run moves on with what is cut off."""

    kind: type[Op]
    n: int
    left: Place | None = None
    right: Place | None = None
    holder: Place | None = None  # of a MOVE: the element
    text: str = ""
    values: tuple[tuple[int, bytes], ...] = ()
    first: Place | None = None  # the first item of a DELETE; the map, set, counter or element
    rev: bool = False
    key: str = ""
    amount: int = 0


class Columns:
    """The columns of a bundle, taken from the front."""

    def __init__(self, sections: dict[int, bytes], n_changes: int, lanes: list[bytes]) -> None:
        self.at = {tag: Reader(sections.get(tag, b"")) for tag in COLUMN_TAGS}
        self.lanes = lanes
        self.cur = [0] * len(lanes)
        text = self.at[18]
        self.text = text.take(len(text.data)).decode("utf-8")
        self.n_ops = self.repeated(5, n_changes, Reader.varint)
        self.n_parents = self.repeated(6, n_changes, Reader.varint)
        if any(n > MAX_OPS for n in self.n_ops) or any(n > MAX_PARENTS for n in self.n_parents):
            raise Broken("too many operations or parents")
        time, self.times = 0, []
        for delta in self.repeated(7, n_changes, Reader.zigzag):
            time += delta
            self.times.append(time)
        self.messages: list[str | None] = []
        while not self.at[8].done():
            skip = self.at[8].varint()
            if skip >= n_changes - len(self.messages):
                raise Broken("more messages than changes")
            self.messages += [None] * skip + [self.at[8].str()]
        self.messages += [None] * (n_changes - len(self.messages))

    def repeated(self, tag: int, n: int, one: Callable[[Reader], int]) -> list[int]:
        """A column of (value, repeat), until there are n values."""
        out: list[int] = []
        while len(out) < n:
            value, repeat = one(self.at[tag]), self.at[tag].varint()
            if not 1 <= repeat <= n - len(out):
                raise Broken("a repeat beyond the changes")
            out += [value] * repeat
        return out

    def parents(self) -> list[tuple[bool, int]]:
        """Parents of the next change: (in this bundle, ordinals back) or (False, index outside)."""
        numbers = [self.at[6].varint() for _ in range(self.n_parents.pop(0))] if self.n_parents else []
        return [(number & 1 == 1, number >> 1) for number in numbers]

    def lane(self, number: int) -> int:
        if number >= len(self.lanes):
            raise Broken("no such lane")
        return number

    def other(self, number: int, own: int) -> int:
        if number == own:
            raise Broken("the own lane as if it were another")
        return self.lane(number)

    def run(self, own: int, next_item: int) -> Run:
        """The next run, of the lane `own`, whose next item would be `next_item`."""
        byte = self.at[11].u8()
        code, left, right, rev = byte & 7, byte >> 3 & 3, byte >> 5 & 3, byte >> 7
        if code not in CODES or left == 3 or right == 3:
            raise Broken("no such kind or class")
        kind = CODES[code]
        ordered = kind in (Insert, Elements, Move)
        if (right and not ordered) or (rev and kind is not Delete) or (left == NO and kind in (Delete, None)):
            raise Broken("no such kind with this class")
        n = self.at[12].varint()
        if n == 0 or (n != 1 and kind not in (Insert, Elements, Delete)):
            raise Broken("no such count")
        lane_of = {NO: -1, OWN: own}
        left_lane = lane_of[left] if left != OTHER else self.other(self.at[13].varint(), own)
        right_lane = lane_of[right] if right != OTHER else self.other(self.at[13].varint(), own)
        run = Run(kind or self.kind(), n, rev=bool(rev))
        last = None
        if ordered:
            self.read_origins(run, own, left_lane, right_lane)
        elif kind is Delete:
            last = self.target(left_lane)
            run.first = self.place(left_lane, last[1] - n + 1)
            self.cur[left_lane] = last[1] - n
        elif left != NO:
            run.first = self.target(left_lane)
        self.read_content(run)
        places = (run.left, run.right, run.holder, run.first, last)
        if any(at and at[0] == own and at[1] >= next_item for at in places):
            raise Broken("an own item that is not made yet")
        return run

    def kind(self) -> type[Op]:
        """Of a run whose code says none."""
        kind = self.at[19].u8()
        if not 1 <= kind <= len(KINDS) or KINDS[kind - 1] not in (Assign, Add, Discard, Count):
            raise Broken("no such kind")
        return KINDS[kind - 1]

    def target(self, lane: int) -> Place:
        return self.place(lane, self.cur[lane] + self.at[16].zigzag())

    def read_origins(self, run: Run, own: int, left: int, right: int) -> None:
        if left >= 0:
            run.left = self.place(left, self.cur[left] + self.at[14].zigzag())
        if right >= 0:
            base = run.left[1] if run.left and left == right else self.cur[right]
            run.right = self.place(right, base + self.at[15].zigzag())
        if (left < 0 and right < 0) or run.kind is Move:
            number = self.at[17].varint()
            lane = own if number == 0 else self.other(number - 1, own)
            run.holder = self.place(lane, self.cur[lane] + self.at[17].zigzag())

    def read_content(self, run: Run) -> None:
        maps = self.at[19]
        if run.kind is Insert:
            if run.n > len(self.text):
                raise Broken("text is too short")
            run.text, self.text = self.text[: run.n], self.text[run.n :]
        if run.kind in (Set, Unset):
            run.key = maps.str()
        if run.kind in (Set, Elements, Assign, Add, Discard):
            values = []
            for _ in range(run.n):
                values.append((maps.varint(), maps.blob()))
            run.values = tuple(values)
        if run.kind is Count:
            run.amount = maps.zigzag()

    def place(self, lane: int, offset: int) -> Place:
        if not 0 <= offset < MAX_OFFSET:
            raise Broken("no such offset")
        return lane, offset

    def end(self) -> None:
        if self.text or not all(reader.done() for reader in self.at.values()):
            raise Broken("columns with bytes left over")


@dataclass
class Slice:
    """Where a slice of columns stands: its lane, and what the next change of the chain goes on from."""

    own: int
    seq: int
    prev: bytes | None
    next_item: int


def read_change(
    columns: Columns, ordinal: int, at: Slice, run: Run | None, parents: list[tuple[int, bytes]]
) -> tuple[Header, bytes, Run | None]:
    """Header and body of the next change, and the run that it leaves unfinished. `parents`: lane index and id."""

    def ref(place: Place | None) -> Ref | None:
        if place is None:
            return None
        lane, offset = place
        if lane == at.own:
            return Own(at.next_item - offset)
        for i, (parent_lane, _) in enumerate(parents):
            if parent_lane == lane:
                return Parent(i, offset)
        return InLane(columns.lanes[lane], offset)

    n_ops = todo = columns.n_ops[ordinal]
    ops: list[Op] = []
    while todo:
        run = run or columns.run(at.own, at.next_item)
        k = min(todo, run.n)
        ops.append(cut(run, k, ref))
        made = k if run.kind in (Insert, Elements) else int(run.kind in (Set, Move, Assign, Add))
        at.next_item += made
        if run.kind in (Insert, Elements):
            run.left, run.holder = (at.own, at.next_item - 1), None
        todo -= k
        run.n -= k
        if run.n == 0:
            if made:
                columns.cur[at.own] = at.next_item - 1
            run = None
    body = encode_body(body_of(columns.times[ordinal], columns.messages[ordinal], tuple(ops)), len(parents))
    header = header_for(at.seq, at.prev, tuple(id for _, id in parents), n_ops, body)
    return header, body, run


def cut(run: Run, k: int, ref: Callable[[Place | None], Ref | None]) -> Op:
    """The next k single operations of a run, as one."""
    if run.kind is Insert:
        text, run.text = run.text[:k], run.text[k:]
        return Insert(ref(run.left), ref(run.right), ref(run.holder), text)
    if run.kind is Elements:
        values, run.values = run.values[:k], run.values[k:]
        return Elements(ref(run.left), ref(run.right), ref(run.holder), values)
    if run.kind is Move:
        return Move(ref(run.holder), ref(run.left), ref(run.right))
    if run.kind is Delete:
        assert run.first is not None
        lane, offset = run.first
        run.first = (lane, offset if run.rev else offset + k)
        first = ref((lane, offset + run.n - k if run.rev else offset))
        assert first is not None
        return Delete(first, k)
    target = ref(run.first)
    if run.kind is Unset:
        return Unset(target, run.key)
    if run.kind is Count:
        return Count(target, run.amount)
    (tag, value), *_ = run.values
    if run.kind is Set:
        return Set(target, run.key, tag, value)
    if run.kind is Assign:
        return Assign(target, tag, value)
    return Add(target, tag, value) if run.kind is Add else Discard(target, tag, value)


@dataclass(frozen=True)
class ColumnChange:
    """A change to be written in columns: `ref` has turned every ref of its ops into (lane index, offset)."""

    own: int
    next_item: int
    body: Body
    parents: tuple[int, ...]  # the numbers of tag 6
    ref: Callable[[Ref, int], Place]  # a ref and the offset of the next own item at that point


def write_columns(changes: list[ColumnChange], n_lanes: int) -> dict[int, bytes]:
    """One run for each operation, no repeats: plain, not small."""
    out = {tag: b"" for tag in COLUMN_TAGS}
    cur, time, skip = [0] * n_lanes, 0, 0
    for change in changes:
        body, next_item = change.body, change.next_item
        out[7] += zigzag(body.time - time) + varint(1)
        time = body.time
        if body.message is None:
            skip += 1
        else:
            out[8] += varint(skip) + blob(body.message.encode())
            skip = 0
        for op in body.ops:
            next_item = write_run(out, cur, change, op, next_item)
        out[5] += varint(sum(count(op) for op in body.ops)) + varint(1)
        out[6] += varint(len(change.parents)) + varint(1)
    out[6] += b"".join(varint(number) for change in changes for number in change.parents)
    return out


def write_run(out: dict[int, bytes], cur: list[int], change: ColumnChange, op: Op, next_item: int) -> int:
    """One operation as a run. The offset of the next item behind it."""
    own = change.own

    def at(ref: Ref | None) -> Place | None:
        return None if ref is None else change.ref(ref, next_item)

    def classed(*places: Place | None) -> int:
        out[13] += b"".join(varint(place[0]) for place in places if place and place[0] != own)
        classes = [NO if place is None else OWN if place[0] == own else OTHER for place in places]
        return sum(each << shift for each, shift in zip(classes, (3, 5), strict=False))

    assert not isinstance(op, (Mark, Restore))
    code = 1 + KINDS.index(type(op))
    out[12] += varint(count(op))
    if isinstance(op, (Insert, Elements, Move)):
        left, right, holder = at(op.left), at(op.right), at(op.element if isinstance(op, Move) else op.container)
        out[11] += bytes([code | classed(left, right)])
        if left:
            out[14] += zigzag(left[1] - cur[left[0]])
        if right:
            out[15] += zigzag(right[1] - (left[1] if left and left[0] == right[0] else cur[right[0]]))
        if holder:
            out[17] += varint(0 if holder[0] == own else 1 + holder[0]) + zigzag(holder[1] - cur[holder[0]])
        if isinstance(op, Insert):
            out[18] += op.text.encode()
        elif isinstance(op, Elements):
            out[19] += b"".join(encode_value(*value) for value in op.values)
    elif isinstance(op, Delete):
        place = at(op.first)
        assert place is not None
        out[11] += bytes([code | classed(place)])
        out[16] += zigzag(place[1] + op.n - 1 - cur[place[0]])
        cur[place[0]] = place[1] - 1
    else:
        place = at(refs_of(op)[0])
        out[11] += bytes([(code if code in CODES else REST) | classed(place)])
        if place:
            out[16] += zigzag(place[1] - cur[place[0]])
        out[19] += blob(op.key.encode()) if isinstance(op, (Set, Unset)) else bytes([code])
        if isinstance(op, Count):
            out[19] += zigzag(op.amount)
        elif not isinstance(op, Unset):
            out[19] += encode_value(op.tag, op.value)
    made = count(op) if isinstance(op, (Insert, Elements)) else int(isinstance(op, (Set, Move, Assign, Add)))
    if made:
        cur[own] = next_item + made - 1
    return next_item + made
