"""Entry: one write in the history of a key; and how values in conflict are listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from crdtkv import _core
from crdtkv.patch import MISSING

__all__ = ["Entry", "History", "merged"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a change wrote to a key: kind "put" with its value, or "delete" with MISSING (of a datastore: None).

    `author` is a public key, `change` the id of the change and `time` its time in ms; both None while it is open.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> entry = doc.history("x")[0]
    >>> entry.key, entry.value, entry.kind, entry.author == doc.identity.public_key
    ('x', 1, 'put', True)
    """

    key: str | bytes
    value: Any
    author: bytes
    change: bytes | None
    time: int | None
    kind: str

    @classmethod
    def of(cls, key: str, is_set: bool, value: Any, author: bytes, change: bytes, time: int) -> Self:
        """From what the core tells."""
        return cls(key, value if is_set else MISSING, author, change, time, "put" if is_set else "delete")


class History(list[Entry]):
    """A list of entries, newest first."""

    __slots__ = ()


def merged(rows: Iterable[tuple[bytes, int, Any]]) -> dict[str, Any]:
    """Values by the id of their op. A container that several made by setdefault() is one."""
    out: dict[str, Any] = {}
    seen: set[int] = set()
    for change, index, value in rows:
        if isinstance(value, _core.Handle):
            if value._container in seen:
                continue
            seen.add(value._container)
        out[f"{change.hex()}:{index}"] = value
    return out
