"""What compaction may leave out, as a model: random schedules of replicas, of which one may lie.

    python tests/property/datastore_model.py --schedules 20000

A change is a set of operations with a causal past; a replica has changes of each DAG, and the bodies of some of them.
Everything else is computed from that when asked. In the end the honest replicas exchange what they have, and must show
the same; and the same as somebody who never dropped a body.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

PUT, DELETE, COUNT, LIVE = "put", "delete", "count", "live"
KEYS = "ab"
CHUNK = 250
STEPS = 32


class Op(NamedTuple):
    kind: str
    key: str = ""
    names: frozenset[tuple[int, int]] = frozenset()  # operations of other DAGs
    total: int = 0
    seqs: frozenset[int] = frozenset()  # of a LIVE


@dataclass(frozen=True)
class Change:
    number: int
    dag: int
    lane: int
    seq: int
    past: int  # a bit for each number, strictly
    clock: int
    tie: int  # what an id is good for
    ops: tuple[Op, ...]


Ref = tuple[int, int]  # change, index


@dataclass(frozen=True)
class Rules:
    """The rules of the format, and what else was thought of (docs/adr/0021-no-checkpoints.md)."""

    deletes_stay: bool = True  # a delete is live until an operation on its key supersedes it
    namers_stay: bool = True  # whatever names an operation that is not known to be dead
    unknown_may_live: bool = True  # a named operation that is not here
    dropped_stay: bool = True  # what was dropped is never asked for
    purge_doubts: bool = True  # but once a DAG was purged
    checkpoints: bool = False  # authors say which bodies of a lane still matter
    left_out_is_undone: bool = True  # what a checkpoint leaves out does not supersede either
    last_checkpoint: bool = True  # only the greatest checkpoint of a lane counts
    honest: str = ""  # what an honest checkpoint leaves out as well: "deletes" of own puts; what "names" others


RULES = Rules()


class World:
    """All changes ever made, and what bodies say of keys."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.changes: list[Change] = []
        self.tips: dict[int, list[Change]] = {}  # by lane: what its owner may go on from

    def behind(self, a: Ref, b: Ref) -> bool:
        """Has operation a operation b in its past? Both of one DAG."""
        return (a[0] == b[0] and a[1] > b[1]) or bool(self.changes[a[0]].past >> b[0] & 1)

    def order(self, ref: Ref) -> tuple[int, int, int]:
        change = self.changes[ref[0]]
        return change.clock, change.tie, ref[1]


