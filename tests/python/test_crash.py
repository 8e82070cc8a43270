"""Writers that are killed (kill -9) at any moment. `make crashes N=1000` goes on for longer."""

import os
import sys

import pytest

from house.crashes import crash

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="wants fork and kill"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.mark.fuzz
def test_nothing_acknowledged_is_lost_and_nobody_tells_two_stories(tmp_path):
    seed = int(os.environ.get("CKV_SEED", int.from_bytes(os.urandom(4))))
    print(f"CKV_SEED={seed}")
    figures = crash(25, seed, tmp_path)
    print(figures)
    assert figures["loops"] == 25 and figures["acknowledged"] > 100


@pytest.mark.slow
def test_the_same_for_longer(tmp_path):
    print(crash(500, 1, tmp_path))
