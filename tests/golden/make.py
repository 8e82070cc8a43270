"""Writes the golden bundles that are not there yet, and expected.txt for all of them. Bundles are never written again.

    .venv/bin/python tests/golden/make.py

The oracle invents the stories and says what they mean; the C core writes those that travel in columns.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv  # noqa: E402
from oracle.author import Author, Pen  # noqa: E402
from oracle.body import FLOAT, INT, STR, TEXT  # noqa: E402
from oracle.lies import stage, tell  # noqa: E402
from oracle.model import Replica  # noqa: E402
from oracle.wire import zigzag  # noqa: E402

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


STORIES: dict[str, Callable[[], bytes]] = {
    "typing": typing,
    "unicode": unicode,
    "values": values,
    "lanes": lanes,
    "fork": fork,
    "voids": voids,
    "raw": raw,
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
        keys = sorted({slot.key for slot in replica.everything().slots.values()}, key=str.encode)
        shown = [replica.values(key)[-1] for key in keys if replica.values(key)]
        text = "".join(replica.text(slot.id) for slot in shown if slot.tag == TEXT)
        counts = f"{len(replica.changes)} {len(report.void)}"
        lines.append(f"{name} {replica.root.hex()} {counts} {text.encode().hex() or '-'}\n")
    (HERE / "expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
