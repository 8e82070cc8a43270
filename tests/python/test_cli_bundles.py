"""crdtkv export and import: one name travels as a file."""

import os
import stat

import pytest

import crdtkv as ck
from crdtkv import testing
from house.shell import done, process, run, said_no

KINDS = ["doc", "datastore", "store"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        for kind in KINDS:
            getattr(db, kind)(kind).update({"a": 1, "b": ["two"]})
    return path


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.db"
    done("init", path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_travels(tmp_path, file, other, kind):
    bundle = tmp_path / "it.bundle"
    said = done("export", file, kind, bundle, "--json").json
    assert said == {"name": kind, "out": str(bundle), "size": bundle.stat().st_size}
    said = done("import", other, "new", bundle, "--json").json
    assert said["kind"] == kind and said["applied"] and not said["refused"] and said["known"] == 0
    assert done("show", other, "new", "--json").json == done("show", file, kind, "--json").json
    with ck.Database(file, read_only=True) as a, ck.Database(other, read_only=True) as b:
        if kind == "store":
            assert b.store("new").entries() == a.store(kind).entries()
        else:
            old, new = getattr(a, kind)(kind), getattr(b, kind)("new")
            assert (old.id, old.root) == (new.id, new.root)
    again = done("import", other, "new", bundle, "--json").json
    assert again["applied"] == [] and again["known"] > 0
    done("put", other, "new", "c", "3")
    done("export", other, "new", bundle)
    assert len(done("import", file, kind, bundle, "--json").json["applied"]) == 1
    assert done("get", file, kind, "c").out == "3\n"


def test_only_what_a_version_lacks(tmp_path, file, other):
    done("export", file, "doc", tmp_path / "all")
    (first,) = done("log", file, "doc", "--json").json
    done("put", file, "doc", "c", "3")
    done("export", file, "doc", tmp_path / "rest", "--since", first["id"][:10])
    late = run("import", other, "x", tmp_path / "rest", "--json")
    assert late.code == 1 and len(late.json["waiting"]) == 1 and "ancestors" in late.err
    assert done("ls", other, "--json").json == {}
    for bundle in ("all", "rest"):
        assert len(done("import", other, "x", tmp_path / bundle, "--json").json["applied"]) == 1
    assert done("get", other, "x", "c").out == "3\n"
    said_no(2, "export", file, "store", tmp_path / "rest", "--since", "heads")
    said_no(1, "export", file, "doc", tmp_path / "rest", "--since", "0" * 64)


@pytest.mark.parametrize("kind", KINDS)
def test_through_a_pipe(file, other, kind):
    sent = process("export", file, kind, "-")
    assert (sent.code, sent.err) == (0, "")
    got = process("import", other, "x", "-", "--json", stdin=sent.stdout)
    assert (got.code, got.err) == (0, "") and got.json["kind"] == kind
    said_no(2, "export", file, kind, "-", "--json")


def test_bad_bytes(tmp_path, file, other):
    done("export", file, "doc", tmp_path / "bundle")
    data = (tmp_path / "bundle").read_bytes()
    bad = tmp_path / "bad"
    flipped = data[:70] + bytes([data[70] ^ 1]) + data[71:]
    for broken in (b"", b"garbage" * 100, data[:-1], data + b"x", data[:50], flipped, b"CKB", b"CKD"):
        bad.write_bytes(broken)
        said_no(4, "import", other, "x", bad)
        assert done("ls", other, "--json").json == {}
    for name in KINDS:
        wrong = "store" if name != "store" else "doc"
        done("export", file, wrong, bad)
        said_no(4, "import", file, name, bad)
    done("put", file, "second", "k", "1", "--kind", "doc")
    assert "another" in said_no(4, "import", file, "second", tmp_path / "bundle")
    said_no(3, "import", other, "x", tmp_path / "nothing")
    said_no(3, "import", other, "x", tmp_path)


def test_what_is_forged_inside_is_reported_and_the_rest_lands(tmp_path, file, other):
    with ck.Database(file) as db:
        doc = db.doc("doc")
        forger = testing.Forger(doc, ck.Identity.generate())
        forged = forger.forge(signature=bytes(64))
        (tmp_path / "forged").write_bytes(forged)
        (tmp_path / "mixed").write_bytes(testing.join(doc.save(), forged))
    result = run("import", other, "x", tmp_path / "mixed", "--json")
    assert result.code == 4 and len(result.json["applied"]) == 1 and len(result.json["refused"]) == 1
    assert done("get", other, "x", "a").out == "1\n"
    said_no(4, "import", other, "y", tmp_path / "forged")
    assert done("ls", other, "--json").json == {"x": "doc"}


def test_a_store_that_lacks_a_key_takes_it_away(tmp_path, other):
    ours, theirs = ck.Store("ours"), ck.Store("theirs")
    ours.update({"gone": 1, "stays": 2})
    theirs.integrate_diff(ours.build_diff(theirs.request_diff()))
    del theirs["gone"]
    for n, store in enumerate((ours, theirs)):
        (tmp_path / str(n)).write_bytes(store.save())
    assert done("import", other, "x", tmp_path / "0").out == "x: 2 applied\n"
    assert done("import", other, "x", tmp_path / "1").out == "x: 1 applied, 1 known\n"
    assert done("import", other, "x", tmp_path / "1", "--json").json["known"] == 1
    assert done("show", other, "x", "--json").json == {"stays": 2}


def test_who_could_not_read_a_file_cannot_read_what_takes_its_place(tmp_path, file):
    out = tmp_path / "bundle"
    out.touch(mode=0o600)
    done("export", file, "doc", out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_bundle_is_there_whole_or_not_at_all(tmp_path, file):
    out = tmp_path / "bundle"
    out.write_bytes(b"old" * 1000)
    done("export", file, "doc", out)
    assert out.read_bytes().startswith(b"CKB") and stat.S_IMODE(out.stat().st_mode) & 0o111 == 0
    link = tmp_path / "link"
    os.symlink(out, link)
    done("export", file, "store", link)
    assert link.is_symlink() and not out.read_bytes().startswith(b"CKB")
    said_no(3, "export", file, "doc", tmp_path / "no" / "folder")
    said_no(3, "export", file, "doc", tmp_path)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".crdtkv")]
