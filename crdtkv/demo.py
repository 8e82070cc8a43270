"""The demo: two people write offline, a third lies to them, and they agree all the same. Then a trace, with figures."""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crdtkv.doc import Doc
from crdtkv.equivocation import verify_equivocation
from crdtkv.errors import DecodeError
from crdtkv.identity import Identity
from crdtkv.text import Text

__all__ = ["main"]

Splice = tuple[int, int, str]


def main(trace: str | None = None, *, seed: int = 1) -> int:
    """Tell the story, replay a trace; the exit code."""
    agreed = tell(seed)
    print()
    return 0 if replay(trace, seed) and agreed else 1


# ---- the story


def two_stories(doc: Doc, liar: Identity) -> tuple[bytes, bytes]:
    """Two bundles in which `liar` says two different things as its next change of one lane."""
    one = doc.fork(liar)
    one["plan"].insert(len(one["plan"]), " Bring games.")
    one.commit("honest so far")
    lane = one.changes()[-1].lane
    two = one.fork()
    two._go_on_with_lane(lane)  # no honest replica does that: here is the lie
    for story, word in ((one, "Mallory pays."), (two, "Mallory pays nothing.")):
        story["mallory"] = word
        story.commit("the same number twice")
    return one.export(doc.heads), two.export(doc.heads)


def tell(seed: int) -> bool:
    """Ada and Ben edit offline, Mallory lies, bytes arrive in a bad order. True if it ends as it should."""
    rng = random.Random(seed)
    ada, ben, mallory = (Identity.from_seed(rng.randbytes(32)) for _ in range(3))
    at_ada = Doc(ada)
    at_ada["plan"] = Text("We meet at noon.")
    at_ada.commit("start")
    at_ben = at_ada.fork(ben)
    print("Ada starts a document, Ben and Mallory get copies. All go offline and write.")
    stories = two_stories(at_ada, mallory)
    at_ada["plan"].update("We meet at noon, by the river.")
    at_ada.commit("where")
    at_ben["plan"].update("Friday: We meet at noon.")
    at_ben["bring"] = "bread"
    at_ben.commit("when")
    show(at_ada, at_ben)

    print("Mallory signs two different changes with one number. Ada hears one story, Ben the other.")
    post = [at_ada.export(), at_ben.export(at_ada.heads), *stories]
    at_ada.apply(stories[0])
    at_ben.apply(stories[1])
    show(at_ada, at_ben)
    fooled = at_ada["mallory"] != at_ben["mallory"]

    print("All bytes reach both, twice and in a bad order; some were damaged on the way.")
    refused, harmless = 0, True
    for doc in (at_ada, at_ben):
        bundles = post * 2 + [damaged(bundle, rng) for bundle in post]
        rng.shuffle(bundles)
        for bundle in bundles:
            before = len(doc.changes()), doc.root, doc.waiting
            try:
                doc.apply(bundle)
            except DecodeError:
                refused += 1
                harmless = harmless and before == (len(doc.changes()), doc.root, doc.waiting)
    print(f"    {refused} damaged bundles were refused and left {'no trace' if harmless else 'TRACES'}")
    show(at_ada, at_ben)
    same = at_ada == at_ben and at_ada.root == at_ben.root and not at_ada.waiting and not at_ben.waiting
    print(f"    {'the same content and the same root' if same else 'NOT THE SAME'}: {at_ada.root.hex()[:16]}")

    print("The lie is on record, the same at both, and convinces anybody who was not there.")
    caught = at_ada.equivocations()
    proven = len(caught) == 1 and caught == at_ben.equivocations()
    for e in caught:
        author = verify_equivocation(e.proof)
        proven = proven and author == mallory.public_key
        print(f"    {len(e.proof)} bytes convict {author.hex()[:16]} of two stories as number {e.seq} of one lane")
    if not proven:
        print("    THE LIE IS NOT PROVEN")
    return fooled and refused == 2 * len(post) and harmless and same and proven


def show(at_ada: Doc, at_ben: Doc) -> None:
    """What each of the two sees."""
    for name, doc in (("Ada", at_ada), ("Ben", at_ben)):
        rest = ", ".join(f"{key}: {value}" for key, value in doc.to_py().items() if key != "plan")
        print(f"    {name} sees  {str(doc['plan'])!r}{f'  ({rest})' if rest else ''}")


def damaged(bundle: bytes, rng: random.Random) -> bytes:
    """The bundle with one bit flipped."""
    out = bytearray(bundle)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


# ---- the trace


@dataclass(frozen=True, slots=True)
class Trace:
    """An editing history: each transaction is a few splices; `parents` and `agents` if several people wrote at once."""

    name: str
    start: str
    end: str
    txns: list[list[Splice]]
    parents: list[list[int]] | None = None
    agents: list[int] | None = None


def replay(where: str | None, seed: int) -> bool:
    """Replay a trace from `where`, from the folder in CRDTKV_TRACES, or made up. True if the text comes out right."""
    traces = list(find(where, seed))
    return all([report(trace) for trace in traces])


