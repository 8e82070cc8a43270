"""Threads for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["run"]


def run(*targets: Callable[[], object]) -> None:
    """All at once; the first exception of any is raised."""
    errors: list[BaseException] = []

    def guarded(target: Callable[[], object]) -> None:
        try:
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "stuck"
    if errors:
        raise errors[0]
