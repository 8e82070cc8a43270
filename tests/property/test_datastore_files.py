"""Datastores in files, opened again and again, in lockstep with the twin."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from property.datastore_files import play


def test_files_that_are_opened_again(tmp_path: Path) -> None:
    dropped = 0
    for seed in range(15):
        (tmp_path / f"{seed}").mkdir()
        dropped += play(seed, tmp_path / f"{seed}")
    assert dropped


@pytest.mark.slow
def test_many_files(tmp_path: Path) -> None:
    first = random.randrange(1 << 32)
    for seed in range(first, first + 1000):
        (tmp_path / f"{seed}").mkdir()
        play(seed, tmp_path / f"{seed}")