def find(where: str | None, seed: int) -> Iterator[Trace]:
    """The trace at a path, those in a folder, or one made up from a seed."""
    path = Path(where or os.environ.get("CRDTKV_TRACES") or "")
    if where and not path.exists():
        sys.exit(f"crdtkv: no such trace: {where}")
    files = [path] if path.is_file() else sorted(path.glob("*.json.gz")) if path.is_dir() and path.name else []
    for file in files:
        yield read(file)
    if not files:
        print("No trace given (an argument, or a folder in CRDTKV_TRACES): one is made up, of the same shape.")
        yield made_up(seed)


def read(path: Path) -> Trace:
    """A trace file: gzip of JSON."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        data: dict[str, Any] = json.load(file)
    txns = [[(pos, n_del, text) for pos, n_del, text, *_ in txn["patches"]] for txn in data["txns"]]
    name = path.name.partition(".")[0]
    if data.get("kind") == "concurrent":
        parents = [txn["parents"] for txn in data["txns"]]
        agents = [txn["agent"] for txn in data["txns"]]
        return Trace(name, data.get("startContent", ""), data["endContent"], txns, parents, agents)
    return Trace(name, data["startContent"], data["endContent"], txns)


def made_up(seed: int, n_keystrokes: int = 100_000) -> Trace:
    """Somebody types in bursts, goes back, deletes a little, and goes on elsewhere."""
    rng = random.Random(seed)
    text: list[str] = []
    txns: list[list[Splice]] = []
    pos = 0
    while len(txns) < n_keystrokes:
        if rng.random() < 0.3:
            pos = rng.randint(max(0, pos - 200), min(len(text), pos + 200))
        for _ in range(rng.randint(1, 40)):
            if pos and rng.random() < 0.1:
                pos -= 1
                del text[pos]
                txns.append([(pos, 1, "")])
            else:
                c = rng.choice("etaoin shrdlu\n")
                text.insert(pos, c)
                txns.append([(pos, 0, c)])
                pos += 1
    return Trace(f"made up from seed {seed}", "", "".join(text), txns)


def report(trace: Trace) -> bool:
    """Replay a trace in the ways there are, and print what each takes."""
    n_splices = sum(map(len, trace.txns))
    print(f"{trace.name}: {len(trace.txns):,} transactions, {n_splices:,} splices, {len(trace.end):,} characters")
    if trace.parents is not None and trace.agents is not None:
        return concurrent(trace, trace.parents, trace.agents)

    def fresh() -> tuple[Doc, Text]:
        doc = Doc()
        text = doc.setdefault("text", Text(trace.start))
        doc.commit()
        return doc, text

    doc, text = fresh()
    began = time.perf_counter()
    for txn in trace.txns:
        for pos, n_del, s in txn:
            text.splice(pos, n_del, s)
    took = time.perf_counter() - began
    right = text == trace.end
    row("one call a keystroke, one open change", took, n_splices)

    doc, text = fresh()
    splices = [splice for txn in trace.txns for splice in txn]
    began = time.perf_counter()
    text.splices(splices)
    row("one call for all", time.perf_counter() - began, n_splices)
    right = text == trace.end and right

    doc, text = fresh()
    began = time.perf_counter()
    for txn in trace.txns:
        for pos, n_del, s in txn:
            text.splice(pos, n_del, s)
        doc.commit()
    row("a hashed change for each transaction", time.perf_counter() - began, n_splices)
    right = text == trace.end and right

    began = time.perf_counter()
    data = doc.save()
    row(f"save, signed: {len(data):,} bytes", time.perf_counter() - began, len(trace.txns))
    began = time.perf_counter()
    copy = Doc.load(data)
    row("load, verified", time.perf_counter() - began, len(trace.txns))
    right = copy["text"] == trace.end and copy.root == doc.root and right
    print(f"    {doc.stats()['memory']:,} bytes of memory; the text is {'right' if right else 'WRONG'}")
    return right


def concurrent(trace: Trace, parents: list[list[int]], agents: list[int]) -> bool:
    """Each agent is a replica of its own that takes in, before it writes, what its change builds on."""
    origin = Doc()
    origin["text"] = Text(trace.start)
    origin.commit()
    replicas: dict[int, Doc] = {}
    seen: dict[tuple[int, int], bytes] = {}  # (reader, writer) -> the last change of the writer that came to the reader
    heads: list[bytes] = []
    began = time.perf_counter()
    for txn, before, agent in zip(trace.txns, parents, agents, strict=True):
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
    row(f"{len(replicas)} replicas exchanging bundles", time.perf_counter() - began, len(trace.txns))

    data = everything.save()
    began = time.perf_counter()
    copy = Doc.load(data)
    row(f"load, verified: {len(data):,} bytes", time.perf_counter() - began, len(trace.txns))
    same = copy == everything and copy.root == everything.root
    right = copy["text"] == trace.end
    # Where people typed at one place at one time, there is no one right order: only the characters are given.
    alike = right or sorted(str(copy["text"])) == sorted(trace.end)
    text = "that of the trace" if right else "in another order" if alike else "WRONG"
    print(f"    all replicas agree: {same}; the text is {text}")
    return same and alike


def row(what: str, seconds: float, n: int) -> None:
    """One line of figures."""
    print(f"    {what:45} {seconds * 1e3:9.1f} ms   {seconds / max(n, 1) * 1e9:9.0f} ns each")
