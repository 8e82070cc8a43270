"""crdtkv init, ls, show, check, verify, stats, compact, backup: files as a whole."""

import os
import subprocess
import sys

import pytest

import crdtkv as ck
from crdtkv import testing
from house.shell import done, environment, run, said_no

READING = {  # every command that only looks
    "ls": ["ls", "FILE"],
    "ls NAME": ["ls", "FILE", "kv"],
    "get": ["get", "FILE", "kv", "a"],
    "query": ["query", "FILE", "kv"],
    "count": ["count", "FILE", "kv"],
    "show": ["show", "FILE", "notes"],
    "log": ["log", "FILE"],
    "graph": ["graph", "FILE"],
    "diff": ["diff", "FILE", "notes", "empty", "heads"],
    "blame": ["blame", "FILE", "notes", "body"],
    "check": ["check", "FILE"],
    "verify": ["verify", "FILE"],
    "stats": ["stats", "FILE"],
    "stats NAME": ["stats", "FILE", "notes"],
    "export": ["export", "FILE", "kv", os.devnull],
    "backup": ["backup", "FILE", "COPY"],
}


def fill(db):
    db.datastore("kv").update({"a": 1, "b": [2]})
    db.doc("notes").update({"title": "Picnic", "body": ck.Text("We meet."), "items": [{"t": "Bread"}], "a/b": {"c": 3}})
    db.store("settings")["volume"] = 7


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        fill(db)
    return path


def words(command, file):
    return [{"FILE": file, "COPY": f"{file}.copy"}.get(word, word) for word in READING[command]]


# ---- init


def test_init_makes_a_file_and_its_key(tmp_path):
    path = tmp_path / "new.db"
    said = done("init", path, "--json").json
    assert said == {"file": str(path), "author": ck.Identity.load(f"{path}.key").public_key.hex()}
    assert done("ls", path, "--json").json == {} and done("ls", path).out == ""


def test_init_changes_nothing_that_is_there(tmp_path, file):
    before = file.read_bytes()
    assert "nothing was changed" in said_no(3, "init", file)
    assert file.read_bytes() == before
    other = tmp_path / "letter.txt"
    other.write_text("dear Ben")
    said_no(3, "init", other)
    said_no(3, "init", tmp_path)
    said_no(3, "init", tmp_path / "no" / "folder.db")
    os.symlink("nowhere", tmp_path / "link")
    said_no(3, "init", tmp_path / "link")
    assert other.read_text() == "dear Ben" and sorted(os.listdir(tmp_path)) == [
        "app.db",
        "app.db.key",
        "letter.txt",
        "link",
    ]
    said_no(2, "init", ":memory:")


def test_init_takes_an_empty_file(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    done("init", path)
    assert done("ls", path, "--json").json == {}


# ---- looking


def test_ls(file):
    assert done("ls", file, "--json").json == {"kv": "datastore", "notes": "doc", "settings": "store"}
    assert done("ls", file).out == "kv\tdatastore\nnotes\tdoc\nsettings\tstore\n"
    kinds = {"a/b": "map", "body": "text", "items": "list", "title": "str"}
    assert done("ls", file, "notes", "--json").json == kinds
    assert done("ls", file, "kv").out == "a\tint\nb\tlist\n"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "Picnic"),
        ("items/0/t", "Bread"),
        ("items/-1", {"t": "Bread"}),
        ("items", [{"t": "Bread"}]),
        ("a/b/c", 3),
        ("a/b", {"c": 3}),
        ('["a/b", "c"]', 3),
        ('["items", 0]', {"t": "Bread"}),
        ("body", "We meet."),
        ("/items/0/t", "Bread"),
        ("items.0.t", "Bread"),
        ("items[0].t", "Bread"),
    ],
)
def test_show_finds_a_path(file, path, value):
    assert done("show", file, "notes", path, "--json").json == value


@pytest.mark.parametrize("path", ["nothing", "items/1", "items/x", "title/0", "body/0", "a", "[1", "/", "items/0/t/"])
def test_show_finds_nothing(file, path):
    assert "nothing is at" in said_no(1, "show", file, "notes", path)


def test_show_draws_what_is_in_it(file):
    assert done("show", file, "notes").out == (
        'notes {4}\n  a/b {1}\n    c 3\n  body "We meet."\n  items [1]\n    0 {1}\n      t "Bread"\n  title "Picnic"\n'
    )
    assert done("show", file, "notes", "body").out == "We meet.\n"
    assert done("show", file, "kv", "--json").json == {"a": 1, "b": [2]}
    assert done("show", file, "settings").out == "settings {1}\n  volume 7\n"


def test_stats(file):
    with ck.Database(file, read_only=True) as db:
        assert done("stats", file, "--json").json == db.stats()
        assert done("stats", file, "notes", "--json").json.keys() == db.doc("notes").stats().keys()
    assert "names\t3\n" in done("stats", file).out


