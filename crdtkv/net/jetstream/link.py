"""NatsLink: a target on a stream of NATS JetStream, for as long as its block is open. Reconnects until then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from secrets import token_bytes
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from crdtkv.errors import Error, StaleHandleError, SyncError, UnauthorizedError
from crdtkv.figures import Figures
from crdtkv.net.directory import Accept, Target
from crdtkv.net.jetstream.crew import end
from crdtkv.net.jetstream.line import Line
from crdtkv.net.jetstream.state import State
from crdtkv.net.presence import Presence, scope_of

__all__ = ["NatsLink", "nats"]

BACKOFF, BACKOFF_MOST = 0.1, 10.0  # seconds between attempts to connect: a random part of it, doubled every time
LOOK, LOOK_MOST = 0.01, 0.1  # seconds between looks whether something was written here: more while nothing is
FAREWELL = 2.0  # seconds to publish the last edits when the block ends
KEEP = 256 << 20  # bytes of a stream that is made here
SCHEMES = ("nats", "tls", "ws", "wss")
HELD = 30.0  # seconds behind the last word, at least, that a peer counts as one

log = logging.getLogger("crdtkv.net")


def nats(
    target: Target,
    servers: str | Sequence[str] = "nats://127.0.0.1:4222",
    *,
    stream: str = "crdtkv",
    rebroadcast: float = 60.0,
    accept: Accept | None = None,
    max_bytes: int | None = KEEP,
    max_age: float | None = None,
    replicas: int = 1,
    options: Mapping[str, Any] | None = None,
) -> NatsLink:
    """A target on a stream of NATS JetStream: `async with net.nats(...) as link`. Needs `crdtkv[nats]`.

    `target`: a Doc, a Datastore, or a Database with all its names. Enters at once, also when no server is there; until
    one is, the target works as ever. What is written here goes into the stream, what stands there comes in, and what
    the stream lost is fetched from peers, who announce what they hold every `rebroadcast` seconds or so.

    `stream`: its name, and what all subjects begin with; made if it is absent, to keep `max_bytes` and `max_age`
    seconds of changes on `replicas` servers. `accept(name, kind, id)`: may a name that is new here be made? `options`:
    further arguments for `nats.connect()`, such as tls, token, user and password, user_credentials. docs/network.md
    has a whole program.

    >>> import asyncio, crdtkv as ck
    >>> from crdtkv import net
    >>> async def main():
    ...     async with net.nats(ck.Doc(), "nats://127.0.0.1:9") as link:     # nobody is there
    ...         return link.connected, link.peers
    >>> asyncio.run(main())
    (False, ())
    """
    return NatsLink(
        target,
        servers,
        stream=stream,
        rebroadcast=rebroadcast,
        accept=accept,
        config={"max_bytes": max_bytes or -1, "max_age": max_age or 0.0, "num_replicas": replicas},
        options=options or {},
    )


class Connection(Client):
    """nats-py's client, which lets go of a connection that was reset though it had something to send."""

    async def _process_op_err(self, e: Exception) -> None:
        self._pending, self._pending_data_size = [], 0  # else closing begins with the same error, and ends there
        await super()._process_op_err(e)


