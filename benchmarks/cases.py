"""One case of one library, in this process: `python benchmarks/cases.py CASE LIBRARY TRACES` prints its figures.

benchmarks/run.py starts this, a fresh process for every run, and reads the JSON. Times are CPU seconds of the process,
memory is in bytes. Every case checks its result; a wrong text ends the program.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import containers  # noqa: E402
import histories  # noqa: E402
from libraries import LIBRARIES  # noqa: E402
from measuring import SEED, Figures, need, resident, timed, typical  # noqa: E402
from paper import concurrent, runs_of, sequential  # noqa: E402

from crdtkv import traces  # noqa: E402

# ---- typing


def floor(library: str, where: str) -> Figures:
    """The loop over the edits that calls a C function doing nothing (sys.audit without a hook)."""
    edits, _ = sequential(where)

    def loop() -> None:
        call = sys.audit
        for pos, n_del, s in edits:
            call(s, pos, n_del)

    return {"seconds": typical(loop)[0]}


def typed(library: str, where: str, *, each: bool = False, joined: bool = False) -> Figures:
    edits, end = sequential(where)
    edits = runs_of(edits) if joined else edits
    doc = LIBRARIES[library][1]()
    before = resident()
    seconds, _ = timed(lambda: doc.type(edits, each))
    close, _ = timed(doc.close)
    memory = resident() - before
    need(str(doc) == end, "the text")
    export, data = timed(doc.save)
    out = {"seconds": seconds, "close": close, "memory": memory, "export": export, "bytes": len(data)}
    load, text = typical(lambda: str(LIBRARIES[library][1].load(data)))
    need(text == end, "the text that was loaded")
    return out | {"load": load}


def typing(library: str, where: str) -> Figures:
    return typed(library, where)


def typing_each(library: str, where: str) -> Figures:
    return typed(library, where, each=True)


def typing_joined(library: str, where: str) -> Figures:
    return typed(library, where, joined=True)


def splices(library: str, where: str) -> Figures:
    """Text.splices, one call for all."""
    edits, end = sequential(where)
    doc = LIBRARIES[library][1]()
    seconds, _ = timed(lambda: doc.text.splices(edits))
    need(str(doc) == end, "the text")
    return {"seconds": seconds}


def updates(library: str, where: str) -> Figures:
    """Loro's other format: updates without its ready-made state."""
    edits, end = sequential(where)
    doc = LIBRARIES[library][1]()
    doc.type(edits, False)
    doc.close()
    export, data = timed(doc.save_updates)
    load, text = typical(lambda: str(LIBRARIES[library][1].load(data)))
    need(text == end, "the text that was loaded")
    return {"export": export, "bytes": len(data), "load": load}


# ---- friendsforever


def forks(library: str, where: str) -> Figures:
    """A replica for each agent. Before it writes, it takes in what its transaction builds on."""
    trace = concurrent(where)
    parents, agents = trace.parents, trace.agents
    assert parents is not None and agents is not None
    n_agents = max(agents) + 1
    origin = LIBRARIES[library][1]()
    docs = [origin.replica(n) for n in range(n_agents)]
    play = bundles if library == "crdtkv" else deltas
    seconds, _ = timed(lambda: play(trace, docs))
    start = origin.version()
    for doc in docs:
        for other in docs:
            if other is not doc:
                doc.apply(other.delta(start))
    text = str(docs[0])
    need(all(str(doc) == text for doc in docs), "replicas differ")
    need(sorted(text) == sorted(trace.end), "the characters")
    if library == "crdtkv":
        need(len({doc.doc.root for doc in docs}) == 1, "roots differ")
    data = docs[0].save()
    load, again = typical(lambda: str(LIBRARIES[library][1].load(data)))
    need(again == text, "the text that was merged from bytes")
    return {"seconds": seconds, "load": load, "bytes": len(data), "end": float(text == trace.end)}


def bundles(trace: traces.Trace, docs: list[Any]) -> None:
    """Real merges: what one replica has up to the parent and the other has not, as one bundle."""
    heads: list[bytes] = []
    last: dict[tuple[int, int], bytes] = {}  # (reader, writer) -> the writer's newest change that the reader has
    for txn, before, agent in zip(trace.txns, trace.parents or [], trace.agents or [], strict=True):
        me = docs[agent]
        for parent in before:
            other = (trace.agents or [])[parent]
            if other != agent:
                known = [last[road] for road in ((agent, other), (other, agent)) if road in last]
                me.apply(docs[other].doc.export(known, [heads[parent]]))
                last[agent, other] = heads[parent]
        me.text.splices(txn)
        heads.append(me.doc.commit().id)


def deltas(trace: traces.Trace, docs: list[Any]) -> None:
    """Every transaction leaves its author as one delta; a reader takes those of a parent's history that it has not."""
    agents, parents = trace.agents or [], trace.parents or []
    sent: list[bytes] = []
    known: list[set[int]] = [set() for _ in docs]
    for doc in docs:
        doc.record()
    for i, (txn, before, agent) in enumerate(zip(trace.txns, parents, agents, strict=True)):
        me, mine = docs[agent], known[agent]
        want, todo = set(), list(before)
        while todo:
            parent = todo.pop()
            if parent not in mine and parent not in want:
                want.add(parent)
                todo += parents[parent]
        for parent in sorted(want):  # a parent has a smaller number than its children
            me.apply(sent[parent])
        mine |= want | {i}
        sent.append(me.typed(txn))


