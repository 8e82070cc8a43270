"""Editing traces: what people typed, keystroke by keystroke. Read from a file, or made up from a seed.

The files are those of the public `editing-traces` collection, gzip of JSON. This module needs nothing but the standard
library, so that tools can load it without the extension.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Splice", "Trace", "find", "joined", "made_up", "made_up_concurrent", "read"]

Splice = tuple[int, int, str]
LARGEST = 128 << 20  # bytes of JSON, unpacked


@dataclass(frozen=True, slots=True)
class Trace:
    """An editing history: each transaction is a few splices; `parents` and `agents` if several people wrote at once.

    A transaction applies to the merge of the states after its parents; without `parents`, to the one before it.
    """

    name: str
    start: str
    end: str
    txns: list[list[Splice]]
    parents: list[list[int]] | None = None
    agents: list[int] | None = None

    @property
    def n_splices(self) -> int:
        """How many splices all transactions have."""
        return sum(map(len, self.txns))


def find(path: Path) -> Iterator[Trace]:
    """The trace in a file, or all those in a folder, in order of their names."""
    for file in sorted(path.glob("*.json.gz")) if path.is_dir() else [path]:
        yield read(file)


def read(path: Path) -> Trace:
    """A trace file: JSON, packed with gzip or not."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"a trace of more than {LARGEST >> 20} MiB")
    data: dict[str, Any] = json.loads(text)
    txns = [[(pos, n_del, text) for pos, n_del, text, *_ in txn["patches"]] for txn in data["txns"]]
    name = path.name.partition(".")[0]
    if data.get("kind") == "concurrent":
        parents = [txn["parents"] for txn in data["txns"]]
        agents = [txn["agent"] for txn in data["txns"]]
        return Trace(name, data.get("startContent", ""), data["endContent"], txns, parents, agents)
    return Trace(name, data["startContent"], data["endContent"], txns)


def joined(trace: Trace) -> Trace:
    """The same history with as few transactions as the merges allow.

    One ends where somebody else saw it, or where its author took in what somebody else wrote.
    """
    if trace.parents is None or trace.agents is None:
        return Trace(trace.name, trace.start, trace.end, [[splice for txn in trace.txns for splice in txn]])
    children: list[list[int]] = [[] for _ in trace.txns]
    for i, before in enumerate(trace.parents):
        for parent in before:
            children[parent].append(i)
    number: list[int] = []  # of the joined transaction that holds each one
    txns: list[list[Splice]] = []
    parents: list[list[int]] = []
    agents: list[int] = []
    for i, (txn, before, agent) in enumerate(zip(trace.txns, trace.parents, trace.agents, strict=True)):
        if len(before) == 1 and trace.agents[before[0]] == agent and children[before[0]] == [i]:
            number.append(number[before[0]])
            txns[number[i]] += txn
        else:
            number.append(len(txns))
            txns.append(list(txn))
            parents.append([number[parent] for parent in before])
            agents.append(agent)
    return Trace(trace.name, trace.start, trace.end, txns, parents, agents)


def made_up(seed: int, n_keystrokes: int = 100_000) -> Trace:
    """Somebody types in bursts, takes back some of it, and goes on, often elsewhere. Three keystrokes in ten delete."""
    rng = random.Random(seed)
    text: list[str] = []
    txns: list[list[Splice]] = []
    pos = 0
    while len(txns) < n_keystrokes:
        if rng.random() < 0.3:
            pos = rng.randint(max(0, pos - 200), min(len(text), pos + 200))
        for _ in range(rng.randint(1, 58)):
            c = rng.choice("etaoin shrdlu\n")
            text.insert(pos, c)
            txns.append([(pos, 0, c)])
            pos += 1
        for _ in range(min(pos, rng.randint(1, 34)) if rng.random() < 0.7 else 0):
            pos -= 1
            del text[pos]
            txns.append([(pos, 1, "")])
    return Trace(f"made up from seed {seed}", "", "".join(text), txns)


def made_up_concurrent(seed: int, n_rounds: int = 1_900) -> Trace:
    """Two people type at once, each in a place of his own, and see each other's words after every few keystrokes."""
    rng = random.Random(seed)
    text: list[str] = []
    txns: list[list[Splice]] = []
    parents: list[list[int]] = []
    agents: list[int] = []
    tips: list[int] = []
    for _ in range(n_rounds):
        # One writes in the first half of what both have seen, the other in the second: so the merge is plain to see.
        middle = len(text) // 2
        ends = [0, middle, len(text)]
        halves = [text[:middle], text[middle:]]
        seen = tips
        tips = []
        for agent in rng.sample((0, 1), 2):
            half = halves[agent]
            pos = rng.randint(0, len(half))
            patches: list[Splice] = []
            for _ in range(rng.randint(1, 13)):
                if pos and rng.random() < 0.1:
                    pos -= 1
                    del half[pos]
                    patches.append((ends[agent] + pos, 1, ""))
                else:
                    c = rng.choice("etaoin shrdlu\n")
                    half.insert(pos, c)
                    patches.append((ends[agent] + pos, 0, c))
                    pos += 1
            tips.append(len(txns))
            txns.append(patches)
            parents.append(seen)
            agents.append(agent)
        text = halves[0] + halves[1]
    return Trace(f"made up by two from seed {seed}", "", "".join(text), txns, parents, agents)
