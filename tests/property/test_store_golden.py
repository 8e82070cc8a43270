"""Messages of stores as they were first written, read by core and oracle; and what both make of damaged ones."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crdtkv as ck
from oracle.nested import Beyond
from oracle.store_wire import VERSION, framed
from oracle.wire import Broken

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.name for path in GOLDEN.glob("store_*"))
KINDS = {".ckr": b"Q", ".ckd": b"D", ".cko": b"O", ".cks": b"S", ".ckv": b"V"}

spec = importlib.util.spec_from_file_location("make_store", GOLDEN / "make_store.py")
assert spec and spec.loader
make_store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_store)


def taken(suffix: str, message: bytes) -> Any:
    """What the core does with it, at a store that has nothing, of any time."""
    store = ck.Store("x", max_drift=None)
    doors: dict[str, Callable[[bytes], Any]] = {
        ".ckr": store.build_diff,
        ".ckd": store.integrate_diff,
        ".cko": store.integrate_op,
        ".cks": store.integrate_opset,
        ".ckv": ck.Store.load,
    }
    return doors[suffix](message)


def accepts(suffix: str, message: bytes) -> bool:
    """Both or none; and if both, the oracle writes the very bytes again."""
    read, write = make_store.READERS[suffix]
    try:
        found = read(message)
    except (Broken, Beyond):
        found = None
    try:
        taken(suffix, message)
        by_core = True
    except (ck.DecodeError, ck.LimitError):
        by_core = False
    assert by_core == (found is not None), f"the core {'takes' if by_core else 'refuses'} {message.hex()}: {found!r}"
    if found is not None:
        assert write(found) == message, f"two forms: {message.hex()}"
    return by_core


def test_the_oracle_says_what_they_mean() -> None:
    told = "".join(make_store.told(name, (GOLDEN / name).read_bytes()) for name in NAMES)
    assert told == (GOLDEN / "store.txt").read_text(encoding="utf-8")


def test_the_core_still_writes_them() -> None:
    stories = make_store.stories()
    assert {f"store_{name}" for name in stories} == set(NAMES)
    for name, message in stories.items():
        assert (GOLDEN / f"store_{name}").read_bytes() == message, name


@pytest.mark.parametrize("name", NAMES)
def test_the_core_reads_them(name: str) -> None:
    path = GOLDEN / name
    message = path.read_bytes()
    assert accepts(path.suffix, message)
    if path.suffix == ".ckv":
        assert ck.Store.load(message).save() == message
    if path.suffix == ".cks":
        assert ck.Store.merge_opsets(message) == message


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_one_is_refused(name: str) -> None:
    path = GOLDEN / name
    message = path.read_bytes()
    damaged = [message[:n] for n in range(len(message))] + [message + b"\0", b"\0" + message]
    damaged += [flipped(message, bit) for bit in range(8 * len(message))]
    for one in damaged:
        assert not accepts(path.suffix, one), one.hex()


@pytest.mark.parametrize("name", NAMES)
def test_under_a_fitting_checksum_core_and_oracle_judge_alike(name: str) -> None:
    path = GOLDEN / name
    payload = path.read_bytes()[2:-8]
    choose = random.Random(name)
    n_taken = 0
    for n in range(min(8 * len(payload), 1500) + 400):
        if n < 8 * len(payload) and n < 1500:
            other = flipped(payload, n if 8 * len(payload) <= 1500 else choose.randrange(8 * len(payload)))
        else:
            other = spliced(payload, choose)
        n_taken += accepts(path.suffix, framed(KINDS[path.suffix], other))
    assert n_taken or len(payload) < 2


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def spliced(data: bytes, choose: random.Random) -> bytes:
    """A piece of it left out, doubled, or made another one."""
    a, b = sorted(choose.choices(range(len(data) + 1), k=2))
    other = (b"", data[a:b] * 2, choose.randbytes(choose.randrange(4)), b"\xff" * 9 + b"\1")
    return data[:a] + choose.choice(other) + data[b:]


def test_another_kind_or_version_is_refused() -> None:
    for name in NAMES:
        path = GOLDEN / name
        for suffix in KINDS:
            assert accepts(suffix, path.read_bytes()) == (suffix == path.suffix)
        payload = path.read_bytes()[2:-8]
        later = framed(KINDS[path.suffix], payload).replace(bytes([VERSION]), bytes([VERSION + 1]), 1)
        with pytest.raises(ck.DecodeError):
            taken(path.suffix, later)
