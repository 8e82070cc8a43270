"""Log: the stream on the server. Made if it is absent, written with acknowledgements, read in order from any place.

The reader pulls: it asks for some messages, and for more when they are dealt with, so that a fast log waits for a
slow reader. Its consumer on the server keeps nothing that matters; when it is gone, or a message was missed, another
one goes on behind the last message that was read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from crdtkv.errors import SyncError
from crdtkv.net.jetstream.outbox import InBlockError

__all__ = ["Log", "Place", "Reader", "StreamGoneError"]

WITHIN = 15.0  # seconds for an answer of the server
BATCH = 256  # messages in one pull
BATCH_BYTES = 4 << 20
PULL = 30.0  # seconds that a pull waits for messages
GRACE = 2.0  # seconds more to hear that it is over; nats-server 2.9 does not always say so
BEAT = 10.0  # seconds between signs of life while it waits
IDLE = 120.0  # seconds after which the server forgets a consumer that nobody pulls from
SLICE = 0.01  # seconds of reading before others in the event loop have their turn
RETRIES = 3

log = logging.getLogger("crdtkv.net")


class StreamGoneError(Exception):
    """The reader has to begin again: its consumer is gone, or it missed something."""


@dataclass(slots=True)
class Place:
    """How far the log was read; outlives connections."""

    seq: int = 0  # of the last message that was read
    created: str = ""  # when the stream was made: another one begins at 1 again
    gap: bool = False  # something between was trimmed before it was read, or the stream is another one
    n_read: int = 0
    n_streams: int = 1  # that there were so far
    secret: bytes = field(default_factory=lambda: token_bytes(16))  # so that nobody guesses the numbers of messages


class Log:
    """The stream, over one connection."""

    def __init__(self, client: Client, stream: str, config: dict[str, Any], place: Place) -> None:
        self._client, self._stream, self._config, self.place = client, stream, config, place
        self._js = client.jetstream(timeout=WITHIN)

    async def prepare(self) -> None:
        """Find the stream, or make it. SyncError: there is no JetStream, or the stream is of other subjects."""
        subjects = f"{self._stream}.*.*.log"
        try:
            try:
                info = await self._js.stream_info(self._stream)
            except NotFoundError:
                config = api.StreamConfig(name=self._stream, subjects=[subjects], **self._config)
                info = await self._made(config)
        except ServiceUnavailableError as error:
            raise SyncError("the NATS server has no JetStream, or none for this account") from error
        except APIError as error:
            raise SyncError(f"the stream {self._stream!r} cannot be had: {error.description}") from error
        if not any(covers(subject, subjects) for subject in info.config.subjects or ()):
            raise SyncError(f"the stream {self._stream!r} is there, but does not take {subjects}")
        self._find_place(info)

    async def _made(self, config: api.StreamConfig) -> api.StreamInfo:
        """The stream that this makes, or that somebody else makes at this moment: the server refuses the second one."""
        try:
            return await self._js.add_stream(config)
        except APIError as error:
            for _ in range(5):
                await asyncio.sleep(0.1)
                with suppress(NotFoundError):
                    return await self._js.stream_info(self._stream)
            raise error

    def _find_place(self, info: api.StreamInfo) -> None:
        place, state = self.place, info.state
        created = str(info.created)
        is_another = bool(place.created) and (created != place.created or state.last_seq < place.seq)
        if is_another:
            place.seq, place.n_streams = 0, place.n_streams + 1
        place.created = created
        place.gap = place.gap or is_another or state.first_seq > place.seq + 1

    async def publish(self, subject: str, frame: bytes) -> int:
        """Put a message into the log; its number there. NatsError, SyncError: it may or may not be there.

        The same frame again, by this connection or the next one, is kept once, if that is within the server's window.
        """
        key = blake2b(frame, digest_size=16, key=self.place.secret).hexdigest()
        for attempt in range(RETRIES):
            headers = {"Nats-Msg-Id": f"{key}.{attempt}"}
            ack = await self._js.publish(subject, frame, headers=headers)
            if ack.stream != self._stream:
                raise SyncError(f"{subject} goes to another stream, {ack.stream!r}")
            if not ack.duplicate or await self._holds(ack.seq, frame):
                return int(ack.seq)
        raise SyncError(f"somebody takes the numbers of messages on {subject}")

    async def _holds(self, seq: int, frame: bytes) -> bool:
        """Is it this very message that the server takes ours for? Others see the number of a message, too."""
        with suppress(NotFoundError):
            return bool((await self._js.get_msg(self._stream, seq)).data == frame)
        return False


@dataclass(slots=True)
class Pull:
    """A request for messages under way."""

    left: int = BATCH
    failed: bool = False


class Reader:
    """Reads the log in order, from a place on."""

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: str,
        place: Place,
        take: Callable[[str, bytes, int], None],
        rest: Callable[[], float],
    ) -> None:
        """`take`: called with subject, data and number of each message. `rest`: for how long to pause then."""
        self._client, self._stream, self._subjects, self.place, self._take = client, stream, subjects, place, take
        self._rest = rest
        self._js = client.jetstream(timeout=WITHIN)
        self._queue: deque[Msg] = deque()
        self._came = asyncio.Event()
        self._read = asyncio.Event()  # set and cleared whenever something was read
        self._consumer: str | None = None
        self._n = 0  # messages that this consumer has delivered
        self.n_ends = 0  # how often the end was reached
        self._pending = 0  # messages behind the last one that was read, when it was sent
        self._pull: Pull | None = None
        self._again = False  # read from the beginning

    def begin_again(self) -> None:
        """Read the log from its beginning once more. Who waits in reached_end() waits for that."""
        self._again = True
        self._came.set()

    async def run(self) -> None:
        """For ever. NatsError: the connection is of no use any more."""
        box = self._client.new_inbox()
        subscription = await self._client.subscribe(box, cb=self._on_message)
        try:
            while True:
                try:
                    await self._make_consumer()
                    while True:
                        await self._read_batch(box)
                except StreamGoneError as error:
                    log.info("reading the stream %r again: %s", self._stream, error)
                    await self._drop_consumer()
                    await asyncio.sleep(0.2)
                    info = await self._js.stream_info(self._stream)
                    if str(info.created) != self.place.created:  # numbers begin anew: so does the line
                        raise ConnectionError("the stream is another one") from error
        finally:
            with suppress(Exception):
                await subscription.unsubscribe()
            await self._drop_consumer()

    @property
    def is_behind(self) -> bool:
        """Does the log hold more than was read, as far as this is known without asking?"""
        return not self.n_ends or bool(self._pending or self._queue)

    async def reached_end(self) -> None:
        """Until everything is read that is in the log now."""
        while True:
            name, target = self._consumer, await self._end()
            while target is None or self._n < target:
                self._read.clear()
                try:
                    async with asyncio.timeout(1.0):
                        await self._read.wait()
                except TimeoutError:
                    break  # what was to be read may be trimmed meanwhile: ask again
                if self._consumer != name or target is None:
                    break
            else:
                if self._consumer == name:
                    self.n_ends += 1
                    if self._n == target:
                        self._pending = 0  # what was to come may have been trimmed
                    return

    async def _end(self) -> int | None:
        """How many messages this consumer will have delivered when it has delivered all."""
        name = self._consumer
        if name is None or self._again:
            return None
        try:
            info = await self._js.consumer_info(self._stream, name)
        except NotFoundError:
            return None
        if name != self._consumer:
            return None
        return int((info.delivered.consumer_seq if info.delivered else 0) + (info.num_pending or 0))

    async def _make_consumer(self) -> None:
        if self._again:
            self._again, self.place.seq = False, 0
        config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE,
            filter_subject=self._subjects,
            inactive_threshold=IDLE,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self.place.seq + 1,
            mem_storage=True,
            num_replicas=1,
        )
        info = await self._js.add_consumer(self._stream, config)
        self._queue.clear()
        self._n, self._pull, self._consumer, self._pending = 0, None, info.name, info.num_pending or 0
        self._read.set()

    async def _drop_consumer(self) -> None:
        name, self._consumer = self._consumer, None
        if name is not None and self._client.is_connected:
            with suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._js.delete_consumer(self._stream, name)

    async def _on_message(self, msg: Msg) -> None:
        self._queue.append(msg)
        self._came.set()

    async def _read_batch(self, box: str) -> None:
        """Ask for messages, and read what comes until the server says that the request is over."""
        pull = self._pull = Pull()
        ask = {
            "batch": BATCH,
            "expires": int(PULL * 1e9),
            "idle_heartbeat": int(BEAT * 1e9),
            "max_bytes": max(BATCH_BYTES, 2 * self._client.max_payload),
        }
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}", json.dumps(ask).encode(), reply=box
        )
        n, loop = self._n, asyncio.get_running_loop()
        over = loop.time() + PULL + GRACE
        while pull.left > 0 and loop.time() < over:
            if self._again:
                raise StreamGoneError("from its beginning")
            if not self._queue:
                self._came.clear()
                silent = loop.time() + 2.5 * BEAT
                try:
                    async with asyncio.timeout_at(min(silent, over)):
                        await self._came.wait()
                except TimeoutError:
                    if over < silent:
                        break
                    raise StreamGoneError("the server fell silent") from None
            until = loop.time() + SLICE
            try:
                while self._queue and loop.time() < until:
                    self._read_one(self._queue[0], pull)
                    self._queue.popleft()
            except InBlockError:
                await asyncio.sleep(0.02)
            self._read.set()
            await asyncio.sleep(self._rest())
        if pull.failed and self._n == n:
            await asyncio.sleep(0.5)

    def _read_one(self, msg: Msg, pull: Pull) -> None:
        stream, consumer, seq, n, pending = numbers_of(msg.reply)
        if not stream:  # said by the server itself, not by whoever wrote into the stream
            status = (msg.headers or {}).get("Status")
            if status == "100":
                return
            if status in ("404", "503") or "Deleted" in (msg.headers or {}).get("Description", ""):
                raise StreamGoneError(f"status {status}")
            pull.left, pull.failed = 0, status != "408"
            if not pull.failed:
                self._pending = 0
            return
        if stream != self._stream or consumer != self._consumer:
            return  # of the last consumer
        if n != self._n + 1:
            raise StreamGoneError(f"message {n} came instead of {self._n + 1}")
        self._take(msg.subject, msg.data, seq)
        self._n, self._pending = n, pending
        self.place.seq, self.place.n_read = seq, self.place.n_read + 1
        pull.left -= 1


def numbers_of(reply: str) -> tuple[str, str, int, int, int]:
    """Stream, consumer, number in the stream, number of the delivery and how many are to follow, from the subject to
    acknowledge to.

    >>> numbers_of("$JS.ACK.notes.c1.1.17.3.1700000000000000000.0")
    ('notes', 'c1', 17, 3, 0)
    """
    parts = reply.split(".")
    if len(parts) >= 11:  # with domain and account
        del parts[2:4]
    if len(parts) < 9 or parts[:2] != ["$JS", "ACK"] or not (parts[5] + parts[6] + parts[8]).isdecimal():
        return "", "", 0, 0, 0
    return parts[2], parts[3], int(parts[5]), int(parts[6]), int(parts[8])


def covers(pattern: str, subject: str) -> bool:
    """Does a pattern take all that another one takes?

    >>> covers("notes.>", "notes.*.*.log"), covers("notes.*.log", "notes.*.*.log")
    (True, False)
    """
    wide, narrow = pattern.split("."), subject.split(".")
    for i, token in enumerate(wide):
        if token == ">":
            return len(narrow) > i
        if i >= len(narrow) or token not in ("*", narrow[i]):
            return False
    return len(wide) == len(narrow)
