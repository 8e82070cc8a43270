"""Writes the golden bundles that are not there yet, and expected.txt for all of them. Bundles are never written again.

    .venv/bin/python tests/golden/make.py

The oracle invents the stories and says what they mean; the C core writes those that travel in columns.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv  # noqa: E402
from oracle.author import Author, Pen  # noqa: E402
from oracle.body import (  # noqa: E402
    BYTES,
    COUNTER,
    DEFAULT,
    DEFAULTS,
    FALSE,
    FLOAT,
    INT,
    LIST,
    MAP,
    NEW,
    NONE,
    SET,
    STR,
    TEXT,
    TRUE,
    Op,
    parse_body,
)
from oracle.body import KINDS as OPS  # noqa: E402
from oracle.fugue import ItemId  # noqa: E402
from oracle.graph import Change  # noqa: E402
from oracle.lies import stage, tell  # noqa: E402
from oracle.model import APPLIED, Replica  # noqa: E402
from oracle.view import View  # noqa: E402
from oracle.wire import blob, digest, varint, zigzag  # noqa: E402

HERE = Path(__file__).resolve().parent
DOC_ID = b"\x2a" * 32


def columns(replica: Replica) -> bytes:
    doc = crdtkv.Doc(crdtkv.Identity.from_seed(bytes(32)), id=DOC_ID)
    doc.apply(replica.export())
    return doc.export()


def typing() -> bytes:
    replica, pen = Replica(DOC_ID), Author(1).pen(DOC_ID)
    for k, word in enumerate(["to be", " or", " not", " to be"]):
        draft = pen.draft(replica)
        text = draft.texts()[0] if k else draft.new_text("t")
        draft.insert(text, len(draft.visible(text)), word)
        pen.write(replica, draft, 1000 * k)
    draft = pen.draft(replica)
    draft.delete(draft.texts()[0], 2, 5)
    pen.write(replica, draft, 5000, "shorter")
    return columns(replica)


def unicode() -> bytes:
    replica, pen = Replica(DOC_ID), Author(2).pen(DOC_ID)
    draft = pen.draft(replica)
    draft.insert(draft.new_text("日記"), 0, "a\x00é\u0301日本語🙂\U0010ffff\u200d")
    draft.set("é", STR, "grüße 🙂".encode())
    pen.write(replica, draft, -1, "message: ß 🙂")
    return columns(replica)


def values() -> bytes:
    replica, pen = Replica(DOC_ID), Author(3).pen(DOC_ID)
    draft = pen.draft(replica)
    for k, number in enumerate([0, -1, 2**63 - 1, -(2**63)]):
        draft.set(f"int{k}", INT, zigzag(number))
    for k, bits in enumerate(["0000000000000080", "000000000000f87f", "000000000000f07f"]):
        draft.set(f"float{k}", FLOAT, bytes.fromhex(bits))
    draft.set("", STR, b"")
    draft.unset("int0")
    pen.write(replica, draft, 2**62)
    return columns(replica)


def lanes() -> bytes:
    choose = random.Random(4)
    pens = [Author(choose.getrandbits(32)).pen(DOC_ID) for _ in range(4)]
    views = [Replica(DOC_ID) for _ in pens]
    sent: list[bytes] = []
    for _ in range(16):
        who = choose.randrange(4)
        for data in sent:
            if choose.random() < 0.6:
                views[who].apply(data)
        draft = pens[who].draft(views[who])
        pens[who].author.edit(draft)
        sent.append(pens[who].write(views[who], draft, choose.randint(0, 9), choose.choice([None, "why"])))
    for data in sent:
        views[0].apply(data)
    return columns(views[0])


def fork() -> bytes:
    replica, pen = Replica(DOC_ID), Author(5).pen(DOC_ID)
    draft = pen.draft(replica)
    draft.insert(draft.new_text("t"), 0, "abc")
    pen.write(replica, draft)
    for words in ("one", "two", "three"):  # three stories behind one change
        draft = Pen(pen.author, DOC_ID, pen.lane, pen.tip).draft(replica)
        draft.insert(draft.texts()[0], 1, words)
        replica.apply(pen.bundle(pen.item(draft)))
    other = Author(6).pen(DOC_ID)
    draft = other.draft(replica)
    draft.delete(draft.texts()[0], 2, 4)
    other.write(replica, draft)
    return columns(replica)


def voids() -> bytes:
    replica, pen = stage(7, DOC_ID)
    for kind in ("the place is taken", "deleted before", "n_ops wrong", "INSERT of nothing", "str is not UTF-8"):
        replica.apply(tell(kind, pen, replica).bundle)
    return columns(replica)


def raw() -> bytes:
    replica, pen = stage(8, DOC_ID)
    draft = pen.draft(replica)
    draft.insert(draft.texts()[0], 0, "a body that is too long to stand in its header, and so stands apart")
    pen.write(replica, draft)
    return replica.export()


def containers() -> bytes:
    """One of each kind in each other that can hold it, new and default, by two at once; some filled, some gone."""
    choose, pens = random.Random(9), [Author(k).pen(DOC_ID) for k in (9, 10)]
    replica = Replica(DOC_ID)
    draft = pens[0].draft(replica)
    holders = {tag: draft.set(f"new{tag}", tag) for tag in NEW}
    for tag in NEW:
        draft.set(f"{tag}", tag, b"", holders[MAP])
        draft.elements_at(holders[LIST], 0, (tag, b""), (INT, zigzag(tag)))
    for tag, value in ((NONE, b""), (TRUE, b""), (INT, zigzag(1)), (STR, b"b"), (STR, b"a"), (BYTES, b"a")):
        draft.add(holders[SET], tag, value)
    for amount in (2**63 - 1, 2**63 - 1, -5):
        draft.count(holders[COUNTER], amount)
    draft.insert(holders[TEXT], 0, "in a Text")
    pens[0].write(replica, draft, 1)
    heads = replica.heads
    for pen in pens:
        draft = pen.draft(replica, [id for id in heads if id != pen.tip])
        for tag in DEFAULTS:
            made = draft.set(f"default{tag}", tag)
            if tag == MAP + DEFAULT:
                draft.set(pen.lane.id.hex()[:4], TEXT + DEFAULT, b"", made)
            elif tag == LIST + DEFAULT:
                draft.elements_at(made, 0, (STR, pen.lane.id.hex()[:4].encode()))
            elif tag == COUNTER + DEFAULT:
                draft.count(made, choose.randrange(9))
        draft.discard(draft.view().values(None, f"new{SET}")[-1].container or ItemId(b"", 0), STR, b"a")
        pen.write(replica, draft, 2)
    draft = pens[1].draft(replica)
    draft.unset(f"new{MAP}")
    pens[1].write(replica, draft, 3)
    return columns(replica)


def lists() -> bytes:
    """Two who insert, assign, move and delete the same elements at the same time; an element without a value."""
    pens = [Author(k).pen(DOC_ID) for k in (11, 12)]
    replica = Replica(DOC_ID)
    draft = pens[0].draft(replica)
    draft.elements_at(draft.set("l", LIST), 0, *((INT, zigzag(k)) for k in range(8)))
    pens[0].write(replica, draft)
    heads = replica.heads
    for k, pen in enumerate(pens):
        draft = pen.draft(replica, [id for id in heads if id != pen.tip])
        (holder,) = draft.containers(LIST)
        elements = draft.elements(holder)
        draft.move(elements[0], 5 + k)
        draft.move(elements[3], k)
        draft.assign(elements[4], STR, b"by %d" % k)
        draft.delete(holder, 6, 1 + k)
        draft.elements_at(holder, 2, (TEXT, b""), (MAP, b""))
        pen.write(replica, draft)
    draft = pens[0].draft(replica)
    (holder,) = draft.containers(LIST)
    draft.delete_item(draft.assign(draft.elements(holder)[1], TRUE))
    pens[0].write(replica, draft)
    return columns(replica)


def marks() -> bytes:
    """Marks that overlap, of every kind of value, that grow and do not; one deleted, one under what is taken away."""
    pens = [Author(k).pen(DOC_ID) for k in (13, 14)]
    replica = Replica(DOC_ID)
    draft = pens[0].draft(replica)
    draft.insert(draft.new_text("t"), 0, "The fox jumped over the lazy dog.")
    draft.mark(draft.texts()[0], 4, 7, "bold", (TRUE, b""))
    pens[0].write(replica, draft)
    heads = replica.heads
    for k, pen in enumerate(pens):
        draft = pen.draft(replica, [id for id in heads if id != pen.tip])
        (text,) = draft.texts()
        draft.mark(text, 2 + k, 12 + 3 * k, "bold", None if k else (TRUE, b""), (k == 0, k == 1))
        draft.mark(text, 0, 33, "link", (STR, b"%d" % k), (True, True))
        draft.mark(text, 20, 24 + k, "size", (FLOAT, bytes.fromhex("000000000000f83f")))
        draft.insert(text, 12, "NEW")
        draft.delete(text, 21, 2)
        pen.write(replica, draft)
    draft = pens[1].draft(replica)
    draft.delete_item(min(draft.seen.marks))
    pens[1].write(replica, draft)
    return columns(replica)


def restores() -> bytes:
    """Undo of everything, by its author and by another; what two deleted, what was replaced side by side."""
    pens = [Author(k).pen(DOC_ID) for k in (15, 16)]
    replica = Replica(DOC_ID)
    draft = pens[0].draft(replica)
    draft.insert(draft.new_text("t"), 0, "abcdef")
    draft.elements_at(draft.set("l", LIST), 0, *((INT, zigzag(k)) for k in range(4)))
    draft.set("x", TRUE)
    draft.set("y", TRUE)
    draft.count(draft.set("n", COUNTER), 5)
    pens[0].write(replica, draft)
    heads = replica.heads
    for k, pen in enumerate(pens):
        draft = pen.draft(replica, [id for id in heads if id != pen.tip])
        draft.delete(draft.texts()[0], 1 + k, 3)
        draft.delete(draft.containers(LIST)[0], k, 2)
        draft.unset("x")
        draft.unset("y")
        draft.count(draft.containers(COUNTER)[0], 7)
        pen.write(replica, draft)
    for pen, id in ((pens[1], pens[0].tip), (pens[0], pens[1].tip)):
        draft = pen.draft(replica)
        draft.undo(id or b"")
        pen.write(replica, draft)
    draft = pens[0].draft(replica)
    draft.delete(draft.texts()[0], 0, 2)
    pens[0].write(replica, draft)
    return columns(replica)


def everything() -> bytes:
    """Four authors and a liar with forks, every kind of operation."""
    choose = random.Random(47)  # of which much is left in the end
    pens = [Author(choose.getrandbits(32)).pen(DOC_ID) for _ in range(4)]
    views = [Replica(DOC_ID) for _ in pens]
    sent: list[bytes] = []
    for step in range(60):
        who = choose.randrange(4)
        for data in sent:
            if choose.random() < 0.6:
                views[who].apply(data)
        pen, view = pens[who], views[who]
        if who == 3 and choose.random() < 0.5:
            own = [id for id, change in view.changes.items() if change.lane.id == pen.lane.id]
            liar = Pen(pen.author, DOC_ID, pen.lane, choose.choice([None, *own]))
            draft = liar.draft(view)
            pen.author.lie(draft)
            sent.append(liar.bundle(liar.item(draft)))
        else:
            draft = pen.draft(view)
            pen.author.edit(draft)
            sent.append(pen.write(view, draft, step))
    for data in sent:
        views[0].apply(data)
    kinds = {type(op) for change in views[0].changes.values() for op in ops_of(change)}
    assert kinds == set(OPS), set(OPS) - kinds
    return columns(views[0])


def ops_of(change: Change) -> list[Op]:
    return list(parse_body(change.body, len(change.header.parents)).ops) if change.verdict == APPLIED else []


# What a document says, as csrc/doc/plain.h puts it


def plain(view: View, container: ItemId | None, keys: dict[str, int]) -> bytes:
    tag = MAP if container is None else view.effects.containers[container].tag
    if tag == TEXT and container:
        return bytes([tag]) + blob(view.text(container).encode())
    if tag == COUNTER:
        total = view.to_py(container)
        assert isinstance(total, int)
        return bytes([tag]) + total.to_bytes(16, "little", signed=True)
    registers = view.registers(container)
    names = list(registers)
    if tag == SET:
        names.sort(key=member_order)
    out = bytes([tag]) + varint(len(names))
    for name in names:
        if tag == MAP:
            assert isinstance(name, str)
            out += varint(keys[name]) if name in keys else b"\0" + blob(name.encode())
            keys.setdefault(name, len(keys) + 1)
        held = registers[name]
        if not held:
            out += bytes([NONE])
        elif held[-1].container:
            out += plain(view, held[-1].container, keys)
        else:
            out += plain_scalar(held[-1].tag, held[-1].value)
    return out


def plain_scalar(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + (blob(value) if tag in (STR, BYTES) else value)


def plain_spans(view: View, text: ItemId) -> bytes:
    """A List of [str, Map of name to value]."""
    keys: dict[str, int] = {}
    spans = view.spans(text)
    out = bytes([LIST]) + varint(len(spans))
    for words, format in spans:
        out += bytes([LIST]) + varint(2) + plain_scalar(STR, words.encode()) + bytes([MAP]) + varint(len(format))
        for name, value in format.items():
            out += varint(keys[name]) if name in keys else b"\0" + blob(name.encode())
            keys.setdefault(name, len(keys) + 1)
            out += plain_scalar(*tagged(value))
    return out


def tagged(value: object) -> tuple[int, bytes]:
    if value is None or isinstance(value, bool):
        return {None: NONE, False: FALSE, True: TRUE}[value], b""
    if isinstance(value, int):
        return INT, zigzag(value)
    if isinstance(value, float):
        return FLOAT, struct.pack("<d", value)
    assert isinstance(value, str | bytes)
    return (STR, value.encode()) if isinstance(value, str) else (BYTES, value)


def member_order(name: object) -> tuple[int, bytes]:
    """None, a number, strs, bytes. How numbers stand among each other is the core's own affair."""
    if isinstance(name, str):
        return 2, name.encode()
    return (3, name) if isinstance(name, bytes) else (int(name is not None), b"")


STORIES: dict[str, Callable[[], bytes]] = {
    "typing": typing,
    "unicode": unicode,
    "values": values,
    "lanes": lanes,
    "fork": fork,
    "voids": voids,
    "raw": raw,
    "containers": containers,
    "lists": lists,
    "marks": marks,
    "restores": restores,
    "everything": everything,
}


def main() -> None:
    lines = []
    for name, story in STORIES.items():
        path = HERE / f"{name}.ckb"
        if not path.exists():
            path.write_bytes(story())
        replica = Replica(DOC_ID)
        report = replica.apply(path.read_bytes())
        assert not report.refused and not report.waiting, (name, report)
        view = replica.view()
        shown = [held[-1] for held in view.registers(None).values()]
        texts = [value.container for value in shown if value.container and value.tag % DEFAULT == TEXT % DEFAULT]
        text = "".join(view.text(container) for container in texts)
        formats = b"".join(plain_spans(view, container) for container in texts)
        content = digest(b"crdtkv-golden", plain(view, None, {}) + formats).hex()
        counts = f"{len(replica.changes)} {len(report.void)}"
        lines.append(f"{name} {replica.root.hex()} {counts} {content} {text.encode().hex() or '-'}\n")
    (HERE / "expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
