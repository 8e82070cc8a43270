"""The oracle against itself: the set alone decides, the order is the paper's, every lie meets its verdict."""

from __future__ import annotations

import contextlib
import random
import struct
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import pytest

from .author import Author, Draft, Pen, Tagged
from .body import (
    BYTES,
    COUNTER,
    DEFAULT,
    FALSE,
    FLOAT,
    INT,
    LIST,
    MAP,
    NAN,
    NEW,
    NONE,
    SET,
    STR,
    TEXT,
    TRUE,
    Body,
    Delete,
    InChange,
    InLane,
    Mark,
    Own,
    Parent,
    Ref,
    Restore,
    encode_body,
    parse_body,
)
from .body import KINDS as OPS
from .bundle import (
    Chain,
    Item,
    Lane,
    frame_bundle,
    item_of,
    opened,
    read_bundle,
    seal,
    write_bundle,
    write_column_bundle,
    write_lane,
    write_sections,
    write_signed,
)
from .columns import ColumnChange, Place, Slice
from .effects import Scalar
from .fugue import ItemId, Node, order
from .lies import COLUMNS, KINDS, its, lie_in_columns, stage, tell
from .model import APPLIED, VOID, Replica
from .proof import holds, read_proof
from .view import shape
from .wire import Broken, Header, Malformed, Reader, blob, header_for, parse_header, varint, zigzag

# A world: honest authors, liars, and every bundle that they have sent


def world(seed: int, liars: int, steps: int = 24) -> tuple[bytes, list[bytes]]:
    choose = random.Random(seed)
    doc_id = choose.randbytes(32)
    pens = [Author(choose.getrandbits(64)).pen(doc_id) for _ in range(3 + liars)]
    views = [Replica(doc_id) for _ in pens]
    sent: list[bytes] = []
    for _ in range(steps):
        who = choose.randrange(len(pens))
        for data in choose.sample(sent, choose.randint(0, len(sent))):
            views[who].apply(data)
        honest = who < 3
        sent += write(pens[who], views[who]) if honest else lie(pens[who], views[who], choose)
    return doc_id, sent


def write(pen: Pen, view: Replica) -> list[bytes]:
    draft = pen.draft(view)
    pen.author.edit(draft)
    return [pen.write(view, draft, pen.author.random.randint(-9, 9), pen.author.random.choice([None, "", "why"]))]


def lie(pen: Pen, view: Replica, choose: random.Random) -> list[bytes]:
    """A change or two on top of anything of the own lane: forks, odd operations, unsigned tails, void changes."""
    own = [change.id for change in view.changes.values() if change.lane.id == pen.lane.id]
    pen.tip = choose.choice([*own, None]) if choose.random() < 0.5 else (own[-1] if own else None)
    draft = pen.draft(view)
    pen.author.lie(draft) if choose.random() < 0.6 else pen.author.edit(draft)
    item = pen.item(draft)
    data = encode_body(Body(0), 0)
    tail = pen.raw(Header(draft.seq + 1, item.id, (), 0, len(data), data), data)
    bare = Item(item.lane_id, item.header, item.body_form, item.body)
    kind = choose.randrange(4)
    if kind == 0:
        return [pen.bundle(item)]
    if kind == 1:
        return [pen.bundle(tail), pen.bundle(bare), pen.bundle(bare, tail)]
    if kind == 2:
        return [pen.bundle(item, Item(tail.lane_id, tail.header, tail.body_form)), pen.bundle(tail)]
    return [pen.bundle(bare, tail)]