class Knowledge:
    """What the bodies of some changes say, by definition."""

    def __init__(self, world: World, bodies: int, graph: int) -> None:
        self.world, self.rules, self.bodies, self.graph = world, world.rules, bodies, graph
        self.ops: dict[Ref, Op] = {
            (number, index): op for number in bits(bodies) for index, op in enumerate(world.changes[number].ops)
        }

    def of(self, ref: Ref) -> Change:
        return self.world.changes[ref[0]]

    @cached_property
    def checkpoints(self) -> list[Ref]:
        """The last ones of each lane, on each of its prongs."""
        every = self.all_checkpoints
        return [
            ref
            for ref in every
            if not any(self.of(ref).lane == self.of(other).lane and self.world.behind(other, ref) for other in every)
        ]

    @cached_property
    def all_checkpoints(self) -> list[Ref]:
        return [ref for ref, op in self.ops.items() if op.kind == LIVE]

    def left_out(self, number: int) -> bool:
        """Did its author say that it does not matter any more?"""
        change = self.world.changes[number]
        return any(
            self.of(ref).lane == change.lane
            and self.of(ref).past >> number & 1
            and change.seq not in self.ops[ref].seqs
            for ref in (self.checkpoints if self.rules.last_checkpoint else self.all_checkpoints)
        )

    @cached_property
    def by_key(self) -> dict[tuple[int, str], list[Ref]]:
        """The operations on each key in each DAG that count."""
        out: dict[tuple[int, str], list[Ref]] = {}
        for ref, op in self.ops.items():
            if op.kind in (PUT, DELETE) and not (self.rules.left_out_is_undone and self.left_out(ref[0])):
                out.setdefault((self.of(ref).dag, op.key), []).append(ref)
        return out

    @cached_property
    def standing(self) -> dict[tuple[int, str], list[Ref]]:
        """The state of each key in each DAG."""
        out = {}
        for place, refs in self.by_key.items():
            out[place] = [
                ref
                for ref in refs
                if not self.left_out(ref[0]) and not any(self.world.behind(other, ref) for other in refs)
            ]
        return out

    @cached_property
    def named(self) -> set[tuple[str, Ref]]:
        """What operations on a key name in other DAGs."""
        return {
            (key, name)
            for (dag, key), refs in self.by_key.items()
            for ref in refs
            for name in self.ops[ref].names
            if self.world.changes[name[0]].dag != dag
        }

    def values(self, key: str) -> list[Ref]:
        """The values of a key, the greatest first."""
        refs = [
            ref
            for (_, other), standing in self.standing.items()
            if other == key
            for ref in standing
            if self.ops[ref].kind == PUT and (key, ref) not in self.named
        ]
        return sorted(refs, key=self.world.order, reverse=True)

    @cached_property
    def parts(self) -> dict[tuple[str, int], Ref]:
        """For each counter and lane the greatest operation."""
        out: dict[tuple[str, int], Ref] = {}
        for ref, op in self.ops.items():
            if op.kind == COUNT and not self.left_out(ref[0]):
                place = op.key, self.of(ref).lane
                if place not in out or self.world.order(out[place]) < self.world.order(ref):
                    out[place] = ref
        return out

    def known_dead(self, key: str, name: Ref) -> bool:
        """Is what is named dead in its own DAG, as far as is known here? Its body need not be here."""
        if not self.graph >> name[0] & 1:
            return not self.rules.unknown_may_live
        if self.left_out(name[0]):
            return True
        return any(self.world.behind(other, name) for other in self.by_key.get((self.of(name).dag, key), ()))

    def matters(self, ref: Ref) -> bool:
        """Must the body of this operation be kept?"""
        op = self.ops[ref]
        if op.kind == LIVE:
            return ref in self.checkpoints
        if op.kind == COUNT:
            return self.parts.get((op.key, self.of(ref).lane)) == ref
        standing = self.standing.get((self.of(ref).dag, op.key), ())
        if ref in standing and (op.kind == PUT or self.rules.deletes_stay):
            return True
        if not self.rules.namers_stay or ref not in self.by_key.get((self.of(ref).dag, op.key), ()):
            return False
        return any(self.is_last_namer(ref, op.key, name) and not self.known_dead(op.key, name) for name in op.names)

    def is_last_namer(self, ref: Ref, key: str, name: Ref) -> bool:
        """Of those of one DAG that name the same, the last is enough."""
        return not any(
            name in self.ops[other].names and self.world.order(other) > self.world.order(ref)
            for other in self.by_key[self.of(ref).dag, key]
        )

    @cached_property
    def live(self) -> int:
        """The bodies that matter."""
        out = 0
        for ref in self.ops:
            if not out >> ref[0] & 1 and self.matters(ref):
                out |= 1 << ref[0]
        return out

    def shown(self) -> object:
        return (
            {key: self.values(key) for key in KEYS},
            {place: self.ops[ref].total for place, ref in sorted(self.parts.items())},
        )


def bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@dataclass
class Replica:
    name: str
    world: World
    graph: int = 0
    bodies: int = 0
    dropped: int = 0  # bodies that were here and dead, and are not asked for
    purged: set[int] = field(default_factory=set)
    lanes: dict[int, int] = field(default_factory=dict)  # by DAG: the own one

    def know(self) -> Knowledge:
        return Knowledge(self.world, self.bodies, self.graph)

    def take(self, number: int, with_body: bool) -> bool:
        """A change whose ancestors are here. Was anything new?"""
        change = self.world.changes[number]
        if change.dag in self.purged or change.past & ~self.graph:
            return False
        before = self.graph, self.bodies
        self.graph |= 1 << number
        self.bodies |= with_body << number
        self.dropped &= ~self.bodies
        return before != (self.graph, self.bodies)


