"""Random schedules of stores: the model, the model without one of its rules, and model and core in lockstep."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import crdtkv as ck
from oracle.store import GONE, MAX_HELD, Store
from oracle.store_session import DIFF, PATIENCE, Misfit, Session, piece
from oracle.store_wire import framed, read_opset, read_request, write_diff, write_op
from oracle.wire import varint
from property import store_schedules
from property.store_mutants import MUTANTS, Wide
from property.store_pair import Pair, PairWorld
from property.store_schedules import KINDS, World, failure, play, script, steps_of

COMMAND = Path(store_schedules.__file__)
SEEDS = int(os.environ.get("SEEDS", "20000"))
FEW = 160


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_model_comes_to_what_the_log_says(kind: int) -> None:
    for seed in range(kind, FEW, len(KINDS)):
        play(seed, steps_of(seed), World())


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_core_does_what_the_model_does(kind: int) -> None:
    happened: Counter[str] = Counter()
    for seed in range(kind, FEW, len(KINDS)):
        happened += play(seed, steps_of(seed), PairWorld())
    missing = {verb for verb in KINDS[kind] if not happened[verb]}
    assert not missing, "these schedules do not try all that there is"


def test_what_one_store_superseded_becomes_fewer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else superseded in between is dead anyway, and may be told as well; what is alive may not."""
    wider = []
    check = Pair.says_nothing_false
    monkeypatch.setattr(Pair, "says_nothing_false", lambda *given: wider.append(given[2:]) or check(*given))
    world = PairWorld()
    a, b = (world.new(b"%c/" % name + bytes(8), lambda: 1) for name in b"ab")
    a.commit(dict.fromkeys(map(str, range(300)), True))
    first = a.opset()
    b.integrate_opset(first)
    b.commit({str(n): GONE for n in range(1, 300, 3)})
    a.integrate_diff(b.build_diff(a.request_diff()))
    for n in [*range(0, 300, 3), *range(299, 0, -3)]:
        if n not in (51, 200):
            a.remove(str(n))
    world.save(a)
    b.integrate_opset(a.opset())
    assert list(b.model.content()) == ["200", "51"]
    assert len(wider) == 2 and all(len(told) < 9 < 99 < len(exact) for exact, told in wider)


def test_of_too_many_that_wait_the_greatest_go() -> None:
    """And a state sync settles what is left."""
    world = PairWorld()
    a, b = (world.new(b"%c/" % name + bytes(8), lambda: 1) for name in b"ab")
    first, *rest = [a.model.insert_with_op(str(n % 7), n) for n in range(MAX_HELD + 30)]
    report = b.integrate_ops([write_op(op) for op in random.Random(1).sample(rest, len(rest))])
    assert set(report.refused) == set(report.waiting) == {a.incarnation}
    assert sorted(op.hlc for op in b.model.waiting) == [op.hlc for op in rest[:MAX_HELD]]
    assert b.core.stats()["waiting"] == MAX_HELD
    b.integrate_op(write_op(first))
    assert sorted(b.model.content().values()) == list(range(MAX_HELD - 6, MAX_HELD + 1))
    b.integrate_diff(write_diff(a.model.build_diff(read_request(b.request_diff()))))
    assert b.model.entries() == a.model.entries()


@pytest.mark.parametrize("says", [b"", piece(DIFF, write_diff({}))], ids=["nothing", "diffs of nothing"])
@pytest.mark.parametrize("content", [{}, {"a": 1}], ids=["equal", "different"])
def test_who_brings_nothing_is_not_heard_for_ever(says: bytes, content: dict[str, int]) -> None:
    """The 64th message in a row ends a session. The first one brings a digest, the second that a request was heard."""
    world = PairWorld()
    a = world.new(b"a/" + bytes(8), lambda: 1)
    a.commit(content)
    end = world.session(a)
    digest = Session(Store(b"b/" + bytes(8), lambda: 1)).send()
    assert digest
    end.receive(digest)
    sent, number, last = 0, 1, PATIENCE + 1 + len(content)
    with pytest.raises(Misfit, match="nothing new"):
        while number < last + 1:
            sent += end.send() is not None
            number += 1
            end.receive(framed(b"T", bytes([0]) + varint(number) + varint(sent) + says))
    assert number == last


def test_what_is_killed_around_what_is_mine_stays_apart() -> None:
    """Of one incarnation: told long ago, not told before the save, and what the other copy put after it."""
    s = ck.Store("s")
    s.update((f"told {n:03}", n) for n in range(100))
    s.opset()
    s["mine"] = 1
    t = ck.Store.load(s.save(), "t")
    s.update((f"other {n:03}", n) for n in range(100))
    t.integrate_diff(s.build_diff(t.request_diff()))
    for word in "other", "told":
        for n in [*range(98, -1, -2), *range(99, 0, -2)]:
            del t[f"{word} {n:03}"]
        t.pop("mine", None)
    assert ck.Store.load(t.save()) == t == {}
    opset = t.opset()
    assert list(read_opset(opset)) == [s.incarnation]
    s.integrate_opset(opset)
    assert s == {}


@pytest.mark.slow
def test_many_schedules() -> None:
    first = random.randrange(1 << 32)
    assert store_schedules.main(["--schedules", str(SEEDS), "--first", str(first), "--jobs", "1"]) == 0, first


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_every_rule_is_needed(mutant: type[Store]) -> None:
    assert any(failure(seed, steps_of(seed), World(mutant)) for seed in range(600)), mutant.__doc__


def test_fewer_runs_in_op_sets_say_nothing_false() -> None:
    for seed in range(FEW):
        play(seed, steps_of(seed), World(Wide))


def test_what_fails_is_shortened_to_a_script() -> None:
    seed = next(seed for seed in range(600) if failure(seed, steps_of(seed), World(MUTANTS[3])))
    told = script(seed, store_schedules.STEPS, World(MUTANTS[3])).splitlines()
    assert told[0] == f"seed {seed} fails:" and 3 <= len(told) < 20
    assert any("removes" in line or "commits" in line for line in told), told


def test_the_command_says_what_happened() -> None:
    told = subprocess.run(
        [sys.executable, str(COMMAND), "--schedules", "80", "--jobs", "2"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    first, happened, last = told.stdout.splitlines()
    assert first.startswith("seeds 0 to 79, 32 steps each, of the pair, 2 processes: ") and "schedules/s" in first
    assert " ops waiting" in happened and " parts refused" in happened
    assert last == "80 schedules are as they should be, 0 are not"