def shown(url: str) -> str:
    """An address of a server without what is secret in it; ValueError if it is none.

    >>> shown("nats://ada:secret@localhost:4222"), shown("localhost")
    ('nats://localhost:4222', 'nats://localhost')
    """
    if not isinstance(url, str):
        raise TypeError(f"the address of a server must be str, not {type(url).__name__}")
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    if parts.scheme not in SCHEMES or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError(f"not a nats:// address: {url!r}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class NatsLink:
    """A target on a stream; made by `net.nats()`. Leaving the block publishes the last edits, if that is quick.

    >>> import crdtkv as ck
    >>> from crdtkv import net
    >>> link = net.nats(ck.Doc(), "nats://127.0.0.1:4222")
    >>> link.connected, link.peers, link.error
    (False, (), None)
    """

    def __init__(
        self,
        target: Target,
        servers: str | Sequence[str],
        *,
        stream: str,
        rebroadcast: float,
        accept: Accept | None,
        config: dict[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        if not stream or any(c in ".*>/\\" or c.isspace() or not c.isprintable() for c in stream):
            raise ValueError(f"{stream!r} cannot be the name of a stream")
        if not rebroadcast > 0:
            raise ValueError("rebroadcast must be positive: seconds between announcements")
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._shown = ", ".join(map(shown, self._servers))
        self._config, self._options, self._rebroadcast = config, options, rebroadcast
        self._state = State(target, stream, accept, token_bytes(16))
        only = self._state.directory.only
        scope = scope_of(b"nats" + stream.encode() + b"\0" + (only or b""))
        self._presence = Presence(self._state.directory.identity, scope, wake=self._wake_presence)
        self._tasks: list[asyncio.Task[None]] = []
        self._line: Line | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()  # of line, readiness or fault; set and cleared at once
        self._fault: Exception | None = None
        self._ended = False

    # ---- for people

    @property
    def presence(self) -> Presence:
        """Who else is here, and what they say of themselves."""
        return self._presence

    @property
    def connected(self) -> bool:
        """Is there a line to a server, and was the log read to its end?"""
        return self._line is not None and self._line.ready.is_set()

    @property
    def error(self) -> Exception | None:
        """What hinders it, None if nothing does. It may go by: the link tries again until its block ends."""
        return self._fault

    def __repr__(self) -> str:
        state = "over" if self._ended else "connected" if self.connected else "not connected"
        return f"<NatsLink {self._shown}: {state}>"

    @property
    def peers(self) -> tuple[bytes, ...]:
        """The public keys of others on this stream who were heard of lately, sorted. In a large crowd not all speak."""
        found = set(self._state.peers(max(HELD, 3 * self._rebroadcast))) | set(self._presence.peers)
        return tuple(sorted(found))

    def stats(self) -> Figures[Any]:
        """What happened, as a dict: "connected", "trouble" (what hinders it, or None), "conflicts", and many counts.

        "published" and "received" messages of the log and their bytes; of what came, how many changes were "applied"
        "void" "known" "waiting" "refused" "limited" (an author over a limit of the target), how many messages were
        "undecodable" or of objects that are "unwelcome"; "notices"; talks with peers: "talks_asked" "talks_served"
        "talks_failed" "talks_turned_away". "conflicts": name -> (id here, id there), names that mean two things.
        """
        state, line = self._state, self._line
        talks = line.talks if line is not None else None
        figures = {
            "connected": self.connected,
            "trouble": None if self._fault is None else (str(self._fault) or type(self._fault).__name__),
            "objects": len(state.replicas),
            "peers": len(self.peers),
            "conflicts": dict(state.conflicts),
            **state.counts,
            "pieces_dropped": state.pieces.dropped,
            "position": state.place.seq,
            **{f"talks_{what}": getattr(talks, what, 0) for what in ("asked", "served", "failed", "turned_away")},
        }
        return Figures(figures)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.link(self)

    async def synced(self) -> None:
        """Until what is here now is in the log, and what the log and an answering peer hold now is here.

        Waits while there is no connection. UnauthorizedError, SyncError: it cannot be had the way things are. Of names
        that mean something else to others a RuntimeWarning tells, once for each.
        """
        await self._until_synced()
        self._state.namesakes.warn(stacklevel=3)

    async def _until_synced(self) -> None:
        while True:
            line = await self._standing()
            work = asyncio.ensure_future(self._settle(line))
            lost = asyncio.ensure_future(self._until(lambda line=line: self._line is not line))
            try:
                await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
                if work.done() and self._is_done(work):
                    return
            finally:
                await end((work, lost))
            self._check_fault()
            await asyncio.sleep(0.05)

    @staticmethod
    def _is_done(work: asyncio.Future[None]) -> bool:
        """Or is it to be tried again? Raises what another try does not help against."""
        try:
            work.result()
        except (NatsError, OSError, TimeoutError, StaleHandleError):  # if it is the target that is gone, this is said
            return False
        return True

    async def _settle(self, line: Line) -> None:
        await line.flush()
        await line.hello()
        await line.reader.reached_end()
        await line.settle_asks()

    async def _standing(self) -> Line:
        """The line, when there is one that has caught up."""
        await self._until(lambda: (self._line is not None and self._line.ready.is_set()) or self._is_hopeless())
        self._check_fault()
        assert self._line is not None
        return self._line

    def _is_hopeless(self) -> bool:
        return self._ended or isinstance(self._fault, UnauthorizedError | SyncError | StaleHandleError)

    def _check_fault(self) -> None:
        if self._ended:
            raise SyncError("the link is closed")
        if isinstance(self._fault, Error):
            raise self._fault.with_traceback(None)  # else it would remember every caller

    async def _until(self, condition: Any) -> None:
        while not condition():
            await self._changed.wait()

    def _notify(self) -> None:
        """Wake all who wait in _until()."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _set_fault(self, fault: Exception | None) -> None:
        if isinstance(fault, TimeoutError):
            fault = ConnectionError("the NATS server does not answer")
        if fault is not self._fault:
            self._fault = fault
            self._notify()

    def _wake_presence(self) -> None:
        """May be called by any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._say)

    def _say(self) -> None:
        if self._line is not None:
            self._line.said.set()

    # ---- life

    async def __aenter__(self) -> Self:
        if self._tasks or self._ended:
            raise RuntimeError("a link can be entered once")
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._connect_for_ever()), asyncio.create_task(self._look())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if self._line is not None:
                with suppress(NatsError, Error, TimeoutError, OSError):
                    async with asyncio.timeout(FAREWELL):
                        await self._line.farewell()
        finally:
            self._ended = True
            self._notify()
            await end(self._tasks)
        if kind is None:
            self._state.namesakes.warn(stacklevel=3)

    async def _look(self) -> None:
        """Was something written here? Looking costs a microsecond for each object that is open."""
        wait, is_deleted = LOOK, False
        while True:
            await asyncio.sleep(wait)
            line, state = self._line, self._state
            if line is None or not line.ready.is_set():
                continue
            try:
                if is_deleted or state.directory.has_news():
                    new, is_deleted = state.refresh(), False
                    await line.introduce(new)
                is_new = any(not replica.outbox.is_clean() for replica in list(state.replicas.values()))
            except (NatsError, OSError):
                continue
            except StaleHandleError as error:
                if not self._is_gone():  # it was one of many objects
                    is_deleted = True
                    continue
                log.info("a link to NATS ends: %s", error)
                self._set_fault(error)
                await end(self._tasks[:1])
                return
            if is_new:
                line.dirty.set()
            wait = LOOK if is_new else min(LOOK_MOST, 1.5 * wait)

    async def _connect_for_ever(self) -> None:
        wait = BACKOFF
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._connect()
            except StaleHandleError as error:
                if self._is_gone():
                    self._set_fault(error)
                    return
            except Exception as error:
                is_usual = isinstance(error, NatsError | OSError | TimeoutError | SyncError)
                level = logging.INFO if is_usual else logging.ERROR
                log.log(level, "no line to NATS: %r", error, exc_info=not is_usual)
                self._set_fault(fault_of(error))
            if asyncio.get_running_loop().time() - began > BACKOFF_MOST:
                wait = BACKOFF
            await asyncio.sleep(random.uniform(0, wait))
            wait = min(BACKOFF_MOST, 2 * wait)

    def _is_gone(self) -> bool:
        """The target: there is nothing left to link."""
        try:
            self._state.directory.refresh()
        except StaleHandleError:
            return True
        return False

    async def _connect(self) -> None:
        """One connection, until it breaks: always raises."""
        client, closed = Connection(), asyncio.Event()
        trouble: list[Exception] = []

        async def on_error(error: Exception) -> None:
            trouble.append(error)
            del trouble[:-1]
            log.info("NATS: %s", error)
            if "permissions violation" in str(error).lower():
                self._set_fault(UnauthorizedError(str(error)))

        async def on_closed() -> None:
            closed.set()

        try:
            try:
                await client.connect(
                    self._servers,
                    **{
                        "allow_reconnect": False,
                        "max_reconnect_attempts": 1,
                        "reconnect_time_wait": 0,
                        "connect_timeout": 5,
                        "no_echo": True,
                        "error_cb": on_error,
                        "closed_cb": on_closed,
                        "name": "crdtkv",
                        **self._options,
                    },
                )
            except NatsError as error:
                raise (trouble[-1] if trouble else error) from error
            self._state.counts["connections"] += 1
            line = Line(client, self._state, self._config, self._presence, self._rebroadcast, self._set_fault)
            self._line = line
            ready = asyncio.create_task(self._tell_ready(line))
            try:
                await line.run(closed)
            finally:
                self._line = None
                self._notify()
                await end([ready])
        finally:
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    await client.close()

    async def _tell_ready(self, line: Line) -> None:
        await line.ready.wait()
        self._set_fault(None)
        self._notify()


def fault_of(error: Exception) -> Exception:
    """In words of this package, if it is one that does not go by itself."""
    text = str(error).lower()
    if isinstance(error, NatsError) and ("authorization" in text or "authentication" in text):
        return UnauthorizedError(f"the NATS server does not let us in: {error}")
    return error
