"""Random schedules of datastores: core and twin in lockstep, and a twin that is wrong, which must be noticed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from oracle.datastore import Datastore, Ref
from oracle.kv_body import Key, Op
from property import datastore_schedules
from property.datastore_schedules import KINDS, VERBS, failure, play, script, steps_of

COMMAND = Path(datastore_schedules.__file__)
SEEDS = int(os.environ.get("SEEDS", "3000"))
FEW = 25
FAILED = (20158, 20463, 21782, 21994, 50125)  # seeds that once did


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_core_does_what_the_twin_does(kind: int) -> None:
    for seed in range(kind, FEW, len(KINDS)):
        play(seed, steps_of(seed))


@pytest.mark.parametrize("seed", FAILED)
def test_what_once_failed_does_not(seed: int) -> None:
    play(seed, steps_of(seed))


def test_these_schedules_try_all_that_there_is() -> None:
    happened: Counter[str] = Counter()
    for seed in range(4, 4 + 6 * len(KINDS), len(KINDS)):
        happened += play(seed, steps_of(seed))
    missing = {verb for verb in (*VERBS, "bodies dropped", "compared with all bodies") if not happened[verb]}
    assert not missing


def no_name(self: Datastore, ref: Ref, key: Key) -> bool:
    return False


def no_past(self: Datastore, a: Ref, b: Ref) -> bool:
    return a.change == b.change and a.index > b.index


def only_keys(self: Datastore, ref: Ref) -> bool:
    return True


def own_counts(self: Datastore, ref: Ref, op: Op) -> Ref | None:
    return ref


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("is_named", no_name), ("supersedes", no_past), ("is_needed", only_keys), ("counted", own_counts)],
)
def test_another_rule_is_noticed(name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Datastore, name, wrong)
    assert any(failure(seed, steps_of(seed)) for seed in range(60))


def test_what_fails_is_shortened_to_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Datastore, "supersedes", no_past)
    seed = next(seed for seed in range(60) if failure(seed, steps_of(seed, 12)))
    told = script(seed, 12).splitlines()
    assert told[0] == f"seed {seed} fails:" and 3 <= len(told) < 20


def test_the_command_says_what_happened() -> None:
    told = subprocess.run(
        [sys.executable, str(COMMAND), "--schedules", "10", "--jobs", "1"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    first, happened, last = told.stdout.splitlines()
    assert first.startswith("seeds 0 to 9, 40 steps each, 1 processes: ") and " bodies dropped" in happened
    assert last == "10 schedules are as they should be, 0 are not"


@pytest.mark.slow
def test_many_schedules() -> None:
    first = random.randrange(1 << 32)
    assert datastore_schedules.main(["--schedules", str(SEEDS), "--first", str(first), "--jobs", "1"]) == 0, first
