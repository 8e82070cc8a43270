"""Equivocation: an author who told two stories, and the proof of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from crdtkv._core import Change, verify_equivocation
from crdtkv.event import Subscription
from crdtkv.listing import Listing

__all__ = ["Equivocation", "EquivocationList", "Witness", "verify_equivocation"]


class Equivocation:
    """Two changes of one lane with one number: `a` and `b`, the smallest there. equivocations() makes it.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc, mallory = ck.Doc(), ck.Identity.generate()
    >>> for bundle in testing.Forger(doc, mallory).fork(None, None):
    ...     report = doc.apply(bundle)
    >>> lie, = doc.equivocations()
    >>> lie.author == mallory.public_key, lie.seq, ck.verify_equivocation(lie.proof) == lie.author
    (True, 0, True)
    """

    __slots__ = {  # noqa: RUF023 -- in the order of the API
        "author": "The public key of who did it.",
        "lane": "The id of the lane that forks.",
        "seq": "The number at which it forks.",
        "a": "The id of the smaller change.",
        "b": "The id of the greater one.",
        "_witness": "Where the proof comes from.",
        "_proof": "Once it has been asked for.",
    }

    def __init__(self, witness: Witness, author: bytes, lane: bytes, seq: int, a: bytes, b: bytes) -> None:
        self._witness = witness
        self._proof: bytes | None = None
        self.author = author
        self.lane = lane
        self.seq = seq
        self.a = a
        self.b = b

    @property
    def proof(self) -> bytes:
        """Bytes that convince anybody: see verify_equivocation(). Made when first asked for."""
        if self._proof is None:
            self._proof = self._witness._proof(self.author, self.lane, self.seq, self.a, self.b)
        return self._proof

    def _key(self) -> tuple[bytes, bytes, int, bytes, bytes]:
        return self.author, self.lane, self.seq, self.a, self.b

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Equivocation) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"<Equivocation of {self.author.hex()[:8]} at seq {self.seq}: {self.a.hex()[:8]} and {self.b.hex()[:8]}>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.equivocation(self)


class EquivocationList(Listing[Equivocation]):
    """A list of equivocations, sorted by lane and seq.

    >>> import crdtkv as ck
    >>> ck.Doc().equivocations() == []
    True
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each equivocation. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        columns = ("author", "lane", "seq", "a", "b")
        return frame([[getattr(lie, name) for name in columns] for lie in self], columns)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.equivocations(self)


class _Watchers:
    """Who is told of equivocations, and of which everybody has heard."""

    __slots__ = ("callbacks", "heard")

    def __init__(self, known: Iterable[Equivocation]) -> None:
        self.callbacks: dict[object, Callable[[Equivocation], object]] = {}
        self.heard: dict[tuple[bytes, int], object] = {(e.lane, e.seq): None for e in known}

    def is_new(self, e: Equivocation) -> bool:
        """True once for each (lane, seq), also if several threads ask."""
        token = object()
        return self.heard.setdefault((e.lane, e.seq), token) is token


class Witness:
    """What documents and datastores have in common: they see who tells two stories. What is abstract here is in C."""

    __slots__ = ()
    _watchers: Any

    @abstractmethod
    def _equivocations(self) -> list[tuple[bytes, bytes, int, bytes, bytes]]:
        """(author, lane, seq, a, b) of each equivocation, sorted."""

    @abstractmethod
    def _proof(self, author: bytes, lane: bytes, seq: int, a: bytes, b: bytes, /) -> bytes:
        """The proof of an equivocation."""

    @abstractmethod
    def _change(self, id: bytes, /) -> Change | None:
        """The change of this id."""

    def equivocations(self) -> EquivocationList:
        """Who told two stories: one entry for each place at which a lane forks, sorted.

        >>> import crdtkv as ck
        >>> ck.Doc().equivocations()
        []
        """
        return EquivocationList(Equivocation(self, *found) for found in self._equivocations())

    def observe_equivocations(self, callback: Callable[[Equivocation], object]) -> Subscription:
        """Call back once for each new (lane, seq) at which a lane forks, whichever way it came.

        Called after the change is applied, without any lock. Exceptions are gathered into an ExceptionGroup.
        """
        if not callable(callback):
            raise TypeError("callback must be callable")
        watchers: _Watchers | None = self._watchers
        if watchers is None:
            watchers = self._watchers = _Watchers(self.equivocations())
        key = object()
        watchers.callbacks[key] = callback
        return Subscription(lambda: watchers.callbacks.pop(key, None))

    def _announce(self) -> None:
        """Called after apply() while there are watchers."""
        watchers: _Watchers | None = self._watchers
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
