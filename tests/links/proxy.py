"""Proxy: a line between a client and a server that can be cut, slowed, stopped and damaged. TCP, on the loopback."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self


class Proxy:
    """Listens on a port of its own and passes bytes on to another one."""

    def __init__(self, port: int, *, seed: int = 0) -> None:
        self._to, self._rng = port, random.Random(seed)
        self._lines: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.flips = 0  # one byte in so many is damaged; 0: none
        self.delay = 0.0  # seconds before each piece goes on
        self.chunk = 1 << 16  # most bytes of a piece
        self.is_open = True  # else who calls is hung up on
        self.stopped = asyncio.Event()  # when clear nothing moves
        self.stopped.set()
        self.n_calls = self.n_flipped = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._call, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def cut(self) -> None:
        """All connections, without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_calls += 1
        if not self.is_open:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            line = asyncio.ensure_future(self._pass_on(source, sink))
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(self.chunk):
                await self.stopped.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(self._damaged(data))
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()

    def _damaged(self, data: bytes) -> bytes:
        if not self.flips:
            return data
        hurt = bytearray(data)
        for at in range(len(hurt)):
            if self._rng.randrange(self.flips) == 0:
                hurt[at] ^= 1 << self._rng.randrange(8)
                self.n_flipped += 1
        return bytes(hurt)
