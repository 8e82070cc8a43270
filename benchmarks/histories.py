"""Cases of versions, forks, rollbacks and events, on texts."""

from __future__ import annotations

import random
import statistics
from typing import Any

from libraries import LIBRARIES
from measuring import SEED, Figures, need, timed
from paper import sequential

from crdtkv.patch import mirror

N_VERSIONS = 20
BETWEEN = (0, 1, 11, 111, 1_111, 11_111)  # edits back from a place: neighbours lie 1, 10, 100, 1,000, 10,000 apart


def new(library: str, *, keep: bool = False) -> Any:
    """`keep`: with its past, which pycrdt forgets if it is not told otherwise."""
    return LIBRARIES[library][1](**({"keep": True} if keep and library == "pycrdt" else {}))


# ---- versions


def versions(library: str, where: str, step: int = 0) -> Figures:
    """The text at 20 versions in shuffled order; a change for each `step` edits, 0: one from version to version."""
    edits, _ = sequential(where)
    doc, marks = new(library, keep=True), []
    parts = [len(edits) * (i + 1) // N_VERSIONS for i in range(N_VERSIONS)]
    begin = 0
    for end in parts:
        for at in range(begin, end, step or end):
            doc.type(edits[at : min(at + (step or end), end)], library in ("pycrdt", "y-py"))
            doc.close()
        marks.append((doc.mark(), str(doc)))
        begin = end
    random.Random(SEED).shuffle(marks)
    took = []
    for mark, text in marks:
        seconds, got = timed(lambda mark=mark: doc.at(mark))
        need(got == text, "the text of a version")
        took.append(seconds)
    return {"median": statistics.median(took), "most": max(took), "least": min(took)}


def differences(library: str, where: str, each: int = 0) -> Figures:
    """The diff of versions with 1 to 10,000 edits between, at the head and in the middle; `each`: a change per edit."""
    edits, _ = sequential(where)
    doc, n = new(library), len(edits)
    marks: dict[int, tuple[Any, str]] = {}
    begin = 0
    for end in sorted(place - back for place in (n // 2, n) for back in BETWEEN):
        doc.type(edits[begin:end], bool(each))
        doc.close()
        marks[end] = doc.mark(), str(doc)
        begin = end
    out: Figures = {}
    for name, place in (("head", n), ("middle", n // 2)):
        for late, early in zip(BETWEEN, BETWEEN[1:], strict=False):
            (a, before), (b, after) = marks[place - early], marks[place - late]
            took = []
            for _ in range(5):
                seconds, patches = timed(lambda a=a, b=b: doc.diff(a, b))
                took.append(seconds)
            if library == "crdtkv":
                need(mirror({"text": before}, patches)["text"] == after, "the patches")
            out[f"{name} {early - late}"] = statistics.median(took)
    return out


# ---- many replicas


def replicas(library: str, where: str, n: int, n_edits: int = 100) -> Figures:
    """n forks of a text of 10,000 characters, each with 100 edits anywhere in one change, merged into one."""
    rng = random.Random(SEED)
    origin = new(library)
    origin.type([(0, 0, "".join(rng.choices("abcdefgh \n", k=10_000)))], False)
    origin.close()
    start = origin.version()
    forked, docs = timed(lambda: [origin.replica(i) for i in range(n)])
    work = []
    for _ in docs:
        length, edits = 10_000, []
        for _ in range(n_edits):
            deletes = rng.random() < 0.2
            edits.append(
                (rng.randrange(length), 1, "") if deletes else (rng.randint(0, length), 0, "xyz"[rng.randrange(3)])
            )
            length += -1 if deletes else 1
        work.append(edits)

    def write() -> None:
        for doc, edits in zip(docs, work, strict=True):
            doc.type(edits, False)
            doc.close()

    written, _ = timed(write)
    exported, sent = timed(lambda: [doc.delta(start) for doc in docs])
    applied, _ = timed(lambda: [origin.apply(data) for data in sent])
    other = docs[0]
    rng.shuffle(sent)
    for data in sent:
        other.apply(data)
    need(str(other) == str(origin), "replicas differ")
    total = n * n_edits
    return {
        "seconds": exported + applied,
        "edit": (exported + applied) / total,
        "apply": applied / total,
        "fork": forked / n,
        "write": written / total,
    }


# ---- blocks and events, crdtkv alone


def rollback(library: str, where: str, n: int = 1_000, turns: int = 15) -> Figures:
    """A block of 1,000 edits of a long text that raises; and one that does not."""
    rng = random.Random(SEED)
    doc = new(library)
    doc.type([(0, 0, "".join(rng.choices("abcdefgh \n", k=100_000)))], False)
    doc.close()
    places = [rng.randrange(99_000) for _ in range(n)]
    splice = doc.text.splice
    out: dict[str, list[float]] = {name: [] for name in ("edits", "raise", "commit")}
    before = str(doc)
    for _ in range(turns):
        for fails in (True, False):
            block = doc.doc.change()
            block.__enter__()
            edits, _ = timed(lambda: [splice(at, 1, "é") for at in places])
            error = ValueError() if fails else None
            end, _ = timed(lambda error=error, block=block: block.__exit__(type(error) if error else None, error, None))
            out["edits"].append(edits)
            out["raise" if fails else "commit"].append(end)
            if fails:
                need(str(doc) == before, "the text after a rollback")
        before = str(doc)
    return {name: statistics.median(took) / n for name, took in out.items()}


def events(library: str, where: str, n: int = 2_000, turns: int = 9) -> Figures:
    """Each edit a transaction: nobody observes, one does, it cancelled; and 1,000 edits in one transaction."""
    doc = new(library)
    doc.type([(0, 0, "x" * 10_000)], False)
    doc.close()
    calls: list[None] = []
    took: dict[str, list[float]] = {}
    each = [(5_000 + i, 0, "y") for i in range(n)]
    joined = [(7 * i, 0, "y") for i in range(1_000)]

    def measure(name: str) -> None:
        for _ in range(turns):
            took.setdefault(name, []).append(timed(lambda: doc.type(each, True))[0] / n)
            took.setdefault(f"{name}, joined", []).append(
                timed(lambda: (doc.type(joined, False), doc.close()))[0] / 1_000
            )

    measure("warm")
    measure("none")
    watch = doc.observe(lambda *_: calls.append(None))
    measure("one")
    need(len(calls) >= turns * n, "the calls")
    if library == "crdtkv":
        watch.cancel()
        calls.clear()
        measure("cancelled")
        need(not calls, "no call after cancel()")
    return {name: statistics.median(times) for name, times in took.items()}


CASES = (versions, differences, replicas, rollback, events)
