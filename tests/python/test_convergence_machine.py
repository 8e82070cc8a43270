"""ConvergenceMachine: runs as it is, does harm, finds what is wrong, and tells how to have it again."""

import os
import subprocess
import sys
import tempfile
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

import crdtkv as ck
from crdtkv import testing

FIXED = settings(max_examples=60, stateful_step_count=50, deadline=None, database=None, derandomize=True)

TestConvergence = testing.ConvergenceMachine.TestCase
TestConvergence.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def run(machine, settings=FIXED):
    run_state_machine_as_test(machine, settings=settings)


def watching(faults):
    chosen = frozenset(faults)

    class Watching(testing.ConvergenceMachine):
        faults = chosen
        seen: ClassVar[set[str]] = set()

        @invariant()
        def watch(self):
            for host in self.everyone:
                stats = host.doc.stats()
                self.seen.update(name for name in ("void", "waiting", "equivocations") if stats[name])
                self.seen.update({"started again"} if host._starts > 1 else ())
                self.seen.update({"backup"} if len(host.backups) > 1 else ())
            self.seen.update({"clone"} if self._clones else ())
            self.seen.update({"partition"} if self._far else ())
            self.seen.update({"conflict"} if any(len(doc.heads) > 1 for doc in self.replicas) else ())

    return Watching


def test_all_of_it_happens():
    machine = watching(testing.ConvergenceMachine.faults)
    run(machine)
    wanted = {"waiting", "equivocations", "started again", "backup", "clone", "partition", "conflict"}
    assert machine.seen - {"void"} == wanted  # one lie of many, not in every sixty runs


def test_what_is_not_among_the_faults_does_not_happen():
    machine = watching(())
    run(machine)
    assert machine.seen - {"waiting"} == {"conflict"}
    machine = watching({"crash"})
    machine.faults = frozenset()
    run(machine)
    assert machine.seen - {"waiting"} == {"conflict"}

    class Again(watching(())):
        faults = frozenset({"clone"})

    run(Again)
    assert Again.seen - {"waiting"} == {"conflict", "clone"}


@pytest.mark.parametrize("fault, trace", [("crash", "started again"), ("clone", "clone"), ("partition", "partition")])
def test_one_fault_alone(fault, trace):
    machine = watching({fault})
    run(machine)
    assert machine.seen - {"waiting", "conflict"} == {trace}


# ---- machines of one's own


class Todo(testing.ConvergenceMachine):
    """What a program does to its documents, instead of anything at all."""

    size = 2
    faults = frozenset({"partition", "crash"})

    def make(self, i):
        if i:
            return self.replicas[0].fork(ck.Identity.from_seed(bytes([i]) * 32))
        doc = ck.Doc(ck.Identity.from_seed(bytes(32)), id=bytes(32), clock=self.clock)
        doc["todo"] = []
        return doc

    def edits(self, doc):
        return st.sampled_from(["milk", "bread"]).map(lambda what: testing.Edit(f"doc['todo'].append({what!r})"))

    @rule(i=st.integers(0, 1))
    def done(self, i):
        if self.replicas[i]["todo"]:
            self.replicas[i]["todo"].pop()

    @invariant()
    def it_is_a_list_of_words(self):
        assert all(set(doc["todo"]) <= {"milk", "bread"} for doc in self.replicas)


TestTodo = Todo.TestCase
TestTodo.settings = settings(max_examples=20, deadline=None)


def test_what_waits_here_and_waits_there_has_its_ancestor_in_the_end():
    """Two of the liar's changes wait at replicas that get the first one late, when others have been served."""
    machine = testing.ConvergenceMachine()
    machine.clone(i=0)
    machine.clone(i=0)
    machine.lie(lie="write", seed=68)
    machine.lie(lie="misuse", seed=7)
    assert len({host.doc.root for host in machine.everyone}) > 1
    machine.teardown()
    assert len({host.doc.root for host in machine.everyone}) == 1


def test_replicas_are_of_one_document():
    class Strangers(testing.ConvergenceMachine):
        def make(self, i):
            return ck.Doc()

    with pytest.raises(ValueError, match="one document"):
        Strangers()


# ---- of datastores


