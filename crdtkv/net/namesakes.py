"""Namesakes: two objects of one name at the two ends of a link. They are not synchronised, and somebody has to be told.

At a link by a warning of Python's, where the program waits for it to be in step; at a server in its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from typing import Protocol

from crdtkv.net.directory import KINDS, Entry
from crdtkv.net.limits import Meter

__all__ = ["LoggedNamesakes", "Namesakes", "WarnedNamesakes", "said"]

LONGEST = 60  # characters of a name that are shown
MOST = 20  # names that one link warns of
GRACE = 1.0  # seconds in which somebody may ask whether the link is in step, and be told there
LINES = 1, 20  # in the log of a server: a second, and at once

log = logging.getLogger("crdtkv.net")


class Namesakes(Protocol):
    """Who is told."""

    def meet(self, here: Entry | None, there: Entry) -> None:
        """An entry of the other end, and what has its name here."""


def said(here: Entry | None, there: Entry) -> str:
    """What is wrong, and what helps; names come from outside.

    >>> print(said(Entry("shopping", "doc", bytes(32)), Entry("shopping", "doc", bytes([171] * 32))))
    'shopping' is one document here and another one there (id 0000000000000000... / abababababababab...): \
they are not synchronised; delete one, or open it under the other's id
    >>> print(said(Entry("a", "store", bytes(32)), Entry("a", "doc", bytes(32))))
    'a' is a store here and a document there: they are not synchronised; delete one, or make it under another name
    """
    name = repr(there.name[:LONGEST]) + "..." * (len(there.name) > LONGEST)
    this, that = ("something else" if entry is None else shown(entry.kind) for entry in (here, there))
    if here is None or here.kind != there.kind:
        helps = "delete one, or make it under another name"
        return f"{name} is {this} here and {that} there: they are not synchronised; {helps}"
    ids = " / ".join(f"{entry.id[:8].hex()}..." for entry in (here, there))
    return (
        f"{name} is one {this.removeprefix('a ')} here and another one there (id {ids}): "
        "they are not synchronised; delete one, or open it under the other's id"
    )


def shown(kind: str) -> str:
    """What one of a kind is called."""
    if kind == "doc":
        return "a document"
    return f"a {kind}" if kind in (*KINDS, "store") else "something else"


class LoggedNamesakes:
    """In the log of a server, some lines a second."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines = Meter(*LINES)

    def meet(self, here: Entry | None, there: Entry) -> None:
        """A line, if there were not too many."""
        if self._lines.take(1):
            log.warning("%s", said(here, there))


class WarnedNamesakes:
    """By a link, once for each name, however often it connects.

    >>> namesakes = WarnedNamesakes()
    >>> for _ in range(3):
    ...     namesakes.meet(Entry("a", "doc", bytes(32)), Entry("a", "doc", bytes([1] * 32)))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     namesakes.warn()
    ...     namesakes.warn()
    >>> len(caught), caught[0].category
    (1, <class 'RuntimeWarning'>)
    """

    __slots__ = ("_names", "_timer", "_untold")

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._untold: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def meet(self, here: Entry | None, there: Entry) -> None:
        """Remember it until warn(), which comes by itself in an event loop."""
        if there.name in self._names or len(self._names) > MOST:
            return
        self._names.add(there.name)
        more = "there are more names that mean two things: see stats()['conflicts'] of the link"
        self._untold.append(said(here, there) if len(self._names) <= MOST else more)
        if self._timer is None:
            with contextlib.suppress(RuntimeError):  # no loop runs: whoever asks is told
                self._timer = asyncio.get_running_loop().call_later(GRACE, self.warn)

    def warn(self, stacklevel: int = 1) -> None:
        """Warn of what nobody was told yet. Where warnings are errors it is logged: what else is shared is in step."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._untold:
            text = self._untold.pop(0)
            try:
                warnings.warn(text, RuntimeWarning, stacklevel=stacklevel)
            except RuntimeWarning:
                log.warning("%s", text)
