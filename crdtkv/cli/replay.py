"""Replaying an editing trace in the ways there are, with what each takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from crdtkv.doc import Doc
from crdtkv.text import Text
from crdtkv.traces import Splice, Trace

__all__ = ["Figures", "Way", "replayed"]

Steps = Callable[[str, list[list[Splice]]], Iterable[list[Splice]]]  # goes through transactions, and may show how far


@dataclass(frozen=True, slots=True)
class Way:
    """One way to replay, or to save and load: how long, of how many steps."""

    what: str
    seconds: float
    n: int

    @property
    def ns_each(self) -> float:
        """Nanoseconds a step."""
        return self.seconds / max(self.n, 1) * 1e9


@dataclass(slots=True)
class Figures:
    """What a replay came to. `right`: the text is that of the trace.

    Where people typed at one place at one time there is no one right order: then only the characters are given.
    """

    name: str
    n_txns: int
    n_splices: int
    n_characters: int
    ways: list[Way] = field(default_factory=list)
    saved_bytes: int = 0
    memory: int = 0
    agree: bool = True
    right: bool = True
    same_characters: bool = True

    def __bool__(self) -> bool:
        return self.agree and self.same_characters


def replayed(trace: Trace, steps: Steps) -> Figures:
    """Replay a trace in all ways.

    >>> from crdtkv.traces import made_up
    >>> figures = replayed(made_up(1, 200), lambda doing, txns: txns)
    >>> figures.right, len(figures.ways)
    (True, 5)
    """
    figures = Figures(trace.name, len(trace.txns), trace.n_splices, len(trace.end))
    if trace.parents is not None and trace.agents is not None:
        concurrent(trace, trace.parents, trace.agents, steps, figures)
    else:
        sequential(trace, steps, figures)
    return figures


def sequential(trace: Trace, steps: Steps, figures: Figures) -> None:
    """One person types: as keystrokes, all at once, and as a hashed change for each transaction."""
    n = figures.n_splices

    def fresh() -> tuple[Doc, Text]:
        doc = Doc()
        text = doc.setdefault("text", Text(trace.start))
        doc.commit()
        return doc, text

    doc, text = fresh()
    with timed(figures, "one call a keystroke, one open change", n):
        for txn in steps("typing", trace.txns):
            for pos, n_del, s in txn:
                text.splice(pos, n_del, s)
    judge(figures, text, trace)

    doc, text = fresh()
    splices = [splice for txn in trace.txns for splice in txn]
    with timed(figures, "one call for all", n):
        text.splices(splices)
    judge(figures, text, trace)

    doc, text = fresh()
    with timed(figures, "a hashed change for each transaction", n):
        for txn in steps("committing", trace.txns):
            for pos, n_del, s in txn:
                text.splice(pos, n_del, s)
            doc.commit()
    judge(figures, text, trace)
    saved_and_loaded(doc, trace, figures)
    figures.memory = doc.stats()["memory"]


def concurrent(trace: Trace, parents: list[list[int]], agents: list[int], steps: Steps, figures: Figures) -> None:
    """Each agent is a replica of its own that takes in, before it writes, what its change builds on."""
    origin = Doc()
    origin["text"] = Text(trace.start)
    origin.commit()
    replicas: dict[int, Doc] = {}
    seen: dict[tuple[int, int], bytes] = {}  # (reader, writer) -> the last change of the writer that came to the reader
    heads: list[bytes] = []
    with timed(figures, f"{len(set(agents))} replicas exchanging bundles", len(trace.txns)):
        for txn, before, agent in zip(steps("exchanging", trace.txns), parents, agents, strict=True):
            doc = replicas.get(agent)
            if doc is None:
                doc = replicas[agent] = origin.fork()
            for i in before:
                road = agent, agents[i]
                if agents[i] != agent:
                    since = [seen[road]] if road in seen else origin.heads
                    doc.apply(replicas[agents[i]].export(since, [heads[i]]))
                    seen[road] = heads[i]
            doc["text"].splices(txn)
            change = doc.commit()
            heads.append(change.id if change else doc.heads[-1])
    everything = Doc(id=origin.id)
    for doc in (origin, *replicas.values()):
        everything.merge(doc)
    saved_and_loaded(everything, trace, figures)
    figures.memory = everything.stats()["memory"]


def saved_and_loaded(doc: Doc, trace: Trace, figures: Figures) -> None:
    """Save, load, compare."""
    with timed(figures, "save, signed", len(trace.txns)):
        data = doc.save()
    with timed(figures, "load, verified", len(trace.txns)):
        copy = Doc.load(data)
    figures.saved_bytes = len(data)
    figures.agree = copy == doc and copy.root == doc.root
    judge(figures, copy["text"], trace)


def judge(figures: Figures, text: Text, trace: Trace) -> None:
    """Is it the text of the trace?"""
    content = str(text)
    figures.right = figures.right and content == trace.end
    if content != trace.end:
        alike = trace.parents is not None and sorted(content) == sorted(trace.end)
        figures.same_characters = figures.same_characters and alike


@contextmanager
def timed(figures: Figures, what: str, n: int) -> Iterator[None]:
    """Adds a way."""
    began = time.perf_counter()
    yield
    figures.ways.append(Way(what, time.perf_counter() - began, n))
