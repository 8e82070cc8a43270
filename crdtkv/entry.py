"""Entry: one write in the history of a key; and how values in conflict are listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from crdtkv import _core
from crdtkv.brief import briefly
from crdtkv.listing import Listing
from crdtkv.patch import MISSING

__all__ = ["Conflicts", "Entry", "History", "key_of", "merged"]


@briefly
class Entry(NamedTuple):
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

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.entry(self)


class History(Listing[Entry]):
    """A list of entries, newest first. Doc.history() and Datastore.history() make it.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> doc["x"] = 2
    >>> [entry.value for entry in doc.history("x")]
    [2, 1]
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each entry. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self, Entry._fields)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.history(self)


@briefly
class Conflicts(dict[str, Any]):
    """All values of a key by the id of the op that put them, the shown one first: a dict.

    >>> import crdtkv as ck
    >>> ck.Doc().conflicts("x")
    {}
    """

    __slots__ = ("_of",)

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), of: Any = None) -> None:
        super().__init__(values)
        self._of = of  # who can tell who wrote them

    def __reduce__(self) -> tuple[type[Conflicts], tuple[dict[str, Any]]]:
        return Conflicts, (dict(self),)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each value, the shown one first. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self.items(), ("op", "value"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.conflicts(self)


def key_of(replica: Any) -> bytes | None:
    """The public key of who writes to a document or datastore; None: there is none."""
    key: bytes | None = None if replica is None else replica.identity.public_key
    return key


def merged(rows: Iterable[tuple[bytes, int, Any]], of: Any = None) -> Conflicts:
    """Values by the id of their op. A container that several made by setdefault() is one."""
    out = Conflicts(of=of)
    seen: set[int] = set()
    for change, index, value in rows:
        if isinstance(value, _core.Handle):
            if value._container in seen:
                continue
            seen.add(value._container)
        out[f"{change.hex()}:{index}"] = value
    return out
