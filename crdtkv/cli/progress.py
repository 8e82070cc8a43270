"""Progress: how far a command is, on stderr, while somebody looks at it; nothing in a pipe.

What knows how much there is shows a bar: objects one by one, the bytes of a file that grows. What is one piece of work
in C shows that it goes on, and for how long. rich is imported only where something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Work", "work"]

T = TypeVar("T")

TICKS = 200  # of a bar


class Work:
    """Something that takes its time, at which nobody looks.

    >>> list(Work().steps([1, 2]))
    [1, 2]
    """

    def steps(self, items: Sequence[T]) -> Iterator[T]:
        """The items one after the other, as so many parts of the whole."""
        yield from items

    def towards(self, total: int, so_far: Callable[[], int]) -> None:
        """From now on it is done when `so_far()` has come to `total`; asked now and then, by another thread."""


@contextmanager
def work(doing: str) -> Iterator[Work]:
    """Something that takes its time: shown where stderr is a terminal. `doing` is clean already."""
    if not sys.stderr.isatty():
        yield Work()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    class Bar(Progress, Work):
        """A bar, or a pulse while nobody knows how much there is."""

        _so_far: Callable[[], int] | None = None

        def steps(self, items: Sequence[T]) -> Iterator[T]:
            n = len(items)
            if n < 2:  # it would be at nothing, and then over
                yield from items
                return
            self._so_far = None
            self.update(task, total=n, completed=0)
            for number, item in enumerate(items, 1):
                yield item
                if number % (n // TICKS + 1) == 0:
                    self.update(task, completed=number)

        def towards(self, total: int, so_far: Callable[[], int]) -> None:
            self._so_far = so_far
            self.update(task, total=total, completed=0)

        def get_renderables(self) -> Iterable[RenderableType]:
            if self._so_far is not None:
                self.update(task, completed=self._so_far())
            yield from super().get_renderables()

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield bar