class Shop(testing.ConvergenceMachine):
    """Half of the replicas in memory, half in the files of somebody's databases."""

    size = 4

    def make(self, i):
        if i % 2:
            self._folder = getattr(self, "_folder", None) or tempfile.TemporaryDirectory()
            identity = ck.Identity.from_seed(bytes([i]) * 32)
            db = ck.Database(f"{self._folder.name}/{i}.db", identity, durability="normal")
            self._dbs = [*getattr(self, "_dbs", []), db]
            return db.datastore("shop", id=self.replicas[0].id, clock=self.clock)
        return testing.datastore(0, i, self.clock)

    @rule(i=st.integers(0, 3), rewrite=st.booleans())
    def compact(self, i, rewrite):
        self.replicas[i].compact(rewrite=rewrite)

    def teardown(self):
        try:
            super().teardown()
        finally:
            for db in self._dbs:
                db.close()
            self._folder.cleanup()


TestShop = Shop.TestCase
TestShop.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)


def test_all_of_it_happens_to_datastores():
    class Watching(Shop):
        seen: ClassVar[set[str]] = set()

        @invariant()
        def watch(self):
            for host in self.everyone:
                stats = host.doc.stats()
                names = ("void", "waiting", "left_out", "equivocations")
                self.seen.update(name for name in names if stats[name])
                self.seen.update({f"again, {'in a file' if host.in_file else 'in memory'}"} if host._starts > 1 else ())
            self.seen.update({"clone"} if self._clones else ())

    run(Watching, settings(FIXED, max_examples=60))
    wanted = {"waiting", "left_out", "equivocations", "again, in a file", "again, in memory", "clone"}
    assert Watching.seen >= wanted


def test_every_lie_is_told_to_a_datastore():
    machine = Shop()
    try:
        for lie in machine._liar.lies:
            for seed in range(3):
                machine.lie(lie=lie.__name__, seed=seed)
                machine.all_is_well()
    finally:
        machine.teardown()


# ---- what is wrong is found


def failure(machine):
    """The error, and the steps that are printed."""
    with pytest.raises(AssertionError) as caught:
        run(machine, settings(FIXED, max_examples=300, phases=[Phase.generate, Phase.shrink]))
    told = "\n".join(caught.value.__notes__).split("\n")
    first = next(k for k, line in enumerate(told) if line.startswith("state = "))
    steps = [line for line in told[first:] if line.startswith("state") or " = state." in line]
    return caught.value, steps


class Deaf(ck.Doc):
    """Hears nothing once it has a Counter."""

    def apply(self, data):
        if any(isinstance(value, ck.Counter) for value in self.values()):
            return super().apply(self.export(self.heads))
        return super().apply(data)


class Drift(ck.Doc):
    """Shows something that no change says."""

    def to_py(self):
        plain = super().to_py()
        return {**plain, "odd": 1} if len(self.changes()) > 1 and self.identity.public_key[0] % 2 else plain


def machine_of(kind):
    class Broken(testing.ConvergenceMachine):
        faults = frozenset()

        def make(self, i):
            identity = testing.replica(0, i).identity
            return kind(identity, id=bytes(32), clock=self.clock)

    return Broken


@pytest.mark.parametrize("kind", [Deaf, Drift])
def test_a_broken_document_fails_and_the_steps_can_be_pasted(kind):
    machine = machine_of(kind)
    error, steps = failure(machine)
    assert len(steps) < 12
    with pytest.raises(AssertionError) as again:
        exec("\n".join(steps), {"Broken": machine, "Edit": testing.Edit})
    assert str(again.value) == str(error)


def test_an_invariant_of_ones_own_fails_and_the_steps_can_be_pasted():
    class Broken(Todo):
        @invariant()
        def no_more_than_one(self):
            assert all(len(doc["todo"]) < 2 for doc in self.replicas), "two"

    error, steps = failure(Broken)
    assert str(error).startswith("two") and sum("state.edit(" in step for step in steps) == 2
    with pytest.raises(AssertionError, match="two"):
        exec("\n".join(steps), {"Broken": Broken, "Edit": testing.Edit})


# ---- nothing hidden decides

TELL = """
import hashlib
from hypothesis import Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from crdtkv import testing
told = hashlib.sha256()
class Machine(testing.ConvergenceMachine):
    @invariant()
    def tell(self):
        for doc in self.replicas:
            told.update(doc.root)
chosen = settings(max_examples=10, stateful_step_count=30, deadline=None, database=None, derandomize=True)
run_state_machine_as_test(Machine, settings=chosen)
print(told.hexdigest())
"""


def test_the_same_in_every_process():
    told = set()
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        told.add(subprocess.run([sys.executable, "-c", TELL], env=env, capture_output=True, check=True).stdout)
    assert len(told) == 1
