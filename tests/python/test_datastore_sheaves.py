"""Headers of what compaction dropped, in columns: nobody sees a difference but the file, and damage is noticed."""

import random
import sqlite3

import pytest

import crdtkv as ck
from house.datastores import ID, LONG, assert_equal, content, datastore, identity, meet, state
from oracle.sheaf import digest_of, read_sheaf, write_sheaf

MANY = 100  # dead changes that are worth a sheaf


def ask(where, query):
    """Of a path while nobody has the file open, or of a Database that is open: the file wants one SQLite a process."""
    if isinstance(where, ck.Database):
        return where._open.file.run(query)
    with sqlite3.connect(where) as file:
        rows = file.execute(query).fetchall()
    file.close()
    return rows


def damage(where, query, *values):
    if isinstance(where, ck.Database):
        file = where._open.file
        file.begin()
        file.run(query, *values)
        file.commit()
        return
    with sqlite3.connect(where, isolation_level=None) as file:
        assert file.execute(query, values).rowcount > 0
    file.close()


def singles(kv, n=MANY, size=60, keys=4):
    """n changes of one put each, and one put behind them all for each key."""
    for i in range(n):
        kv[f"k{i % keys}"] = str(i) + "x" * size
        kv.commit(f"number {i}" if i % 3 == 0 else None)
    with kv.batch(message="settled") as b:
        for k in range(keys):
            b.put(f"k{k}", LONG)


def story(kv):
    """All that is known of changes, whoever may have dropped what."""
    return [(c.id, c.author, c.lane, c.seq, c.parents, c.time, c.message, c.n_ops, c.signed) for c in kv.changes()]


def packed(where):
    """How many changes stand in sheaves, how many in rows."""
    ((n,),) = ask(where, "SELECT ifnull(sum(n), 0) FROM sheaf")
    ((rows,),) = ask(where, "SELECT count(*) FROM change")
    return n, rows


def test_headers_go_into_columns_and_nobody_sees_it(tmp_path):
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        singles(kv)
        other = ck.Datastore(id=kv.id)
        ck.sync(kv, other)
        before = state(kv), story(kv)
        assert kv.compact()["dropped"] == MANY
        assert (state(kv), story(kv)) == before and kv.check() == []
        assert packed(db) == (MANY, 1)
        assert (state(other), story(other)) == before
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        assert (state(kv), story(kv)) == before and kv.check() == [] and db.check() == []
        kv.repair()
        assert (state(kv), story(kv)) == before
        newcomer = ck.Datastore(id=kv.id)
        newcomer.apply(kv.export())
        assert state(newcomer) == state(kv) and newcomer.check() == []
        ck.sync(kv, other)
        assert_equal(kv, other)
    with ck.Database(path, ck.Identity.generate()) as db:  # verifies every signature
        assert state(db.datastore("kv")) == before[0]


@pytest.mark.parametrize("size", [5, 60])
def test_a_dead_put_takes_few_bytes(tmp_path, size):
    path = tmp_path / "x.db"
    n = 3000
    with ck.Database(path, identity(1), durability="normal") as db:
        kv = db.datastore("kv")
        for k in range(4):
            kv[f"k{k}"] = LONG
        kv.compact()
        db.compact()
    empty = path.stat().st_size
    with ck.Database(path, identity(1), durability="normal") as db:
        singles(db.datastore("kv"), n, size)
        db.compact()
    assert path.stat().st_size - empty < n * (60 if size > 48 else 30)


def test_years_of_single_puts(tmp_path):
    """Ten lives of a program that puts one by one: the file grows by what the hashes of changes take."""
    path = tmp_path / "x.db"
    sizes = []
    for _life in range(10):
        with ck.Database(path, identity(1), durability="normal") as db:
            singles(db.datastore("kv"), 600)
            db.compact()
            assert db.check() == []
        sizes.append(path.stat().st_size)
    assert sizes[-1] - sizes[0] < 9 * 600 * 60
    assert packed(path)[1] < 12


