"""Stats, Blame, ByAuthor: plain lists and dicts that a notebook shows as a table or as coloured text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from crdtkv.brief import briefly

__all__ = ["Blame", "ByAuthor", "Figures", "Stats"]

V = TypeVar("V")
Run = tuple[int, int, bytes, bytes]


@briefly
class Figures(dict[str, V]):
    """What happened so far, by name: a dict that a notebook shows as a table."""

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each figure. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self.items(), ("name", "figure"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.stats(self)


class Stats(Figures[int]):
    """Figures that are all numbers.

    >>> import crdtkv as ck
    >>> stats = ck.Doc().stats()
    >>> stats["changes"], isinstance(stats, dict)
    (0, True)
    """

    __slots__ = ()


@briefly
class Blame(list[Run]):
    """Who wrote what of a text: a list of (start, end, author, change id), with the beginning of the text.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["t"] = ck.Text("hello")
    >>> [(start, end) for start, end, author, change in doc["t"].blame()]
    [(0, 5)]
    """

    __slots__ = ("_words", "_you")

    def __init__(self, runs: Iterable[Run] = (), words: str = "", you: bytes | None = None) -> None:
        super().__init__(runs)
        self._words = words
        self._you = you

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each run. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self, ("start", "end", "author", "change"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.blame(self)


@briefly
class ByAuthor(dict[bytes, int]):
    """What each author has counted, by public key: a dict.

    >>> import crdtkv as ck
    >>> kv = ck.Datastore()
    >>> kv.counter("views").increment(3)
    >>> kv.counter("views").by_author() == {kv.identity.public_key: 3}
    True
    """

    __slots__ = ("_you",)

    def __init__(self, parts: Mapping[bytes, int], you: bytes | None = None) -> None:
        super().__init__(parts)
        self._you = you

    def __reduce__(self) -> tuple[type[ByAuthor], tuple[dict[bytes, int], bytes | None]]:
        return ByAuthor, (dict(self), self._you)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each author. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self.items(), ("author", "count"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.by_author(self)
