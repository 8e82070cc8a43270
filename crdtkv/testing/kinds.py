"""What a Network is of: documents or datastores. Who takes part, what they write, and what they do besides."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, TypeAlias

from crdtkv import Datastore, Doc, Identity
from crdtkv.testing.check import check
from crdtkv.testing.edit import Choice, an_edit, pick
from crdtkv.testing.files import Files
from crdtkv.testing.host import Host
from crdtkv.testing.kv_check import Witness, check_datastores, exchange_bodies
from crdtkv.testing.kv_edit import DAGS, a_batch, a_write
from crdtkv.testing.kv_host import KvHost
from crdtkv.testing.kv_liar import KvLiar
from crdtkv.testing.liar import Liar
from crdtkv.testing.replica import seed_of

__all__ = ["KINDS", "Datastores", "Documents", "Kind", "UserEdit", "edit_as_written"]

Kind: TypeAlias = Literal["doc", "datastore"]
UserEdit: TypeAlias = Callable[[Any, random.Random], object]


class Time:
    """A clock that stands until it is put on. Knows nothing else, so that whoever has it holds no network."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Documents:
    """Everybody has a document."""

    def __init__(self, seed: int, choose: Choice, edits: Sequence[UserEdit] | None) -> None:
        self.seed = seed
        self.choose = choose
        self.edits = edits
        self.time = Time()
        self.id = seed_of("document", seed)
        self.counts: dict[str, int] = {}  # of what only this kind does

    def host(self, i: int) -> Host:
        identity = Identity.from_seed(seed_of("replica", self.seed, i))
        doc = Doc(identity, id=self.id, clock=self.time)
        return Host(f"replica {i}", doc, seed_of("lanes", self.seed, i))

    def liar(self, i: int) -> Liar:
        identity = Identity.from_seed(seed_of("liar", self.seed, i))
        return Liar(f"liar {i}", identity, self.id, seed_of("lies", self.seed, i), self.time, self.choose, self.write)

    def write(self, doc: Any) -> str:
        """Let something be written; what it was."""
        if self.edits is None:
            return self.own_edit(doc)
        edit = pick(self.choose, self.edits)
        edit(doc, random.Random(self.choose.below(1 << 50)))
        return edit_as_written(edit)

    def own_edit(self, doc: Any) -> str:
        line = an_edit(doc, self.choose)
        line(doc)
        return line.code

    def edit(self, host: Host) -> list[str]:
        """What a user does with a replica."""
        what = self.choose.below(20)
        if what < 2 and (host.undo.can_undo or host.undo.can_redo):
            back = host.undo.can_undo and not (host.undo.can_redo and self.choose.below(2))
            edits = ["undo" if back else "redo"]
            getattr(host.undo, edits[0])()
            host.close()
        elif what < 5:
            host.close()
            with host.doc.change("together"):
                edits = [self.write(host.doc) for _ in range(1 + self.choose.below(4))]
            host.close()
        else:
            edits = [self.write(host.doc)]
            if self.choose.below(4):
                host.close()
        return edits

    def upkeep(self, host: Host) -> list[str]:
        """What a replica does sometimes instead of an edit."""
        return []

    def gather(self, hosts: Sequence[Host]) -> list[str]:
        """What has to be done before all can agree."""
        return []

    def settle(self, hosts: Sequence[Host]) -> None:
        """What is to be exchanged when all have the same changes."""

    def check(self, hosts: Sequence[Host], liars: Collection[bytes], rng: random.Random, restored: bool) -> None:
        """AssertionError unless all is as it should be. `restored`: some disk was lost."""
        check(hosts, liars, rng)

    def close(self) -> None:
        """The network is gone."""


class Datastores(Documents):
    """Everybody has a datastore, some of them in files. They also compact, and in some networks purge."""

    def __init__(self, seed: int, choose: Choice, edits: Sequence[UserEdit] | None) -> None:
        super().__init__(seed, choose, edits)
        self.id = seed_of("datastore", seed)
        self.counts = {"compactions": 0, "purges": 0}
        self.files = Files()
        self.witness = Witness(self.id)
        self.purging = edits is None and not choose.below(2)  # edits of others may write to any DAG

    def host(self, i: int) -> KvHost:
        identity = Identity.from_seed(seed_of("replica", self.seed, i))
        if self.choose.below(3):
            kv = Datastore(identity, id=self.id, clock=self.time)
        else:
            kv = self.files.make(identity, self.id, self.time)
        return KvHost(f"replica {i}", kv, seed_of("lanes", self.seed, i), self.files)

    def liar(self, i: int) -> KvLiar:
        identity = Identity.from_seed(seed_of("liar", self.seed, i))
        return KvLiar(f"liar {i}", identity, self.id, seed_of("lies", self.seed, i), self.time, self.choose, self.write)

    def own_edit(self, doc: Any) -> str:
        return self._write(doc, DAGS)

    def _write(self, kv: Any, dags: Sequence[str]) -> str:
        line = a_write(self.choose, dags)
        line(kv)
        return line.code

    def edit(self, host: Host) -> list[str]:
        assert isinstance(host, KvHost)
        dags = [dag for dag in DAGS if dag not in host.purged]
        if self.edits is None and self.choose.below(4) == 0:
            host.close()
            edits = a_batch(self.choose, dags)
            with host.doc.batch(message="together") as batch:
                for edit in edits:
                    edit(batch)
            host.close()
            return [edit.code for edit in edits]
        edits_done = [self.write(host.doc) if self.edits is not None else self._write(host.doc, dags)]
        if self.choose.below(4):
            host.close()
        return edits_done

    def upkeep(self, host: Host) -> list[str]:
        assert isinstance(host, KvHost)
        what = self.choose.below(24)
        if what < 4:
            self.witness.hear(host)
            self.counts["compactions"] += 1
            rewrite = what == 0
            return [f"{host.name} compacts{' and rewrites' if rewrite else ''}: {host.compact(rewrite)}"]
        if self.purging and what in (4, 5, 6) and (lines := self.purge(host)):
            return lines
        if what in (7, 8) and host.purged:
            host.admit()
            return [f"{host.name} admits all"]
        return []

    def purge(self, host: KvHost) -> list[str]:
        """One of its DAGs, if it has any."""
        there = [dag for dag, heads in sorted(host.doc.dags().items()) if heads]
        if not there:
            return []
        dag = pick(self.choose, there)
        self.counts["purges"] += 1
        lines = [f"{host.name} purges {dag}: {host.purge(dag)}"]
        if dag == DAGS[0]:  # which everybody writes to
            host.admit()
            lines.append(f"{host.name} admits all")
        return lines

    def gather(self, hosts: Sequence[Host]) -> list[str]:
        lines = []
        for host in hosts:
            assert isinstance(host, KvHost)
            if host.purged:
                host.admit()
                lines.append(f"{host.name} admits all")
        return lines

    def settle(self, hosts: Sequence[Host]) -> None:
        exchange_bodies(hosts)

    def check(self, hosts: Sequence[Host], liars: Collection[bytes], rng: random.Random, restored: bool) -> None:
        super().check(hosts, liars, rng, restored)
        check_datastores(hosts)
        if not restored and not self.counts["purges"]:
            self.witness.check(hosts)

    def close(self) -> None:
        self.files.close()


KINDS: dict[str, type[Documents]] = {"doc": Documents, "datastore": Datastores}


def edit_as_written(edit: UserEdit) -> str:
    """How a module that imports it calls it."""
    return getattr(edit, "__name__", None) or type(edit).__name__
