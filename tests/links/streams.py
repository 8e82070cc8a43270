"""What tests over NATS need: a mark, and a client of the server without any of our rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from house.nats_server import PROGRAM, NatsServer

nats = pytest.importorskip("nats", reason="nats-py is not installed")

needs_server = pytest.mark.skipif(PROGRAM is None, reason="there is no nats-server: apt-get install nats-server")


@asynccontextmanager
async def client_of(server: NatsServer) -> AsyncIterator[Any]:
    """Somebody who may say anything."""
    client = await nats.connect(server.url)
    try:
        yield client
    finally:
        await client.close()
