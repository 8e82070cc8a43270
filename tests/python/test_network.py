"""The simulated network: it replays, it does harm, and its checks find what is wrong."""

import hashlib
import os
import random
import subprocess
import sys

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.check import check, forks, replay
from crdtkv.testing.host import Host
from crdtkv.testing.replica import seed_of

CALM = testing.Faults(drop=0, duplicate=0, reorder=0, corrupt=0, partition=0, crash=0, restore=0, clone=0)
COUNTS = "edits delivered dropped duplicated reordered corrupted partitions crashes restores clones equivocations"


def state(net):
    return net.trace, [doc.root for doc in net.replicas], net.counts, net.liars


# ---- everything comes from the seed


@pytest.mark.parametrize("seed", range(3))
def test_equal_arguments_give_equal_runs(seed):
    assert state(testing.Network(seed).run(100).heal()) == state(testing.Network(seed).run(100).heal())
    assert state(testing.Network(seed).run(100)) != state(testing.Network(seed + 1).run(100))


def test_two_halves_are_a_whole():
    whole = testing.Network(5).run(100)
    halves = testing.Network(5).run(50).run(0).run(50)
    assert state(whole) == state(halves) and whole.script == halves.script
    assert state(whole.heal()) == state(halves.heal())


def test_looking_changes_nothing():
    looked, not_looked = testing.Network(6).run(30).heal(), testing.Network(6).run(30).heal()
    for _ in range(2):
        looked.assert_converged()
    assert state(looked.run(50).heal()) == state(not_looked.run(50).heal())


TELL = """
from crdtkv import testing
import hashlib
told = hashlib.sha256()
for seed in range(6):
    net = testing.Network(seed, replicas=4).run(80).heal()
    told.update("\\n".join([*net.trace, *(doc.root.hex() for doc in net.replicas)]).encode())
print(told.hexdigest())
"""


