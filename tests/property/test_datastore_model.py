"""What compaction may leave out: the model, and the model without one of its rules."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from property.datastore_model import DELETE, LIVE, PUT, RULES, Change, Op, Replica, Rules, Schedule, failures, main

FEW = 1500
SEEDS = int(os.environ.get("SEEDS", "50000"))


def test_whoever_compacts_shows_what_the_others_show() -> None:
    assert not list(failures(range(FEW)))


CHECKPOINTS = Rules(checkpoints=True, dropped_stay=False)

# A rule that is broken, and a seed that notices it.
BROKEN = {
    "deletes go like puts": (Rules(deletes_stay=False), 1),
    "what names others goes like the rest": (Rules(namers_stay=False), 83),
    "what is not here is dead": (Rules(unknown_may_live=False), 2994),
    "what was dropped is dead after a purge, too": (Rules(purge_doubts=False), 41067),
    "what a checkpoint leaves out goes on superseding": (replace(CHECKPOINTS, left_out_is_undone=False), 1013),
    "every checkpoint counts": (replace(CHECKPOINTS, last_checkpoint=False), 2511),
    "a checkpoint leaves out deletes": (replace(CHECKPOINTS, honest="deletes"), 3801),
}


@pytest.mark.parametrize(("rules", "seed"), BROKEN.values(), ids=list(BROKEN))
def test_every_rule_is_needed(rules: Rules, seed: int) -> None:
    assert list(failures([seed], rules)) == [seed]
    assert not list(failures([seed], CHECKPOINTS if rules.checkpoints else RULES))


def trio(rules: Rules) -> tuple[Schedule, Replica, Replica, Replica]:
    """Three replicas that do as they are told."""
    schedule = Schedule(0, rules, lies=False, dags=2, say=lambda line: None)
    schedule.replicas = [Replica(name, schedule.world) for name in "klm"]
    one, two, three = schedule.replicas
    return schedule, one, two, three


def put(schedule: Schedule, replica: Replica, dag: int = 0, names: tuple[Change, ...] = ()) -> Change:
    return schedule.append(replica, dag, (Op(PUT, "a", frozenset((change.number, 0) for change in names)),))


@pytest.mark.parametrize("rules", [CHECKPOINTS, replace(CHECKPOINTS, honest="deletes")])
def test_a_delete_stays_on_the_list(rules: Rules) -> None:
    """Although all that is left of what it superseded was the author's own."""
    schedule, one, two, three = trio(rules)
    first = put(schedule, one)
    three.take(first.number, True)
    two.take(first.number, True)
    own = put(schedule, two)
    two.bodies &= two.know().live
    schedule.append(two, 0, (Op(DELETE, "a"),))
    chain = {own.number, own.number + 1}
    know = two.know()
    keep = {n for n in chain if any(ref[0] == n and schedule.is_listed(know, ref) for ref in know.ops)}
    if rules.honest == "deletes":
        keep = schedule.without_deletes(know, two.lanes[0], keep)
    schedule.append(two, 0, (Op(LIVE, seqs=frozenset(schedule.world.changes[n].seq for n in keep)),))
    schedule.exchange(two, three)
    comes_back = bool(three.know().values("a"))
    assert comes_back == (rules.honest == "deletes")


@pytest.mark.parametrize("rules", [CHECKPOINTS, replace(CHECKPOINTS, honest="names")])
def test_what_names_others_stays_on_the_list(rules: Rules) -> None:
    """Although somebody else, who did not know these, has superseded it."""
    schedule, one, two, three = trio(rules)
    elsewhere = put(schedule, one, dag=1)
    two.take(elsewhere.number, True)
    namer = put(schedule, two, names=(elsewhere,))
    three.take(namer.number, True)
    later = put(schedule, three)
    two.take(later.number, True)
    shown = two.know().values("a")
    assert shown == [(later.number, 0)]
    know = two.know()
    keep = frozenset({0} if schedule.is_listed(know, (namer.number, 0)) else ())
    schedule.append(two, 0, (Op(LIVE, seqs=keep),))
    assert (two.know().values("a") == shown) == (rules.honest == "")


@pytest.mark.parametrize("rules", [CHECKPOINTS, replace(CHECKPOINTS, dropped_stay=True)])
def test_a_liars_checkpoint_brings_back_what_was_dropped(rules: Rules) -> None:
    """So whoever dropped it has to ask for it again."""
    schedule, one, two, three = trio(rules)
    first = put(schedule, one)
    three.take(first.number, True)
    two.take(first.number, True)
    over = put(schedule, two)
    one.take(over.number, True)
    three.take(over.number, True)
    one.dropped, one.bodies = one.bodies & ~one.know().live, one.bodies & one.know().live
    schedule.append(two, 0, (Op(LIVE),))
    for replica in (one, three):
        schedule.exchange(replica, two)
    schedule.exchange(one, three)
    assert (one.know().shown() == three.know().shown()) == (not rules.dropped_stay)


def test_the_command_says_how_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "200", "--jobs", "1"]) == 0
    assert "200 schedules" in capsys.readouterr().out


@pytest.mark.slow
def test_many_schedules() -> None:
    first = random.randrange(1 << 32)
    assert main(["--schedules", str(SEEDS), "--first", str(first), "--jobs", "1"]) == 0, first
