"""_core.File: SQL between begin and commit, errors with names, threads, the end."""

import gc
import os
import threading

import pytest

import crdtkv as ck
from crdtkv import _core

INSERT = "INSERT INTO record(object, kind, data) VALUES (?, ?, ?)"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "f.db")


@pytest.fixture
def file(path):
    file = _core.File(path)
    yield file
    file.close()


def test_values_come_back_as_they_went(file):
    file.begin()
    for data in (b"", b"\0\xff", bytes(100_000)):
        assert file.run(INSERT, 1, 2, data) == []
    file.commit()
    assert [data for (data,) in file.run("SELECT data FROM record ORDER BY id")] == [b"", b"\0\xff", bytes(100_000)]
    assert file.run("SELECT ?, ?, ?, ?", "ä\0b", -(2**63), 2**63 - 1, None) == [("ä\0b", -(2**63), 2**63 - 1, None)]
    assert file.run("SELECT ?, ?", "", b"") == [("", b"")]
    assert file.run("SELECT ?1") == [(None,)]  # the value of an earlier call does not stay
    assert file.run("SELECT ?1", "now") == [("now",)] and file.run("SELECT ?1") == [(None,)]


def test_values_that_cannot_go(file):
    for wrong, error in ((1.5, TypeError), ([], TypeError), (bytearray(b"x"), TypeError), (2**63, OverflowError)):
        with pytest.raises(error):
            file.run("SELECT ?", wrong)
    with pytest.raises(ValueError):
        file.run("SELECT ?", "\ud800")
    for wrong in ((), (5,), (b"SELECT 1",)):
        with pytest.raises(TypeError):
            file.run(*wrong)
    with pytest.raises(TypeError):
        file.run("SELECT 1.5")
    for bug in ("SELEC 1", "SELECT * FROM nowhere", "", "-- nothing"):
        with pytest.raises(RuntimeError):
            file.run(bug)
    with pytest.raises(RuntimeError):
        file.run("SELECT 1", 1)
    assert file.run("SELECT 1") == [(1,)]


def test_writing_wants_a_transaction(file):
    with pytest.raises(RuntimeError):
        file.run(INSERT, 1, 2, b"")
    file.begin()
    with pytest.raises(RuntimeError):
        file.begin()
    file.run(INSERT, 1, 2, b"")
    file.rollback()
    file.rollback()
    assert file.run("SELECT * FROM record") == []
    with pytest.raises(RuntimeError):
        file.commit()
    file.begin()
    assert file.run(INSERT + " RETURNING id", 1, 2, b"") == [(1,)]
    file.commit()
    assert file.run("SELECT count(*) FROM record") == [(1,)]


def test_a_row_that_is_there_already(file):
    file.begin()
    file.run("INSERT INTO object(name, kind, uid) VALUES ('a', 'doc', x'00')")
    with pytest.raises(FileExistsError):
        file.run("INSERT INTO object(name, kind, uid) VALUES ('a', 'doc', x'00')")
    file.commit()
    assert file.run("SELECT name FROM object") == [("a",)]


def test_more_statements_than_are_kept(file):
    for _ in range(2):
        for i in range(200):
            assert file.run(f"SELECT {i}, ?", i) == [(i, i)]


def test_the_file_of_another(path, file):
    with pytest.raises(ck.StoreError) as refused:
        _core.File(path)
    assert (refused.value.pid, refused.value.filename) == (os.getpid(), path)
    assert refused.value.errno
    reader = _core.File(path, read_only=True)
    assert reader.read_only and not file.read_only
    with pytest.raises((RuntimeError, ck.StoreError)):
        reader.begin()
    reader.close()


def test_a_reader_moves_on(path, file):
    reader = _core.File(path, read_only=True)
    before = reader.version()
    file.begin()
    file.run(INSERT, 1, 2, b"x")
    file.commit()
    assert reader.run("SELECT count(*) FROM record") == [(0,)]
    reader.refresh()
    assert reader.run("SELECT count(*) FROM record") == [(1,)] and reader.version() != before
    reader.close()


def test_backup_shrink_size_check(path, file):
    file.begin()
    for i in range(100):
        file.run(INSERT, 1, i, bytes(10_000))
    file.commit()
    big = file.size()
    assert big > 1_000_000 and file.check() == []
    file.begin()
    file.run("DELETE FROM record")
    file.commit()
    file.shrink(0)
    assert file.size() < big // 2
    file.backup(path + ".copy")
    with pytest.raises(FileExistsError) as refused:
        file.backup(path + ".copy")
    assert refused.value.errno
    copy = _core.File(path + ".copy")
    assert copy.run("SELECT count(*) FROM record") == [(0,)]
    copy.close()
    for wrong in (-1, 2**70):
        with pytest.raises((OverflowError, ValueError)):
            file.shrink(wrong)
    with pytest.raises(TypeError):
        file.shrink("all")


