"""What a flood costs whoever is flooded: CPU seconds, and the memory of the process before, at most and after.

    .venv/bin/python benchmarks/floods.py [--quick] [name ...]

Each flood runs in a process of its own. The bundles are made as they are needed; their making is not counted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from time import process_time

from measuring import need, resident

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv as ck  # noqa: E402
from oracle.flood import Flooder, bundle_of, bundles_of  # noqa: E402

ID = bytes(range(32))
MIB = 1 << 20


class Flood:
    """Takes the time of `apply` alone, and looks at the memory now and then."""

    def __init__(self, doc: ck.Doc | None = None) -> None:
        self.doc = doc or ck.Doc(id=ID)
        self.seconds = 0.0
        self.before = self.most = resident()

    def take(self, bundles: Iterable[bytes], every: int = 1000) -> Flood:
        for k, bundle in enumerate(bundles):
            began = process_time()
            self.doc.apply(bundle)
            self.seconds += process_time() - began
            if k % every == 0:
                self.look()
        self.look()
        return self

    def look(self) -> None:
        self.most = max(self.most, resident())

    def say(self, name: str, n: int, rest: str = "") -> None:
        more = f"{(self.most - self.before) / MIB:6.1f} MiB at most, {(resident() - self.before) / MIB:6.1f} after"
        each = f"{self.seconds * 1e6 / n:7.1f} us each"
        print(f"{name:<24} {n:>9,} {self.seconds:8.2f} s {each}  {more}  {rest}", flush=True)


def waiting(doc: ck.Doc) -> str:
    stats = doc.stats()
    return f"{stats['waiting']:,} wait in {stats['waiting_bytes'] / MIB:.1f} MiB, {stats['evicted']:,} went"


def dangling(n: int, lanes: int, name: str) -> None:
    flood = Flood().take(bundles_of(ID, Flooder(ID).dangling(n, lanes)), every=50)
    stats = flood.doc.stats()
    need(stats["changes"] == 0 and stats["waiting_bytes"] <= stats["waiting_limit"], "what waits is bounded")
    flood.say(name, n, waiting(flood.doc))
    need(flood.most - flood.before <= 64 * MIB, "10^6 dangling changes take at most 64 MiB")


def reverse(n: int) -> None:
    """One at a time, in order and in reverse; beyond the pool one ordinary bundle completes it."""
    changes = list(Flooder(ID).chain(n))
    forth = Flood().take(bundle_of(ID, [change]) for change in changes)
    forth.say("a chain in order", n)
    back = Flood().take(bundle_of(ID, [change]) for change in reversed(changes))
    missing = n - back.doc.stats()["changes"]
    back.say("a chain in reverse", n, f"{back.seconds / forth.seconds:.2f} times as long; {waiting(back.doc)}")
    if missing:
        rest = Flood(back.doc).take([forth.doc.export()])
        rest.say("what completes it", n)
    need(back.doc.root == forth.doc.root, "the chain is whole")


def churn(n: int) -> None:
    doc = ck.Doc()
    doc["t"] = text = ck.Text()
    flood = Flood(doc)
    began = process_time()
    for k in range(n):
        text.insert(0, "x")
        text.delete(0)
        if k % 1000 == 999:
            doc.commit()
    flood.seconds = process_time() - began
    flood.look()
    each = (flood.most - flood.before) / n
    flood.say("inserted and deleted", n, f"{each:.0f} bytes each in memory, {len(doc.save()) / n:.2f} saved")


def lanes(n: int) -> None:
    flood = Flood().take(bundles_of(ID, Flooder(ID).lanes(n)), every=10)
    flood.say("lanes of one key", n, f"{(flood.most - flood.before) / n:.0f} bytes each")
    doc = flood.doc
    doc["mine"] = 1
    began = process_time()
    change = doc.commit()
    need(doc.heads == (change.id,) and len(change.parents) <= 32, "an honest change names at most 32 parents")
    print(
        f"{'':<24} a commit on top: {process_time() - began:.2f} s, {doc.stats()['changes'] - n - 1:,} knots",
        flush=True,
    )


def tips(n: int) -> None:
    flood = Flood().take(bundles_of(ID, (signed for signed, _ in Flooder(ID).siblings(n))), every=10)
    stats = flood.doc.stats()
    need(stats["tips"] == stats["tips_limit"] == n - stats["refused"], "1,024 tips, the rest is refused")
    flood.say("tips of one lane", n, f"{stats['refused']:,} refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of each")
    parser.add_argument("name", nargs="*", help="only these")
    asked = parser.parse_args()
    much, many = (50_000, 5_000) if asked.quick else (1_000_000, 100_000)
    floods: dict[str, Callable[[], None]] = {
        "dangling": lambda: dangling(much, 1, "dangling, of one lane"),
        "dangling-lanes": lambda: dangling(much, much, "dangling, a lane each"),
        "reverse": lambda: reverse(9_000),
        "reverse-long": lambda: reverse(many),
        "churn": lambda: churn(much),
        "lanes": lambda: lanes(many),
        "tips": lambda: tips(many),
    }
    for name in asked.name or floods:
        child = os.fork()
        if child == 0:
            floods[name]()
            sys.stdout.flush()
            os._exit(0)
        need(os.waitpid(child, 0)[1] == 0, name)


if __name__ == "__main__":
    main()
