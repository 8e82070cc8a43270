"""Barriers: "tell me when you have told all that you have". What synced() waits for, in both directions.

Whoever asks waits until the other end has said `Passed`; whoever is asked first lets its caller look at what was edited
here, then says all of that, then `Passed`.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from typing import TypeAlias

from crdtkv.net.frame import Barrier, Passed
from crdtkv.net.limits import Code, LinkError

__all__ = ["Barriers", "Waiting"]

Waiting: TypeAlias = "Future[None]"


class Barriers:
    """Those of one link. `most`: of the other end, that may be open at once.

    >>> here = Barriers(most=1)
    >>> here.hear(Barrier(1)), here.next()
    (None, None)
    >>> here.looked()
    >>> here.next()
    Passed(number=1)
    """

    __slots__ = ("_asked", "_most", "_n", "_owed", "_unseen", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._n = 0  # that were asked for here
        self._asked: deque[int] = deque()  # of those, the ones to be sent
        self._waiting: dict[int, Waiting] = {}  # number -> who waits for the answer
        self._unseen: list[int] = []  # of the other end; what was edited here before them may not be known yet
        self._owed: deque[int] = deque()  # of the other end, those before which the caller has looked

    @property
    def wants_look(self) -> bool:
        """The other end wants to know all that was edited here."""
        return bool(self._unseen)

    @property
    def is_due(self) -> bool:
        """Is there one to be said, once all else was?"""
        return bool(self._asked or self._owed)

    def looked(self) -> None:
        """All that was edited here is known now."""
        self._owed.extend(self._unseen)
        self._unseen.clear()

    def ask(self, waiter: Waiting) -> None:
        """`waiter` is done when what both ends have now is on both."""
        self._n += 1
        self._waiting[self._n] = waiter
        self._asked.append(self._n)

    def next(self) -> Barrier | Passed | None:
        """What is to be said, now that all that was to be said before is said."""
        if self._asked:
            return Barrier(self._asked.popleft())
        return Passed(self._owed.popleft()) if self._owed else None

    def hear(self, barrier: Barrier) -> None:
        """The other end asks. LinkError: too often."""
        if len(self._unseen) + len(self._owed) >= self._most:
            raise LinkError(Code.FLOOD, "too many barriers that are not passed")
        self._unseen.append(barrier.number)

    def hear_passed(self, passed: Passed) -> bool:
        """The other end answers. False: nobody has asked."""
        waiter = self._waiting.pop(passed.number, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return waiter is not None

    def end(self) -> None:
        """There will be no answers: whoever waits is told by CancelledError."""
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.cancel()
        self._waiting.clear()
