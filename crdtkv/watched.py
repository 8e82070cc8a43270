"""Watched: who is told of keys that change, in a store or a datastore."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from threading import RLock
from typing import Any

from crdtkv.event import KeyEvent, Subscription
from crdtkv.ordered import Key, order

__all__ = ["Watched"]

WATCHING = RLock()  # who comes while the last one goes is heard of; cancel() may run in a finalizer, anywhere


class KeyObserver:
    """Who observes keys: all that begin with a prefix, and of their events those that are wanted."""

    __slots__ = ("callback", "prefix", "wants")

    def __init__(
        self, callback: Callable[[KeyEvent], object], prefix: bytes, wants: Callable[[KeyEvent], bool]
    ) -> None:
        self.callback, self.prefix, self.wants = callback, prefix, wants

    def hears(self, event: KeyEvent, place: bytes) -> bool:
        return place.startswith(self.prefix) and self.wants(event)


class Watched:
    """What Store and Datastore have in common: observers of keys. What is abstract here is in C."""

    __slots__ = ()
    _observers: Any

    @abstractmethod
    def _watch(self, on: bool, /) -> None:
        """Shall writes leave news from now on?"""

    @abstractmethod
    def _take_news(self) -> list[tuple[Key, Any, Any, bytes | None, bool]]:
        """(key, old, new, author, is_local) of events that are to be told; [] when there are no more."""

    def observe(self, callback: Callable[[KeyEvent], object], prefix: Key | None = None) -> Subscription:
        """Call back with a KeyEvent for each key whose shown value changed, after each write, transaction or message.

        `prefix`: only keys that begin with it. Called after everything of a call is done, without any lock, one event
        after the other: what a callback writes is told after that. Exceptions of callbacks undo nothing and are
        gathered into an ExceptionGroup, raised last. Costs nothing while nobody observes.

        >>> import crdtkv as ck
        >>> s = ck.Store()
        >>> with s.observe(lambda event: print(event.key, event.old, event.new)):
        ...     s["x"] = 1
        ...     s["x"] = 2
        x MISSING 1
        x 1 2
        """
        return self._observe(callback, prefix, lambda event: True)

    def _observe(
        self, callback: Callable[[KeyEvent], object], prefix: Key | None, wants: Callable[[KeyEvent], bool]
    ) -> Subscription:
        if not callable(callback):
            raise TypeError("callback must be callable")
        observer = KeyObserver(callback, b"" if prefix is None else order(prefix)[0], wants)
        with WATCHING:
            observers: dict[KeyObserver, None] | None = self._observers
            if observers is None:
                observers = self._observers = {}
            observers[observer] = None
            self._watch(True)

        def cancel() -> None:
            with WATCHING:
                observers.pop(observer, None)
                if not observers:
                    self._watch(False)

        return Subscription(cancel)

    def _tell(self) -> None:
        """Called without any lock while there are news, by one thread at a time."""
        observers: dict[KeyObserver, None] = self._observers or {}
        errors: list[Exception] = []
        while news := self._take_news():
            for row in news:
                event = KeyEvent(*row)
                place = order(event.key)[0]
                for observer in list(observers):
                    if observer not in observers or not observer.hears(event, place):
                        continue  # cancelled by another callback, or not for it
                    try:
                        observer.callback(event)
                    except Exception as error:
                        errors.append(error)
        if errors:
            raise ExceptionGroup("callbacks of observe() failed", errors)
