"""Writes runs.txt: sets of numbers as the oracle writes them, and bytes that are none.

.venv/bin/python tests/golden/make_runs.py
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from oracle.runs import GREATEST, Runs, read_runs, write_runs  # noqa: E402
from oracle.wire import Broken, Reader, blob  # noqa: E402

HERE = Path(__file__).resolve().parent
WINDOW = 1 << 16


def edges() -> Iterator[Runs]:
    for n in (0, 1, 2, 63, 64, 65, 127, 128, 8191, 8192, 2**20, 2**32 - 1, 2**55 - 1, 2**55, 2**61, 2**63, GREATEST):
        yield ((n, n + 1),)
        yield ((0, 1), (n + 2, n + 3)) if n + 2 <= GREATEST else ((0, n + 1),)
        yield ((min(n, 5), n + 6),) if n + 6 <= GREATEST else ((n, GREATEST + 1),)
    for border in (WINDOW, 3 * WINDOW, GREATEST + 2 - WINDOW):
        yield ((border - 2, border), (border + 1, border + 2))
        yield ((border - 2, border + 1), (border + 2, border + 4))
        yield tuple((n, n + 1) for n in range(border - 40, border + 40, 2))
        yield tuple((n, n + 1) for n in range(border - 41, border + 41, 2))
    yield ((0, WINDOW), (WINDOW + 1, 2 * WINDOW), (2 * WINDOW + 1, 2 * WINDOW + 2))
    yield ((1, 2 * WINDOW - 1), (2 * WINDOW, 2 * WINDOW + 1))
    yield ()


def scattered(choose: random.Random) -> Runs:
    """As many short runs, so near each other, that both forms are about as long."""
    at = choose.choice([0, 7, choose.randrange(WINDOW), choose.randrange(2**40), WINDOW - choose.randrange(90)])
    near, far = choose.randint(1, 12), choose.choice([1, 1, 2, 9])
    runs: list[tuple[int, int]] = []
    for _ in range(choose.randrange(40)):
        stop = at + choose.randint(1, far)
        runs.append((at, stop))
        at = stop + choose.randint(1, near)
    return tuple(runs)


def mutated(choose: random.Random, data: bytes) -> bytes:
    """The content of a blob, in the blob that this makes."""
    content = bytearray(data)
    for _ in range(choose.randint(1, 2)):
        at = choose.randrange(len(content) + 1)
        match choose.randrange(4):
            case 0:
                content[at:at] = choose.randbytes(1)
            case 1:
                del content[at : at + 1]
            case 2 if at < len(content):
                content[at] ^= 1 << choose.randrange(8)
            case _:
                content[at:] = b""
    return blob(bytes(content))


def meaning(data: bytes) -> str:
    reader = Reader(data)
    try:
        runs = read_runs(reader)
        reader.end()
    except Broken:
        return "refused"
    return ",".join(f"{start}-{stop}" for start, stop in runs) or "empty"


def lines() -> Iterator[str]:
    choose = random.Random(6)
    sets = [write_runs(runs) for runs in (*edges(), *(scattered(choose) for _ in range(120)))]
    broken = []
    for data in sets * 3:
        reader = Reader(data)
        broken.append(mutated(choose, reader.blob()))
    for data in dict.fromkeys([*sets, *broken]):
        yield f"{data.hex()} {meaning(data)}\n"


if __name__ == "__main__":
    (HERE / "runs.txt").write_text("".join(lines()))
