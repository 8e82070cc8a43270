"""Outbox: what the log lacks of one object. Without input or output.

Nothing is queued: what is to be published is what the object holds and the log was not seen to hold, so a lost
acknowledgement, a server that was away or a process that was killed loses nothing; at worst the log holds something
twice.

    since      ids that the log holds with all behind them
    logged     what was read from the log after that
    clean      the object's version at which nothing was missing there; None: not known

The object's version only grows, by 2 for each change, and is odd while a change is open (`_version`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from crdtkv._core import Change, Report
from crdtkv.net.directory import Shared
from crdtkv.net.lookout import closed

__all__ = ["InBlockError", "Outbox", "Parcel"]

BUNDLE = 256 << 10  # bytes that one bundle is to have at most, if it can be cut
MOST_LOGGED = 1024  # ids, before they are summed up as heads

log = logging.getLogger("crdtkv.net")


class InBlockError(Exception):
    """A block of the caller is open: the object can neither take nor give now."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A bundle for the log, and the version it leads up to."""

    data: bytes
    until: tuple[bytes, ...]
    n_changes: int


class Outbox:
    """What the log lacks of one object.

    >>> import crdtkv as ck
    >>> ada, ben = ck.Doc(), None
    >>> ada["x"] = 1
    >>> outbox = Outbox(ada)
    >>> outbox.is_clean(), [parcel.n_changes for parcel in outbox.parcels()]
    (False, [1])
    >>> outbox.acknowledge()
    >>> outbox.is_clean()
    True
    """

    __slots__ = ("_clean", "_heads", "_logged", "_n", "_since", "_version", "shared")

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._since: tuple[bytes, ...] = ()
        self._logged: list[bytes] = []
        version = shared._version
        is_empty = version is not None and not version % 2 and not shared.stats()["changes"]
        self._clean: int | None = version if is_empty else None
        self._version: int | None = None  # when the last parcels were made, with what they lead up to
        self._heads: tuple[bytes, ...] = ()
        self._n = 0

    def is_clean(self) -> bool:
        """Is nothing of this object missing in the log? False inside a block, if only for that."""
        return self._clean is not None and self.shared._version == self._clean

    def take(self, receive: Callable[[], Report[bytes]]) -> Report[bytes] | None:
        """Let the object take in what the log, or a peer, holds. InBlockError: later.

        None: callbacks of the object's observers failed, which is logged; what came is applied all the same.
        """
        before = self.shared._version
        if before is None:
            raise InBlockError
        try:
            report = receive()
        except ExceptionGroup:
            log.exception("callbacks failed while something was taken in")
            if before == self._clean:
                self.is_held_elsewhere()
            return None
        news = len(report.applied) + len(report.void)
        if news:
            self._logged += report.applied
            self._logged += report.void
            if before == self._clean and self.shared._version == before + 2 * news:
                self._clean = before + 2 * news
                if len(self._logged) > MOST_LOGGED:
                    self._sum_up()
        return report

    def parcels(self) -> list[Parcel]:
        """All that the log lacks, parents before children. Closes the open change. InBlockError: later.

        When the log holds all of it, acknowledge().
        """
        version = self.shared._version
        if version is None:
            raise InBlockError
        if version == self._clean:
            return []
        self._mark()
        changes = list(self.shared.changes([*self._since, *self._logged], self._heads))
        if not changes:
            self.acknowledge()
            return []
        return list(self._cut([*self._since, *self._logged], changes))

    def acknowledge_part(self, parcel: Parcel) -> None:
        """The log holds one of the parcels, and those before it."""
        self._since = (*self._since, *parcel.until)

    def acknowledge(self) -> None:
        """The log holds the last parcels."""
        self._since = self._heads
        del self._logged[: self._n]
        if self._version is not None and not self._version % 2:
            self._clean = self._version + 2 * len(self._logged)
        self._version, self._n = None, 0

    def is_held_elsewhere(self) -> None:
        """Peers hold all that is here now, whatever the log does."""
        if self.shared._version is not None:
            self._mark()
            self.acknowledge()

    def _mark(self) -> None:
        closed(self.shared)
        self._version = self.shared._version  # first: heads may hold more by then, which is then looked at again
        self._heads, self._n = self.shared.heads, len(self._logged)

    def _sum_up(self) -> None:
        version, heads = self._clean, self.shared.heads
        if self.shared._version == version:  # else another thread wrote something meanwhile
            self._since = heads
            self._logged.clear()

    def _cut(self, since: list[bytes], changes: list[Change]) -> Iterable[Parcel]:
        """Bundles of about BUNDLE bytes, as far as there are places where everything behind is signed."""
        until = tips(changes)
        data = self.shared.export(since, until)
        cut = None if len(data) <= BUNDLE else self._place(changes)
        if cut is None:
            yield Parcel(data, until, len(changes))
            return
        yield from self._cut(since, changes[:cut])
        yield from self._cut([*since, *tips(changes[:cut])], changes[cut:])

    def _place(self, changes: list[Change]) -> int | None:
        """Where to cut, near the middle: before it nothing of others is without a signature, after it something."""
        own: bytes = self.shared.identity.public_key
        unsigned: set[bytes] = set()  # lanes
        best: int | None = None
        middle = len(changes) / 2
        for i, change in enumerate(changes[:-1], 1):
            if change.signed or change.author == own:
                unsigned.discard(change.lane)
            else:
                unsigned.add(change.lane)
            if not unsigned and (best is None or abs(i - middle) < abs(best - middle)):
                best = i
        return best


def tips(changes: list[Change]) -> tuple[bytes, ...]:
    """Those that no other one of them builds on."""
    found = {change.id for change in changes}
    for change in changes:
        found.difference_update(change.parents)
        if change.prev is not None:
            found.discard(change.prev)
    return tuple(sorted(found))
