"""What a later version wrote, in a datastore that lives in a file: kept, forwarded, in nobody's way."""

from __future__ import annotations

import pytest

import crdtkv as ck
from crdtkv import testing
from oracle.datastore import leave_out

UNKNOWN = b"\0\0\x63\1\0"  # flags, time, an operation of kind 99
UNKNOWN_LONG = b"\0\0\x63\x3c" + bytes(60)  # so long that it stands apart from its header


def of_2030(kv: ck.Datastore, body: bytes = UNKNOWN) -> bytes:
    return testing.Forger(kv, ck.Identity.generate()).forge(body=body)


@pytest.mark.parametrize("is_empty", [True, False])
def test_it_is_there_when_the_file_is_opened_again(tmp_path, is_empty):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        kv = db.datastore("kv")
        if not is_empty:
            kv["a"] = 1
        kv.apply(of_2030(kv))
        root = kv.root
    for generation in range(3):
        with ck.Database(path) as db:
            kv = db.datastore("kv")
            assert kv.stats()["later"] == 1 and kv.root == root and db.check() == []
            kv[f"{generation}"] = 0
            root = kv.root
            other = ck.Datastore(id=kv.id)
            ck.sync(kv, other)
            assert other.stats()["later"] == 1 and other == kv
    with ck.Database(path, read_only=True) as db:
        assert db.datastore("kv").stats()["later"] == 1 and db.datastore("kv").root == root


def test_several_in_several_dags(tmp_path):
    path = tmp_path / "app.db"
    a = ck.Datastore()
    a["x"] = 1
    with ck.Database(path) as db:
        kv = db.datastore("kv", id=a.id)
        kv.merge(a)
        for _ in range(3):
            kv.apply(of_2030(kv))
        kv.put("y", 2, dag="feed")
    with ck.Database(path) as db:
        kv = db.datastore("kv")
        assert kv.stats()["later"] == 3 and dict(kv) == {"x": 1, "y": 2}
        kv.purge("feed")
        assert kv.purge("default") and kv.stats()["later"] == 0
    with ck.Database(path) as db:
        assert db.datastore("kv").stats()["later"] == 0 and db.check() == []


@pytest.mark.parametrize("claim_first", [True, False])
def test_what_somebody_calls_dead_keeps_its_body(tmp_path, claim_first):
    """A relay leaves it out: the change is in the graph, and its body waits for who can read it, in the file, too."""
    path = tmp_path / "app.db"
    relay = ck.Datastore()
    relay["a"] = 1
    relay.commit()
    change = of_2030(relay, UNKNOWN_LONG)
    relay.apply(change)
    root = relay.root
    said = [leave_out(relay.export(), relay.id), change]
    with ck.Database(path) as db:
        kv = db.datastore("kv", id=relay.id)
        for data in said if claim_first else reversed(said):
            kv.apply(data)
        assert kv.stats()["later"] == 1 and kv.stats()["left_out"] == 1 and kv.stats()["changes"] == 2
        heads = kv.heads
        assert kv.root != root and kv == {"a": 1}
    for _ in range(2):
        with ck.Database(path) as db:
            kv = db.datastore("kv")
            assert kv.stats()["later"] == 1 and kv.heads == heads and db.check() == []
            other = ck.Datastore(id=kv.id)
            ck.sync(kv, other)
            assert other.stats()["later"] == 1 and other.root == kv.root
            kv.compact()
    ck.sync(relay, other)
    assert relay.root == other.root and relay.stats()["later"] == 1
    relay.apply(change)
    assert relay.stats()["later"] == 1
