"""One writer, many readers, and processes that were forked off."""

import os
import sys
import threading
import traceback

import pytest

import crdtkv as ck
from house.kept import KINDS, child, content, edit, put


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


WRITER = """
import sys
import crdtkv as ck
db = ck.Database(sys.argv[1])
doc = db.doc("it")
doc["a"] = 1
doc.commit()
print("open", flush=True)
sys.stdin.read()
db.close()
"""


# ---- writers


def test_a_second_writer_in_this_process_is_told_the_pid(path):
    with ck.Database(path) as db:
        with pytest.raises(ck.StoreError, match=str(os.getpid())) as refused:
            ck.Database(path)
        assert refused.value.pid == os.getpid()
        assert isinstance(refused.value, OSError)
        put(db.doc("it"), "a", 1)
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


def test_a_second_writer_by_another_way_to_the_file(path, tmp_path):
    with ck.Database(path):
        (tmp_path / "link.db").symlink_to(path)
        with pytest.raises(ck.StoreError) as refused:
            ck.Database(tmp_path / "link.db")
        assert refused.value.pid == os.getpid()
        with pytest.raises(ck.StoreError):
            ck.Database(tmp_path / "." / ".." / tmp_path.name / "app.db")


def test_a_second_writer_in_another_process_is_told_the_pid(path):
    writer = child(WRITER, path)
    with writer:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(ck.StoreError, match=str(writer.pid)) as refused:
            ck.Database(path)
        assert refused.value.pid == writer.pid
        with ck.Database(path, read_only=True) as reader:
            assert reader.doc("it").to_py() == {"a": 1}
        writer.stdin.close()
    assert writer.returncode == 0
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1}


def test_a_killed_writer_holds_nobody_up(path):
    writer = child(WRITER, path)
    with writer:
        assert writer.stdout.readline() == b"open\n"
        writer.kill()
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1} and db.check() == []


def test_other_errors_know_no_pid():
    assert ck.StoreError("x").pid is None and ck.StoreError.pid is None


# ---- readers


def test_a_reader_makes_nothing(path):
    with pytest.raises(OSError):
        ck.Database(path, read_only=True)
    assert not path.exists()


