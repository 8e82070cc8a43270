"""Documents and stores in a file, through the private face: bound, written, dropped, closed, killed, forked."""

import os
import random
import signal
import subprocess
import sys
import threading

import pytest

import crdtkv as ck
from crdtkv import _core

ME = ck.Identity.from_seed(bytes(32))
ID = b"d" * 32


def make(path, *objects, **options):
    """A file with these objects, as a catalogue would make them."""
    file = _core.File(None if path is None else str(path), **options)
    file.set_key(ME)
    if not file.read_only and not file.run("SELECT 1 FROM record LIMIT 1"):
        file.begin()
        for number in objects or (1, 2):
            file.run("INSERT INTO record(object, kind, data) VALUES (?, 5, ?)", number, bytes(16))
        file.commit()
    return file


def document(file, number=1, **options):
    doc = ck.Doc(ME, id=ID, **options)
    doc._bind(file, number)
    return doc


def store(file, number=2, **options):
    s = ck.Store("s", **options)
    s._bind(file, number)
    return s


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


def full(file):
    file.run("PRAGMA max_page_count = 1")


def roomy(file):
    file.run("PRAGMA max_page_count = 1000000")


NOISE = random.Random(1).randbytes(100_000)


# ---- coming back


def test_a_document_comes_back(path):
    file = make(path)
    doc = document(file)
    doc["t"] = ck.Text("hello")
    doc["l"] = [1, {"x": 2}]
    with doc.change("a message"):
        doc["t"].insert(5, " world")
        doc["l"].append(3)
    doc["lone"] = 1
    heads = doc.heads  # closes the open change
    other = ck.Doc(id=ID)
    other.apply(doc.export())
    other["theirs"] = ck.Counter(3)
    doc.apply(other.export())
    want, after = doc.to_py(), doc.heads
    doc["lost"] = True  # never committed
    doc._unbind()
    file.close()
    file = make(path)
    doc = document(file)
    assert doc.to_py() == want and doc.heads == after != heads
    assert [c.message for c in doc.changes() if c.message] == ["a message"]
    assert doc.stats()["verified"] == 0 and doc._check() == []
    lane = doc.changes()[0].lane
    doc["again"] = 1
    assert doc.commit().lane != lane, "a new lane after every opening"
    doc._unbind()
    file.close()


def test_a_founder_is_remembered(path):
    file = make(path)
    doc = ck.Doc(ME)
    doc._bind(file, 1)
    doc._unbind()
    empty = ck.Doc(ME, id=doc.id)
    empty._bind(file, 1)
    empty["x"] = 1
    assert ck.Doc.load(empty.save())["x"] == 1
    assert len(ck.Doc(ME, id=doc.id).save()) < len(empty.save())
    empty._unbind()
    file.close()


def test_what_is_of_a_later_version_is_kept(path):
    from crdtkv.testing import Forger

    file = make(path)
    doc = document(file)
    doc["a"] = 1
    doc.commit()
    bad = ck.Identity.generate()
    forger = Forger(doc, bad)
    body = b"\x40\x00"  # a flag that nobody knows yet, a time
    doc.apply(forger.forge(body=body, n_ops=1))
    assert doc.stats()["later"] == 1
    size = len(file.run("SELECT id FROM record"))
    doc["c"] = 3
    doc.commit()
    assert len(file.run("SELECT id FROM record")) == size + 1, "it is written once"
    doc._unbind()
    doc = document(file)
    assert doc.stats()["later"] == 1
    other = ck.Doc(id=ID)
    other.apply(doc.export())
    assert other.stats()["later"] == 1
    doc._compact()
    doc._unbind()
    assert document(file).stats()["later"] == 1


def test_a_store_comes_back(path):
    clock = iter(range(1_000_000)).__next__
    file = make(path)
    s = store(file, clock=clock)
    s["a"] = 1
    other = ck.Store("o", clock=clock)
    other["a"] = 2
    s.integrate_diff(other.build_diff(s.request_diff()))
    assert len(s.conflicts("a")) == 2
    s["b"] = [1, {"x": None}]
    with s.transaction() as t:
        t["c"] = b"bytes"
        del t["b"]
    want, entries, conflicts, request = dict(s), s.entries(), s.conflicts("a"), s.request_diff()
    incarnation, last = s.incarnation, s._last_hlc
    s["gathering"] = 1
    s._unbind()
    again = store(file, clock=clock)
    assert dict(again) == want and again.entries() == entries and again.conflicts("a") == conflicts
    assert again.request_diff() == request and again._last_hlc >= last and again.peer_id == "s"
    assert again.incarnation is None
    again["x"] = 1
    assert again.incarnation != incarnation and again._check() == []
    again._unbind()
    file.close()


