"""make datastores: random schedules of datastores, core and readable twin in lockstep; a script of what failed.

Replicas write, compact, purge, exchange; somebody with a key says what he likes, and calls dead what he likes. After
each step the core must show what the twin makes of the same changes and bodies. In the end all exchange what they have,
and must show the same, and what somebody shows who never dropped a body.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import crdtkv as ck
from oracle.bundle import APART, LEFT_OUT, Item, read_bundle, write_bundle
from oracle.datastore import Datastore, dag_id_of, read_parts, write_parts
from oracle.kv_author import KvAuthor
from oracle.kv_body import Body, Op, count, delete, part, put, write_body
from oracle.wire import varint, zigzag

ID = bytes(range(32))
KEYS: tuple[Any, ...] = ("a", "b", b"a")
NAMES: tuple[Any, ...] = ("n", b"m")
DAGS = ("default", "default", "x", "y")
LONG = "stands apart from its header " * 3
STEPS = 40
CHUNK = 10
LIAR = 200

VERBS = {
    "write": 14,
    "count": 4,
    "batch": 5,
    "commit": 3,
    "tell": 8,
    "hear": 12,
    "meet": 6,
    "merge": 3,
    "compact": 6,
    "rewrite": 1,
    "purge": 1,
    "admit": 2,
    "reopen": 2,
    "lie": 6,
    "claim": 4,
    "repair": 1,
}
KINDS = (
    VERBS,
    {verb: n for verb, n in VERBS.items() if verb not in ("purge", "lie", "claim")},  # all are honest
    VERBS | {"compact": 16, "claim": 12},
    VERBS | {"lie": 20, "hear": 20},
    VERBS | {"purge": 5, "admit": 6},
)


class Step(NamedTuple):
    """What is done, and three large numbers: who, what and with whom, each taken modulo how many there are."""

    verb: str
    who: int
    what: int
    whom: int


def steps_of(seed: int, n: int = STEPS) -> list[Step]:
    choose = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    verbs = choose.choices(tuple(kind), tuple(kind.values()), k=n)
    bits = choose.getrandbits
    return [Step(verb, bits(24), bits(24), bits(24)) for verb in verbs]


class Pair:
    """One replica, twice: the core, and the twin that gets the same bundles."""

    def __init__(self, name: str, n: int, core: ck.Datastore) -> None:
        self.name, self.core, self.n = name, core, n
        core._seed(bytes([n]) * 32)
        self.twin = Datastore(ID)
        self.purged: set[str] = set()

    def wrote(self, before: tuple[bytes, ...]) -> bytes:
        """What the core wrote, if it did; the twin gets it, too."""
        data = self.core.export(before)
        self.twin.apply(data)
        return data

    def apply(self, data: bytes) -> None:
        """Both judge it, and judge alike."""
        core, twin = self.core.apply(data), self.twin.apply(data)
        for verdict in ("applied", "void"):
            ours, theirs = set(getattr(core, verdict)), set(getattr(twin, verdict))
            assert ours == theirs, f"{verdict} at {self.name}: {short(ours)}, not {short(theirs)}"
        here = {id for dag in self.twin.dags.values() for id in dag.changes}  # of these only a body was refused
        refused = {refusal.id for refusal in core.refused if refusal.id} - here
        assert refused == {id for id, _ in twin.refused if id}, (
            f"refused at {self.name}: {core.refused}, {twin.refused}"
        )

    def learn(self) -> None:
        """The twin gets what the core heard in another way."""
        self.twin.apply(self.core.export())

    def absent(self) -> dict[str, set[bytes]]:
        """The changes of the core without bodies."""
        return {
            name: {
                item.id
                for chain in read_bundle(data, dag_id_of(ID, name), type=2).chains
                for item in chain.items
                if item.body_form == LEFT_OUT
            }
            for name, data in read_parts(self.core.export(), ID)
        }

    def dropped(self) -> int:
        """The core dropped bodies: the twin says whether it might, and does, too."""
        n = 0
        gone = [
            (name, id)
            for name, ids in self.absent().items()
            for id in ids
            if self.twin.dags[name].changes[id].body is not None
        ]
        for name, id in gone:
            assert self.twin.may_drop(name, id), f"{self.name} dropped {id.hex()[:8]} of {name}, which matters"
        self.twin.spend()
        for name, id in gone:
            self.twin.dags[name].drop(id)
            n += 1
        return n

    def check(self) -> None:
        core, twin = self.core, self.twin
        assert core.root == twin.root, f"roots of {self.name} differ"
        assert core.heads == twin.heads, f"heads of {self.name} differ"
        shown = {(key, type(key)): value for key, value in core.query()}
        expected = {(key, type(key)): value for key, value in twin.to_py().items()}
        assert shown == expected and list(shown) == list(expected), f"{self.name} shows {shown}, not {expected}"
        for key in KEYS:
            ours, theirs = list(core.conflicts(key).values()), twin.conflicts(key)
            assert ours == theirs, f"conflicts of {key!r} at {self.name}: {ours}, not {theirs}"
        for name in NAMES:
            parts = core.counter(name).by_author()
            assert parts == twin.by_author(name), f"{name!r} at {self.name}: {parts}, not {twin.by_author(name)}"
        assert set(core.waiting) == {id for dag in twin.dags.values() for id in dag.waiting}, f"{self.name} waits"
        here = {name: ids for name, ids in self.absent().items() if ids}
        absent = {name: dag.absent() for name, dag in twin.dags.items() if dag.absent()}
        assert here == absent, f"{self.name} lacks the bodies of {here}, not of {absent}"


def short(ids: Iterable[bytes]) -> list[str]:
    return sorted(id.hex()[:8] for id in ids)


class Schedule:
    """Plays steps. `say` gets a line for each."""

    def __init__(self, n: int, say: Callable[[str], object] = lambda line: None) -> None:
        self.say = say
        self.happened: Counter[str] = Counter()
        self.values = 0
        self.made = 0
        self.told: list[bytes] = []
        self.pairs = [self.begin(k + 1) for k in range(n)]
        self.full = Datastore(ID)
        self.liars: dict[str, KvAuthor] = {}
        self.lies: list[tuple[str, Item]] = []

    def begin(self, identity: int, core: ck.Datastore | None = None) -> Pair:
        self.made += 1
        name = f"{'zpqrstu'[identity % 7]}{self.made}"
        if core is None:
            core = ck.Datastore(ck.Identity.from_seed(bytes([identity]) * 32), id=ID, clock=lambda: 1000)
        return Pair(name, self.made, core)

    def play(self, steps: Iterable[Step], every: bool = True) -> None:
        for verb, who, what, whom in steps:
            pair = self.pairs[who % len(self.pairs)]
            getattr(self, verb)(pair, what, whom)
            self.happened[verb] += 1
            if every:
                pair.check()

    def value(self, what: int) -> Any:
        self.values += 1
        return [self.values, LONG] if what % 3 else self.values

    # Writing

    def dag(self, pair: Pair, what: int) -> str | None:
        dags = [dag for dag in DAGS if dag not in pair.purged]
        return dags[what % len(dags)] if dags else None

    def write(self, pair: Pair, what: int, whom: int) -> None:
        key, dag = KEYS[what % len(KEYS)], self.dag(pair, what >> 4)
        if dag is None:
            return
        before = pair.core.heads
        if whom % 3:
            value = self.value(what >> 8)
            self.say(f"{pair.name} puts {key!r} = {value} in {dag}")
            pair.core.put(key, value, dag=dag)
            assert pair.core[key] == value, f"{pair.name} does not show its own put"
        else:
            self.say(f"{pair.name} deletes {key!r} in {dag}")
            pair.core.delete(key, dag=dag)
            assert key not in pair.core, f"{pair.name} shows what it deleted"
        self.wrote(pair, before)

    def wrote(self, pair: Pair, before: tuple[bytes, ...]) -> None:
        data = pair.wrote(before)
        self.full.apply(data)
        self.told.append(data)

    def count(self, pair: Pair, what: int, whom: int) -> None:
        if "default" in pair.purged:
            return
        before, amount = pair.core.heads, what % 100 - 30
        self.say(f"{pair.name} counts {NAMES[whom % 2]!r} by {amount}")
        pair.core.counter(NAMES[whom % 2]).increment(amount)
        self.wrote(pair, before)

    def batch(self, pair: Pair, what: int, whom: int) -> None:
        before = pair.core.heads
        with pair.core.batch() as b:
            for n in range(1 + what % 4):
                dag = self.dag(pair, whom >> 3 * n)
                key = KEYS[(what >> 3 * n) % len(KEYS)]
                if dag is not None and (whom >> n) % 4:
                    b.put(key, self.value(what >> n), dag=dag)
                elif dag is not None:
                    b.delete(key, dag=dag)
            if "default" not in pair.purged and whom % 5 == 0:
                b.increment(NAMES[what % 2], 7)
        self.say(f"{pair.name} writes a batch")
        self.wrote(pair, before)

    def commit(self, pair: Pair, what: int, whom: int) -> None:
        """Lone edits gather."""
        dag = self.dag(pair, what)
        if dag is None:
            return
        before = pair.core.heads
        for n in range(2 + what % 3):
            pair.core.put(KEYS[(what >> n) % len(KEYS)], self.value(whom >> n), dag=dag)
        pair.core.commit(f"{what}")
        self.say(f"{pair.name} commits lone edits in {dag}")
        self.wrote(pair, before)

    # Telling

    def tell(self, pair: Pair, what: int, whom: int) -> None:
        since = self.pairs[whom % len(self.pairs)].core.heads if what % 2 else ()
        self.say(f"{pair.name} exports: bundle {len(self.told)}")
        self.told.append(pair.core.export(since))

    def hear(self, pair: Pair, what: int, whom: int) -> None:
        if self.told:
            n = what % len(self.told)
            self.say(f"{pair.name} takes bundle {n}")
            pair.apply(self.told[n])
            self.full.apply(self.told[n])

    def meet(self, pair: Pair, what: int, whom: int) -> None:
        other = self.pairs[whom % len(self.pairs)]
        if other is not pair:
            self.say(f"{pair.name} and {other.name} have a session")
            ck.sync(pair.core, other.core)
            pair.learn(), other.learn()

    def merge(self, pair: Pair, what: int, whom: int) -> None:
        other = self.pairs[whom % len(self.pairs)]
        if other is not pair:
            self.say(f"{pair.name} merges {other.name}")
            pair.core.merge(other.core)
            pair.learn()

    # Upkeep

    def compact(self, pair: Pair, what: int, whom: int) -> None:
        self.say(f"{pair.name} compacts")
        pair.core.compact()
        self.happened["bodies dropped"] += pair.dropped()

    def rewrite(self, pair: Pair, what: int, whom: int) -> None:
        before = pair.core.heads
        shown = dict(pair.core)
        self.say(f"{pair.name} compacts and rewrites")
        pair.core.compact(rewrite=True)
        assert dict(pair.core) == shown, f"{pair.name} shows something else after it rewrote"
        self.wrote(pair, before)
        self.happened["bodies dropped"] += pair.dropped()

    def repair(self, pair: Pair, what: int, whom: int) -> None:
        pair.core.repair()
        found = pair.core.check()
        assert found == [], f"check of {pair.name}: {found}"

    def purge(self, pair: Pair, what: int, whom: int) -> None:
        """Not before somebody else has all of it."""
        dag, other = DAGS[1 + what % 3], self.pairs[whom % len(self.pairs)]
        if other is pair or {dag} & (pair.purged | other.purged) or not pair.core.dags().get(dag):
            return
        self.meet(pair, what, whom)
        self.say(f"{pair.name} purges {dag}")
        n = pair.core.purge(dag)
        assert n == pair.twin.purge(dag), f"{pair.name} purged {n} changes"
        pair.purged.add(dag)

    def admit(self, pair: Pair, what: int, whom: int) -> None:
        for dag in sorted(pair.purged):
            self.say(f"{pair.name} admits {dag}")
            pair.core.admit(dag)
            pair.twin.admit(dag)
        pair.purged.clear()

    def reopen(self, pair: Pair, what: int, whom: int) -> None:
        """A copy takes its place: a lane of its own. What was purged comes back."""
        waiting = pair.core.waiting
        if pair.purged or waiting:
            return
        heir = self.begin(pair.n, pair.core.fork())
        self.say(f"{heir.name} comes for {pair.name}")
        heir.learn()
        self.pairs[self.pairs.index(pair)] = heir

    # Lying

    def liar(self, dag: str) -> KvAuthor:
        return self.liars.setdefault(dag, KvAuthor(LIAR, ID, dag))

    def lie(self, pair: Pair, what: int, whom: int) -> None:
        """A change by somebody else with a key: what he likes, behind whatever there is."""
        choose = random.Random(what << 24 | whom)
        dag = choose.choice(DAGS)
        author = self.liar(dag)
        own = [item for name, item in self.lies if name == dag]
        graph = self.full.dags.get(dag)
        others = [id for id, change in graph.changes.items() if change.lane.id != author.lane.id] if graph else []
        before = choose.choice([None, *own, *own[-1:], *own[-1:]])
        parents = sorted(choose.sample(others, min(len(others), choose.randrange(3))))
        body, n_ops = self.false_body(choose, author, dag)
        seq = 0 if before is None else next(k for item, k in self.seqs(dag) if item is before) + 1
        item = author.item(body, n_ops, parents, before.id if before else None, seq)
        self.lies.append((dag, item))
        self.say(f"a liar makes bundle {len(self.told)}: {item.id.hex()[:8]}, seq {seq} in {dag}")
        self.told.append(author.bundle(item))
        pair.apply(self.told[-1])
        self.full.apply(self.told[-1])

    def seqs(self, dag: str) -> Iterator[tuple[Item, int]]:
        from oracle.wire import parse_header

        for name, item in self.lies:
            if name == dag:
                yield item, parse_header(item.header).seq

    def false_body(self, choose: random.Random, author: KvAuthor, dag: str) -> tuple[bytes, int]:
        if choose.random() < 0.1:
            return varint(0) + zigzag(0) + varint(99) + varint(60) + bytes(60), 1  # of a later version
        ids = [(id, choose.randrange(2)) for d in self.full.dags.values() for id in d.changes]
        ops: list[Op] = []
        for _ in range(choose.choice((1, 1, 2, 3))):
            names = tuple(sorted(set(choose.sample(ids, min(len(ids), choose.randrange(4))))))
            key = choose.choice(KEYS)
            what = choose.randrange(8)
            if what < 3:
                ops.append(put(key, self.value(what), names))
            elif what < 5:
                ops.append(delete(key, names))
            elif what < 7 or not ids:
                ops.append(count(choose.choice(NAMES), choose.randrange(-(2**90), 2**90)))
            else:
                ops.append(part(choose.choice(NAMES), choose.choice(ids), choose.randrange(100)))
        body = write_body(Body(tuple(ops), 5))
        return body, len(ops) + (choose.random() < 0.1)

    def claim(self, pair: Pair, what: int, whom: int) -> None:
        """What somebody has comes without some of its bodies."""
        choose = random.Random(what << 24 | whom)
        other = choose.choice(self.pairs)
        said = []
        for name, data in read_parts(other.core.export(), ID):
            chains = read_bundle(data, dag_id_of(ID, name), type=2).chains
            for chain in chains:
                chain.items = [
                    replace(item, body_form=LEFT_OUT, body=None)
                    if item.body_form == APART and choose.random() < 0.5
                    else item
                    for item in chain.items
                ]
            said.append((name, write_bundle(dag_id_of(ID, name), chains)))
        self.say(f"a liar calls dead what {other.name} has: bundle {len(self.told)}, {pair.name} takes it")
        self.told.append(write_parts(ID, said))
        pair.apply(self.told[-1])

    # What must hold

    def finish(self) -> None:
        for pair in self.pairs:
            self.admit(pair, 0, 0)
        for _ in range(6):
            before = [(pair.core.root, pair.absent()) for pair in self.pairs]
            for k, pair in enumerate(self.pairs):
                for other in self.pairs[k + 1 :]:
                    ck.sync(pair.core, other.core)
            if before == [(pair.core.root, pair.absent()) for pair in self.pairs]:
                break
        else:
            raise AssertionError("they exchange for ever")
        first = self.pairs[0].core
        for pair in self.pairs:
            pair.learn()
            pair.check()
            found = pair.core.check()
            assert found == [], f"check of {pair.name}: {found}"
            assert seen(pair.core) == seen(first), f"{pair.name} sees {seen(pair.core)}, not {seen(first)}"
        if self.full.root == first.root:
            self.happened["compared with all bodies"] += 1
            whole = {key: self.full.conflicts(key) for key in KEYS}
            assert {key: list(first.conflicts(key).values()) for key in KEYS} == whole, f"with all bodies: {whole}"
            for name in NAMES:
                assert first.counter(name).by_author() == self.full.by_author(name), f"{name!r} with all bodies"


def seen(core: ck.Datastore) -> Any:
    return (
        core.root,
        core.heads,
        [(key, type(key), value) for key, value in core.query()],
        {key: core.conflicts(key) for key in KEYS},
        {name: core.counter(name).by_author() for name in NAMES},
    )


# Many schedules


def play(seed: int, steps: list[Step], say: Callable[[str], object] = lambda line: None) -> Counter[str]:
    """A schedule and all that can be asked of it."""
    schedule = Schedule(2 + seed // len(KINDS) % 3, say)
    schedule.play(steps)
    schedule.finish()
    return schedule.happened


def failure(seed: int, steps: list[Step]) -> Exception | None:
    try:
        play(seed, steps)
    except Exception as error:
        return error
    return None


def shortened(seed: int, steps: list[Step]) -> list[Step]:
    """Steps that cannot be left out if it is to fail."""
    n = len(steps)
    while n:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + n :]
            if failure(seed, fewer):
                steps = fewer
            else:
                at += n
        n //= 2
    return steps


def script(seed: int, n_steps: int) -> str:
    """What happens in the shortest schedule that fails as this seed does, and why it fails."""
    lines: list[str] = []
    try:
        play(seed, shortened(seed, steps_of(seed, n_steps)), lines.append)
    except Exception as error:
        return "\n".join([f"seed {seed} fails:", *lines, f"{type(error).__name__}: {error}"])
    return f"seed {seed} failed, and then it did not: something else than the seed decides"


def some(task: tuple[range, int]) -> tuple[Counter[str], list[int]]:
    """What happened in all, and the seeds that failed."""
    total: Counter[str] = Counter()
    failed = []
    for seed in task[0]:
        try:
            total.update(play(seed, steps_of(seed, task[1])))
        except Exception:
            failed.append(seed)
    return total, failed


def report(given: argparse.Namespace) -> int:
    """Plays them all, and says what happened; the exit code."""
    began = time.monotonic()
    total: Counter[str] = Counter()
    failed: list[int] = []
    end = given.first + given.schedules
    work = [(range(k, min(k + CHUNK, end)), given.steps) for k in range(given.first, end, CHUNK)]
    with multiprocessing.Pool(given.jobs) as pool:
        for happened, bad in pool.imap_unordered(some, work):
            total.update(happened)
            failed += bad
    took = time.monotonic() - began
    print(
        f"seeds {given.first} to {end - 1}, {given.steps} steps each, {given.jobs} processes: {took:.1f} s, "
        f"{given.schedules / took:,.1f} schedules/s"
    )
    print(", ".join(f"{n:,} {what}" for what, n in sorted(total.items())))
    failed.sort()
    for seed in failed[:3]:
        print(f"\n{script(seed, given.steps)}")
    print(f"{given.schedules - len(failed)} schedules are as they should be, {len(failed)} are not", *failed[:20])
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    words = argparse.ArgumentParser(prog="make datastores", description=__doc__)
    words.add_argument("--schedules", type=int, default=1000, help="how many")
    words.add_argument("--first", type=int, default=0, help="the first seed")
    words.add_argument("--steps", type=int, default=STEPS, help="of each schedule")
    words.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    return report(words.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
