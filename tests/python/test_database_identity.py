"""Whose key a file is written with, and where that is kept."""

import os
import re
import stat

import pytest

import crdtkv as ck
from house.kept import put, sql


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


def key_of(path):
    return path.with_name(path.name + ".key")


def test_a_file_has_an_identity_of_its_own(path):
    with ck.Database(path) as db:
        me = db.identity
        assert db.doc("it").identity is me
        put(db.doc("it"), "a", 1)
    assert stat.S_IMODE(key_of(path).stat().st_mode) == 0o600
    assert ck.Identity.load(key_of(path)) == me
    with ck.Database(path) as db:
        assert db.identity == me
        assert {change.author for change in db.doc("it").changes()} == {me.public_key}


def test_a_given_identity_makes_no_key_file(path):
    me = ck.Identity.generate()
    with ck.Database(path, me) as db:
        assert db.identity is me and db.doc("it").identity is me
        put(db.doc("it"), "a", 1)
    assert not key_of(path).exists()


def test_a_given_identity_leaves_the_files_own_alone(path):
    with ck.Database(path) as db:
        own = db.identity
    me = ck.Identity.generate()
    with ck.Database(path, me) as db:
        put(db.doc("it"), "a", 1)
    with ck.Database(path) as db:
        assert db.identity == own
        put(db.doc("it"), "b", 2)
        assert {change.author for change in db.doc("it").changes()} == {own.public_key, me.public_key}


def test_a_reader_needs_none_and_makes_none(path):
    with ck.Database(path) as db:
        own = db.identity
        put(db.doc("it"), "a", 1)
    key_of(path).unlink()
    with ck.Database(path, read_only=True) as db:
        assert db.doc("it").to_py() == {"a": 1} and db.identity != own
    assert not key_of(path).exists()


def test_without_its_key_file_a_file_gets_a_new_one(path, tmp_path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        first = db.identity
    key_of(path).unlink()
    with ck.Database(path) as db:
        assert db.identity != first and db.doc("it").to_py() == {"a": 1}
        put(db.doc("it"), "b", 2)
        assert {change.author for change in db.doc("it").changes()} == {first.public_key, db.identity.public_key}
        assert db.check() == [] and db.doc("it").equivocations() == []


def test_a_damaged_key_file_is_named_and_left_alone(path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    damaged = key_of(path).read_bytes()[:-1] + b"?"
    key_of(path).write_bytes(damaged)
    with pytest.raises(ck.DecodeError, match=f"{re.escape(str(key_of(path)))}.*put it aside"):
        ck.Database(path)
    assert key_of(path).read_bytes() == damaged
    with ck.Database(path, read_only=True) as db:
        assert db.doc("it").to_py() == {"a": 1}


def test_a_key_file_with_a_password_is_loaded_by_its_owner(path):
    me = ck.Identity.generate()
    me.save(key_of(path), "secret")
    with pytest.raises(ck.DecodeError):
        ck.Database(path)
    with ck.Database(path, ck.Identity.load(key_of(path), "secret")) as db:
        put(db.doc("it"), "a", 1)
        assert db.identity == me


def test_a_file_of_somebody_else_is_verified(path, tmp_path):
    """One's own seal says that the signatures held once; under another key they are looked at again."""
    with ck.Database(path) as db:
        kv = db.datastore("it")
        for i in range(3):
            put(kv, f"k{i}", "x" * 100)
            assert kv.heads
            kv.export()
    assert sql(path, "UPDATE change SET signature = zeroblob(64) WHERE signature IS NOT NULL") == []
    assert sql(path, "SELECT count(*) FROM change WHERE signature = zeroblob(64)")[0][0] > 0
    (tmp_path / "theirs.db").write_bytes(path.read_bytes())
    for _ in range(2):
        with ck.Database(tmp_path / "theirs.db") as db:
            with pytest.raises((ck.StoreError, ck.DecodeError, ck.SignatureError), match="change"):
                db.datastore("it")
            assert db.check()


def test_a_file_that_was_checked_is_ones_own(path, tmp_path):
    with ck.Database(path) as db:
        put(db.datastore("it"), "a", 1)
    seals = "SELECT count(*) FROM meta WHERE key LIKE 'seal/%'"
    assert sql(path, seals) == [(1,)]
    me = ck.Identity.generate()
    with ck.Database(path, me) as db:
        assert db.datastore("it")["a"] == 1
    assert sql(path, seals) == [(1,)]
    with ck.Database(path, me) as db:
        assert db.check() == []
    assert sql(path, seals) == [(2,)]


def test_every_opening_writes_to_a_lane_of_its_own(path):
    for i in range(4):
        with ck.Database(path) as db:
            put(db.doc("it"), "i", i)
            assert len({change.lane for change in db.doc("it").changes()}) == i + 1
            assert {change.author for change in db.doc("it").changes()} == {db.identity.public_key}
            assert db.doc("it").equivocations() == []


def test_every_opening_of_a_store_is_an_incarnation_of_its_own(path):
    seen = set()
    for i in range(4):
        with ck.Database(path) as db:
            store = db.store("it", id="laptop")
            assert store.incarnation is None
            put(store, f"k{i}", i)
            seen.add(store.incarnation)
            assert dict(store) == {f"k{j}": j for j in range(i + 1)}
    assert len(seen) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_where_no_key_can_be_written_nothing_is_opened(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with ck.Database(folder / "app.db"):
        pass
    key_of(folder / "app.db").unlink()
    folder.chmod(0o500)
    try:
        with pytest.raises(OSError):
            ck.Database(folder / "app.db")
    finally:
        folder.chmod(0o700)