def test_what_an_op_set_has_to_tell_survives(path):
    for clean in (False, True):
        file = make(path, 1 + clean)
        s, far = store(file, 1 + clean), ck.Store("far")
        s["a"] = s["b"] = 1
        far.integrate_opset(s.opset())
        s["a"] = 2
        del s["b"]
        s.commit()
        if clean:
            s._compact()
        s._unbind()
        s = store(file, 1 + clean)
        s["c"] = 3
        far.integrate_opset(s.opset())
        assert far == s == {"a": 2, "c": 3}
        s._unbind()
        file.close()
        os.remove(path)


# ---- when what is written is on disk


def rows(file, number):
    return len(file.run("SELECT id FROM record WHERE object = ? AND kind <> 5", number))


def test_lone_edits_gather_and_close_by_themselves():
    file = make(None)
    doc = document(file)
    doc["t"] = ck.Text()
    doc.commit()
    text, before = doc["t"], rows(file, 1)
    for _ in range(1000):
        text.insert(0, "x")
    assert rows(file, 1) == before
    text.insert(0, "x")
    assert rows(file, 1) == before + 1, "after 1,000 edits"
    doc.commit()
    before = len(doc.changes())
    for _ in range(30):
        text.insert(0, "y" * 10_000)
    assert len(doc.changes()) == before + 2, "after 256 KiB"
    doc._unbind()
    file.close()


def test_what_looks_from_outside_commits_first():
    for look in (
        lambda d: d.heads,
        lambda d: d.root,
        lambda d: d.export(),
        lambda d: d.session().send(),
        lambda d: d.fork(),
        lambda d: d.at(d.heads),
        lambda d: d.commit(),
    ):
        file = make(None)
        doc = document(file)
        doc["a"] = 1
        assert rows(file, 1) == 0
        look(doc)
        assert rows(file, 1) == 1
        doc._unbind()
        file.close()


def test_a_message_of_a_store_commits_first():
    for look in (
        lambda s: s.request_diff(),
        lambda s: s.build_diff(ck.Store("o").request_diff()),
        lambda s: s.insert_with_op("x", 1),
        lambda s: s.remove_with_op("a"),
        lambda s: s.opset(),
        lambda s: s.save(),
        lambda s: s.session().send(),
        lambda s: s.begin(),
        lambda s: s.commit(),
    ):
        file = make(None)
        s = store(file)
        s["a"] = 1
        assert rows(file, 2) == 0
        kept = look(s)
        assert rows(file, 2) == 1
        del kept
        s._unbind()
        file.close()


def test_stores_commit_by_themselves():
    file = make(None)
    s = store(file)
    for i in range(1001):
        s["x"] = i
        assert rows(file, 2) == (i >= 1000)
    s.commit()
    before = rows(file, 2)
    for i in range(4):
        s[str(i)] = bytes(100_000)
    assert rows(file, 2) == before + 1
    with s.transaction() as t:
        t["y"] = 1
    assert rows(file, 2) == before + 3
    assert ck.Store("in memory").commit() is None
    s._unbind()
    file.close()


def test_records_become_short_again(path):
    file = make(path)
    doc, s = document(file), store(file)
    most = [0, 0]
    for i in range(700):
        doc["n"] = s["n"] = i
        doc.commit()
        s.commit()
        most = [max(most[0], rows(file, 1)), max(most[1], rows(file, 2))]
    assert max(most) < 300
    doc._unbind()
    s._unbind()
    assert rows(file, 1) == rows(file, 2) == 1, "at the end in one piece"
    assert document(file)["n"] == store(file)["n"] == 699


# ---- a disk that is full


