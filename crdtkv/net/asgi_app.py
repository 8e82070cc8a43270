"""asgi(): a target, open to others inside somebody's web application, under any ASGI server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, TypeAlias

from crdtkv.net.directory import Accept, Target
from crdtkv.net.handshake import Allow, gate
from crdtkv.net.hub import WireClosed
from crdtkv.net.limits import FRAME, Code, Limits, LinkError
from crdtkv.net.service import Service

__all__ = ["App", "asgi"]

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]


def asgi(
    target: Target,
    *,
    allow: Allow | None = None,
    token: str | bytes | None = None,
    hosts: Collection[str] | None = None,
    origins: Collection[str] = (),
    accept: Accept | None = None,
    limits: Limits | None = None,
) -> App:
    """An ASGI application that serves a target over WebSocket; the arguments are those of serve().

    Mount it where you like; clients come with net.connect(target, "wss://example.org/where/that/is/") (Starlette wants
    the slash at the end of what is mounted). TLS, pings, and how long a message may be are the business of the ASGI
    server: for uvicorn, `ws_max_size` of at least 1,052,704. docs/network.md has a whole application.

    >>> import crdtkv as ck
    >>> from crdtkv import net
    >>> net.asgi(ck.Doc(), allow=[bytes(32)])
    <App: 0 links>
    """
    return App(target, origins, gate=gate(allow, token, hosts), accept=accept, limits=limits or Limits())


class App(Service):
    """What asgi() gives: an ASGI application.

    >>> import crdtkv as ck
    >>> from crdtkv import net
    >>> app = net.asgi(ck.Doc())
    >>> app.stats()["links"], app.peers
    (0, ())
    """

    def __init__(self, target: Target, origins: Collection[str], **how: Any) -> None:
        super().__init__(target, **how)
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """One connection."""
        match scope["type"]:
            case "websocket":
                origins = {value for name, value in scope.get("headers", ()) if name.lower() == b"origin"}
                await self._websocket(receive, send, origins <= self._origins)
            case "http":
                await send({"type": "http.response.start", "status": 426, "headers": [(b"upgrade", b"websocket")]})
                await send({"type": "http.response.body", "body": b"this is for WebSocket\n"})
            case "lifespan":
                await lifespan(receive, send)
            case kind:
                raise ValueError(f"not a kind of connection that this serves: {kind!r}")

    async def _websocket(self, receive: Receive, send: Send, is_welcome: bool) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        may_come = is_welcome and not self._is_full()
        code = int(Code.TRY_LATER if is_welcome else Code.NOT_ALLOWED)
        try:
            await send({"type": "websocket.accept"} if may_come else {"type": "websocket.close", "code": code})
        except (OSError, RuntimeError):  # it has gone already, which is nobody's error
            return
        if not may_come:
            return
        self._start()
        try:
            await self._serve(AsgiWire(receive, send))
        finally:
            if not self._links:  # the last one turns off the light
                await self._hub.stop()

    def __repr__(self) -> str:
        return f"<App: {len(self._hub.carriers)} links>"


class AsgiWire:
    """A connection as ASGI servers have it."""

    __slots__ = ("_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send

    async def recv(self) -> bytes:
        """The next message."""
        event = await self._receive()
        if event["type"] != "websocket.receive":
            raise WireClosed(event.get("code") or 1005, event.get("reason") or "")
        data = event.get("bytes")
        if data is None:
            raise LinkError(Code.MALFORMED, "frames are bytes, not text")
        if len(data) > FRAME:
            raise LinkError(Code.TOO_BIG, "the frame is too long")
        return bytes(data)

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more."""
        try:
            await self._send({"type": "websocket.send", "bytes": data})
        except (OSError, RuntimeError) as error:  # what servers raise when nobody is there any more
            raise WireClosed(1006, str(error)) from None

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""
        with contextlib.suppress(OSError, RuntimeError, asyncio.TimeoutError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:120]})


async def lifespan(receive: Receive, send: Send) -> None:
    """Nothing to begin, nothing to end."""
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return
