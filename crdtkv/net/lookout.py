"""Lookout: sees which of the shared objects have moved. Nobody tells it: it looks at one number for each.

Objects that moved within the last minute are looked at every time, of the others a few hundred in turn. So an edit
costs nothing more than it did, and ten thousand objects that nobody touches cost next to nothing, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from crdtkv.errors import Error, StaleHandleError
from crdtkv.net.directory import Directory, Shared

__all__ = ["Lookout"]

WARM = 60.0  # seconds after which an object that did not move is looked at in turn only
NEW = -1  # a version that none has
AT_ONCE = 256  # objects that are looked at in turn

log = logging.getLogger("crdtkv.net")


class Watched:
    """An object, and its version as it was seen last."""

    __slots__ = ("id", "moved", "seen", "shared")

    def __init__(self, id: bytes, shared: Shared, now: float) -> None:
        self.id, self.shared, self.moved = id, shared, now
        self.seen: int | None = NEW  # None: a block was open


class Lookout:
    """Looks at what a directory has opened.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> directory = Directory(doc)
    >>> lookout, shared = Lookout(directory), directory.open(doc.id)
    >>> lookout.look() == [doc.id], lookout.look()
    (True, [])
    >>> doc["x"] = 1
    >>> lookout.look() == [doc.id]
    True
    """

    __slots__ = ("_all", "_clock", "_directory", "_openings", "_turn", "_warm")

    def __init__(self, directory: Directory, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._clock = directory, clock
        self._openings = -1  # of the directory, when it was asked last
        self._all: dict[bytes, Watched] = {}
        self._warm: dict[bytes, Watched] = {}
        self._turn: list[Watched] = []  # who is looked at next, from the end

    def look(self, *, at_all: bool = True) -> list[bytes]:
        """Ids of what has moved since it was seen; closes open changes. `at_all`: leave nothing for the next time."""
        if self._openings != self._directory.openings:
            self._meet()
        if at_all:
            return self._moved(list(self._all.values()))
        if not self._turn:
            self._turn = [watched for watched in self._all.values() if watched.id not in self._warm]
        some, self._turn = self._turn[-AT_ONCE:], self._turn[:-AT_ONCE]
        return self._moved([*self._warm.values(), *some])

    def saw(self, id: bytes, version: int | None) -> None:
        """Somebody knows already that it has moved."""
        watched = self._all.get(id)
        if watched is not None:
            self._note(watched, version)

    def _meet(self) -> None:
        self._openings = self._directory.openings
        now = self._clock()
        for id, shared in self._directory.opened.items():
            known = self._all.get(id)
            if known is None or known.shared is not shared:  # new; or deleted, and made anew
                self._warm.pop(id, None)
                self._all[id] = Watched(id, shared, now)
                self._turn.append(self._all[id])

    def _note(self, watched: Watched, version: int | None) -> None:
        if watched.seen != NEW:
            watched.moved = self._clock()
            self._warm[watched.id] = watched
        watched.seen = version

    def _moved(self, some: Iterable[Watched]) -> list[bytes]:
        moved = []
        for watched in some:
            version: int | None = None
            try:
                version = watched.shared._version
                if version == watched.seen:
                    continue
                if version is not None and version & 1:
                    version = closed(watched.shared)
                self._note(watched, version)
                if version is not None:
                    moved.append(watched.id)
            except StaleHandleError:  # it was deleted
                if self._all.get(watched.id) is watched:  # and not made anew since
                    moved.append(watched.id)
                    for known in (self._all, self._warm, self._directory.opened):
                        known.pop(watched.id, None)
            except Error as error:
                log.error("what was edited last in object %s is not told: %s", watched.id.hex(), error)
                self._note(watched, version)
        self._cool()
        return moved

    def _cool(self) -> None:
        now = self._clock()
        for id in [id for id, watched in self._warm.items() if now - watched.moved > WARM]:
            del self._warm[id]


def closed(shared: Shared) -> Any:
    """The version when its open change is closed."""
    try:
        shared.commit()
    except ExceptionGroup:  # callbacks, told of it: they end nothing
        log.exception("callbacks failed")
    return shared._version
