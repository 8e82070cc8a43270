"""Damaged rows of a datastore: they are named, salvage goes on without them, and peers bring them back."""

import sqlite3

import pytest

import crdtkv as ck
from house.datastores import LONG
from oracle.wire import body_hash_of

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


@pytest.mark.parametrize("value", ["short", LONG])
def test_a_body_whose_hash_fits_and_that_is_none(tmp_path, value):
    """Whoever writes into a file can make hashes fit: then it is what a peer's body must be, or it is damage."""
    path = tmp_path / "x.db"
    with ck.Database(path) as db:
        kv = db.datastore("kv")
        kv["before"] = 1
        kv.commit()
        kv["k"] = value
        kv.commit()
    with sqlite3.connect(path, isolation_level=None) as file:
        ((row, header, body),) = file.execute("SELECT id, header, body FROM change ORDER BY id DESC LIMIT 1").fetchall()
        if body is None:
            header = header[:-1] + b"\xff"
        else:
            body = body[:-1] + b"\xff"
            header = header[:-32] + body_hash_of(body)
        file.execute("UPDATE change SET header = ?, body = ? WHERE id = ?", (header, body, row))
        file.execute("DELETE FROM run")  # so that it is absorbed again, and nothing knows what it was
    file.close()
    with ck.Database(path) as db:
        with pytest.raises(ck.StoreError, match=f"table change, row {row} has a body that is none"):
            db.datastore("kv")
        (line,) = db.salvage("kv")
        assert "has a body that is none" in line
        kv = db.datastore("kv")
        assert dict(kv) == {"before": 1}


def test_a_flipped_bit_in_the_newest_change_is_named(tmp_path):
    """Nothing builds on it, and its body stands in its header: the index knows that it was another one."""
    path = tmp_path / "x.db"
    with ck.Database(path) as db:
        kv = db.datastore("kv")
        kv["k"] = "before"
        kv.commit()
        other = ck.Datastore(id=kv.id)
        kv["k"] = "value"
        kv.commit()
        other.merge(kv)
    with sqlite3.connect(path, isolation_level=None) as file:
        ((row, header),) = file.execute("SELECT id, header FROM change ORDER BY id DESC LIMIT 1").fetchall()
        assert header.count(b"value") == 1
        file.execute("UPDATE change SET header = ? WHERE id = ?", (header.replace(b"value", b"valve"), row))
    file.close()
    with ck.Database(path) as db:
        with pytest.raises(ck.StoreError, match=f"table change, row {row} has a signature that does not hold"):
            db.datastore("kv")
        assert len(db.salvage("kv")) == 1
        kv = db.datastore("kv")
        assert kv["k"] == "before"
        ck.sync(kv, other)
        assert kv["k"] == "value" and kv.root == other.root and kv.check() == []
