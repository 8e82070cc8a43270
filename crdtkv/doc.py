"""Doc: one replica of a document, as a mapping of its root map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Self

from crdtkv import _core
from crdtkv.equivocation import Equivocation
from crdtkv.identity import Identity
from crdtkv.patch import MISSING, Patch, plain, plain_dict, steps
from crdtkv.report import Refusal
from crdtkv.view import View

__all__ = ["ChangeList", "Doc", "Subscription"]

_core._adopt(Refusal, Identity)

Clock = Callable[[], int]


class ChangeList(list[_core.Change]):
    """A list of changes, parents before children."""

    __slots__ = ()


class Subscription:
    """A callback that is called until cancel(), or until the end of a `with` block."""

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel: Callable[[], None] | None = cancel

    def cancel(self) -> None:
        """Call back no more. Twice is no error."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel()


class _Watchers:
    """Who is told of equivocations, and of which everybody has heard."""

    __slots__ = ("callbacks", "heard")

    def __init__(self, known: Iterable[Equivocation]) -> None:
        self.callbacks: dict[object, Callable[[Equivocation], object]] = {}
        self.heard: dict[tuple[bytes, int], object] = dict.fromkeys((e.lane, e.seq) for e in known)

    def is_new(self, e: Equivocation) -> bool:
        """True once for each (lane, seq), also if several threads ask."""
        token = object()
        return self.heard.setdefault((e.lane, e.seq), token) is token


class Doc(_core.Doc, MutableMapping[str, Any]):
    """One replica of a document: a mapping from str to None, bool, int, float, str, bytes and Text.

    `identity` signs its changes; one is made if none is given. `id` (32 bytes) names the document; a new one is random.
    `clock` gives the time of changes in int milliseconds. Keys are in order of their bytes. Edits gather in an open
    change until commit(), a look from outside such as `heads`, or 1 MiB. May be used from several threads.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["title"] = "Notes"
    >>> doc["body"] = ck.Text("hello")
    >>> doc["body"].insert(5, " world")
    >>> doc.to_py()
    {'body': 'hello world', 'title': 'Notes'}
    >>> other = doc.fork(ck.Identity.generate())
    >>> other["stars"] = 5
    >>> bool(doc.merge(other)), doc == other
    (True, True)
    """

    __slots__ = ("__weakref__",)

    # ---- mapping

    def pop(self, key: str, /, *default: Any) -> Any:
        """Remove a key and return its content, plain; `default` if it is not there."""
        if len(default) > 1:
            raise TypeError(f"pop expected at most 2 arguments, got {1 + len(default)}")
        value = self.get(key, MISSING)
        if value is MISSING:
            if default:
                return default[0]
            raise KeyError(key)
        value = plain(value)
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key, in order of their bytes, and return it with its content, plain."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the document is empty")

    def clear(self) -> None:
        """Remove all keys."""
        for key in self:
            self.pop(key, None)

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        """The value of a key, which is set to `default` if it is not there.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc.setdefault("t", ck.Text()).insert(0, "x")
        >>> str(doc.setdefault("t", ck.Text("never seen")))
        'x'
        """
        value = self.get(key, MISSING)
        if value is MISSING:
            self[key] = default
            value = self[key]
        return value

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Doc | View):
            return self.to_py() == other.to_py()
        if isinstance(other, Mapping):
            return self.to_py() == plain_dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

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
        return ChangeList(self._changes(since, until))

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

    def diff(self, a: Iterable[bytes], b: Iterable[bytes]) -> list[Patch]:
        """What turns version a into version b, in order of application. Closes the open change.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["t"] = ck.Text("hello")
        >>> then = doc.heads
        >>> doc["t"].insert(5, "!")
        >>> doc.diff(then, doc.heads)
        [Patch(path=('t',), kind='insert', position=5, old=MISSING, new='!')]
        """
        return list(steps(self._at(a), self._at(b)))

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

    # ---- equivocations

    def equivocations(self) -> list[Equivocation]:
        """Who told two stories: one entry for each place at which a lane forks, sorted.

        >>> import crdtkv as ck
        >>> ck.Doc().equivocations()
        []
        """
        return [Equivocation(self, *found) for found in self._equivocations()]

    def observe_equivocations(self, callback: Callable[[Equivocation], object]) -> Subscription:
        """Call back once for each new (lane, seq) at which a lane forks, whichever way it came.

        Called after the change is applied, without any lock. Exceptions are gathered into an ExceptionGroup.
        """
        if not callable(callback):
            raise TypeError("callback must be callable")
        watchers = self._watchers
        if watchers is None:
            watchers = self._watchers = _Watchers(self.equivocations())
        key = object()
        watchers.callbacks[key] = callback
        return Subscription(lambda: watchers.callbacks.pop(key, None))

    def _announce(self) -> None:
        """Called after apply() while there are watchers."""
        watchers = self._watchers
        if watchers is None:
            return
        errors: list[Exception] = []
        for e in self.equivocations():
            if watchers.is_new(e):
                for callback in list(watchers.callbacks.values()):
                    try:
                        callback(e)
                    except Exception as error:
                        errors.append(error)
        if errors:
            raise ExceptionGroup("callbacks of observe_equivocations() failed", errors)
