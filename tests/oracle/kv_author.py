"""KvAuthor: writes changes of a datastore with a real key, honest ones and others. All of it comes from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from nacl.signing import SigningKey

from .bundle import Chain, Item, Lane, item_of, opened, write_bundle
from .datastore import DEFAULT, Datastore, Ref, dag_id_of, write_parts
from .kv_body import PUT, Body, Key, Op, count, delete, put, write_body
from .wire import Header, change_id_of, header_for, signed_message


class KvAuthor:
    """One lane in one DAG of a datastore."""

    def __init__(self, seed: int, datastore_id: bytes, dag: str = DEFAULT, nonce: bytes | None = None) -> None:
        self.random = random.Random(f"kv author {seed}")
        self.signing = SigningKey(self.random.randbytes(32))
        self.key = bytes(self.signing.verify_key)
        self.datastore_id = datastore_id
        self.dag = dag
        self.dag_id = dag_id_of(datastore_id, dag)
        self.lane: Lane = opened(self.dag_id, self.key, nonce or self.random.randbytes(16))
        self.tip: bytes | None = None
        self.seq = 0

    # Operations, as somebody honest writes them

    def names(self, seen: Datastore, key: Key) -> tuple[tuple[bytes, int], ...]:
        """The puts of a key that stand in other DAGs."""
        standing = seen.standing(key).items()
        return tuple(sorted((ref.change, ref.index) for ref, op in standing if op.kind == PUT and ref.dag != self.dag))

    def put(self, seen: Datastore, key: Key, value: Any) -> Op:
        return put(key, value, self.names(seen, key))

    def delete(self, seen: Datastore, key: Key) -> Op:
        return delete(key, self.names(seen, key))

    def count(self, seen: Datastore, name: Key, amount: int) -> Op:
        before = seen.parts(name).get(self.lane.id)
        return count(name, (seen.op(before).total if before else 0) + amount)

    # Changes

    def item(
        self,
        body: bytes,
        n_ops: int,
        parents: Iterable[bytes] = (),
        prev: bytes | None = None,
        seq: int | None = None,
        sign: bool = True,
    ) -> Item:
        header = header_for(self.seq if seq is None else seq, prev, tuple(parents), n_ops, body, type=2)
        return self.raw(header, body, sign)

    def raw(self, header: Header, body: bytes, sign: bool = True) -> Item:
        data = header.encode()
        message = signed_message(self.dag_id, self.lane.id, header.seq, change_id_of(self.lane.id, data))
        return item_of(self.lane, data, body, self.signing.sign(message).signature if sign else None)

    def write(self, seen: Datastore, ops: Sequence[Op], time: int = 0, message: str | None = None) -> Item:
        """The next change of the lane, upon all that is seen."""
        dag = seen.dags.get(self.dag)
        parents = [id for id in (dag.heads if dag else ()) if id != self.tip][:32]
        item = self.item(write_body(Body(tuple(ops), time, message)), len(ops), parents, self.tip)
        self.tip, self.seq = item.id, self.seq + 1
        return item

    def bundle(self, *items: Item) -> bytes:
        """These changes, one chain, as a bundle of the datastore."""
        return write_parts(self.datastore_id, [(self.dag, self.part(*items))])

    def part(self, *items: Item) -> bytes:
        return write_bundle(self.dag_id, [Chain(self.lane, list(items))])


def ref_of(author: KvAuthor, item: Item, index: int = 0) -> Ref:
    return Ref(author.dag, item.id, index)
