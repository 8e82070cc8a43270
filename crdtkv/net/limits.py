"""Limits: what one end of a link may cost the other one, and how a link ends that asks for more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from crdtkv.errors import Error, SyncError, UnauthorizedError

__all__ = ["Code", "Limits", "LinkError", "Meter"]

MESSAGE = (1 << 20) + 4096  # bytes of a session's message
FRAME = MESSAGE + 32  # bytes of a frame
REPLICAS = ": both ends want replicas of one object, made with fork(), with save() and load(), or with Doc(id=...)"


class Code(IntEnum):
    """Why a link ended: what WebSocket carries as the code of a close frame."""

    NORMAL = 1000
    GOING_AWAY = 1001
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_LATER = 1013
    MALFORMED = 4000  # what came was no frame, or none that fits here
    SLOW_HANDSHAKE = 4001
    NOT_ALLOWED = 4003  # whoever is there may not be, or does not prove to be who it says
    OTHER_OBJECT = 4004  # each end is one object, and they are not the same
    VERSION = 4005  # of the protocol
    FLOOD = 4008
    STALLED = 4010  # it does not read what it is told
    SESSION = 4011  # what it said broke a rule of sessions

    @property
    def is_final(self) -> bool:
        """Coming again would end the same way."""
        return self in (Code.NOT_ALLOWED, Code.OTHER_OBJECT, Code.VERSION)


class LinkError(Exception):
    """Ends one link. Never leaves crdtkv.net."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason

    def as_error(self) -> Error:
        """For people."""
        kind = UnauthorizedError if self.code == Code.NOT_ALLOWED else SyncError
        return kind(self.reason + (REPLICAS if self.code == Code.OTHER_OBJECT else ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one link may cost. Who asks for more loses the link, nobody else notices.

    `links`: that a server has at once. Seconds: `handshake`, until it is known who is there; `ping`, between pings;
    `stall`, that a frame may wait to be taken. A second: `messages`, `bytes`, and `chatter`, which brings nothing.
    `names`: objects that are shared over one link; `new_names`: of them, those that the other end brings.

    >>> from crdtkv.net import Limits
    >>> Limits(links=10, handshake=2.0).links
    10
    """

    links: int = 1000  # that a server has at once
    handshake: float = 10.0  # seconds until the other end has proved who it is
    ping: float = 20.0  # seconds between pings, and until an answer must have come
    stall: float = 30.0  # seconds that a frame may wait to be taken
    messages: int = 10_000  # frames a second, and five times as many at once
    chatter: int = 2000  # frames a second that bring no data, and five times as many at once
    bytes: int = 64 << 20  # bytes a second, and four times as many at once
    names: int = 10_000  # objects that are shared over one link
    new_names: int = 1024  # of them, those that the other end brings

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.limits(self)


class Meter:
    """So many a second, and some more at once.

    >>> meter = Meter(10, 20, clock=lambda: 0.0)
    >>> meter.take(20), meter.take(1)
    (True, False)
    """

    __slots__ = ("_at", "_clock", "_left", "_most", "_rate")

    def __init__(self, rate: float, most: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._left, self._at = most, clock()

    def take(self, n: float) -> bool:
        """False: it was too much."""
        self._left -= n
        if self._left < 0:  # only then the time matters
            now = self._clock()
            self._left = min(self._most - n, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 0:
                self._left += n  # what is not given is not counted
                return False
        return True