def test_whatever_comes_between(tmp_path):
    """Authors in turns, DAGs, counters, deletes, values of all sizes, compaction; beside one who keeps all."""
    choose = random.Random(7)
    path = tmp_path / "x.db"
    full = ck.Datastore(identity(9), id=ID, compliance=True)
    others = [datastore(2), datastore(3)]
    for life in range(6):
        with ck.Database(path, identity(1), durability="normal") as db:
            kv = db.datastore("kv", id=ID)
            for step in range(200):
                who = choose.choice([kv, kv, *others])
                key, dag = f"k{choose.randrange(6)}", choose.choice(["default", "default", "x"])
                what = choose.randrange(20)
                if what < 12:
                    who.put(key, [step, "y" * choose.choice([0, 30, 80])], dag=dag)
                    who.commit(choose.choice([None, None, "", "why"]))
                elif what < 14:
                    who.delete(key)
                elif what < 15:
                    who.counter("n").increment(step)
                elif what < 19:
                    ck.sync(kv, choose.choice(others))
                else:
                    full.merge(kv)
                    kv.compact(rewrite=choose.random() < 0.2)
                    assert kv.check() == []
            for other in others:
                full.merge(other)
            full.merge(kv)
            meet(kv, full, *others)
            assert_equal(kv, full, *others)
            mine = {change[0]: change for change in story(kv)}
            assert mine == {change[0]: change for change in story(full)}
            kv.compact()
        with ck.Database(path, identity(1)) as db:
            kv = db.datastore("kv")
            assert_equal(kv, full)
            assert kv.check() == [] and kv.equivocations() == []
            assert {change[0]: change for change in story(kv)} == mine
            newcomer = datastore(4)
            ck.sync(kv, newcomer)
            assert_equal(newcomer, full)
            assert newcomer.check() == []
        assert packed(path)[0] > life * 20


def test_what_others_left_out_is_packed_too_and_may_come_late(tmp_path):
    path = tmp_path / "x.db"
    a, full = datastore(1), datastore(2)
    for i in range(MANY):
        a[f"own {i % 2}"] = LONG + str(i)
        a.commit(f"message {i}")
    a["left"] = LONG
    change = a.commit("it comes late")
    meet(a, full)
    for key in list(a):
        a[key] = "short"
    a.compact()
    with ck.Database(path, identity(3), durability="normal") as db:
        kv = db.datastore("kv", id=ID)
        bundle = a.export(
            until=[change.id]
        )  # without what superseded them: who reads it cannot know that they are dead
        kv.apply(bundle)
        assert len(kv) == 0 and kv.stats()["left_out"] == MANY + 1
        kv.compact()
        assert packed(db) == (MANY + 1, 0)
    with ck.Database(path, identity(3), durability="normal") as db:
        kv = db.datastore("kv")
        assert kv.stats()["left_out"] == MANY + 1 and kv.check() == []
        ck.sync(kv, full)  # he has them, and they are alive there
        expected = state(kv), story(kv)
        assert_equal(kv, full)
        assert kv["left"] == LONG and packed(db) == (MANY + 1, 3)
        assert kv.check() == []
    with ck.Database(path, identity(3), durability="normal") as db:
        kv = db.datastore("kv")
        assert (state(kv), story(kv)) == expected, "time and message came with the body"
        assert [c.message for c in kv.changes() if c.id == change.id] == ["it comes late"]
        ck.sync(kv, a)
        assert_equal(kv, a)
        assert kv.compact()["dropped"] == 3, "now they are known to be dead"
        assert packed(db)[0] >= MANY + 1 and kv.check() == []
        before = state(kv)
    with ck.Database(path, identity(3)) as db:
        kv = db.datastore("kv")
        assert state(kv) == before and kv.check() == []
        assert [c.message for c in kv.changes() if c.id == change.id] == ["it comes late"]


def test_readers_and_copies_see_the_file_as_it_was(tmp_path):
    path, copy = tmp_path / "x.db", tmp_path / "copy.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        singles(kv)
        before = state(kv)
        with ck.Database(path, identity(1), read_only=True) as reader:
            old = reader.datastore("kv")
            assert state(old) == before
            kv.compact()
            history = [e.value for e in old.history("k1")]
            assert state(old) == before and len(history) == MANY // 4 + 1 and old.check() == []
            reader.refresh()
            assert state(old) == before and len(old.history("k1")) == 1 and old.check() == []
        db.backup(copy)
    with ck.Database(copy, identity(1)) as db:
        assert state(db.datastore("kv")) == before and db.check() == []


def lost(path, other, root):
    """Opening refuses, salvage says why and goes on, peers bring all back."""
    with ck.Database(path, identity(1)) as db:
        with pytest.raises(ck.StoreError, match="table sheaf, row"):
            db.datastore("kv")
        assert any("table sheaf, row" in line for line in db.check())
        lines = db.salvage("kv")
        assert lines and "table sheaf, row" in lines[0]
        kv = db.datastore("kv")
        ck.sync(kv, other)
        assert kv.root == root and content(kv) == content(other) and kv.check() == []
    with ck.Database(path, identity(1)) as db:
        assert db.check() == [] and db.datastore("kv").root == root


