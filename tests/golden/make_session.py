"""Writes session.txt if it is not there yet: two replicas and all that they say. It is never written again.

    .venv/bin/python tests/golden/make_session.py

The oracle plays both ends.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from oracle.author import Author, Pen  # noqa: E402
from oracle.body import BYTES, INT, Set, body_of, encode_body  # noqa: E402
from oracle.bundle import Item  # noqa: E402
from oracle.model import Replica  # noqa: E402
from oracle.session import Session  # noqa: E402
from oracle.wire import digest, header_for, zigzag  # noqa: E402

HERE = Path(__file__).resolve().parent
DOC_ID = b"\x2a" * 32
NAMES = "ab"


def seed(name: str) -> bytes:
    return name.encode() * 32


def salt(name: str) -> bytes:
    """What a document under that seed draws first (`Doc._seed`)."""
    return digest(b"crdtkv-stream", seed(name) + bytes(8))[:8]


def write(pen: Pen, behind: Item | None, seq: int, op: Set, parents: Sequence[bytes] = (), extra_ops: int = 0) -> Item:
    others = tuple(sorted(parents))
    data = encode_body(body_of(seq, None, (op,)), len(others))
    return pen.raw(header_for(seq, behind.id if behind else None, others, 1 + extra_ops, data), data)


def number(value: int) -> Set:
    return Set(None, f"{value % 5}", INT, zigzag(value))


def chain(pen: Pen, behind: Item | None, first: int, n: int, value: int) -> list[Item]:
    items: list[Item] = []
    for k in range(n):
        items.append(write(pen, items[-1] if items else behind, first + k, number(value + k)))
    return items


class Story:
    """Lines: who has what to begin with or comes by it later, and who says what."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.replicas = {name: Replica(DOC_ID) for name in NAMES}
        self.ends = {name: Session(self.replicas[name], salt(name)) for name in NAMES}

    def has(self, name: str, pen: Pen, *items: Item) -> None:
        data = pen.bundle(*items)
        report = self.replicas[name].apply(data)
        assert not report.refused and not report.waiting
        self.lines.append(f"{name} has {data.hex()}")

    def talk(self, order: str) -> None:
        silent = 0
        while silent < 2:
            for name, other in (order, order[::-1]):
                silent += 1
                while message := self.ends[name].send():
                    self.ends[other].receive(message)
                    self.lines.append(f"{name} says {message.hex()}")
                    silent = 0
        assert all(end.done for end in self.ends.values())


def story() -> str:
    told = Story()
    liar, ada, ben, later = (Author(k).pen(DOC_ID) for k in (21, 22, 23, 24))
    common, shared = chain(liar, None, 0, 40, 0), chain(ada, None, 0, 5, 100)
    for name in NAMES:
        told.has(name, liar, *common)
        told.has(name, ada, *shared)
    one = chain(liar, common[38], 39, 3, 200)
    told.has("a", liar, *one)
    told.has("b", liar, *chain(liar, common[29], 30, 2, 210))
    told.has("b", liar, one[0], *chain(liar, one[0], 40, 4, 220))
    adas = [write(ada, shared[-1], 5, number(300), [one[-1].id])]
    adas.append(write(ada, adas[-1], 6, number(301), extra_ops=1))  # which makes it void
    told.has("a", ada, *adas)
    bens = [write(ben, None, 0, Set(None, "long", BYTES, bytes(range(256)) * 24))]
    told.has("b", ben, *bens)
    for k, name in enumerate(NAMES):
        data = b"\4" + zigzag(k)  # a flag that no version knows yet
        pen = (later, Author(25).pen(DOC_ID))[k]
        told.has(name, pen, pen.raw(header_for(0, None, (), 0, data), data))
    told.talk("ba")
    for k in range(3):
        adas += chain(ada, adas[-1], 7 + k, 1, 400 + k)
        told.has("a", ada, adas[-1])
        told.talk("ab")
    bens.append(write(ben, bens[-1], 1, number(500), [adas[-1].id]))
    told.has("b", ben, bens[-1])
    told.talk("ba")
    one_root, other_root = (replica.root for replica in told.replicas.values())
    assert one_root == other_root
    return "\n".join([*told.lines, f"root is {one_root.hex()}"]) + "\n"


if __name__ == "__main__":
    path = HERE / "session.txt"
    if not path.exists():
        path.write_text(story())
