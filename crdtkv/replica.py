"""Replica: what documents and datastores have in common, their history, copies and exchange."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from crdtkv import _core
from crdtkv.equivocation import Witness
from crdtkv.figures import Stats
from crdtkv.graph import Graph
from crdtkv.identity import Identity
from crdtkv.listing import Listing
from crdtkv.session import Session
from crdtkv.timeline import Timeline, timeline_of

__all__ = ["ChangeList", "Clock", "Replica"]

Clock = Callable[[], int]
FIELDS = ("id", "author", "lane", "seq", "prev", "parents", "time", "message", "n_ops", "signed", "void", "dag")


class ChangeList(Listing[_core.Change]):
    """A list of changes, parents before children. Doc.changes() makes it.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> [change.seq for change in doc.changes()]
    [0]
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each change. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(map(attrgetter(*FIELDS), self), FIELDS)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.changes(self)


class Replica(Witness):
    """A signed hash graph that can be looked at, copied, and kept in step with others."""

    __slots__ = ()

    if TYPE_CHECKING:  # of a document or a datastore in C

        def __new__(cls, identity: Any = None, *, id: Any = None, clock: Clock | None = None) -> Self: ...
        @property
        def _clock(self) -> Clock | None: ...
        @property
        def id(self) -> bytes: ...
        @property
        def identity(self) -> Any: ...
        @property
        def heads(self) -> tuple[bytes, ...]: ...
        @property
        def missing(self) -> tuple[bytes, ...]: ...
        def save(self) -> bytes: ...
        def export(self, /, since: Iterable[Any] = (), until: Iterable[Any] | None = None) -> bytes: ...
        def apply(self, data: Any, /) -> _core.Report: ...
        def _changes(self, since: Iterable[Any], until: Iterable[Any] | None, /) -> list[_core.Change]: ...
        def _glance(self) -> Stats: ...
        def _newest(self, n: int, /) -> list[_core.Change]: ...
        def _letters(self, n: int, /) -> list[_core._Letter]: ...

    @staticmethod
    @abstractmethod
    def _id_of(bundle: Any, /) -> bytes:
        """What a bundle belongs to. DecodeError: to nothing of this kind."""

    # ---- history

    def changes(self, since: Iterable[bytes] = (), until: Iterable[bytes] | None = None) -> ChangeList:
        """The changes that `until` (ids; None: all) holds and `since` does not, parents before children; of a
        datastore DAG by DAG.

        Void ones are among them, waiting ones are not. KeyError: an id of `until` is not here. Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["a"] = 1
        >>> then = doc.heads
        >>> doc["b"] = 2
        >>> [change.seq for change in doc.changes(since=then)]
        [1]
        >>> kv = ck.Datastore()
        >>> kv["a"] = 1
        >>> [(change.dag, change.seq) for change in kv.changes()]
        [('default', 0)]
        """
        return ChangeList(self._changes(since, until), self.identity.public_key)

    def graph(self, limit: int = 200) -> Graph:
        """The hash graph, its newest `limit` changes, for looking at it; of a datastore all DAGs. Closes the open
        change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> doc.graph()
        <Graph: 1 changes in 1 lanes>
        """
        return Graph(self, limit)

    def timeline(self, limit: int = 1000) -> Timeline:
        """Who wrote when, by their own account: the newest `limit` changes. Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> doc.timeline()
        <Timeline: 1 changes by 1 authors>
        """
        return timeline_of(self, limit)

    # ---- copies

    def fork(self, identity: Identity | None = None, *, heads: Iterable[bytes] | None = None) -> Self:
        """A new replica, in memory, with the history of `heads` (all of it without); its edits go to lanes of its own.

        It keeps the identity unless another is given. KeyError: an id of `heads` is not here.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> copy = doc.fork()
        >>> copy.id == doc.id, copy.root == doc.root, copy == doc
        (True, True, True)
        """
        data = self.export((), heads)
        new = type(self)(self.identity if identity is None else identity, id=self.id, clock=self._clock)
        new.apply(data)
        return new

    @classmethod
    def load(cls, data: bytes, identity: Identity | None = None, *, clock: Clock | None = None) -> Self:
        """What save() or export() wrote, as a replica in memory. DecodeError for what is no bundle of this kind.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> ck.Doc.load(doc.save()) == {"x": 1}
        True
        """
        new = cls(identity, id=cls._id_of(data), clock=clock)
        new.apply(data)
        return new

    def __copy__(self) -> Self:
        return self.fork()

    def __deepcopy__(self, memo: object) -> Self:
        return self.fork()

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        return type(self).load, (self.save(),)  # no secret key: whoever unpickles writes under a new one

    # ---- exchange

    def session(self, *, max_bytes: int | None = None) -> Session:
        """One end of an exchange with another replica, over any transport; see Session.

        `max_bytes`: the session ends when more than that has come in. Any number of sessions may be open.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> other = ck.Doc(id=doc.id)
        >>> a, b = doc.session(), other.session()
        >>> while not (a.done and b.done):
        ...     for here, there in (a, b), (b, a):
        ...         if message := here.send():
        ...             report = there.receive(message)
        >>> other == {"x": 1}
        True
        """
        return Session(self, max_bytes=max_bytes)  # type: ignore[arg-type]  # it is a document or a datastore