class Schedule:
    def __init__(self, seed: int, rules: Rules, lies: bool, dags: int, say: Callable[[str], object]) -> None:
        self.choose = random.Random(seed)
        self.say = say
        self.rules = rules
        self.world = World(rules)
        self.dags = dags
        self.replicas = [Replica("pqrs"[k], self.world) for k in range(self.choose.randint(2, 3))]
        self.liar = Replica("liar", self.world)
        self.lies = lies
        self.n_lanes = 0
        self.ever = 0  # bodies that an honest replica once had
        self.liar_checkpoints = 0  # how often it writes some
        self.careless = False  # DAGs are purged though nobody else has all of them

    def one_of(self) -> Replica:
        return self.choose.choice(self.replicas)

    def play(self, steps: int) -> None:
        verbs: dict[Callable[[], object], int] = {
            self.write: 10,
            self.hear: 10,
            self.compact: 4,
            self.checkpoint: 3 if self.rules.checkpoints else 0,
            self.meet: 2,
            self.reopen: 1,
            self.purge: 0 if self.dags == 1 else 5 if self.careless else 1,
            self.admit: 0 if self.dags == 1 else 5 if self.careless else 2,
            self.lie: 12 if self.lies else 0,
        }
        for verb in self.choose.choices(list(verbs), list(verbs.values()), k=steps):
            verb()

    # What is written

    def make(
        self, replica: Replica, dag: int, lane: int, prev: Change | None, past: int, ops: tuple[Op, ...]
    ) -> Change:
        clock = 1 + max((self.world.changes[k].clock for k in bits(past)), default=0)
        number = len(self.world.changes)
        seq = 0 if prev is None else prev.seq + 1
        change = Change(number, dag, lane, seq, past, clock, self.choose.getrandbits(30), ops)
        self.world.changes.append(change)
        self.world.tips.setdefault(lane, []).append(change)
        replica.graph |= 1 << number
        replica.bodies |= 1 << number
        if replica is not self.liar:
            self.ever |= 1 << number
        self.say(f"{replica.name} makes {number}: dag {dag} lane {lane} seq {seq} past {list(bits(past))} {ops}")
        return change

    def append(self, replica: Replica, dag: int, ops: tuple[Op, ...]) -> Change:
        if dag not in replica.lanes:
            replica.lanes[dag] = self.n_lanes
            self.n_lanes += 1
        lane = replica.lanes[dag]
        tips = self.world.tips.get(lane)
        return self.make(replica, dag, lane, tips[-1] if tips else None, self.of_dag(replica, dag), ops)

    def of_dag(self, replica: Replica, dag: int) -> int:
        return sum(1 << k for k in bits(replica.graph) if self.world.changes[k].dag == dag)

    def write(self) -> None:
        replica = self.one_of()
        dags = [dag for dag in range(self.dags) if dag not in replica.purged]
        if not dags:
            return
        dag = self.choose.choice(dags)
        ops: list[Op] = []
        know = replica.know()
        for _ in range(self.choose.choice((1, 1, 1, 2))):
            if dag == 0 and self.choose.random() < 0.15:
                ops.append(self.count(replica, know, ops))
                continue
            key = self.choose.choice(KEYS)
            names = {
                ref
                for (other, its), standing in know.standing.items()
                if its == key and other != dag
                for ref in standing
                if know.ops[ref].kind == PUT
            }
            ops.append(Op(self.choose.choice((PUT, PUT, DELETE)), key, frozenset(names)))
        change = self.append(replica, dag, tuple(ops))
        for key in puts(ops):
            shown = replica.know().values(key)
            assert shown and shown[0][0] == change.number, f"{replica.name} does not see its own put"

    def count(self, replica: Replica, know: Knowledge, ops: list[Op]) -> Op:
        lane = replica.lanes.get(0, -1)
        before = know.parts.get(("n", lane))
        total = know.ops[before].total if before else 0
        total = next((op.total for op in reversed(ops) if op.kind == COUNT), total)
        return Op(COUNT, "n", total=total + self.choose.randint(-3, 9))

    def reopen(self) -> None:
        self.one_of().lanes.clear()

    def checkpoint(self) -> None:
        """An honest author says which of a lane's bodies still matter."""
        replica = self.one_of()
        if not replica.lanes:
            return
        dag, lane = self.choose.choice(list(replica.lanes.items()))
        know = replica.know()
        chain = [k for k in bits(replica.graph) if self.world.changes[k].lane == lane]
        keep = {k for k in chain if any(ref[0] == k and self.is_listed(know, ref) for ref in know.ops)}
        if self.rules.honest == "deletes":
            keep = self.without_deletes(know, lane, keep)
        seqs = frozenset(self.world.changes[k].seq for k in keep)
        self.append(replica, dag, (Op(LIVE, seqs=seqs),))

    def is_listed(self, know: Knowledge, ref: Ref) -> bool:
        op = know.ops[ref]
        if self.rules.honest == "names" and op.kind in (PUT, DELETE):
            return ref in know.standing.get((know.of(ref).dag, op.key), ())
        return op.kind != LIVE and know.matters(ref)

    def without_deletes(self, know: Knowledge, lane: int, keep: set[int]) -> set[int]:
        """Deletes go as well, if all that they supersede is the lane's own and goes with them."""
        for number in sorted(keep):
            refs = [ref for ref in know.ops if ref[0] == number]
            if all(
                know.ops[ref].kind == DELETE
                and not know.ops[ref].names
                and all(
                    know.of(other).lane == lane and other[0] not in keep
                    for other in know.by_key[know.of(ref).dag, know.ops[ref].key]
                    if self.world.behind(ref, other)
                )
                for ref in refs
            ):
                keep = keep - {number}
        return keep

    # What is told

    def hear(self) -> None:
        """Some changes come, from somebody who may leave out bodies that are dead to it."""
        to, of = self.one_of(), self.one_of()
        if to is of:
            return
        live = of.know().live
        new = list(bits(of.graph & ~to.graph))
        for number in new[: self.choose.randint(0, len(new))]:
            has = bool(of.bodies >> number & 1)
            with_body = has and (bool(live >> number & 1) or self.choose.random() < 0.5)
            if to.take(number, with_body):
                self.say(f"{to.name} hears {number} from {of.name} {'with' if with_body else 'without'} body")
        self.ever |= to.bodies

    def meet(self) -> None:
        a, b = self.one_of(), self.one_of()
        if a is not b:
            self.exchange(a, b)

    def exchange(self, a: Replica, b: Replica) -> bool:
        """Headers, and each body that either side calls live. Was anything new?"""
        before = a.graph, a.bodies, b.graph, b.bodies
        live_a, live_b = a.know().live, b.know().live
        for to, of, live in ((a, b, live_b), (b, a, live_a)):
            for number in bits(of.graph & ~to.graph):
                to.take(number, bool(of.bodies & live & 1 << number))
        for to, of, live in ((a, b, live_b), (b, a, live_a)):
            asked = to.graph & ~to.bodies & (~to.dropped if self.rules.dropped_stay else -1)
            for number in bits(live & of.bodies & asked):
                to.take(number, True)
        self.ever |= a.bodies | b.bodies
        moved = before != (a.graph, a.bodies, b.graph, b.bodies)
        if moved:
            self.say(f"{a.name} and {b.name} meet: bodies {list(bits(a.bodies))} and {list(bits(b.bodies))}")
        return moved

    # What is forgotten

    def compact(self) -> None:
        replica = self.one_of()
        before = replica.know()
        replica.dropped |= replica.bodies & ~before.live
        replica.bodies &= before.live
        if before.bodies != replica.bodies:
            self.say(f"{replica.name} drops {list(bits(before.bodies & ~replica.bodies))}")
            assert replica.know().shown() == before.shown(), f"{replica.name} shows something else after compaction"

    def purge(self) -> None:
        """Unless somebody else would miss a body for ever; the careless do not ask."""
        replica = self.one_of()
        dag = self.choose.randrange(self.dags)
        mine = self.of_dag(replica, dag)
        others = 0
        for other in self.replicas:
            if other is not replica and dag not in other.purged:
                others |= other.bodies
        if dag in replica.purged or (replica.know().live & mine & ~others and not self.careless):
            return
        self.say(f"{replica.name} purges dag {dag}")
        replica.purged.add(dag)
        replica.graph &= ~mine
        replica.bodies &= ~mine
        replica.dropped &= 0 if self.rules.purge_doubts else ~mine
        replica.lanes.pop(dag, None)

    def admit(self) -> None:
        self.one_of().purged.clear()

    # A liar

    def lie(self) -> None:
        """Writes what it likes, in one lane for each DAG, which it forks; or says of anything that it is dead."""
        if self.choose.random() < 0.5:
            self.write_lies()
        else:
            self.claim_dead()

    def write_lies(self) -> None:
        liar, whose = self.liar, self.one_of()
        liar.graph |= whose.graph
        liar.bodies |= whose.bodies & self.choose.getrandbits(len(self.world.changes) + 1)
        dag = self.choose.randrange(self.dags)
        lane = -1 - dag
        tips = self.world.tips.get(lane, [])
        prev = tips[-1] if tips and self.choose.random() < 0.8 else self.choose.choice([None, *tips])
        past = prev.past | 1 << prev.number if prev else 0
        for k in bits(self.of_dag(liar, dag)):
            change = self.world.changes[k]
            if self.choose.random() < 0.5 and change.lane != lane:
                past |= change.past | 1 << k
        self.make(liar, dag, lane, prev, past, tuple(self.invent(dag) for _ in range(self.choose.choice((1, 2)))))

    def invent(self, dag: int) -> Op:
        kind = self.choose.choice((PUT, PUT, DELETE, DELETE, COUNT, *[LIVE] * self.liar_checkpoints))
        if kind == COUNT and dag == 0:
            return Op(COUNT, "n", total=self.choose.randint(-9, 9))
        if kind == LIVE:
            return Op(LIVE, seqs=frozenset(k for k in range(6) if self.choose.random() < 0.5))
        others = [change.number for change in self.world.changes if change.dag != dag]
        names = frozenset((k, 0) for k in others if self.choose.random() < 0.3)
        return Op(PUT if kind == PUT else DELETE, self.choose.choice(KEYS), names)

    def claim_dead(self) -> None:
        liar, to = self.liar, self.one_of()
        for number in bits(liar.graph & ~to.graph):
            with_body = bool(liar.bodies >> number & 1) and self.choose.random() < 0.5
            if self.choose.random() < 0.8 and to.take(number, with_body):
                self.say(f"{to.name} hears {number} from the liar {'with' if with_body else 'without'} body")
        self.ever |= to.bodies

    # What must hold

    def heal(self) -> None:
        for replica in self.replicas:
            replica.purged.clear()
        for _ in range(12):
            moved = [self.exchange(a, b) for a in self.replicas for b in self.replicas if a is not b]
            if not any(moved):
                break
        else:
            raise AssertionError("they exchange for ever")
        first = self.replicas[0]
        shown, live = first.know().shown(), first.know().live
        for replica in self.replicas:
            know = replica.know()
            assert replica.graph == first.graph, "other changes"
            assert know.shown() == shown, f"{replica.name} shows {know.shown()}, {first.name} {shown}"
            assert know.live == live, "other bodies are live"
        whole = Knowledge(self.world, self.ever & first.graph, first.graph)
        held = 0
        for replica in self.replicas:
            held |= replica.bodies
        if not self.liar_checkpoints and not (self.careless and whole.live & ~held):
            assert whole.shown() == shown, f"{whole.shown()} with all bodies, {shown} here"


