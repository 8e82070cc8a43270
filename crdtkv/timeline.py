"""Timeline: who wrote when, by their own account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

from crdtkv import _core
from crdtkv.graph import Source

__all__ = ["Moment", "Timeline", "timeline_of"]


class Moment(NamedTuple):
    """A change in a Timeline: `time` is what its author says, in ms since 1970."""

    time: int
    author: bytes
    id: bytes
    n_ops: int
    message: str | None


class Timeline(Sequence[Moment]):
    """The newest changes in order of their times, which nobody can check. In a notebook a picture, a row an author.

    Made by Doc.timeline() and Datastore.timeline().

    >>> import crdtkv as ck
    >>> doc = ck.Doc(clock=lambda: 1000)
    >>> doc["x"] = 1
    >>> doc.timeline()[0].time
    1000
    """

    __slots__ = ("_moments", "_n_left_out", "_you")

    def __init__(self, changes: Iterable[_core.Change], n_changes: int, you: bytes) -> None:
        moments = [Moment(c.time, c.author, c.id, c.n_ops, c.message) for c in changes]
        self._moments = sorted(moments, key=lambda m: (m.time, m.id))
        self._n_left_out = max(0, n_changes - len(self._moments))
        self._you = you

    @property
    def n_left_out(self) -> int:
        """How many older changes there are."""
        return self._n_left_out

    @property
    def you(self) -> bytes:
        """The public key of whoever asked for it."""
        return self._you

    def __len__(self) -> int:
        return len(self._moments)

    @overload
    def __getitem__(self, index: int) -> Moment: ...
    @overload
    def __getitem__(self, index: slice) -> list[Moment]: ...
    def __getitem__(self, index: int | slice) -> Moment | list[Moment]:
        return self._moments[index]

    def __repr__(self) -> str:
        more = f", {self.n_left_out} older ones left out" if self.n_left_out else ""
        return f"<Timeline: {len(self)} changes by {len({m.author for m in self})} authors{more}>"

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each change. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self, Moment._fields)

    def _repr_svg_(self) -> str:
        from crdtkv import notebook

        return notebook.timeline_svg(self)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.timeline(self)


def timeline_of(source: Source, limit: int) -> Timeline:
    """The timeline of a document or datastore."""
    if limit < 1:
        raise ValueError("limit must be at least 1")
    source.heads  # noqa: B018 -- closes the open change
    return Timeline(source._newest(limit), source._glance()["changes"], source.identity.public_key)
