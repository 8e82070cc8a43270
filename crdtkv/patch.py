"""Patch: one step from one version of a document to another."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from crdtkv import _core

__all__ = ["MISSING", "Patch", "steps"]


@final
class _Missing:
    """The type of MISSING."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"

    def __copy__(self) -> _Missing:
        return self

    def __deepcopy__(self, memo: object) -> _Missing:
        return self


MISSING: Final = _Missing()
"""Stands for a value that is not there, where None would be one."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One step. `path` leads to the container; `old` and `new` are plain values, MISSING where there is none.

    A map has `set` and `remove`, with a key as position; a text `insert` and `remove`, with a place and the characters.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> doc.diff((), doc.heads)
    [Patch(path=(), kind='set', position='x', old=MISSING, new=1)]
    """

    path: tuple[str | int, ...]
    kind: str
    position: str | int
    old: Any = MISSING
    new: Any = MISSING


def steps(a: _core.View, b: _core.View) -> Iterator[Patch]:
    """What turns version a into version b, in order of application: key by key, in order of their bytes."""
    before, after = dict(a._entries()), dict(b._entries())
    for key in sorted({**before, **after}, key=lambda key: key.encode()):
        old, new = before.get(key, MISSING), after.get(key, MISSING)
        if isinstance(old, _core.Text) and isinstance(new, _core.Text) and old._container == new._container:
            yield from _text_steps(a, b, key, new._container)
        elif new is MISSING:
            yield Patch((), "remove", key, old=plain(old))
        elif old is MISSING or not _same(old, new):
            yield Patch((), "set", key, old=plain(old), new=plain(new))


def _text_steps(a: _core.View, b: _core.View, key: str, container: int) -> Iterator[Patch]:
    for is_insert, position, characters in a._text_diff(b, container):
        if is_insert:
            yield Patch((key,), "insert", position, new=characters)
        else:
            yield Patch((key,), "remove", position, old=characters)


def plain(value: Any) -> Any:
    """The value without a handle."""
    return value.to_py() if isinstance(value, _core.Text) else value


def plain_dict(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as a dict of plain values."""
    return {key: plain(value) for key, value in mapping.items()}


def _same(x: Any, y: Any) -> bool:
    """Stored alike: 1, 1.0 and True are three values, NaN is one."""
    if type(x) is not type(y) or isinstance(x, _core.Text):
        return False
    if isinstance(x, float) and isinstance(y, float):
        return struct.pack("<d", x) == struct.pack("<d", y) or (x != x and y != y)
    return bool(x == y)
