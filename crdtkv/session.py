"""Two replicas exchange what the other one lacks: Session over any transport, sync() within a process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crdtkv._core import Error, Session

if TYPE_CHECKING:
    from crdtkv.doc import Doc

__all__ = ["Session", "SyncReport", "sync"]


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What sync() did: rounds (there and back is one), bytes and changes, both ways together.

    >>> import crdtkv as ck
    >>> a = ck.Doc()
    >>> a["x"] = 1
    >>> ck.sync(a, ck.Doc(id=a.id)).changes
    1
    """

    rounds: int
    bytes: int
    changes: int


def messages(session: Session) -> Iterator[bytes]:
    """All that this end has to say now."""
    while (message := session.send()) is not None:
        yield message


def sync(a: Doc, b: Doc) -> SyncReport:
    """Exchange what two replicas in one process lack of each other.

    Error: they are of two documents, then nothing moves. What one of them refuses stays at the other one, see
    `Session`. Closes the open changes.

    >>> import crdtkv as ck
    >>> a = ck.Doc()
    >>> b = a.fork(ck.Identity.generate())
    >>> a["x"], b["y"] = 1, 2
    >>> report = ck.sync(a, b)
    >>> a == b == {"x": 1, "y": 2}, report.changes, report.rounds <= 3
    (True, 2, True)
    """
    for each in (a, b):
        if not hasattr(each, "session"):
            raise TypeError(f"sync() wants two documents, not {type(each).__name__}")
    if a.id != b.id:
        raise Error("two different documents cannot be synchronised")
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
