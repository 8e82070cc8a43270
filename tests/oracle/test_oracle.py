"""The oracle against itself: the set alone decides, the order is the paper's, every lie meets its verdict."""

from __future__ import annotations

import contextlib
import random

import pytest

from .author import Author, Draft, Pen
from .body import Body, Delete, InChange, InLane, Own, Parent, Ref, encode_body, parse_body
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
from .fugue import Char, ItemId, order
from .lies import KINDS, stage, tell
from .model import APPLIED, VOID, Replica
from .proof import holds, read_proof
from .wire import Broken, Header, Malformed, Reader, header_for, varint, zigzag

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
        [(text, replica.text(text)) for text in replica.texts()],
        replica.to_py(),
        replica.equivocations(),
    )


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
    verdicts, forks, by_change, by_lane = set(), 0, 0, 0
    for seed in range(12):
        replica = deliver(*world(seed, 2), random.Random(0))
        verdicts |= {change.verdict for change in replica.changes.values()}
        forks += len(replica.equivocations())
        for change in replica.changes.values():
            if change.verdict == APPLIED:
                refs = parse_body(change.body, len(change.header.parents)).refs()
                by_change += sum(isinstance(ref, InChange) for ref in refs)
                by_lane += sum(isinstance(ref, InLane) for ref in refs)
    assert verdicts == {APPLIED, VOID} and forks and by_change and by_lane


def test_an_export_is_the_same_set() -> None:
    for seed in range(6):
        doc_id, sent = world(seed, 2)
        replica = deliver(doc_id, sent, random.Random(0))
        other = Replica(doc_id)
        other.apply(replica.export(codec=seed % 2))
        missing = [replica.changes[id] for id in set(replica.changes) - set(other.changes)]
        assert not missing, [(change.header.seq, change.signature) for change in missing]
        assert other.root == replica.root and other.to_py() == replica.to_py()


# The order of a text


def scan(out: list[Char], new: Char) -> int:
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
    everything = replica.everything()
    for text in replica.texts():
        chars = [char for char in everything.chars.values() if char.text == text]
        out: list[Char] = []
        for char in chars:  # in the order of arrival
            out.insert(scan(out, char), char)
        assert out == order(chars)


def test_runs_do_not_interleave() -> None:
    replica, _ = stage(1)
    text = replica.to_py()["t"]
    assert isinstance(text, str) and "xyz" in text and text.count("pq") == 2 and "f" not in text


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


def test_what_is_not_in_the_causal_past_is_not_here() -> None:
    """The item is on this replica, but not behind the change that names it: void everywhere."""
    replica, pen = stage(3)
    draft = pen.draft(replica, [])
    unseen = next(id for id in replica.heads if id not in draft.naming.past and replica.changes[id].effects.made)
    draft.ops.append(Delete(InChange(unseen, 0), 1))
    item = pen.item(draft)
    assert replica.apply(pen.bundle(item)).void == [item.id]


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
    """Every lane that did not fork, as one chain in columns; and what a reader must make of it."""
    lanes = sorted({change.lane for change in replica.changes.values()}, key=lambda lane: lane.id)
    index = {lane.id: k for k, lane in enumerate(lanes)}
    out = []
    for lane in lanes:
        changes = replica.of_lane(lane.id, list(replica.changes))
        outside: list[tuple[int, bytes]] = []
        columns = []
        next_item = 0
        for change in changes:
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

            body = parse_body(change.body, len(of))
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