def damaged(path, keep=5):
    """A file with some live changes, a sheaf, and more; somebody else who has them all."""
    with ck.Database(path, identity(1), durability="normal") as db:
        kv = db.datastore("kv")
        for n in range(keep):
            kv[f"live {n}"] = LONG
            kv.commit()
        singles(kv)
        kv.compact()
        other = ck.Datastore(identity(2), id=kv.id)
        ck.sync(kv, other)
        return other, kv.root


@pytest.mark.parametrize("at", [0, 3, 8, 9, 20, 45, 60, 200, 1000, 3000, -65, -1])
def test_a_flipped_bit_is_named(tmp_path, at):
    path = tmp_path / "x.db"
    other, root = damaged(path)
    ((row, data),) = ask(path, "SELECT id, data FROM sheaf")
    bent = bytearray(data)
    bent[at] ^= 4
    damage(path, "UPDATE sheaf SET data = ? WHERE id = ?", bytes(bent), row)
    lost(path, other, root)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sheaf SET data = substr(data, 1, length(data) - 1)",
        "UPDATE sheaf SET data = x''",
        "UPDATE sheaf SET n = n - 1",
        "UPDATE sheaf SET last = last + 1",
        "UPDATE sheaf SET id = id + 1",
    ],
)
def test_a_row_that_is_not_what_it_was(tmp_path, statement):
    path = tmp_path / "x.db"
    other, root = damaged(path)
    damage(path, statement)
    with ck.Database(path, identity(1)) as db:
        with pytest.raises(ck.StoreError, match=r"table (sheaf|change), row"):
            db.datastore("kv")
        lines = db.salvage("kv")
        assert lines and "row" in lines[0]
        kv = db.datastore("kv")
        assert all(kv[f"live {n}"] == LONG for n in range(5)), "what came before is still there"
        ck.sync(kv, other)
        assert kv.root == root and kv.check() == []


def test_a_sheaf_that_is_gone(tmp_path):
    path = tmp_path / "x.db"
    other, root = damaged(path)
    damage(path, "DELETE FROM sheaf")
    with ck.Database(path, identity(1)) as db:
        with pytest.raises(ck.StoreError, match=r"table change, row \d+ is missing"):
            db.datastore("kv")
        assert len(db.salvage("kv")) == 1
        kv = db.datastore("kv")
        ck.sync(kv, other)
        assert kv.root == root and kv.check() == []


def test_a_change_before_a_sheaf_that_was_exchanged(tmp_path):
    """A sheaf names changes by number: it says by a digest which ones it means."""
    path, twin = tmp_path / "x.db", tmp_path / "y.db"
    other, root = damaged(path, keep=0)
    damaged(twin, keep=0)
    ((row, data),) = ask(path, "SELECT id, data FROM sheaf")
    ((alien,),) = ask(twin, "SELECT data FROM sheaf")
    assert alien != data
    damage(path, "UPDATE sheaf SET data = ? WHERE id = ?", alien, row)
    lost(path, other, root)


def test_check_sees_damage_under_a_running_program(tmp_path):
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        singles(kv)
        kv.compact()
        damage(db, "UPDATE sheaf SET data = zeroblob(length(data))")
        assert any("table sheaf, row" in line for line in kv.check())
        with pytest.raises(ck.StoreError, match="table sheaf"):
            kv.export()


def test_rows_of_an_older_file_are_packed(tmp_path):
    """What was dropped before there were sheaves: five lone changes go, then a hundred with them."""
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        for n in range(3):
            kv["k"] = LONG + str(n)
            kv.commit()
        assert kv.compact()["dropped"] == 2
        assert packed(db) == (0, 3) or packed(db) == (2, 1), "few are not worth it"
        singles(kv)
        kv["k"] = "over"
        kv.commit()
        assert kv.compact()["dropped"] == MANY + 1
        assert packed(db) == (MANY + 3, 2)
        assert kv.check() == []


def test_purging_takes_them_along(tmp_path):
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        other = ck.Datastore(identity(2), id=kv.id)
        for n in range(MANY):
            kv.put("k", LONG + str(n), dag="feed")
            kv.commit()
        ck.sync(kv, other)
        kv.compact()
        assert packed(db)[0] == MANY - 1
        assert kv.purge("feed") == MANY and packed(db)[0] == 0
        kv.admit("feed")
        ck.sync(kv, other)
        kv.put("k", 1, dag="feed")
        kv.compact()
        assert kv.check() == [] and kv == {"k": 1}
        db.delete("kv")
        assert packed(db) == (0, 0)


def wal(path):
    log = path.with_name(path.name + "-wal")
    return log.stat().st_size if log.exists() else 0


