"""The core and the oracle in lockstep: the same bundles to both, and nothing may differ.

SEEDS=n sets how many seeds the slow ones run (pytest -m slow).
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import crdtkv as ck
from crdtkv.patch import mirror
from oracle.author import Author, Pen
from oracle.body import COUNTER, LIST, MAP, SET, TEXT, TRUE, parse_body
from oracle.bundle import (
    OMITTED,
    Chain,
    Item,
    frame_bundle,
    read_bundle,
    read_payload,
    read_sections,
    seal,
    write_bundle,
    write_sections,
)
from oracle.effects import Value
from oracle.fugue import ItemId
from oracle.lies import KINDS, stage, tell
from oracle.model import APPLIED, VOID, Replica
from oracle.proof import holds, read_proof
from oracle.test_oracle import column_bundles, deliver, follow, world
from oracle.view import View, shape
from oracle.wire import Broken, Header, Malformed, Reader, Refused, parse_header

SEEDS = int(os.environ.get("SEEDS", "400"))
FEW = range(30)
MANY = range(1000, 1000 + SEEDS)


# What must be equal


def content(of: Replica | ck.Doc) -> str:
    """As text: there 1, 1.0 and True differ, -0.0 from 0.0 too, and NaN is NaN."""
    return shape(of.to_py())


def mark(doc: ck.Doc) -> object:
    """All that a refused bundle must leave as it is."""
    return doc.root, doc.heads, content(doc), doc.waiting, doc.missing, doc.equivocations(), doc.stats()["later"]


def deep(view: View, of: ck.Doc | ck.View) -> None:
    """Each register with all that it holds, each Text with its formats."""
    todo: list[tuple[ItemId | None, Any]] = [(None, of)]
    for container, handle in todo:
        tag = MAP if container is None else view.effects.containers[container].tag
        assert type(handle) in (HANDLES[tag], ck.Doc, ck.View)
        if tag == TEXT:
            assert container is not None
            spans = [(words, dict(sorted(format.items()))) for words, format in handle.spans()]
            assert repr(spans) == repr(view.spans(container))
            assert str(handle) == view.text(container)
        if tag not in (MAP, LIST):
            assert shape(handle.to_py()) == shape(view.to_py(container))
            continue
        registers = view.registers(container)
        assert len(handle) == len(registers)
        if tag == MAP:
            assert list(handle) == list(registers)
        for at, held in enumerate(registers.values()) if tag == LIST else registers.items():
            once: dict[ItemId, Value] = {}
            for value in reversed(held):
                once.setdefault(value.container or value.id, value)  # a container that many made is one
            theirs = {f"{value.id.change.hex()}:{value.id.number}": value for value in once.values()}
            ours = handle.conflicts(at)
            shown = handle[at]
            if not held or not held[-1].container:
                assert shape(shown) == (shape(view.plain(held[-1])) if held else "None")
            elif type(of) is ck.Doc:
                assert shown._container == next(iter(ours.values()))._container
            assert list(ours) == list(theirs)
            for op, value in theirs.items():
                if value.container:
                    todo.append((value.container, ours[op]))
                else:
                    assert shape(ours[op]) == shape(view.plain(value))


HANDLES = {MAP: ck.Map, LIST: ck.List, SET: ck.Set, COUNTER: ck.Counter, TEXT: ck.Text}


def sorted_keys(plain: Any) -> Any:
    """A mirror does not keep keys in order."""
    if isinstance(plain, dict):
        return {key: sorted_keys(plain[key]) for key in sorted(plain, key=str.encode)}
    return [sorted_keys(inner) for inner in plain] if isinstance(plain, list) else plain


def same_diff(doc: ck.Doc, a: list[bytes], b: list[bytes]) -> None:
    """What it tells turns one version into the other, formats too."""
    old, new, patches = doc.at(a), doc.at(b), doc.diff(a, b)
    assert shape(sorted_keys(mirror(old.to_py(), patches))) == shape(new.to_py())
    if [new.to_py()] == [old.to_py()] and not patches:
        return
    follow_letters(old, new, patches)


class Letters:
    """A Text: characters with their formats."""

    def __init__(self, spans: Iterable[tuple[str, dict[str, Any]]]) -> None:
        self.chars = [(char, dict(format)) for words, format in spans for char in words]

    def __str__(self) -> str:
        return "".join(char for char, _ in self.chars)

    def follow(self, patch: ck.Patch) -> None:
        at: Any = patch.position
        if patch.kind == "insert":
            self.chars[at:at] = [(char, {}) for char in patch.new]
        elif patch.kind == "remove":
            assert str(self)[at : at + len(patch.old)] == patch.old
            del self.chars[at : at + len(patch.old)]
        else:
            for _, format in self.chars[at[0] : at[1]]:
                for name in {*patch.old, *patch.new}:
                    assert shape(format.pop(name, ())) == shape(patch.old.get(name, ()))
                format.update(patch.new)


def lettered(handle: Any) -> Any:
    """Everything below a handle, with the formats of texts."""
    if isinstance(handle, ck.Doc | ck.View | ck.Map):
        return {key: lettered(handle[key]) for key in handle}
    if isinstance(handle, ck.List):
        return [lettered(inner) for inner in handle]
    if isinstance(handle, ck.Text):
        return Letters(handle.spans())
    return handle.to_py() if isinstance(handle, ck.Set | ck.Counter) else handle


def follow_letters(old: ck.View, new: ck.View, patches: Iterable[ck.Patch]) -> None:
    content = lettered(old)
    for patch in patches:
        holder = content
        for step in patch.path:
            holder = holder[step]
        if isinstance(holder, Letters):
            holder.follow(patch)
        elif patch.kind != "mark":  # in a new text, which is a str here
            content = mirror(content, [patch])
    alike(content, lettered(new))


def alike(mine: Any, theirs: Any) -> None:
    if isinstance(theirs, Letters):
        if isinstance(mine, Letters):
            assert str(mine) == str(theirs)
            formats = [[shape(sorted_keys(format)) for _, format in text.chars] for text in (mine, theirs)]
            assert formats[0] == formats[1]
        else:
            assert mine == str(theirs)
    elif isinstance(theirs, dict):
        assert set(mine) == set(theirs)
        for key in theirs:
            alike(mine[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            alike(a, b)
    else:
        assert shape(mine) == shape(theirs)


def same_version(replica: Replica, doc: ck.Doc) -> None:
    assert doc.root == replica.root
    assert doc.heads == replica.heads


def same(replica: Replica, doc: ck.Doc) -> None:
    same_version(replica, doc)
    assert content(doc) == content(replica)
    deep(replica.view(), doc)
    changes = doc.changes()
    assert {change.id for change in changes} == set(replica.changes) and len(changes) == len(replica.changes)
    before: set[bytes] = set()
    for change in changes:
        twin = replica.changes[change.id]
        header = twin.header
        assert before.issuperset(twin.ancestors)
        before.add(change.id)
        assert (change.void is not None) == (twin.verdict == VOID), (change.void, twin.reason)
        assert (change.author, change.lane, change.seq) == (twin.lane.key, twin.lane.id, header.seq)
        assert (change.prev, change.parents, change.n_ops) == (header.prev, header.parents, header.n_ops)
        if twin.verdict == APPLIED:
            body = parse_body(twin.body, len(header.parents))
            assert (change.time, change.message) == (body.time, body.message)
    assert doc.waiting == tuple(sorted(replica.waiting))
    assert doc.missing == replica.missing
    assert doc.stats()["later"] == len(replica.later)
    ours, theirs = doc.equivocations(), replica.equivocations()
    assert [(e.author, e.lane, e.seq, e.a, e.b) for e in ours] == [(e.author, e.lane, e.seq, e.a, e.b) for e in theirs]
    for mine, twin_proof in zip(ours, theirs, strict=True):
        proof = read_proof(mine.proof)
        assert holds(proof) and (proof.lane_id, proof.key, proof.seq) == (mine.lane, mine.author, mine.seq)
        assert ck.verify_equivocation(twin_proof.proof) == ck.verify_equivocation(mine.proof) == mine.author


def written_alike(replica: Replica, data: bytes) -> None:
    """Every change in the bundle has the header and the body that its author gave it."""
    for chain in read_bundle(data, replica.doc_id).chains:
        for item in chain.items:
            if item.body_form == OMITTED and item.id not in replica.changes:
                continue  # it only leads to a signature
            twin = replica.changes[item.id]
            assert (item.header, chain.lane.key) == (twin.raw, twin.lane.key)
            assert item.body is None or item.body == twin.body


def same_exports(replica: Replica, doc: ck.Doc, choose: random.Random) -> None:
    """What one of them writes, both read; whole, since, until and forked."""
    data = doc.export()
    assert data == doc.export() == doc.save()
    written_alike(replica, data)
    for bundle in (data, replica.export(codec=choose.randrange(2))):
        reader, new = Replica(replica.doc_id), ck.Doc(id=doc.id)
        reader.apply(bundle)
        new.apply(bundle)
        for version in (reader, new):
            assert version.root == replica.root and content(version) == content(replica)
    ids = [change.id for change in doc.changes()]
    heads = choose.sample(ids, choose.randint(0, min(3, len(ids))))
    part, rest = doc.export((), heads), doc.export([*heads, choose.randbytes(32)])
    written_alike(replica, part)
    written_alike(replica, rest)
    reader = Replica(replica.doc_id)
    reader.apply(part)
    assert set(reader.changes) == replica.past_of(heads)
    fork = doc.fork(heads=heads)
    same_version(reader, fork)
    assert shape(doc.at(heads).to_py()) == content(fork) == content(reader)
    deep(reader.view(), doc.at(heads))
    deep(reader.view(), fork)
    for versions in (heads, list(doc.heads)), (list(doc.heads), heads), (heads, choose.sample(ids, min(2, len(ids)))):
        same_diff(doc, *versions)
    reader.apply(rest)
    assert reader.root == replica.root
    fork.apply(rest)
    assert fork.root == replica.root and content(fork) == content(replica)


# Worlds of the oracle


def follow_world(seed: int, steps: int) -> None:
    doc_id, sent = world(seed, seed % 3, steps)
    choose = random.Random(seed)
    order = [*sent, *choose.choices(sent, k=len(sent) // 2)]
    choose.shuffle(order)
    replica, doc = Replica(doc_id), ck.Doc(id=doc_id)
    told: list[ck.Event] = []
    doc.observe(told.append)
    for data in [*order, *sent]:
        theirs, ours = replica.apply(data), doc.apply(data)
        same_version(replica, doc)
        assert set(ours.applied) == set(theirs.applied) and len(ours.applied) == len(theirs.applied)
        assert set(ours.void) == set(theirs.void) and len(ours.void) == len(theirs.void)
        assert set(ours.waiting) == {*theirs.waiting, *theirs.later}
        assert {refusal.id for refusal in ours.refused} == {id for id, _ in theirs.refused}
    same(replica, doc)
    patches = [patch for event in told for patch in event.patches]
    assert shape(sorted_keys(mirror({}, patches))) == content(replica)
    same_exports(replica, doc, choose)
    same(replica, ck.Doc.load(doc.save()))


def test_an_element_without_a_value_reads_as_none() -> None:
    replica, pen = Replica(bytes(32)), Author(1).pen(bytes(32))
    draft = pen.draft(replica)
    items = draft.set("l", LIST)
    first, *_ = draft.elements_at(items, 0, (TRUE, b""), (TRUE, b""))
    draft.delete_item(draft.assign(first, TRUE))
    pen.write(replica, draft)
    doc = ck.Doc(id=bytes(32))
    doc.apply(replica.export())
    same(replica, doc)
    assert doc["l"][0] is None and doc["l"][:] == [None, True] and list(doc["l"]) == [None, True]
    doc["l"].move(0, 1)
    doc["l"][1] = 5
    replica.apply(doc.export())
    same(replica, doc)


@pytest.mark.parametrize("seed", FEW)
def test_every_bundle_does_the_same_to_both(seed: int) -> None:
    follow_world(seed, 14)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_every_bundle_of_many_worlds_does_the_same_to_both(seed: int) -> None:
    follow_world(seed, 10 + seed % 40)


# Lies


def staged(seed: int) -> tuple[Replica, Pen, ck.Doc]:
    replica, pen = stage(seed)
    doc = ck.Doc(id=replica.doc_id)
    doc.apply(replica.export())
    same(replica, doc)
    return replica, pen, doc


def verdict(doc: ck.Doc, report: ck.Report, id: bytes, later_before: int) -> str:
    met = [name for name in ("applied", "void", "waiting") if id in getattr(report, name)]
    met += ["refused" for refusal in report.refused if refusal.id == id]
    if doc.stats()["later"] > later_before:
        assert id not in doc.waiting
        return "later"
    assert len(met) < 2, met
    return met[0] if met else "omitted"


@pytest.mark.parametrize("kind", KINDS)
def test_a_lie_meets_one_verdict(kind: str) -> None:
    replica, pen, doc = staged(3)
    told = tell(kind, pen, replica)
    before, later = mark(doc), doc.stats()["later"]
    report = doc.apply(told.bundle)
    assert verdict(doc, report, told.id, later) == told.verdict, (report, report.refused)
    if told.verdict in ("refused", "omitted") and not report.applied:
        assert mark(doc) == before
    replica.apply(told.bundle)
    same(replica, doc)
    again = doc.apply(told.bundle)
    assert not again and not again.waiting
    same(replica, doc)


def test_a_change_that_comes_along_and_is_released_is_applied_once() -> None:
    """The tail waits; then it comes again behind what it waited for, which releases it."""
    pen = Author(1).pen(bytes(32))
    first = follow(pen, 0, None)
    second = follow(pen, 1, first.id)
    replica, doc = Replica(bytes(32)), ck.Doc(id=bytes(32))
    for bundle in (pen.bundle(second), pen.bundle(first, second)):
        replica.apply(bundle)
        report = doc.apply(bundle)
    assert sorted(report.applied) == sorted([first.id, second.id])
    same(replica, doc)


def test_a_change_that_stands_twice_in_a_bundle_is_applied_once() -> None:
    pen = Author(1).pen(bytes(32))
    first = follow(pen, 0, None)
    second = follow(pen, 1, first.id)
    chains = [Chain(pen.lane, [first, second]), Chain(pen.lane, [first]), Chain(pen.lane, [second])]
    bundle = write_bundle(bytes(32), chains)
    replica, doc = Replica(bytes(32)), ck.Doc(id=bytes(32))
    replica.apply(bundle)
    assert sorted(doc.apply(bundle).applied) == sorted([first.id, second.id])
    same(replica, doc)


def test_a_signature_on_no_header_covers_nothing() -> None:
    pen = Author(1).pen(bytes(32))
    bare = follow(pen, 0, None, sign=False)
    bundle = pen.bundle(bare, pen.raw(b"\1\1\0 no header", b""))
    replica, doc = Replica(bytes(32)), ck.Doc(id=bytes(32))
    assert not replica.apply(bundle).applied
    assert not doc.apply(bundle).applied
    same(replica, doc)


def test_nothing_follows_the_last_seq() -> None:
    """A chain does not go on at 0 behind the greatest seq that fits four bytes."""
    pen = Author(1).pen(bytes(32))
    last = follow(pen, 2**32 - 1, bytes(32))
    bundle = pen.bundle(last, follow(pen, 0, None))
    replica, doc = Replica(bytes(32)), ck.Doc(id=bytes(32))
    assert len(replica.apply(bundle).refused) == len(doc.apply(bundle).refused) == 2
    same(replica, doc)


def test_what_a_header_covers_can_be_passed_on() -> None:
    """Five changes under one signature; a fork of the first three goes on to somebody else."""
    author = ck.Doc(id=bytes(32))
    for k in range(5):
        author[str(k)] = k
        author.commit()
    reader = ck.Doc(id=bytes(32))
    reader.apply(author.export())
    fork = reader.fork(heads=[reader.changes()[2].id])
    assert len(fork.changes()) == 3
    assert ck.Doc.load(fork.save()) == fork


@pytest.mark.parametrize("omitted", [False, True])
def test_what_a_waiting_change_covers_can_be_passed_on(omitted: bool) -> None:
    pen = Author(1).pen(bytes(32))
    bare = follow(pen, 0, None, sign=False)
    data = b"\0\0"
    tail = pen.raw(Header(1, bare.id, (bytes(32),), 0, 2, data), data)
    if omitted:
        tail = Item(tail.lane_id, tail.header, OMITTED, None, tail.signature)
    doc = ck.Doc(id=bytes(32))
    assert doc.apply(pen.bundle(bare, tail)).applied == (bare.id,)
    assert ck.Doc.load(doc.save()).root == doc.root


def test_deletes_keep_their_order_whatever_came_first() -> None:
    """One change deletes own characters, then one of another lane; their numbers hang on what came first."""
    a = ck.Doc(id=bytes(32))
    a["t"] = ck.Text()
    begin = a.export()
    b = ck.Doc(id=a.id)
    b.apply(begin)
    a["t"].insert(0, "x")
    b["t"].insert(0, "pq")
    theirs, ours = a.export(), b.export()
    b.apply(theirs)
    shown = str(b["t"])
    with b.change():
        b["t"].delete(shown.index("p"), 2)
        b["t"].delete(str(b["t"]).index("x"))
    both = b.export()
    for order in [theirs, ours, both], [begin, ours, theirs, both]:
        replica, doc = Replica(a.id), ck.Doc(id=a.id)
        for data in order:
            replica.apply(data)
            doc.apply(data)
        same(replica, doc)
        same_exports(replica, doc, random.Random(0))


def test_one_change_deletes_in_two_texts() -> None:
    """The two characters are neighbours in the lane."""
    doc = ck.Doc(id=bytes(32))
    doc["t"], doc["u"] = ck.Text(), ck.Text()
    doc["t"].insert(0, "a")
    doc["u"].insert(0, "b")
    doc.commit()
    with doc.change():
        doc["t"].delete(0)
        doc["u"].delete(0)
    replica, reader = Replica(doc.id), ck.Doc(id=doc.id)
    replica.apply(doc.export())
    assert not reader.apply(doc.export()).void
    assert reader == doc
    same(replica, reader)


@pytest.mark.parametrize("seed", [1157, 1175])
def test_a_past_is_whole_where_segments_keep_no_entries(seed: int) -> None:
    follow_world(seed, 10 + seed % 40)


# Local edits

WORDS = ("a", "bc", "def", "é", "日本", "🙂", "x y", "")


def edit(doc: ck.Doc, choose: random.Random) -> None:
    """Something, somewhere; or a block that fails, which must leave no trace."""
    if choose.random() < 0.05:
        with contextlib.suppress(ZeroDivisionError), doc.change():
            edit_in_block(doc, choose)
            edit_in_block(doc, choose)
            raise ZeroDivisionError
    else:
        edit_at(place(doc, choose), doc, choose)


def place(doc: ck.Doc, choose: random.Random) -> Any:
    """The document or a container in it."""
    at: Any = doc
    while isinstance(at, ck.Doc | ck.Map | ck.List):
        inner = [value for value in (at if isinstance(at, ck.List) else at.values()) if isinstance(value, ck_handles)]
        if not inner or choose.random() < 0.25:
            break
        at = choose.choice(inner)
    return at


ck_handles = tuple(HANDLES.values())


def edit_at(at: Any, doc: ck.Doc, choose: random.Random) -> None:
    if isinstance(at, ck.Doc | ck.Map):
        edit_map(at, choose)
    elif isinstance(at, ck.List):
        edit_list(at, choose)
    elif isinstance(at, ck.Set):
        edit_set(at, choose)
    elif isinstance(at, ck.Counter):
        at.increment(choose.choice([0, 1, -5, 2**63 - 1, -(2**63)]))
    else:
        what = choose.choice(["insert", "insert", "type", "delete", "erase", "update", "mark", "mark", "unmark"])
        edit_text(at, what, doc, choose)


def scalar(choose: random.Random) -> Any:
    return choose.choice([None, True, False, 0, 1, -(2**63), 1.0, -0.0, float("nan"), 2.0**53, 2**53 + 1, "str", b"by"])


def value(choose: random.Random, depth: int = 0) -> Any:
    """A scalar, or a container with something in it."""
    what = choose.choice(["scalar", "scalar", "text", "list", "map", "set", "counter"])
    if what == "scalar" or depth > 1:
        return scalar(choose)
    if what == "text":
        return ck.Text(choose.choice(WORDS))
    if what == "counter":
        return ck.Counter(choose.choice([0, 3, -(2**63)]))
    n = choose.randrange(3)
    if what == "set":
        return {scalar(choose) for _ in range(n)}
    if what == "map":
        return {key: value(choose, depth + 1) for key in "xyz"[:n]}
    return [value(choose, depth + 1) for _ in range(n)]


def edit_map(at: Any, choose: random.Random) -> None:
    key, what = choose.choice("kltu"), choose.random()
    if what < 0.2:
        at.pop(key, None)
    elif what < 0.5:
        at.setdefault(key, value(choose))
    elif what < 0.55:
        at.clear()
    else:
        at[key] = value(choose)


def edit_list(at: ck.List, choose: random.Random) -> None:
    i, what = choose.randrange(len(at) + 1), choose.random()
    if what < 0.35 or not at:
        at[i:i] = [value(choose) for _ in range(choose.randint(1, 2))]
    elif what < 0.5:
        del at[i : i + choose.randrange(3)]
    elif what < 0.75:
        at.move(choose.randrange(len(at)), choose.randrange(len(at)))
    elif what < 0.9:
        at[choose.randrange(len(at))] = value(choose)
    elif what < 0.95:
        at.reverse()
    else:
        at.sort(key=repr)


def edit_set(at: ck.Set, choose: random.Random) -> None:
    (at.add if choose.random() < 0.7 else at.discard)(scalar(choose))


def edit_text(text: ck.Text, what: str, doc: ck.Doc, choose: random.Random) -> None:
    at = choose.randint(0, len(text))
    if what == "insert":
        text.insert(at, choose.choice(WORDS))
    elif what == "type":  # a change for each key
        for k, key in enumerate("typing"[: choose.randint(1, 6)]):
            text.insert(at + k, key)
            if choose.random() < 0.7:
                doc.commit()
    elif what == "delete":
        text.delete(at, choose.randint(0, min(4, len(text) - at)))
    elif what == "erase":
        while at and choose.random() < 0.8:
            at -= 1
            text.delete(at)
            if choose.random() < 0.7:
                doc.commit()
    elif what in ("mark", "unmark"):
        end, name = choose.randint(at, min(len(text), at + 5)), choose.choice(["bold", "link"])
        if at == end:
            return
        if what == "unmark":
            text.unmark(at, end, name)
        else:
            text.mark(at, end, name, scalar(choose), expand=choose.choice(["after", "before", "both", "none"]))
    else:
        shown = str(text)
        text.update(shown[at:] + choose.choice(WORDS) + shown[: at // 2])


def mingle(seed: int, steps: int, sent: list[bytes]) -> None:
    """Documents edit, fork, merge and exchange parts in bad orders; the oracle reads all that was sent."""
    choose = random.Random(seed)
    doc_id = choose.randbytes(32)
    people = [ck.Identity.from_seed(choose.randbytes(32)) for _ in range(3)]

    def clock() -> int:
        return choose.randint(-9, 9)

    docs = [ck.Doc(who, id=doc_id, clock=clock) for who in people]
    stacks = [doc.undo_stack() for doc in docs]
    strangers = [Author(choose.getrandbits(64)).pen(doc_id) for _ in range(2)]  # who write through the oracle
    whats = ["edit"] * 6 + ["undo", "block", "send", "send", "deliver", "deliver", "merge", "fork", "load", "stranger"]
    for _ in range(steps):
        k = choose.randrange(len(docs))
        doc = docs[k]
        what = choose.choice(whats)
        if what == "undo":
            for _ in range(choose.randint(1, 3)):
                stacks[k].undo() if choose.random() < 0.6 else stacks[k].redo()
        elif what == "stranger":
            pen, reader = choose.choice(strangers), Replica(doc_id)
            reader.apply(doc.export())
            if pen.tip is None or pen.tip in reader.changes:
                draft = pen.draft(reader)
                pen.author.edit(draft)
                sent.append(pen.write(reader, draft))
                doc.apply(sent[-1])
        elif what == "edit":
            edit(doc, choose)
            if choose.random() < 0.5:
                doc.commit(choose.choice([None, "", "why"]))
        elif what == "block":
            with doc.change("block"):
                for _ in range(choose.randint(1, 6)):
                    edit_in_block(doc, choose)
        elif what == "send":
            since = choose.choice(docs).heads if choose.random() < 0.7 else ()
            sent.append(doc.export(since))
        elif what == "deliver":
            for data in choose.choices(sent, k=3) if sent else []:
                report = doc.apply(data)
                assert not report.refused and not report.void
        elif what == "merge":
            other = choose.choice(docs)
            report = doc.merge(other)
            assert not report.refused and not report.void
        elif what == "fork" and len(docs) < 6:
            docs.append(doc.fork(choose.choice(people)))
            stacks.append(docs[-1].undo_stack())
        elif what == "load":
            before = doc.root, content(doc), doc.waiting
            docs[k] = ck.Doc.load(doc.save(), doc.identity, clock=clock)
            stacks[k] = docs[k].undo_stack()
            assert (docs[k].root, content(docs[k])) == before[:2]
    sent += [doc.export() for doc in docs]
    replica, observer = Replica(doc_id), ck.Doc(id=doc_id)
    order = [*sent, *choose.choices(sent, k=len(sent) // 3)]
    choose.shuffle(order)
    for data in order:
        theirs, ours = replica.apply(data), observer.apply(data)
        assert not theirs.refused and not theirs.void and not theirs.later and not ours.refused
        same_version(replica, observer)
    same(replica, observer)
    assert not replica.waiting and not replica.equivocations()
    same_exports(replica, observer, choose)
    for doc in docs:
        for data in choose.sample(sent, len(sent)):
            doc.apply(data)
        same(replica, doc)
        same(replica, ck.Doc.load(doc.save()))


def edit_in_block(doc: ck.Doc, choose: random.Random) -> None:
    found = place(doc, choose)
    if isinstance(found, ck.Text):
        at = choose.randint(0, len(found))
        found.splice(at, choose.randint(0, min(3, len(found) - at)), choose.choice(WORDS))
    else:
        edit_at(found, doc, choose)


def keeping(seed: int, steps: int, where: Path) -> None:
    """Nonces are drawn anew each time, so a failure keeps the bundles themselves."""
    sent: list[bytes] = []
    try:
        mingle(seed, steps, sent)
    except BaseException as error:
        for k, data in enumerate(sent):
            (where / f"{k:03}.ckb").write_bytes(data)
        error.add_note(f"seed {seed}; the bundles are in {where}")
        raise


@pytest.mark.parametrize("seed", range(20))
def test_local_edits_are_what_the_oracle_reads(seed: int, tmp_path: Path) -> None:
    keeping(seed, 40, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_many_local_edits_are_what_the_oracle_reads(seed: int, tmp_path: Path) -> None:
    keeping(seed, 20 + seed % 100, tmp_path)


# Damage


def small(seed: int) -> tuple[Replica, list[Pen], list[bytes]]:
    """A small document, its authors, and bundles of it in every form."""
    doc_id, sent = world(seed, seed % 2, 7)
    choose = random.Random(seed)
    choose.randbytes(32)
    pens = [Author(choose.getrandbits(64)).pen(doc_id) for _ in range(3 + seed % 2)]
    whole = deliver(doc_id, sent, choose)
    doc = ck.Doc(id=doc_id)
    doc.apply(whole.export())
    datas = [whole.export(), doc.export()]
    if not whole.equivocations() and all(change.verdict == APPLIED for change in whole.changes.values()):
        datas += [data for data, _ in column_bundles(whole)]
    return whole, pens, datas


def test_a_cut_or_flipped_bundle_is_none() -> None:
    whole, _, datas = small(2)
    doc = ck.Doc(id=whole.doc_id)
    doc.apply(datas[0])
    before = mark(doc)
    for data in datas[:2]:
        for end in range(len(data)):
            with pytest.raises(ck.DecodeError):
                doc.apply(data[:end])
        with pytest.raises(ck.DecodeError):
            doc.apply(data + b"\0")
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 1 << at % 8
            with pytest.raises(ck.DecodeError):
                doc.apply(bytes(flipped))
    assert mark(doc) == before


def payload_of(data: bytes) -> bytes:
    """Of a bundle without founder."""
    reader = Reader(data[37:-8])
    codec, raw_len = reader.u8(), reader.varint()
    packed = reader.data[reader.at :]
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=raw_len) if codec else packed


def damage(data: bytes, choose: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(min(len(data), choose.randint(1, 2))):
        at = choose.randrange(len(out))
        what = choose.randrange(5)
        if what == 0:
            out[at] ^= 1 << choose.randrange(8)
        elif what == 1:
            out[at] = choose.choice([0, 1, 2, 3, 4, 127, 128, 255, choose.randrange(256)])
        elif what == 2:
            del out[at]
        elif what == 3:
            out.insert(at, choose.randrange(256))
        else:
            out[at] = (out[at] + choose.choice([1, 255])) & 255
    return bytes(out)


def damaged_sections(payload: bytes, choose: random.Random) -> bytes:
    """The same inside one section, its length set right."""
    sections = read_sections(payload)
    tag = choose.choice(sorted(sections))
    sections[tag] = damage(sections[tag], choose)
    return write_sections(sections)


def signed_again(doc_id: bytes, payload: bytes, pens: Iterable[Pen]) -> bytes:
    """What the authors would sign if they had written this: every signature made anew."""
    sections = read_sections(payload)
    signers = {pen.lane.id: pen for pen in pens}
    out = b""
    for chain in read_payload(doc_id, sections, len(payload)):
        for item in chain.items:
            if item.signature is None:
                continue
            signature, pen = item.signature, signers.get(chain.lane.id)
            with contextlib.suppress(Refused):
                signature = pen.sign(item.header, parse_header(item.header).seq) if pen else signature
            out += signature
    if out:
        sections[9] = out
    return write_sections(sections)


def same_fate(whole: Replica, data: bytes, base: bytes | None) -> tuple[str, Any]:
    """Both take it to a document (empty, or one with `base` in it), and come to the same state."""
    replica, doc = Replica(whole.doc_id), ck.Doc(id=whole.doc_id)
    if base is not None:
        replica.apply(base)
        doc.apply(base)
    before = mark(doc)
    report: Any = None
    packed = False
    try:
        report = replica.apply(data)
    except Malformed as error:
        packed = isinstance(error.__cause__, zstandard.ZstdError)
    try:
        doc.apply(data)
    except ck.DecodeError as error:
        assert mark(doc) == before
        assert report is None, f"only the core finds it malformed: {error}"
        return "malformed", None
    if packed:  # versions of Zstandard differ in how closely they look
        return "unpacked", None
    assert report is not None, "only the oracle finds it malformed"
    same(replica, doc)
    return "read", report


def harm(seed: int, n: int) -> None:
    choose = random.Random(seed)
    whole, pens, datas = small(seed)
    bases = [None, datas[0], whole.export(list(whole.changes)[: len(whole.changes) // 2])]
    for k in range(n):
        data = choose.choice(datas)
        if k % 3 == 0:  # anywhere in the file
            data = seal(damage(data[:-8], choose))
        else:
            payload = damaged_sections(payload_of(data), choose)
            if k % 3 == 1:
                with contextlib.suppress(Malformed, Broken, UnicodeDecodeError, OverflowError):
                    payload = signed_again(whole.doc_id, payload, pens)
            data = frame_bundle(whole.doc_id, payload)
        try:
            fate, report = same_fate(whole, data, choose.choice(bases))
        except BaseException as error:
            error.add_note(f"seed {seed}, number {k}: {data.hex()}")
            raise
        if k % 3 != 1 and fate == "read":
            assert set(report.applied) | set(report.void) <= set(whole.changes)  # nothing that nobody signed


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_bundle_that_is_sealed_again(seed: int) -> None:
    harm(seed, 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_many_damaged_bundles_that_are_sealed_again(seed: int) -> None:
    harm(seed, 600)