def test_a_full_disk_drops_the_open_change():
    file = make(None)
    doc = document(file)
    doc["t"] = ck.Text("kept")
    doc["m"] = {"x": 1}
    doc.commit()
    text, heads, told = doc["t"], doc.heads, []
    doc.observe(told.append)
    undo = ck.UndoStack(doc) if hasattr(ck, "UndoStack") else None
    text.insert(4, "!")
    cursor = text.cursor(4)
    doc["new"] = ck.List([1])
    new = doc["new"]
    doc["noise"] = NOISE
    full(file)
    with pytest.raises(ck.StoreError) as caught:
        doc.commit()
    assert isinstance(caught.value, OSError)
    assert doc.heads == heads and str(text) == "kept" and "new" not in doc and not told
    with pytest.raises(ck.StaleHandleError):
        len(new)
    with pytest.raises(ck.StaleHandleError):
        assert cursor.index
    text.insert(0, NOISE[:50_000].hex())
    with pytest.raises(ck.StoreError):
        assert doc.heads
    with pytest.raises(ck.StoreError), doc.change():
        doc["noise"] = NOISE
        doc["m"]["x"] = 2
    other = ck.Doc(id=ID)
    other["theirs"] = NOISE
    with pytest.raises(ck.StoreError):
        doc.apply(other.export())
    assert doc.heads == heads and doc.to_py() == {"t": "kept", "m": {"x": 1}} and not told
    roomy(file)
    text.insert(4, "?")
    doc["m"]["x"] = 3
    change = doc.commit()
    assert change.seq == 1 and str(text) == "kept?" and len(told) == 1
    doc.apply(other.export())
    assert doc["theirs"] == NOISE
    if undo:
        assert undo.undo() and str(text) == "kept"
    assert doc._check() == []
    want = doc.to_py()
    doc._unbind()
    assert document(file).to_py() == want


def test_a_full_disk_takes_writes_to_a_store_back():
    file = make(None)
    s, told = store(file), []
    s["a"] = 1
    s.commit()
    s.observe(lambda event: told.append((event.key, event.old, event.new)))
    full(file)
    s["a"] = 2
    s["noise"] = NOISE
    walk = iter(s)
    next(walk)
    with pytest.raises(ck.StoreError):
        s.commit()
    assert dict(s) == {"a": 1} and told[-2:] == [("a", 2, 1), ("noise", NOISE, ck.MISSING)]
    with pytest.raises(RuntimeError):
        list(walk)
    with pytest.raises(ck.StoreError), s.transaction() as t:
        t["noise"] = NOISE
    s["noise"] = NOISE
    with pytest.raises(ck.StoreError):
        s.request_diff()
    with pytest.raises(ck.StoreError):
        s.insert_with_op("noise", NOISE)
    assert dict(s) == {"a": 1}
    roomy(file)
    s["a"] = 3
    s.commit()
    s._unbind()
    assert dict(store(file)) == {"a": 3}


# ---- closed


def test_a_closed_document_is_stale():
    file = make(None)
    doc = document(file)
    doc["t"], doc["l"], doc["m"] = ck.Text("x"), [1], {"k": 1}
    doc["s"], doc["c"] = {1, 2}, ck.Counter(1)
    t, items, m, s, c = (doc[key] for key in "tlmsc")
    cursor, view, session = t.cursor(0), doc.at(doc.heads), doc.session()
    past, undo = view["t"], doc.undo_stack() if hasattr(doc, "undo_stack") else None
    block = doc.change()
    block.__enter__()
    doc["x"] = 1
    doc._unbind()
    doc._unbind()
    with pytest.raises(ck.StaleHandleError, match="closed"):
        block.__exit__(None, None, None)
    uses = [
        lambda: doc["t"], lambda: doc.get("t"), lambda: "t" in doc, lambda: len(doc), lambda: list(doc),
        lambda: doc.to_py(), lambda: doc.heads, lambda: doc.root, lambda: doc.commit(), lambda: doc.export(),
        lambda: doc.save(), lambda: doc.fork(), lambda: doc.apply(b""), lambda: doc.changes(), lambda: doc.stats(),
        lambda: doc.waiting, lambda: doc.missing, lambda: doc.equivocations(), lambda: doc.change().__enter__(),
        lambda: doc.at(()), lambda: doc.session(), lambda: doc.__setitem__("a", 1), lambda: doc.pop("a"),
        lambda: doc.setdefault("a", 1), lambda: doc.observe(print), lambda: doc.merge(ck.Doc(id=ID)),
        lambda: ck.Doc(id=ID).merge(doc), lambda: doc.conflicts("t"),
        lambda: str(t), lambda: len(t), lambda: t[0], lambda: t[0:1], lambda: t.insert(0, "y"), lambda: t.cursor(0),
        lambda: t.spans(), lambda: t.blame(), lambda: t.update("z"), lambda: t.to_py(),
        lambda: items[0], lambda: len(items), lambda: list(items), lambda: items.append(1), lambda: items.to_py(),
        lambda: m["k"], lambda: dict(m), lambda: m.__setitem__("k", 2), lambda: m.to_py(),
        lambda: 1 in s, lambda: set(s), lambda: s.add(3), lambda: int(c), lambda: c.increment(1),
        lambda: cursor.index, lambda: cursor.encode(), lambda: cursor.container,
        lambda: str(past), lambda: view.to_py(), lambda: view["l"].to_py(), lambda: view["m"]["k"],
        lambda: session.send(), lambda: session.receive(b""), lambda: session.done,
    ]  # fmt: skip
    for number, use in enumerate(uses):
        with pytest.raises(ck.StaleHandleError, match="closed"):
            print(number, use())
    del undo
    assert "Doc" in repr(doc) and doc.id == ID and "Text" in repr(t)
    file.close()


