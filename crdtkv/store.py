"""Store: a key-value store without tombstones, for replicas that trust each other."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from datetime import timedelta
from threading import RLock
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from crdtkv import _core
from crdtkv.event import KeyEvent, Subscription
from crdtkv.map import plain_dict
from crdtkv.patch import MISSING

__all__ = ["Entries", "Store", "StoreClock", "StoreEntry", "StoreItems", "StoreKeys", "StoreValues", "Transaction"]

Key = str | bytes
Bounds = tuple[Key | None, Key | None, Key | None]  # prefix, start, stop

DRIFT = timedelta(minutes=10)
WATCHING = RLock()  # who comes while the last one goes is heard of; cancel() may run in a finalizer, anywhere


def order(key: Key) -> tuple[bytes, bool]:
    """What keys are in order of: their bytes, and on equal bytes str before bytes."""
    if isinstance(key, str):
        return key.encode(), False
    if isinstance(key, bytes):
        return bytes(key), True
    raise TypeError(f"a key must be str or bytes, not {type(key).__name__}")


def is_inside(key: Any, bounds: Bounds) -> bool:
    """Is a key in a range?"""
    prefix, start, stop = bounds
    place = order(key)
    return (
        (prefix is None or place[0].startswith(order(prefix)[0]))
        and (start is None or order(start) <= place)
        and (stop is None or place < order(stop))
    )


# ---- views


class Part:
    """What the views have in common: a range of a store, and a direction. Their base class wants the slots in them."""

    __slots__ = ()
    _what: ClassVar[int]  # what C goes through
    _of: StoreMethods
    _bounds: Bounds
    _reverse: bool

    def __len__(self) -> int:
        return len(self._of) if self._bounds == (None, None, None) else self._of._count(*self._bounds)

    def __iter__(self) -> Iterator[Any]:
        return self._of._scan(self._what, *self._bounds, self._reverse)

    def __reversed__(self) -> Iterator[Any]:
        return self._of._scan(self._what, *self._bounds, not self._reverse)


class StoreKeys(Part, KeysView[Key]):
    """The keys of a store, or of a range of it: as dict.keys(), in key order."""

    __slots__ = ("_bounds", "_of", "_reverse")
    _what = 0

    def __init__(self, of: StoreMethods, bounds: Bounds, reverse: bool) -> None:
        super().__init__(of)
        self._of, self._bounds, self._reverse = of, bounds, reverse

    def __contains__(self, key: object) -> bool:
        return key in self._of and is_inside(key, self._bounds)


class StoreValues(Part, ValuesView[Any]):
    """The values of a store, or of a range of it: as dict.values(), in key order."""

    __slots__ = ("_bounds", "_of", "_reverse")
    _what = 1

    def __init__(self, of: StoreMethods, bounds: Bounds, reverse: bool) -> None:
        super().__init__(of)
        self._of, self._bounds, self._reverse = of, bounds, reverse

    def __contains__(self, value: object) -> bool:
        return any(one is value or one == value for one in self)


class StoreItems(Part, ItemsView[Key, Any]):
    """The keys and values of a store, or of a range of it: as dict.items(), in key order."""

    __slots__ = ("_bounds", "_of", "_reverse")
    _what = 2

    def __init__(self, of: StoreMethods, bounds: Bounds, reverse: bool) -> None:
        super().__init__(of)
        self._of, self._bounds, self._reverse = of, bounds, reverse

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2 or item[0] not in self._of:
            return False
        key, value = item
        there = self._of.get(key, MISSING)
        return (there is value or there == value) and is_inside(key, self._bounds)


def checked(*bounds: Key | None) -> Bounds:
    """TypeError or ValueError for what cannot be a key, now and not when somebody iterates."""
    for key in bounds:
        if key is not None:
            order(key)
    prefix, start, stop = bounds
    return prefix, start, stop


# ---- the mapping


class StoreMethods(MutableMapping[Key, Any]):
    """What Store and Transaction have in common, beside what is in C: that is what is abstract here."""

    __slots__ = ()

    @abstractmethod
    def _scan(
        self, what: int, prefix: Key | None, start: Key | None, stop: Key | None, reverse: bool, /
    ) -> Iterator[Any]:
        """The keys (0), values (1) or both (2) of a range, one after the other."""

    @abstractmethod
    def _count(self, prefix: Key | None, start: Key | None, stop: Key | None, /) -> int:
        """How many keys are in a range."""

    @abstractmethod
    def _update(self, items: dict[Any, Any], /) -> None:
        """Set the keys of a dict, all or none."""

    @abstractmethod
    def to_py(self) -> dict[Key, Any]:
        """The content as a plain dict."""

    def keys(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> StoreKeys:
        """The keys, as dict.keys(), in key order: those that begin with `prefix` and are from `start` to before `stop`.

        Keys are in order of their bytes, a str before bytes if these are equal. A prefix fits keys of both types.
        Adding or removing keys while iterating is a RuntimeError. The length of a part is counted anew each time.

        >>> import crdtkv as ck
        >>> s = ck.Store()
        >>> s.update({"user/ben": 2, "user/ada": 1, "mode": "dark"})
        >>> list(s.keys("user/")), list(s.keys(start="n", reverse=True))
        (['user/ada', 'user/ben'], ['user/ben', 'user/ada'])
        """
        return StoreKeys(self, checked(prefix, start, stop), bool(reverse))

    def values(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> StoreValues:
        """The values, as dict.values(), in order of their keys. Arguments as those of keys()."""
        return StoreValues(self, checked(prefix, start, stop), bool(reverse))

    def items(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> StoreItems:
        """The keys and values, as dict.items(), in key order. Arguments as those of keys()."""
        return StoreItems(self, checked(prefix, start, stop), bool(reverse))

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Set many keys, as dict.update(); of a store, in one transaction. On TypeError and the like nothing is set."""
        if args and isinstance(args[0], StoreMethods):
            args = (args[0].to_py(), *args[1:])
        self._update(dict(*args, **kwargs))

    def __or__(self, other: Mapping[Any, Any]) -> dict[Key, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**plain(self), **plain(other)}

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Key, Any]:
        if not isinstance(other, Mapping):
            return NotImplemented
        return {**plain(other), **plain(self)}

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Key, Any]]) -> Self:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return plain(self) == plain(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def plain(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """The mapping as a dict of plain values; a store at one moment."""
    return mapping.to_py() if isinstance(mapping, StoreMethods) else plain_dict(mapping)


class Transaction(_core.Transaction, StoreMethods):
    """Writes to a store that become part of it at once, or never: a mapping that shows the store with them.

    Made by Store.transaction() or Store.begin(). Nobody else sees the writes before commit(). It belongs to its store,
    not to a thread. After commit() or abort() every use is a StaleHandleError; one that is dropped takes all back.

    >>> import crdtkv as ck
    >>> s = ck.Store()
    >>> s["from"] = 100
    >>> with s.transaction() as t:
    ...     t["from"] -= 10
    ...     t["to"] = 10
    ...     t["from"], s["from"], len(t), len(s)
    (90, 100, 2, 1)
    >>> s == {"from": 90, "to": 10}
    True
    """

    __slots__ = ("__weakref__",)


# ---- looking inside


class StoreEntry(NamedTuple):
    """A value of a store: who put it there (an incarnation) and when (a hybrid logical time, `ms << 16 | counter`)."""

    value: Any
    peer: bytes
    hlc: int


class Entries(dict[Key, StoreEntry]):
    """The entries of a store by key, in key order: a dict that says how many it has instead of all of them.

    >>> import crdtkv as ck
    >>> ck.Store().entries()
    <Entries: 0 keys>
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Entries: {len(self)} key{'s' * (len(self) != 1)}>"


class StoreClock:
    """The clock of a store: `ms << 16 | counter`, never less than any time that was issued or seen.

    >>> import crdtkv as ck
    >>> s = ck.Store(clock=lambda: 5)
    >>> s.clock.last, s.clock.now() == 5 << 16
    (0, True)
    >>> s["x"] = 1
    >>> s.clock.last == 5 << 16, s.clock.now() == (5 << 16 | 1)
    (True, True)
    """

    __slots__ = ("_store",)

    def __init__(self, store: _core.Store) -> None:
        self._store = store

    def now(self) -> int:
        """What the next put would get. LimitError: the clock is at its end."""
        return self._store._next_hlc()

    @property
    def last(self) -> int:
        """The greatest time issued or seen; 0 if there is none."""
        return self._store._last_hlc

    def __repr__(self) -> str:
        return f"<StoreClock at {self.last >> 16} ms, {self.last & 0xFFFF}>"


# ---- the store


class Store(_core.Store, StoreMethods):
    """A key-value store without tombstones, for replicas that trust each other: one's own devices, one's own servers.

    Nothing is signed, and whoever can send a message can change everything. Among others use Doc or Datastore.

    A mapping from str or bytes (two keys, if they are of two types) to None, bool, int, float, str, bytes, and lists
    and dicts of these, which are opaque: they are read back as fresh objects, and change by being set. Keys are in
    order of their bytes; `s["a":"m"]` is a dict of a range. Replicas agree by diffs, ops or op sets in any mixture; of
    two concurrent puts the later one is shown, see conflicts(), and a put beats a concurrent remove. What is removed
    leaves nothing behind. May be used from several threads.

    `peer_id` is a name for people, random if not given. Writes belong to an *incarnation* of it: the name, b"/" and 8
    random bytes, drawn at the first write of each new, loaded or copied object (`incarnation` fixes it), so that a lost
    or cloned disk harms nobody. `clock` gives int milliseconds; who is ahead of it by more than `max_drift` (None: no
    limit) is refused with a ClockDriftError.

    >>> import crdtkv as ck
    >>> phone, laptop = ck.Store("phone"), ck.Store("laptop")
    >>> phone["theme"] = "dark"
    >>> laptop["fonts"] = ["serif", {"size": 12}]
    >>> diff = phone.build_diff(laptop.request_diff())      # bytes, over anything
    >>> bool(laptop.integrate_diff(diff)), list(laptop)
    (True, ['fonts', 'theme'])
    >>> laptop
    <Store 'laptop': 2 keys>
    """

    __slots__ = ("__weakref__",)

    def __new__(
        cls,
        peer_id: Key | None = None,
        *,
        clock: Callable[[], int] | None = None,
        max_drift: timedelta | None = DRIFT,
        incarnation: bytes | None = None,
    ) -> Self:
        name = os.urandom(8).hex() if peer_id is None else peer_id
        return super().__new__(cls, name, clock, milliseconds(max_drift), incarnation)

    @property
    def clock(self) -> StoreClock:
        """The hybrid logical clock."""
        return StoreClock(self)

    # ---- transactions

    def transaction(self) -> Transaction:
        """A transaction, open from now on; as a context manager it commits at the end and aborts on an exception.

        While it is open, only it writes: set, update(), clear(), integrate_diff() and the like, opset() and another
        transaction are a RuntimeError. Reads of the store show it as it was.

        >>> import crdtkv as ck
        >>> s = ck.Store()
        >>> with s.transaction() as t:
        ...     t["x"] = 1
        ...     del t["x"]
        ...     t["y"] = 2
        >>> s == {"y": 2}
        True
        """
        return Transaction(self)

    def begin(self) -> Transaction:
        """The same as transaction(), to be ended by commit(), commit_with_ops() or abort()."""
        return Transaction(self)

    # ---- looking inside

    def entries(self) -> Entries:
        """All entries by key: value, incarnation that put it, time. Equal on replicas that agree. Copies all.

        >>> import crdtkv as ck
        >>> s = ck.Store("me", clock=lambda: 5, incarnation=bytes(8))
        >>> s["x"] = 1
        >>> s.entries()["x"]
        StoreEntry(value=1, peer=b'me/\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00', hlc=327680)
        """
        return Entries((key, StoreEntry(value, peer, hlc)) for key, value, peer, hlc in self._entries())

    def conflicts(self, key: Key, /) -> list[StoreEntry]:
        """All values of a key that nobody's put or remove had seen and superseded; the shown one comes first.

        [] if the key is not there. The next put or remove here supersedes them all.

        >>> import crdtkv as ck
        >>> a, b = ck.Store(), ck.Store()
        >>> a["x"], b["x"] = 1, 2
        >>> report = a.integrate_diff(b.build_diff(a.request_diff()))
        >>> sorted(entry.value for entry in a.conflicts("x"))
        [1, 2]
        """
        return [StoreEntry(*row) for row in self._conflicts(key)]

    # ---- copies

    @classmethod
    def load(
        cls,
        data: bytes,
        peer_id: Key | None = None,
        *,
        clock: Callable[[], int] | None = None,
        max_drift: timedelta | None = DRIFT,
        incarnation: bytes | None = None,
    ) -> Self:
        """The store that save() wrote, under its old name unless `peer_id` gives another. DecodeError: it is no save.

        It writes as a new incarnation, so any number of copies of one save may be in use.

        >>> import crdtkv as ck
        >>> s = ck.Store("phone")
        >>> s["x"] = 1
        >>> copy = ck.Store.load(s.save())
        >>> copy.peer_id, copy == s, copy.incarnation
        ('phone', True, None)
        """
        new = _core.Store.__new__(cls, peer_id, clock, milliseconds(max_drift), incarnation, data)
        init: Any = cls.__init__
        if init is not object.__init__:  # a subclass has its own, which finds the content there
            init(new, peer_id, clock=clock, max_drift=max_drift, incarnation=incarnation)
        return new

    def copy(self) -> Self:
        """A store of the same name and content, which goes its own way as another incarnation."""
        drift = None if self._drift is None else timedelta(milliseconds=self._drift)
        return self.load(self.save(), clock=self._clock, max_drift=drift)

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[type[Self], bytes, int | None]]:
        return revived, (type(self), self.save(), self._drift)

    def session(self) -> _core.StoreSession:
        """One end of an exchange with another replica, over any transport; see StoreSession. Any number may be open."""
        return _core.StoreSession(self)

    # ---- events

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
        if not callable(callback):
            raise TypeError("callback must be callable")
        start = None if prefix is None else order(prefix)[0]
        token = object()
        with WATCHING:
            observers: dict[object, tuple[Callable[[KeyEvent], object], bytes | None]] | None = self._observers
            if observers is None:
                observers = self._observers = {}
            observers[token] = callback, start
            self._watch(True)

        def cancel() -> None:
            with WATCHING:
                observers.pop(token, None)
                if not observers:
                    self._watch(False)

        return Subscription(cancel)

    def _tell(self) -> None:
        """Called without any lock while there are news, by one thread at a time."""
        observers: dict[object, tuple[Callable[[KeyEvent], object], bytes | None]] = self._observers or {}
        errors: list[Exception] = []
        while news := self._take_news():
            for row in news:
                event = KeyEvent(*row)
                place = order(event.key)[0]
                for token in list(observers):
                    callback, start = observers.get(token, (None, None))
                    if callback is None or (start is not None and not place.startswith(start)):
                        continue  # cancelled by another callback, or not for it
                    try:
                        callback(event)
                    except Exception as error:
                        errors.append(error)
        if errors:
            raise ExceptionGroup("callbacks of observe() failed", errors)


S = TypeVar("S", bound=Store)


def milliseconds(drift: timedelta | None) -> int | None:
    """A drift as the core has it."""
    if drift is None:
        return None
    if not isinstance(drift, timedelta):
        raise TypeError(f"max_drift must be a timedelta or None, not {type(drift).__name__}")
    if drift < timedelta(0):
        raise ValueError("max_drift must not be negative")
    return drift // timedelta(milliseconds=1)


def revived(cls: type[S], data: bytes, drift: int | None) -> S:
    """What was pickled."""
    return cls.load(data, max_drift=None if drift is None else timedelta(milliseconds=drift))
