"""A Datastore for others to read: a plain table, text for Prometheus."""

import json
import math
import sqlite3
import sys

import pytest

import crdtkv as ck


def filled():
    kv = ck.Datastore()
    kv.update(a=None, b=True, c=-(2**63), d=1.5, e="hé\0", f=b"\xff", g=[1, {"x": b"\xff", "é": None}])
    kv[b"a"] = "of bytes"
    return kv


def test_a_plain_table():
    kv = filled()
    db = sqlite3.connect(":memory:")
    assert kv.to_sql(db) == 8
    rows = {(key, kind): value for key, kind, value in db.execute("SELECT * FROM kv")}
    assert rows[("g", "json")] == '[1, {"x": {"bytes": "/w=="}, "é": null}]'
    assert json.loads(rows.pop(("g", "json"))) == [1, {"x": {"bytes": "/w=="}, "é": None}]
    assert rows == {
        ("a", "null"): None,
        (b"a", "str"): "of bytes",
        ("b", "bool"): 1,
        ("c", "int"): -(2**63),
        ("d", "float"): 1.5,
        ("e", "str"): "hé\0",
        ("f", "bytes"): b"\xff",
    }
    kv.clear()
    kv["n"] = math.inf
    assert kv.to_sql(db) == 1 and list(db.execute("SELECT * FROM kv")) == [("n", "float", math.inf)]
    db.close()


def test_names_prefixes_paths(tmp_path):
    kv = filled()
    path = tmp_path / "x.db"
    assert kv.to_sql(path, 'odd "name"; --', prefix="a") == 2 == kv.to_sql(str(path), "other", prefix=b"a")
    with sqlite3.connect(path) as db:
        assert db.execute('SELECT count(*) FROM "odd ""name""; --"').fetchone() == (2,)
    db.close()


def test_all_or_nothing():
    kv = filled()
    db = sqlite3.connect(":memory:")
    kv.to_sql(db)
    db.execute("CREATE TABLE mine (x)")
    db.execute("INSERT INTO mine VALUES (1)")
    assert db.in_transaction and kv.to_sql(db, "second") == 8 and db.in_transaction, "the caller's goes on"
    db.rollback()
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    assert "kv" in names and "second" not in names
    kv["z"] = 1

    db.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT else sqlite3.SQLITE_OK)
    with pytest.raises(sqlite3.DatabaseError):
        kv.to_sql(db)
    db.set_authorizer(None)
    assert db.execute("SELECT count(*) FROM kv").fetchone() == (8,) and not db.in_transaction
    db.close()


def test_prometheus():
    pytest.importorskip("prometheus_client")
    kv = ck.Datastore()
    with kv.batch() as b:
        b.increment("views/1", 3)
        b.increment(b"views/\xff", 2)
        b.decrement('odd "name"\n', 2**62)
    text = kv.prometheus().decode()
    assert 'crdtkv_counter{name="views/1"} 3.0' in text and 'name="views/\\\\xff"} 2.0' in text
    assert 'crdtkv_counter{name="odd \\"name\\"\\n"} -4.61' in text and "# TYPE crdtkv_counter gauge" in text
    assert "odd" not in kv.prometheus("views/").decode()


def test_without_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"crdtkv\[prometheus\]"):
        ck.Datastore().prometheus()
