"""What an end of a session finds out about the other one: ranges of tips, then the search in lanes that forked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from .graph import Change, Graph
from .message import Misfit
from .wire import Broken, Malformed, Reader, blob, varint

SKIP, PRINT, TIPS, HAVE, KNOWN, PAST, FOUND = range(7)
END = 2**64  # of all keys
OPENING_TIPS = 256  # so many an opener lists at once
FEW, AT_MOST = 16, 1024  # tips that are listed rather than summed up
MAX_LIST = 16384
NARROW = 6  # a search that is left with less ends


@dataclass(frozen=True, order=True)
class Tip:
    key: int
    height: int
    hash: int


@dataclass
class Covering:
    """The other end owes ranges from `low` up to `bound`; nothing yet if `low` is still `start`."""

    start: int
    low: int
    bound: int
    may_skip: bool


@dataclass
class Search:
    """Where does the chain of this tip of the opener part from what the other end has?"""

    tip: Tip
    top: int
    seqs: list[int]
    again: bool = False


@dataclass
class Listed:
    """Tips sent, in TIPS or HAVE: the other end owes a bit for each."""

    tips: list[Tip]
    low: int
    bound: int
    form: int


Question = Covering | Listed | Search


class Compare:
    """`told` are the changes that the own hello spoke of. `theirs` gathers ids that the other end has."""

    def __init__(
        self, graph: Graph, told: Collection[bytes], h: Callable[[bytes], int], opener: bool, theirs: set[bytes]
    ) -> None:
        self.graph = graph
        self.h = h
        self.opener = opener
        self.theirs = theirs
        self.out = b""  # the stream of ranges as far as it is not sent
        self.unread = b""  # of the other end's stream
        self.asked: list[Question] = []  # in the order in which it will be answered
        self.expected: list[Search] = []  # what the opener will ask
        self.searching = False
        self.hashes = 0
        self.unknown_there: list[Tip] = []
        self.unknown_here: list[Tip] = []
        went_on = {graph.changes[id].header.prev for id in told}
        self.tips = {self.tip(graph.changes[id]): id for id in told if id not in went_on}
        if not opener:
            self.asked.append(Covering(0, 0, END, may_skip=False))
        elif len(self.tips) <= OPENING_TIPS:
            self.say_tips(0, END)
        else:
            self.say_prints(0, END)

    @property
    def over(self) -> bool:
        return not self.asked and not self.expected and self.searching and not self.unread

    # What is here

    def tip(self, change: Change) -> Tip:
        return Tip(self.h(change.lane.id) | 1, change.header.seq + 1, self.h(change.id))

    def between(self, low: int, bound: int) -> list[Tip]:
        return sorted(tip for tip in self.tips if low <= tip.key < bound)

    def here(self) -> dict[int, bytes]:
        """Each change by its hash."""
        return {self.h(id): id for id in self.graph.changes}

    def chain(self, id: bytes) -> list[bytes]:
        """This change and those behind it in its lane, by seq."""
        out = []
        at: bytes | None = id
        while at is not None:
            out.append(at)
            at = self.graph.changes[at].header.prev
        return out[::-1]

    def they_have(self, id: bytes) -> None:
        self.theirs.update(self.chain(id))

    def look_again(self) -> None:
        """What the other end listed may have come since: then it has that, and what is behind it."""
        here = self.here()
        for tip in self.unknown_here:
            if tip.hash in here:
                self.they_have(here[tip.hash])

    # Saying

    def say(self, range: bytes) -> None:
        self.out += blob(range)

    def say_tips(self, low: int, bound: int) -> None:
        tips = self.between(low, bound)
        self.say(bytes([TIPS]) + write_bound(bound) + write_tips(tips))
        self.asked.append(Listed(tips, low, bound, TIPS))

    def say_prints(self, low: int, bound: int) -> None:
        """Sixteen, unless they would be of very few tips."""
        tips = self.between(low, bound)
        size = max(FEW, len(tips) // 16)
        bounds = []
        for k in range(size, len(tips), size):
            if tips[k - 1].key < tips[k].key:
                bounds.append(shortest_between(tips[k - 1].key, tips[k].key))
        for start, end in zip([low, *bounds], [*bounds, bound], strict=True):
            part = self.between(start, end)
            total = sum(tip.hash for tip in part) % 2**64
            self.say(bytes([PRINT]) + write_bound(end) + total.to_bytes(8, "little") + varint(len(part)))
            self.asked.append(Covering(start, start, end, may_skip=True))

    def say_past(self, search: Search) -> None:
        chain = self.chain(self.tips[search.tip])
        hashes = [self.h(chain[seq]) for seq in search.seqs]
        self.hashes += len(hashes)
        self.say(bytes([PAST]) + b"".join(hash.to_bytes(8, "little") for hash in hashes))
        self.asked.append(search)

    # Hearing

    def hear(self, data: bytes) -> None:
        self.unread += data
        while self.unread:
            reader = Reader(self.unread)
            try:
                range = reader.blob()
            except Broken:
                return  # the rest is still to come
            self.unread = self.unread[reader.at :]
            self.hear_range(range)

    def hear_range(self, range: bytes) -> None:
        reader = Reader(range)
        try:
            form = reader.u8()
            if form > FOUND:
                raise Malformed("no range")
            hear = (
                self.hear_skip,
                self.hear_print,
                self.hear_tips,
                self.hear_have,
                self.hear_known,
                self.hear_past,
                self.hear_found,
            )[form]
            hear(reader)
            reader.end()
        except Broken as error:
            raise Malformed(str(error)) from error
        if not self.asked and not self.searching:
            self.search()

    def covering(self) -> Covering:
        if not self.asked or not isinstance(self.asked[0], Covering):
            raise Misfit("nobody asked for a range of keys")
        return self.asked[0]

    def covered(self, reader: Reader) -> tuple[int, int]:
        """The keys of this range, which answers what was asked first."""
        question = self.covering()
        low, bound = question.low, read_bound(reader)
        if not low < bound <= question.bound:
            raise Misfit("bounds that do not ascend")
        question.low = bound
        if bound == question.bound:
            self.asked.pop(0)
        return low, bound

    def hear_skip(self, reader: Reader) -> None:
        question = self.covering()
        if not question.may_skip or question.low != question.start:
            raise Misfit("nothing to skip")
        low, bound = self.covered(reader)
        if bound != question.bound:
            raise Misfit("skips a part")
        for tip in self.between(low, bound):
            self.they_have(self.tips[tip])

    def hear_print(self, reader: Reader) -> None:
        low, bound = self.covered(reader)
        total, n = int.from_bytes(reader.take(8), "little"), reader.varint()
        mine = self.between(low, bound)
        if n == len(mine) and total == sum(tip.hash for tip in mine) % 2**64:
            self.say(bytes([SKIP]) + write_bound(bound))
            for tip in mine:
                self.they_have(self.tips[tip])
        elif len(mine) <= max(FEW, min(n // 8, AT_MOST)) or len({tip.key for tip in mine}) == 1:
            self.say_tips(low, bound)
        else:
            self.say_prints(low, bound)

    def hear_tips(self, reader: Reader) -> None:
        low, bound = self.covered(reader)
        mine = self.between(low, bound)
        tips = read_tips(reader, low, bound, len(mine))
        bits = self.judge(tips)
        open_lanes = {tip.key for tip, bit in zip(tips, bits, strict=True) if not bit}
        told = [tip for tip in mine if tip.key in open_lanes and tip not in tips]
        self.say(bytes([HAVE]) + write_bits(bits) + write_tips(told))
        if told:
            self.asked.append(Listed(told, low, bound, HAVE))

    def hear_have(self, reader: Reader) -> None:
        question = self.listed(TIPS)
        bits = read_bits(reader, len(question.tips))
        self.learn(question.tips, bits)
        tips = read_tips(reader, question.low, question.bound, len(question.tips))
        open_lanes = {tip.key for tip, bit in zip(question.tips, bits, strict=True) if not bit}
        if any(tip.key not in open_lanes or tip in question.tips for tip in tips):
            raise Misfit("a tip that nobody wants to know")
        if tips:
            self.say(bytes([KNOWN]) + write_bits(self.judge(tips)))

    def hear_known(self, reader: Reader) -> None:
        question = self.listed(HAVE)
        self.learn(question.tips, read_bits(reader, len(question.tips)))

    def listed(self, form: int) -> Listed:
        if self.asked:
            question = self.asked.pop(0)
            if isinstance(question, Listed) and question.form == form:
                return question
        raise Misfit("no list to answer")

    def judge(self, tips: Sequence[Tip]) -> list[bool]:
        """For each tip of the other end: is it here?"""
        here = self.here()
        for tip in tips:
            if tip.hash in here:
                self.they_have(here[tip.hash])
            else:
                self.unknown_here.append(tip)
        return [tip.hash in here for tip in tips]

    def learn(self, tips: Sequence[Tip], bits: Sequence[bool]) -> None:
        """For each of the own tips: does the other end have it?"""
        for tip, bit in zip(tips, bits, strict=True):
            if bit:
                self.they_have(self.tips[tip])
            else:
                self.unknown_there.append(tip)

    # The search

    def search(self) -> None:
        """All is answered. What follows is the same on both ends, but that one asks."""
        self.searching = True
        openers, others = self.unknown_there, self.unknown_here
        if not self.opener:
            openers, others = others, openers
        for tip in sorted(openers):
            heights = [other.height for other in others if other.key == tip.key]
            top = min(tip.height, max(heights)) - 1 if heights else 0
            if top > 0:
                self.ask_or_expect(Search(tip, top, first_seqs(top)))

    def ask_or_expect(self, search: Search) -> None:
        if self.opener:
            self.say_past(search)
        else:
            self.expected.append(search)

    def hear_past(self, reader: Reader) -> None:
        hashes = []
        while not reader.done():
            hashes.append(int.from_bytes(reader.take(8), "little"))
        if not self.expected or len(hashes) != len(self.expected[0].seqs):
            raise Misfit("not the search that follows")
        search = self.expected.pop(0)
        self.hashes += len(hashes)
        here = self.here()
        index = next((k for k, hash in enumerate(hashes, 1) if hash in here), 0)
        if index:
            self.they_have(here[hashes[index - 1]])
        self.say(bytes([FOUND]) + varint(index))
        self.go_on(search, index)

    def hear_found(self, reader: Reader) -> None:
        if not self.asked or not isinstance(self.asked[0], Search):
            raise Misfit("nothing is searched")
        search = self.asked.pop(0)
        assert isinstance(search, Search)
        index = reader.varint()
        if index > len(search.seqs):
            raise Misfit("found what was not listed")
        if index:
            self.they_have(self.chain(self.tips[search.tip])[search.seqs[index - 1]])
        self.go_on(search, index)

    def go_on(self, search: Search, index: int) -> None:
        """Once more between what was found and what was not."""
        around = [search.top, *search.seqs]
        low, high = (around[index] + 1, around[index - 1]) if index else (0, around[-1])
        if not search.again and high - low >= NARROW:
            seqs = [low + (high - low) * k // 4 for k in (3, 2, 1)]
            self.ask_or_expect(Search(search.tip, search.top, seqs, again=True))


def first_seqs(top: int) -> list[int]:
    """top - 1, top - 2, top - 4, ... as far as they are not below 0."""
    out, step = [], 1
    while step <= top:
        out.append(top - step)
        step *= 2
    return out


# Into bytes and back


def shortest_between(before: int, key: int) -> int:
    """The shortest bound above `before` that is not above `key`."""
    for n in range(1, 9):
        bound = key >> 64 - 8 * n << 64 - 8 * n
        if bound > before:
            return bound
    raise AssertionError("the keys ascend")


def write_bound(bound: int) -> bytes:
    data = b"" if bound == END else bound.to_bytes(8, "big").rstrip(b"\0")
    return bytes([len(data)]) + data


def read_bound(reader: Reader) -> int:
    n = reader.u8()
    if n > 8:
        raise Malformed("bound")
    data = reader.take(n)
    if data[-1:] == b"\0":
        raise Malformed("a bound with zeros at its end")
    return int.from_bytes(data + bytes(8 - n), "big") if n else END


def write_tips(tips: Sequence[Tip]) -> bytes:
    out = varint(len(tips))
    for tip in tips:
        out += tip.key.to_bytes(8, "little") + varint(tip.height) + tip.hash.to_bytes(8, "little")
    return out


def read_tips(reader: Reader, low: int, bound: int, mine: int) -> list[Tip]:
    n = reader.varint()
    if n > MAX_LIST and n > mine // 8:
        raise Misfit("too many tips")
    tips = []
    for _ in range(n):
        key = int.from_bytes(reader.take(8), "little")
        height = reader.varint()
        tips.append(Tip(key, height, int.from_bytes(reader.take(8), "little")))
    for tip in tips:
        if not low <= tip.key < bound or tip.key % 2 == 0 or tip.height == 0:
            raise Misfit("no tip of this range")
    if any(a >= b for a, b in zip(tips, tips[1:])):
        raise Misfit("tips do not ascend")
    return tips


def write_bits(bits: Sequence[bool]) -> bytes:
    number = sum(bit << k for k, bit in enumerate(bits))
    return number.to_bytes((len(bits) + 7) // 8, "little")


def read_bits(reader: Reader, n: int) -> list[bool]:
    number = int.from_bytes(reader.take((n + 7) // 8), "little")
    if number >> n:
        raise Malformed("bits for no tip")
    return [bool(number >> k & 1) for k in range(n)]
