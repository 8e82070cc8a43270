"""Simulated networks of datastores: they replay, they do harm, and their checks find what is wrong."""

import gc
import os
import random
import subprocess
import sys

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.check import check
from crdtkv.testing.files import Files
from crdtkv.testing.kinds import Datastores
from crdtkv.testing.kv_check import absent_in, check_datastores, exchange_bodies
from crdtkv.testing.kv_host import KvHost
from crdtkv.testing.kv_lies import without_bodies
from crdtkv.testing.replica import seed_of
from house.datastores import ID, LONG, identity

COUNTS = "edits delivered dropped duplicated reordered corrupted partitions crashes restores clones equivocations"
COUNTS += " compactions purges"
CALM = testing.Faults(drop=0, duplicate=0, reorder=0, corrupt=0, partition=0, crash=0, restore=0, clone=0)


def network(seed, **options):
    return testing.Network(seed, kind="datastore", **options)


def state(net):
    return net.trace, [kv.root for kv in net.replicas], net.counts, net.liars


# ---- everything comes from the seed


@pytest.mark.parametrize("seed", range(3))
def test_equal_arguments_give_equal_runs(seed):
    assert state(network(seed).run(60).heal()) == state(network(seed).run(60).heal())
    assert state(network(seed).run(60)) != state(network(seed + 1).run(60))


def test_two_halves_are_a_whole():
    whole, halves = network(5).run(80), network(5).run(40).run(0).run(40)
    assert state(whole) == state(halves) and whole.script == halves.script
    assert state(whole.heal()) == state(halves.heal())


def test_looking_changes_nothing():
    looked, not_looked = network(6).run(30).heal(), network(6).run(30).heal()
    for _ in range(2):
        looked.assert_converged()
    assert state(looked.run(50).heal()) == state(not_looked.run(50).heal())


TELL = """
from crdtkv import testing
import hashlib
told = hashlib.sha256()
for seed in range(3):
    net = testing.Network(seed, replicas=4, kind="datastore").run(80).heal()
    told.update("\\n".join([*net.trace, *(kv.root.hex() for kv in net.replicas)]).encode())
print(told.hexdigest())
"""


