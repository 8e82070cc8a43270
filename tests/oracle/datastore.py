"""Datastore: what the changes of its DAGs mean. Slow, and a function of the changes and bodies that are here.

Nothing is indexed. Whoever asks for a key gets all operations on it looked at, each against each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import xxhash

from .bundle import APART, IN_HEADER, LEFT_OUT, Chain, Item, read_bundle, write_bundle
from .graph import Change
from .kv_body import COUNT, DELETE, PART, PUT, Body, Key, Name, Op, read_body
from .model import APPLIED, VOID, Equivocation, Replica, Report
from .wire import INLINE, Broken, Header, Later, Malformed, Reader, Void, blob, body_hash_of, digest, varint

MAGIC = b"CKD\x01"
DEFAULT = "default"
MAX_NAME = 255
MAX_DAGS = 1024

ABSENT = None  # the body of a change that came, or was left, without it


def dag_id_of(datastore_id: bytes, name: str) -> bytes:
    return datastore_id if name == DEFAULT else digest(b"crdtkv-dag-v1", datastore_id + name.encode())


class Dag(Replica):
    """One hash graph of a datastore."""

    type = 2

    def __init__(self, doc_id: bytes) -> None:
        super().__init__(doc_id)
        self.bodies: dict[bytes, Body] = {}  # of applied changes, as far as they are here
        self.dropped: set[bytes] = set()  # known to be dead: not taken again
        self.claimed: set[bytes] = set()  # somebody calls them dead
        self.aside: dict[bytes, bytes] = {}  # bodies for a later version, of changes that are here without

    def body_of(self, item: Item, header: Header) -> Any:
        if item.body_form != LEFT_OUT:
            return super().body_of(item, header)
        self.claimed.add(item.id)
        return ABSENT

    def judge(self, change: Change, report: Report) -> None:
        change.past = self.past_of(change.ancestors)
        change.clock = 1 + max((self.changes[id].clock for id in change.ancestors), default=0)
        change.verdict = APPLIED
        try:
            self.read(change)
        except Later as later:
            if change.id not in self.claimed:
                change.reason = str(later)
                self.later[change.id] = change
                report.later.append(change.id)
                return
            self.put_aside(change)
        (report.applied if change.verdict == APPLIED else report.void).append(change.id)
        self.changes[change.id] = change

    def read(self, change: Change) -> None:
        """What its body says, if it is here."""
        if change.body is ABSENT:
            return
        try:
            self.bodies[change.id] = read_body(change.body, change.header.n_ops)
        except Void as void:
            change.verdict, change.reason = VOID, str(void)

    def put_aside(self, change: Change) -> None:
        """A body that only a later version can read keeps no change out of the graph that somebody calls dead."""
        self.aside[change.id] = change.body
        change.body = ABSENT

    def attach(self, item: Item, report: Report, is_covered: bool) -> bool:
        known = self.find(item.id)
        if is_covered and item.body_form == LEFT_OUT and item.id not in self.changes:
            self.claimed.add(item.id)
            if item.id in self.later:
                self.waiting[item.id] = self.later.pop(item.id)
            return False
        if not known or item.id in {*self.dropped, *self.later} or known.body is not ABSENT or item.body is None:
            return False
        if len(item.body) != known.header.body_len or body_hash_of(item.body) != known.header.body_ref:
            return False
        known.body = item.body
        if item.id in self.waiting:
            return False
        try:
            self.read(known)
        except Later:
            self.put_aside(known)
            return False
        (report.applied if known.verdict == APPLIED else report.void).append(item.id)
        return True

    def drop(self, id: bytes) -> None:
        self.changes[id].body = ABSENT
        self.dropped.add(id)
        del self.bodies[id]

    def absent(self) -> set[bytes]:
        return {id for id, change in self.changes.items() if change.body is ABSENT}

    def export(self, ids: Iterable[bytes] | None = None, codec: int = 0) -> bytes:
        """These changes (all) as raw chains of one change each, bodies as they are here."""
        chosen = None if ids is None else set(ids)
        chains: list[Chain] = []
        slices: list[tuple[int, int]] = []
        for change in self.changes.values():
            if chosen is not None and change.id not in chosen:
                continue
            own = [k for k, chain in enumerate(chains) if chain.items[-1].id == change.header.prev]
            k = own[0] if own else len(chains)
            if not own:
                chains.append(Chain(change.lane))
            chains[k].items.append(item_of(change))
            slices.append((k, 1))
        for k, chain in enumerate(chains):
            last = chain.items[-1]
            if last.signature is None:
                behind = self.covers[last.id]
                chain.items += behind
                slices.append((k, len(behind)))
        return write_bundle(self.doc_id, chains, slices, None, codec)


def item_of(change: Change) -> Item:
    body: bytes | None = change.body
    form = LEFT_OUT if body is ABSENT else IN_HEADER if len(body) <= INLINE else APART
    return Item(change.lane.id, change.raw, form, body if form == APART else None, change.signature)


class Ref(NamedTuple):
    """An operation: where it stands."""

    dag: str
    change: bytes
    index: int


@dataclass
class Reports:
    """Of all parts of a bundle."""

    applied: list[bytes] = field(default_factory=list)
    void: list[bytes] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    refused: list[tuple[bytes | None, str]] = field(default_factory=list)
    known: int = 0


class Datastore:
    """One replica."""

    def __init__(self, id: bytes) -> None:
        self.id = id
        self.dags: dict[str, Dag] = {DEFAULT: Dag(id)}
        self.purged: set[str] = set()
        self.spent: set[tuple[Name, tuple[bytes, bool]]] = set()  # names that no longer hide anything, by key

    # Taking in

    def apply(self, data: bytes) -> Reports:
        """Takes a bundle in. `Malformed` leaves everything as it was."""
        total = Reports()
        for name, part in read_parts(data, self.id):
            if name in self.purged or (name not in self.dags and len(self.dags) + len(self.purged) == MAX_DAGS):
                total.refused.append((None, "this DAG is not wanted here"))
                continue
            dag = self.dags.get(name) or Dag(dag_id_of(self.id, name))
            report = dag.apply(part)
            if report.applied or report.void or report.waiting or report.later:
                self.dags[name] = dag
            total.applied += report.applied
            total.void += report.void
            total.waiting += report.waiting
            total.refused += report.refused
            total.known += len(report.known)
        return total

    def purge(self, name: str) -> int:
        """How many changes it had."""
        n = len(self.dags[name].changes)
        del self.dags[name]
        self.purged.add(name)
        self.spent.clear()  # what was known of it is forgotten, and so is what was dropped on account of that
        for dag in self.dags.values():
            dag.dropped.clear()
        return n

    def admit(self, name: str) -> None:
        self.purged.discard(name)
        self.dags.setdefault(name, Dag(dag_id_of(self.id, name)))

    def export(self) -> bytes:
        parts = [(name, dag.export()) for name, dag in self.dags.items() if dag.changes]
        return write_parts(self.id, parts)

    # The graphs

    @property
    def heads(self) -> tuple[bytes, ...]:
        return tuple(sorted(id for dag in self.dags.values() for id in dag.heads))

    @property
    def root(self) -> bytes:
        with_changes = {name.encode(): dag.root for name, dag in self.dags.items() if dag.changes}
        if not set(with_changes) - {DEFAULT.encode()}:
            return self.dags[DEFAULT].root if DEFAULT in self.dags else Dag(self.id).root
        said = b"".join(blob(name) + with_changes[name] for name in sorted(with_changes))
        return digest(b"crdtkv-dags-v1", said)

    def equivocations(self) -> list[Equivocation]:
        return [one for dag in self.dags.values() for one in dag.equivocations()]

    # What operations mean

    def change(self, ref: Ref) -> Change:
        return self.dags[ref.dag].changes[ref.change]

    def ops(self) -> Iterator[tuple[Ref, Op]]:
        """All whose bodies are here."""
        for name, dag in self.dags.items():
            for id, body in dag.bodies.items():
                for index, op in enumerate(body.ops):
                    yield Ref(name, id, index), op

    def on_key(self, key: Key) -> dict[Ref, Op]:
        """Puts and deletes."""
        return {ref: op for ref, op in self.ops() if is_on(op, key)}

    def order(self, ref: Ref) -> tuple[int, bytes, int]:
        return self.change(ref).clock, ref.change, ref.index

    def supersedes(self, a: Ref, b: Ref) -> bool:
        """Two operations on one key: is a in the same DAG, and behind b?"""
        if a.dag != b.dag:
            return False
        if a.change == b.change:
            return a.index > b.index
        return b.change in self.change(a).past

    def standing(self, key: Key) -> dict[Ref, Op]:
        """The state of a key: what nothing of the own DAG supersedes."""
        ops = self.on_key(key)
        return {ref: op for ref, op in ops.items() if not any(self.supersedes(other, ref) for other in ops)}

    def is_named(self, ref: Ref, key: Key) -> bool:
        """By an operation on the key in another DAG?"""
        return any(
            other.dag != ref.dag and (ref.change, ref.index) in op.names for other, op in self.on_key(key).items()
        )

    def values(self, key: Key) -> list[Ref]:
        """Puts that nothing supersedes; the first is shown."""
        puts = [ref for ref, op in self.standing(key).items() if op.kind == PUT and not self.is_named(ref, key)]
        return sorted(puts, key=self.order, reverse=True)

    def op(self, ref: Ref) -> Op:
        return self.dags[ref.dag].bodies[ref.change].ops[ref.index]

    def keys(self) -> list[Key]:
        every = {typed(op.key): op.key for _, op in self.ops() if op.kind in (PUT, DELETE)}
        return [key for _, key in sorted(every.items()) if self.values(key)]

    def to_py(self) -> dict[Key, Any]:
        return {key: self.op(self.values(key)[0]).plain() for key in self.keys()}

    def conflicts(self, key: Key) -> list[Any]:
        return [self.op(ref).plain() for ref in self.values(key)]

    def history(self, key: Key) -> list[Ref]:
        """Newest first, as far as bodies are here."""
        return sorted(self.on_key(key), key=self.order, reverse=True)

    # Counters

    def counted(self, ref: Ref, op: Op) -> Ref | None:
        """The operation whose total this is: a COUNT itself, or what a PART says again, if it may."""
        if op.kind == COUNT:
            return ref
        ((id, index),) = op.names
        change = self.change(ref)
        if id not in change.past:
            return None
        of = self.dags[ref.dag].changes[id]
        if of.lane.id == change.lane.id or of.lane.key != change.lane.key:
            return None
        return Ref(ref.dag, id, index)

    def parts(self, name: Key) -> dict[bytes, Ref]:
        """For each lane what counts: the greatest place; there a PART before the COUNT, and the greatest PART."""
        greatest: dict[bytes, tuple[Any, Ref]] = {}
        for ref, op in self.ops():
            if op.kind not in (COUNT, PART) or not same(op.key, name):
                continue
            place = self.counted(ref, op)
            if place is None:
                continue
            lane, rank = self.change(place).lane.id, (self.order(place), op.kind == PART, self.order(ref))
            if lane not in greatest or greatest[lane][0] < rank:
                greatest[lane] = (rank, ref)
        return {lane: ref for lane, (_, ref) in greatest.items()}

    def by_author(self, name: Key) -> dict[bytes, int]:
        out: dict[bytes, int] = {}
        for ref in self.parts(name).values():
            key = self.change(ref).lane.key
            out[key] = out.get(key, 0) + self.op(ref).total
        return out

    def total(self, name: Key) -> int:
        return sum(self.by_author(name).values())

    def counters(self) -> dict[Key, int]:
        every = {typed(op.key): op.key for _, op in self.ops() if op.kind in (COUNT, PART)}
        return {key: self.total(key) for _, key in sorted(every.items()) if self.parts(key)}

    # Compaction

    def may_hide(self, name: tuple[bytes, int], namer: Ref, key: Key) -> bool:
        """Could an operation be shown without this name of it? Not if it is known to be superseded in its own DAG, for
        which its body need not be here, or to be none that the name could mean. That is so until a DAG is purged."""
        if (name, typed(key)) in self.spent:
            return False
        for dag, graph in self.dags.items():
            if name[0] in graph.changes:
                ops = graph.bodies[name[0]].ops[name[1] :] if name[0] in graph.bodies else ()
                is_here = graph.changes[name[0]].body is not ABSENT or name[0] in graph.dropped
                if dag == namer.dag or (is_here and not (ops and is_on(ops[0], key))):
                    return False
                return not any(self.supersedes(other, Ref(dag, *name)) for other in self.on_key(key))
        return True

    def is_last_namer(self, name: tuple[bytes, int], namer: Ref, key: Key) -> bool:
        """Of those of one DAG that name the same, the last is enough."""
        return not any(
            other.dag == namer.dag and name in op.names and self.order(other) > self.order(namer)
            for other, op in self.on_key(key).items()
        )

    def is_needed(self, ref: Ref) -> bool:
        op = self.op(ref)
        if op.kind in (COUNT, PART):
            return ref in self.parts(op.key).values()
        return ref in self.standing(op.key) or any(
            self.is_last_namer(name, ref, op.key) and self.may_hide(name, ref, op.key) for name in op.names
        )

    def may_drop(self, dag: str, id: bytes) -> bool:
        """A body that stands in the header stays; so does a void one, which says why it is void."""
        change, body = self.dags[dag].changes[id], self.dags[dag].bodies.get(id)
        if change.header.body_len <= INLINE or body is None:
            return False
        return not any(self.is_needed(Ref(dag, id, index)) for index in range(len(body.ops)))

    def compact(self) -> int:
        """Drops what may go; how many."""
        dead = [(name, id) for name, dag in self.dags.items() for id in dag.changes if self.may_drop(name, id)]
        self.spend()
        for name, id in dead:
            self.dags[name].drop(id)
        return len(dead)

    def spend(self) -> None:
        """Who compacts notes which names are spent, and may forget the operations that they mean."""
        for ref, op in self.ops():
            if op.kind in (PUT, DELETE):
                self.spent |= {(name, typed(op.key)) for name in op.names if not self.may_hide(name, ref, op.key)}

    def needed(self) -> dict[str, set[bytes]]:
        """By DAG, the changes whose bodies are here and matter."""
        return {
            name: {
                id
                for id, body in dag.bodies.items()
                if any(self.is_needed(Ref(name, id, index)) for index in range(len(body.ops)))
            }
            for name, dag in self.dags.items()
        }


def is_on(op: Op, key: Key) -> bool:
    return op.kind in (PUT, DELETE) and same(op.key, key)


def same(a: Key, b: Key) -> bool:
    return typed(a) == typed(b)


def typed(key: Key) -> tuple[bytes, bool]:
    """Keys in order: by bytes, then str before bytes."""
    return (key, True) if isinstance(key, bytes) else (key.encode(), False)


# Bundles of all DAGs


def write_parts(datastore_id: bytes, parts: Iterable[tuple[str, bytes]]) -> bytes:
    said = b"".join(blob(name) + blob(part) for name, part in sorted((name.encode(), part) for name, part in parts))
    return seal(MAGIC + datastore_id + said)


def seal(data: bytes) -> bytes:
    return data + xxhash.xxh3_64_intdigest(data).to_bytes(8, "little")


def read_parts(data: bytes, datastore_id: bytes | None = None) -> list[tuple[str, bytes]]:
    if len(data) < 44 or data[:4] != MAGIC:
        raise Malformed("magic")
    if seal(data[:-8]) != data:
        raise Malformed("check")
    reader = Reader(data[4:-8])
    of = reader.take(32)
    if datastore_id is not None and of != datastore_id:
        raise Malformed("of another datastore")
    parts: list[tuple[str, bytes]] = []
    try:
        while not reader.done():
            parts.append((reader.str(), reader.blob()))
    except Broken as error:
        raise Malformed(str(error)) from error
    names = [name.encode() for name, _ in parts]
    if names != sorted(names) or any(len(name) > MAX_NAME for name in names):
        raise Malformed("names")
    return parts


def leave_out(data: bytes, datastore_id: bytes) -> bytes:
    """A bundle without any body that stands apart from its header: whoever says so calls all of them dead."""
    out = []
    for name, part in read_parts(data, datastore_id):
        chains = read_bundle(part, dag_id_of(datastore_id, name), type=2).chains
        for chain in chains:
            chain.items = [
                replace(item, body_form=LEFT_OUT, body=None) if item.body_form == APART else item
                for item in chain.items
            ]
        out.append((name, write_bundle(dag_id_of(datastore_id, name), chains)))
    return write_parts(datastore_id, out)


__all__ = [
    "DELETE",
    "PUT",
    "Dag",
    "Datastore",
    "Ref",
    "dag_id_of",
    "leave_out",
    "read_parts",
    "typed",
    "varint",
    "write_parts",
]
