"""brief(): the repr of plain data, cut where it gets long.

Lists, dicts and named tuples of ours, which hold what others wrote, are decorated with briefly().
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

__all__ = ["brief", "briefly"]

C = TypeVar("C", bound=type)

LONGEST = 10_000  # characters of a repr, about
STRING = 1_000  # of a str or bytes in it
DEEPEST = 20
ENDS = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), dict: ("{", "}")}


def briefly(cls: C) -> C:
    """Decorates a class of lists, dicts or named tuples, whose repr is brief() then."""
    cls.__repr__ = brief  # type: ignore[assignment]
    return cls


def brief(value: Any) -> str:
    """As repr() says it, if that is not long; else what it begins with.

    >>> brief([1, {"a": (b"x",)}, set()])
    "[1, {'a': (b'x',)}, set()]"
    >>> brief("x" * 2000) == repr("x" * 1000) + "...", len(brief(list(range(10**6)))) < 11_000
    (True, True)
    """
    out: list[str] = []
    room = LONGEST
    for piece in pieces(value, 0):
        out.append(piece)
        room -= len(piece)
        if room < 0:
            out.append("...")
            break
    return "".join(out)


def pieces(value: Any, depth: int) -> Iterator[str]:
    """What a repr consists of, made as it is asked for."""
    if isinstance(value, str | bytes):
        yield repr(value[:STRING]) + "..." * (len(value) > STRING)
    elif type(value) in ENDS or getattr(type(value), "__repr__", None) is brief:
        yield from held(value, depth)
    else:
        yield repr(value)


def held(value: Any, depth: int) -> Iterator[str]:
    """A container, and what is in it."""
    kind = next(kind for kind in ENDS if isinstance(value, kind))
    start, end = ENDS[kind]
    names = getattr(value, "_fields", None)
    if names is not None:
        start = f"{type(value).__name__}("
    elif kind is tuple and len(value) == 1:
        end = ",)"
    elif not value and kind is set:
        start, end = "set(", ")"
    yield start
    if depth >= DEEPEST:
        yield "..."
    elif names is not None:
        yield from listed(((f"{name}=", item) for name, item in zip(names, value, strict=True)), depth + 1)
    elif kind is dict:
        yield from listed(value.items(), depth + 1, ": ")
    else:
        yield from listed((("", item) for item in value), depth + 1)
    yield end


def listed(items: Iterable[tuple[Any, Any]], depth: int, colon: str = "") -> Iterator[str]:
    """Items with commas between them, each with what stands before it."""
    for n, (before, item) in enumerate(items):
        if n:
            yield ", "
        if colon:
            yield from pieces(before, depth)
            yield colon
        else:
            yield before
        yield from pieces(item, depth)
