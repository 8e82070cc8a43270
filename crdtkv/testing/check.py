"""check: what must hold of honest replicas once they have talked to each other, whatever was said to them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence

from crdtkv import Datastore, Doc, verify_equivocation
from crdtkv.testing.converged import assert_converged, shown
from crdtkv.testing.edit import literal
from crdtkv.testing.host import Host

__all__ = ["check", "forks", "replay"]

STOPS = 6  # versions on the way of a replay


def check(hosts: Sequence[Host], liars: Collection[bytes], rng: random.Random) -> None:
    """They agree; nothing is lost, nothing is invented, nobody is accused without reason."""
    for host in hosts:
        host.close()
    first, *others = (host.doc for host in hosts)
    assert_converged(first, *others)
    written = set().union(*(host.written for host in hosts))
    changes = first.changes()
    here = {change.id for change in changes}
    for host in hosts:
        assert host.held <= here, f"{host.name} had saved {name(host.held - here)}, which is lost"
    for change in changes:
        if change.author not in liars:
            assert change.id in written, f"change {name([change.id])} is not by its author"
            assert change.void is None, f"change {name([change.id])} of an honest author is void: {change.void}"
    accusations = forks(first)
    for doc in (first, *others):
        found = {(e.author, e.lane, e.seq, e.a, e.b) for e in doc.equivocations()}
        assert found == accusations, f"equivocations: {len(found)} found, {len(accusations)} are there"
    for e in first.equivocations():
        assert e.author in liars, f"an honest author is accused of change {name([e.a, e.b])}"
        assert verify_equivocation(e.proof) == e.author
    replay(first, rng)


def name(ids: Iterable[bytes]) -> str:
    return ", ".join(sorted(id.hex()[:12] for id in ids))


def forks(doc: Doc | Datastore) -> set[tuple[bytes, bytes, int, bytes, bytes]]:
    """(author, lane, seq, a, b) of every place at which a lane goes on in two ways, by the changes alone.

    >>> import crdtkv as ck
    >>> forks(ck.Doc())
    set()
    """
    places: dict[tuple[bytes, bytes, int, bytes | None], list[bytes]] = {}
    for change in doc.changes():
        places.setdefault((change.author, change.lane, change.seq, change.prev), []).append(change.id)
    found = set()
    for (author, lane, seq, _), ids in places.items():
        if len(ids) > 1:
            a, b = sorted(ids)[:2]
            found.add((author, lane, seq, a, b))
    return found


def replay(doc: Doc | Datastore, rng: random.Random) -> None:
    """The same changes in another order, parents first, give the same document.

    >>> import crdtkv as ck
    >>> import random
    >>> doc = ck.Doc()
    >>> doc["a"] = 1
    >>> replay(doc, random.Random(1))
    """
    ids = [change.id for change in doc.changes()]
    twin = (Doc if isinstance(doc, Doc) else Datastore)(doc.identity, id=doc.id)  # not of a class that may be broken
    for id in [ids[int(rng.random() * len(ids))] for _ in range(STOPS)] if ids else []:
        twin.apply(doc.export(twin.heads, [id]))
    twin.apply(doc.export(twin.heads))
    assert twin.root == doc.root, "other roots in another order"
    assert literal(shown(twin)) == literal(shown(doc)), "other content in another order"
