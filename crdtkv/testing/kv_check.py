"""What must hold of datastores besides what must hold of documents: bodies, verdicts, and what compaction dropped."""

from __future__ import annotations

from collections.abc import Sequence

from crdtkv import Datastore, Doc
from crdtkv.testing.converged import difference, shown
from crdtkv.testing.host import Host
from crdtkv.testing.wire import dags_of, take_apart

__all__ = ["Witness", "absent_in", "check_datastores", "exchange_bodies"]

LEFT_OUT = 3  # of a Part
ROUNDS = 20  # of everybody with everybody, in the end; two or three do


class Witness:
    """Has heard of each replica, before it dropped something, all that was on its disk; and drops nothing itself."""

    def __init__(self, id: bytes) -> None:
        self.kv = Datastore(id=id, compliance=True)

    def hear(self, host: Host) -> None:
        host.flush()
        self.kv.apply(host.doc.save())

    def check(self, hosts: Sequence[Host]) -> None:
        """AssertionError if somebody shows something else. Only where no disk was lost, and nothing purged."""
        whole = self.kv.fork()
        for host in hosts:
            whole.apply(host.doc.save())
        assert whole.root == hosts[0].doc.root, "changes were dropped"
        if found := difference(shown(hosts[0].doc), shown(whole)):
            path, here, there = found
            raise AssertionError(f"{here!r} at {path}, but {there!r} where no body was ever dropped")


def check_datastores(hosts: Sequence[Host]) -> None:
    """All is sound, and all judge alike."""
    void = verdicts(hosts[0])
    for host in hosts:
        assert verdicts(host) == void, f"{host.name} finds other changes void than {hosts[0].name}"
        found = host.doc.check()
        assert found == [], f"{host.name}: {'; '.join(found[:3])}"


def verdicts(host: Host) -> dict[bytes, bool]:
    return {change.id: change.void is not None for change in host.doc.changes()}


def absent_in(replica: Doc | Datastore) -> frozenset[bytes]:
    """The changes that it has without their bodies."""
    if isinstance(replica, Doc) or not replica.stats()["left_out"]:
        return frozenset()
    parts = (part for bundle in dags_of(replica.export()).values() for part in take_apart(bundle))
    return frozenset(part.id for part in parts if part.form == LEFT_OUT)


def exchange_bodies(hosts: Sequence[Host]) -> None:
    """Sessions of everybody with everybody until nothing is new: they ask for bodies that others left out.

    Equal roots say nothing of bodies, and bundles bring those of new changes alone.
    """
    pairs = [(a, b) for a in hosts for b in hosts if a is not b]
    for _ in range(ROUNDS if pairs else 0):
        before = [state_of(host.doc) for host in hosts]
        for a, b in pairs:
            a.sync(b)
        if before == [state_of(host.doc) for host in hosts]:
            return
    assert not pairs, "they exchange for ever"


def state_of(kv: Datastore) -> tuple[object, ...]:
    """What exchange changes."""
    stats = kv.stats()
    return kv.root, stats["left_out"], stats["void"], stats["waiting"], stats["later"]
