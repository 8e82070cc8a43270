"""Directory: what is shared, and what becomes of the names of others."""

import pytest

import crdtkv as ck
from crdtkv.net.directory import Directory, Entry, Quota, Verdict

SHARED, CONFLICT, REFUSED = Verdict.SHARED, Verdict.CONFLICT, Verdict.REFUSED


@pytest.fixture
def db():
    with ck.Database(":memory:") as db:
        yield db


def an_id(n):
    return n.to_bytes(32, "big")


def test_one_object_is_shared_under_its_id():
    doc, kv = ck.Doc(), ck.Datastore()
    assert Directory(doc).entries() == [Entry("", "doc", doc.id)]
    assert Directory(kv).entries() == [Entry("", "datastore", kv.id)]
    assert Directory(doc).open(doc.id) is doc and Directory(doc).only == doc.id
    with pytest.raises(KeyError):
        Directory(doc).open(kv.id)


def test_stores_are_not_shared_but_their_names_are_taken(db):
    db.store("settings")["x"] = 1
    doc = db.doc("notes")
    directory = Directory(db)
    assert directory.entries() == [Entry("notes", "doc", doc.id)]
    assert directory.offer(Entry("settings", "doc", an_id(1)), Quota()) is CONFLICT
    assert db.names() == {"notes": "doc", "settings": "store"}


def test_names_are_matched_by_id(db):
    doc = db.doc("notes")
    directory = Directory(db)
    assert directory.offer(Entry("called otherwise there", "doc", doc.id), Quota()) is SHARED
    assert directory.offer(Entry("notes", "doc", an_id(1)), Quota()) is CONFLICT
    assert directory.offer(Entry("notes", "datastore", doc.id), Quota()) is CONFLICT
    assert db.names() == {"notes": "doc"}


def test_a_new_name_is_made_here(db):
    directory = Directory(db)
    quota = Quota()
    assert directory.offer(Entry("kv", "datastore", an_id(1)), quota) is SHARED
    assert db.names() == {"kv": "datastore"} and db.datastore("kv").id == an_id(1)
    assert directory.open(an_id(1)) is db.datastore("kv")
    assert directory.offer(Entry("kv", "datastore", an_id(1)), quota) is SHARED
    assert quota.left == 1023


def test_one_without_a_name_is_called_by_its_id(db):
    assert Directory(db).offer(Entry("", "doc", an_id(1)), Quota()) is SHARED
    assert db.names() == {an_id(1).hex(): "doc"}


def test_accept_is_asked_for_new_names_only(db):
    asked = []
    doc = db.doc("notes")
    directory = Directory(db, accept=lambda *entry: asked.append(entry) or entry[0] == "good")
    assert directory.offer(Entry("notes", "doc", doc.id), Quota()) is SHARED
    assert directory.offer(Entry("good", "doc", an_id(1)), Quota()) is SHARED
    assert directory.offer(Entry("bad", "doc", an_id(2)), Quota()) is REFUSED
    assert asked == [("good", "doc", an_id(1)), ("bad", "doc", an_id(2))]


def test_an_accept_that_fails_refuses(db, caplog):
    directory = Directory(db, accept=lambda *entry: 1 / 0)
    assert directory.offer(Entry("x", "doc", an_id(1)), Quota()) is REFUSED
    assert "ZeroDivisionError" in caplog.text


def test_limits_of_new_names(db):
    directory, quota = Directory(db), Quota(3)
    assert directory.offer(Entry("é" * 128, "doc", an_id(1)), quota) is REFUSED
    assert directory.offer(Entry("é" * 127 + "x", "doc", an_id(2)), quota) is SHARED
    assert [directory.offer(Entry(f"n{i}", "doc", an_id(9 + i)), quota) for i in range(3)] == [SHARED, SHARED, REFUSED]
    assert directory.offer(Entry("s", "store", an_id(77)), Quota()) is REFUSED


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/", ".", "C:\\x", "a\0b", "\x1b[31m", "'; DROP TABLE object; --"]
)
def test_a_name_is_only_a_name(db, name):
    directory = Directory(db)
    assert directory.offer(Entry(name, "doc", an_id(1)), Quota()) is SHARED
    assert db.names() == {name: "doc"}
    assert directory.offer(Entry(name, "doc", an_id(2)), Quota()) is CONFLICT


def test_a_target_that_is_one_object_takes_no_others():
    doc = ck.Doc()
    assert Directory(doc).offer(Entry("x", "doc", an_id(1)), Quota()) is REFUSED
    assert Directory(doc).offer(Entry("x", "doc", doc.id), Quota()) is SHARED


def test_names_that_come_and_go_while_it_is_shared(db):
    directory = Directory(db)
    assert not directory.has_news()
    doc = db.doc("notes")
    assert directory.has_news() and directory.get(doc.id) is None
    directory.refresh()
    assert directory.get(doc.id) == Entry("notes", "doc", doc.id) and not directory.has_news()
    db.delete("notes")
    with pytest.raises(KeyError):
        directory.open(doc.id)
    assert directory.entries() == [] and db.names() == {}  # it was not made anew


def test_a_name_that_was_deleted_is_free(db):
    directory = Directory(db)
    doc = db.doc("notes")
    assert directory.offer(Entry("notes", "doc", an_id(1)), Quota()) is CONFLICT
    db.delete("notes")
    assert directory.has_news()
    assert directory.offer(Entry("notes", "doc", an_id(1)), Quota()) is SHARED and not directory.has_news()
    db.delete("notes")
    assert directory.offer(Entry("elsewhere", "doc", doc.id), Quota()) is SHARED
    assert {entry.name for entry in directory.entries()} == set(db.names()) == {"elsewhere"}


def test_of_two_names_for_one_document_one_is_shared_and_it_is_said_which(db, caplog):
    doc = db.doc("first")
    db.doc("second", id=doc.id)
    db.store("third", id="a store")
    directory = Directory(db)
    directory.refresh()
    assert [entry.name for entry in directory.entries()] == ["second"]
    assert [record.getMessage() for record in caplog.records] == [
        "'first' is not shared: it is the same as 'second', which is"
    ]


def test_a_name_made_meanwhile_is_seen(db):
    directory = Directory(db)
    doc = db.doc("notes")
    assert directory.offer(Entry("notes", "doc", an_id(1)), Quota()) is CONFLICT
    assert directory.offer(Entry("notes", "doc", doc.id), Quota()) is SHARED


def test_what_cannot_be_shared(tmp_path, db):
    with ck.Database(tmp_path / "x.db") as writer:
        writer.doc("d")["x"] = writer.datastore("k")["x"] = 1
    with ck.Database(tmp_path / "x.db", read_only=True) as reader:
        for target, name in ((reader, "x.db"), (reader.doc("d"), "<Doc"), (reader.datastore("k"), "<Datastore")):
            with pytest.raises(ck.StoreError, match=f"{name}.* reading only; a link takes in") as refused:
                Directory(target)
            assert refused.value.pid is None
    for wrong in (ck.Store(), {}, None, db.path):
        with pytest.raises(TypeError, match="shared"):
            Directory(wrong)
    directory = Directory(db)
    db.close()
    with pytest.raises(ck.StaleHandleError):
        directory.refresh()


def test_who_speaks_for_the_target(db):
    doc = ck.Doc()
    assert Directory(doc).identity == doc.identity and Directory(db).identity == db.identity
