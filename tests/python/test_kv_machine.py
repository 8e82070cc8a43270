"""Datastores in the testing kit: assert_converged, edits, and a ConvergenceMachine of datastores."""

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.edit import Chance, an_edit


class Datastores(testing.ConvergenceMachine):
    def make(self, i):
        return testing.datastore(0, i, self.clock)


def test_datastores_converge():
    run_state_machine_as_test(
        Datastores,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("seed", range(12))
def test_edits_of_datastores_replay(seed):
    choose = Chance(random.Random(seed))
    kv, twin = testing.datastore(1, 0), testing.datastore(1, 0)
    lines = []
    for _ in range(120):
        edit = an_edit(kv, choose)
        edit(kv)
        lines.append(repr(edit))
    for line in lines:
        eval(line, {"Edit": testing.Edit})(twin)
    assert kv == twin and kv.root == twin.root and kv.check() == []
    testing.assert_converged(kv, twin, kv.fork())


def test_where_datastores_differ():
    a = ck.Datastore()
    b = a.fork(ck.Identity.generate())
    testing.assert_converged(a, b)
    a[b"x"] = [1, {"y": 2}]
    with pytest.raises(AssertionError, match=r"differ at \('keys', b'x'\)(.|\n)*held by 0"):
        testing.assert_converged(a, b)
    b.merge(a)
    b.counter("n").increment()
    with pytest.raises(AssertionError, match=r"differ at \('counters', 'n'\)"):
        testing.assert_converged(a, b)
    for others in ((a, ck.Doc()), (a, ck.Store()), (a, ck.Datastore())):
        with pytest.raises(AssertionError, match="never converge"):
            testing.assert_converged(*others)
