"""Two replicas exchange what the other one lacks: Session over any transport, sync() within a process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from crdtkv import _core
from crdtkv._core import Error, Session, StoreSession

if TYPE_CHECKING:
    from crdtkv.datastore import Datastore
    from crdtkv.doc import Doc
    from crdtkv.store import Store

__all__ = ["Session", "StoreSession", "SyncReport", "sync"]


class SyncReport(NamedTuple):
    """What sync() did: rounds (there and back is one), bytes and changes, both ways together.

    Of stores, changes are keys whose entry changed.

    >>> import crdtkv as ck
    >>> a = ck.Doc()
    >>> a["x"] = 1
    >>> ck.sync(a, ck.Doc(id=a.id)).changes
    1
    """

    rounds: int
    bytes: int
    changes: int

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.sync_report(self)


def messages(session: Session) -> Iterator[bytes]:
    """All that this end has to say now."""
    while (message := session.send()) is not None:
        yield message


@overload
def sync(a: Doc, b: Doc) -> SyncReport: ...
@overload
def sync(a: Datastore, b: Datastore) -> SyncReport: ...
@overload
def sync(a: Store, b: Store) -> SyncReport: ...
def sync(a: Any, b: Any) -> SyncReport:
    """Exchange what two replicas in one process lack of each other: two documents, two datastores, or two stores.

    Error: they are of two documents or datastores, then nothing moves. What one of them refuses stays at the other
    one, see `Session`. Closes the open changes. Two stores pull once from each other; ClockDriftError: one is ahead.

    >>> import crdtkv as ck
    >>> a = ck.Doc()
    >>> b = a.fork(ck.Identity.generate())
    >>> a["x"], b["y"] = 1, 2
    >>> report = ck.sync(a, b)
    >>> a == b == {"x": 1, "y": 2}, report.changes, report.rounds <= 3
    (True, 2, True)
    """
    if isinstance(a, _core.Store) and isinstance(b, _core.Store):
        return sync_stores(a, b)
    for kind in (_core.Doc, _core.Datastore):
        if isinstance(a, kind) and isinstance(b, kind):
            return sync_replicas(a, b)
    names = f"{type(a).__name__} and {type(b).__name__}"
    raise TypeError(f"sync() wants two documents, two datastores or two stores, not {names}")


def sync_stores(a: _core.Store, b: _core.Store) -> SyncReport:
    """Each pulls once from the other."""
    if a is b:
        return SyncReport(0, 0, 0)
    pulls = []
    for taker, giver in ((a, b), (b, a)):
        request = taker.request_diff()
        pulls.append((taker, request, giver.build_diff(request)))
    n_changes = 0
    errors: list[Exception] = []
    for taker, _, diff in pulls:
        try:
            n_changes += len(taker.integrate_diff(diff).applied)
        except ExceptionGroup as error:  # callbacks raise last
            errors.append(error)
    if errors:
        raise errors[0]
    return SyncReport(2, sum(len(request) + len(diff) for _, request, diff in pulls), n_changes)


def sync_replicas(a: Any, b: Any) -> SyncReport:
    """In turns, until both are silent."""
    if a.id != b.id:
        kind = "Datastore" if isinstance(a, _core.Datastore) else "Doc"
        raise Error(
            f"two different {kind.lower()}s cannot be synchronised: they were made separately; "
            f"make one from the other with fork(), save() and load(), or {kind}(id=...)"
        )
    if a is b:
        return SyncReport(0, 0, 0)
    left, right = a.session(), b.session()
    rounds = n_bytes = n_changes = 0
    errors: list[Exception] = []
    while True:
        spoke = False
        for speaker, listener in ((left, right), (right, left)):
            for message in messages(speaker):
                spoke = True
                n_bytes += len(message)
                try:
                    report = listener.receive(message)
                except ExceptionGroup as error:  # callbacks raise last, and end nothing
                    errors.append(error)
                else:
                    n_changes += len(report.applied) + len(report.void)
        if not spoke:
            break
        rounds += 1
    if errors:
        raise errors[0]
    return SyncReport(rounds, n_bytes, n_changes)
