"""The core's sessions and the oracle's talk to each other, over histories of every kind.

SEEDS=n sets how many seeds the slow ones run (pytest -m slow).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import log2
from typing import Any

import pytest

import crdtkv as ck
from oracle.author import Author, Pen
from oracle.body import BYTES, INT, TEXT, Set, body_of, encode_body
from oracle.bundle import Item
from oracle.lies import KINDS, stage, tell
from oracle.model import Replica
from oracle.session import Session
from oracle.test_oracle import world
from oracle.view import shape
from oracle.wire import header_for, zigzag

SEEDS = int(os.environ.get("SEEDS", "200"))
FEW = range(4)
MANY = range(1000, 1000 + SEEDS)
OPENERS = ["first", "second", "both"]  # who speaks before it has heard anything


@dataclass
class History:
    """What each of two replicas has before they meet: bundles."""

    doc_id: bytes
    one: list[bytes]
    two: list[bytes]
    lanes: int
    depth: int = 0  # of the deepest fork, 0: nobody lies


# Histories


def random_history(seed: int) -> History:
    """Some honest authors, some who lie; each replica has heard some of it."""
    doc_id, sent = world(seed, seed % 3, 16)
    choose = random.Random(seed)
    one, two = (choose.sample(sent, choose.randint(0, len(sent))) for _ in range(2))
    return History(doc_id, one, two, lanes=5, depth=16 * (seed % 3 > 0))


def forked_history(seed: int) -> History:
    """A lane that is a tree; each replica has some of its branches, and one more lane that builds on them."""
    choose = random.Random(seed)
    pen = Author(seed).pen(choose.randbytes(32))
    made: list[tuple[int, Item, int | None]] = []  # seq, item, behind which
    for k in range(choose.choice([3, 10, 40, 120])):
        behind = k - 1 if choose.random() < 0.9 else choose.choice([None, *range(k)])
        behind = None if k == 0 else behind
        seq = 0 if behind is None else made[behind][0] + 1
        prev = None if behind is None else made[behind][1].id
        made.append((seq, put(pen, seq, prev, k), behind))
    bundles = []
    for _ in range(2):
        items: dict[bytes, Item] = {}
        for tip in choose.choices(range(len(made)), k=choose.randint(1, 3)):
            at: int | None = tip
            while at is not None:
                items[made[at][1].id] = made[at][1]
                at = made[at][2]
        bundles.append([pen.bundle(item) for item in items.values()])
    other = Author(seed + 1).pen(pen.doc_id)
    for k, sent in enumerate(bundles):
        replica = told(Replica(pen.doc_id), sent)
        own = choose.sample(sorted(replica.changes), 1)
        sent.append(other.bundle(put(other, 0, None, 1000 + k, own)))
    return History(pen.doc_id, bundles[0], bundles[1], lanes=2, depth=len(made))


def crowded_history(seed: int) -> History:
    """More lanes than an opener lists. What one lacks may be a little, a lot, all, or nothing."""
    choose = random.Random(seed)
    doc_id = choose.randbytes(32)
    bundles = []
    for k in range(choose.choice([257, 280, 310])):
        pen = Author(choose.getrandbits(32)).pen(doc_id)
        first = put(pen, 0, None, k)
        bundles.append([pen.bundle(first), pen.bundle(put(pen, 1, first.id, k))][: choose.randint(1, 2)])
    halves = []
    for _ in range(2):
        share = choose.choice([0, 0.03, 0.5, 0.99, 1])
        halves.append([data for lane in bundles for data in lane if choose.random() < share])
    return History(doc_id, halves[0], halves[1], lanes=len(bundles))


def bushy_history(seed: int) -> History:
    """A lane with more tips than an opener lists, and a few other lanes."""
    choose = random.Random(seed)
    pen = Author(seed).pen(choose.randbytes(32))
    root = put(pen, 0, None, 0)
    sent = []
    for k in range(choose.choice([20, 257, 280])):
        leaf = put(pen, 1, root.id, k)
        sent.append([pen.bundle(leaf), pen.bundle(put(pen, 2, leaf.id, k))][: choose.randint(1, 2)])
    for k in range(4):
        other = Author(choose.getrandbits(32)).pen(pen.doc_id)
        sent.append([other.bundle(put(other, 0, None, k))])
    halves = []
    for _ in range(2):
        share = choose.choice([0, 0.05, 0.5, 0.95, 1])
        part = [data for branch in sent for data in branch if choose.random() < share]
        halves.append([pen.bundle(root), *part])
    return History(pen.doc_id, halves[0], halves[1], lanes=len(sent), depth=2)  # each branch costs what a lane does


def odd_history(seed: int) -> History:
    """Void changes, some of a later version, some that wait for ever or are refused."""
    choose = random.Random(seed)
    replica, pen = stage(seed)
    base = [replica.export()]
    sent = [tell(kind, pen, replica).bundle for kind in choose.sample(sorted(KINDS), 12)]
    one, two = (
        [*base * choose.randint(0, 1), *choose.sample(sent, choose.randint(0, 12))]  # whoever has no base waits
        for _ in range(2)
    )
    return History(replica.doc_id, one, two, lanes=20, depth=8)


def long_history(seed: int) -> History:
    """Content that does not fit into one message."""
    choose = random.Random(seed)
    doc_id = choose.randbytes(32)
    halves = []
    for _ in range(2):
        pen, prev, sent = Author(choose.getrandbits(32)).pen(doc_id), None, []
        for seq in range(choose.randint(0, 3)):
            value = choose.randbytes(choose.choice([10, 600_000, 2**20, 2_500_000]))
            item = write(pen, seq, prev, Set(None, "long", BYTES, value))
            sent.append(pen.bundle(item))
            prev = item.id
        halves.append(sent)
    return History(doc_id, halves[0], halves[1], lanes=2)


HISTORIES = [random_history, forked_history, crowded_history, bushy_history, odd_history, long_history]


def put(pen: Pen, seq: int, prev: bytes | None, value: int, parents: Iterable[bytes] = ()) -> Item:
    return write(pen, seq, prev, Set(None, f"{value % 7}", INT, zigzag(value)), parents)


def write(pen: Pen, seq: int, prev: bytes | None, op: Set, parents: Iterable[bytes] = ()) -> Item:
    """A change of one operation that is right wherever it stands."""
    others = tuple(parents)
    data = encode_body(body_of(0, None, (op,)), len(others))
    return pen.raw(header_for(seq, prev, others, 1, data), data)


# Two who talk


def told(replica: Any, bundles: Iterable[bytes]) -> Any:
    for data in bundles:
        replica.apply(data)
    return replica


@dataclass
class Talk:
    """Two ends, stepped in turns. `between` is called after each message."""

    ends: tuple[Any, Any]
    between: Callable[[], object] = lambda: None
    rounds: int = 0
    messages: list[tuple[int, bytes]] = field(default_factory=list)

    def run(self, opener: str) -> Talk:
        if opener == "both":
            hellos = [end.send() for end in self.ends]
            self.rounds += 1
            for k, hello in enumerate(hellos):
                self.say(k, hello)
        order = (1, 0) if opener == "second" else (0, 1)
        while True:
            spoke = [self.speak(k) for k in order]
            if not any(spoke):
                return self
            self.rounds += 1
            assert self.rounds < 100

    def speak(self, k: int) -> bool:
        spoke = False
        while (message := self.ends[k].send()) is not None:
            self.say(k, message)
            spoke = True
        return spoke

    def say(self, k: int, message: bytes) -> None:
        self.messages.append((k, message))
        self.ends[1 - k].receive(message)
        self.between()

    @property
    def bytes(self) -> int:
        return sum(len(message) for _, message in self.messages)


def session(of: Any, choose: random.Random) -> Any:
    return Session(of, choose.randbytes(8)) if isinstance(of, Replica) else of.session()


def agree(*ends: Any) -> None:
    assert all(end.done for end in ends), [end.done for end in ends]
    assert all(end.send() is None for end in ends)


def same(*replicas: Any) -> None:
    first, *others = replicas
    for other in others:
        assert other.root == first.root
        assert shape(other.to_py()) == shape(first.to_py())
        assert later(other) == later(first)


def later(of: Any) -> int:
    return len(of.later) if isinstance(of, Replica) else of.stats()["later"]


def allowed_rounds(history: History) -> float:
    return max(12, 2 * log2(history.depth)) if history.depth else 6


def meet(history: History, opener: str, seed: int) -> None:
    choose = random.Random(seed)
    one, two = told(Replica(history.doc_id), history.one), told(ck.Doc(id=history.doc_id), history.two)
    talk = Talk((session(one, choose), session(two, choose))).run(opener)
    agree(*talk.ends)
    same(one, two)
    if not [name for name in (history.one, history.two) if sum(map(len, name)) > 1 << 20]:
        assert talk.rounds <= allowed_rounds(history), talk.rounds


def meet_own_kind(history: History, opener: str) -> None:
    """Two cores, which keep to a budget besides."""
    one, two = (told(ck.Doc(id=history.doc_id), sent) for sent in (history.one, history.two))
    equal = one.root == two.root and later(one) == later(two)
    ids = [{change.id for change in doc.changes()} for doc in (one, two)]
    talk = Talk((one.session(), two.session())).run(opener)
    agree(*talk.ends)
    same(one, two)
    if equal and not later(one):
        assert [k for k, _ in talk.messages] in ([0, 1], [1, 0])
        assert max(len(message) for _, message in talk.messages) <= 64
    missing = sum(len(one.export(had)) for had in ids)  # what waited at one of them is in it, too
    if not later(one):  # no export has those
        assert talk.bytes <= 64 + 40 * history.lanes + 1.5 * missing + 2048
    assert talk.rounds <= allowed_rounds(history), talk.rounds


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("seed", FEW)
def test_core_and_oracle_agree(seed: int, history: Callable[[int], History], opener: str) -> None:
    told = history(seed)
    meet(told, opener, seed)
    meet_own_kind(told, opener)


@pytest.mark.slow
@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("seed", MANY)
def test_core_and_oracle_agree_many_times(seed: int, history: Callable[[int], History], opener: str) -> None:
    told = history(seed)
    meet(told, opener, seed)
    meet_own_kind(told, opener)


# Edits while they talk


class Writer:
    """Edits a replica of either kind under a lane of its own."""

    def __init__(self, of: Any, seed: int) -> None:
        self.of = of
        self.pen = Author(seed).pen(of.doc_id) if isinstance(of, Replica) else None
        self.choose = random.Random(seed)

    def edit(self) -> None:
        if self.pen is None:
            self.of["t" if self.choose.random() < 0.1 else "n"] = self.choose.choice([1, "x", ck.Text("abc")])
            if "t" in self.of and isinstance(self.of["t"], ck.Text):
                self.of["t"].insert(0, "y")
            self.of.commit()
        else:
            draft = self.pen.draft(self.of)
            draft.set("t", TEXT)
            self.pen.author.edit(draft)
            self.pen.write(self.of, draft)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("history", [random_history, forked_history, odd_history])
@pytest.mark.parametrize("seed", FEW)
def test_edits_between_messages_go_along(seed: int, history: Callable[[int], History], opener: str) -> None:
    past = history(seed)
    choose = random.Random(seed)
    replicas = [told(Replica(past.doc_id), past.one), told(ck.Doc(id=past.doc_id), past.two)]
    choose.shuffle(replicas)
    writers = [Writer(replica, k) for k, replica in enumerate(replicas)]
    left = [12]

    def between() -> None:
        if left[0] and choose.random() < 0.7:
            left[0] -= 1
            choose.choice(writers).edit()

    talk = Talk((session(replicas[0], choose), session(replicas[1], choose)), between).run(opener)
    agree(*talk.ends)
    same(*replicas)
    for writer in choose.choices(writers, k=8):
        writer.edit()
        assert not talk.ends[replicas.index(writer.of)].done
        talk.run("first")
        agree(*talk.ends)
        same(*replicas)


def test_a_keystroke_costs_little() -> None:
    """Where both have seen the lane, neither a key nor a hash goes along, and one signature is checked."""
    choose = random.Random(1)
    doc = ck.Doc(id=bytes(32))
    doc["t"] = ck.Text("hello")
    replica = Replica(bytes(32))
    talk = Talk((session(doc, choose), session(replica, choose))).run("first")
    doc["t"].insert(5, "!")
    doc.commit()
    talk.run("first")
    talk.messages.clear()
    doc["t"].insert(6, "!")
    doc.commit()
    talk.run("first")
    assert len(talk.messages) == 2 and talk.bytes <= 128, [len(message) for _, message in talk.messages]
    pen = Author(1).pen(bytes(32))
    for _ in range(3):
        verified = doc.stats()["verified"]
        draft = pen.draft(replica)
        draft.insert(draft.texts()[0], 0, "?")
        pen.write(replica, draft)
        talk.run("first")
        assert doc.stats()["verified"] == verified + 1
    same(doc, replica)


@pytest.mark.parametrize("oracle", [True, False])
@pytest.mark.parametrize("history", [random_history, forked_history, crowded_history])
@pytest.mark.parametrize("seed", FEW)
def test_three_in_a_ring(seed: int, history: Callable[[int], History], oracle: bool) -> None:
    """Sessions along all three sides at once, messages in any order, edits in between."""
    past = history(seed)
    choose = random.Random(seed)
    replicas = [
        told(Replica(past.doc_id) if oracle else ck.Doc(id=past.doc_id), past.one),
        told(ck.Doc(id=past.doc_id), past.two),
        told(ck.Doc(id=past.doc_id), choose.sample([*past.one, *past.two], len(past.one))),
    ]
    writers = [Writer(replica, k) for k, replica in enumerate(replicas)]
    talks = [Talk((session(replicas[k], choose), session(replicas[k - 1], choose))) for k in range(3)]
    wires: list[tuple[Talk, int, list[bytes]]] = [(talk, k, []) for talk in talks for k in range(2)]
    edits = 6 if history is random_history else 0
    idle = 0
    while idle < 60 or any(wire for _, _, wire in wires):
        talk, k, wire = choose.choice(wires)
        message = talk.ends[k].send() if choose.random() < 0.5 else None
        wire += [] if message is None else [message]
        idle = 0 if message is not None else idle + 1
        if wire and choose.random() < 0.5:
            talk.ends[1 - k].receive(wire.pop(0))
        if edits and choose.random() < 0.1:
            edits -= 1
            choose.choice(writers).edit()
    while any([talk.speak(k) for talk in talks for k in range(2)]):
        pass
    for talk in talks:
        agree(*talk.ends)
    same(*replicas)


# What it costs


def chain(pen: Pen, n: int) -> tuple[list[bytes], bytes]:
    """A chain of n changes under as few signatures as will do, in bundles; and its tip."""
    bundles: list[bytes] = []
    run: list[Item] = []
    prev = None
    for seq in range(n):
        data = encode_body(body_of(0, None, (Set(None, "k", INT, zigzag(seq)),)), 0)
        ends = seq + 1 == n or len(run) == 999
        run.append(pen.raw(header_for(seq, prev, (), 1, data), data, sign=ends))
        prev = run[-1].id
        if ends:
            bundles.append(pen.bundle(*run))
            run.clear()
    assert prev is not None
    return bundles, prev


@pytest.mark.parametrize("depth", [1, 2, 7, 1000, 100_000])
def test_a_fork_is_located_by_few_hashes(depth: int) -> None:
    """Two honest replicas hold two stories of one lane behind a long common past."""
    pen = Author(1).pen(bytes(32))
    common, tip = chain(pen, depth)
    docs = [told(ck.Doc(id=bytes(32)), common) for _ in range(2)]
    for k, doc in enumerate(docs):
        prev, seq = tip, depth
        for step in range(1 + 5 * k):
            item = put(pen, seq, prev, 10 * k + step)
            doc.apply(pen.bundle(item))
            prev, seq = item.id, seq + 1
    talk = Talk((docs[0].session(), docs[1].session())).run("both")
    agree(*talk.ends)
    same(*docs)
    assert talk.ends[0].stats()["hashes"] <= 20
    assert talk.bytes <= 64 + 40 + 1.5 * 6 * 200 + 2048
    assert talk.rounds <= 12 and len(docs[0].equivocations()) == 1


def test_one_signature_is_checked_for_each_run() -> None:
    author, reader = ck.Doc(id=bytes(32)), ck.Doc(id=bytes(32))
    for k in range(500):
        author[f"{k}"] = k
        author.commit()
    ends = Talk((author.session(), reader.session())).run("second").ends
    agree(*ends)
    assert reader.stats()["verified"] == 1 and reader.stats()["changes"] == 500
    other = author.fork(ck.Identity.generate())
    for k in range(50):
        (author if k % 2 else other)["x"] = k
        (author if k % 2 else other).commit()
    Talk((author.session(), other.session())).run("first")
    before = reader.stats()["verified"]
    Talk((author.session(), reader.session())).run("first")
    assert reader.stats()["verified"] == before + 2
    same(author, reader)
