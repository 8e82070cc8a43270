"""Waiting for what happens by itself, but not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")
PATIENCE = 20.0  # seconds; the machine may be busy


async def until(happened: Callable[[], object]) -> None:
    """Returns when it has."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        await asyncio.sleep(0.005)


async def soon(what: Awaitable[_T]) -> _T:
    """What is awaited, or an error."""
    return await asyncio.wait_for(what, PATIENCE)
