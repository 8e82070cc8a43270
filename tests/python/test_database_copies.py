"""Copies, backups, restores: a file may be copied and go on in several places, and no author ever tells two stories."""

import pathlib
import shutil

import pytest

import crdtkv as ck
from house.kept import KINDS, content, put


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


def copy(path, to):
    """File and key, as somebody would who copies a disk."""
    shutil.copy(path, to)
    shutil.copy(f"{path}.key", f"{to}.key")


def together(*docs):
    """One replica that has seen all that any of them ever held."""
    every = ck.Doc(id=docs[0].id)
    for doc in docs:
        every.merge(doc)
    return every


# ---- backup


@pytest.mark.parametrize("to", [str, pathlib.Path])
def test_a_backup_is_whole_and_has_no_key(path, to):
    target = path.with_name("backup.db")
    with ck.Database(path) as db:
        for kind in KINDS:
            put(getattr(db, kind)(kind), "a", 1)
            getattr(db, kind)(kind)["open"] = 2
        db.backup(to(target))
        for kind in KINDS:
            put(getattr(db, kind)(kind), "later", 3)
    assert not path.with_name("backup.db.key").exists()
    with ck.Database(target) as db:
        for kind in KINDS:
            assert content(getattr(db, kind)(kind)) == {"a": 1, "open": 2}
        assert db.check() == []


def test_a_backup_overwrites_nothing(path, tmp_path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        (tmp_path / "there").write_bytes(b"precious")
        (tmp_path / "folder").mkdir()
        for target in ("there", "folder", "app.db"):
            with pytest.raises(FileExistsError):
                db.backup(tmp_path / target)
        with pytest.raises(OSError):
            db.backup(tmp_path / "nowhere" / "backup.db")
        with pytest.raises(TypeError):
            db.backup(None)
        assert (tmp_path / "there").read_bytes() == b"precious"
        assert db.doc("it").to_py() == {"a": 1} and db.check() == []


def test_a_reader_may_take_a_backup(path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        with ck.Database(path, read_only=True) as reader:
            put(db.doc("it"), "b", 2)
            reader.backup(path.with_name("backup.db"))
    with ck.Database(path.with_name("backup.db")) as db:
        assert db.doc("it").to_py() == {"a": 1}


# ---- copies that go on


def test_a_copy_goes_on_beside_the_original(path, tmp_path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        me = db.identity
    copy(path, tmp_path / "copy.db")
    with ck.Database(path) as db, ck.Database(tmp_path / "copy.db") as clone:
        assert clone.identity == me
        for i in range(3):
            put(db.doc("it"), "here", i)
            put(clone.doc("it"), "there", i)
        report = ck.sync(db.doc("it"), clone.doc("it"))
        assert report.changes == 6
        assert db.doc("it").to_py() == clone.doc("it").to_py() == {"a": 1, "here": 2, "there": 2}
        assert db.doc("it").root == clone.doc("it").root
        assert db.doc("it").equivocations() == clone.doc("it").equivocations() == []
        assert db.check() == clone.check() == []


def test_a_restored_backup_is_nobodys_lie(path, tmp_path):
    """Copy, go on, restore, go on, sync with who has seen the first."""
    friend = ck.Doc()
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        friend = ck.Doc(id=db.doc("it").id)
    copy(path, tmp_path / "backup.db")
    for generation in range(4):
        with ck.Database(path) as db:
            doc = db.doc("it")
            put(doc, f"lost{generation}", 1)
            friend.merge(doc)
            put(doc, f"unseen{generation}", 1)
        copy(tmp_path / "backup.db", path)
    with ck.Database(path) as db:
        doc = db.doc("it")
        assert doc.to_py() == {"a": 1}
        put(doc, "b", 2)
        ck.sync(doc, friend)
        assert doc.to_py() == friend.to_py() == {"a": 1, "b": 2} | {f"lost{g}": 1 for g in range(4)}
        assert doc.equivocations() == friend.equivocations() == []
        assert db.check() == []


def test_a_copy_of_an_open_file_is_some_commit_or_an_error(path, tmp_path):
    """Not what one should do, but it must show no other content, and make no liar of anybody."""
    with ck.Database(path, durability="normal") as db:
        doc = db.doc("it")
        for i in range(50):
            put(doc, "n", i)
            if i % 10 == 5:
                for suffix in ("", "-wal"):
                    if path.with_name(path.name + suffix).exists():
                        shutil.copy(f"{path}{suffix}", tmp_path / f"copy{i}.db{suffix}")
                try:
                    with ck.Database(tmp_path / f"copy{i}.db", db.identity) as clone:
                        if "it" in clone.names():
                            assert clone.doc("it")["n"] <= i
                            put(clone.doc("it"), "clone", i)
                            doc.merge(clone.doc("it"))
                except (ck.StoreError, ck.DecodeError):
                    pass
        assert doc.equivocations() == [] and doc["n"] == 49


def test_stores_survive_a_clone_and_a_restore(path, tmp_path):
    friend = ck.Store("friend")
    with ck.Database(path) as db:
        put(db.store("it"), "a", 1)
    copy(path, tmp_path / "backup.db")
    for generation in range(3):
        with ck.Database(path) as db:
            store = db.store("it")
            put(store, f"seen{generation}", generation)
            ck.sync(store, friend)
            put(store, f"lost{generation}", generation)
        copy(tmp_path / "backup.db", path)
    with ck.Database(path) as db:
        store = db.store("it")
        put(store, "b", 2)
        ck.sync(store, friend)
        want = {"a": 1, "b": 2, "seen0": 0, "seen1": 1, "seen2": 2}
        assert dict(store) == dict(friend) == want
        assert store.entries() == friend.entries()


def test_a_moved_file_may_be_opened_elsewhere(path, tmp_path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        id = db.doc("it").id
    (tmp_path / "there").mkdir()
    path.rename(tmp_path / "there" / "moved.db")
    with ck.Database(tmp_path / "there" / "moved.db") as db:
        assert db.doc("it").id == id
        put(db.doc("it"), "b", 2)
        assert db.doc("it").to_py() == {"a": 1, "b": 2}
    assert not path.exists()
