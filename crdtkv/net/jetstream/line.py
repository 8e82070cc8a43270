"""Line: one connection to NATS, from the moment it stands until it breaks.

It reads the log to its end and stays there; publishes what the log lacks; says now and then what is held here, and
listens to what others say; where that differs from what is here and the log does not explain it, it asks.

A thousand may be on one stream, so nobody answers at once: whoever would say something waits for a random time, the
longer the more peers there are, and keeps silent if another one has said the same by then.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from crdtkv.errors import StaleHandleError, SyncError
from crdtkv.identity import Identity
from crdtkv.net.jetstream.crew import Crew, end
from crdtkv.net.jetstream.frame import Notice, pieces_of
from crdtkv.net.jetstream.log import Log, Reader
from crdtkv.net.jetstream.outbox import InBlockError
from crdtkv.net.jetstream.replica import Replica
from crdtkv.net.jetstream.state import MOST_PEERS, State
from crdtkv.net.jetstream.talk import Talks, free
from crdtkv.net.presence import Presence

__all__ = ["Line"]

HELLO = 0.5  # seconds that somebody has to say what he holds
SPREAD, SPREAD_PER_PEER, SPREAD_MOST = 0.02, 0.002, 2.0
FEW = 3  # peers that all speak; of more, so many in a round: in a crowd of n each notice is heard n times
ROOM = 16  # others, of whom a newcomer hears at once what they say of themselves
CROWD = 32  # peers; more of them speak less often, in proportion
PATIENCE = 5.0  # seconds that synced() waits for a talk that brings nothing
LOOK = 1.0  # seconds between looks whether something came from the server
SILENCE = 10  # looks that found nothing before the server is asked whether it is there, and then for its answer
PONG = 3600  # seconds that nats-py waits for the answer: longer than we do
LATE = 5.0  # seconds at most before saying that somebody else lacks something, where there are many who could
LAG = 2.0  # seconds for the log to explain what somebody holds
ALL = "0" * 64  # in place of an id: whatever there is
RETRY, RETRY_MOST = 0.5, 30.0

log = logging.getLogger("crdtkv.net")


class Line:
    """One connection of a link."""

    def __init__(
        self,
        client: Client,
        state: State,
        config: dict[str, Any],
        presence: Presence,
        rebroadcast: float,
        fault: Callable[[Exception | None], None],
    ) -> None:
        self._client, self._state, self._presence, self._rebroadcast = client, state, presence, rebroadcast
        self._fault = fault  # says what hinders publishing
        self._log = Log(client, state.stream, config, state.place)
        self.reader = Reader(client, state.stream, state.subjects("log"), state.place, state.take, state.rest)
        self.talks = Talks(state.me, self._send_note, self._outbox_at, state.tell, client.max_payload)
        self.ready, self.dirty, self.said = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._anybody = asyncio.Event()  # somebody said something, or nobody is there to
        self._crew = Crew()
        self._mark = 0  # of what was said of oneself
        self._resaid = 0.0

    async def run(self, closed: asyncio.Event) -> None:
        """Until the connection breaks, which raises."""
        state, client = self._state, self._client
        n_streams = state.place.n_streams
        await self._log.prepare()
        state.refresh()
        if state.place.n_streams != n_streams:
            for replica in state.replicas.values():
                replica.seq = replica.acked = 0
        here = f"{state.stream}.database.{ALL}"
        await client.subscribe(state.subjects("heads"), cb=self._on_notice)
        if state.directory.only is not None:
            await client.subscribe(f"{here}.heads", cb=self._on_notice)
        await client.subscribe(f"{state.stream}.to.{state.me.hex()}.*", cb=self._on_note)
        await client.subscribe(self._presence_subject, cb=self._on_word)
        try:
            for work in (self.reader.run, self._enter, self._publish, self._announce, self._speak):
                self._crew.start(work())
            self._crew.start(self._watch(closed))
            await self._crew.trouble()
        finally:
            await self._crew.end()

    async def _watch(self, closed: asyncio.Event) -> None:
        """Raises when the connection is gone, which nats-py does not always say, or when nothing comes any more.

        Any message is a sign of life, not only the answer to a ping, which may be behind many of them. Looks are
        counted, not seconds: what came while this process did something else is read before the next look.
        """
        client, n, quiet = self._client, -1, 0
        ping: asyncio.Task[None] | None = None
        try:
            while not client.is_closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await closed.wait()
                is_answered = False
                if ping is not None and ping.done():
                    is_answered, ping = not ping.cancelled() and ping.exception() is None, None
                if is_answered or n != client.stats["in_msgs"]:
                    n, quiet = client.stats["in_msgs"], 0
                    continue
                quiet += 1
                if quiet >= 2 * SILENCE:
                    raise ConnectionError(f"nothing came from the NATS server for {2 * SILENCE * LOOK:.0f} seconds")
                if quiet >= SILENCE and ping is None:
                    ping = asyncio.create_task(client.flush(PONG))
        finally:
            if ping is not None:
                await end([ping])
        raise ConnectionError(f"the connection to NATS is gone: {client.last_error or 'closed'}")

    # ---- the log

    async def _enter(self) -> None:
        """Read what there is, then add what is only here."""
        state = self._state
        await self.reader.reached_end()
        if state.place.gap:
            await asyncio.sleep(random.uniform(0, self._spread() - SPREAD))
            await self.hello()
            await self.reader.reached_end()
            await self.settle_asks()
            state.place.gap = False
            if any(not replica.outbox.is_clean() for replica in state.replicas.values()):
                await asyncio.sleep(random.uniform(0, self._spread() - SPREAD))
                await self.reader.reached_end()
        self.ready.set()
        self.dirty.set()

    async def _entered(self) -> None:
        """Until the log was read, unless it lacks something that only peers can tell."""
        if not self._state.place.gap:
            await self.ready.wait()

    async def _publish(self) -> None:
        """Whenever something is new here."""
        await self.ready.wait()
        wait = RETRY
        while True:
            await self.dirty.wait()
            self.dirty.clear()
            try:
                await self.flush()
            except (NatsError, TimeoutError, SyncError) as error:
                if self._client.is_closed:
                    return
                log.info("cannot publish: %s", error or type(error).__name__)
                self._fault(error)
                await asyncio.sleep(random.uniform(wait / 2, wait))
                wait = min(RETRY_MOST, 2 * wait)
                self.dirty.set()
            else:
                self._fault(None)
                wait = RETRY

    async def flush(self) -> None:
        """Publish what the log lacks, names that were just made included. NatsError, TimeoutError, SyncError."""
        if self._state.directory.has_news():
            await self.introduce(self._state.refresh())
        for replica in list(self._state.replicas.values()):
            try:
                if not replica.outbox.is_clean():
                    await self._flush_one(replica)
            except StaleHandleError:  # it was deleted; or all is over, which this says
                await self.introduce(self._state.refresh())

    async def _flush_one(self, replica: Replica) -> None:
        outbox, counts, name = replica.outbox, self._state.counts, replica.entry.name
        async with replica.flushing:
            if not outbox.is_clean() and replica.has_admitted():
                self.reader.begin_again()
            while not outbox.is_clean():
                await free(replica.shared)
                try:
                    parcels = outbox.parcels()
                except InBlockError:
                    continue
                for parcel in parcels:
                    for frame in pieces_of(name, parcel.data, self._client.max_payload):
                        seq = await self._log.publish(f"{replica.to}.log", frame)
                        replica.acked = max(replica.acked, seq)
                        counts["published"] += 1
                        counts["published_bytes"] += len(frame)
                    outbox.acknowledge_part(parcel)
                if parcels:
                    outbox.acknowledge()

    # ---- what is held where

    def _spread(self) -> float:
        return min(SPREAD_MOST, SPREAD + SPREAD_PER_PEER * len(self._state.peers(3 * self._rebroadcast)))

    async def hello(self) -> None:
        """Ask everybody what they hold, and wait for a first answer about each object, or until it is clear that
        nobody answers."""
        state = self._state
        replicas = list(state.replicas.values())
        waits = [replica.heard for replica in replicas]
        for replica in replicas:
            replica.heard.clear()
            await self._notice(replica, wants_answer=True)
        if state.directory.only is None:
            self._anybody.clear()
            await self._send_notice(f"{state.stream}.database.{ALL}", (True, bytes(32), 0, 0), "", ALL)
            waits.append(self._anybody)
        with suppress(TimeoutError):
            async with asyncio.timeout(HELLO + self._spread()):
                for heard in waits:
                    await heard.wait()

    async def _notice(self, replica: Replica, *, wants_answer: bool = False) -> None:
        try:
            await free(replica.shared)
            root = replica.root  # first: closes the open change
        except StaleHandleError:  # it was deleted; or all is over, which this says
            self._state.refresh()
            return
        reply = replica.entry.id.hex() if wants_answer else ""
        holds = replica.outbox.is_clean(), root, replica.n_changes, replica.seq
        await self._send_notice(replica.to, holds, replica.entry.name, reply)

    async def _send_notice(self, to: str, holds: tuple[bool, bytes, int, int], name: str, reply: str) -> None:
        state, number = self._state, int(1000 * time.time())
        state.number = number = max(number, state.number + 1)
        identity: Identity = state.directory.identity
        notice = Notice(identity.public_key, state.me, number, bool(reply), *holds, name)
        back = f"{state.stream}.to.{state.me.hex()}.{reply}" if reply else ""
        subject = f"{to}.heads"
        await self._client.publish(subject, notice.encode(identity, subject.encode()), reply=back)
        state.counts["notices_sent"] += 1

    async def _announce(self) -> None:
        """What is held here, now and then, unless enough others say as much."""
        await self.ready.wait()
        soon = min(2.0, self._rebroadcast / 4) if self._state.counts["connections"] == 1 else self._pause()
        wait = random.uniform(0, soon)
        while True:
            since = time.monotonic()
            await asyncio.sleep(wait)
            for replica in list(self._state.replicas.values()):
                if replica.told_since(since) < FEW and await self._quiet(replica) and replica.told_since(since) < FEW:
                    await self._notice(replica)
            wait = self._pause() * random.uniform(0.75, 1.25)

    def _pause(self) -> float:
        """Seconds between notices."""
        return self._rebroadcast * max(1.0, len(self._state.peers(3 * self._rebroadcast)) / CROWD)

    async def _quiet(self, replica: Replica, wait: float = 0.0) -> bool:
        """Until nothing of it goes to or comes from the log, or some seconds went by. Does nothing come, at least?"""
        is_still = False
        for _ in range(10):
            seq = replica.seq
            await asyncio.sleep(wait)
            is_still = replica.seq == seq and not self.reader.is_behind
            if is_still and replica.outbox.is_clean() and seq >= replica.acked:
                return True
            wait = random.uniform(1.0, 2.0)
        return is_still

    async def introduce(self, replicas: Iterable[Replica]) -> None:
        """Names that are new here."""
        for replica in replicas:
            await self._notice(replica)

    async def _on_notice(self, msg: Msg) -> None:
        state = self._state
        notice = state.hear(msg.subject, msg.data)
        if notice is None:
            return
        self._anybody.set()
        if msg.subject == f"{state.stream}.database.{ALL}.heads":
            for replica in list(state.replicas.values()):
                self._answer_soon(replica)
            return
        found = state.find(msg.subject, notice.name)
        if found is None or found.shared._version is None:
            return
        self._weigh(found, notice)

    def _weigh(self, replica: Replica, notice: Notice) -> None:
        """What somebody says he holds, against what is here."""
        root = replica.root
        if root == notice.root or notice.position >= replica.seq:
            replica.told.append(time.monotonic())
        if root == notice.root:
            replica.said.append(time.monotonic())
            replica.suspects.pop(notice.peer, None)
            if self._state.place.gap:
                replica.outbox.is_held_elsewhere()
        else:
            replica.suspect(notice)
            self._ask_soon(replica)
        if notice.wants_answer:
            self._answer_soon(replica)
        else:
            replica.heard.set()

    def _answer_soon(self, replica: Replica, wait: float | None = None) -> None:
        if replica.answering is None or replica.answering.done():
            replica.answering = self._crew.start(self._answer(replica, wait))

    def _late(self) -> float:
        """Seconds before saying what nobody asked for. All of a crowd, however large it is, may be about to: most of
        them wait for long, and a few for a short time, so that the others hear of it (as in RFC 5401, 5.2)."""
        if len(self._state.peers(3 * self._rebroadcast)) <= FEW:
            return random.uniform(0, self._spread())
        return LATE * max(0.0, 1.0 + math.log(1.0 - random.random()) / math.log(MOST_PEERS))

    async def _answer(self, replica: Replica, wait: float | None) -> None:
        """Say what is here, with all that was not published yet, unless somebody else says the same."""
        since = time.monotonic()
        await self._entered()
        if self.reader.is_behind:
            await self.reader.reached_end()
        if self.ready.is_set() and not replica.outbox.is_clean():
            try:
                await self._flush_one(replica)
            except (NatsError, TimeoutError, SyncError):
                self.dirty.set()
        await asyncio.sleep(random.uniform(0, self._spread()) if wait is None else wait)
        if not replica.said_since(since) or len(self._state.peers(3 * self._rebroadcast)) <= FEW:
            await self._notice(replica)

    # ---- asking peers

    def _ask_soon(self, replica: Replica) -> None:
        if replica.asking is None or replica.asking.done():
            replica.asking = self._crew.start(self._ask(replica))

    async def settle_asks(self) -> None:
        """Until nobody is being asked, or to be, or asking brings nothing for some seconds: anybody can give cause."""
        asking = {replica.asking for replica in self._state.replicas.values() if replica.asking is not None}
        gained = -1
        while asking and gained != self.talks.gained:
            gained = self.talks.gained
            _, asking = await asyncio.wait(asking, timeout=PATIENCE)

    async def _ask(self, replica: Replica) -> None:
        """Talk with those who hold something else, when the log does not explain it."""
        while replica.suspects:
            await self._reach(replica, max(notice.position for notice in replica.suspects.values()))
            await asyncio.sleep(random.uniform(0, self._spread()))
            await asyncio.sleep(max(0.0, replica.quiet_until - time.monotonic()))
            await self._entered()
            if self.ready.is_set():
                await self._quiet(replica, random.uniform(1.0, 2.0))  # what it hangs on may be on its way
            if self.reader.is_behind or replica.seq < replica.acked:
                await self.reader.reached_end()
            await free(replica.shared)
            if not replica.suspects:
                return
            _, notice = replica.suspects.popitem()
            if not (notice.is_logged or self._state.place.gap) and replica.unlogged.get(notice.peer) != notice.root:
                replica.remember(notice)  # he will publish it; if he cannot, he will say so again
                continue
            if notice.root == replica.root or notice.position < replica.seq:
                continue  # the other one reads on, and comes to the same
            if notice.n_changes < replica.n_changes:
                if not notice.wants_answer:
                    self._answer_soon(replica, self._late())  # it is the other one who lacks something
                continue
            gained = await self.talks.ask(notice.peer, replica.place, replica.outbox)
            replica.met(gained, time.monotonic())

    async def _reach(self, replica: Replica, position: int) -> None:
        """Until the log was read that far, or to its end."""
        n, wait = self.reader.n_ends, 0.02
        while replica.seq < position and self.reader.n_ends == n:
            await asyncio.sleep(wait)
            wait *= 2
            if wait > LAG:
                await self.reader.reached_end()

    def _outbox_at(self, place: bytes) -> Any:
        replica = self._state.at(place)
        return None if replica is None else replica.outbox

    async def _send_note(self, peer: bytes, note: bytes) -> None:
        await self._client.publish(f"{self._state.stream}.to.{peer.hex()}.talk", note)

    async def _on_note(self, msg: Msg) -> None:
        if msg.subject.endswith(".talk"):
            await self.talks.take(msg.data)
            return
        if msg.headers and msg.headers.get("Status") == "503":  # nobody listens
            last = msg.subject.rpartition(".")[2]
            for replica in self._state.replicas.values():
                if replica.entry.id.hex() == last:
                    replica.heard.set()
            if last == ALL:
                self._anybody.set()

    # ---- presence

    @property
    def _presence_subject(self) -> str:
        state = self._state
        return f"{state.stream}.database.{ALL}.here" if state.directory.only is None else state.subjects("here")

    async def _speak(self) -> None:
        """What one says of oneself."""
        while True:
            self.said.clear()
            await self._say()
            try:
                async with asyncio.timeout(1.0):
                    await self.said.wait()
            except TimeoutError:
                self._presence.beat()

    async def _say(self) -> None:
        words, self._mark = self._presence.since(self._mark, source=self._presence_subject)
        for _, word in words:
            await self._client.publish(self._presence_subject, word)

    async def farewell(self) -> None:
        """Say that one goes, and publish the last edits, if it is known what the log lacks."""
        self._presence.clear()
        await self._say()
        if self.ready.is_set():
            await self.flush()
        await self._client.flush()

    async def _on_word(self, msg: Msg) -> None:
        new = set(self._presence.peers)
        if not self._presence.take(msg.data, source=self._presence_subject):
            return
        new = set(self._presence.peers) - new
        now = time.monotonic()
        if new and len(self._presence.peers) <= ROOM and self._presence.value is not None and now - self._resaid > 1.0:
            self._resaid = now
            for _, word in self._presence.since(0, source=self._presence_subject)[0]:
                await self._client.publish(self._presence_subject, word)