def deliver(doc_id: bytes, sent: list[bytes], choose: random.Random) -> Replica:
    """All of it, in any order, some of it twice, and again until nothing is new."""
    replica = Replica(doc_id)
    while True:
        moved = False
        for data in choose.sample(sent, len(sent)) + choose.sample(sent, len(sent) // 4):
            report = replica.apply(data)
            moved = moved or bool(report.applied or report.void or report.waiting or report.later)
        if not moved:
            return replica


def state(replica: Replica) -> object:
    return (
        replica.root,
        replica.heads,
        sorted((change.id, change.verdict, change.reason, change.clock) for change in replica.changes.values()),
        sorted(replica.waiting),
        sorted(replica.later),
        content(replica),
        replica.equivocations(),
    )


def content(replica: Replica, version: Collection[bytes] | None = None) -> object:
    """All that these changes say: what is shown, what is not, and how it is formatted."""
    view = replica.view(version)
    holders = [None, *(holder for tag in NEW for holder in view.containers(tag))]
    registers = [
        (holder, name, [shape(view.plain(value)) for value in held])
        for holder in holders
        for name, held in view.registers(holder).items()
    ]
    return shape(view.to_py()), registers, [(text, view.text(text), view.spans(text)) for text in view.containers(TEXT)]


@pytest.mark.parametrize("seed", range(12))
def test_the_set_decides_among_honest_authors(seed: int) -> None:
    doc_id, sent = world(seed, 0)
    one, two = (deliver(doc_id, sent, random.Random(k)) for k in range(2))
    assert repr(state(one)) == repr(state(two))
    assert all(change.verdict == APPLIED for change in one.changes.values()) and len(one.changes) == len(sent)
    assert not one.equivocations() and not one.waiting


@pytest.mark.parametrize("seed", range(24))
def test_the_set_decides_among_liars(seed: int) -> None:
    doc_id, sent = world(seed, 2)
    states = {repr(state(deliver(doc_id, sent, random.Random(k)))) for k in range(3)}
    assert len(states) == 1


def test_the_worlds_have_everything_in_them() -> None:
    verdicts, kinds, forks, by_change, by_lane = set(), Counter[type](), 0, 0, 0
    for seed in range(12):
        replica = deliver(*world(seed, 2), random.Random(0))
        verdicts |= {change.verdict for change in replica.changes.values()}
        forks += len(replica.equivocations())
        for change in replica.changes.values():
            if change.verdict == APPLIED:
                body = parse_body(change.body, len(change.header.parents))
                kinds.update(map(type, body.ops))
                refs = body.refs()
                by_change += sum(isinstance(ref, InChange) for ref in refs)
                by_lane += sum(isinstance(ref, InLane) for ref in refs)
    assert set(kinds) == set(OPS) and min(kinds.values()) > 4, kinds
    assert verdicts == {APPLIED, VOID} and forks and by_change and by_lane


def test_an_export_is_the_same_set() -> None:
    for seed in range(6):
        doc_id, sent = world(seed, 2)
        replica = deliver(doc_id, sent, random.Random(0))
        other = Replica(doc_id)
        other.apply(replica.export(codec=seed % 2))
        missing = [replica.changes[id] for id in set(replica.changes) - set(other.changes)]
        assert not missing, [(change.header.seq, change.signature) for change in missing]
        assert other.root == replica.root and repr(content(other)) == repr(content(replica))


# The order of a text


def scan(out: list[Node], new: Node) -> int:
    """Where the usual scan between two origins puts an item. For honest items it is FugueMax too."""
    at: dict[ItemId | None, int] = {char.id: k for k, char in enumerate(out)}
    left = -1 if new.left is None else at[new.left]
    right = len(out) if new.right is None else at[new.right]
    to, scanning = left + 1, False
    for k in range(left + 1, len(out) + 1):
        if not scanning:
            to = k
        if k == len(out) or k == right:
            break
        other = out[k]
        other_left = -1 if other.left is None else at[other.left]
        other_right = len(out) if other.right is None else at[other.right]
        if other_left < left:
            break
        if other_left == left:
            if other_right == right and new.op < other.op:
                break
            scanning = other_right < right
    return to


@pytest.mark.parametrize("seed", range(12))
def test_the_tree_is_the_scan_on_honest_items(seed: int) -> None:
    replica = deliver(*world(seed, 0, 40), random.Random(seed))
    nodes = replica.everything().nodes.values()
    for holder in replica.texts() + replica.view().containers(LIST):
        inside = [node for node in nodes if node.holder == holder]
        out: list[Node] = []
        for node in inside:  # in the order of arrival
            out.insert(scan(out, node), node)
        assert out == order(inside)


def test_runs_do_not_interleave() -> None:
    replica, _ = stage(1)
    text = replica.to_py()["t"]
    assert isinstance(text, str) and "xyz" in text and text.count("pq") == 2 and "f" not in text


# What operations mean


class Peer:
    """An author with a replica of his own."""

    def __init__(self, seed: int, doc_id: bytes = bytes(32)) -> None:
        self.pen = Author(seed).pen(doc_id)
        self.replica = Replica(doc_id)

    def write(self, edit: Callable[[Draft], object]) -> bytes:
        """The id of a change that does this."""
        draft = self.pen.draft(self.replica)
        edit(draft)
        return pen_write(self.pen, self.replica, draft)

    def undo(self, id: bytes) -> bytes:
        return self.write(lambda draft: draft.undo(id))


def peers(edit: Callable[[Draft], object], n: int = 2) -> list[Peer]:
    """Who all begin with the same."""
    out = [Peer(seed) for seed in range(n)]
    out[0].write(edit)
    meet(*out)
    return out


def meet(*all: Peer) -> Any:
    """They exchange what they have, and see the same."""
    for one in all:
        for other in all:
            one.replica.apply(other.replica.export())
    contents = {repr(content(peer.replica)) for peer in all}
    assert len(contents) == 1
    return all[0].replica.to_py()


def shows(peer: Peer) -> Any:
    return peer.replica.to_py()


def spans(peer: Peer) -> list[tuple[str, dict[str, Scalar]]]:
    (text,) = peer.replica.texts()
    return peer.replica.spans(text)


def number(value: int) -> Tagged:
    return INT, zigzag(value)


def words(draft: Draft) -> None:
    draft.insert(draft.new_text("t"), 0, "The fox jumped.")


def three(draft: Draft) -> None:
    draft.elements_at(draft.set("l", LIST), 0, *map(number, range(3)))


def element(draft: Draft, value: int) -> ItemId:
    """The one that shows this number."""
    view, items = draft.view(), its(draft, "l")
    shown = {item: [view.plain(held) for held in view.values(items, item)][-1:] for item in view.elements(items)}
    (found,) = (item for item in shown if shown[item] == [value])
    return found


def move(value: int, position: int) -> Callable[[Draft], None]:
    return lambda draft: draft.move(element(draft, value), position)


def drop(value: int) -> Callable[[Draft], None]:
    return lambda draft: draft.delete_item(element(draft, value))


def test_every_version_is_that_of_its_changes() -> None:
    choose = random.Random(0)
    for seed in range(6):
        replica = deliver(*world(seed, 2), random.Random(0))
        for _ in range(4):
            version = replica.past_of(choose.sample(sorted(replica.changes), min(2, len(replica.changes))))
            other = Replica(replica.doc_id)
            other.apply(replica.export(version))
            assert set(other.changes) == version
            assert repr(content(other)) == repr(content(replica, version))


def test_a_register_holds_what_nobody_replaced() -> None:
    a, b = peers(lambda draft: draft.set("k", *number(0)))
    a.write(lambda draft: draft.set("k", *number(1)))
    b.write(lambda draft: draft.set("k", *number(2)))
    assert meet(a, b) in ({"k": 1}, {"k": 2})
    assert sorted(a.replica.registers()["k"], key=str) == [1, 2]
    shown = shows(a)["k"]
    a.write(lambda draft: draft.delete_item(draft.view().values(None, "k")[-1].id))
    assert shows(a) == {"k": 3 - shown}
    b.write(lambda draft: draft.unset("k"))
    assert shows(b) == meet(a, b) == {}


def test_a_set_wins_against_an_unset() -> None:
    a, b = peers(lambda draft: draft.set("k", *number(0)))
    a.write(lambda draft: draft.unset("k"))
    b.write(lambda draft: draft.set("k", *number(1)))
    assert meet(a, b) == {"k": 1}


def test_an_add_wins_against_a_discard() -> None:
    def one(draft: Draft) -> None:
        draft.add(draft.set("s", SET), *number(1))

    a, b = peers(one)
    a.write(lambda draft: draft.discard(its(draft, "s"), *number(1)))
    b.write(lambda draft: draft.add(its(draft, "s"), TRUE))
    assert shows(a) == {"s": set()}
    assert shape(meet(a, b)) == "{'s': {True}}"
    b.write(lambda draft: draft.discard(its(draft, "s"), FLOAT, struct.pack("<d", 1.0)))
    assert meet(a, b) == {"s": set()}


def test_members_are_one_if_python_calls_them_equal() -> None:
    def many(draft: Draft) -> None:
        members = draft.set("s", SET)
        zeros = [(INT, zigzag(0)), (FALSE, b""), (FLOAT, bytes(7) + b"\x80")]
        for value in (*zeros, (STR, b"0"), (BYTES, b"0"), (NONE, b""), (FLOAT, NAN), (FLOAT, NAN)):
            draft.add(members, *value)

    (a,) = peers(many, 1)
    assert shape(shows(a)) == "{'s': {'0', -0.0, None, b'0', nan}}"
    a.write(lambda draft: draft.discard(its(draft, "s"), FLOAT, NAN))
    assert shows(a) == {"s": {0, "0", b"0", None}}


def test_a_counter_counts_exactly() -> None:
    a, b = peers(lambda draft: draft.set("n", COUNTER))
    for peer in (a, a, b):
        peer.write(lambda draft: draft.count(its(draft, "n"), 2**63 - 1))
    assert meet(a, b) == {"n": 3 * (2**63 - 1)}
    last = b.write(lambda draft: draft.count(its(draft, "n"), 1 - 2**63))
    b.undo(last)
    assert meet(a, b) == {"n": 3 * (2**63 - 1)}


def test_a_default_container_is_one() -> None:
    """For all who ask at once; whoever has seen it gone gets another."""
    a, b, c = peers(lambda draft: None, 3)
    for key, peer in zip("abc", (a, b, c), strict=True):
        peer.write(lambda draft, key=key: draft.set(key, TRUE, b"", draft.set("m", MAP + DEFAULT)))
    first = meet(a, b, c)
    assert first == {"m": {"a": True, "b": True, "c": True}}
    a.write(lambda draft: draft.unset("m"))
    b.write(lambda draft: draft.set("d", TRUE, b"", its(draft, "m")))
    assert meet(a, b, c) == {}
    for key, peer in zip("ab", (a, b), strict=True):
        peer.write(lambda draft, key=key: draft.set(key, NONE, b"", draft.set("m", MAP + DEFAULT)))
    assert meet(a, b, c) == {"m": {"a": None, "b": None}}
    c.write(lambda draft: draft.unset("m"))
    b.write(lambda draft: draft.set("m", LIST + DEFAULT))
    a.write(lambda draft: draft.set("m", MAP + DEFAULT))
    assert meet(a, b, c)["m"] in ([], {}) and len(a.replica.registers()["m"]) == 2


def test_a_default_container_in_a_default_container_is_one() -> None:
    a, b = peers(lambda draft: None)

    def ask(word: str) -> Callable[[Draft], None]:
        return lambda draft: draft.insert(draft.set("t", TEXT + DEFAULT, b"", draft.set("m", MAP + DEFAULT)), 0, word)

    a.write(ask("x"))
    b.write(ask("y"))
    assert meet(a, b)["m"]["t"] in ("xy", "yx")


def test_a_default_container_and_a_new_one_are_two() -> None:
    a, b, c = peers(lambda draft: None, 3)
    a.write(lambda draft: draft.count(draft.set("n", COUNTER + DEFAULT), 1))
    b.write(lambda draft: draft.count(draft.set("n", COUNTER), 2))
    c.write(lambda draft: draft.count(draft.set("n", COUNTER + DEFAULT), 4))
    meet(a, b, c)
    assert sorted(a.replica.registers()["n"], key=str) in ([2, 5, 5], [2, 5])


def test_nothing_is_in_what_is_not_there() -> None:
    def nested(draft: Draft) -> None:
        draft.elements_at(draft.set("l", LIST, b"", draft.set("m", MAP)), 0, (MAP, b""), (TEXT, b""))

    a, b = peers(nested)
    b.write(lambda draft: draft.insert(draft.texts()[0], 0, "deep"))
    a.write(lambda draft: draft.unset("m"))
    assert meet(a, b) == {} and a.replica.view().there() == {None}
    a.undo(a.pen.tip or b"")
    assert meet(a, b) == {"m": {"l": [{}, "deep"]}} and len(a.replica.view().there()) == 5


def test_an_element_has_one_place() -> None:
    """Kleppmann, Moving Elements in List CRDTs: two who move one element do not make it two."""
    a, b = peers(three)
    a.write(move(0, 1))
    b.write(move(0, 2))
    assert shows(a) == {"l": [1, 0, 2]} and shows(b) == {"l": [1, 2, 0]}
    assert meet(a, b) in (shows(a), shows(b)) and sorted(shows(a)["l"]) == [0, 1, 2]


def test_elements_that_swap_stay() -> None:
    """Each moves one behind the other's: no cycle, nothing lost."""
    a, b = peers(three)
    a.write(move(0, 2))
    b.write(move(2, 0))
    assert sorted(meet(a, b)["l"]) == [0, 1, 2]
    assert [a.replica.to_py()["l"].index(k) for k in (2, 0)] == sorted(a.replica.to_py()["l"].index(k) for k in (2, 0))


def test_a_moved_element_is_assigned_to_where_it_is() -> None:
    a, b = peers(three)
    a.write(move(0, 2))
    b.write(lambda draft: draft.assign(element(draft, 0), STR, b"zero"))
    assert meet(a, b) == {"l": [1, 2, "zero"]}


def test_what_is_deleted_is_not_moved_back() -> None:
    a, b = peers(three)
    gone = a.write(drop(0))
    b.write(move(0, 2))
    assert meet(a, b) == {"l": [1, 2]}
    a.undo(gone)
    assert meet(a, b) == {"l": [1, 2, 0]}


def test_what_is_inserted_at_an_old_place_stays_there() -> None:
    """Beside an element that somebody moves away at the same time."""
    a, b = peers(three)
    a.write(move(1, 2))
    b.write(lambda draft: draft.elements_at(its(draft, "l"), 2, number(9)))
    assert meet(a, b) == {"l": [0, 9, 2, 1]}


def test_a_run_that_is_moved_stays_together() -> None:
    """One by one, each behind the one before, while another types between them."""
    a, b = peers(lambda draft: draft.elements_at(draft.set("l", LIST), 0, *map(number, range(6))))

    def to_the_end(draft: Draft) -> None:
        for value in (0, 1):
            draft.move(element(draft, value), 5)

    a.write(to_the_end)
    b.write(lambda draft: draft.elements_at(its(draft, "l"), 1, number(9)))
    b.write(move(0, 3))
    assert sorted(meet(a, b)["l"]) == [0, 1, 2, 3, 4, 5, 9]


@pytest.mark.parametrize("seed", range(12))
def test_all_that_is_not_deleted_shows_once(seed: int) -> None:
    replica = deliver(*world(seed, 2, 40), random.Random(seed))
    view = replica.view()
    for holder in view.containers(LIST):
        every = {node.what for node in view.order(holder)} - view.deleted
        assert sorted(view.elements(holder)) == sorted(every)


def test_an_assignment_is_a_register() -> None:
    a, b = peers(three)
    first = a.write(lambda draft: draft.assign(element(draft, 1), STR, b"a"))
    second = b.write(lambda draft: draft.assign(element(draft, 1), STR, b"b"))
    assert meet(a, b)["l"][1] in ("a", "b")
    (items,) = a.replica.view().containers(LIST)
    assert [sorted(held) for held in a.replica.registers(items).values()] == [[0], ["a", "b"], [2]]
    a.undo(first)
    assert meet(a, b) == {"l": [0, "b", 2]}
    b.undo(second)
    assert meet(a, b) == {"l": [0, 1, 2]}


def test_an_element_without_a_value_shows_none() -> None:
    (a,) = peers(three, 1)
    a.write(lambda draft: draft.delete_item(draft.assign(element(draft, 1), NONE)))
    assert shows(a) == {"l": [0, None, 2]}
    (items,) = a.replica.view().containers(LIST)
    assert [len(held) for held in a.replica.registers(items).values()] == [1, 0, 1]
    a.write(move(2, 0))
    assert shows(a) == {"l": [2, 0, None]}
    a.write(lambda draft: draft.assign(draft.elements(items)[2], *number(1)))
    assert shows(a) == {"l": [2, 0, 1]}


def test_a_delete_beats_an_assignment() -> None:
    a, b = peers(three)
    a.write(lambda draft: draft.assign(element(draft, 1), STR, b"a"))
    gone = b.write(drop(1))
    assert meet(a, b) == {"l": [0, 2]}
    b.undo(gone)
    assert meet(a, b) == {"l": [0, "a", 2]}


def test_what_two_delete_both_must_restore() -> None:
    a, b = peers(words)
    mine = a.write(lambda draft: draft.delete(draft.texts()[0], 3, 4))
    yours = b.write(lambda draft: draft.delete(draft.texts()[0], 4, 3))
    assert meet(a, b) == {"t": "The jumped."}
    a.undo(mine)
    assert meet(a, b) == {"t": "The  jumped."}
    b.undo(yours)
    assert meet(a, b) == {"t": "The fox jumped."}
    a.write(lambda draft: draft.delete(draft.texts()[0], 3, 4))
    assert meet(a, b) == {"t": "The jumped."}


def test_two_may_restore_the_same() -> None:
    a, b = peers(words)
    gone = a.write(lambda draft: draft.delete(draft.texts()[0], 0, 4))
    meet(a, b)
    a.undo(gone)
    b.undo(gone)
    again = b.write(lambda draft: draft.delete(draft.texts()[0], 0, 4))
    assert meet(a, b) == {"t": "fox jumped."}
    a.undo(again)
    assert meet(a, b) == {"t": "The fox jumped."}


def test_undo_brings_back_what_was_replaced() -> None:
    a, b = peers(lambda draft: draft.set("k", *number(0)))
    mine = a.write(lambda draft: draft.set("k", *number(1)))
    yours = b.write(lambda draft: draft.set("k", *number(2)))
    meet(a, b)
    a.undo(mine)
    assert meet(a, b) == {"k": 2} and a.replica.registers()["k"] == [2]
    b.undo(yours)
    assert meet(a, b) == {"k": 0}
    later = b.write(lambda draft: draft.unset("k"))
    b.undo(later)
    assert meet(a, b) == {"k": 0}


def test_undo_of_what_was_replaced_since_changes_nothing() -> None:
    (a,) = peers(lambda draft: draft.set("k", *number(0)), 1)
    first = a.write(lambda draft: draft.set("k", *number(1)))
    second = a.write(lambda draft: draft.set("k", *number(2)))
    a.undo(first)
    assert shows(a) == {"k": 2}
    a.undo(second)
    assert shows(a) == {"k": 1} and a.replica.registers()["k"] == [0, 1]  # a first undo could not delete the 1


def test_undo_of_an_undo() -> None:
    """What an undo deleted can be restored, what it restored be replaced again."""
    (a,) = peers(words, 1)
    typed = a.write(lambda draft: draft.insert(draft.texts()[0], 3, " quick"))
    a.undo(a.undo(typed))
    assert shows(a) == {"t": "The quick fox jumped."}


def test_undo_of_two_that_were_replaced_side_by_side() -> None:
    """Their RESTOREs stand apart: no DELETE names them."""

    def two(draft: Draft) -> None:
        draft.set("a", TRUE)
        draft.set("b", TRUE)

    (a,) = peers(two, 1)
    undo = a.undo(a.write(lambda draft: (draft.unset("a"), draft.unset("b"))))
    assert shows(a) == {"a": True, "b": True}
    assert [op.n for op in parse_body(a.replica.changes[undo].body, 0).ops if isinstance(op, Restore)] == [1, 1]
    undo = a.undo(a.write(lambda draft: [draft.delete_item(draft.view().values(None, key)[-1].id) for key in "ba"]))
    assert shows(a) == {"a": True, "b": True}
    assert [op.n for op in parse_body(a.replica.changes[undo].body, 0).ops if isinstance(op, Restore)] == [2]


# Marks: the cases of Peritext (Litt, Lim, Kleppmann, van Hardenberg)

BOLD, ITALIC = ("bold", (TRUE, b"")), ("italic", (TRUE, b""))
NOT_BOLD = ("bold", None)


def marked(start: int, end: int, name: str, value: Tagged | None, **grows: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.mark(draft.texts()[0], start, end, name, value, **grows)


def typed(position: int, words: str) -> Callable[[Draft], None]:
    return lambda draft: draft.insert(draft.texts()[0], position, words)


def test_marks_that_overlap_cover_both() -> None:
    a, b = peers(words)
    a.write(marked(0, 7, *BOLD))
    b.write(marked(4, 15, *BOLD))
    meet(a, b)
    assert spans(a) == [("The fox jumped.", {"bold": True})]


def test_marks_of_two_names_stand_together() -> None:
    a, b = peers(words)
    a.write(marked(0, 7, *BOLD))
    b.write(marked(4, 15, *ITALIC))
    meet(a, b)
    assert spans(a) == [
        ("The ", {"bold": True}),
        ("fox", {"bold": True, "italic": True}),
        (" jumped.", {"italic": True}),
    ]


def test_one_of_two_marks_of_one_name_wins() -> None:
    a, b = peers(words)
    a.write(marked(0, 7, "color", (STR, b"red")))
    b.write(marked(4, 15, "color", (STR, b"blue")))
    meet(a, b)
    red, blue = {"color": "red"}, {"color": "blue"}
    assert spans(a) in ([("The fox", red), (" jumped.", blue)], [("The ", red), ("fox jumped.", blue)])


def test_a_mark_and_its_end_at_once() -> None:
    """Bold taken from some, while others get it: the later of the two decides where both are."""
    a, b = peers(words)
    a.write(marked(0, 15, *BOLD))
    meet(a, b)
    a.write(marked(0, 7, *NOT_BOLD))
    b.write(marked(4, 15, *BOLD))
    meet(a, b)
    assert spans(a) in (
        [("The fox", {}), (" jumped.", {"bold": True})],
        [("The ", {}), ("fox jumped.", {"bold": True})],
    )


def test_what_is_typed_inside_is_marked() -> None:
    a, b = peers(words)
    a.write(marked(0, 15, *BOLD))
    b.write(typed(4, "quick "))
    meet(a, b)
    assert spans(a) == [("The quick fox jumped.", {"bold": True})]


def test_bold_grows_and_links_do_not() -> None:
    (a,) = peers(words, 1)
    a.write(marked(4, 7, *BOLD))
    a.write(marked(4, 7, "link", (STR, b"/fox"), grows=(False, False)))
    a.write(typed(7, "es"))
    a.write(typed(4, "red "))
    both = {"bold": True, "link": "/fox"}
    assert spans(a) == [("The red ", {}), ("fox", both), ("es", {"bold": True}), (" jumped.", {})]


def test_a_mark_to_the_end_grows_there_and_one_that_grows_at_the_start_too() -> None:
    (a,) = peers(words, 1)
    a.write(marked(0, 15, *BOLD, grows=(True, True)))
    a.write(typed(15, "!"))
    a.write(typed(0, "!"))
    assert spans(a) == [("!The fox jumped.!", {"bold": True})]


def test_a_mark_stays_where_its_text_is_deleted() -> None:
    a, b = peers(words)
    a.write(marked(4, 7, *BOLD, grows=(False, False)))
    b.write(lambda draft: draft.delete(draft.texts()[0], 3, 5))
    meet(a, b)
    assert spans(a) == [("Thejumped.", {})]
    b.undo(b.pen.tip or b"")
    meet(a, b)
    assert spans(a) == [("The ", {}), ("fox", {"bold": True}), (" jumped.", {})]


def test_a_mark_can_be_undone() -> None:
    a, b = peers(words)
    mine = a.write(marked(0, 15, *BOLD))
    b.write(marked(0, 3, *BOLD))
    meet(a, b)
    undone = a.undo(mine)
    assert spans(a) == [("The", {"bold": True}), (" fox jumped.", {})]
    a.undo(undone)
    assert spans(a) == [("The fox jumped.", {"bold": True})]


# Lies


@pytest.mark.parametrize("kind", KINDS)
def test_a_lie_meets_its_verdict(kind: str) -> None:
    replica, pen = stage(3)
    before = replica.root
    told = tell(kind, pen, replica)
    report = replica.apply(told.bundle)
    met = [name for name in ("applied", "void", "waiting", "later", "omitted") if told.id in getattr(report, name)]
    met += ["refused" for id, _ in report.refused if id == told.id]
    assert met == [told.verdict], report
    if told.verdict not in (APPLIED, VOID) and not report.applied:
        assert replica.root == before
    assert told.id in (*replica.changes, *replica.waiting, *replica.later) or told.verdict in ("refused", "omitted")


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_lie_in_columns_is_malformed(kind: str) -> None:
    pen = Author(1).pen(bytes(32))
    data = lie_in_columns(kind, pen)
    if COLUMNS[kind]:
        with pytest.raises(Malformed):
            read_bundle(data)
    else:
        ((item,),) = (chain.items for chain in read_bundle(data).chains)
        body = item.body or parse_header(item.header).body_ref
        signed = pen.raw(parse_header(item.header), body)
        replica = Replica(bytes(32))
        assert replica.apply(pen.bundle(signed)).applied and replica.to_py() == {"l": [True, None]}


def test_what_is_not_in_the_causal_past_is_not_here() -> None:
    """The item is on this replica, but not behind the change that names it: void everywhere."""
    replica, pen = stage(3)
    draft = pen.draft(replica, [])
    unseen = next(id for id in replica.heads if id not in draft.naming.past and replica.changes[id].effects.made)
    draft.ops.append(Delete(InChange(unseen, 0), 1))
    item = pen.item(draft)
    assert replica.apply(pen.bundle(item)).void == [item.id]


def test_a_restore_takes_back_nothing_that_is_concurrent() -> None:
    """The delete is on this replica, but not behind the change that restores: void everywhere."""
    replica, pen = stage(3)
    other = Author(9).pen(replica.doc_id)
    draft = other.draft(replica)
    item = draft.visible(draft.texts()[0])[0]
    draft.delete_item(item)
    past = list(draft.parents)
    other.write(replica, draft)
    draft = pen.draft(replica, [id for id in past if id != pen.tip])
    draft.ops.append(Restore(other.tip or b"", draft.naming.name(item), 1))
    restore = pen.item(draft)
    assert replica.apply(pen.bundle(restore)).void == [restore.id]


def test_items_of_a_void_change_are_nobodys() -> None:
    replica, pen = stage(3)
    told = tell("the place is taken", pen, replica)
    replica.apply(told.bundle)
    pen.tip = told.id
    draft = pen.draft(replica)
    assert told.id in draft.naming.past
    draft.ops.append(Delete(InChange(told.id, 0), 1))
    bad = pen.item(draft)
    assert replica.apply(pen.bundle(bad)).void == [bad.id]
    draft = pen.draft(replica)
    draft.insert(draft.texts()[0], 0, "on top of a void change")
    pen.write(replica, draft)


def test_a_later_change_is_no_ancestor() -> None:
    replica, pen = stage(3)
    before = replica.root
    told = tell("unknown kind", pen, replica)
    replica.apply(told.bundle)
    item = follow(pen, 3, told.id)
    assert replica.apply(pen.bundle(item)).waiting == [item.id] and replica.root == before


def follow(pen: Pen, seq: int, prev: bytes | None, sign: bool = True, size: int = 2) -> Item:
    """A change of nothing, with a message that makes it long enough."""
    data = encode_body(Body(0, None if size == 2 else "m" * (size - 5)), 0)
    return pen.raw(Header(seq, prev, (), 0, len(data), header_for(seq, prev, (), 0, data).body_ref), data, sign)


@pytest.mark.parametrize(("n", "size", "applied"), [(1024, 2, 1024), (1025, 2, 0), (5, 65536, 5), (6, 65536, 0)])
def test_a_signature_covers_so_much(n: int, size: int, applied: int) -> None:
    pen = Author(5).pen(bytes(32))
    items: list[Item] = []
    for seq in range(n):
        items.append(follow(pen, seq, items[-1].id if items else None, seq == n - 1, size))
    assert all(len(item.body or bytes(2)) == size for item in items)
    assert len(Replica(bytes(32)).apply(pen.bundle(*items)).applied) == applied


def test_a_chain_of_another_author_is_not_covered() -> None:
    """Splice: the liar signs a change of his own behind the unsigned change of another."""
    replica, pen = stage(3)
    victim = Author(3).pen(replica.doc_id)
    bare = follow(victim, 0, None, sign=False)
    spliced = follow(pen, 1, bare.id)
    report = replica.apply(pen.bundle(Item(bare.lane_id, bare.header, bare.body_form), spliced))
    assert not report.applied and replica.apply(victim.bundle(bare, spliced)).applied == []


def test_proofs_hold_and_no_byte_of_them_can_change() -> None:
    choose = random.Random(0)
    for seed in range(8):
        replica = deliver(*world(seed, 2), random.Random(0))
        for entry in replica.equivocations():
            proof = read_proof(entry.proof)
            assert holds(proof) and (proof.lane_id, proof.seq, proof.key) == (entry.lane, entry.seq, entry.author)
            for _ in range(4):
                data = bytearray(entry.proof[:-8])
                data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
                with contextlib.suppress(Malformed):
                    assert not holds(read_proof(seal(bytes(data))))


# Bytes


def test_numbers() -> None:
    for value in (0, 1, 127, 128, 300, 2**32, 2**63, 2**64 - 1):
        assert Reader(varint(value)).varint() == value
    for signed in (0, -1, 1, -2, 2**63 - 1, -(2**63)):
        assert Reader(zigzag(signed)).zigzag() == signed
    assert [zigzag(v) for v in (0, -1, 1, -2)] == [b"\0", b"\1", b"\2", b"\3"]
    for bad in (b"", b"\x80", b"\x80\0", b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\1"):
        with pytest.raises(Broken):
            Reader(bad).varint()


def test_a_bundle_is_read_as_it_was_written() -> None:
    doc_id, sent = world(1, 2)
    chains = [chain for data in sent for chain in read_bundle(data, doc_id).chains]
    for codec in (0, 1):
        assert read_bundle(write_bundle(doc_id, chains, codec=codec)).chains == chains
    with pytest.raises(Malformed):
        read_bundle(sent[0], bytes(32))


def test_a_broken_bundle_changes_nothing() -> None:
    """Bytes flipped and sealed again: malformed, or nothing lands that its author did not sign."""
    choose = random.Random(0)
    doc_id, sent = world(2, 0)
    whole = deliver(doc_id, sent, choose)
    datas = [whole.export(), *(data for data, _ in column_bundles(whole))]
    for _ in range(600):
        data = bytearray(choose.choice(datas)[:-8])
        for _ in range(choose.randint(1, 3)):
            data[choose.randrange(len(data))] = choose.randrange(256)
        replica = Replica(doc_id)
        try:
            report = replica.apply(seal(bytes(data)))
        except Malformed:
            continue
        assert set(report.applied) <= set(whole.changes) and not report.void


def column_bundles(replica: Replica) -> list[tuple[bytes, Chain]]:
    """Every lane of a world without forks as one chain, in columns if it can; and what a reader must make of it."""
    lanes = sorted({change.lane for change in replica.changes.values()}, key=lambda lane: lane.id)
    index = {lane.id: k for k, lane in enumerate(lanes)}
    out = []
    for lane in lanes:
        changes = replica.of_lane(lane.id, list(replica.changes))
        outside: list[tuple[int, bytes]] = []
        columns: list[ColumnChange | None] = []
        next_item = 0
        for change in changes:
            body = parse_body(change.body, len(change.header.parents))
            if body.changes or any(isinstance(op, Mark) for op in body.ops):  # a RESTORE names a change
                columns.append(None)
                next_item += len(change.effects.made)
                continue
            numbers = []
            of = [index[replica.changes[id].lane.id] for id in change.header.parents]
            for k, id in zip(of, change.header.parents, strict=True):
                numbers.append(len(outside) << 1)
                outside.append((k, id))

            def where(ref: Ref, next: int, of: list[int] = of, own: int = index[lane.id]) -> Place:
                if isinstance(ref, Own):
                    return own, next - ref.distance
                assert not isinstance(ref, InChange)
                return (of[ref.index] if isinstance(ref, Parent) else index[ref.lane]), ref.offset

            columns.append(ColumnChange(index[lane.id], next_item, body, tuple(numbers), where))
            next_item += len(change.effects.made)
        items = [item_of(lane, change.raw, change.body, change.signature) for change in changes]
        chain = Chain(lane, items)
        start = Slice(index[lane.id], 0, None, 0)
        out.append((write_column_bundle(replica.doc_id, lanes, chain, start, outside, columns), chain))
    return out


def test_columns_are_rebuilt() -> None:
    for seed in range(8):
        replica = deliver(*world(seed, 0, 40), random.Random(seed))
        for data, chain in column_bundles(replica):
            assert read_bundle(data, replica.doc_id).chains == [chain]


def test_a_run_goes_over_many_changes() -> None:
    """Typing and erasing, one change for each key: two runs."""
    doc_id = bytes(32)
    pen = Author(1).pen(doc_id)
    replica = Replica(doc_id)
    draft = pen.draft(replica)
    text = draft.new_text("t")
    text = ItemId(pen_write(pen, replica, draft), text.number)
    for k, key in enumerate("abcd"):
        draft = pen.draft(replica)
        draft.insert(text, k, key)
        pen_write(pen, replica, draft)
    for k in (3, 2, 1):
        draft = pen.draft(replica)
        draft.delete(text, k, 1)
        pen_write(pen, replica, draft)
    items = [item_of(pen.lane, change.raw, change.body, change.signature) for change in replica.changes.values()]
    sections = {
        1: varint(1) + write_lane(pen.lane),
        2: varint(1) + b"\0\1\0\0" + write_signed(Chain(pen.lane, items)),
        3: b"\0\0\x08",
        5: b"\1\x08",
        6: b"\0\x08",
        7: b"\0\x08",
        9: b"".join(item.signature or b"" for item in items),
        11: bytes([3, 1, 2 | 1 << 3 | 1 << 7]),
        12: b"\1\4\3",
        16: zigzag(0),  # the last item typed, where `cur` stands
        17: b"\0" + zigzag(0),
        18: b"abcd",
        19: b"\1t\x14\0",
    }
    assert read_bundle(frame_bundle(doc_id, write_sections(sections))).chains == [Chain(pen.lane, items)]
    assert replica.to_py() == {"t": "a"}


def test_a_run_of_elements_goes_over_many_changes() -> None:
    """One element in each change, and one move behind them."""
    pen = Author(1).pen(bytes(32))
    replica = Replica(bytes(32))
    draft = pen.draft(replica)
    draft.set("l", LIST)
    pen_write(pen, replica, draft)
    for k in range(3):
        draft = pen.draft(replica)
        draft.elements_at(its(draft, "l"), k, number(k))
        pen_write(pen, replica, draft)
    draft = pen.draft(replica)
    draft.move(element(draft, 0), 2)
    pen_write(pen, replica, draft)
    items = [item_of(pen.lane, change.raw, change.body, change.signature) for change in replica.changes.values()]
    sections = {
        1: varint(1) + write_lane(pen.lane),
        2: varint(1) + b"\0\1\0\0" + write_signed(Chain(pen.lane, items)),
        3: b"\0\0\x05",
        5: b"\1\5",
        6: b"\0\5",
        7: b"\0\5",
        9: b"".join(item.signature or b"" for item in items),
        11: bytes([3, 5, 7 | 1 << 3]),
        12: b"\1\3\1",
        14: zigzag(0),
        17: b"\0" + zigzag(0) + b"\0" + zigzag(1 - 3),
        19: b"\1l\x11\0" + b"".join(varint(INT) + blob(zigzag(k)) for k in range(3)),
    }
    assert read_bundle(frame_bundle(bytes(32), write_sections(sections))).chains == [Chain(pen.lane, items)]
    assert replica.to_py() == {"l": [1, 2, 0]}


def pen_write(pen: Pen, replica: Replica, draft: Draft) -> bytes:
    pen.write(replica, draft)
    assert pen.tip is not None
    return pen.tip


def test_one_way_to_write_a_body() -> None:
    for seed in range(4):
        replica = deliver(*world(seed, 2), random.Random(seed))
        for change in replica.changes.values():
            if change.verdict == APPLIED:
                n_parents = len(change.header.parents)
                assert encode_body(parse_body(change.body, n_parents), n_parents) == change.body


def test_lanes_are_bound_to_their_document() -> None:
    pen = Author(1).pen(bytes(32))
    item = follow(pen, 0, None)
    other = opened(bytes([1]) * 32, pen.author.key, pen.lane.nonce)
    assert other.id != pen.lane.id
    for lane in (other, Lane(2, pen.lane.id, pen.lane.key, pen.lane.nonce)):
        data = write_bundle(bytes([1]) * 32, [Chain(lane, [item])])
        assert not Replica(bytes([1]) * 32).apply(data).applied
