"""Talks: sessions with one peer at a time, over subjects of NATS that only the two of them use.

They carry what the log does not: what was trimmed, or got lost, or is only said to be somewhere. Who lacks something
asks a peer that announced more; the peer answers at most MOST_SERVED at a time, and says "busy" to the others, who ask
again, perhaps somebody who knows by then. A talk that stands still, or does not keep to its order, is over; so is one
whose peer lies: the object keeps what was authentic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any

from crdtkv._core import Report, Session
from crdtkv.errors import DecodeError, Error, SyncError
from crdtkv.net.directory import Shared
from crdtkv.net.jetstream.frame import BUSY, END, FIELDS, MESSAGE, OPEN, WORD, Note
from crdtkv.net.jetstream.outbox import Outbox
from crdtkv.net.lookout import closed

__all__ = ["Talks", "free"]

STANDSTILL = 10.0  # seconds without a note
MOST_SERVED = 8
MOST_NOTES = 100_000  # in one direction

log = logging.getLogger("crdtkv.net")


@dataclass(slots=True)
class Talk:
    """One end."""

    id: bytes
    peer: bytes
    outbox: Outbox
    session: Session
    is_mine: bool  # this end asked
    deadline: float
    over: asyncio.Event = field(default_factory=asyncio.Event)
    came: int = 0
    went: int = 0
    gained: int = 0
    is_good: bool = False
    parts: bytearray = field(default_factory=bytearray)


class Talks:
    """The talks of one link over one connection.

    `send(peer, note)` publishes; `find(place)`: the outbox of the object of that kind and id, or None; `tell(report)`
    counts what came.
    """

    def __init__(
        self,
        me: bytes,
        send: Callable[[bytes, bytes], Awaitable[None]],
        find: Callable[[bytes], Outbox | None],
        tell: Callable[[Report[Any]], None],
        room: int,
    ) -> None:
        self._me, self._send, self._find, self._tell = me, send, find, tell
        self._room = max(1, room - FIELDS)
        self._open: dict[tuple[bytes, bytes], Talk] = {}
        self.served = self.asked = self.failed = self.turned_away = self.gained = 0

    async def ask(self, peer: bytes, place: bytes, outbox: Outbox) -> int | None:
        """Talk with a peer until both hold the same; how many changes that brought. None: it came to nothing."""
        talk = self._begin(token_bytes(8), peer, outbox, is_mine=True)
        self.asked += 1
        try:
            await self._note(talk, OPEN, True, place)
            await self._speak(talk)
            while not talk.over.is_set():
                rest = talk.deadline - asyncio.get_running_loop().time()
                if rest <= 0:
                    break
                try:
                    async with asyncio.timeout(rest):
                        await talk.over.wait()
                except TimeoutError:
                    continue
        finally:
            self._open.pop((talk.id, talk.peer), None)
        if not talk.is_good:
            self.failed += 1
        return talk.gained if talk.is_good else None

    async def take(self, data: bytes) -> None:
        """A note that came. Never raises on account of what is in it."""
        try:
            note = Note.decode(data)
        except DecodeError:
            self.failed += 1
            return
        self._forget()
        talk = self._open.get((note.talk, note.peer))
        if talk is None:
            if note.what != OPEN or note.number != 0:
                return
            talk = await self._welcome(note)
            if talk is None:
                return
        elif note.number != talk.came or note.what in (BUSY, END) or note.what == OPEN:
            if note.what == END and talk.is_mine is False:
                talk.is_good = True
            self._close(talk)
            return
        talk.came += 1
        talk.deadline = asyncio.get_running_loop().time() + STANDSTILL
        try:
            if note.what == WORD:
                await self._hear(talk, note)
            await self._speak(talk)
        except (DecodeError, SyncError) as error:
            log.info("a talk ends: %s", error)
            await self._hang_up(talk)
        except Error as error:  # of this end: a file that cannot be written, say
            log.warning("a talk ends: %s", error)
            await self._hang_up(talk)

    async def _welcome(self, note: Note) -> Talk | None:
        outbox = self._find(note.data)
        if outbox is None or sum(not talk.is_mine for talk in self._open.values()) >= MOST_SERVED:
            self.turned_away += 1
            await self._send(note.peer, Note(note.talk, self._me, BUSY, 0, True, b"").encode())
            return None
        self.served += 1
        return self._begin(note.talk, note.peer, outbox, is_mine=False)

    def _begin(self, id: bytes, peer: bytes, outbox: Outbox, *, is_mine: bool) -> Talk:
        deadline = asyncio.get_running_loop().time() + STANDSTILL
        talk = Talk(id, peer, outbox, outbox.shared.session(), is_mine, deadline)
        self._open[(id, peer)] = talk
        return talk

    async def _hear(self, talk: Talk, note: Note) -> None:
        if len(talk.parts) + len(note.data) > MESSAGE or note.number > MOST_NOTES:
            raise SyncError("a message is too long, or a talk")
        talk.parts += note.data
        if not note.is_last:
            return
        message, talk.parts = bytes(talk.parts), bytearray()
        await free(talk.outbox.shared)
        report = talk.outbox.take(lambda: talk.session.receive(message))
        if report is not None:
            gained = len(report.applied) + len(report.void)
            talk.gained += gained
            self.gained += gained
            self._tell(report)

    async def _speak(self, talk: Talk) -> None:
        await free(talk.outbox.shared)
        closed(talk.outbox.shared)
        while (message := talk.session.send()) is not None:
            for at in range(0, len(message), self._room):
                part = message[at : at + self._room]
                await self._note(talk, WORD, at + len(part) == len(message), part)
            await free(talk.outbox.shared)
            closed(talk.outbox.shared)
        if talk.is_mine and talk.session.done and (talk.id, talk.peer) in self._open:
            talk.is_good = True
            await self._hang_up(talk)

    async def _note(self, talk: Talk, what: int, is_last: bool, data: bytes) -> None:
        note = Note(talk.id, self._me, what, talk.went, is_last, data)
        talk.went += 1
        await self._send(talk.peer, note.encode())

    async def _hang_up(self, talk: Talk) -> None:
        self._close(talk)
        await self._note(talk, END, True, b"")

    def _close(self, talk: Talk) -> None:
        self._open.pop((talk.id, talk.peer), None)
        talk.over.set()

    def _forget(self) -> None:
        """Talks that stand still."""
        now = asyncio.get_running_loop().time()
        for talk in [talk for talk in self._open.values() if talk.deadline < now]:
            self._close(talk)


async def free(shared: Shared) -> None:
    """Until no block of the caller is open."""
    while shared._version is None:
        await asyncio.sleep(0.02)
