"""Files that are not ours, newer, older, cut or flipped: the right content, or an error that names what is wrong."""

import os
import random
import shutil
import sqlite3

import pytest

import crdtkv as ck
from crdtkv import openfile
from house.kept import KINDS, content, put, sql

REFUSED = (ck.StoreError, ck.DecodeError)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


def refuses(path, match=None):
    """Opening it is refused, whether to read or to write, and touches nothing."""
    before, there = path.read_bytes(), sorted(os.listdir(path.parent))
    for read_only in (True, False):
        with pytest.raises(REFUSED, match=match):
            ck.Database(path, ck.Identity.generate(), read_only=read_only)
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == there


# ---- not ours


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"no database",
        bytes(100),
        bytes(4096),
        b"SQLite format 3\0",
        b"SQLite format 3\0" + bytes(4080),
        b"\x89PNG" * 999,
    ],
)
def test_a_file_of_another_kind(path, data):
    path.write_bytes(data)
    refuses(path)


def test_an_sqlite_file_of_somebody_else(path):
    sql(path, "CREATE TABLE object(id INTEGER PRIMARY KEY, name TEXT)")
    refuses(path)
    sql(path, "PRAGMA application_id = 1234")
    refuses(path)


def test_an_empty_file_is_a_new_one(path):
    path.touch()
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


def test_a_file_of_a_later_version(path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    sql(path, "PRAGMA user_version = 9")
    refuses(path, "later|newer|9")
    sql(path, f"PRAGMA user_version = {openfile.SCHEMA}")
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


def test_tables_that_are_not_the_ones_we_made(path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    whole = path.read_bytes()
    for statement in (
        "DROP TABLE record",
        "ALTER TABLE object ADD COLUMN extra TEXT",
        "DROP TABLE meta",
    ):
        path.write_bytes(whole)
        sql(path, statement)
        refuses(path, "table")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS key, i AS value FROM n"


@pytest.mark.parametrize("table", ["meta", "object", "record"])
def test_a_table_that_is_a_view_without_end(path, table):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    sql(path, f"ALTER TABLE {table} RENAME TO kept")
    sql(path, f"CREATE VIEW {table} AS {ENDLESS}")
    refuses(path, f"table {table}: is missing")


@pytest.mark.parametrize("index", ["(length(hex(zeroblob(object))))", "(kind) WHERE length(hex(zeroblob(object))) > 0"])
def test_an_index_that_computes(path, index):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    sql(path, "CREATE INDEX plain ON record(kind)")
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}
    sql(path, f"CREATE INDEX extra ON record{index}")
    refuses(path, "table record: has an index")


def test_somebodys_sql_does_not_run_in_our_transactions(path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    sql(path, "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM object; END")
    sql(path, "CREATE TRIGGER u AFTER INSERT ON object BEGIN DELETE FROM record; END")
    sql(path, "CREATE TABLE extra(x)")
    with ck.Database(path) as db:
        put(db.doc("it"), "b", 2)
        put(db.doc("new"), "c", 3)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1, "b": 2} and db.doc("new").to_py() == {"c": 3}
        assert db.check() == []


# ---- migration


OLDER = [
    "ALTER TABLE object RENAME COLUMN kind TO sort",
    "DROP INDEX record_object",
    "DROP TABLE sheaf",
    "PRAGMA user_version = 0",
]
NEWER = (
    "ALTER TABLE object RENAME COLUMN sort TO kind",
    "CREATE INDEX record_object ON record(object)",
)


def test_an_older_file_is_brought_up_to_date(path, monkeypatch):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    for statement in OLDER:
        sql(path, statement)
    with pytest.raises(ck.StoreError, match="version 0"):
        ck.Database(path)
    monkeypatch.setitem(openfile.MIGRATIONS, 0, NEWER)
    with pytest.raises(ck.StoreError, match="once for writing"):
        ck.Database(path, read_only=True)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1} and db.check() == []
        put(db.doc("it"), "b", 2)
    assert sql(path, "PRAGMA user_version") == [(openfile.SCHEMA,)]
    monkeypatch.undo()
    with ck.Database(path, read_only=True) as db:
        assert db.doc("it").to_py() == {"a": 1, "b": 2}


