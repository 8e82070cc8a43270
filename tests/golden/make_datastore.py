"""Writes the golden bundles and the session of datastores that are not there yet, and datastore.txt for all of them.

A bundle is never written again.

    .venv/bin/python tests/golden/make_datastore.py

The oracle writes the bundles and says what they mean; the session is what two replicas of the core say.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv as ck  # noqa: E402
from oracle.bundle import LEFT_OUT  # noqa: E402
from oracle.datastore import Datastore, write_parts  # noqa: E402
from oracle.kv_author import KvAuthor  # noqa: E402
from oracle.kv_body import Body, Op, count, delete, part, put, write_body  # noqa: E402
from oracle.wire import varint, zigzag  # noqa: E402

HERE = Path(__file__).resolve().parent
SESSION = HERE / "datastore_session.txt"
ID = bytes(range(32))
LONG = "so long that its body stands apart from the header"
VALUES = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**63 - 1, -(2**63)],
    "floats": [0.5, -0.0, float("inf")],
    "str": "naïve 😀\x00",
    "bytes": b"\x00\xff",
    "nested": {"": {}, "a": [[], [{"b": b""}]]},
    "": "the empty str",
    b"": "empty bytes, another key",
    b"\xff\xfe": "no UTF-8",
}


class Story:
    """Authors who all see the same replica."""

    def __init__(self) -> None:
        self.seen = Datastore(ID)
        self.authors: dict[tuple[int, str, bytes | None], KvAuthor] = {}

    def author(self, who: int, dag: str = "default", nonce: bytes | None = None) -> KvAuthor:
        return self.authors.setdefault((who, dag, nonce), KvAuthor(who, ID, dag, nonce))

    def write(
        self, who: int, *ops: Op, dag: str = "default", nonce: bytes | None = None, message: str | None = None
    ) -> bytes:
        author = self.author(who, dag, nonce)
        item = author.write(self.seen, ops, 1_700_000_000_000, message)
        self.seen.apply(author.bundle(item))
        return item.id

    def put(self, who: int, key: Any, value: Any, dag: str = "default") -> bytes:
        return self.write(who, self.author(who, dag).put(self.seen, key, value), dag=dag)


def stories() -> dict[str, bytes]:
    out = {"empty": write_parts(ID, [])}

    values = Story()
    values.write(1, *(put(key, value) for key, value in VALUES.items()), message="all there are")
    values.write(2, delete("none"), put("str", LONG), put("str", "again"))
    out["values"] = values.seen.export()

    counts = Story()
    first = counts.write(1, count("n", 5), count(b"n", -(2**95)))
    counts.write(2, count("n", 2**96 - 1))
    counts.write(1, part("n", (first, 0), 5), count("n", 100), nonce=bytes(16))
    out["counters"] = counts.seen.export()

    dags = Story()
    for n in range(3):
        dags.put(1, "k", [n, LONG])
    dags.put(2, "k", ["d", LONG], dag="d")
    dags.put(1, "l", "ä", dag="ä")
    dags.put(3, "l", LONG, dag="d")
    out["dags"] = dags.seen.export()
    dags.put(1, "k", ["last", LONG])
    dags.seen.compact()
    out["left_out"] = dags.seen.export()

    liar = Story()
    liar.put(1, "k", 1)
    author = liar.author(66)
    forks = [author.item(write_body(Body((put("k", n),))), 1, seq=0) for n in range(2)]
    void = author.item(write_body(Body((put("k", 7),))), 9, [], forks[0].id, 1)
    later = author.item(varint(0) + zigzag(0) + varint(99) + varint(0), 1, [], forks[1].id, 1)
    claimed = author.item(write_body(Body((put("l", LONG),))), 1, [], void.id, 2)
    for item in (*forks, void, later, replace(claimed, body_form=LEFT_OUT, body=None)):
        liar.seen.apply(author.bundle(item))
    out["lies"] = liar.seen.export()
    return out


def told(name: str, data: bytes) -> str:
    """What a replica that gets it shows."""
    seen = Datastore(ID)
    report = seen.apply(data)
    lines = [f"{name}: {len(data)} bytes, {len(report.applied)} applied, {len(report.void)} void"]
    lines.append(f"    root {seen.root.hex()}")
    lines += [
        f"    dag {dag!r}: {len(graph.changes)} changes, {len(graph.absent())} without body"
        for dag, graph in sorted(seen.dags.items())
    ]
    lines += [f"    {key!r}: {seen.conflicts(key)!r}" for key in seen.to_py()]
    for key, total in seen.counters().items():
        lines.append(f"    counter {key!r}: {total} = {sorted(seen.by_author(key).values())}")
    lines += [f"    {one.author.hex()[:8]} equivocates at {one.seq}" for one in seen.equivocations()]
    return "\n".join(lines) + "\n"


def replica(n: int) -> ck.Datastore:
    kv = ck.Datastore(ck.Identity.from_seed(bytes([n]) * 32), id=ID, clock=lambda: 1_700_000_000_000)
    kv._seed(bytes([n]) * 32)
    return kv


def session() -> str:
    """Two replicas, what each has, and what they say in turns."""
    bundles = stories()
    ends, lines = [], []
    for n, name in ((1, "dags"), (2, "left_out")):
        kv = replica(n)
        kv.apply(bundles[name])
        kv.apply(bundles["values" if n == 1 else "counters"])
        lines.append(f"{n} has {name}")
        lines.append(f"{n} has {'values' if n == 1 else 'counters'}")
        ends.append((kv, kv.session()))
    silent = turn = 0
    while silent < 2:
        message = ends[turn % 2][1].send()
        silent = silent + 1 if message is None else 0
        if message is not None:
            lines.append(f"{turn % 2 + 1} says {message.hex()}")
            ends[1 - turn % 2][1].receive(message)
        turn += 1
    assert ends[0][0].root == ends[1][0].root
    return "\n".join([*lines, f"both have {ends[0][0].root.hex()}"]) + "\n"


def main() -> None:
    for name, data in stories().items():
        path = HERE / f"datastore_{name}.ckk"
        if not path.exists():
            path.write_bytes(data)
    if not SESSION.exists():
        SESSION.write_text(session())
    paths = sorted(HERE.glob("datastore_*.ckk"))
    text = "".join(told(path.name, path.read_bytes()) for path in paths)
    (HERE / "datastore.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
