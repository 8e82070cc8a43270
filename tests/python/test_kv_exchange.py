"""Datastores that exchange, fork, look back and are looked after."""

import copy
import pickle
import random

import pytest

import crdtkv as ck
from crdtkv import _core, testing


def pair():
    a = ck.Datastore()
    return a, a.fork(ck.Identity.generate())


def test_heads_root_changes():
    kv = ck.Datastore()
    assert kv.heads == () and kv.changes() == [] and kv.waiting == () and kv.missing == () and len(kv.id) == 32
    assert kv.root == ck.Datastore(id=kv.id).root
    kv["x"] = 1
    (head,) = kv.heads
    (change,) = kv.changes()
    assert change.id == head and change.author == kv.identity.public_key and change.dag == "default"
    assert (change.seq, change.prev, change.parents, change.n_ops, change.void) == (0, None, (), 1, None)
    assert kv.commit() is None
    kv["y"] = 2
    second = kv.commit("second")
    assert second.prev == head and second.message == "second" and kv.changes(since=[head]) == [second]
    assert kv.changes(until=[head]) == [change] and kv.changes(since=[bytes(32)], until=[]) == []
    assert isinstance(kv.changes(), ck.ChangeList) and ck.Doc().changes() == []
    with pytest.raises(KeyError):
        kv.changes(until=[bytes(32)])
    with pytest.raises(TypeError):
        kv.commit(5)


def test_apply_and_merge_refuse_others_and_leave_no_trace():
    a, b = pair()
    a["x"] = 1
    data = a.export()
    b["open"] = 1
    for wrong in (b"", b"x", data[:-1], data + b"\0", bytes([data[0] ^ 1]) + data[1:], ck.Doc().export()):
        with pytest.raises(ck.DecodeError):
            b.apply(wrong)
        with pytest.raises(ck.DecodeError):
            ck.Datastore.load(wrong)
    with pytest.raises(ck.DecodeError):
        ck.Datastore().apply(data)
    with pytest.raises(ck.DecodeError):
        b.merge(ck.Datastore())
    for wrong in (5, "x", None):
        with pytest.raises(TypeError):
            b.apply(wrong)
    with pytest.raises(TypeError, match="Doc"):
        b.merge(ck.Doc())
    assert b.stats()["open_edits"] == 1, "what is no bundle closes nothing"
    report = b.apply(bytearray(data))
    assert report and len(report.applied) == 1 and b == {"x": 1, "open": 1}
    assert not b.apply(memoryview(data)) and b.apply(data).known == 1 and not b.merge(b)


def test_export_since_heads():
    a, b = pair()
    a.update({f"{n}": "x" * 100 for n in range(100)})
    b.apply(a.export())
    a["new"] = 1
    assert len(a.export(b.heads)) < 512 and len(a.export(a.heads)) < 512 and not b.apply(a.export(a.heads))
    assert bool(b.apply(a.export(b.heads))) and b.root == a.root
    assert a.export() == a.export() == a.save()


def test_waiting():
    a, b = pair()
    a["x"] = 1
    first = a.export()
    then = a.heads
    a["y"] = 2
    report = b.apply(a.export(then))
    assert report.waiting == a.heads == b.waiting and b.missing == then and not report and b == {}
    assert b.stats()["waiting"] == 1 and len(b.apply(first).applied) == 2 and b == a and b.waiting == ()