def test_a_closed_store_is_stale():
    file = make(None)
    s = store(file)
    s["a"] = 1
    t, session, walk = s.begin(), s.session(), iter(s)
    t["b"] = 2
    s._unbind()
    s._unbind()
    uses = [
        lambda: s["a"], lambda: s.get("a"), lambda: "a" in s, lambda: len(s), lambda: list(s), lambda: next(walk),
        lambda: s.__setitem__("a", 1), lambda: s.pop("a"), lambda: s.update(a=1), lambda: s.clear(), lambda: s.commit(),
        lambda: s.request_diff(), lambda: s.build_diff(ck.Store().request_diff()), lambda: s.opset(), lambda: s.save(),
        lambda: s.insert_with_op("a", 1), lambda: s.integrate_ops([]), lambda: s.begin(), lambda: s.stats(),
        lambda: s.session(), lambda: s.entries(), lambda: s.conflicts("a"), lambda: s.index_size(),
        lambda: s.incarnation,
        lambda: s.observe(print), lambda: t["b"], lambda: t.__setitem__("b", 1), lambda: t.commit(), lambda: t.abort(),
        lambda: session.send(), lambda: session.receive(b""), lambda: session.done,
    ]  # fmt: skip
    for number, use in enumerate(uses):
        with pytest.raises(ck.StaleHandleError):
            print(number, use())
    assert s.peer_id == "s" and "Store" in repr(s)
    file.close()


def test_binding_is_for_once():
    file = make(None)
    doc, s = document(file), store(file)
    assert doc._is_bound and s._is_bound and not ck.Doc()._is_bound and not ck.Store()._is_bound
    with pytest.raises(ValueError):
        doc._bind(file, 1)
    with pytest.raises(ValueError):
        s._bind(file, 2)
    doc["x"] = s["x"] = 1
    doc.commit()
    s.commit()
    mine, yours = ck.Doc(ME, id=ID), ck.Store()
    mine["y"] = yours["y"] = 1
    with pytest.raises(ValueError):
        mine._bind(file, 1)
    with pytest.raises(ValueError):
        yours._bind(file, 2)
    assert mine["y"] == yours["y"] == 1 and not mine._is_bound
    with pytest.raises(TypeError):
        mine._bind("file", 1)
    with pytest.raises(RuntimeError):
        file.close()
    doc._unbind()
    s._unbind()
    file.close()
    with pytest.raises(ck.StaleHandleError):
        mine._bind(file, 1)


def test_readers(path):
    file = make(path)
    doc, s = document(file), store(file)
    doc["x"] = s["x"] = 1
    doc.commit()
    s.commit()
    reader = make(path, read_only=True)
    d2, s2 = document(reader), store(reader)
    seen = []
    d2.observe(seen.append)
    s2.observe(seen.append)
    doc["x"] = s["x"] = 2
    doc.commit()
    s.commit()
    reader.refresh()
    d2._refresh()
    s2._refresh()
    assert d2["x"] == s2["x"] == 2 and len(seen) == 2
    for write in (lambda: d2.__setitem__("x", 3), lambda: s2.__setitem__("x", 3), lambda: s2.begin()):
        with pytest.raises(ck.StoreError):
            write()
    assert d2["x"] == s2["x"] == 2
    assert ck.Doc.load(d2.export())["x"] == 2


# ---- damage


def test_every_byte_of_a_record_flipped(path):
    """Content as it was, or an error that names the table; never anything else."""
    file = make(path)
    doc, s = document(file), store(file)
    for i in range(3):
        doc["k"] = s["k"] = f"value {i}"
        doc.commit()
        s.commit()
    rows = file.run("SELECT id, object, kind, data FROM record ORDER BY id")
    refused = 0
    for row, number, _, data in rows:
        for at in range(len(data)):
            bad = bytearray(data)
            bad[at] ^= 1 << at % 8
            file.begin()
            file.run("UPDATE record SET data = ? WHERE id = ?", bytes(bad), row)
            file.commit()
            try:
                again = document(file) if number == 1 else store(file)
                assert again["k"] == "value 2"
                assert number == 2 or again.heads == doc.heads
                del again  # not closed, or it would be written anew
            except ck.DecodeError as error:
                assert "table record" in str(error) and (
                    f"row {row} " in str(error) or "rows are missing" in str(error)
                )
                refused += 1
        file.begin()
        file.run("UPDATE record SET data = ? WHERE id = ?", data, row)
        file.commit()
    assert refused > 300
    doc._unbind()
    s._unbind()
    file.close()