def test_pack_takes_the_air_out_of_pages(path, file):
    file.begin()
    for i in range(2000):
        file.run(INSERT, 1, i, bytes(1000))
    file.commit()
    file.begin()
    file.run("UPDATE record SET data = x'00'")
    file.commit()
    file.shrink(0)
    airy = file.size()
    reader = _core.File(path, read_only=True)
    assert reader.run("SELECT count(*) FROM record") == [(2000,)]
    file.pack()
    assert file.size() < airy // 4 and file.check() == []
    assert reader.run("SELECT count(*) FROM record") == [(2000,)]
    reader.refresh()
    assert reader.run("SELECT id, kind, data FROM record ORDER BY id LIMIT 2") == [(1, 0, b"\0"), (2, 1, b"\0")]
    reader.close()
    file.begin()
    with pytest.raises(RuntimeError):
        file.pack()
    file.run(INSERT, 1, 9, b"after")
    file.commit()
    assert file.run("SELECT max(id) FROM record") == [(2001,)]


def test_pack_while_others_write(file):
    stop, wrong = threading.Event(), []

    def write():
        try:
            while not stop.is_set():
                file.begin()
                file.run(INSERT, 1, 1, b"x" * 100)
                file.commit()
                assert file.run("SELECT count(*) FROM record")[0][0] > 0
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        file.pack()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and file.check() == []


def test_set_key_wants_an_identity(file):
    file.set_key(ck.Identity.generate())
    for wrong in (bytes(32), None):
        with pytest.raises(TypeError):
            file.set_key(wrong)


def test_arguments(path):
    for wrong in ("FULL", "", "x" * 1000):
        with pytest.raises(ValueError):
            _core.File(path, durability=wrong)
    with pytest.raises(TypeError):
        _core.File()
    with pytest.raises(TypeError):
        _core.File(path, True)
    with pytest.raises(TypeError):
        _core.File(5)
    with pytest.raises(ValueError):
        _core.File("a\0b")
    assert not os.path.exists(path)


def test_after_close_everything_is_stale(path):
    file = _core.File(path)
    file.begin()
    file.run(INSERT, 1, 2, b"lost")
    file.close()
    file.close()
    assert file.closed
    for call in (
        file.begin, file.commit, file.rollback, file.refresh, file.version, file.size, file.check,
        lambda: file.run("SELECT 1"), lambda: file.shrink(0), lambda: file.backup(path + "x"),
        lambda: file.set_key(ck.Identity.generate()), lambda: file.read_only, lambda: file.poisoned,
    ):  # fmt: skip
        with pytest.raises(ck.StaleHandleError):
            call()
    again = _core.File(path)
    assert again.run("SELECT * FROM record") == []
    again.close()


def test_a_forgotten_file_gives_up_its_lock(path):
    file = _core.File(path)
    file.run("SELECT 1")
    del file
    gc.collect()
    _core.File(path).close()


def test_in_memory():
    file = _core.File(None)
    file.begin()
    file.run(INSERT, 1, 2, b"x")
    file.commit()
    assert file.run("SELECT data FROM record") == [(b"x",)] and file.check() == []
    file.close()


def test_transactions_of_many_threads_take_turns(file):
    n_threads, n = 4, 100
    wrong = []

    def write(i):
        try:
            for j in range(n):
                file.begin()
                ((before,),) = file.run("SELECT count(*) FROM record WHERE object = 7")
                file.run(INSERT, 7, i, str(j).encode())
                ((after,),) = file.run("SELECT count(*) FROM record WHERE object = 7")
                assert after == before + 1
                if j % 10 == 9:
                    file.rollback()
                else:
                    file.commit()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert file.run("SELECT count(*) FROM record") == [(n_threads * n * 9 // 10,)]


def test_close_while_others_are_inside(path):
    for _ in range(20):
        file = _core.File(path)
        begun = threading.Barrier(4)

        def use(file=file, begun=begun):
            begun.wait()
            with pytest.raises(ck.StaleHandleError):
                while True:
                    file.begin()
                    file.run(INSERT, 1, 1, b"x")
                    file.commit()

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.wait()
        file.close()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
    file = _core.File(path)
    assert file.check() == []
    file.close()


def test_close_waits_for_one_who_waits_for_another(path):
    """A call that waits for its turn is under way; whoever has the turn may still end it, though not write."""
    file = _core.File(path)
    begun, may_end, said = threading.Event(), threading.Event(), []

    def first():
        file.begin()
        file.run(INSERT, 1, 1, b"x")
        begun.set()
        may_end.wait()
        with pytest.raises(ck.StaleHandleError):
            file.commit()
        said.append("first")

    def second():
        file.begin()
        said.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second), threading.Thread(target=file.close)]
    for thread in threads:
        thread.start()
        begun.wait()
        thread.join(0.05)  # until it waits
    may_end.set()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    file = _core.File(path)
    assert sorted(said) == ["first", "second"] and file.run("SELECT count(*) FROM record") == [(0,)]
    file.close()
