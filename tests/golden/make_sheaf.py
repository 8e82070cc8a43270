"""Writes sheaf.txt: sheaves as the oracle writes them, with what they mean, and bytes that are none.

.venv/bin/python tests/golden/make_sheaf.py
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import xxhash

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from oracle.sheaf import CLAIMED, DROPPED, HERE, Item, read_sheaf, write_sheaf  # noqa: E402

FOLDER = Path(__file__).resolve().parent


def items(choose: random.Random, n: int, first: int) -> list[Item]:
    """Some of everything that a sheaf can say."""
    out: list[Item] = []
    number, time = first, choose.choice([0, 1_700_000_000_000, -5])
    for _ in range(n):
        size = choose.choice([0, 7, 48, 49, 120, 1 << 24])
        time += choose.choice([0, 1, 900, -3])
        out.append(
            Item(
                number=number,
                lane=choose.choice([0, 0, 1, 200]),
                state=HERE if size <= 48 else choose.choice([DROPPED, CLAIMED]),
                prev=choose.choice([None, number - 1, number // 2]) if number else None,
                parents=tuple(choose.randrange(number) for _ in range(choose.choice([0, 0, 1, 3]))) if number else (),
                n_ops=choose.choice([0, 1, 1, 1000]),
                body_len=size,
                tail=choose.randbytes(min(size, 32) if size > 48 else size),
                time=time,
                message=choose.choice([None, None, "", "why", "naïve 😀"]),
                signature=choose.choice([None, choose.randbytes(64)]),
            )
        )
        number += choose.choice([1, 1, 1, 2, 300])
    return out


def line(item: Item) -> str:
    prev = "-" if item.prev is None else str(item.prev)
    message = "-" if item.message is None else "=" + item.message.encode().hex()
    parents = "".join(f",{p}" for p in item.parents)
    return (
        f" {item.number}:{item.lane}:{item.state}:{prev}:{parents}:{item.n_ops}:{item.body_len}"
        f":{item.tail.hex()}:{item.time}:{message}:{(item.signature or b'').hex()}"
    )


def lines() -> Iterator[str]:
    choose = random.Random(23)
    for n in (1, 2, 3, 9):
        for first in (0, 1, 77, 2**32 - 30_000):
            squeeze = first == 77
            story = items(choose, n, first)
            ids = choose.randbytes(32)
            data = write_sheaf(story, ids, squeeze=squeeze)
            assert read_sheaf(data, first) == (story, ids)
            yield f"{'packed' if squeeze else 'plain'} {first} {data.hex()} {ids.hex()}{''.join(map(line, story))}\n"
    few = items(choose, 2, 5)
    wrong = [
        [Item(5, 0, HERE, None, (), 1, 49, bytes(32))],  # a long body that would be here
        [Item(5, 0, DROPPED, None, (), 1, 3, b"abc")],  # a short one that would not
        [Item(5, 0, 3, None, (), 1, 49, bytes(32))],  # a state that is none
        [Item(5, 0, HERE, -1, (), 1, 1, b"a")],  # before the first
        [Item(5, 0, HERE, None, (5,), 1, 1, b"a")],  # its own parent
        [Item(5, 0, HERE, None, tuple(range(5)) * 7, 1, 1, b"a")],  # 35 parents
        [Item(5, 0, HERE, None, (), (1 << 24) + 1, 1, b"a")],
        [Item(5, 0, DROPPED, None, (), 1, (1 << 24) + 1, bytes(32))],
        [Item(5, 2**32 - 1, HERE, None, (), 1, 1, b"a")],
        [Item(5, 0, HERE, None, (), 1, 1, b"a"), Item(2**32 - 1, 0, HERE, None, (), 1, 1, b"a")],
        [Item(5 + i, 0, HERE, None, (), 1, 1, b"a") for i in range(2049)],
    ]
    for case in wrong:
        yield f"bad 5 {write_sheaf(case, bytes(32)).hex()}\n"
    good = write_sheaf(few, bytes(32))
    for cut in range(0, len(good), 7):
        yield f"bad 5 {good[:cut].hex()}\n"
    yield f"bad {2**32 - 1} {good.hex()}\n"
    for extra in (good + b"\0", write_sheaf([], bytes(32))):
        yield f"bad 5 {(xxhash.xxh3_64_intdigest(extra[8:]).to_bytes(8, 'little') + extra[8:]).hex()}\n"


if __name__ == "__main__":
    (FOLDER / "sheaf.txt").write_text("".join(lines()))
