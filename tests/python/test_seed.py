"""Doc._seed: what a simulation needs so that a run replays."""

from hashlib import blake2b

import pytest

import crdtkv as ck

SEED = bytes(range(32))


def digest(person, data):
    return blake2b(data, digest_size=32, person=person).digest()


def lane(doc, number):
    """By the formulas alone: the lane that a seeded replica opens as its n-th."""
    nonce = digest(b"crdtkv-stream", SEED + number.to_bytes(8, "little"))[:16]
    return digest(b"crdtkv-lane-v1", doc.id + doc.identity.public_key + nonce)


def test_lanes_follow_from_the_seed():
    doc = ck.Doc(id=bytes(32))
    doc._seed(SEED)
    doc["a"] = 1
    assert doc.commit().lane == lane(doc, 0)
    doc["a"] = 2
    assert doc.commit().lane == lane(doc, 0)
    doc._seed(memoryview(SEED))
    twin = ck.Doc(doc.identity, id=bytes(32))
    twin._seed(SEED)
    twin["b"] = 1
    assert twin.commit().lane == lane(doc, 0)


def test_a_lane_that_is_open_goes_on():
    doc = ck.Doc()
    doc["a"] = 1
    first = doc.commit().lane
    doc._seed(SEED)
    doc["a"] = 2
    assert doc.commit().lane == first


def test_a_fork_draws_its_own():
    doc = ck.Doc()
    doc._seed(SEED)
    fork = doc.fork()
    doc["a"] = fork["a"] = 1
    assert fork.commit().lane != doc.commit().lane == lane(doc, 0)


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33)])
def test_a_seed_has_32_bytes(wrong):
    with pytest.raises(ValueError):
        ck.Doc()._seed(wrong)
    with pytest.raises(TypeError):
        ck.Doc()._seed("seed")