def test_a_migration_that_fails_leaves_the_old_file(path, monkeypatch):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
    for statement in OLDER:
        sql(path, statement)
    monkeypatch.setitem(openfile.MIGRATIONS, 0, (*NEWER, "CREATE INDEX record_object ON record(object)"))
    with pytest.raises(RuntimeError):
        ck.Database(path)
    assert sql(path, "PRAGMA user_version") == [(0,)]
    monkeypatch.setitem(openfile.MIGRATIONS, 0, NEWER)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


# ---- rows


def fill(path):
    """A small file with some of everything; what it holds."""
    with ck.Database(path) as db:
        for kind in KINDS:
            for name in (f"{kind} 1", f"{kind} 2"):
                it = getattr(db, kind)(name)
                for i in range(4):
                    put(it, f"k{i}", f"{name} value {i} " * 5)
        return {name: content(getattr(db, kind)(name)) for name, kind in db.names().items()}


@pytest.mark.parametrize(
    "column, value", [("name", "doc 3"), ("kind", "store"), ("kind", "?"), ("uid", bytes(32)), ("id", 77)]
)
def test_a_damaged_row_of_names_is_named(path, column, value):
    want = fill(path)
    sql(path, f"UPDATE object SET {column} = ? WHERE name = 'doc 1'", value)
    with ck.Database(path) as db:
        number = 77 if column == "id" else 1
        assert any(f"table object, row {number}:" in line for line in db.check())
        with pytest.raises(ck.StoreError, match="table object, row"):
            db.names()
        with pytest.raises(ck.StoreError, match="table object, row"):
            db.doc("doc 1")
        with pytest.raises(ck.StoreError, match="table object, row"):
            db.doc("new")
        assert content(db.doc("doc 2")) == want["doc 2"]


def test_a_lost_row_of_names_is_named(path):
    fill(path)
    sql(path, "DELETE FROM object WHERE name = 'doc 1'")
    with ck.Database(path) as db:
        assert "table object, row 1: lost" in db.check()
        with pytest.raises(ck.StoreError, match="table object, row 1: lost"):
            db.doc("doc 1")


@pytest.mark.parametrize("kind", ["doc", "store"])
@pytest.mark.parametrize("what", ["flip", "cut", "lose", "swap", "move", "kind"])
def test_a_damaged_record_is_named_and_salvaged(path, kind, what):
    want = fill(path)
    name = f"{kind} 1"
    ((number,),) = sql(path, "SELECT id FROM object WHERE name = ?", name)
    rows = sql(path, "SELECT id, data FROM record WHERE object = ? AND kind != 5 ORDER BY id", number)
    row, data = rows[-1]
    if what == "flip":
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        sql(path, "UPDATE record SET data = ? WHERE id = ?", bytes(flipped), row)
    elif what == "cut":
        sql(path, "UPDATE record SET data = ? WHERE id = ?", data[:-1], row)
    elif what == "lose":
        sql(path, "DELETE FROM record WHERE id = ?", row)
    elif what == "swap":
        ((other,),) = sql(path, "SELECT data FROM record WHERE object != ? AND kind != 5 LIMIT 1", number)
        sql(path, "UPDATE record SET data = ? WHERE id = ?", other, row)
    elif what == "move":
        sql(path, "UPDATE record SET object = object + 1 WHERE id = ?", row)
    else:
        sql(path, "UPDATE record SET kind = 9 WHERE id = ?", row)
    with ck.Database(path) as db:
        findings = [line for line in db.check() if name in line]
        assert findings and all("record" in line for line in findings)
        with pytest.raises(REFUSED, match="record"):
            getattr(db, kind)(name)
        if what == "move":  # now it is the other one's, too, and does not fit there
            assert db.salvage(f"{kind} 2")
        assert content(getattr(db, kind)(f"{kind} 2")) == want[f"{kind} 2"]
        lost = db.salvage(name)
        assert lost and all("record" in line for line in lost)
        it = getattr(db, kind)(name)
        assert all(want[name][key] == value for key, value in content(it).items())
        put(it, "new", 1)
    with ck.Database(path) as db:
        assert getattr(db, kind)(name)["new"] == 1
        assert db.check() == []


def test_what_salvage_refuses(path):
    fill(path)
    with ck.Database(path) as db:
        with pytest.raises(KeyError):
            db.salvage("nothing")
        db.doc("doc 1")
        with pytest.raises(RuntimeError):
            db.salvage("doc 1")


# ---- cut and flipped files


