"""serve(): a target, open to others over WebSocket."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Collection
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from crdtkv.net.directory import Accept, Target
from crdtkv.net.handshake import Allow, gate
from crdtkv.net.limits import Limits
from crdtkv.net.service import Service
from crdtkv.net.websocket_wire import GOODBYE, Guarded, WebSocketWire, options

__all__ = ["Server", "serve"]

log = logging.getLogger("crdtkv.net")

KNOCKING = 100  # connections that are no links yet, beside as many as there may be links
ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # what dials a server that listens everywhere


def serve(
    target: Target,
    host: str | None = "127.0.0.1",
    port: int = 8765,
    *,
    tls: ssl.SSLContext | None = None,
    allow: Allow | None = None,
    token: str | bytes | None = None,
    hosts: Collection[str] | None = None,
    origins: Collection[str] = (),
    accept: Accept | None = None,
    limits: Limits | None = None,
) -> Server:
    """Serve a Doc, a Datastore, or a Database with all its names: `async with net.serve(...) as server`.

    Others come with net.connect(). `port=0` takes a free one, see `server.port`; `host=None` is everywhere. `tls`:
    what to be known by; the url is wss:// then. `allow`: public keys, or a callable that is asked for each: who may
    come; everybody, without. `token`: a secret that both ends know; it does not travel. `hosts`: "name:port" as which
    clients may have dialled this server. `origins`: web pages that may come, as "https://example.org"; none, without:
    a page that somebody looks at on this machine shall not read what is served here. `accept(name, kind, id)`: may
    this name, which is not here, be made in the database? `limits`: see `Limits`.

    >>> import asyncio, crdtkv as ck
    >>> from crdtkv import net
    >>> async def main():
    ...     here = ck.Doc()
    ...     here["title"] = "Picnic"
    ...     async with net.serve(here, port=0) as server:
    ...         there = ck.Doc(id=here.id)
    ...         async with net.connect(there, server.url) as link:
    ...             await link.synced()
    ...             return there.to_py()
    >>> asyncio.run(main())
    {'title': 'Picnic'}
    """
    if tls is not None and not isinstance(tls, ssl.SSLContext):
        raise TypeError(f"tls must be an ssl.SSLContext, not {type(tls).__name__}")
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"port must be int, not {type(port).__name__}")
    if not 0 <= port < 1 << 16:
        raise ValueError(f"port must be 0 to 65535, not {port}")
    how = {"gate": gate(allow, token, hosts), "accept": accept, "limits": limits or Limits()}
    return Server(target, host, port, tls, [None, *origins], **how)


class Server(Service):
    """What serve() gives: a context manager that listens while it is entered.

    >>> import crdtkv as ck
    >>> from crdtkv import net
    >>> net.serve(ck.Doc(), "127.0.0.1", 8765).url
    'ws://127.0.0.1:8765'
    """

    def __init__(
        self, target: Target, host: str | None, port: int, tls: ssl.SSLContext | None, origins: list[Any], **how: Any
    ) -> None:
        super().__init__(target, **how)
        self._host, self._port, self._tls, self._origins = host or "", port, tls, origins
        self._near = ANY.get(self._host, self._host)
        self._listener: Listener | None = None
        self._doors: set[ServerConnection] = set()  # TCP connections, whatever they are
        self._is_closing = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def url(self) -> str:
        """What to connect to, on this machine."""
        host = self._near
        return f"{'ws' if self._tls is None else 'wss'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def __aenter__(self) -> Self:
        if self._listener is not None:
            raise RuntimeError("a server is entered once")
        how = options(self._hub.limits)
        if self._tls is not None:
            how["ssl_handshake_timeout"] = self._hub.limits.handshake
        self._listener = await listen(
            self._handle,
            self._host or None,
            self._port,
            ssl=self._tls,
            process_request=self._admit,
            origins=self._origins,
            server_header=None,
            create_connection=self._door(),
            **how,
        )
        # everywhere, port 0: IPv4 and IPv6 have a port each
        first = min(self._listener.sockets, key=lambda found: found.family != socket.AF_INET)
        self._port = first.getsockname()[1]
        if self._host in ANY:
            self._near = "127.0.0.1" if first.family == socket.AF_INET else "::1"
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._is_closing = True
        self._listener.close(close_connections=False)  # nobody comes any more
        try:
            await self._finish()
        finally:
            for connection in list(self._doors):  # whose end has said nothing, and may have nothing to say for long
                connection.transport.abort()
            await self._hub.stop()
        await self._listener.wait_closed()
        try:
            async with asyncio.timeout(GOODBYE):
                while self._at_door:  # they came in that very moment, and are cut off
                    await asyncio.sleep(0)
        except TimeoutError:
            log.warning("%d connections are still open", self._at_door)

    @property
    def _at_door(self) -> int:
        return len(self._doors)

    def _door(self) -> type[ServerConnection]:
        """Connections that have not said yet what they want are counted too, and cut off if there are too many."""
        service = self
        most = 2 * self._hub.limits.links + KNOCKING

        class Door(Guarded, ServerConnection):
            def connection_made(self, transport: Any) -> None:
                service._doors.add(self)
                super().connection_made(transport)
                if service._is_closing:
                    transport.abort()
                elif service._at_door > most:
                    service._turned_away += 1
                    transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                service._doors.discard(self)
                super().connection_lost(exc)

        return Door

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        """One link too many is told so before it costs anything."""
        if self._is_full():
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many links\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        await self._serve(WebSocketWire(connection))

    def __repr__(self) -> str:
        return f"<Server {self.url}: {len(self._hub.carriers)} links>"
