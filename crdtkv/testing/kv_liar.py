"""KvLiar: a Byzantine participant in a simulated network of datastores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from crdtkv import Datastore
from crdtkv.testing.edit import DAGS, pick
from crdtkv.testing.forger import Forger
from crdtkv.testing.host import Host
from crdtkv.testing.kv_lies import KV_LIES, a_kv_body
from crdtkv.testing.liar import Liar
from crdtkv.testing.lies import Lie

__all__ = ["KvLiar"]


class KvLiar(Liar):
    """A Liar who lies in any DAG, one at a time, and knows that bodies can be left out."""

    lies: ClassVar[tuple[Lie, ...]] = KV_LIES
    dag = DAGS[0]  # of what it does now

    def act(self, hosts: Sequence[Host], lie: Lie | None = None) -> list[str]:
        self.dag = pick(self.choose, DAGS)
        return super().act(hosts, lie)

    def _a_lane(self) -> tuple[Callable[[], Any], tuple[bytes, ...], bytes]:
        """Replicas of equal seed write one lane: what each says there must differ, or they are one."""
        data, seed, n = self.doc.export(), self.next_seed(), self.choose.below(3)

        def again() -> Datastore:
            copy = self._copy(data)
            copy._seed(seed)
            for k in range(n):
                copy.put("liar", k, dag=self.dag)
                copy.commit()
            return copy

        first = again()
        return again, first.heads, first.export()

    def forger(self) -> Forger:
        return Forger(self.doc, self.identity, seed=self.next_seed(), dag=self.dag)

    def a_body(self) -> bytes:
        return a_kv_body(self)

    def _copy(self, data: bytes) -> Datastore:
        copy = Datastore(self.identity, id=self._doc_id, clock=self._clock)
        copy._seed(self.next_seed())
        if data:
            copy.apply(data)
        return copy

    def write_change(self, doc: Any, message: str | None = None) -> bytes:
        self.edit(doc)
        doc.put("liar", [self.choose.below(1000), "and more" * self.choose.below(9)], dag=self.dag)
        change = doc.commit(message)
        assert change is not None
        id: bytes = change.id
        return id
