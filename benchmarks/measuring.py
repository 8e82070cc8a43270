"""How a case measures: CPU seconds of this process, memory in bytes, and a check that ends it."""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

Figures = dict[str, float]
SEED = 1


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    began = process_time()
    result = what()
    took = process_time() - began
    gc.enable()
    return took, result


def typical(what: Callable[[], Any], n: int = 7) -> tuple[float, Any]:
    """The median of some runs, and the last result."""
    took, result = [], None
    for _ in range(n):
        result = None
        seconds, result = timed(what)
        took.append(seconds)
    return statistics.median(took), result


def resident() -> int:
    """What this process holds, after free memory went back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def need(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"WRONG: {what}")
