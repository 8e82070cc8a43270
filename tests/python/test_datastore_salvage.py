"""Damaged rows of a datastore: they are named, salvage goes on without them, and peers bring them back."""

import sqlite3

import pytest

import crdtkv as ck
from house.datastores import LONG

N = 12


def make(path):
    """A file with N changes, and somebody else who has them all."""
    with ck.Database(path) as db:
        kv = db.datastore("kv")
        other = ck.Datastore(id=kv.id)
        for n in range(N):
            with kv.batch() as b:
                b.put(f"k{n}", LONG + str(n))
        other.merge(kv)
        return other, kv.root


def damage(path, sql):
    with sqlite3.connect(path, isolation_level=None) as file:
        assert file.execute(sql).rowcount > 0
    file.close()


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM change WHERE id = (SELECT max(id) FROM change)",
        "DELETE FROM change WHERE id > (SELECT max(id) - 5 FROM change)",
        "DELETE FROM change WHERE id = (SELECT min(id) + 3 FROM change)",
        "UPDATE change SET header = zeroblob(length(header)) WHERE id = (SELECT min(id) + 4 FROM change)",
    ],
)
def test_lost_changes(tmp_path, sql):
    path = tmp_path / "x.db"
    other, root = make(path)
    damage(path, sql)
    with ck.Database(path) as db:
        with pytest.raises(ck.StoreError, match="table change, row"):
            db.datastore("kv")
        lost = db.salvage("kv")
        assert len(lost) == 1 and "table change, row" in lost[0]
        kv = db.datastore("kv")
        assert 0 < len(kv) < N and kv.root != root
        assert all(value == LONG + key[1:] for key, value in kv.items())
        ck.sync(kv, other)
        assert kv.root == root and kv == other and len(kv) == N
        assert kv.check() == [] and kv.equivocations() == []
    with ck.Database(path) as db:
        assert db.check() == [] and len(db.datastore("kv")) == N


def test_lost_bodies(tmp_path):
    path = tmp_path / "x.db"
    other, root = make(path)
    damage(path, "UPDATE change SET body = zeroblob(length(body)) WHERE id % 3 = 0 AND body IS NOT NULL")
    with ck.Database(path) as db:
        assert any("hash" in line for line in db.check())
        lost = db.salvage("kv")
        assert len(lost) == N // 3
        kv = db.datastore("kv")
        assert len(kv) == N - N // 3 and kv.root == root
        ck.sync(kv, other)
        assert kv == other and len(kv) == N and kv.check() == []
    with ck.Database(path) as db:
        assert db.check() == [] and len(db.datastore("kv")) == N