def snapshot(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.parametrize("command", READING)
def test_a_look_leaves_no_trace(tmp_path, file, command):
    os.remove(f"{file}.key")
    before = snapshot(tmp_path)
    done(*words(command, file))
    after = snapshot(tmp_path)
    after.pop("app.db.copy", None)
    assert after == before


WRITER = """
import sys, crdtkv as ck
db = ck.Database(sys.argv[1])
db.datastore("kv")["new"] = 1
db.commit()
print("open", flush=True)
sys.stdin.read()
db.close()
"""


@pytest.fixture
def writer(file):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout.readline() == b"open\n"
        yield process
        process.stdin.close()
        assert process.wait(60) == 0


def test_one_looks_while_another_one_writes(file, writer):
    for command in READING:
        done(*words(command, file))
    assert done("count", file, "kv").out == "3\n"


@pytest.mark.parametrize(
    "args", [["put", "kv", "a", "2"], ["del", "kv", "a"], ["compact"], ["compact", "kv"], ["import", "kv", "/dev/null"]]
)
def test_a_second_writer_hears_who_the_first_one_is(file, writer, args):
    assert f"process {writer.pid} " in said_no(3, args[0], file, *args[1:])


# ---- is all well?


def test_all_is_well(file):
    assert done("check", file).out == "all is well\n"
    assert done("check", file, "--json").json == []
    said = done("verify", file, "--json").json
    assert said["ok"] and said["findings"] == [] and said["names"]["notes"]["kind"] == "doc"
    with ck.Database(file, read_only=True) as db:
        assert said["names"]["kv"]["root"] == db.datastore("kv").root.hex()
        assert said["names"]["kv"]["authors"] == [ck.Identity.load(f"{file}.key").public_key.hex()]
    assert "nothing in it is signed" in done("verify", file).out


@pytest.mark.parametrize("what", [b"Picnic", b"volume", b"CREATE TABLE object", b"notes"])
def test_damage_is_found(file, what):
    data = bytearray(file.read_bytes())
    at = data.index(what)
    data[at] ^= 0x55
    file.write_bytes(data)
    for command in ("check", "verify"):
        result = run(command, file)
        assert result.code == 1 and result.out and not result.err, result
        found = run(command, file, "--json")
        assert found.code == 1 and (found.json if command == "check" else found.json["findings"])
    assert file.read_bytes() == data


def test_what_was_never_ours_is_bad_bytes(tmp_path, file):
    (tmp_path / "letter").write_text("dear Ben" * 1000)
    (tmp_path / "empty").touch()
    for name in ("letter", "empty"):
        for args in (
            ["check"],
            ["verify"],
            ["ls"],
            ["get", "kv", "a"],
            ["put", "kv", "a", "1"],
            ["backup", f"{file}.copy"],
        ):
            said_no(4, args[0], tmp_path / name, *args[1:])


def test_verify_names_who_told_two_stories(tmp_path):
    path = tmp_path / "app.db"
    mallory = ck.Identity.generate()
    with ck.Database(path) as db:
        doc = db.doc("notes")
        doc["x"] = 0
        for bundle in testing.Forger(doc, mallory).fork(
            lambda doc: doc.update(x="one thing"), lambda doc: doc.update(x="another")
        ):
            doc.apply(bundle)
    assert done("check", path).out == "all is well\n"
    said = run("verify", path, "--json")
    assert said.code == 1
    (lie,) = said.json["names"]["notes"]["equivocations"]
    assert lie["author"] == mallory.public_key.hex() and not said.json["ok"] and said.json["findings"] == []
    assert mallory.public_key.hex()[:16] in run("verify", path).out
    drawn = done("graph", path, "notes").out
    assert drawn.count("fork") == 2 and drawn.count("Y") == 2


# ---- making it small, and copies


def test_compact(file):
    with ck.Database(file) as db:
        for n in range(50):
            db.datastore("kv")["a"] = "x" * 1000 + str(n)
            db.commit()
    said = done("compact", file, "kv", "--json").json
    assert said["after"] < said["before"] and said["dropped"] > 0
    assert set(done("compact", file, "--json").json) == {"before", "after"}
    assert set(done("compact", file, "notes", "--json").json) == {"before", "after"}
    assert "bytes before" in done("compact", file, "settings").out
    assert done("get", file, "kv", "a").out.endswith("49\n")
    said_no(1, "compact", file, "nothing")


def test_backup(tmp_path, file):
    copy = tmp_path / "copy.db"
    assert done("backup", file, copy, "--json").json == {
        "file": str(file),
        "dest": str(copy),
        "size": copy.stat().st_size,
    }
    assert done("show", copy, "notes", "--json").json == done("show", file, "notes", "--json").json
    assert not os.path.exists(f"{copy}.key")
    said_no(3, "backup", file, copy)
    said_no(3, "backup", file, tmp_path / "no" / "folder.db")
