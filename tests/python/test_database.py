"""Database: names and kinds, ids, objects that stay the same, adding and deleting, the end."""

import copy
import errno
import gc
import pathlib
import pickle
import warnings

import pytest

import crdtkv as ck
from house.kept import KINDS, content, edit, put

OTHERS = [(kind, other) for kind in KINDS for other in KINDS if kind != other]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


# ---- names


def test_a_new_file_is_empty(path):
    with ck.Database(path) as db:
        assert db.names() == {} and db.check() == []
        assert db.path == str(path) and not db.read_only


@pytest.mark.parametrize("kind", KINDS)
def test_first_use_makes_it_and_it_is_there_again(path, kind):
    with ck.Database(path) as db:
        put(getattr(db, kind)("it"), "a", 1)
        assert db.names() == {"it": kind}
    with ck.Database(path) as db:
        assert db.names() == {"it": kind}
        assert content(getattr(db, kind)("it")) == {"a": 1}
        assert db.check() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_stands_for_one_object(path, kind):
    with ck.Database(path) as db:
        it = getattr(db, kind)("it")
        assert getattr(db, kind)("it") is it
        assert getattr(db, kind)("other") is not it


@pytest.mark.parametrize("kind, other", OTHERS)
def test_a_name_has_one_kind(path, kind, other):
    with ck.Database(path) as db:
        getattr(db, kind)("it")
        with pytest.raises(TypeError, match=f"'it' is a {kind}"):
            getattr(db, other)("it")
    with ck.Database(path) as db:
        with pytest.raises(TypeError, match=f"'it' is a {kind}"):
            getattr(db, other)("it")
        assert db.names() == {"it": kind}


def test_names_of_every_kind_of_text(path):
    names = ["", " ", "ä", "日本", "a/b", "it's", 'a"b', "x" * 255, "%s", "a\nb"]
    with ck.Database(path) as db:
        for name in names:
            put(db.doc(name), "name", name)
    with ck.Database(path) as db:
        assert set(db.names()) == set(names)
        assert all(db.doc(name)["name"] == name for name in names)


def test_what_is_no_name(path):
    with ck.Database(path) as db:
        for wrong in (None, 5, b"notes", ["notes"]):
            with pytest.raises(TypeError):
                db.doc(wrong)
        with pytest.raises(ck.LimitError):
            db.doc("ä" * 128)
        with pytest.raises(ValueError):
            db.doc("\ud800")
        assert db.names() == {}


def test_many_names(path):
    with ck.Database(path, durability="normal") as db:
        for i in range(200):
            db.doc(f"n{i}")["i"] = i
    with ck.Database(path) as db:
        assert len(db.names()) == 200 and list(db.names()) == sorted(db.names())
        assert [db.doc(f"n{i}")["i"] for i in range(200)] == list(range(200))


# ---- ids


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "store"])
def test_the_first_id_stays(path, kind):
    with ck.Database(path) as db:
        open_it = getattr(db, kind)
        it = open_it("it", id=bytes(range(32)))
        assert it.id == bytes(range(32))
        assert open_it("it", id=bytes(range(32))) is it is open_it("it")
        with pytest.raises(ValueError, match="another id"):
            open_it("it", id=bytes(32))
    with ck.Database(path) as db:
        open_it = getattr(db, kind)
        with pytest.raises(ValueError, match="another id"):
            open_it("it", id=bytes(32))
        assert open_it("it").id == bytes(range(32))
        assert open_it("it", id=bytearray(range(32))).id == bytes(range(32))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "store"])
def test_without_an_id_it_is_random_and_stays(path, kind):
    with ck.Database(path) as db:
        id = getattr(db, kind)("it").id
        assert len(id) == 32 and id != getattr(db, kind)("other").id
    with ck.Database(path) as db:
        assert getattr(db, kind)("it").id == id


def test_the_id_of_a_store_is_its_peers_name(path):
    with ck.Database(path) as db:
        assert db.store("s", id="laptop").peer_id == "laptop"
        assert db.store("b", id=b"laptop").peer_id == b"laptop"
        random = db.store("r").peer_id
        with pytest.raises(ValueError, match="another id"):
            db.store("s", id=b"laptop")
    with ck.Database(path) as db:
        assert db.store("s").peer_id == "laptop" and db.store("b").peer_id == b"laptop"
        assert db.store("r").peer_id == random
        with pytest.raises(ValueError, match="another id"):
            db.store("s", id="phone")