def test_compacting_what_is_compact_writes_nothing(tmp_path):
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        for batch in range(20):
            with kv.batch() as b:
                for n in range(300):
                    b.put(f"{(n * 7919 + batch) % 6007:05}", LONG)
        kv.commit()
        size = wal(path)
        result = kv.compact()
        assert result == {"before": result["before"], "after": result["before"], "dropped": 0}
        assert wal(path) == size, "nothing is dead, so nothing is written"
        with kv.batch() as b:
            for n in range(6100):
                b.put(f"{n:05}", 1)
        assert kv.compact()["dropped"] > 0 and wal(path) > size
        size = wal(path)
        assert kv.compact()["dropped"] == 0 and wal(path) == size


def test_salvage_between_two_signatures_of_somebody_else(tmp_path):
    """What the lost signature covered is here and unproved: check() says so, others refuse it, peers mend it."""
    path = tmp_path / "x.db"
    other = datastore(2)
    with ck.Database(path, identity(1), durability="normal") as db:
        kv = db.datastore("kv", id=ID)
        for n in range(MANY):
            other["k"] = str(n) + LONG
            kv.apply(other.export(since=kv.heads))  # one by one, each with a signature
        kv["late"] = LONG
        kv.commit()
        kv.compact()
        root = kv.root
        ck.sync(kv, other)
        ((row, data),) = ask(db, "SELECT id, data FROM sheaf")
    items, _ = read_sheaf(data, row & 0xFFFFFFFF)
    assert [item.signature is not None for item in items[:32]] == ([False] * 15 + [True]) * 2
    few = write_sheaf(items[:20], digest_of([change.id for change in other.changes()[:20]]))
    damage(path, "UPDATE sheaf SET data = ?, n = 20, last = ? WHERE id = ?", few, items[19].number, row)
    with ck.Database(path, identity(1)) as db:
        with pytest.raises(ck.StoreError, match="table change, row"):
            db.datastore("kv")
        db.salvage("kv")
        kv = db.datastore("kv")
        assert len(kv.changes()) == 20 and sum("no signature" in line for line in kv.check()) == 4
        newcomer = datastore(3)
        report = newcomer.apply(kv.export())
        assert len(newcomer.changes()) == 16 and len(report.refused) == 4
        ck.sync(kv, other)
        assert kv.root == root and kv.check() == []


@pytest.mark.parametrize("row, header", [(0, 3), (3, 0)])
@pytest.mark.parametrize("what", ["compact", "export", "check"])
def test_a_header_that_is_exchanged_under_a_running_program(tmp_path, what, row, header):
    """It does not make the id of its change, so nothing that it says is believed: no length, no body."""
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1)) as db:
        kv = db.datastore("kv")
        kv["short"] = 1
        kv.commit()
        singles(kv)
        kv["short"] = 2
        kv.commit()
        rows = ask(db, "SELECT id, header FROM change ORDER BY id")
        damage(db, "UPDATE change SET header = ? WHERE id = ?", rows[header][1], rows[row][0])
        line = f"table change, row {rows[row][0]} has a damaged header"
        if what == "check":
            assert kv.check() == [line]
            return
        with pytest.raises(ck.StoreError, match=line):
            getattr(kv, what)()


def test_check_reads_headers_of_what_was_dropped(tmp_path):
    with ck.Database(tmp_path / "x.db", identity(1)) as db:
        kv = db.datastore("kv")
        for n in range(3):
            kv["k"] = LONG + str(n)
            kv.commit()
        assert kv.compact()["dropped"] == 2
        (((row, header),)) = ask(db, "SELECT id, header FROM change WHERE body IS NULL LIMIT 1")
        damage(db, "UPDATE change SET header = ? WHERE id = ?", header[:-1] + b"?", row)
        assert kv.check() == [f"table change, row {row} has a damaged header"]


@pytest.mark.parametrize("text", [b"\xff", b"ok\xed\xa0\x80"])
def test_a_damaged_message_does_not_take_a_sheaf_along(tmp_path, text):
    path = tmp_path / "x.db"
    with ck.Database(path, identity(1), durability="normal") as db:
        kv = db.datastore("kv")
        singles(kv)
        ((row,),) = ask(db, "SELECT id FROM change WHERE message IS NOT NULL ORDER BY id LIMIT 1")
        damage(db, "UPDATE change SET message = CAST(? AS TEXT) WHERE id = ?", text, row)
        with pytest.raises(ck.StoreError, match=f"table change, row {row} has a damaged message"):
            kv.compact()
        assert packed(db)[0] == 0, "nothing went into a sheaf that nobody could read"
    with ck.Database(path, identity(1)) as db, pytest.raises(ck.StoreError, match="has a damaged message"):
        db.datastore("kv")
