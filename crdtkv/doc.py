"""Doc: one replica of a document, as a mapping of its root map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Self

from crdtkv import _core
from crdtkv.counter import Counter
from crdtkv.event import Event, Observer, Subscription
from crdtkv.figures import Blame, ByAuthor, Stats
from crdtkv.identity import Identity
from crdtkv.list import List
from crdtkv.map import Map, MapMethods
from crdtkv.patch import MISSING, Patch, PatchList
from crdtkv.replica import Replica
from crdtkv.report import Refusal
from crdtkv.set import Set
from crdtkv.undo import UndoStack
from crdtkv.view import View

__all__ = ["Doc"]

_core._adopt(Refusal, Identity, Mapping, MISSING, Map, List, Set, Counter, Stats, Blame, ByAuthor)


class Doc(_core.Doc, MapMethods, Replica):
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
    _id_of = staticmethod(_core._doc_id_of)

    # ---- history

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

    def _glance(self) -> Stats:
        """What displays ask for: soon, whatever the size."""
        return self.stats()

    @property
    def _replica(self) -> Self:
        return self

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.doc(self)
