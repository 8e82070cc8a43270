"""Crew: tasks that end together, when one of them fails or they are told to.

Unlike a TaskGroup it cancels again and again: a nats-py client swallows a cancellation that comes while it flushes
(`_flush_pending`), and whoever was to end would go on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, NoReturn

__all__ = ["Crew", "end"]

AGAIN = 0.1  # seconds


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks until they are done; what they raise is of no interest any more."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN)
        for task in done:
            if not task.cancelled():
                task.exception()


class Crew:
    """Some tasks, and the first trouble that one of them had.

    >>> import asyncio
    >>> async def fail():
    ...     raise ValueError("so it is")
    >>> async def main():
    ...     crew = Crew()
    ...     tasks = crew.start(asyncio.sleep(60)), crew.start(fail())
    ...     try:
    ...         await crew.trouble()
    ...     except ValueError as error:
    ...         await crew.end()
    ...         return str(error), len(asyncio.all_tasks())
    >>> asyncio.run(main())
    ('so it is', 1)
    """

    __slots__ = ("_is_over", "_tasks", "_trouble")

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._is_over = False

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """None: they are ending."""
        if self._is_over:
            work.close()
            return None
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._is_done)
        return task

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._trouble.done():
            self._trouble.set_result(error)

    async def trouble(self) -> NoReturn:
        """Raises what the first one to fail raised."""
        raise await asyncio.shield(self._trouble)

    async def end(self) -> None:
        """Until all are done."""
        self._is_over = True
        await end(self._tasks)
