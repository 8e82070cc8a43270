"""Sets of numbers: what is written is read, in one form, and tests/golden/runs.txt is what both implementations say."""

from __future__ import annotations

import random

import pytest
from golden.make_runs import HERE, edges, lines, mutated, scattered

from .runs import GREATEST, Runs, read_runs, write_runs
from .wire import Broken, Reader, blob


def read(data: bytes, least: int = 0, greatest: int = GREATEST) -> Runs:
    reader = Reader(data)
    runs = read_runs(reader, least, greatest)
    reader.end()
    return runs


def test_golden() -> None:
    assert (HERE / "runs.txt").read_text() == "".join(lines())


def test_what_is_written_is_read() -> None:
    choose = random.Random(1)
    for runs in (*edges(), *(scattered(choose) for _ in range(500))):
        assert read(write_runs(runs)) == runs


def test_one_form() -> None:
    choose = random.Random(2)
    taken = 0
    for _ in range(3000):
        data = mutated(choose, Reader(write_runs(scattered(choose))).blob())
        try:
            runs = read(data)
        except Broken:
            continue
        taken += 1
        assert write_runs(runs) == data
    assert taken > 300


def test_bounds() -> None:
    data = write_runs(((5, 6), (9, 12)))
    assert read(data, 5, 11)
    for least, greatest in ((6, 11), (5, 10)):
        with pytest.raises(Broken):
            read(data, least, greatest)


@pytest.mark.parametrize(
    "content",
    ["00 00", "01 00 02 55 01", "00 02 02 02 02 02", "01 00 00", "01 00 04 55 55 15 00", "01 00 03 aa aa 0a", "82 00"],
)
def test_other_forms(content: str) -> None:
    with pytest.raises(Broken):
        read(blob(bytes.fromhex(content)))
