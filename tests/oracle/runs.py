"""Sets of numbers as they travel: their runs [start, stop), in ascending order, none empty, no two that touch."""

from __future__ import annotations

import re
from itertools import groupby, pairwise

from .wire import Broken, Reader, blob, varint

Runs = tuple[tuple[int, int], ...]

WINDOW = 1 << 16
GREATEST = 2**64 - 2


def write_runs(runs: Runs) -> bytes:
    """The one form of a set."""
    out, pos = b"", 0
    for window, group in groupby(runs, key=window_of):
        together = tuple(group)
        forms = [items(together, pos)]
        if window is not None:
            forms.append(bitmap(together, pos))
        out += min(forms, key=len)  # items, if both are equally long
        pos = together[-1][1]
    return blob(out)


def window_of(run: tuple[int, int]) -> int | None:
    """The window in which all of a run is."""
    first, last = run[0] // WINDOW, (run[1] - 1) // WINDOW
    return first if first == last else None


def items(runs: Runs, pos: int) -> bytes:
    out = b""
    for start, stop in runs:
        out += head(start - pos, kind=0) if stop - start == 1 else head(start - pos, kind=1) + varint(stop - start - 1)
        pos = stop
    return out


def bitmap(runs: Runs, pos: int) -> bytes:
    first, end = runs[0][0], runs[-1][1]
    bits = sum((1 << stop - first) - (1 << start - first) for start, stop in runs)
    return head(first - pos, kind=1) + varint(0) + blob(bits.to_bytes((end - first + 7) // 8, "little"))


def head(gap: int, kind: int) -> bytes:
    """LEB128 of 2 gap + kind, also where that has 65 bits."""
    low = (gap & 63) << 1 | kind
    return bytes([low]) if gap < 64 else bytes([low | 0x80]) + varint(gap >> 6)


def read_runs(reader: Reader, least: int = 0, greatest: int = GREATEST) -> Runs:
    """The next set, of numbers from `least` to `greatest`; `Broken` if it is none, or not in its one form."""
    data = reader.blob()
    runs: list[tuple[int, int]] = []
    rest = Reader(data)
    while not rest.done():
        gap, kind = read_head(rest)
        start = (runs[-1][1] if runs else 0) + gap
        if kind == 0:
            runs.append((start, start + 1))
        elif m := rest.varint():
            runs.append((start, start + m + 1))
        elif bits := int.from_bytes(rest.blob(), "little"):
            ones = re.finditer("1+", f"{bits:b}"[::-1])
            runs += [(start + one.start(), start + one.end()) for one in ones]
        else:
            raise Broken("a bitmap of nothing")
        if not least <= start < runs[-1][1] <= greatest + 1:
            raise Broken("a number out of range")
    if any(a[1] >= b[0] for a, b in pairwise(runs)):
        raise Broken("two runs that are one")
    if write_runs(tuple(runs)) != blob(data):
        raise Broken("not the form that this set has")
    return tuple(runs)


def read_head(reader: Reader) -> tuple[int, int]:
    byte = reader.u8()
    gap = (byte & 0x7F) >> 1
    if byte & 0x80:
        more = reader.varint()
        if more == 0 or more >= 1 << 58:
            raise Broken("a gap that is not minimal, or too large")
        gap |= more << 6
    return gap, byte & 1
