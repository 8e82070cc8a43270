"""Waiting for what happens by itself, but not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
PATIENCE = 20.0  # seconds; the machine may be busy


async def until(happened: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Returns when it has."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        await asyncio.sleep(0.005)


async def soon(what: Awaitable[_T]) -> _T:
    """What is awaited, or an error."""
    return await asyncio.wait_for(what, PATIENCE)


def run(story: Callable[[], Awaitable[Any]], seconds: float = 1.5 * PATIENCE) -> None:
    """A story from its beginning to its end."""

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(bounded())
