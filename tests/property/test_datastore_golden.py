"""Bundles and a session of datastores as they were first written, read by core and oracle; and damaged ones."""

from __future__ import annotations

import random

import pytest
from golden.make_datastore import HERE, ID, SESSION, replica, stories, told

import crdtkv as ck
from oracle.datastore import Datastore, seal
from oracle.wire import Malformed

NAMES = sorted(path.name for path in HERE.glob("datastore_*.ckk"))
LINES = [line.split() for line in SESSION.read_text().splitlines()]


def test_the_oracle_says_what_they_mean() -> None:
    text = "".join(told(name, (HERE / name).read_bytes()) for name in NAMES)
    assert text == (HERE / "datastore.txt").read_text(encoding="utf-8")


def test_the_oracle_still_writes_them() -> None:
    assert {f"datastore_{name}.ckk": data for name, data in stories().items()} == {
        name: (HERE / name).read_bytes() for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_core_reads_them(name: str) -> None:
    data = (HERE / name).read_bytes()
    kv, twin = ck.Datastore(id=ID), Datastore(ID)
    ours, theirs = kv.apply(data), twin.apply(data)
    assert set(ours.applied) == set(theirs.applied) and set(ours.void) == set(theirs.void)
    assert (kv.root, kv.heads) == (twin.root, twin.heads)
    assert dict(kv) == twin.to_py() and list(kv) == twin.keys()
    assert {key: list(kv.conflicts(key).values()) for key in kv} == {key: twin.conflicts(key) for key in twin.to_py()}
    assert {key: kv.counter(key).by_author() for key in kv.counters()} == {
        key: twin.by_author(key) for key in twin.counters()
    }
    assert [(e.lane, e.seq, e.proof) for e in kv.equivocations()] == [
        (e.lane, e.seq, e.proof) for e in twin.equivocations()
    ]
    again = Datastore(ID)
    again.apply(kv.export())
    assert again.root == twin.root and again.to_py() == twin.to_py()


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_one_is_refused(name: str) -> None:
    data = (HERE / name).read_bytes()
    choose = random.Random(name)
    damaged = [data[:n] for n in range(0, len(data), 1 + len(data) // 200)] + [data + b"\0", b"\0" + data]
    damaged += [flipped(data, choose.randrange(8 * len(data))) for _ in range(300)]
    for one in damaged:
        with pytest.raises(ck.DecodeError):
            ck.Datastore(id=ID).apply(one)
        with pytest.raises(Malformed):
            Datastore(ID).apply(one)


@pytest.mark.parametrize("name", NAMES)
def test_under_a_fitting_checksum_core_and_oracle_judge_alike(name: str) -> None:
    """Of the frame; what is inside has a checksum of its own."""
    data = (HERE / name).read_bytes()[:-8]
    choose = random.Random(name)
    for _ in range(200):
        a, b = sorted(choose.choices(range(len(data) + 1), k=2))
        other = choose.choice(
            [flipped(data, choose.randrange(8 * len(data))), data[:a] + data[b:], data[:b] + data[a:]]
        )
        try:
            Datastore(ID).apply(seal(other))
            fine = True
        except Malformed:
            fine = False
        try:
            ck.Datastore(id=ID).apply(seal(other))
            by_core = True
        except ck.DecodeError:
            by_core = False
        assert by_core == fine, other.hex()


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


@pytest.mark.parametrize("name", ["1", "2"])
def test_the_core_understands_the_session(name: str) -> None:
    """The other end says what is written."""
    kv = replica(int(name))
    for who, what, data in LINES[:-1]:
        if (who, what) == (name, "has"):
            kv.apply((HERE / f"datastore_{data}.ckk").read_bytes())
    end = kv.session()
    for who, what, data in LINES[:-1]:
        if what == "says" and who == name:
            assert end.send() is not None
        elif what == "says":
            end.receive(bytes.fromhex(data))
    assert kv.root == bytes.fromhex(LINES[-1][2])
    assert end.send() is None and end.done
