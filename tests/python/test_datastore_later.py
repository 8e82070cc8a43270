"""What a later version wrote, in a datastore that lives in a file: kept, forwarded, in nobody's way."""

from __future__ import annotations

import pytest

import crdtkv as ck
from crdtkv import testing

UNKNOWN = b"\0\0\x63\1\0"  # flags, time, an operation of kind 99


def of_2030(kv: ck.Datastore) -> bytes:
    return testing.Forger(kv, ck.Identity.generate()).forge(body=UNKNOWN)


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
