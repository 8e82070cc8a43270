"""connect(): a target, kept in step with a server over WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import WebSocketException

from crdtkv.errors import Error, StaleHandleError, SyncError
from crdtkv.figures import Figures
from crdtkv.net.conversation import Conversation
from crdtkv.net.directory import Accept, Quota, Target
from crdtkv.net.handshake import Allow, Gate, gate
from crdtkv.net.hub import Hub, WireClosed
from crdtkv.net.limits import Code, Limits, LinkError
from crdtkv.net.namesakes import WarnedNamesakes
from crdtkv.net.presence import Presence
from crdtkv.net.websocket_wire import Guarded, WebSocketWire, options

__all__ = ["Link", "connect"]

FIRST, LONGEST = 0.1, 20.0  # seconds before the second attempt, and at most, before any
STEADY = 5.0  # seconds that a link must have lasted, so that the next attempt is the first one again
LAST_WORDS = 1.0  # seconds that what was edited last may take to get out

log = logging.getLogger("crdtkv.net")


def connect(
    target: Target,
    url: str,
    *,
    tls: ssl.SSLContext | None = None,
    allow: Allow | None = None,
    token: str | bytes | None = None,
    accept: Accept | None = None,
    limits: Limits | None = None,
) -> Link:
    """Keep a Doc, Datastore or Database in step with the one at `url`: `async with net.connect(...) as link`.

    Enters at once, whether or not somebody listens there; dials until somebody does, and again whenever the connection
    is lost. `url`: ws://host:port or wss://host:port. `tls`: whom to trust, for wss. `allow`: public keys of servers
    that may be there, or a callable that is asked. `token`, `accept` and `limits` as in serve().

    >>> import asyncio, crdtkv as ck
    >>> from crdtkv import net
    >>> async def main():
    ...     here, there = ck.Database(":memory:"), ck.Database(":memory:")
    ...     here.doc("notes")["title"] = "Picnic"
    ...     async with net.serve(here, port=0) as server, net.connect(there, server.url) as link:
    ...         await link.synced()
    ...         found = there.doc("notes").to_py()
    ...     here.close(), there.close()
    ...     return found
    >>> asyncio.run(main())
    {'title': 'Picnic'}
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be str, not {type(url).__name__}")
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError(f"not a ws:// or wss:// address: {url!r}")
    if tls is not None and parts.scheme == "ws":
        raise ValueError("tls= wants a wss:// address")
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    return Link(target, url, f"{parts.hostname}:{port}", tls, gate(allow, token), accept, limits or Limits())


def waits(rng: random.Random) -> Iterator[float]:
    """How long to wait before each attempt: longer and longer, and never when everybody else does.

    >>> list(zip(waits(random.Random(1)), range(4)))
    [(0.0, 0), (...), (...), (...)]
    """
    yield 0.0
    most = FIRST
    while True:
        yield rng.uniform(0, most)
        most = min(LONGEST, 2 * most)


class Caller(Guarded, ClientConnection):
    """A connection that was dialled."""


class Dial(dial):
    """Goes where it was told to: a server must not send it elsewhere, into a network that it cannot reach itself."""

    def process_redirect(self, exc: Exception) -> Exception:
        """None is followed."""
        return exc


