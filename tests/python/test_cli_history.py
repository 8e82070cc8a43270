"""crdtkv log, graph, diff, blame: what happened, and who did it."""

from xml.etree import ElementTree

import pytest

import crdtkv as ck
from house.shell import done, said_no


@pytest.fixture
def db(tmp_path):
    with ck.Database(tmp_path / "app.db") as db:
        yield db


def edits(db, name="notes"):
    """Three changes of a document, by two authors."""
    doc = db.doc(name)
    with doc.change("start"):
        doc["body"] = ck.Text("We meet at noon.")
        doc["n"] = 1
    other = doc.fork(ck.Identity.generate())
    with other.change("all"):
        other["body"].insert(3, "all ")
    with doc.change("two"):
        doc["n"] = 2
    doc.merge(other)
    doc["seen"] = True
    doc.commit()
    return doc, other


def test_log(db):
    doc, other = edits(db)
    log = done("log", db.path, "notes", "--json").json
    changes = {change.id.hex(): change for change in doc.changes()}
    assert [change["id"] for change in log[:1]] == [doc.heads[0].hex()] and len(log) == 4
    assert {change["message"] for change in log} == {"start", "all", "two", None}
    for said in log:
        change = changes[said["id"]]
        assert said["author"] == change.author.hex() and said["seq"] == change.seq and said["time"] == change.time
        assert said["parents"] == [parent.hex() for parent in change.parents] and said["n_ops"] == change.n_ops
    assert {change["author"] for change in log} == {doc.identity.public_key.hex(), other.identity.public_key.hex()}
    assert done("log", db.path, "notes", "--json", "--reverse").json == log[::-1]
    assert done("log", db.path, "notes", "--json", "-n", 2).json == log[:2]
    lines = done("log", db.path, "notes").out.splitlines()
    assert len(lines) == 4 and all(line.split("\t")[0] == said["id"][:8] for line, said in zip(lines, log))


def test_log_of_all_names(db):
    edits(db)
    db.datastore("kv")["k"] = 1
    db.store("s")["k"] = 1
    db.commit()
    log = done("log", db.path, "--json").json
    assert [change["name"] for change in log].count("notes") == 4 and len(log) == 5
    assert [change["dag"] for change in log if change["name"] == "kv"] == ["default"]
    assert "keeps no history" in said_no(2, "log", db.path, "s")
    said_no(1, "log", db.path, "nothing")


def test_clocks_that_lie_do_not_put_a_child_before_its_parents(tmp_path):
    times = iter([2**48 - 2, 5, 4])
    doc = ck.Doc(clock=lambda: next(times))
    for n in range(3):
        doc["n"] = n
        doc.commit()
    with ck.Database(tmp_path / "app.db") as db:
        db.add("notes", doc)
        db.datastore("kv")["k"] = 1
    log = done("log", tmp_path / "app.db", "--json", "--reverse").json
    assert [change["seq"] for change in log if change["name"] == "notes"] == [0, 1, 2]
    assert f"\t{2**48 - 2} ms\t" in done("log", tmp_path / "app.db").out


def test_graph(db):
    doc, _ = edits(db)
    nodes = done("graph", db.path, "notes", "--json").json
    assert [node["id"] for node in nodes] == [node.id.hex() for node in doc.graph()]
    assert [node["head"] for node in nodes].count(True) == 1
    drawn = done("graph", db.path, "notes").out
    assert drawn.count("@") == 1 and "head, merges B:0" in drawn and "author" in drawn
    assert "and 2 older changes" in done("graph", db.path, "notes", "--limit", 2).out
    assert done("graph", db.path, "notes", "--dot").out == doc.graph().to_dot()
    said_no(2, "graph", db.path, "notes", "--dot", "--json")
    assert ElementTree.fromstring(done("graph", db.path, "notes", "--svg").out).tag.endswith("svg")
    db.doc("second")["x"] = 1
    db.commit()
    assert {node["name"] for node in done("graph", db.path, "--json").json} == {"notes", "second"}
    said_no(2, "graph", db.path, "--dot")