def test_a_wrong_id_makes_nothing(path):
    with ck.Database(path) as db:
        for wrong in (b"short", bytes(33)):
            with pytest.raises(ValueError):
                db.doc("it", id=wrong)
        with pytest.raises(TypeError):
            db.doc("it", id="0" * 32)
        assert db.names() == {}


# ---- the open change


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_commits(path, kind):
    with ck.Database(path) as db:
        edit(getattr(db, kind)("it"), "a", 1)
    with ck.Database(path) as db:
        assert content(getattr(db, kind)("it")) == {"a": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_by_an_exception_commits_too(path, kind):
    with pytest.raises(ZeroDivisionError), ck.Database(path) as db:
        edit(getattr(db, kind)("it"), "a", 1)
        raise ZeroDivisionError
    with ck.Database(path) as db:
        assert content(getattr(db, kind)("it")) == {"a": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_close_commits_and_may_be_repeated(path, kind):
    db = ck.Database(path)
    edit(getattr(db, kind)("it"), "a", 1)
    db.close()
    db.close()
    with ck.Database(path) as db:
        assert content(getattr(db, kind)("it")) == {"a": 1}
        db.close()


def test_commit_closes_every_open_change(path):
    with ck.Database(path) as db:
        for kind in KINDS:
            edit(getattr(db, kind)(kind), "a", 1)
        db.commit()
        with ck.Database(path, read_only=True) as reader:
            for kind in KINDS:
                assert content(getattr(reader, kind)(kind)) == {"a": 1}
        db.commit()


def test_close_inside_a_block_is_refused_and_closes_nothing(path):
    with ck.Database(path) as db:
        doc = db.doc("it")
        with doc.change():
            doc["a"] = 1
            for refused in db.close, db.commit, lambda: db.backup(path.with_name("copy")):
                with pytest.raises(RuntimeError):
                    refused()
        assert doc["a"] == 1
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


# ---- the end


def test_after_the_end_everything_is_stale(path):
    db = ck.Database(path)
    doc, store = db.doc("d"), db.store("s")
    doc["t"] = ck.Text("x")
    text = doc["t"]
    store["a"] = 1
    db.close()
    calls = [
        db.names, db.commit, db.refresh, db.check, db.compact, db.stats, db.__enter__,
        lambda: db.doc("d"), lambda: db.store("s"), lambda: db.delete("d"), lambda: db.backup(path.with_name("copy")),
        lambda: db.add("n", ck.Doc()),
        lambda: doc["t"], lambda: doc.heads, doc.commit, doc.save, lambda: list(doc), lambda: len(doc), doc.to_py,
        lambda: doc.__setitem__("x", 1), lambda: str(text), lambda: text.insert(0, "y"), doc.session, doc.stats,
        lambda: store["a"], lambda: store.__setitem__("a", 2), lambda: len(store), store.save, store.opset,
        lambda: list(store),
    ]  # fmt: skip
    for number, call in enumerate(calls):
        with pytest.raises(ck.StaleHandleError):
            call()
            pytest.fail(f"call {number} went through")
    assert db.path == str(path) and isinstance(db.identity, ck.Identity) and "closed" in repr(db)
    repr(doc), repr(store), repr(text)
    assert not path.with_name("copy").exists()


def test_all_data_is_in_the_one_file(path, tmp_path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    (tmp_path / "elsewhere").mkdir()
    alone = tmp_path / "elsewhere" / "moved.db"
    alone.write_bytes(path.read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) in (
        ["app.db", "app.db.key"],
        ["app.db", "app.db.key", "app.db.lock"],
    )
    with ck.Database(alone, read_only=True) as db:
        assert db.doc("it").to_py() == {"a": 1}


@pytest.mark.parametrize("kind", ["doc", "datastore", "store"])
def test_what_is_open_for_reading_only_says_so_whatever_it_is_asked_to_take_in(path, kind):
    of = {"doc": ck.Doc, "datastore": ck.Datastore, "store": ck.Store}[kind]
    with ck.Database(path) as db:
        getattr(db, kind)("it")["a"] = 1
    with ck.Database(path, read_only=True) as db:
        it = getattr(db, kind)("it")
        other = ck.Store() if kind == "store" else of(id=it.id)
        other["b"] = 2
        asked = [lambda: it.update(b=2), lambda: ck.sync(it, other)]
        if kind == "store":
            asked += [lambda: it.integrate_diff(other.build_diff(it.request_diff()))]
        else:
            asked += [lambda: it.apply(other.export()), lambda: it.merge(other)]
        for ask in asked:
            with pytest.raises(ck.StoreError, match="open for reading only"):
                ask()
        assert it == {"a": 1} and db.check() == []


def test_a_forgotten_database_loses_nothing(path):
    db = ck.Database(path)
    db.doc("it")["a"] = 1
    with pytest.warns(ResourceWarning, match="unclosed"):
        del db
        gc.collect()
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


def test_a_closed_database_warns_of_nothing(path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        db = ck.Database(path)
        db.close()
        del db
        gc.collect()
    assert not said


def test_a_failed_opening_leaves_nothing_open(path):
    path.write_bytes(b"no database" * 1000)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises((ck.StoreError, ck.DecodeError)):
            ck.Database(path)
        gc.collect()
    assert not said


# ---- arguments


def test_paths_of_every_kind(tmp_path):
    for path in (str(tmp_path / "a"), tmp_path / "b", pathlib.PurePath(tmp_path / "ä ö")):
        with ck.Database(path) as db:
            put(db.doc("it"), "a", 1)
            assert db.path == str(path)
    for wrong in (None, 5, ["x"]):
        with pytest.raises(TypeError):
            ck.Database(wrong)


def test_a_folder_that_is_not_there(tmp_path):
    for read_only in (False, True):
        with pytest.raises(FileNotFoundError) as missing:
            ck.Database(tmp_path / "nowhere" / "app.db", read_only=read_only)
        assert isinstance(missing.value, ck.StoreError) and missing.value.errno == errno.ENOENT
        assert missing.value.filename == str(tmp_path / "nowhere" / "app.db")
        with pytest.raises(ck.StoreError):
            ck.Database(tmp_path, read_only=read_only)


def test_durability_is_one_of_two(path):
    for wrong in ("FULL", "", "off"):
        with pytest.raises(ValueError):
            ck.Database(path, durability=wrong)
    with pytest.raises(TypeError):
        ck.Database(path, durability=None)
    assert not path.exists()
    for durability in ("full", "normal"):
        with ck.Database(path, durability=durability) as db:
            put(db.doc("it"), durability, 1)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"full": 1, "normal": 1}


def test_what_is_no_identity(path):
    with pytest.raises(TypeError):
        ck.Database(path, b"secret")
    assert not path.exists()


def test_it_cannot_be_copied(path):
    with ck.Database(path) as db:
        for copier in copy.copy, copy.deepcopy, pickle.dumps:
            with pytest.raises(TypeError):
                copier(db)


def test_in_memory():
    with ck.Database(":memory:") as db, ck.Database(":memory:") as other:
        put(db.doc("it"), "a", 1)
        assert db.check() == [] and db.names() == {"it": "doc"} and other.names() == {}
        assert "0 open" in repr(other)
    assert not pathlib.Path(":memory:").exists() and not pathlib.Path(":memory:.key").exists()
    with pytest.raises(ValueError):
        ck.Database(":memory:", read_only=True)


def test_a_database_in_memory_can_be_written_down(path):
    with ck.Database(":memory:") as db:
        put(db.doc("it"), "a", 1)
        db.backup(path)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


# ---- add


def test_add_takes_the_object_itself(path):
    doc, store = ck.Doc(), ck.Store("laptop")
    doc["a"] = 1
    doc.commit()
    doc["b"] = ck.Text("open")
    store["a"] = 1
    with ck.Database(path) as db:
        assert db.add("d", doc) is doc is db.doc("d")
        assert db.add("s", store) is store is db.store("s")
        id, root = doc.id, doc.root
        put(doc, "c", 3)
        put(store, "c", 3)
    with ck.Database(path) as db:
        assert db.doc("d").id == id and db.doc("d").to_py() == {"a": 1, "b": "open", "c": 3}
        assert root != db.doc("d").root and len(db.doc("d").changes()) == 3
        assert dict(db.store("s")) == {"a": 1, "c": 3} and db.store("s").peer_id == "laptop"
        assert db.check() == []


def test_add_makes_a_datastore_that_knows_the_same(path):
    kv = ck.Datastore()
    kv["a"] = 1
    with kv.batch() as b:
        b.put("b", [1, {"c": None}])
        b.increment("n", 5)
    other = kv.fork(ck.Identity.generate())
    other["a"], kv["a"] = 2, 3
    kv.merge(other)
    with ck.Database(path) as db:
        there = db.add("kv", kv)
        assert there is db.datastore("kv") and there.id == kv.id and there.root == kv.root
        assert there.identity == kv.identity
        put(there, "new", 1)
        assert "new" not in kv
        with pytest.raises(ValueError, match="lives in a file"):
            db.add("again", there)
    with ck.Database(path) as db:
        there = db.datastore("kv")
        assert dict(there) == dict(kv) | {"new": 1} and int(there.counter("n")) == 5
        assert there.conflicts("a") == kv.conflicts("a") and there.equivocations() == []
        assert db.check() == []


def test_add_goes_on_refusing_what_was_purged(path):
    kv = ck.Datastore()
    kv["a"] = 1
    for dag in ("spam", "feed", "back"):
        kv.put("a", dag, dag=dag)
    copy = kv.fork()
    for dag in ("spam", "back", "feed"):
        kv.purge(dag)
    kv.admit("back")
    with ck.Database(path) as db:
        there = db.add("kv", kv)
        assert there.root == kv.root and set(there.dags()) == {"default"}
        report = there.apply(copy.export())
        assert len(report.refused) == 2 and set(there.dags()) == {"default", "back"}
        assert there["a"] == "back"
    with ck.Database(path) as db:
        there = db.datastore("kv")
        assert len(there.apply(copy.export()).refused) == 2
        there.admit("feed")
        assert len(there.apply(copy.export()).refused) == 1 and set(there.dags()) == {"default", "back", "feed"}
        assert db.check() == []


def test_add_takes_a_datastore_whose_default_dag_was_purged(path):
    kv = ck.Datastore()
    kv["a"] = 1
    kv.put("b", 2, dag="d")
    copy = kv.fork()
    kv.purge("default")
    with ck.Database(path) as db:
        there = db.add("kv", kv)
        assert dict(there) == {"b": 2} and there.root == kv.root
        assert there.apply(copy.export()).refused and "a" not in there
        there.admit("default")
        assert there.apply(copy.export()).applied and there["a"] == 1


def test_add_takes_along_what_waits(path):
    author = ck.Datastore()
    author["a"] = 1
    author.put("x", 1, dag="d")
    first, before = author.export(), author.heads
    author["a"] = 2
    author.commit()
    author["a"] = 3
    author.put("x", 2, dag="d")
    kv = ck.Datastore(id=author.id)
    kv.apply(author.export(before))
    assert len(kv.waiting) == 3 and len(kv) == 0
    with ck.Database(path) as db:
        there = db.add("kv", kv)
        assert there.waiting == kv.waiting and there.missing == kv.missing
        there.apply(first)
        assert dict(there) == {"a": 3, "x": 2} and there.waiting == () and there == author
        assert db.check() == []


def test_add_keeps_all_of_a_history_with_several_authors(path):
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    for i in range(5):
        other = doc.fork(ck.Identity.generate())
        other["t"].insert(0, str(i))
        doc.merge(other)
    root, text, changes = doc.root, str(doc["t"]), [change.id for change in doc.changes()]
    with ck.Database(path) as db:
        db.add("it", doc)
    with ck.Database(path) as db:
        again = db.doc("it")
        assert again.root == root and str(again["t"]) == text
        assert {change.id for change in again.changes()} == set(changes)


def test_add_what_cannot_be_added(path, tmp_path):
    doc = ck.Doc()
    with ck.Database(path) as db, ck.Database(tmp_path / "other.db") as other:
        db.doc("it")
        with pytest.raises(ValueError, match="taken"):
            db.add("it", doc)
        db.add("new", doc)
        for file in db, other:
            with pytest.raises(ValueError, match="lives in a file"):
                file.add("again", doc)
            with pytest.raises(ValueError, match="lives in a file"):
                file.add("again", db.doc("it"))
        for wrong in (None, {"a": 1}, ck.Text("x"), doc.session()):
            with pytest.raises(TypeError):
                db.add("wrong", wrong)
        assert set(db.names()) == {"it", "new"} and other.names() == {}


# ---- compliance


@pytest.mark.parametrize("compliance", [False, True])
def test_with_compliance_nothing_is_ever_dropped(path, compliance):
    with ck.Database(path, compliance=compliance) as db:
        kv = db.datastore("kv")
        for i in range(20):
            put(kv, "a", str(i) * 100)
        db.compact()
        assert kv["a"] == "19" * 100
        assert len(kv.history("a")) == (20 if compliance else 1)
    with ck.Database(path) as db:
        assert len(db.datastore("kv").history("a")) == (20 if compliance else 1)
        assert db.check() == []


# ---- delete


@pytest.mark.parametrize("kind", KINDS)
def test_delete_forgets_it(path, kind):
    with ck.Database(path) as db:
        it = getattr(db, kind)("it")
        put(it, "a", 1)
        put(getattr(db, kind)("other"), "b", 2)
        edit(it, "lost", 1)
        db.delete("it")
        assert db.names() == {"other": kind}
        with pytest.raises(ck.StaleHandleError, match="deleted"):  # the database is not closed
            it["a"]
        with pytest.raises(KeyError):
            db.delete("it")
        assert content(getattr(db, kind)("it")) == {} and content(getattr(db, kind)("other")) == {"b": 2}
        db.delete("it")
    with ck.Database(path) as db:
        db.delete("other")
        assert db.names() == {} and db.stats()["records"] == 0 and db.check() == []


def test_a_deleted_name_may_have_another_kind(path):
    with ck.Database(path) as db:
        for kind in KINDS * 2:
            put(getattr(db, kind)("it"), "a", kind)
            assert db.names() == {"it": kind}
            db.delete("it")


# ---- figures


def test_stats(path):
    with ck.Database(path) as db:
        for i in range(3):
            put(db.doc(f"d{i}"), "a", 1)
        put(db.store("s"), "a", 1)
        stats = db.stats()
        assert (stats["names"], stats["docs"], stats["stores"], stats["datastores"], stats["open"]) == (4, 3, 1, 0, 4)
        assert stats["records"] >= 4 and stats["bytes"] >= 4096 and stats["poisoned"] is False


def test_looking_at_everything_keeps_nothing_open(path):
    with ck.Database(path, durability="normal") as db:
        for i in range(10):
            for kind in KINDS:
                put(getattr(db, kind)(f"{kind}{i}"), "a", 1)
    with ck.Database(path) as db:
        assert db.check() == [] and db.compact() and db.stats()["open"] == 0
        doc = db.doc("doc1")
        assert db.check() == [] and db.compact() and db.stats()["open"] == 1
        assert doc is db.doc("doc1") and doc["a"] == 1 and db.doc("doc2")["a"] == 1


def test_compact_takes_the_air_out_of_pages(path):
    """Bodies that are dropped leave short rows behind in pages that stay."""
    with ck.Database(path, durability="normal") as db:
        kv = db.datastore("kv")
        for i in range(1500):
            put(kv, "a", f"{i}" + "x" * 900)
        root = kv.root
        sizes = db.compact()
        ((rows,),) = db._open.file.run("SELECT sum(length(header) + ifnull(length(signature), 0)) FROM change")
        assert sizes["before"] > 1_500_000 and sizes["after"] < 2 * rows + (1 << 19)
        assert kv.root == root and kv["a"].startswith("1499x") and db.check() == []
        put(kv, "b", 1)
    with ck.Database(path) as db:
        assert len(db.datastore("kv")) == 2 and db.check() == []


def test_compact_gives_room_back_and_keeps_everything(path):
    with ck.Database(path, durability="normal") as db:
        doc, store = db.doc("d"), db.store("s")
        for i in range(300):
            put(doc, f"k{i % 5}", "x" * 200 + str(i))
            put(store, f"k{i % 5}", "x" * 200 + str(i))
        put(db.doc("gone"), "a", "y" * 100_000)
        db.delete("gone")
        before, root, entries = content(doc), doc.root, dict(store.entries())
        sizes = db.compact()
        assert sizes["after"] < sizes["before"]
        assert content(doc) == before and doc.root == root and dict(store.entries()) == entries
        put(doc, "more", 1)
    assert path.stat().st_size <= sizes["before"]
    with ck.Database(path) as db:
        assert db.doc("d").to_py() == before | {"more": 1} and len(db.doc("d").changes()) == 301
        assert dict(db.store("s").entries()) == entries and db.check() == []