def test_a_reader_touches_nothing(path, tmp_path):
    with ck.Database(path) as db:
        for kind in KINDS:
            put(getattr(db, kind)(kind), "a", 1)
    data = path.read_bytes()
    with ck.Database(path, read_only=True) as db:
        assert db.read_only and db.check() == []
        assert db.names() == {kind: kind for kind in KINDS}
        for kind in KINDS:
            assert content(getattr(db, kind)(kind)) == {"a": 1}
        for call in (
            lambda: db.doc("new"),
            lambda: db.store("new"),
            lambda: db.delete("doc"),
            lambda: db.add("new", ck.Doc()),
            db.compact,
        ):
            with pytest.raises(ck.StoreError):
                call()
        assert "read only" in repr(db)
    assert path.read_bytes() == data


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_cannot_write(path, kind):
    with ck.Database(path) as db:
        put(getattr(db, kind)("it"), "a", 1)
    with ck.Database(path, read_only=True) as db:
        it = getattr(db, kind)("it")
        with pytest.raises(ck.StoreError):
            put(it, "b", 2)
        assert it["a"] == 1
    with ck.Database(path, read_only=True) as db:
        assert content(getattr(db, kind)("it")) == {"a": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_readers_see_one_commit_until_they_refresh(path, kind):
    with ck.Database(path) as db:
        it = getattr(db, kind)("it")
        put(it, "a", 1)
        with ck.Database(path, read_only=True) as early, ck.Database(path, read_only=True) as idle:
            seen = getattr(early, kind)("it")
            put(it, "a", 2)
            put(it, "b", 2)
            put(getattr(db, kind)("new"), "c", 3)
            edit(it, "open", 1)
            assert content(seen) == {"a": 1} and early.names() == {"it": kind}
            with ck.Database(path, read_only=True) as late:
                assert content(getattr(late, kind)("it")) == {"a": 2, "b": 2}
            early.refresh()
            assert getattr(early, kind)("it") is seen
            assert content(seen) == {"a": 2, "b": 2} and set(early.names()) == {"it", "new"}
            assert content(getattr(early, kind)("new")) == {"c": 3}
            early.refresh()
            assert content(seen) == {"a": 2, "b": 2}
            db.delete("it")
            early.refresh()
            assert early.names() == {"new": kind}
            with pytest.raises(ck.StaleHandleError):
                seen["a"]
            assert idle.check() == []
        db.refresh()
        assert db.check() == []


def test_a_refresh_notices_another_object_of_the_name(path):
    with ck.Database(path) as db:
        put(db.doc("it"), "a", 1)
        with ck.Database(path, read_only=True) as reader:
            seen = reader.doc("it")
            db.delete("it")
            put(db.doc("it"), "a", 2)
            reader.refresh()
            with pytest.raises(ck.StaleHandleError):
                seen["a"]
            assert reader.doc("it").to_py() == {"a": 2}


def test_many_readers_in_threads_beside_the_writer(path):
    wrong = []

    def read():
        try:
            with ck.Database(path, read_only=True) as db:
                last = -1
                while last < 99:
                    db.refresh()
                    doc = db.doc("it")
                    now = doc["n"]
                    assert now >= last and doc["twice"] == 2 * now
                    last = now
        except BaseException as error:
            wrong.append(error)

    with ck.Database(path, durability="normal") as db:
        doc = db.doc("it")
        with doc.change():
            doc["n"], doc["twice"] = 0, 0
        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for n in range(100):
            with doc.change():
                doc["n"], doc["twice"] = n, 2 * n
        for reader in readers:
            reader.join()
    assert not wrong


def test_objects_of_one_database_in_many_threads(path):
    n_threads, n = 4, 25
    with ck.Database(path, durability="normal") as db:

        def write(i):
            for j in range(n):
                put(db.doc("shared"), f"{i}.{j}", j)
                put(db.doc(f"own{i}"), str(j), j)
                put(db.store("store"), f"{i}.{j}", j)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with ck.Database(path) as db:
        assert len(db.doc("shared")) == len(db.store("store")) == n_threads * n
        assert all(len(db.doc(f"own{i}")) == n for i in range(n_threads))
        assert db.check() == []


def test_close_while_others_write(path):
    db = ck.Database(path, durability="normal")
    doc = db.doc("it")
    done = []

    def write(who):
        try:
            for i in range(100_000):
                put(doc, f"{who}.{i}", i)
                done.append(f"{who}.{i}")
        except ck.StaleHandleError:
            return

    writers = [threading.Thread(target=write, args=(who,)) for who in range(2)]
    for writer in writers:
        writer.start()
    while len(done) < 20:
        pass
    db.close()
    for writer in writers:
        writer.join(timeout=30)
        assert not writer.is_alive()
    with ck.Database(path) as db:
        assert set(done) <= set(db.doc("it")) and db.check() == []


def test_who_is_in_a_block_may_use_the_database_that_waits_for_it(path):
    """Else the one with the lock of the database and the one with the block wait for each other."""
    with ck.Database(path) as db:
        doc = db.doc("it")
        inside, others = threading.Event(), []

        def block():
            with doc.change():
                inside.set()
                for i in range(20):
                    doc[f"k{i}"] = i
                    others.append(db.doc(f"other {i}"))
                    db.names()

        calls = [db.commit, db.check, db.compact, lambda: db.backup(path.with_name("copy")), db.stats]
        for call in calls:
            inside.clear()
            threads = [threading.Thread(target=block)]
            threads[0].start()
            inside.wait()
            threads.append(threading.Thread(target=call))
            threads[1].start()
            for thread in threads:
                thread.join(timeout=60)
                assert not thread.is_alive(), call
        assert len(doc) == 20


def test_everybody_at_once(path):
    """Opening, deleting, checking and compacting the same names, in threads."""
    wrong = []

    def work(which):
        try:
            for i in range(30):
                kind = KINDS[i % len(KINDS)]
                try:
                    if which == 0:
                        db.check()
                    elif which == 1:
                        db.compact()
                    elif which == 2:
                        db.delete(kind)
                    else:
                        put(getattr(db, kind)(kind), f"{which}.{i}", i)
                except (KeyError, ck.StaleHandleError):
                    pass  # deleted meanwhile
                except RuntimeError as error:
                    assert "by another thread" in str(error)
        except BaseException as error:
            wrong.append(error)

    with ck.Database(path, durability="normal") as db:
        threads = [threading.Thread(target=work, args=(which,)) for which in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
            assert not thread.is_alive()
        assert not wrong
        assert db.check() == []


def test_close_and_delete_wait_for_a_block_that_uses_the_database(path):
    for end in ("close", "delete"):
        db = ck.Database(path)
        doc = db.doc("it")
        inside, told = threading.Event(), []

        def block(db=db, doc=doc, inside=inside, told=told):
            try:
                with doc.change():
                    inside.set()
                    for i in range(1000):
                        doc["i"] = i
                        db.names()
            except ck.StaleHandleError:
                told.append("stale")
            else:
                told.append("done")

        thread = threading.Thread(target=block)
        thread.start()
        inside.wait()
        if end == "close":
            db.close()
        else:
            db.delete("it")
        thread.join(timeout=60)
        assert not thread.is_alive() and told
        db.close()


# ---- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_is_refused_everything_and_harms_nothing(path):
    with ck.Database(path) as db:
        doc, store = db.doc("d"), db.store("s")
        put(doc, "a", 1)
        put(store, "a", 1)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                calls = [
                    db.names, db.commit, db.refresh, db.check, db.compact, db.stats, db.__enter__,
                    lambda: db.doc("d"), lambda: db.store("s"), lambda: db.delete("d"),
                    lambda: db.backup(path.with_name("copy")), lambda: db.add("n", ck.Doc()),
                    lambda: put(doc, "b", 2), lambda: put(store, "b", 2),
                ]  # fmt: skip
                for number, call in enumerate(calls):
                    try:
                        call()
                    except ck.StoreError:
                        continue
                    os.write(2, f"call {number} went through\n".encode())
                    break
                else:
                    db.close()
                    del doc, store
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert doc.to_py() == {"a": 1}
        put(doc, "c", 3)
        put(store, "c", 3)
        with pytest.raises(ck.StoreError):
            ck.Database(path)
        assert db.check() == []
    with ck.Database(path) as db:
        assert db.doc("d").to_py() == dict(db.store("s")) == {"a": 1, "c": 3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_may_open_it_once_the_parent_is_done(path):
    db = ck.Database(path)
    put(db.doc("it"), "a", 1)
    ready, go = os.pipe()
    heard, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(go)
            with pytest.raises(ck.StoreError):
                ck.Database(path)
            os.write(say, b"x")
            os.read(ready, 1)
            with ck.Database(path) as again:
                put(again.doc("it"), "b", 2)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(ready)
    os.close(say)
    assert os.read(heard, 1) == b"x"
    os.close(heard)
    db.close()
    os.write(go, b"x")
    os.close(go)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with ck.Database(path) as db:
        assert db.doc("it").to_py() == {"a": 1, "b": 2} and db.doc("it").equivocations() == []
