"""make sim: many simulated networks, each from a seed of its own; what happened in all, and a script for what failed.

The oracle, the second implementation, reads the changes of each run in an order of its own, and must come to the same.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.kinds import Kind
from oracle import datastore
from oracle.model import Replica
from oracle.view import shape

Task = tuple[range, int, int, Kind]  # seeds, steps of each, which of them the oracle reads, what they are of
Result = tuple[Counter[str], list[int]]

STEPS = 80
CHUNK = 25  # seeds that a process takes at a time
PIECES = 4  # in which the oracle gets a document


def pieces_of(replica: ck.Doc | ck.Datastore, seed: int) -> list[bytes]:
    """All that it has in a few bundles, shuffled."""
    choose = random.Random(seed)
    ids = [change.id for change in replica.changes()]
    pieces, before = [], []
    for _ in range(PIECES if ids else 0):
        version = [*before, choose.choice(ids)]
        pieces.append(replica.export(before, version))
        before = version
    pieces.append(replica.export(before))
    choose.shuffle(pieces)
    return pieces


def by_the_oracle(replica: ck.Doc | ck.Datastore, seed: int) -> None:
    """It gets the changes in pieces, shuffled, and has to agree on root and content."""
    oracle = Replica(replica.id) if isinstance(replica, ck.Doc) else datastore.Datastore(replica.id)
    for piece in pieces_of(replica, seed):
        oracle.apply(piece)
    assert oracle.root == replica.root, "the oracle has another root"
    if isinstance(replica, ck.Doc):
        assert shape(oracle.to_py()) == shape(replica.to_py()), "the oracle reads other content"
    else:
        assert oracle.heads == replica.heads, "the oracle has other heads"
        assert seen_by(oracle) == shown(replica), "the oracle reads other content"
    ours = [(e.author, e.lane, e.seq, e.a, e.b) for e in replica.equivocations()]
    theirs = [(e.author, e.lane, e.seq, e.a, e.b) for e in oracle.equivocations()]
    if isinstance(replica, ck.Datastore):  # which has them DAG by DAG
        ours.sort(), theirs.sort()
    assert theirs == ours, "the oracle accuses others"


def shown(kv: ck.Datastore) -> str:
    keys = [(key, list(kv.conflicts(key).values())) for key in kv]
    return repr((keys, [(name, sorted(kv.counter(name).by_author().items())) for name in kv.counters()]))


def seen_by(oracle: datastore.Datastore) -> str:
    names = oracle.keys()
    keys = [(key, oracle.conflicts(key)) for key in names]
    return repr((keys, [(name, sorted(oracle.by_author(name).items())) for name in oracle.counters()]))


def one_run(seed: int, steps: int, oracle: bool, kind: Kind = "doc") -> Counter[str]:
    """A run and all that can be asked of it; AssertionError with its script."""
    net = testing.Network(seed, kind=kind).run(steps).heal()
    net.assert_converged()
    doc = net.replicas[0]
    if oracle:
        try:
            by_the_oracle(doc, seed)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{net.script}") from error
    stats = doc.stats()
    return Counter(net.counts, changes=stats["changes"], void=stats["void"], proofs=stats["equivocations"])


def least(seed: int, steps: int, oracle: bool, kind: Kind = "doc") -> str:
    """Why the shortest beginning of a run that fails does so."""
    for few in range(steps + 1):
        try:
            one_run(seed, few, oracle, kind)
        except Exception as error:
            notes = getattr(error, "__notes__", ())
            return "\n".join([f"seed {seed} fails after {few} steps: {type(error).__name__}", str(error), *notes])
    return f"seed {seed} failed, and then it did not: something else than the seed decides"


def some_runs(task: Task) -> Result:
    """What happened in all, and the seeds that failed."""
    seeds, steps, every, kind = task
    total: Counter[str] = Counter()
    failed = []
    for seed in seeds:
        try:
            total.update(one_run(seed, steps, oracle=every > 0 and seed % every == 0, kind=kind))
        except Exception:
            failed.append(seed)
    return total, failed


def tasks(first: int, n: int, steps: int, every: int, kind: Kind) -> Iterator[Task]:
    for start in range(first, first + n, CHUNK):
        yield range(start, min(start + CHUNK, first + n)), steps, every, kind


def results(work: Iterator[Task], jobs: int) -> Iterator[Result]:
    """As they come."""
    if jobs == 1:
        yield from map(some_runs, work)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(some_runs, work)
        pool.close()
        pool.join()


def cpu_time() -> float:
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def report(given: argparse.Namespace) -> int:
    """Runs them all, and says what happened; the exit code."""
    began, used_before = time.monotonic(), cpu_time()
    total: Counter[str] = Counter()
    done, failed = 0, []
    work = tasks(given.first, given.seeds, given.steps, given.oracle, given.kind)
    for happened, bad in results(work, given.jobs):
        total.update(happened)
        failed += bad
        done = min(done + CHUNK, given.seeds)
        if sys.stderr.isatty():
            print(f"\r{done} of {given.seeds} runs, {len(failed)} failed", end="", file=sys.stderr)
    took, used = time.monotonic() - began, (cpu_time() - used_before) / given.seeds
    print(
        f"seeds {given.first} to {given.first + given.seeds - 1}, {given.steps} steps each, {given.jobs} processes: "
        f"{took:.1f} s, {given.seeds / took:.1f} runs/s, {1000 * used:.1f} ms of a core each"
    )
    print(", ".join(f"{n:,} {what}" for what, n in total.items()))
    failed.sort()
    for seed in failed[:3]:
        print(f"\n{least(seed, given.steps, given.oracle > 0, given.kind)}")
    print(f"{given.seeds - len(failed)} runs are as they should be, {len(failed)} are not", *failed[:20])
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    words = argparse.ArgumentParser(prog="make sim", description=__doc__)
    words.add_argument("--kind", choices=("doc", "datastore"), default="doc", help="what they are of")
    words.add_argument("--seeds", type=int, default=1000, help="how many networks")
    words.add_argument("--first", type=int, default=0, help="the first seed")
    words.add_argument("--steps", type=int, default=STEPS, help="of each network")
    words.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    words.add_argument("--oracle", type=int, default=1, help="it reads each n-th run; 0: none")
    return report(words.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