class Link:
    """What connect() gives: a context manager that keeps a target in step while it is entered.

    >>> import crdtkv as ck
    >>> from crdtkv import net
    >>> link = net.connect(ck.Doc(), "ws://127.0.0.1:8765")
    >>> link.connected, link.peers, link.error
    (False, (), None)
    """

    def __init__(
        self,
        target: Target,
        url: str,
        endpoint: str,
        tls: ssl.SSLContext | None,
        gate: Gate,
        accept: Accept | None,
        limits: Limits,
    ) -> None:
        self._hub = Hub(target, accept=accept, limits=limits, roams=True)
        self._shown = f"{url.partition('://')[0]}://{endpoint}"  # no password, nor what the path may give away
        self._url, self._endpoint, self._tls, self._gate = url, endpoint, tls, gate
        self._quota = Quota(limits.new_names)
        self._namesakes = WarnedNamesakes()
        self._conversation: Conversation | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()  # connected, or over
        self._error: Error | None = None
        self._attempts = self._connects = 0
        self._trouble: str | None = None  # why the last attempt failed, or the last connection ended
        self._conflicts: dict[str, tuple[bytes | None, bytes]] = {}
        self._presence = self._hub.board(self._hub.home)

    # ---- what it is

    @property
    def url(self) -> str:
        """What it is connected to, or wants to be."""
        return self._url

    @property
    def connected(self) -> bool:
        """Is there somebody at the other end, who has proved who it is?"""
        return self._conversation is not None and self._conversation.is_open

    @property
    def error(self) -> Error | None:
        """Why it has given up; None while it has not."""
        return self._error

    @property
    def peers(self) -> tuple[bytes, ...]:
        """The public key of the server, while connected."""
        conversation = self._conversation
        return () if conversation is None or conversation.peer is None else (conversation.peer,)

    @property
    def presence(self) -> Presence:
        """Who else is there, and what they say of themselves; see `Presence`."""
        return self._presence

    def stats(self) -> Figures[Any]:
        """Figures: "connected", "attempts" and "connects" so far, "trouble" (why it is not
        connected, or was not), "ended" (why -> how many), "names" that both ends
        share, "unshared" (own names that the other end does not, conflicts apart), "left_out" (of these, those that it
        was not told of, for there are too many), "conflicts" (name -> its id here and there; not synced), "refused"
        names, and "frames_in" "frames_out" "bytes_in" "bytes_out".
        """
        conversation = self._conversation
        conflicts = dict(self._conflicts if conversation is None else conversation.conflicts)
        own = {entry.id for entry in self._hub.directory.entries()}.difference(here for here, _ in conflicts.values())
        figures = {
            "connected": self.connected,
            "attempts": self._attempts,
            "connects": self._connects,
            "trouble": self._trouble,
            "ended": dict(self._hub.ended),
            "names": 0 if conversation is None else conversation.names,
            "unshared": 0 if conversation is None else max(0, len(own) - conversation.names),
            "left_out": 0 if conversation is None else conversation.left_out,
            "conflicts": conflicts,
            **self._hub.figures(),
        }
        return Figures(figures)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.link(self)

    # ---- what it does

    async def synced(self) -> None:
        """Returns when what both ends had at this call is on both, presence too. Waits while there is no connection.

        SyncError, UnauthorizedError: the link has given up, see `error`. Of a Database, what was refused stays where
        it is; so does what is in conflict, of which a RuntimeWarning tells, once for each name.
        """
        await self._until_synced()
        self._namesakes.warn(stacklevel=3)

    async def _until_synced(self) -> None:
        while True:
            if self._error is not None:
                raise self._error.with_traceback(None)  # else it would remember every caller
            if self._task is None or self._task.done():
                raise SyncError("the link is not open")
            conversation = self._conversation
            if conversation is None or not conversation.is_open:
                self._changed.clear()
                await self._changed.wait()
                continue
            waiter = asyncio.get_running_loop().create_future()
            self._hub.look()
            conversation.touch_words()
            conversation.barrier(waiter)
            self._hub.wake_all()
            await asyncio.wait([waiter])  # which tells a connection that was lost from a caller who is cancelled
            if not waiter.cancelled():
                return

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a link is entered once")
        self._hub.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"crdtkv.net {self._shown}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._task is not None
        try:
            if self.connected and kind is None:
                self._presence.clear()
                self._hub.say_words()
                with contextlib.suppress(TimeoutError, Error):
                    async with asyncio.timeout(LAST_WORDS):
                        await self._until_synced()
        finally:  # also when the caller is cancelled meanwhile
            self._task.cancel()
            try:
                await asyncio.gather(self._task, return_exceptions=True)
            finally:
                self._changed.set()
                await self._hub.stop()
        if kind is None:
            self._namesakes.warn(stacklevel=3)

    # ---- how it stays connected

    async def _run(self) -> None:
        pauses = waits(random.Random())
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(next(pauses))
            self._attempts += 1
            began = loop.time()
            try:
                end = await self._once()
            except (OSError, TimeoutError, WebSocketException, EOFError) as error:
                self._trouble = str(error) or type(error).__name__
                log.debug("%s: %s", self._shown, self._trouble)
                continue
            except Exception as error:
                log.exception("the link to %s has failed", self._shown)
                self._error = SyncError(f"the link has failed: {error}")
                self._changed.set()
                return
            finally:
                self._conversation = None
            self._trouble = end.reason or f"the other end closed the link with code {end.code}"
            if self._is_final(end):
                return
            if loop.time() - began > STEADY:
                pauses = waits(random.Random())
                next(pauses)

    def _is_final(self, end: LinkError | WireClosed) -> bool:
        if isinstance(end, LinkError) and end.code == Code.GOING_AWAY:  # our database
            self._error = StaleHandleError(end.reason)
        else:
            try:
                code = Code(end.code)
            except ValueError:
                return False
            if not code.is_final:
                return False
            self._error = LinkError(code, end.reason).as_error()
        self._changed.set()
        return True

    async def _once(self) -> LinkError | WireClosed:
        """One connection, until it ends."""
        how = options(self._hub.limits)
        if self._tls is not None:
            how["ssl"] = self._tls
        if HAS_PROXY and is_near(self._endpoint):
            how["proxy"] = None
        try:
            connection = await Dial(self._url, user_agent_header=None, create_connection=Caller, **how)
        except ValueError as error:  # older versions of the library say so of an answer that is not HTTP
            raise ConnectionError(str(error)) from None
        conversation = Conversation(
            self._hub.directory,
            self._gate,
            is_client=True,
            endpoint=self._endpoint,
            limits=self._hub.limits,
            quota=self._quota,
            namesakes=self._namesakes,
        )
        self._conversation = conversation
        try:
            return await self._hub.carry(WebSocketWire(connection), conversation, self._opened)
        except BaseException:  # nobody will say goodbye any more
            connection.transport.abort()
            raise
        finally:
            self._conflicts = dict(conversation.conflicts)

    def _opened(self, conversation: Conversation) -> None:
        self._connects += 1
        self._changed.set()

    def __repr__(self) -> str:
        state = "over" if self._error else "connected" if self.connected else "not connected"
        return f"<Link {self._shown}: {state}>"


HAS_PROXY = "proxy" in inspect.signature(dial.__init__).parameters  # websockets >= 15 looks for one by itself


def is_near(endpoint: str) -> bool:
    """This very machine: no proxy leads there."""
    host = endpoint.rpartition(":")[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
