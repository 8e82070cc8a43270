"""Store: a key-value store without tombstones, for replicas that trust each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, Self, TypeVar

from crdtkv import _core
from crdtkv.brief import briefly
from crdtkv.errors import StaleHandleError
from crdtkv.listing import Listing
from crdtkv.ordered import Key, OrderedMapping
from crdtkv.watched import Watched

__all__ = ["Entries", "Store", "StoreClock", "StoreConflicts", "StoreEntry", "Transaction"]

DRIFT = timedelta(minutes=10)


class Transaction(_core.Transaction, OrderedMapping):
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

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.transaction(self)


# ---- looking inside


@briefly
class StoreEntry(NamedTuple):
    """A value of a store: who put it there (an incarnation) and when (a hybrid logical time, `ms << 16 | counter`).

    >>> import crdtkv as ck
    >>> s = ck.Store("phone", clock=lambda: 1_700_000_000_000)
    >>> s["volume"] = 7
    >>> entry = s.entries()["volume"]
    >>> entry.value, entry.peer.startswith(b"phone/"), entry.hlc >> 16
    (7, True, 1700000000000)
    """

    value: Any
    peer: bytes
    hlc: int

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.store_entry(self)


class Entries(dict[Key, StoreEntry]):
    """The entries of a store by key, in key order: a dict that says how many it has instead of all of them.

    >>> import crdtkv as ck
    >>> ck.Store().entries()
    <Entries: 0 keys>
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Entries: {len(self)} key{'s' * (len(self) != 1)}>"

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each key. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(((key, *entry) for key, entry in self.items()), ("key", *StoreEntry._fields))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.entries(self)


class StoreConflicts(Listing[StoreEntry]):
    """All values of a key, the shown one first: a list.

    >>> import crdtkv as ck
    >>> s = ck.Store()
    >>> s["x"] = 1
    >>> [entry.value for entry in s.conflicts("x")]
    [1]
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each value. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self, StoreEntry._fields)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.store_conflicts(self)


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
        try:
            last = self.last
        except StaleHandleError:
            return "<StoreClock: closed>"
        return f"<StoreClock at {last >> 16} ms, {last & 0xFFFF}>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.clock(self)


# ---- the store


class Store(_core.Store, OrderedMapping, Watched):
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

    def conflicts(self, key: Key, /) -> StoreConflicts:
        """All values of a key that nobody's put or remove had seen and superseded; the shown one comes first.

        [] if the key is not there. The next put or remove here supersedes them all.

        >>> import crdtkv as ck
        >>> a, b = ck.Store(), ck.Store()
        >>> a["x"], b["x"] = 1, 2
        >>> report = a.integrate_diff(b.build_diff(a.request_diff()))
        >>> sorted(entry.value for entry in a.conflicts("x"))
        [1, 2]
        """
        return StoreConflicts(StoreEntry(*row) for row in self._conflicts(key))

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

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.store(self)


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
