"""Sessions: one for each object that both ends of a link share (crdtkv.Session), in step for as long as the link lives.

They take turns. Who reads slowly is told less often, and then more at once: a session knows what the other end lacks,
and says it when it is asked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from crdtkv.errors import Error, StaleHandleError, SyncError
from crdtkv.net.directory import Directory, Shared
from crdtkv.net.frame import Said, Taken
from crdtkv.net.limits import Code, LinkError
from crdtkv.net.roll import Roll
from crdtkv.session import Session

__all__ = ["Sessions"]

AHEAD = 4  # messages of a session under way: a slower reader gets fewer and longer ones
BEHIND = 2  # messages that may come before the other end is told so at once

log = logging.getLogger("crdtkv.net")


@dataclass(slots=True)
class Flow:
    """The session of one object, and how far each end is with what the other one said."""

    shared: Shared
    session: Session
    number: int  # of our entry
    sent: int = 0  # messages
    taken: int = 0  # of them, those that the other end has said it took in
    came: int = 0  # messages of the other end
    told: int = 0  # of them, those that it was told are taken in

    @property
    def is_ahead(self) -> bool:
        return self.sent - self.taken >= AHEAD

    @property
    def is_behind(self) -> bool:
        return self.came - self.told > BEHIND

    def hear_taken(self, n: int) -> None:
        """The other end has taken in so many, it says."""
        self.taken = max(self.taken, min(n, self.sent))

    def ask(self) -> bytes | None:
        """What the session has to say."""
        try:
            return self.session.send()
        except ExceptionGroup:  # callbacks, told of the change that was closed now: they end nothing
            log.exception("callbacks failed")
            return self.session.send()

    def take(self, message: bytes) -> None:
        """What the other end said to it."""
        try:
            self.session.receive(message)
        except ExceptionGroup:  # callbacks raise last, and end nothing
            log.exception("callbacks failed")


class Sessions:
    """Those of one link: of the objects that `roll` says are shared."""

    __slots__ = ("_directory", "_dirty", "_flows", "_held", "_lazy", "_roll", "_unsettled", "moved")

    def __init__(self, directory: Directory, roll: Roll) -> None:
        self._directory, self._roll = directory, roll
        self._flows: dict[bytes, Flow] = {}
        self._dirty: dict[bytes, None] = {}  # ids whose sessions may have something to say, in order
        self._held: set[bytes] = set()  # likewise, but inside a block
        self._lazy: set[bytes] = set()  # that only have to say that something came
        self._unsettled: set[bytes] = set()
        self.moved: dict[bytes, int | None] = {}  # id -> version, of what was changed by frames; the caller clears it

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def is_due(self) -> bool:
        """May there be something to say now?"""
        return bool(self._dirty)

    @property
    def is_settled(self) -> bool:
        """All that is here was said, and all that was asked for has come."""
        return not (self._unsettled or self._held)

    # ---- what the caller knows

    def start(self, id: bytes) -> None:
        """Both share it: a session begins, when its turn comes."""
        if id not in self._flows and not self._roll.is_gone(id):
            self._unsettled.add(id)
            self._dirty[id] = None

    def touch(self, id: bytes) -> bool:
        """An object has moved; True: that matters here."""
        if id not in self._flows:
            return False
        self._held.discard(id)
        self._lazy.discard(id)
        self._dirty[id] = None
        return True

    def touch_lazy(self) -> bool:
        """It is time to say that what came has come; True: there is something to say."""
        if not self._lazy:
            return False
        self._dirty.update(dict.fromkeys(self._lazy))
        self._lazy.clear()
        return True

    def give_up(self, id: bytes, *, tell: bool = True) -> None:
        """Nothing more is said of an object over this link."""
        self._flows.pop(id, None)
        self._dirty.pop(id, None)
        self._held.discard(id)
        self._lazy.discard(id)
        self._unsettled.discard(id)
        self._roll.give_up(id, tell=tell)

    def end(self) -> None:
        """Nothing more will be said."""
        self._flows.clear()

    def _flow(self, id: bytes) -> Flow | None:
        """The session of an object, which is opened now if it was not. None: it cannot be."""
        flow = self._flows.get(id)
        if flow is not None or (number := self._roll.number(id)) is None:
            return flow
        try:
            shared = self._directory.open(id)
            flow = Flow(shared, shared.session(), number)
        except KeyError:
            self.give_up(id)
            return None
        except StaleHandleError:
            raise
        except Error as error:
            log.warning("object %s cannot be opened: %s", id.hex(), error)
            self.give_up(id)
            return None
        self._flows[id] = flow
        return flow

    def _lost(self, id: bytes) -> None:
        """An object was deleted, or all of the database was closed: StaleHandleError, then."""
        self._directory.refresh()
        self.give_up(id)

    # ---- out

    def say(self) -> Said | Taken | None:
        """What the next session has to say that has something to say. LinkError."""
        while self._dirty:
            id = next(iter(self._dirty))
            try:
                flow = self._flow(id)
                if flow is None:
                    self._dirty.pop(id, None)
                    continue
                del self._dirty[id]
                if flow.shared._version is None:
                    self._held.add(id)
                    continue
                message = None if flow.is_ahead else flow.ask()
                if message is not None:
                    self._dirty[id] = None  # once more, when all others had their turn
                    flow.sent += 1
                    flow.told = flow.came
                    return Said(flow.number, flow.came, message)
                if flow.session._settled:
                    self._unsettled.discard(id)
                else:
                    self._unsettled.add(id)
                if flow.is_behind or (flow.is_ahead and flow.told < flow.came):
                    flow.told = flow.came
                    return Taken(flow.number, flow.came)
            except StaleHandleError:
                self._lost(id)
            except SyncError as error:  # a DAG that was purged is here again; the next link begins anew
                raise LinkError(Code.SESSION, str(error)) from None
        return None

    # ---- in

    def hear(self, said: Said) -> bool:
        """A message of a session. False: not now, because a block is open in the object. LinkError."""
        id = self._roll.theirs(said.number)
        try:
            flow = self._flow(id)
            if flow is None:
                if not self._roll.is_gone(id):
                    raise LinkError(Code.MALFORMED, "a session of what is not shared")
                return True  # it had not heard that yet
            before, waited = flow.shared._version, flow.is_ahead
            if before is None:
                return False
            flow.take(said.message)
            after = flow.shared._version
            if after != before:
                self.moved[id] = after
        except StaleHandleError:
            self._lost(id)
            return True
        except SyncError as error:
            raise LinkError(Code.SESSION, str(error)) from None
        flow.came += 1
        flow.hear_taken(said.taken)
        if flow.session._settled:
            self._unsettled.discard(id)
            if not (flow.is_behind or waited):
                self._lazy.add(id)
                return True
        else:
            self._unsettled.add(id)
        self._dirty[id] = None
        return True

    def hear_taken(self, taken: Taken) -> None:
        """How far the other end is with a session. LinkError."""
        id = self._roll.theirs(taken.number)
        flow = self._flows.get(id)
        if flow is not None:
            if flow.is_ahead:
                self._dirty[id] = None
            flow.hear_taken(taken.n)
