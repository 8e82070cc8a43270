"""make stores: many random schedules of replicas of a key-value store, and a script of each that fails.

A schedule is a list of steps that mean something in any order, so that whatever fails can be shortened by leaving steps
out. Its own log of puts, and of what they and the removes superseded, says what must live in the end, whatever the
stores told each other and how.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from oracle.store import GONE, Dot, Drift, Store, advance_request, merge_opsets
from oracle.store_session import Session

KEYS = ("a", "b", b"a", "")
MOST = 5  # replicas
STEPS = 32
CHUNK = 50  # seeds that a process takes at a time
HOUR = 3_600_000


class Step(NamedTuple):
    """What is done, and three large numbers: who, what and with whom, each taken modulo how many there are."""

    verb: str
    who: int
    what: int
    whom: int


# What schedules are made of: how often each verb comes.
LOCAL = {"put": 8, "remove": 3, "commit": 3, "abort": 1, "wait": 2}
PULL = {"pull": 8, "request": 3, "build": 4, "take": 5}
PUSH = {"put_op": 8, "remove_op": 3, "commit_ops": 3, "hear": 14}
SETS = {"opset": 4, "merge": 3, "take_set": 6}
CLOCKS = {"skew": 2}
DISKS = {"save": 3, "clone": 1}
LOSS = {"save": 3, "lose": 2}
TALK = {"call": 3, "talk": 24}
KINDS = (
    LOCAL | PULL,
    LOCAL | PULL | CLOCKS,
    PUSH | CLOCKS | {"wait": 2},  # nothing but ops
    LOCAL | PUSH | {"pull": 2},
    LOCAL | SETS | CLOCKS,  # nothing but op sets
    LOCAL | PULL | SETS,
    LOCAL | PULL | PUSH | SETS | CLOCKS | DISKS,
    LOCAL | PULL | PUSH | SETS | CLOCKS | DISKS | LOSS,
    LOCAL | TALK | {"pull": 1},
    LOCAL | TALK | PUSH | SETS | CLOCKS,
)
OPS, OP_SETS = 2, 4  # kinds that come to the same without state sync


def steps_of(seed: int, n: int = STEPS) -> list[Step]:
    choose = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    verbs = choose.choices(tuple(kind), tuple(kind.values()), k=n)
    bits = choose.getrandbits
    return [Step(verb, bits(16), bits(16), bits(16)) for verb in verbs]


class World:
    """What replicas are made of. This one: the model alone; its messages are objects."""

    def __init__(self, store: type[Store] = Store) -> None:
        self.store = store

    def new(self, incarnation: bytes, clock: Callable[[], int]) -> Any:
        return self.store(incarnation, clock)

    def save(self, store: Any) -> Any:
        return store.copy(store.incarnation, store.now_ms)

    def load(self, save: Any, incarnation: bytes, clock: Callable[[], int]) -> Any:
        return save.copy(incarnation, clock)

    def merge(self, *opsets: Any) -> Any:
        return merge_opsets(*opsets)

    def session(self, store: Any) -> Any:
        return Session(store)

    def advance(self, request: Any, diff: Any) -> Any:
        return advance_request(request, diff)

    def waits(self, store: Any) -> bool:
        return bool(store.waiting or store.pending)

    def bookmarks(self, store: Any) -> dict[bytes, int]:
        return store.bookmark


@dataclass
class Host:
    """A replica, its name, its clock, and what it did: for the log."""

    name: str
    store: Any
    ahead: list[int]  # of true time, ms
    did: list[int]  # numbers of events


@dataclass
class Call:
    """A session between two hosts, and what is on its way to each."""

    hosts: tuple[Host, Host]
    ends: tuple[Any, Any]
    coming: tuple[list[bytes], list[bytes]]


@dataclass
class Event:
    """A put, or a remove: what it superseded. Doubtful: it happened on a disk that was lost since."""

    put: Dot | None
    superseded: frozenset[Dot]
    doubtful: bool = False


class Schedule:
    """Plays steps. `say` gets a line for each."""

    def __init__(
        self, world: World, n: int, say: Callable[[str], object] = lambda line: None, keys: Sequence[Any] = KEYS
    ) -> None:
        self.world = world
        self.say = say
        self.keys = keys
        self.happened: Counter[str] = Counter()
        self.time = HOUR
        self.made = 0  # stores
        self.values = 0
        self.log: list[Event] = []
        self.requests: list[Any] = []
        self.diffs: list[Any] = []
        self.ops: list[Any] = []
        self.sets: list[Any] = []
        self.calls: list[Call] = []
        self.saves: list[tuple[str, Any, list[int]]] = []  # whose, what, and what that had done
        self.hosts = [self.begin() for _ in range(n)]

    # Replicas

    def begin(self, save: tuple[str, Any, list[int]] | None = None) -> Host:
        incarnation = "hgfedcba"[self.made % 8].encode() + b"/" + self.made.to_bytes(8)
        name = f"{incarnation[:1].decode()}{self.made}"
        self.made += 1
        ahead = [0]

        def clock() -> int:
            return self.time + ahead[0]

        if save is None:
            return Host(name, self.world.new(incarnation, clock), ahead, [])
        return Host(name, self.world.load(save[1], incarnation, clock), ahead, list(save[2]))

    def pick(self, n: int) -> Host:
        return self.hosts[n % len(self.hosts)]

    def play(self, steps: Iterable[Step]) -> None:
        for verb, who, what, whom in steps:
            getattr(self, verb)(self.pick(who), what, whom)
            self.happened[verb] += 1

    def wait(self, host: Host, what: int, whom: int) -> None:
        self.time += what % 40 if whom % 8 else what % 40 * 60_000
        self.say(f"time is {self.time}")

    def skew(self, host: Host, what: int, whom: int) -> None:
        host.ahead[0] = (what % 19 - 9) * 60_000 if whom % 8 else 3 * HOUR
        self.say(f"{host.name} is {host.ahead[0]} ms ahead")

    # Writing, and the log

    def value(self) -> Any:
        """Another one each time."""
        self.values += 1
        n = self.values
        return (n, f"{n} ä", n + 0.5, [n, None, {"": [True, -n]}], b"%d" % n, {"n": n})[n % 6]

    def put(self, host: Host, what: int, whom: int, op: bool = False) -> None:
        self.put_key(host, self.keys[what % len(self.keys)], self.value(), op)

    def put_key(self, host: Host, key: Any, value: Any, op: bool) -> None:
        self.say(f"{host.name} puts {key!r} = {value!r}" + " with op" * op)
        seen = max(self.world.bookmarks(host.store).values(), default=0)
        before = host.store.conflicts(key)
        sent = host.store.insert_with_op(key, value) if op else host.store.put(key, value)
        dot = self.put_came_out(host, key, value, before)
        assert dot.hlc > seen, f"a put of {host.name} has a smaller hlc than what it had seen"
        if op:
            self.send(sent)

    def put_came_out(self, host: Host, key: Any, value: Any, before: Iterable[Dot]) -> Dot:
        after = host.store.conflicts(key)
        assert repr(list(after.values())) == repr([value]), f"after a put {key!r} has {after} at {host.name}"
        (dot,) = after
        self.record(host, dot, before)
        return dot

    def record(self, host: Host, put: Dot | None, superseded: Iterable[Dot]) -> None:
        host.did.append(len(self.log))
        self.log.append(Event(put, frozenset(superseded)))

    def remove(self, host: Host, what: int, whom: int, op: bool = False) -> None:
        self.remove_key(host, self.keys[what % len(self.keys)], op)

    def remove_key(self, host: Host, key: Any, op: bool) -> None:
        before = host.store.conflicts(key)
        self.say(f"{host.name} removes {key!r}" + " with op" * op)
        try:
            sent = host.store.remove_with_op(key) if op else host.store.remove(key)
        except KeyError:
            assert not before, f"{host.name} cannot remove {key!r}"
            return
        assert before, f"{host.name} removed {key!r}, which was not there"
        assert not host.store.conflicts(key), f"{key!r} is there after {host.name} removed it"
        self.record(host, None, before)
        if op:
            self.send(sent)

    def commit(self, host: Host, what: int, whom: int, op: bool = False) -> None:
        self.commit_writes(host, self.writes(what, whom), op)

    def commit_writes(self, host: Host, writes: dict[Any, Any], op: bool) -> None:
        self.say(f"{host.name} commits {writes}" + " with ops" * op)
        before = {key: host.store.conflicts(key) for key in writes}
        sent = host.store.commit_with_ops(writes) if op else host.store.commit(writes)
        hlcs = []
        for key, value in writes.items():
            if value is not GONE:
                hlcs.append(self.put_came_out(host, key, value, before[key]).hlc)
            else:
                assert not host.store.conflicts(key), f"{key!r} is there after {host.name} removed it"
                self.record(host, None, before[key])
        assert not hlcs or hlcs == list(range(hlcs[0], hlcs[0] + len(hlcs))), f"hlcs of a transaction: {hlcs}"
        if op:
            self.send(*sent)

    def writes(self, what: int, whom: int) -> dict[Any, Any]:
        """Last writes of a transaction, in their order."""
        writes: dict[Any, Any] = {}
        for i in range(1 + whom % 4):
            key = self.keys[(what >> 2 * i) % len(self.keys)]
            writes.pop(key, None)
            writes[key] = GONE if (whom >> 2 * i + 2) % 4 == 0 else self.value()
        return writes

    def abort(self, host: Host, what: int, whom: int) -> None:
        writes = self.writes(what, whom)
        self.say(f"{host.name} begins {writes} and aborts")
        before = host.store.entries()
        host.store.abort(writes)
        assert host.store.entries() == before, "an aborted transaction left something"

    # State sync

    def pull(self, host: Host, what: int, whom: int) -> None:
        other = self.pick(whom)
        self.say(f"{host.name} pulls from {other.name}")
        request = host.store.request_diff()
        diff = other.store.build_diff(request)
        waits = self.world.waits(host.store)
        with self.drift():
            report = host.store.integrate_diff(diff)
            assert not report.refused, f"what {host.name} asked for was refused"
            if not waits:
                assert self.world.advance(request, diff) == host.store.request_diff(), "the next request is another"

    def request(self, host: Host, what: int, whom: int) -> None:
        self.say(f"{host.name} makes request {len(self.requests)}")
        self.requests.append(host.store.request_diff())

    def build(self, host: Host, what: int, whom: int) -> None:
        if self.requests:
            n = what % len(self.requests)
            self.say(f"{host.name} answers request {n}: diff {len(self.diffs)}")
            self.diffs.append(host.store.build_diff(self.requests[n]))

    def take(self, host: Host, what: int, whom: int) -> None:
        if self.diffs:
            n = what % len(self.diffs)
            self.say(f"{host.name} takes diff {n}")
            self.world.advance(self.requests[whom % len(self.requests)], self.diffs[n])
            with self.drift():
                self.happened["parts refused"] += len(host.store.integrate_diff(self.diffs[n]).refused)

    # Ops

    def send(self, *ops: Any) -> None:
        for op in ops:
            self.say(f"    op {len(self.ops)}")
            self.ops.append(op)

    def put_op(self, host: Host, what: int, whom: int) -> None:
        self.put(host, what, whom, op=True)

    def remove_op(self, host: Host, what: int, whom: int) -> None:
        self.remove(host, what, whom, op=True)

    def commit_ops(self, host: Host, what: int, whom: int) -> None:
        self.commit(host, what, whom, op=True)

    def hear(self, host: Host, what: int, whom: int) -> None:
        if self.ops:
            some = [(what + i * whom) % len(self.ops) for i in range(1 + (whom >> 8) % 3)]
            self.say(f"{host.name} takes ops {some}")
            with self.drift():
                report = host.store.integrate_ops([self.ops[n] for n in some])
                self.happened["ops waiting"] += len(report.waiting)

    # Op sets

    def opset(self, host: Host, what: int, whom: int) -> None:
        self.say(f"{host.name} makes op set {len(self.sets)}")
        self.sets.append(host.store.opset())

    def merge(self, host: Host, what: int, whom: int) -> None:
        if self.sets:
            some = [(what + i * whom) % len(self.sets) for i in range(1 + (whom >> 8) % 3)]
            self.say(f"op set {len(self.sets)} is {some} merged")
            self.sets.append(self.world.merge(*(self.sets[n] for n in some)))

    def take_set(self, host: Host, what: int, whom: int) -> None:
        if self.sets:
            n = what % len(self.sets)
            self.say(f"{host.name} takes op set {n}")
            with self.drift():
                self.happened["op sets waiting"] += bool(host.store.integrate_opset(self.sets[n]).waiting)

    # Sessions

    def call(self, host: Host, what: int, whom: int) -> None:
        other = self.pick(whom)
        if host is not other and len(self.calls) < 3:
            self.say(f"{host.name} calls {other.name}: call {len(self.calls)}")
            self.calls.append(
                Call((host, other), (self.world.session(host.store), self.world.session(other.store)), ([], []))
            )

    def talk(self, host: Host, what: int, whom: int) -> None:
        """One end of a call says something, or hears it."""
        if self.calls:
            n = what % len(self.calls)
            call, end = self.calls[n], whom % 2
            if not call.coming[end] or whom & 2:
                self.say(f"{call.hosts[end].name} says the next thing in call {n}")
                message = call.ends[end].send()
                if message is not None:
                    call.coming[1 - end].append(message)
            else:
                self.say(f"{call.hosts[end].name} hears the next thing in call {n}")
                try:
                    call.ends[end].receive(call.coming[end].pop(0))
                except Drift:
                    self.happened["from the future"] += 1
                    self.calls.remove(call)

    def talk_to_the_end(self, call: Call) -> None:
        silent = 0
        for turn in range(400):
            end = turn % 2
            while call.coming[end]:
                call.ends[end].receive(call.coming[end].pop(0))
            message = call.ends[end].send()
            if message is not None:
                call.coming[1 - end].append(message)
            silent = silent + 1 if message is None else 0
            if silent == 2:
                assert all(one.done() for one in call.ends), "nobody says anything, and it is not done"
                assert self.known(call.hosts[0]) == self.known(call.hosts[1]), "a session is done, and they differ"
                return
        raise AssertionError("a session goes on and on")

    # Disks

    def save(self, host: Host, what: int, whom: int) -> None:
        self.say(f"{host.name} is saved: {len(self.saves)}")
        self.saves.append((host.name, self.world.save(host.store), list(host.did)))

    def clone(self, host: Host, what: int, whom: int) -> None:
        if self.saves and len(self.hosts) < MOST:
            n = what % len(self.saves)
            self.hosts.append(self.begin(self.saves[n]))
            self.say(f"{self.hosts[-1].name} is loaded from save {n}")

    def lose(self, host: Host, what: int, whom: int) -> None:
        """A disk is lost; an old save of it, if there is one, takes its place."""
        saves = [save for save in self.saves if save[0] == host.name]
        heir = self.begin(saves[what % len(saves)] if saves else None)
        self.say(f"{host.name} is lost; {heir.name} comes for it from " + ("a save" if saves else "nothing"))
        for n in set(host.did) - set(heir.did):
            self.log[n].doubtful = True
        self.hosts[self.hosts.index(host)] = heir
        self.calls = [call for call in self.calls if host not in call.hosts]

    # What must hold

    @contextmanager
    def drift(self) -> Iterator[None]:
        """A message of the future is refused whole."""
        try:
            yield
        except Drift:
            self.happened["from the future"] += 1

    def finish(self, seed: int) -> None:
        """Clocks go right, and what must come of it all is looked at."""
        self.time += 24 * HOUR
        for host in self.hosts:
            host.ahead[0] = 0
        choose = random.Random(seed)
        for call in self.calls:
            self.say(f"{call.hosts[0].name} and {call.hosts[1].name} talk to the end")
            self.talk_to_the_end(call)
        if self.sets:
            self.algebra([choose.choice(self.sets) for _ in range(3)])
        if seed % 5 == 0:
            self.orders(choose)
        if seed % len(KINDS) == OPS:
            self.to_everybody(choose, self.ops, lambda store, op: store.integrate_op(op))
            self.check()
        elif seed % len(KINDS) == OP_SETS:
            self.sets += [host.store.opset() for host in self.hosts]
            self.to_everybody(choose, self.sets, lambda store, opset: store.integrate_opset(opset))
            self.check()
        self.meet_and_go_on()

    def to_everybody(self, choose: random.Random, messages: list[Any], take: Callable[[Any, Any], Any]) -> None:
        """In any order, some twice."""
        for host in self.hosts:
            order = choose.sample(range(len(messages)), len(messages))
            order += choose.choices(order, k=len(messages) // 4) if order else []
            for n in order:
                self.say(f"{host.name} gets number {n}")
                take(host.store, messages[n])

    def orders(self, choose: random.Random) -> None:
        """Whoever gets the same messages again and again comes to the same, whatever their order."""
        took: list[tuple[str, Any]] = [("integrate_diff", diff) for diff in self.diffs]
        took += [("integrate_op", op) for op in self.ops] + [("integrate_opset", opset) for opset in self.sets]
        ends = []
        for host in self.begin(), self.begin():
            choose.shuffle(took)
            before = None
            while before != (before := self.known(host)):
                for verb, message in took:
                    getattr(host.store, verb)(message)
            ends.append(before)
        assert ends[0] == ends[1], f"all messages, in two orders: {ends[0]}\n{ends[1]}"

    def algebra(self, sets: list[Any]) -> None:
        a, b, c = sets
        merge = self.world.merge
        assert merge(a, b) == merge(b, a), "merging does not commute"
        assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c), "merging is not associative"
        assert merge(a, a) == merge(a) == a, "merging twice is not merging once"

    def meet_and_go_on(self) -> None:
        """All meet once, and then come messages that were under way."""
        lossy = any(event.doubtful for event in self.log)
        self.say("all meet")
        self.meet(lossy)
        self.check()
        known = [self.known(host) for host in self.hosts]
        for i, diff in enumerate(self.diffs):
            self.pick(i).store.integrate_diff(diff)
        for i, op in enumerate(self.ops):
            self.pick(i).store.integrate_op(op)
        for i, opset in enumerate(self.sets):
            self.pick(i).store.integrate_opset(opset)
        if lossy:
            self.say("late messages come, and all meet again")
            self.meet(lossy)
            self.check()
        else:
            assert [self.known(host) for host in self.hosts] == known, "a message that came late changed something"

    def known(self, host: Host) -> tuple[Any, str]:
        """All that replicas must agree on; as text, so that nan is nan, and 1 not True."""
        return host.store.request_diff(), repr(host.store.entries())

    def meet(self, lossy: bool) -> None:
        """What the first one got from all, all get from it.

        Once is enough, unless ops of somebody who is lost wait here and there, one for the other.
        """
        first, *rest = self.hosts
        rounds = len(self.ops) + len(self.sets) + 1 if lossy else 1
        while rounds and not all(self.known(host) == self.known(first) for host in rest):
            rounds -= 1
            for host in rest:
                first.store.integrate_diff(host.store.build_diff(first.store.request_diff()))
            for host in rest:
                host.store.integrate_diff(first.store.build_diff(host.store.request_diff()))

    def check(self) -> None:
        first, *rest = self.hosts
        known = self.known(first)
        for host in rest:
            assert self.known(host) == known, f"{first.name} and {host.name} differ:\n{known}\n{self.known(host)}"
        live = {dot for key in first.store.entries() for dot in first.store.conflicts(key)}
        puts = {event.put for event in self.log if event.put}
        gone = {dot for event in self.log for dot in event.superseded}
        sure_gone = {dot for event in self.log if not event.doubtful for dot in event.superseded}
        assert live <= puts, f"nobody put {live - puts}"
        assert not live & sure_gone, f"superseded dots live: {live & sure_gone}"
        bookmarks = self.world.bookmarks(first.store)
        seen = {dot for dot in puts if dot.hlc <= bookmarks.get(dot.peer, 0)}
        seen |= {event.put for event in self.log if event.put and not event.doubtful}
        assert seen - gone <= live, f"lost, and nobody superseded them: {seen - gone - live}"


# Many schedules


def play(seed: int, steps: list[Step], world: Any, say: Callable[[str], object] = lambda line: None) -> Counter[str]:
    """A schedule and all that can be asked of it."""
    schedule = Schedule(world, 2 + seed // len(KINDS) % 3, say)
    schedule.play(steps)
    schedule.finish(seed)
    return schedule.happened


def world_of(kind: str) -> Any:
    if kind == "model":
        return World()
    from property.store_pair import PairWorld  # not needed, nor the extension, for the model alone

    return PairWorld()


def failure(seed: int, steps: list[Step], world: Any) -> Exception | None:
    try:
        play(seed, steps, world)
    except Exception as error:
        return error
    return None


def shortened(seed: int, steps: list[Step], world: Any) -> list[Step]:
    """Steps that cannot be left out if it is to fail."""
    n = len(steps)
    while n:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + n :]
            if failure(seed, fewer, world):
                steps = fewer
            else:
                at += n
        n //= 2
    return steps


def script(seed: int, n_steps: int, world: Any) -> str:
    """What happens in the shortest schedule that fails as this seed does, and why it fails."""
    lines: list[str] = []
    try:
        play(seed, shortened(seed, steps_of(seed, n_steps), world), world, lines.append)
    except Exception as error:
        return "\n".join([f"seed {seed} fails:", *lines, f"{type(error).__name__}: {error}"])
    return f"seed {seed} failed, and then it did not: something else than the seed decides"


def some(task: tuple[range, int, str]) -> tuple[Counter[str], list[int]]:
    """What happened in all, and the seeds that failed."""
    seeds, n_steps, kind = task
    world = world_of(kind)
    total: Counter[str] = Counter()
    failed = []
    for seed in seeds:
        try:
            total.update(play(seed, steps_of(seed, n_steps), world))
        except Exception:
            failed.append(seed)
    return total, failed


def tasks(given: argparse.Namespace) -> Iterator[tuple[range, int, str]]:
    end = given.first + given.schedules
    for start in range(given.first, end, CHUNK):
        yield range(start, min(start + CHUNK, end)), given.steps, given.of


def results(work: Iterable[Any], jobs: int) -> Iterator[tuple[Counter[str], list[int]]]:
    """As they come."""
    if jobs == 1:
        yield from map(some, work)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(some, work)


def report(given: argparse.Namespace) -> int:
    """Plays them all, and says what happened; the exit code."""
    began = time.monotonic()
    total: Counter[str] = Counter()
    failed: list[int] = []
    for happened, bad in results(tasks(given), given.jobs):
        total.update(happened)
        failed += bad
    took = time.monotonic() - began
    print(
        f"seeds {given.first} to {given.first + given.schedules - 1}, {given.steps} steps each, of the {given.of}, "
        f"{given.jobs} processes: {took:.1f} s, {given.schedules / took:,.0f} schedules/s"
    )
    print(", ".join(f"{n:,} {what}" for what, n in sorted(total.items())))
    failed.sort()
    for seed in failed[:3]:
        print(f"\n{script(seed, given.steps, world_of(given.of))}")
    print(f"{given.schedules - len(failed)} schedules are as they should be, {len(failed)} are not", *failed[:20])
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    words = argparse.ArgumentParser(prog="make stores", description=__doc__)
    words.add_argument("--schedules", type=int, default=1000, help="how many")
    words.add_argument("--first", type=int, default=0, help="the first seed")
    words.add_argument("--steps", type=int, default=STEPS, help="of each schedule")
    words.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    words.add_argument(
        "--of", choices=["pair", "model"], default="pair", help="model and core in lockstep, or the model"
    )
    return report(words.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
