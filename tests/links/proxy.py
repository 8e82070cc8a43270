"""Proxy: a line between a client and a server that can be cut, parted, slowed and damaged. TCP, on the loopback."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from types import TracebackType
from typing import Self

AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: what was not sent yet is dropped, and the other end gets a reset


class Proxy:
    """Listens on a port of its own and passes bytes on to another one.

    A network is parted in one of two ways, until heal(): part() resets all connections, and whoever calls is hung up
    on; part(silently=True) is a black hole: nothing moves, nobody is told of anything, not even that the other end
    has gone, and who calls gets no answer. When it heals, what was under way arrives, as TCP would have it; calls
    that were given up meanwhile are not put through.
    """

    def __init__(self, port: int, *, seed: int = 0) -> None:
        self._to, self._rng = port, random.Random(seed)
        self._lines: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._moving = asyncio.Event()  # when clear nothing moves
        self._moving.set()
        self._is_open = True  # else who calls is hung up on
        self.flips = 0  # one byte in so many is damaged; 0: none
        self.delay = 0.0  # seconds before each piece goes on
        self.chunk = 1 << 16  # most bytes of a piece
        self.n_calls = self.n_flipped = self.n_bytes = 0

    def url(self, scheme: str) -> str:
        """Where to call instead of the server."""
        return f"{scheme}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._call, "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        self.part()
        self._moving.set()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def cut(self) -> None:
        """All connections, without a word; who calls again gets through."""
        for writer in self._writers:
            hang_up(writer)
        self._writers.clear()

    def part(self, *, silently: bool = False) -> None:
        """Nobody gets through any more."""
        if silently:
            self._moving.clear()
        else:
            self._is_open = False
            self.cut()

    def heal(self) -> None:
        """Everybody gets through again."""
        self._is_open = True
        self._moving.set()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_calls += 1
        await self._moving.wait()
        if not self._is_open or reader.at_eof():
            hang_up(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            hang_up(writer)
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            line = asyncio.ensure_future(self._pass_on(source, sink))
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(self.chunk):
                await self._moving.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                self.n_bytes += len(data)
                sink.write(self._damaged(data))
                await sink.drain()
            end = close
        except OSError:
            end = hang_up
        await self._moving.wait()  # the end does not move either
        self._writers.discard(sink)
        end(sink)

    def _damaged(self, data: bytes) -> bytes:
        if not self.flips:
            return data
        hurt = bytearray(data)
        for at in range(len(hurt)):
            if self._rng.randrange(self.flips) == 0:
                hurt[at] ^= 1 << self._rng.randrange(8)
                self.n_flipped += 1
        return bytes(hurt)


def close(writer: asyncio.StreamWriter) -> None:
    """When what was written is on its way."""
    writer.close()


def hang_up(writer: asyncio.StreamWriter) -> None:
    """At once."""
    line = writer.get_extra_info("socket")
    if line is not None and line.fileno() >= 0:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()
