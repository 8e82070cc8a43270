"""Changes in column form: read them back into headers and bodies, and write them.

A reader of columns knows no graph: an item of another lane is named by the first parent of that lane, else the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .body import Body, Delete, InLane, Insert, Op, Own, Parent, Ref, Set, Unset, body_of, encode_body
from .wire import Broken, Header, Reader, blob, header_for, varint, zigzag

INSERT, DELETE, SET, UNSET = 1, 2, 3, 4
NO, OWN, OTHER = 0, 1, 2
COLUMN_TAGS = (5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19)

Place = tuple[int, int]  # (lane index, offset)


@dataclass
class Run:
    """What is left of one run. Places are in lanes; an INSERT's `left` moves on with what is cut off."""

    kind: int
    n: int
    left: Place | None = None
    right: Place | None = None
    holder: Place | None = None
    text: str = ""
    first: Place | None = None
    rev: bool = False
    key: str = ""
    tag: int = 0
    value: bytes = b""


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
        kind, left, right, rev = byte & 7, byte >> 3 & 3, byte >> 5 & 3, byte >> 7
        if kind not in (INSERT, DELETE, SET, UNSET) or left == 3 or right == 3:
            raise Broken("no such kind or class")
        if (right and kind != INSERT) or (rev and kind != DELETE) or (kind == DELETE and left == NO):
            raise Broken("no such kind with this class")
        run = Run(kind, self.at[12].varint(), rev=bool(rev))
        if run.n == 0 or (run.n != 1 and kind in (SET, UNSET)):
            raise Broken("no such count")
        lane_of = {NO: -1, OWN: own}
        left_lane = lane_of[left] if left != OTHER else self.other(self.at[13].varint(), own)
        right_lane = lane_of[right] if right != OTHER else self.other(self.at[13].varint(), own)
        last = None
        if kind == INSERT:
            self.read_insert(run, own, left_lane, right_lane)
        elif kind == DELETE:
            last = self.place(left_lane, self.cur[left_lane] + self.at[16].zigzag())
            run.first = self.place(left_lane, last[1] - run.n + 1)
            self.cur[left_lane] = last[1] - run.n
        else:
            if left != NO:
                run.first = self.place(left_lane, self.cur[left_lane] + self.at[16].zigzag())
            run.key = self.at[19].str()
            if kind == SET:
                run.tag, run.value = self.at[19].varint(), self.at[19].blob()
        if any(at and at[0] == own and at[1] >= next_item for at in (run.left, run.right, run.holder, run.first, last)):
            raise Broken("an own item that is not made yet")
        return run

    def read_insert(self, run: Run, own: int, left: int, right: int) -> None:
        if left >= 0:
            run.left = self.place(left, self.cur[left] + self.at[14].zigzag())
        if right >= 0:
            base = run.left[1] if run.left and left == right else self.cur[right]
            run.right = self.place(right, base + self.at[15].zigzag())
        if left < 0 and right < 0:
            number = self.at[17].varint()
            lane = own if number == 0 else self.other(number - 1, own)
            run.holder = self.place(lane, self.cur[lane] + self.at[17].zigzag())
        if run.n > len(self.text):
            raise Broken("text is too short")
        run.text, self.text = self.text[: run.n], self.text[run.n :]

    def place(self, lane: int, offset: int) -> Place:
        if not 0 <= offset < 1 << 64:
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
        if run.kind == INSERT:
            ops.append(Insert(ref(run.left), ref(run.right), ref(run.holder), run.text[:k]))
            at.next_item += k
            run.left, run.holder, run.text = (at.own, at.next_item - 1), None, run.text[k:]
        elif run.kind == DELETE:
            assert run.first is not None
            lane, offset = run.first
            first = ref((lane, offset + run.n - k if run.rev else offset))
            assert first is not None
            ops.append(Delete(first, k))
            run.first = (lane, offset if run.rev else offset + k)
        elif run.kind == SET:
            ops.append(Set(ref(run.first), run.key, run.tag, run.value))
            columns.cur[at.own] = at.next_item
            at.next_item += 1
        else:
            ops.append(Unset(ref(run.first), run.key))
        todo -= k
        run.n -= k
        if run.n == 0:
            if run.kind == INSERT:
                columns.cur[at.own] = at.next_item - 1
            run = None
    body = encode_body(body_of(columns.times[ordinal], columns.messages[ordinal], tuple(ops)), len(parents))
    header = header_for(at.seq, at.prev, tuple(id for _, id in parents), n_ops, body)
    return header, body, run


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
        body, own, next_item = change.body, change.own, change.next_item
        n_ops = 0
        out[7] += zigzag(body.time - time) + varint(1)
        time = body.time
        if body.message is None:
            skip += 1
        else:
            out[8] += varint(skip) + blob(body.message.encode())
            skip = 0
        for op in body.ops:
            places = [None if ref is None else change.ref(ref, next_item) for ref in Body(0, None, (op,)).refs()]
            classes = [NO if place is None else OWN if place[0] == own else OTHER for place in places[:2]] + [NO]
            kind = 1 + (Insert, Delete, Set, Unset).index(type(op))
            out[11] += bytes([kind | classes[0] << 3 | classes[1] << 5])
            out[13] += b"".join(varint(place[0]) for place in places[:2] if place and place[0] != own)
            n = len(op.text) if isinstance(op, Insert) else op.n if isinstance(op, Delete) else 1
            out[12] += varint(n)
            n_ops += n
            if isinstance(op, Insert):
                left, right, holder = places
                if left:
                    out[14] += zigzag(left[1] - cur[left[0]])
                if right:
                    out[15] += zigzag(right[1] - (left[1] if left and left[0] == right[0] else cur[right[0]]))
                if holder:
                    out[17] += varint(0 if holder[0] == own else 1 + holder[0]) + zigzag(holder[1] - cur[holder[0]])
                out[18] += op.text.encode()
                next_item += n
                cur[own] = next_item - 1
            elif isinstance(op, Delete):
                assert places[0] is not None
                lane, first = places[0]
                out[16] += zigzag(first + n - 1 - cur[lane])
                cur[lane] = first - 1
            elif isinstance(op, Set):
                out[19] += blob(op.key.encode()) + varint(op.tag) + blob(op.value)
                cur[own] = next_item
                next_item += 1
            else:
                out[19] += blob(op.key.encode())
        out[5] += varint(n_ops) + varint(1)
        out[6] += varint(len(change.parents)) + varint(1)
    out[6] += b"".join(varint(number) for change in changes for number in change.parents)
    return out