# ---- live


def live(library: str, where: str, n: int = 2_000, stretch: int = 20) -> Figures:
    """Somebody types into the finished paper; each keystroke goes to a second replica as it happens."""
    edits, end = sequential(where)
    author = LIBRARIES[library][1]()
    author.type(runs_of(edits), False)
    author.close()
    reader = author.replica(0)
    at = len(end) // 2
    author.record()
    write, sent = timed(lambda: [author.typed([(at + i, 0, "x")]) for i in range(n)])
    out: Figures = {"write": write / n, "bytes": sum(map(len, sent)) / n}
    verify = verifier() if library == "crdtkv" else None
    apply, alone = [], []
    for i in range(0, n, stretch):
        part = sent[i : i + stretch]
        began = process_time()
        for data in part:
            reader.apply(data)
        took = (process_time() - began) / stretch
        apply.append(took)
        if verify:
            alone.append(took - verify(stretch))
    need(str(reader) == str(author), "the text of the reader")
    out["apply"] = statistics.median(apply)
    if alone:
        out["unsigned"] = statistics.median(alone)
        out["verify"] = out["apply"] - out["unsigned"]
    return out


def verifier() -> Callable[[int], float] | None:
    """Seconds that libsodium takes to verify a signature, as crdtkv asks it to. None: no libsodium to ask."""
    name = ctypes.util.find_library("sodium")
    if not name:
        return None
    sodium = ctypes.CDLL(name)
    public, secret, signature = (ctypes.create_string_buffer(n) for n in (32, 64, 64))
    message = ctypes.create_string_buffer(13 + 32 + 32 + 4 + 32)
    length = ctypes.c_ulonglong(len(message))
    sodium.crypto_sign_keypair(public, secret)
    sodium.crypto_sign_detached(signature, None, message, length, secret)
    verify = sodium.crypto_sign_verify_detached

    def seconds(n: int) -> float:
        began = process_time()
        for _ in range(n):
            verify(signature, message, length, public)
        return (process_time() - began) / n

    return seconds


# ---- growth: crdtkv alone, ns of one operation where n have happened


def random_inserts(library: str, where: str, n: int) -> Figures:
    rng = random.Random(SEED)
    edits = [(rng.randint(0, i), 0, "x") for i in range(n)]
    doc = LIBRARIES[library][1]()
    seconds, _ = timed(lambda: doc.type(edits, False))
    doc.close()
    data = doc.save()
    load, copy = timed(lambda: LIBRARIES[library][1].load(data))
    need(len(copy.text) == n, "the length")
    return {"seconds": seconds / n, "load": load / n, "bytes": len(data) / n}


def one_gap(library: str, where: str, n: int, run: int = 100) -> Figures:
    """Authors who know nothing of each other each type a run between the same two characters; another takes all in."""
    rng = random.Random(SEED)
    origin = LIBRARIES[library][1]()
    origin.type([(0, 0, "()")], False)
    origin.close()
    start = origin.version()
    sent = []
    for i in range(n // run):
        author = origin.replica(i)
        author.type([(1 + k, 0, "abcdefghij"[k % 10]) for k in range(run)], False)
        author.close()
        sent.append(author.delta(start))
    rng.shuffle(sent)
    reader = origin.replica(0)

    def all_in() -> None:
        for data in sent:
            reader.apply(data)

    seconds, _ = timed(all_in)
    need(len(reader.text) == n + 2, "the length")
    return {"seconds": seconds / n}


def prepends(library: str, where: str, n: int) -> Figures:
    """Two replicas each type n characters, always at the very front, then merge."""
    origin = LIBRARIES[library][1]()
    both = [origin.replica(0), origin.replica(1)]
    start = origin.version()
    local = 0.0
    for doc, letter in zip(both, "ab", strict=True):
        local += timed(lambda doc=doc, letter=letter: doc.type(((0, 0, letter) for _ in range(n)), False))[0]
        doc.close()
    data = [doc.delta(start) for doc in both]
    seconds, _ = timed(lambda: (both[0].apply(data[1]), both[1].apply(data[0])))
    need(str(both[0]) == str(both[1]) and len(both[0].text) == 2 * n, "replicas differ")
    return {"seconds": seconds / n / 2, "local": local / n / 2}


CASES: dict[str, Callable[..., Figures]] = {
    case.__name__: case
    for case in (
        *(floor, typing, typing_each, typing_joined, splices, updates, forks, live),
        *(random_inserts, one_gap, prepends),
        *(*containers.CASES, *histories.CASES),
    )
}


def main(case: str, library: str, where: str, *n: str) -> None:
    print(json.dumps(CASES[case](library, where, *map(int, n))))


if __name__ == "__main__":
    main(*sys.argv[1:])
