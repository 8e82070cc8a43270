"""Hub: one target and all its links in one event loop. It notices what moved, and wakes the links that must tell of it.

Nobody tells a hub of a local edit: it looks (lookout.py), some hundred times a second while there is something going
on, fifty times when not. Edits that come fast travel together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from crdtkv.errors import Error, StaleHandleError
from crdtkv.net.conversation import Conversation
from crdtkv.net.directory import Accept, Directory, Target
from crdtkv.net.limits import Code, Limits, LinkError, Meter
from crdtkv.net.lookout import Lookout
from crdtkv.net.presence import Presence, scope_of

__all__ = ["Hub", "Wire", "WireClosed"]

FAST, SLOW = 0.004, 0.02  # seconds between looks
LIVELY = 1.0  # seconds after the last thing that happened, in which it looks often
SHARE = 0.1  # of the time, that looking may take
WORDS = 0.05  # seconds between two frames of presence to one peer
NODS = 0.02  # seconds after which somebody is told that what he said has come
TURN = 0.01  # seconds that one link may go on without letting others

log = logging.getLogger("crdtkv.net")


class WireClosed(Exception):
    """The connection is over; with the code and reason of the other end, if it said one."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Wire(Protocol):
    """A connection that carries messages, in order."""

    async def recv(self) -> bytes:
        """The next message. WireClosed; LinkError, if it is not one of bytes."""
        ...

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more. WireClosed."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""


class Carrier:
    """One link of a hub: the conversation, and who is to be woken when it may have something to say."""

    __slots__ = ("conversation", "opened", "wake")

    def __init__(self, conversation: Conversation, opened: Callable[[Conversation], object] | None) -> None:
        self.conversation, self.opened = conversation, opened
        self.wake = asyncio.Event()


