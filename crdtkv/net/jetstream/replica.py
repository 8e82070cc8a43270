"""Replica: one object on a line, with what others said of it lately."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from crdtkv.datastore import Datastore
from crdtkv.errors import StaleHandleError
from crdtkv.net.directory import Entry, Shared
from crdtkv.net.jetstream.frame import Notice
from crdtkv.net.jetstream.outbox import Outbox
from crdtkv.net.lookout import closed

__all__ = ["Replica"]

MOST_SUSPECTS = 16
QUIET = 0.25  # seconds between talks that bring nothing, at first
QUIETEST = 60.0


class Replica:
    """One object: its outbox, its subjects, and which peers announced something else than is here."""

    __slots__ = (
        "_n_admitted",
        "acked",
        "answering",
        "asking",
        "entry",
        "flushing",
        "heard",
        "outbox",
        "quiet",
        "quiet_until",
        "said",
        "seq",
        "suspects",
        "to",
        "told",
        "unlogged",
    )

    def __init__(self, stream: str, entry: Entry, shared: Shared) -> None:
        self.entry, self.outbox = entry, Outbox(shared)
        self.to = f"{stream}.{entry.kind}.{entry.id.hex()}"
        self.seq = 0  # of its last message in the log that was read
        self._n_admitted = self._count_admitted()
        self.acked = 0  # of the last one that was published here
        self.flushing = asyncio.Lock()
        self.heard = asyncio.Event()  # somebody said something of it, or nobody is there to
        self.suspects: OrderedDict[bytes, Notice] = OrderedDict()  # by peer
        self.unlogged: OrderedDict[bytes, bytes] = OrderedDict()  # peer -> root that was not all in the log
        self.said: deque[float] = deque(maxlen=64)  # when others announced the very thing that is here
        self.told: deque[float] = deque(maxlen=64)  # when others did who have read at least as far
        self.quiet, self.quiet_until = QUIET, 0.0
        self.answering: asyncio.Task[None] | None = None
        self.asking: asyncio.Task[None] | None = None

    @property
    def shared(self) -> Shared:
        """The object."""
        return self.outbox.shared

    @property
    def is_stale(self) -> bool:
        """Was it deleted? The same may have been made anew since."""
        try:
            _ = self.shared._version
        except StaleHandleError:
            return True
        return False

    @property
    def place(self) -> bytes:
        """Kind and id, as notes of talks name it."""
        return f"{self.entry.kind}.".encode() + self.entry.id

    @property
    def root(self) -> bytes:
        """Of all that is here; closes the open change first, and callbacks that fail at that end nothing."""
        closed(self.shared)
        return self.shared.root

    @property
    def n_changes(self) -> int:
        """How many changes are here, void ones too."""
        return self.shared.stats()["changes"]

    def has_admitted(self) -> bool:
        """Was a DAG admitted since this was asked last? Then the log holds what was refused when it was read."""
        before, self._n_admitted = self._n_admitted, self._count_admitted()
        return self._n_admitted != before

    def _count_admitted(self) -> int:
        return self.shared._n_admitted if isinstance(self.shared, Datastore) else 0

    def said_since(self, when: float) -> int:
        """How many others announced the very thing that is here, since then."""
        return sum(at >= when for at in self.said)

    def told_since(self, when: float) -> int:
        """How many notices, since then, tell everybody here as much as one of this end would: whoever holds something
        else finds out by any of them."""
        return sum(at >= when for at in self.told)

    def suspect(self, notice: Notice) -> None:
        """Somebody holds something else."""
        self.suspects[notice.peer] = notice
        self.suspects.move_to_end(notice.peer)
        if len(self.suspects) > MOST_SUSPECTS:
            self.suspects.popitem(last=False)

    def remember(self, notice: Notice) -> None:
        """Somebody holds what he has not published yet."""
        self.unlogged[notice.peer] = notice.root
        self.unlogged.move_to_end(notice.peer)
        if len(self.unlogged) > MOST_SUSPECTS:
            self.unlogged.popitem(last=False)

    def met(self, gained: int | None, now: float) -> None:
        """A talk is over. Those that bring nothing become rare, so that nobody can keep this end busy by announcing."""
        if gained:
            self.quiet, self.quiet_until = QUIET, 0.0
        else:
            self.quiet_until = now + self.quiet
            self.quiet = min(QUIETEST, 2 * self.quiet)
