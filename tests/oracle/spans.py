"""Sets of whole numbers as spans [start, stop): in ascending order, none empty, no two that touch."""

from __future__ import annotations

from collections.abc import Iterable

Spans = tuple[tuple[int, int], ...]


def of(numbers: Iterable[int]) -> Spans:
    """Of numbers of which none comes twice."""
    out: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if out and out[-1][1] == n:
            out[-1] = out[-1][0], n + 1
        else:
            out.append((n, n + 1))
    return tuple(out)


def join(spans: Iterable[tuple[int, int]]) -> Spans:
    """The union of spans that come in any order and may overlap."""
    out: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if start >= stop:
            continue
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], stop)
        else:
            out.append((start, stop))
    return tuple(out)


def minus(a: Spans, b: Spans) -> Spans:
    """What is in `a` and not in `b`."""
    out = []
    for start, stop in a:
        for cut, end in b:
            if end <= start or stop <= cut:
                continue
            if start < cut:
                out.append((start, cut))
            start = end
        if start < stop:
            out.append((start, stop))
    return tuple(out)


def below(a: Spans, end: int) -> Spans:
    """What of `a` is below `end`."""
    return tuple((start, min(stop, end)) for start, stop in a if start < end)


def holds(a: Spans, n: int) -> bool:
    return any(start <= n < stop for start, stop in a)
