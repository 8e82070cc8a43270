"""Doc: one replica of a document, as a mapping of its root map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Any, Self

from crdtkv import _core
from crdtkv.counter import Counter
from crdtkv.equivocation import Witness
from crdtkv.event import Event, Observer, Subscription
from crdtkv.figures import Blame, ByAuthor, Stats
from crdtkv.graph import Graph
from crdtkv.identity import Identity
from crdtkv.list import List
from crdtkv.listing import Listing
from crdtkv.map import Map, MapMethods
from crdtkv.patch import MISSING, Patch, PatchList
from crdtkv.report import Refusal
from crdtkv.session import Session
from crdtkv.set import Set
from crdtkv.timeline import Timeline, timeline_of
from crdtkv.undo import UndoStack
from crdtkv.view import View

__all__ = ["ChangeList", "Doc"]

_core._adopt(Refusal, Identity, Mapping, MISSING, Map, List, Set, Counter, Stats, Blame, ByAuthor)

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


class Doc(_core.Doc, MapMethods, Witness):
    """One replica of a document: a mapping from str to None, bool, int, float, str, bytes and containers.

    Containers are Map, List and Set, which dicts, lists and sets become when they are stored, and Text and Counter.

    `identity` signs its changes; one is made if none is given. `id` (32 bytes) names the document; a new one is random.
    `clock` gives the time of changes in int milliseconds. Keys are in order of their bytes. Edits gather in an open
    change until commit(), a look from outside such as `heads`, or 1 MiB. May be used from several threads.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["title"] = "Notes"
    >>> doc["body"] = ck.Text("hello")
    >>> doc["body"].insert(5, " world")
    >>> doc["items"] = [{"n": 1}]
    >>> doc["items"][0]["n"] += 1
    >>> doc.to_py()
    {'body': 'hello world', 'items': [{'n': 2}], 'title': 'Notes'}
    >>> other = doc.fork(ck.Identity.generate())
    >>> other["stars"] = 5
    >>> bool(doc.merge(other)), doc == other
    (True, True)
    """

    __slots__ = ("__weakref__",)

    # ---- history

    def changes(self, since: Iterable[bytes] = (), until: Iterable[bytes] | None = None) -> ChangeList:
        """The changes that `until` (ids; None: all) holds and `since` does not, parents before children.

        Void ones are among them, waiting ones are not. KeyError: an id of `until` is not here. Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["a"] = 1
        >>> then = doc.heads
        >>> doc["b"] = 2
        >>> [change.seq for change in doc.changes(since=then)]
        [1]
        """
        return ChangeList(self._changes(since, until), self.identity.public_key)

    def graph(self, limit: int = 200) -> Graph:
        """The hash graph, its newest `limit` changes, for looking at it. Closes the open change.

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

    def at(self, heads: Iterable[bytes]) -> View:
        """The document as it was when these were its heads; KeyError if one is not here. Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["t"] = ck.Text("one")
        >>> then = doc.heads
        >>> doc["t"] += " two"
        >>> doc.at(then) == {"t": "one"}
        True
        """
        heads = tuple(heads)
        return View(self._at(heads), tuple(sorted(set(map(bytes, heads)))))

    def without(self, *authors: bytes, heads: Iterable[bytes] | None = None) -> View:
        """The document (as of `heads`) as if these authors (public keys) had done nothing, for this reader alone.

        What they wrote or marked is not there, what they deleted or overwrote is; who wrote next to it, or moved it,
        is not touched. Nobody else's edits inside a container of theirs are shown. The document stays as it is, as it
        must to agree with others: this is for showing it while somebody is known to lie, see observe_equivocations().
        Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> vandal = doc.fork(ck.Identity.generate())
        >>> vandal["x"] = "vandalised"
        >>> bool(doc.merge(vandal)), doc["x"]
        (True, 'vandalised')
        >>> doc.without(vandal.identity.public_key)["x"]
        1
        """
        version = self.heads if heads is None else tuple(heads)
        return View(self._at(version, authors), tuple(sorted(set(map(bytes, version)))))

    def diff(self, a: Iterable[bytes], b: Iterable[bytes]) -> PatchList:
        """What turns version a into version b, in order of application. Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["t"] = ck.Text("hello")
        >>> then = doc.heads
        >>> doc["t"].insert(5, "!")
        >>> doc.diff(then, doc.heads)
        [Patch(path=('t',), kind='insert', position=5, old=MISSING, new='!')]
        """
        return PatchList(Patch(*step) for step in self._diff(self._at(a), self._at(b)))

    def fork(self, identity: Identity | None = None, *, heads: Iterable[bytes] | None = None) -> Self:
        """A new replica with the history of `heads` (all of it without); its edits go to a lane of its own.

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
        """The document that save() or export() wrote. DecodeError for what is no bundle."""
        new = cls(identity, id=_core._doc_id_of(data), clock=clock)
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
        """
        return Session(self, max_bytes=max_bytes)

    # ---- events and undo

    def observe(
        self, callback: Callable[[Event], object], path: Iterable[str | int] | str | None = None
    ) -> Subscription:
        """Call back with an Event after each change that is closed here or comes in.

        `path`: only what is at it or below, also if it comes or goes with what it is in; without, all. A container's
        own observe() follows it wherever it goes.
        Called after everything of a call is applied, without any lock, one event after the other: what a callback edits
        is told after that. Exceptions of callbacks undo nothing and are gathered into an ExceptionGroup, raised last.
        Closes the open change, so that what was before is not told.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> with doc.observe(lambda event: print(*event.patches)):
        ...     doc["x"] = 1
        ...     change = doc.commit()
        Patch(path=(), kind='set', position='x', old=MISSING, new=1)
        """
        if path is None:
            path = ()
        return self._subscribe(Observer(callback, (path,) if isinstance(path, str) else tuple(path), None))

    def _observe_handle(self, callback: Callable[[Event], object], handle: _core.Handle) -> Subscription:
        bool(handle)  # StaleHandleError: it was deleted
        return self._subscribe(Observer(callback, (), handle._container))

    def _subscribe(self, observer: Observer) -> Subscription:
        if not callable(observer.callback):
            raise TypeError("callback must be callable")
        with suppress(RuntimeError):  # inside a block: its edits are told together, also those from before
            self.commit()
        observers = self._observers
        if observers is None:
            observers = self._observers = {}
        observers[observer] = None
        self._watch(True)

        def cancel() -> None:
            observers.pop(observer, None)
            if not observers:
                self._watch(False)

        return Subscription(cancel)

    def _tell(self) -> None:
        """Called without any lock while there are news, by one thread at a time."""
        observers: dict[Observer, None] = self._observers or {}
        errors: list[Exception] = []
        while news := self._take_news():
            for author, is_local, origin, changes, steps in news:
                patches = PatchList(Patch(*step) for step in steps)
                for observer in list(observers):
                    if observer not in observers:  # cancelled by another callback
                        continue
                    place = None if observer.container is None else self._path_of(observer.container)
                    path, part = observer.part(patches, place)
                    if not part:
                        continue
                    try:
                        observer.callback(Event(path, part, author, origin, is_local, changes))
                    except Exception as error:
                        errors.append(error)
        if errors:
            raise ExceptionGroup("callbacks of observe() failed", errors)

    def undo_stack(self, scope: Iterable[object] | object | None = None, *, interval: float = 0.0) -> UndoStack:
        """An UndoStack for what is done through this object from now on. Closes the open change.

        `scope`: a container or several, or paths to them; only what happens in them or below is undone. Steps that are
        closer than `interval` seconds join.
        """
        return UndoStack(self, scope, interval=interval)  # type: ignore[arg-type]

    _glance = _core.Doc.stats  # what displays ask for: soon, whatever the size

    @property
    def _replica(self) -> Self:
        return self

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.doc(self)