def test_what_is_lost_comes_back_from_a_peer(path):
    file = make(path)
    doc = document(file)
    for i in range(6):
        doc[str(i)] = i
        doc.commit()
    peer = ck.Doc(id=ID)
    peer.apply(doc.export())
    doc._unbind()
    file.begin()
    file.run("DELETE FROM record WHERE id = (SELECT max(id) FROM record)")
    file.run("INSERT INTO record(object, kind, data) VALUES (1, 1, ?)", bytes(100))
    file.commit()
    with pytest.raises(ck.DecodeError, match="table record"):
        document(file)
    doc = ck.Doc(ME, id=ID)
    lost = doc._bind(file, 1, salvage=True)
    assert len(lost) == 2 and all("table record" in line for line in lost)
    ck.sync(doc, peer)
    assert doc.to_py() == peer.to_py() and doc._check() == []
    doc["more"] = 1
    doc._unbind()
    assert document(file).root == peer.root


# ---- processes

WRITER = """
import sys
from crdtkv import _core
import crdtkv as ck
me = ck.Identity.from_seed(bytes(32))
file = _core.File(sys.argv[1], durability=sys.argv[2])
file.set_key(me)
doc = ck.Doc(me, id=b"d" * 32)
doc._bind(file, 1)
s = ck.Store("s")
s._bind(file, 2)
n = doc.get("n", 0)
assert n == 0 or s["n"] in (n, n + 1, n - 1), (n, s["n"])
while True:
    n += 1
    doc["n"] = n
    doc.commit()
    s["n"] = n
    s.commit()
    doc["open"] = s["open"] = n
    print(n, flush=True)
"""


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_killed(path, durability):
    make(path).close()
    rng, least = random.Random(3), 0
    for _ in range(int(os.environ.get("CKV_KILLS", "8"))):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), durability], stdout=subprocess.PIPE)
        for _ in range(rng.randrange(1, 60)):
            line = process.stdout.readline()
            assert line, "the writer failed"
            least = int(line)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        least = int(rest[-1]) if rest else least
        file = make(path)
        doc, s = document(file), store(file)
        assert doc["n"] in (least, least + 1) and s["n"] in (least, least + 1)
        assert doc.equivocations() == [] and doc._check() == [] == s._check()
        for kept in (doc, s):
            kept._unbind()
        file.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_reads_and_writes_nothing(path):
    file = make(path)
    doc, s = document(file), store(file)
    doc["x"] = s["x"] = 1
    doc.commit()
    s.commit()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert doc["x"] == s["x"] == 1 and doc.heads and s.request_diff()
            other = ck.Doc(id=ID)
            other["y"] = 1
            for write in (
                lambda: doc.__setitem__("x", 2),
                lambda: doc.apply(other.export()),
                lambda: s.__setitem__("x", 2),
                lambda: s.begin(),
            ):
                try:
                    write()
                    os._exit(2)
                except ck.StoreError:
                    pass
            assert doc["x"] == s["x"] == 1
            doc._unbind()
            s._unbind()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    lane = doc.changes()[0].lane
    doc["x"] = s["x"] = 3
    assert doc.commit().lane == lane
    s.commit()
    doc._unbind()
    s._unbind()
    assert document(file)["x"] == store(file)["x"] == 3


def test_threads(path):
    """Several threads, several objects of one file, one of them two threads'."""
    file = make(path, 1, 2, 3, durability="normal")
    docs = [document(file, 1), ck.Doc(ME, id=b"e" * 32)]
    docs[1]._bind(file, 3)
    s = store(file)
    errors = []

    def work(number):
        try:
            for i in range(60):
                doc = docs[number % 2]
                with doc.change():
                    doc[f"{number}/{i}"] = i
                s[f"{number}/{i}"] = i
                if i % 7 == 0:
                    s.commit()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert not errors
    s.commit()
    want = [doc.to_py() for doc in docs], dict(s)
    assert len(want[0][0]) == 120 and len(want[1]) == 240
    for kept in (*docs, s):
        kept._unbind()
    file.close()
    file = make(path)
    assert document(file).to_py() == want[0][0] and dict(store(file)) == want[1]