def test_the_same_in_every_process():
    told = set()
    for seed in ("0", "12345"):
        run = subprocess.run(
            [sys.executable, "-c", TELL], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        told.add(run.stdout)
        assert not run.stderr
    assert len(told) == 1


def test_the_script_does_the_same():
    net = network(9, replicas=3, faults=testing.Faults(crash=0.2, restore=0.1)).run(20).heal().run(40).heal()
    assert "kind='datastore'" in net.script
    names = {}
    exec(net.script.replace(".assert_converged()", "").replace("testing.Network", "net = testing.Network"), names)
    assert state(names["net"]) == state(net) and names["net"].script == net.script
    exec(net.script)


# ---- what happens


def test_parts():
    net = network(1, replicas=6, byzantine=1)
    assert all(type(kv) is ck.Datastore for kv in net.replicas) and len(net.liars) == 1
    assert list(net.counts) == COUNTS.split() and set(net.counts.values()) == {0}
    assert {kv._file is None for kv in net.replicas} == {True, False}, "some are in files"
    assert len({kv.id for kv in net.replicas}) == 1
    assert len({kv.identity.public_key for kv in net.replicas}) == 6


@pytest.mark.parametrize("seed", range(8))
def test_a_hundred_steps_have_an_equivocation(seed):
    always = testing.Faults(**{("partition", "crash", "restore", "clone")[seed % 4]: 1}) if seed % 2 else None
    net = network(seed, replicas=1 + seed % 5, byzantine=1 + seed % 3, faults=always).run(100)
    assert net.counts["equivocations"] >= 1
    net.heal().assert_converged()
    for kv in net.replicas:
        assert {e.author for e in kv.equivocations()} <= set(net.liars) and kv.equivocations()


def test_without_faults_or_liars_nothing_goes_wrong():
    net = network(3, byzantine=0, faults=CALM).run(200)
    net.heal().assert_converged()
    happened = {what for what, n in net.counts.items() if n}
    assert happened - {"purges"} == {"edits", "delivered", "compactions"}
    assert net.liars == [] and net.replicas[0].equivocations() == []


@pytest.mark.parametrize("fault", ["crash", "restore", "clone"])
def test_each_accident_happens_alone(fault):
    rates = {**{name: 0 for name in CALM.__slots__}, fault: 0.2}
    net = network(4, byzantine=0, faults=testing.Faults(**rates)).run(120)
    net.heal().assert_converged()
    happened = {what for what, n in net.counts.items() if n}
    counted = {"crash": "crashes", "restore": "restores", "clone": "clones"}[fault]
    assert happened - {"purges"} == {"edits", "delivered", "compactions", counted}


def test_over_many_seeds_all_of_it_happens():
    total = dict.fromkeys(COUNTS.split(), 0)
    words, in_files = set(), 0
    for seed in range(20):
        net = network(seed).run(80).heal()
        net.assert_converged()
        for what, n in net.counts.items():
            total[what] += n
        words.update(word for line in net.trace for word in line.split())
        in_files += sum(host.in_file and host._starts > 1 for host in net._all)
    assert all(total.values()) and in_files, total
    lies = {"story", "garbage:", "headers", "dead:", "values", "reverse,", "old", "forged", "body"}
    assert lies | {"rewrites:", "admits", "bodies", "forgotten", "DecodeError"} <= words


@pytest.mark.parametrize("seed, steps", [(399, 58), (20061, 116)])
def test_what_failed_once(seed, steps):
    """A forger that counted what was void; an index that had forgotten names of a DAG that was purged then."""
    network(seed).run(steps).heal().assert_converged()


@pytest.mark.slow
def test_long_runs_of_many_seeds():
    first = random.randrange(1 << 32)
    for seed in range(first, first + 40):
        network(seed).run(400).heal().assert_converged()


# ---- edits of one's own


def count_one(kv, rng):
    kv.counter("n").increment(rng.randrange(1, 5))


def put_one(kv, rng):
    kv.put(f"item/{rng.randrange(5)}", [rng.random(), LONG], dag="items")


def test_edits_of_ones_own():
    net = network(1, byzantine=0, edit=[count_one, put_one]).run(100).heal()
    net.assert_converged()
    assert all(key.startswith("item/") for key in net.replicas[0]) and int(net.replicas[0].counter("n"))
    assert "edit=[count_one, put_one]" in net.script and "kind='datastore'" in net.script
    assert net.counts["purges"] == 0, "they may write to any DAG"
    assert state(net) == state(network(1, byzantine=0, edit=(count_one, put_one)).run(100).heal())


def test_no_network_of_anything_else():
    with pytest.raises(ValueError, match="store"):
        testing.Network(1, kind="store")


# ---- a disk


@pytest.fixture
def files():
    files = Files()
    yield files
    files.close()


def host(files, in_file, n=1):
    clock = lambda: 1000  # noqa: E731
    kv = files.make(identity(n), ID, clock) if in_file else ck.Datastore(identity(n), id=ID, clock=clock)
    return KvHost(f"replica {n}", kv, seed_of(n), files)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_crash_loses_the_open_change(files, in_file):
    p = host(files, in_file)
    p.doc["a"] = 1
    p.flush()
    p.doc["b"] = 1
    p.crash()
    assert dict(p.doc) == {"a": 1} and p.in_file == in_file
    p.doc["c"] = 1
    sent = p.bundle(())
    p.crash()
    assert dict(p.doc) == {"a": 1, "c": 1} and "0 applied" in p.receive(sent)
    p.doc["d"] = 1
    p.close()
    assert p.doc.stats()["lanes"] == 3 and p.doc.equivocations() == []
    p.flush()
    check([p, p.clone("q")], [], random.Random(1))


@pytest.mark.parametrize("in_file", [False, True])
def test_a_backup_holds_what_was_dropped_since(files, in_file):
    p = host(files, in_file)
    p.doc["a"] = [1, LONG]
    p.back_up()
    p.doc["a"] = [2, LONG]
    p.flush()
    assert p.compact(rewrite=False) == "1 bodies dropped"
    p.flush()
    p.restore(1)
    assert p.doc["a"] == [1, LONG] and not absent_in(p.doc)
    p.restore(0)
    assert dict(p.doc) == {} and len(p.backups) == 1


@pytest.mark.parametrize("in_file", [False, True])
def test_a_clone_writes_beside_its_model(files, in_file):
    p = host(files, in_file)
    p.doc.counter("n").increment(1)
    p.flush()
    q = p.clone("q")
    for one in (p, q):
        one.doc.counter("n").increment(10)
    p.sync(q)
    assert int(p.doc.counter("n")) == int(q.doc.counter("n")) == 21 and p.doc.equivocations() == []
    assert q.in_file == in_file and (not in_file or p.doc._file is not q.doc._file)


@pytest.mark.parametrize("in_file", [False, True])
def test_only_a_file_remembers_what_was_purged(files, in_file):
    p, q = host(files, in_file), host(files, False, 2)
    p.doc.put("a", 1, dag="x")
    p.sync(q)
    assert p.purge("x") == "1 changes forgotten"
    p.crash()
    assert p.purged == ({"x"} if in_file else set())
    p.sync(q)
    assert dict(p.doc) == ({} if in_file else {"a": 1})
    p.admit()
    p.sync(q)
    check([p, q], [], random.Random(1))


def test_a_datastore_of_ones_own_database(files, tmp_path):
    with ck.Database(tmp_path / "own.db", identity(1)) as db:
        db.doc("beside")["a"] = 1
        db.datastore("other")["a"] = 1
        kv = db.datastore("mine", id=ID, clock=lambda: 7)
        p = KvHost("p", kv, seed_of(1), files)
        kv["a"] = 1
        p.flush()
        kv["b"] = 1
        p.crash()
        assert dict(p.doc) == {"a": 1} and p.doc is not kv and p.doc.id == ID and p.doc._clock() == 7
        assert dict(kv) == {"a": 1, "b": 1}, "the other one is his who made it"


def test_files_go_with_their_network():
    for seed in range(20):
        net = network(seed).run(20)
        folder = net._kind.files._folder
        if folder is not None:
            break
    assert len(list(folder.glob("*.db")))
    del net
    gc.collect()
    assert not folder.exists()


# ---- the checks find what is wrong


def test_a_datastore_that_hears_of_no_body_is_found(monkeypatch):
    """Without sessions at the end, what liars call dead stays dead for some."""
    monkeypatch.setattr(Datastores, "settle", lambda self, hosts: None)

    def differs(seed):
        try:
            network(seed).run(60).heal().assert_converged()
        except AssertionError as error:
            return "differ" in str(error)
        return False

    assert any(differs(seed) for seed in range(100))


def test_what_was_dropped_and_mattered_is_found(monkeypatch):
    """Where nobody ever dropped a body, it shows."""
    net = next(net for net in map(network, range(50)) if not net._kind.purging)
    net.faults = CALM
    net.run(80).heal().assert_converged()
    net._kind.witness.kv["only here"] = 1
    with pytest.raises(AssertionError, match="dropped"):
        net.assert_converged()


def test_compaction_that_shows_is_found(files, monkeypatch):
    class Wasteful(ck.Datastore):
        def compact(self, rewrite=False):
            del self["a"]
            return super().compact(rewrite)

    p = KvHost("p", Wasteful(identity(1), id=ID), seed_of(1), files)
    p.doc["a"] = 1
    for rewrite in (False, True):
        with pytest.raises(AssertionError, match=r"compaction (has left|turned)"):
            p.compact(rewrite)
        p.doc["a"] = 1


def test_a_disk_that_forgets_is_found(files):
    p = host(files, False)
    p.doc["a"] = 1
    p.flush()
    p._image = ck.Datastore(id=ID).save()
    with pytest.raises(AssertionError, match="saved"):
        p.crash()


def test_verdicts_that_differ_are_found(files):
    p, q = host(files, False), host(files, False, 2)
    void = testing.Forger(p.doc, identity(66)).forge(body=b"\0\0\1" + bytes([60]) + bytes(60))
    blind = without_bodies(void)
    assert "0 applied, 1 void" in p.receive(void) and "1 applied, 0 void" in q.receive(blind)
    with pytest.raises(AssertionError, match="void"):
        check_datastores([p, q])
    exchange_bodies([p, q])
    check_datastores([p, q])