def test_the_same_in_every_process():
    told = set()
    for seed in ("0", "1", "12345"):
        run = subprocess.run(
            [sys.executable, "-c", TELL], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        told.add(run.stdout)
    assert len(told) == 1


def test_the_same_on_every_machine():
    """A change to the simulator or to the format changes this; another machine or version of Python must not."""
    net = testing.Network(2024, faults=testing.Faults()).run(100).heal()
    told = hashlib.sha256("\n".join([*net.trace, net.replicas[0].root.hex()]).encode()).hexdigest()
    assert told == "c35a4cee3be6cd5e7e4b4001d0f135320d92c7f9a2d38b81cf49f499aa91366f"


# ---- what happens


def test_parts():
    net = testing.Network(1, replicas=4, byzantine=3)
    assert len(net.replicas) == 4 and all(type(doc) is ck.Doc for doc in net.replicas) and len(net.liars) == 3
    assert list(net.counts) == COUNTS.split() and set(net.counts.values()) == {0}
    assert net.run(10) is net and net.heal() is net
    assert len({doc.id for doc in net.replicas}) == 1
    keys = {doc.identity.public_key for doc in net.replicas}
    assert len(keys) == 4 and keys.isdisjoint(net.liars)


@pytest.mark.parametrize("seed", range(20))
def test_a_hundred_steps_have_an_equivocation(seed):
    always = testing.Faults(**{("partition", "crash", "restore", "clone")[seed % 4]: 1}) if seed % 2 else None
    net = testing.Network(seed, replicas=1 + seed % 5, byzantine=1 + seed % 3, faults=always).run(100)
    assert net.counts["equivocations"] >= 1
    net.heal().assert_converged()
    for doc in net.replicas:
        assert {e.author for e in doc.equivocations()} <= set(net.liars) and doc.equivocations()


def test_without_faults_or_liars_nothing_goes_wrong():
    net = testing.Network(3, byzantine=0, faults=CALM).run(300)
    net.heal().assert_converged()
    happened = {what for what, n in net.counts.items() if n}
    assert happened == {"edits", "delivered"} and net.liars == [] and net.replicas[0].equivocations() == []


@pytest.mark.parametrize("fault", ["drop", "duplicate", "reorder", "corrupt", "partition", "crash", "restore", "clone"])
def test_each_fault_happens_alone(fault):
    rates = {**{name: 0 for name in CALM.__slots__}, fault: 0.2}
    net = testing.Network(4, byzantine=0, faults=testing.Faults(**rates)).run(200)
    net.heal().assert_converged()
    counts = dict(zip([*CALM.__slots__], COUNTS.split()[2:]))
    assert set(counts) == set(rates) and counts["clone"] == "clones"
    happened = {what for what, n in net.counts.items() if n}
    assert happened == {"edits", "delivered", counts[fault]}


def test_over_many_seeds_all_of_it_happens():
    total = dict.fromkeys(COUNTS.split(), 0)
    lines = set()
    for seed in range(60):
        net = testing.Network(seed).run(60).heal()
        net.assert_converged()
        for what, n in net.counts.items():
            total[what] += n
        lines.update(word for line in net.trace for word in line.split())
    assert all(total.values()), total
    assert {"story", "garbage:", "DecodeError", "reverse,", "undo", "redo", "old"} <= lines


def test_a_crash_loses_only_what_was_not_saved():
    host = Host("p", testing.replica(1, 1), seed_of(1))
    host.doc["a"] = 1
    host.flush()
    host.doc["b"] = 1
    host.crash()
    assert host.doc == {"a": 1}
    host.back_up()
    host.doc["c"] = 1
    sent = host.bundle(())
    host.restore(1)
    assert host.doc == {"a": 1}
    host.doc["d"] = 1
    assert "1 applied" in host.receive(sent) and host.doc == {"a": 1, "c": 1, "d": 1}
    assert host.doc.equivocations() == [] and host.doc.stats()["lanes"] == 3
    host.flush()
    check([host, host.clone("q")], [], random.Random(1))


@pytest.mark.parametrize("wrong", [{"drop": -0.1}, {"clone": 1.5}, {"crash": float("nan")}])
def test_faults_are_probabilities(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        testing.Faults(**wrong)


def test_no_network_without_a_replica():
    for wrong in ({"replicas": 0}, {"byzantine": -1}):
        with pytest.raises(ValueError):
            testing.Network(1, **wrong)


# ---- edits of one's own


def add_one(doc, rng):
    doc.setdefault("n", ck.Counter()).increment(rng.randrange(1, 5))


def add_item(doc, rng):
    doc.setdefault("items", []).append(rng.random())


def spoil(doc, rng):
    if rng.random() < 0.1:
        raise ZeroDivisionError("spoilt")


def test_edits_of_ones_own():
    net = testing.Network(1, byzantine=0, edit=[add_one, add_item]).run(100).heal()
    net.assert_converged()
    assert set(net.replicas[0]) == {"n", "items"} and any("add_item" in line for line in net.trace)
    assert "edit=[add_one, add_item]" in net.script and f"from {__name__} import add_one\n" in net.script
    assert state(net) == state(testing.Network(1, byzantine=0, edit=(add_one, add_item)).run(100).heal())


def test_an_error_in_an_edit_tells_how_to_have_it_again():
    with pytest.raises(ZeroDivisionError) as caught:
        testing.Network(2, edit=spoil).run(1000)
    (note,) = caught.value.__notes__
    script = note.split("\n\n", 1)[1]
    with pytest.raises(ZeroDivisionError):
        exec(script.replace(f"from {__name__} import spoil", ""), {"spoil": spoil})


# ---- the script


def test_the_script_does_the_same():
    net = (
        testing.Network(9, replicas=3, faults=testing.Faults(drop=0.5, crash=0.1)).run(20).heal().run(30).run(10).heal()
    )
    assert net.script.endswith(".run(20).heal().run(40).heal().assert_converged()")
    names = {}
    exec(net.script.replace(".assert_converged()", "").replace("testing.Network", "net = testing.Network"), names)
    assert state(names["net"]) == state(net) and names["net"].script == net.script
    exec(net.script)


def test_who_has_not_healed_differs():
    net = testing.Network(3, byzantine=0).run(60)
    with pytest.raises(AssertionError, match=r"testing\.Network\(3") as caught:
        net.assert_converged()
    script = str(caught.value).split("\n\n", 1)[1]
    with pytest.raises(AssertionError) as again:
        exec(script)
    assert str(again.value) == str(caught.value) and "testing.Network(seed=3" in script


def test_a_difference_is_named():
    net = testing.Network(3, byzantine=0).run(60).heal()
    net.replicas[1]["k"] = {"deep": ["mine"]}
    first = net.replicas[1].heads[0]
    with pytest.raises(AssertionError) as caught:
        net.assert_converged()
    told = str(caught.value)
    assert "'k'" in told and "mine" in told and first.hex()[:12] in told and "testing.Network(seed=3" in told


# ---- the checks find what is wrong


@pytest.fixture
def hosts():
    net = testing.Network(8).run(60).heal()
    net.assert_converged()
    return net._all, set(net.liars)


def test_a_lost_change_is_found(hosts):
    hosts, liars = hosts
    hosts[2].held.add(bytes(32))
    with pytest.raises(AssertionError, match="lost"):
        check(hosts, liars, random.Random(1))


def test_an_invented_change_is_found(hosts):
    hosts, liars = hosts
    for host in hosts:
        host.written.clear()
    with pytest.raises(AssertionError, match="not by its author"):
        check(hosts, liars, random.Random(1))


def test_an_accused_author_is_found(hosts):
    hosts, _ = hosts
    hosts[0].written |= {change.id for change in hosts[0].doc.changes()}
    with pytest.raises(AssertionError, match="accused"):
        check(hosts, [], random.Random(1))


def test_forks_are_what_equivocations_are(hosts):
    doc = hosts[0][0].doc
    assert forks(doc) == {(e.author, e.lane, e.seq, e.a, e.b) for e in doc.equivocations()} != set()


def test_a_replay_that_differs_is_found(monkeypatch):
    doc = ck.Doc()
    doc["a"] = 1
    replay(doc, random.Random(1))
    whole = ck.Doc.apply
    monkeypatch.setattr(ck.Doc, "apply", lambda self, data: (whole(self, data), self.update(b=1)))
    with pytest.raises(AssertionError, match="order"):
        replay(doc, random.Random(1))


def test_a_disk_that_forgets_is_found():
    host = Host("p", testing.replica(1, 1), seed_of(1))
    host.doc["a"] = 1
    host.flush()
    host.disk = ()
    with pytest.raises(AssertionError, match="saved"):
        host.crash()
