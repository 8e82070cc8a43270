"""Desks: what a forger needs of a replica, whether that is a document or a DAG of a datastore."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from crdtkv import _core
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.errors import DecodeError
from crdtkv.identity import Identity
from crdtkv.report import Report
from crdtkv.testing.wire import (
    DEFAULT,
    Buffer,
    Opening,
    Part,
    Reader,
    blob,
    dag_id_of,
    dags_of,
    head_of,
    take_apart,
    varint,
    wrap,
    write_bundle,
    zigzag,
)

__all__ = ["Desk", "DocDesk", "Edit", "KvDesk", "desk_of"]

Edit: TypeAlias = Callable[[Any], object]

MESSAGE, COUNT = 1, 3  # a flag of a body, a kind of operation


class _TakeBack(Exception):
    """Ends a block whose edits were only wanted as bytes."""


class DocDesk:
    """A private copy of a document that no local limit binds."""

    __slots__ = ("head", "replica")

    type = 1  # of headers
    frame = 0  # bytes that wrap() adds

    def __init__(self, replica: Doc) -> None:
        self.replica = replica
        self.head = head_of(replica.export(replica.heads))

    @classmethod
    def copy_of(cls, doc: Doc, identity: Identity, heads: Iterable[bytes] | None = None) -> DocDesk:
        """With the history of `heads` (None: all)."""
        data = doc.export((), heads)
        new = type(doc)(identity, id=doc.id, clock=doc._clock)
        new._lift_limits()
        new.apply(data)
        return cls(new)

    def copy(self, identity: Identity, heads: Iterable[bytes]) -> DocDesk:
        return self.copy_of(self.replica, identity, heads)

    @property
    def id(self) -> bytes:
        return self.replica.id

    @property
    def heads(self) -> tuple[bytes, ...]:
        return self.replica.heads

    def set(self, replica: Doc, key: str, value: int) -> None:
        """The plainest edit."""
        replica[key] = value

    def place_of(self, change: bytes) -> tuple[bytes, int] | None:
        """Lane and seq of a change, if it is here."""
        return self.replica._place_of(change)

    def opening(self, lane: bytes) -> Opening | None:
        return self.replica._opening(lane)

    def export(self, since: Iterable[bytes], until: Iterable[bytes]) -> bytes:
        return self.replica.export(since, until)

    def apply(self, bundle: bytes) -> Report:
        return self.replica.apply(bundle)

    def body(self, edit: Edit, lane: bytes, prev: bytes | None, parents: Sequence[bytes]) -> tuple[int, bytes]:
        """(n_ops, body) of what `edit` does, as a change behind these would say it. The document stays as it is."""
        doc = self.replica
        now = doc._clock() if doc._clock else time.time_ns() // 1_000_000
        found = None
        try:
            with doc.change():
                edit(doc)
                found = doc._open_body(prev, b"".join(parents), now)
                raise _TakeBack
        except _TakeBack:
            pass
        assert found is not None
        return found

    def n_ops(self, body: bytes, n_parents: int) -> int:
        return _core._n_ops(body, n_parents)

    def wrap(self, bundle: bytes) -> bytes:
        return bundle

    def unwrap(self, bundle: Buffer) -> bytes:
        return bytes(bundle)


class KvDesk:
    """A private copy of a datastore. Changes are forged in one of its DAGs."""

    __slots__ = ("_known", "_places", "dag", "frame", "head", "id", "replica")

    type = 2

    def __init__(self, replica: Datastore, dag: str) -> None:
        self.replica = replica
        self.dag = dag
        self.id = dag_id_of(replica.id, dag)
        self.frame = 64 + len(dag.encode())
        self._known: tuple[bytes, ...] | None = None  # heads when _places were read
        self._places: dict[bytes, tuple[bytes, int]] = {}
        self.head = head_of(dags_of(replica.export()).get(dag, self._nothing()))

    def _nothing(self) -> bytes:
        """A bundle of this DAG without changes."""
        return write_bundle(b"CKB\1" + self.id + b"\0", [])

    @classmethod
    def copy_of(cls, kv: Datastore, dag: str, identity: Identity, heads: Iterable[bytes] | None = None) -> KvDesk:
        """With the history of these heads of its DAG (None: all), and all of the other DAGs."""
        until = None
        if heads is not None:
            others = [head for name, some in kv.dags().items() if name != dag for head in some]
            until = [*heads, *others]
        new = type(kv)(identity, id=kv.id, clock=kv._clock)
        new.apply(kv.export((), until))
        return cls(new, dag)

    def copy(self, identity: Identity, heads: Iterable[bytes]) -> KvDesk:
        return self.copy_of(self.replica, self.dag, identity, heads)

    @property
    def heads(self) -> tuple[bytes, ...]:
        return self.replica.dags().get(self.dag, ())

    def set(self, replica: Datastore, key: str, value: int) -> None:
        """The plainest edit."""
        replica.put(key, value, dag=self.dag)

    def place_of(self, change: bytes) -> tuple[bytes, int] | None:
        """Lane and seq of a change of this DAG, if it is here."""
        if self._known != self.replica.heads:
            self._known = self.replica.heads
            every = self.replica.changes()
            self._places = {one.id: (one.lane, one.seq) for one in every if one.dag == self.dag}
        return self._places.get(change)

    def opening(self, lane: bytes) -> Opening | None:
        return next((part.opening for part in self._parts(None) if part.lane == lane), None)

    def _parts(self, until: Iterable[bytes] | None) -> list[Part]:
        bundle = dags_of(self.replica.export((), until)).get(self.dag)
        return take_apart(bundle) if bundle else []

    def export(self, since: Iterable[bytes], until: Iterable[bytes]) -> bytes:
        """A bundle of this DAG alone."""
        return dags_of(self.replica.export(since, until)).get(self.dag, self._nothing())

    def apply(self, bundle: bytes) -> Report:
        return self.replica.apply(self.wrap(bundle))

    def body(self, edit: Edit, lane: bytes, prev: bytes | None, parents: Sequence[bytes]) -> tuple[int, bytes]:
        """(n_ops, body) of what `edit` does in this DAG, in whatever changes, with the totals of this lane."""
        kv = self.replica
        now = kv._clock() if kv._clock else time.time_ns() // 1_000_000
        scratch = type(kv)(kv.identity, id=kv.id, clock=lambda: now)
        scratch.apply(kv.export())
        before = scratch.heads
        edit(scratch)
        bundle = dags_of(scratch.export(before)).get(self.dag)
        ops = [op for part in (take_apart(bundle) if bundle else []) for op in _ops_of(part.whole_body())]
        totals = self._totals(lane, prev) if any(kind == COUNT for kind, _ in ops) else {}
        body = b"\0" + zigzag(now)
        for kind, payload in ops:
            if kind == COUNT:
                name, total = _counted(payload)
                payload = name + zigzag(totals.get(name, 0) + total)
            body += varint(kind) + blob(payload)
        return len(ops), body

    def _totals(self, lane: bytes, prev: bytes | None) -> dict[bytes, int]:
        """What the lane counted up to `prev`."""
        if prev is None or self.place_of(prev) is None:
            return {}
        totals: dict[bytes, int] = {}
        void = {change.id for change in self.replica.changes((), [prev]) if change.void is not None}
        for part in self._parts([prev]):
            if part.lane == lane and part.id not in void:
                totals.update(_counted(payload) for kind, payload in _ops_of(part.whole_body()) if kind == COUNT)
        return totals

    def n_ops(self, body: bytes, n_parents: int) -> int:
        return len(_ops_of(body))

    def wrap(self, bundle: bytes) -> bytes:
        return wrap(self.replica.id, {self.dag: bundle})

    def unwrap(self, bundle: Buffer) -> bytes:
        return dags_of(bundle).get(self.dag, self._nothing())


Desk: TypeAlias = DocDesk | KvDesk


def desk_of(replica: Doc | Datastore, identity: Identity, dag: str = DEFAULT) -> Desk:
    """A desk with a copy of this replica on it."""
    if not isinstance(replica, Doc | Datastore):
        raise TypeError(f"a Forger wants a Doc or a Datastore, not {type(replica).__name__}")
    if not isinstance(identity, Identity):
        raise TypeError(f"identity must be an Identity, not {type(identity).__name__}")
    if isinstance(replica, Datastore):
        return KvDesk.copy_of(replica, dag, identity)
    if dag != DEFAULT:
        raise TypeError("a document has no DAGs to choose from")
    return DocDesk.copy_of(replica, identity)


def _ops_of(body: bytes) -> list[tuple[int, bytes]]:
    """Kind and payload of each operation; as far as it goes."""
    reader = Reader(body)
    ops: list[tuple[int, bytes]] = []
    try:
        flags = reader.varint()
        reader.varint()
        if flags & MESSAGE:
            reader.take(reader.varint())
        while reader.at < len(body):
            kind = reader.varint()
            ops.append((kind, reader.take(reader.varint())))
    except DecodeError:
        pass
    return ops


def _counted(payload: bytes) -> tuple[bytes, int]:
    """Name, as it is written, and total of a COUNT."""
    reader = Reader(payload)
    reader.take(reader.varint() >> 1)
    name, number = payload[: reader.at], reader.varint()
    return name, number >> 1 if number & 1 == 0 else -(number + 1 >> 1)