def test_fork_load_copy_pickle():
    a = ck.Datastore()
    a["x"] = 1
    then = a.heads
    a.put("y", [2], dag="other")
    a.counter("n").increment(7)
    for new in (a.fork(), ck.Datastore.load(a.save()), copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert new == a and new.root == a.root and new.id == a.id and new.counter("n") == 7 and new.dags() == a.dags()
        new["z"] = 1
        assert new != a
    assert a.fork().identity == a.identity and ck.Datastore.load(a.save()).identity != a.identity
    assert a.identity.public_key in a.save() and pickle.loads(pickle.dumps(a)).identity != a.identity
    old = a.fork(heads=then)
    assert old == {"x": 1} and old.heads == then and old.counter("n") == 0
    with pytest.raises(KeyError):
        a.fork(heads=[bytes(32)])


def test_sync_and_what_it_refuses():
    a, b = pair()
    a["x"], b["y"] = 1, 2
    b.put("z", 3, dag="other")
    report = ck.sync(a, b)
    assert a == b == {"x": 1, "y": 2, "z": 3} and report.changes == 3 and report.rounds >= 1
    testing.assert_converged(a, b)
    assert ck.sync(a, b).changes == 0 and ck.sync(a, a) == ck.SyncReport(0, 0, 0)
    other = ck.Datastore()
    other["x"] = 5
    with pytest.raises(ck.Error, match="two different datastores"):
        ck.sync(a, other)
    for wrong in (ck.Doc(id=a.id), ck.Store()):
        with pytest.raises(TypeError, match="sync"):
            ck.sync(a, wrong)
    assert other == {"x": 5} and a["x"] == 1


def test_sessions():
    a, b = pair()
    a["x"] = 1
    left, right = a.session(), b.session(max_bytes=1 << 20)
    assert isinstance(left, ck.Session) and left.doc is a and not left.done
    for _ in range(2):
        while not (left.done and right.done):
            for one, other in ((left, right), (right, left)):
                while message := one.send():
                    other.receive(message)
        assert a == b and left.send() is None and left.stats()["messages_sent"] > 0 and "done" in repr(left)
        b["y"] = 2
        assert right.send() is not None or not right.done
        break
    with pytest.raises(ck.DecodeError):
        left.receive(b"nonsense")
    assert left.send() is None and not left.done and "over" in repr(left)
    with pytest.raises(ck.SyncError):
        left.receive(b"")
    with pytest.raises(TypeError, match="Datastore"):
        ck.Session(ck.Store())


def test_conflicts_and_history():
    a, b = pair()
    a["x"], b["x"] = "a", "b"
    a.merge(b)
    found = a.conflicts("x")
    assert sorted(found.values()) == ["a", "b"] and next(iter(found.values())) == a["x"] and a.conflicts("y") == {}
    assert {name.split(":")[0] for name in found} == {change.id.hex() for change in a.changes()}
    assert all(name.endswith(":0") for name in found)
    a["x"] = [3]
    entries = a.history("x")
    assert [entry.kind for entry in entries] == ["put"] * 3 and entries[0].value == [3] and entries[0].change is None
    assert entries[0].author == a.identity.public_key and entries[0].time is None
    change = a.commit()
    del a["x"]
    deleted, put, *_ = a.history("x")
    assert (put.change, put.time, put.key) == (change.id, change.time, "x")
    assert (deleted.kind, deleted.value, deleted.change) == ("delete", None, None)
    assert a.conflicts("x") == {} and a.history("y") == [] and isinstance(a.history("x"), ck.History)


def test_dags_purge_admit():
    a, b = pair()
    a["x"] = 1
    a.put("x", 2, dag="import")
    a.put("y", 3, dag="import")
    names = a.dags()
    assert list(names) == ["default", "import"] and sorted(sum(names.values(), ())) == list(a.heads)
    change = a.changes()[-1]
    assert change.dag == "import" and a["x"] == 2
    assert a.purge("import") == 1 and a.purge("import") == 0 and a == {"x": 1} and list(a.dags()) == ["default"]
    with pytest.raises(ck.StaleHandleError):
        change.id  # noqa: B018
    with pytest.raises(ck.Error, match="purged"):
        a.put("x", 5, dag="import")
    with pytest.raises(ck.Error, match="purged"), a.batch() as batch:
        batch.put("x", 5, dag="import")
    for method in (a.purge, a.admit):
        with pytest.raises(KeyError, match="none"):
            method("none")
        with pytest.raises(TypeError):
            method(5)
    b.put("z", 4, dag="import")
    report = a.apply(b.export())
    assert not report and "z" not in a and report.refused and not a.merge(b)
    a.admit("import")
    a.admit("import")
    a.merge(b)
    assert a == {"x": 1, "z": 4}


def test_compact_repair_check_stats():
    a, b = pair()
    for n in range(20):
        a["x"] = f"{n}" * 100
        a["y"] = n
        a.commit()
    b.merge(a)
    root, found = a.root, a.compact()
    assert set(found) == {"before", "after", "dropped"} and found["dropped"] == 19 and found["after"] < found["before"]
    assert a == b and a.root == root and a.compact()["dropped"] == 0 and a.stats()["left_out"] == 19
    assert a.check() == [] and not a.repair() and a == b and len(a.history("x")) == 1
    a.compact(rewrite=True)
    with pytest.raises(TypeError):
        a.compact(5, 6)
    stats = a.stats()
    wanted = "changes ops lanes heads void waiting later waiting_bytes evicted equivocations verified memory keys dags"
    assert set(wanted.split()) <= set(stats) and all(type(n) is int for n in stats.values())
    kept = ck.Datastore(compliance=True)
    for n in range(5):
        kept["x"] = f"{n}" * 100
        kept.commit()
    assert kept.compact()["dropped"] == 0 and len(kept.history("x")) == 5


def test_equivocations():
    kv = ck.Datastore()
    kv["x"] = 1
    lane = kv.changes()[0].lane
    heard = []
    kv.observe_equivocations(heard.append)
    assert kv.equivocations() == [] and heard == []
    with pytest.raises(KeyError):
        kv._proof(bytes(32), lane, 0, bytes(32), bytes(32))
    with pytest.raises(TypeError):
        kv.observe_equivocations(5)


def test_a_limit_for_each_author():
    now = [0]
    a = ck.Datastore(clock=lambda: now[0])
    b = a.fork(ck.Identity.generate())
    a.limit(1000, burst=5000)
    refused = []
    for n in range(9):
        then = b.heads
        b[f"{n}"] = random.Random(n).randbytes(1000)
        refused += a.apply(b.export(then)).refused
        if refused:
            break
    assert [refusal.error for refusal in refused] == [ck.LimitError] and 2 < len(a) < 6 and a.heads == then
    now[0] += 60_000
    assert a.merge(b) and a == b
    a.limit(None)
    for wrong in (0, -1):
        with pytest.raises((ValueError, OverflowError)):
            a.limit(wrong)
    with pytest.raises(TypeError):
        a.limit("x")


def test_partial_copies():
    a, b = pair()
    with a.batch() as batch:
        batch.put("user/ada", "x" * 100)
        batch.increment("user/n")
    for n in range(20):
        a[f"log/{n}"] = random.Random(n).randbytes(1000)
        a.commit()
    part = a.export(prefix="user/")
    assert len(part) < len(a.export()) / 2
    b.apply(part)
    assert b == {"user/ada": "x" * 100} and b.counter("user/n") == 1 and b.root == a.root and b.heads == a.heads
    c = b.fork()
    assert c == b and b.merge(a) and b == a
    ck.sync(a, c)
    assert c == a
    with pytest.raises(TypeError):
        a.export(prefix=5)


# ---- in a file


def in_file(path, **how):
    file = _core.File(str(path))
    file.begin()
    file.run("INSERT INTO object(name, kind, uid) VALUES ('kv', 'datastore', zeroblob(32))")
    file.commit()
    return file, _core.Datastore.__new__(ck.Datastore, None, file=file, object=1, **how)


def test_after_its_file_is_closed(tmp_path):
    file, kv = in_file(tmp_path / "x.db")
    kv.update({f"{n}": n for n in range(50)})
    kv["lone"] = 1
    query, batch, counter, session = kv.query(), kv.batch(), kv.counter("n"), kv.session()
    (change, *_) = kv.changes()
    subscription = kv.observe(print)
    assert next(query) == ("0", 0)
    batch.put("a", 1)
    with pytest.raises(RuntimeError):
        file.close()
    kv._close()
    kv._close()
    for use in (
        lambda: kv["0"],
        lambda: "0" in kv,
        lambda: len(kv),
        lambda: bool(kv),
        lambda: list(kv),
        lambda: next(query),
        lambda: batch.put("a", 1),
        lambda: int(counter),
        counter.increment,
        session.send,
        lambda: session.done,
        lambda: session.receive(b""),
        lambda: kv.heads,
        lambda: kv.export(),
        lambda: kv.apply(b""),
        lambda: change.id,
        lambda: kv.put("x", 1),
        kv.commit,
        kv.batch,
        kv.stats,
        kv.dags,
        lambda: kv.merge(kv),
        lambda: kv.history("x"),
    ):
        with pytest.raises(ck.StaleHandleError, match="closed"):
            use()
    assert "over" in repr(session) and "over" in repr(batch) and "closed" in repr(counter)
    assert "closed" in repr(kv) and len(kv.id) == 32 and kv.identity
    subscription.cancel()
    file.close()


def test_what_is_in_a_file_is_there_again(tmp_path):
    file, kv = in_file(tmp_path / "x.db")
    kv["x"] = [1]
    kv.counter("n").increment()
    identity, id_, root = kv.identity, kv.id, kv.root
    kv["open"] = 1
    del kv  # its file outlives it: what was written is not lost
    again = _core.Datastore.__new__(ck.Datastore, identity, id=id_, file=file, object=1)
    assert again == {"x": [1], "open": 1} and again.root != root and again.counter("n") == 1 and again.check() == []
    again._flush()
    again._erase()
    empty = _core.Datastore.__new__(ck.Datastore, identity, id=id_, file=file, object=1)
    assert empty == {} and empty.heads == ()
    empty._drop()
    file.close()
    with pytest.raises(ck.StaleHandleError):
        _core.Datastore.__new__(ck.Datastore, identity, id=id_, file=file, object=1)