class Hub:
    """One target and all its links."""

    def __init__(self, target: Target, *, accept: Accept | None, limits: Limits, roams: bool = False) -> None:
        """`roams`: there is one board, which goes where the link goes."""
        self.directory = Directory(target, accept=accept)
        self._roams = roams
        self.limits = limits
        self.carriers: set[Carrier] = set()
        self.boards: dict[bytes, Presence] = {}
        self.ended: Counter[str] = Counter()  # links that ended, by reason
        self.totals: Counter[str] = Counter()  # of links that ended
        self._lookout = Lookout(self.directory)
        self._generation = self.directory.generation
        self._is_over = False  # the database was closed
        self._pulse: asyncio.Task[None] | None = None
        self._stirred = 0.0  # when something happened last
        self._looked_at = self._look_took = 0.0  # the last look at everything
        self._words = False
        self._words_at = self._nodded_at = 0.0

    # ---- presence

    @property
    def home(self) -> bytes:
        """The scope of whoever shares what this hub does."""
        return self.directory.only or scope_of(self.directory.identity.public_key)

    def board(self, scope: bytes) -> Presence:
        """Where the words of one scope are."""
        if self._roams and self.boards:
            (board,) = self.boards.values()
            board.enter(scope)
            return board
        if scope not in self.boards:
            self.boards[scope] = Presence(self.directory.identity, scope, wake=self._wake_words)
        return self.boards[scope]

    def _wake_words(self) -> None:
        self._words = True

    def say_words(self) -> None:
        """Now, rather than with the next beat."""
        self._words = False
        for carrier in self.carriers:
            carrier.conversation.touch_words()
            carrier.wake.set()

    # ---- what moved

    def look(self, *, at_all: bool = True) -> None:
        """See what moved here, and wake who must tell of it. `at_all`: leave nothing for the next time."""
        directory = self.directory
        if not self.carriers:
            return
        if directory.has_news():
            directory.refresh()
            self.wake_all()
        began = time.monotonic()
        for id in self._lookout.look(at_all=at_all):
            self._spread(id)
        if at_all:
            self._looked_at = time.monotonic()
            self._look_took = self._looked_at - began
            for carrier in self.carriers:
                if carrier.conversation.wants_look:
                    carrier.conversation.looked()
                    carrier.conversation.touch_words()
                    carrier.wake.set()

    @property
    def _may_look(self) -> bool:
        """At everything, because somebody wants to know; else the next time that it looks anyway."""
        return time.monotonic() - self._looked_at >= self._look_took / SHARE

    def _spread(self, id: bytes, source: Carrier | None = None) -> None:
        """Wake who must tell of an object, but not where the news came from."""
        self._stirred = time.monotonic()
        for carrier in self.carriers:
            if carrier is not source and carrier.conversation.touch(id):
                carrier.wake.set()

    def wake_all(self) -> None:
        """Every link looks whether it has something to say."""
        for carrier in self.carriers:
            carrier.wake.set()

    def took(self, carrier: Carrier) -> None:
        """A conversation has received something."""
        conversation = carrier.conversation
        if conversation.wants_look and self._may_look:
            self.look()
        if conversation.is_due:
            carrier.wake.set()
        if conversation.moved:
            for id, version in conversation.moved.items():
                self._lookout.saw(id, version)
                self._spread(id, carrier)
            conversation.moved.clear()
        generation = self.directory.generation
        if generation != self._generation:
            self._generation = generation
            self.wake_all()

    def _nod(self, now: float) -> None:
        """Say what nobody waits for."""
        if now - self._nodded_at >= NODS:
            self._nodded_at = now
            for carrier in self.carriers:
                if carrier.conversation.touch_lazy():
                    carrier.wake.set()

    def _beat(self, now: float) -> None:
        """Presence: what is new, and what must be said again."""
        if now - self._words_at < WORDS:
            return
        self._words_at = now
        for board in self.boards.values():
            board.beat()
        if self._words:
            self.say_words()

    async def _pulsate(self) -> None:
        while True:
            began = time.monotonic()
            pause = 0.0
            try:
                self.look(at_all=any(carrier.conversation.wants_look for carrier in self.carriers))
            except StaleHandleError:  # the database was closed
                self._is_over = True
                self.wake_all()
                return
            except Exception:
                log.exception("looking for changes failed")
                pause = LIVELY
            self._nod(began)
            self._beat(began)
            now = time.monotonic()
            usual = FAST if now - self._stirred < LIVELY else SLOW
            await asyncio.sleep(max(pause, usual, (now - began) / SHARE))

    # ---- links

    def start(self) -> None:
        """Look for changes from now on. In the loop whose links these are."""
        if self._pulse is None:
            self._pulse = asyncio.get_running_loop().create_task(self._pulsate(), name="crdtkv.net")

    async def stop(self) -> None:
        """No longer."""
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            await cancelled([pulse])

    async def carry(
        self, wire: Wire, conversation: Conversation, opened: Callable[[Conversation], object] | None = None
    ) -> LinkError | WireClosed:
        """Run a link until it ends; why it did. Says goodbye to the other end. `opened`: called when both are known."""
        carrier = Carrier(conversation, opened)
        conversation.take_turns(TURN)
        self.carriers.add(carrier)
        tasks = [asyncio.ensure_future(self._listen(wire, carrier)), asyncio.ensure_future(self._speak(wire, carrier))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = await self._end(tasks)
        except asyncio.CancelledError:
            await cancelled(tasks)
            end = LinkError(Code.NORMAL, "done") if self._roams else LinkError(Code.GOING_AWAY, "the server goes away")
            self._close(carrier, end)
            await wire.close(end.code, end.reason)
            raise
        self._close(carrier, end)
        if isinstance(end, LinkError):
            await wire.close(end.code, end.reason)
        return end

    async def _end(self, tasks: list[asyncio.Task[None]]) -> LinkError | WireClosed:
        """Why the first one to fail did."""
        errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        await cancelled(tasks)
        for error in errors:
            if isinstance(error, LinkError | WireClosed):
                return error
            if isinstance(error, StaleHandleError):
                return LinkError(Code.GOING_AWAY, "the database was closed")
            if isinstance(error, Error | MemoryError):
                log.error("a link ends: %s", error)
                return LinkError(Code.INTERNAL, "this end cannot go on")
            if error is not None:
                log.error("a link ends", exc_info=error)
        return LinkError(Code.INTERNAL, "this end failed")

    def _close(self, carrier: Carrier, end: LinkError | WireClosed) -> None:
        conversation = carrier.conversation
        conversation.end()
        self.carriers.discard(carrier)
        self.ended[reason_of(end)] += 1
        for name in FIGURES:
            self.totals[name] += getattr(conversation, name)
        if not self._roams:
            met = {c.conversation.scope for c in self.carriers if c.conversation.is_open} | {self.home}
            self.boards = {scope: board for scope, board in self.boards.items() if scope in met}

    async def _listen(self, wire: Wire, carrier: Carrier) -> None:
        conversation, limits = carrier.conversation, self.limits
        frames = Meter(limits.messages, 5 * limits.messages)
        n_bytes = Meter(limits.bytes, 4 * limits.bytes)
        try:
            async with asyncio.timeout(limits.handshake):
                while not conversation.is_open:
                    conversation.receive(await wire.recv())
                    carrier.wake.set()
        except TimeoutError:
            raise LinkError(Code.SLOW_HANDSHAKE, "nothing proved in time who is there") from None
        if self.directory.has_news():  # before it is said which names are here
            self.directory.refresh()
        conversation.meet(self.board(conversation.scope))
        if carrier.opened is not None:
            carrier.opened(conversation)
        carrier.wake.set()
        turn = time.monotonic()
        while True:
            data = await wire.recv()
            if not (frames.take(1) and n_bytes.take(len(data))):
                raise LinkError(Code.FLOOD, "too much at once")
            while not conversation.receive(data):
                await asyncio.sleep(FAST)
            self.took(carrier)
            if (now := time.monotonic()) - turn > TURN:
                await asyncio.sleep(0)
                turn = now

    async def _speak(self, wire: Wire, carrier: Carrier) -> None:
        conversation, wake, stall = carrier.conversation, carrier.wake, self.limits.stall
        turn = time.monotonic()
        while True:
            wake.clear()
            while (frame := conversation.send()) is not None:
                try:
                    async with asyncio.timeout(stall):
                        await wire.send(frame)
                except TimeoutError:
                    raise LinkError(Code.STALLED, "what it is told is not read") from None
                if (now := time.monotonic()) - turn > TURN:
                    await asyncio.sleep(0)
                    turn = now
            await wake.wait()
            if self._is_over:
                raise LinkError(Code.GOING_AWAY, "the database was closed")
            turn = time.monotonic()

    # ---- figures

    def figures(self) -> dict[str, Any]:
        """What all links did, those that ended too."""
        total = Counter(self.totals)
        for carrier in self.carriers:
            for name in FIGURES:
                total[name] += getattr(carrier.conversation, name)
        return {name: total[name] for name in FIGURES}


FIGURES = ("frames_in", "frames_out", "bytes_in", "bytes_out", "refused")


def reason_of(end: LinkError | WireClosed) -> str:
    """A word for why a link ended."""
    try:
        return Code(end.code).name.lower()
    except ValueError:
        return "lost"


async def cancelled(tasks: list[asyncio.Task[None]]) -> None:
    """Ends tasks, and waits until they have."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