def puts(ops: list[Op]) -> list[str]:
    """Keys whose last operation here is a put."""
    last = {op.key: op.kind for op in ops if op.kind in (PUT, DELETE)}
    return [key for key, kind in last.items() if kind == PUT]


def play(seed: int, rules: Rules = RULES, steps: int = STEPS, say: Callable[[str], object] = lambda line: None) -> None:
    """Every other schedule has two DAGs, every other a liar, and half of the liars write checkpoints."""
    schedule = Schedule(seed, rules, lies=seed % 2 == 1, dags=1 + seed // 2 % 2, say=say)
    schedule.liar_checkpoints = 2 if rules.checkpoints and seed // 4 % 2 else 0
    schedule.careless = seed % 16 in (10, 11)
    schedule.play(steps)
    schedule.heal()


def failures(seeds: Iterable[int], rules: Rules = RULES, steps: int = STEPS) -> Iterator[int]:
    for seed in seeds:
        try:
            play(seed, rules, steps)
        except AssertionError:
            yield seed


def some(task: tuple[range, int]) -> list[int]:
    return list(failures(task[0], RULES, task[1]))


def main(arguments: list[str] | None = None) -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--schedules", type=int, default=20_000, help="how many")
    words.add_argument("--first", type=int, default=0, help="the first seed")
    words.add_argument("--steps", type=int, default=STEPS, help="of each schedule")
    words.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    given = words.parse_args(arguments)
    end = given.first + given.schedules
    work = [(range(k, min(k + CHUNK, end)), given.steps) for k in range(given.first, end, CHUNK)]
    began = time.monotonic()
    with multiprocessing.Pool(given.jobs) as pool:
        failed = sorted(seed for seeds in pool.imap_unordered(some, work) for seed in seeds)
    print(
        f"{given.schedules:,} schedules, {time.monotonic() - began:.1f} s, {len(failed)} not as they should be",
        *failed[:20],
    )
    if failed:
        try:
            play(failed[0], RULES, given.steps, print)
        except AssertionError as error:
            print(error)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