def look(path, read_only=True):
    """What the file says is in it: name -> content, or the error; what check() finds."""
    seen = {}
    with ck.Database(path, read_only=read_only) as db:
        try:
            names = db.names()
        except REFUSED as error:
            names, seen[None] = {}, error
        for name in {**names, **dict.fromkeys(NAMES)}:
            try:
                seen[name] = content(getattr(db, name.split()[0])(name))
            except REFUSED as error:
                seen[name] = error
        return seen, db.check()


NAMES = [f"{kind} {i}" for kind in KINDS for i in (1, 2)]


def holds(path, want, about):
    """The file shows what it should, or errors that say where; never anything else."""
    try:
        seen, found = look(path)
    except REFUSED as error:
        assert str(error), about
        return "refused"
    for name, value in seen.items():
        if isinstance(value, Exception):
            assert str(value), about
            assert found, f"{about}: {name} says {value}, and check() nothing"
        else:
            assert value == want.get(name), f"{about}: {name}"
    return "errors" if any(isinstance(value, Exception) for value in seen.values()) else "found" if found else "right"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The bytes of a small closed file, and its content."""
    path = tmp_path_factory.mktemp("small") / "small.db"
    want = fill(path)
    return path.read_bytes(), want


def test_what_is_whole_is_right(path, small):
    data, want = small
    path.write_bytes(data)
    assert holds(path, want, "whole") == "right"


def test_cut_anywhere(path, small):
    data, want = small
    rng = random.Random(7)
    cuts = {0, 1, 15, 16, 99, 100, 512, len(data) - 1, *range(0, len(data), 8192), *rng.sample(range(len(data)), 20)}
    for cut in sorted(cuts - {0}):
        path.write_bytes(data[:cut])
        said = holds(path, want, f"cut at {cut}")
        assert said != "right" or cut > len(data) - 8192, f"cut at {cut}"


def flips(path, small, places, rng):
    data, want = small
    counts = {"refused": 0, "errors": 0, "found": 0, "right": 0}
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        counts[holds(path, want, f"byte {place} of {len(data)}")] += 1
    print(f"{len(places)} flips: {counts}")
    return counts


def test_flipped_here_and_there(path, small):
    """Bytes that mean something: those of pages that are in use."""
    seed = int(os.environ.get("CKV_SEED", "1"))
    rng = random.Random(seed)
    used = [i for i, byte in enumerate(small[0]) if byte]
    counts = flips(path, small, sorted({*range(100), *rng.sample(used, 300)}), rng)
    assert counts["refused"] and counts["errors"]


@pytest.mark.slow
def test_flipped_everywhere(path, small):
    """Every byte that is not zero, and some that are."""
    places = [i for i, byte in enumerate(small[0]) if byte or i % 64 == 0]
    flips(path, small, places, random.Random(1))


def test_a_damaged_log_beside_the_file(path, tmp_path):
    """The WAL of a killed process, cut and flipped: some commit before, never anything else."""
    with ck.Database(path, durability="normal") as db:
        doc = db.doc("it")
        for i in range(30):
            put(doc, "n", i)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{tmp_path}/killed.db{suffix}")
    file, wal = ((tmp_path / f"killed.db{suffix}").read_bytes() for suffix in ("", "-wal"))
    rng = random.Random(3)
    seen = set()
    for i in range(60):
        damaged = bytearray(wal)
        if i % 2:
            damaged = damaged[: rng.randrange(len(wal))]
        else:
            damaged[rng.randrange(len(wal))] ^= 1 << rng.randrange(8)
        copy = tmp_path / "copy.db"
        for suffix in ("-wal", "-shm", ".lock"):
            (tmp_path / f"copy.db{suffix}").unlink(missing_ok=True)
        copy.write_bytes(file)
        (tmp_path / "copy.db-wal").write_bytes(damaged)
        try:
            with ck.Database(copy, ck.Identity.generate()) as db:
                seen.add(db.doc("it").get("n") if "it" in db.names() else None)
                assert db.check() == []
        except REFUSED:
            seen.add("refused")
    assert len(seen) > 1 and seen <= {None, "refused", *range(30)}


def test_sqlite_can_look_in(path):
    """The tables are plain: docs/file.md."""
    fill(path)
    assert sql(path, "SELECT name, kind FROM object ORDER BY name") == [
        (name, name.split()[0]) for name in sorted(NAMES)
    ]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
