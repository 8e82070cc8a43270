"""WebSocketWire: a connection of the library `websockets`, as a hub wants it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame, Opcode

from crdtkv.net.hub import WireClosed
from crdtkv.net.limits import FRAME, Code, Limits, LinkError, Meter

__all__ = ["Guarded", "WebSocketWire", "options"]

GOODBYE = 2.0  # seconds in which the other end may answer a goodbye
SIP = 1 << 14  # bytes that are taken from the line at once, and may be thousands of frames
BITS = 1000  # pings, pongs and pieces of messages a second, and twice as many at once


class Guarded(Connection):
    """A connection that also counts what never becomes a message, and is cut off when there is too much of it.

    The library answers each ping, whether or not anybody reads the answers, and keeps the pieces of a message until its
    end has come, however many there are. Few bytes make much of both.
    """

    def connection_made(self, transport: Any) -> None:
        """It begins."""
        self._bits = Meter(BITS, 2 * BITS)
        with contextlib.suppress(AttributeError):  # not all loops and transports have it: then others wait longer
            transport.max_size = SIP
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes that came: a little at a time, so that it can be cut off in their midst."""
        for at in range(0, len(data), SIP):
            if self.transport.is_closing():
                return
            super().data_received(data[at : at + SIP])

    def process_event(self, event: Any) -> None:
        """A frame that came, or the words before the first one."""
        is_bit = isinstance(event, Frame) and (event.opcode not in DATA_OPCODES or event.opcode is Opcode.CONT)
        if is_bit and not self._bits.take(1) and not self.transport.is_closing():
            self.protocol.fail(Code.FLOOD, "too much that says nothing")
            self.send_data()
            self.transport.abort()
        super().process_event(event)


class WebSocketWire:
    """One connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def recv(self) -> bytes:
        """The next message."""
        try:
            data = await self._connection.recv()
        except ConnectionClosed as error:
            raise closed(error) from None
        if isinstance(data, str):
            raise LinkError(Code.MALFORMED, "frames are bytes, not text")
        return data

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more."""
        try:
            await self._connection.send(data)
        except ConnectionClosed as error:
            raise closed(error) from None

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye; whoever does not answer is cut off. What still comes before the answer is thrown away."""
        closing = asyncio.ensure_future(self._connection.close(code, reason.encode()[:120].decode(errors="ignore")))
        try:
            async with asyncio.timeout(GOODBYE):
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await self._connection.recv()
                await closing
        except TimeoutError:
            self._connection.transport.abort()
        finally:
            closing.cancel()


def closed(error: ConnectionClosed) -> WireClosed:
    """What the other end said; 1006 if nothing, 1009 if what it sent was too long."""
    if error.rcvd is not None and (error.sent is None or error.rcvd_then_sent):
        return WireClosed(error.rcvd.code, error.rcvd.reason)
    if error.sent is not None:
        return WireClosed(error.sent.code, error.sent.reason)
    return WireClosed(1006, "the connection was lost")


def options(limits: Limits) -> dict[str, Any]:
    """For both ends. Nothing is compressed: bundles are already, and each connection would need 300 KiB for it."""
    return {
        "compression": None,
        "open_timeout": limits.handshake,
        "ping_interval": limits.ping,
        "ping_timeout": limits.ping,
        "close_timeout": GOODBYE,
        "max_size": FRAME,
        "max_queue": 16,
        "write_limit": 1 << 16,
    }