def test_diff_of_a_document(db):
    doc, _ = edits(db)
    first = done("log", db.path, "notes", "--json", "--reverse").json[0]["id"]
    said = done("diff", db.path, "notes", first[:12], "heads", "--json").json
    assert {"path": ["body"], "kind": "insert", "position": 3, "new": "all "} in said
    assert {"path": [], "kind": "set", "position": "n", "old": 1, "new": 2} in said
    back = done("diff", db.path, "notes", "heads", first, "--json").json
    assert {"path": ["body"], "kind": "remove", "position": 3, "old": "all "} in back
    assert done("diff", db.path, "notes", "heads", "heads", "--json").json == []
    lines = done("diff", db.path, "notes", first, "heads").out.splitlines()
    assert 'body\tinsert\t3\t+ "all "' in lines and '.\tset\t"n"\t- 1\t+ 2' in lines
    assert done("diff", db.path, "notes", "empty", "heads", "--json").json
    both = ",".join(change.id.hex()[:16] for change in doc.changes()[1:3])
    assert [step["position"] for step in done("diff", db.path, "notes", both, "heads", "--json").json] == ["seen"]


def test_diff_of_a_datastore(db):
    kv = db.datastore("kv")
    kv.update({"a": 1, b"b": 2, "c": 3})
    then = kv.heads
    kv["a"] = True
    del kv[b"b"]
    kv["d"] = 4
    kv.commit()
    said = done("diff", db.path, "kv", then[0].hex(), "heads", "--json").json
    assert said == [
        {"path": [], "kind": "remove", "position": {"bytes": "Yg=="}, "old": 2},
        {"path": [], "kind": "set", "position": "a", "old": 1, "new": True},
        {"path": [], "kind": "set", "position": "d", "new": 4},
    ]


def test_versions_that_are_none(db):
    doc = db.doc("notes")
    for n in range(20):
        doc["n"] = n
        doc.commit()
    db.store("s")["k"] = 1
    db.commit()
    digit = next(d for d in "0123456789abcdef" if sum(c.id.hex()[0] == d for c in doc.changes()) > 1)
    assert "give more digits" in said_no(2, "diff", db.path, "notes", digit, "heads")
    assert "no change has an id" in said_no(1, "diff", db.path, "notes", "0" * 63, "heads")
    for word in ("", "xyz", "head", "0" * 65, ","):
        said_no(2, "diff", db.path, "notes", word, "heads")
    said_no(2, "diff", db.path, "s", "empty", "heads")


def test_blame(db):
    doc, other = edits(db)
    said = done("blame", db.path, "notes", "body", "--json").json
    assert [(run["start"], run["end"], run["text"]) for run in said] == [
        (0, 3, "We "),
        (3, 7, "all "),
        (7, 20, "meet at noon."),
    ]
    assert [run["author"] for run in said] == [
        key.public_key.hex() for key in (doc.identity, other.identity, doc.identity)
    ]
    assert said[1]["change"] == other.heads[0].hex()
    history = done("blame", db.path, "notes", "n", "--json").json
    assert [(entry["kind"], entry["value"]) for entry in history] == [("put", 2), ("put", 1)]
    assert history[0]["author"] == doc.identity.public_key.hex()
    assert done("blame", db.path, "notes", "body").out.splitlines()[1].endswith('\t"all "')


def test_blame_of_a_datastore(db):
    kv = db.datastore("kv")
    kv["user/ada"] = {"langs": ["en"]}
    kv["user/ada"] = None
    del kv["user/ada"]
    kv["user/ada"] = {"langs": []}
    kv.commit()
    kinds = [entry["kind"] for entry in done("blame", db.path, "kv", "user/ada", "--json").json]
    assert kinds == ["put", "delete", "put", "put"] or kinds == ["put"]
    assert "as a whole" in said_no(2, "blame", db.path, "kv", "user/ada/langs")


def test_blame_of_what_cannot_be_blamed(db):
    doc, _ = edits(db)
    doc["items"] = [1]
    db.store("s")["k"] = 1
    db.commit()
    said_no(1, "blame", db.path, "notes", "nothing")
    said_no(1, "blame", db.path, "notes", "items/0")
    said_no(2, "blame", db.path, "s", "k")
