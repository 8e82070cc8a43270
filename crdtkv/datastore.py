"""Datastore: a replicated key-value datastore whose peers need not be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self

from crdtkv import _core
from crdtkv.crowd import Crowd
from crdtkv.entry import Conflicts, Entry, History, key_of, merged
from crdtkv.errors import StaleHandleError
from crdtkv.event import KeyEvent, Subscription
from crdtkv.identity import Identity
from crdtkv.ordered import Key, OrderedItems, OrderedKeys, OrderedMapping, OrderedValues, order
from crdtkv.patch import MISSING
from crdtkv.replica import Clock, Replica
from crdtkv.watched import Watched

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Counters", "Datastore"]


class Counters(Mapping[Key, int]):
    """The counters of a datastore by name, in order of their names: a mapping to their totals, read as it is asked.

    >>> import crdtkv as ck
    >>> kv = ck.Datastore()
    >>> kv.counter("views/1").increment(3)
    >>> kv.counter("views/2").increment()
    >>> list(kv.counters("views/")), dict(kv.counters())
    (['views/1', 'views/2'], {'views/1': 3, 'views/2': 1})
    """

    __slots__ = ("_of", "_place", "_prefix")

    def __init__(self, of: Datastore, prefix: Key) -> None:
        self._of, self._prefix = of, prefix
        self._place = order(prefix)[0]

    def __getitem__(self, name: Key) -> int:
        for found, total in self._of._totals(name):
            if found == name and order(name)[0].startswith(self._place):
                return total
            if order(found)[0] != order(name)[0]:
                break
        raise KeyError(name)

    def __iter__(self) -> Iterator[Key]:
        return map(itemgetter(0), self._of._totals(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        try:
            n = len(self)
        except StaleHandleError:
            return f"<Counters of {self._of!r}>"
        return f"<Counters of {self._of!r}: {n} names>"

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each counter: `name` and `total`. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self.items(), ("name", "total"))

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.counters(self)


class Datastore(_core.Datastore, OrderedMapping, Watched, Replica):
    """One replica of a key-value datastore that anybody may write to: signed changes, values, counters; a mapping.

    Keys are str or bytes (two keys, if they are of two types) in order of their bytes; values None, bool, int, float,
    str, bytes, and lists and dicts of these, which are opaque: read back as fresh objects, changed by being set. Of two
    concurrent puts both are kept, see conflicts(), until one supersedes them, and the greater one is shown; a delete
    removes what its author had seen. len() counts the keys one by one.

    In memory; db.datastore(name) is one in a file, and may be larger than memory. `identity` signs its changes; one is
    made if none is given. `id` (32 bytes) names the datastore; a new one is random. `clock` gives the time of changes
    in int milliseconds. With `compliance` nothing is ever dropped by compact(). Lone writes gather in an open change
    until commit(), a look from outside such as `heads`, a write to another DAG, 1,000 of them, or 256 KiB. May be used
    from several threads.

    >>> import crdtkv as ck
    >>> kv = ck.Datastore()
    >>> kv["user/ada"] = {"mail": "ada@example.org", "langs": ["en", "fr"]}
    >>> with kv.batch() as b:
    ...     b.put("user/ben", None)
    ...     b.increment("visits")
    >>> other = kv.fork(ck.Identity.generate())
    >>> other.counter("visits").increment(2)
    >>> del other["user/ben"]
    >>> bool(kv.merge(other)), list(kv), kv.counter("visits") == 3
    (True, ['user/ada'], True)
    """

    __slots__ = ("__weakref__",)
    _id_of = staticmethod(_core._datastore_id_of)

    def __new__(
        cls,
        identity: Identity | None = None,
        *,
        id: bytes | None = None,
        clock: Clock | None = None,
        compliance: bool = False,
    ) -> Self:
        return super().__new__(cls, identity, id=id, clock=clock, compliance=compliance)

    # ---- as a mapping

    def keys(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> OrderedKeys:
        """The keys, as dict.keys(), in key order: those that begin with `prefix` and are from `start` to before `stop`.

        A prefix fits keys of both types. Iteration goes on while others write. The length is counted anew each time.

        >>> import crdtkv as ck
        >>> kv = ck.Datastore()
        >>> kv.update({"user/ben": 2, "user/ada": 1, "mode": "dark"})
        >>> list(kv.keys("user/")), len(kv.keys(start="n"))
        (['user/ada', 'user/ben'], 2)
        """
        return super().keys(prefix, start=start, stop=stop, reverse=reverse)

    def values(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> OrderedValues:
        """The values, as dict.values(), in order of their keys. Arguments as those of keys()."""
        return super().values(prefix, start=start, stop=stop, reverse=reverse)

    def items(
        self, prefix: Key | None = None, *, start: Key | None = None, stop: Key | None = None, reverse: bool = False
    ) -> OrderedItems:
        """The keys and values, as dict.items(), in key order. Arguments as those of keys()."""
        return super().items(prefix, start=start, stop=stop, reverse=reverse)

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Set many keys, as dict.update(), in a batch. On TypeError and the like nothing is set."""
        super().update(*args, **kwargs)

    def to_py(self) -> dict[Key, Any]:
        """The content as a plain dict in key order. Copies all."""
        return dict(self.query())

    # ---- looking inside

    def conflicts(self, key: Key, /) -> Conflicts:
        """All values of a key that no write has superseded, by the op that put them; the shown one first. {}: absent.

        Closes the open change.

        >>> import crdtkv as ck
        >>> a = ck.Datastore()
        >>> b = a.fork(ck.Identity.generate())
        >>> a["x"], b["x"] = 1, 2
        >>> report = a.merge(b)
        >>> sorted(a.conflicts("x").values()), len(a.conflicts("y"))
        ([1, 2], 0)
        """
        return merged(self._conflicts(key), self)

    def history(self, key: Key, /) -> History:
        """Who wrote what to a key, newest first, while it is kept: compact() drops it. Reads the whole record.

        >>> import crdtkv as ck
        >>> kv = ck.Datastore()
        >>> kv["x"] = 1
        >>> del kv["x"]
        >>> [(entry.kind, entry.value, entry.change) for entry in kv.history("x")]
        [('delete', None, None), ('put', 1, None)]
        """
        rows = (
            Entry(key, value, author, change, time, "put" if is_put else "delete")
            for is_put, value, author, change, time in self._history(key)
        )
        return History(rows, key_of(self))

    # ---- counters

    def counters(self, prefix: Key = b"") -> Counters:
        """The counters whose names begin with `prefix`, as a mapping from names to totals; see Counters."""
        return Counters(self, prefix)

    def top(self, n: int, prefix: Key = b"") -> list[tuple[Key, int]]:
        """The `n` counters with the greatest totals, the greatest first. Looks at all whose names begin with `prefix`.

        >>> import crdtkv as ck
        >>> kv = ck.Datastore()
        >>> for page, views in ("a", 3), ("b", 9), ("c", 5):
        ...     kv.counter(f"views/{page}").increment(views)
        >>> kv.top(2, "views/")
        [('views/b', 9), ('views/c', 5)]
        """
        import heapq  # few need it: the import of crdtkv stays fast

        return heapq.nlargest(n, self._totals(prefix), key=itemgetter(1))

    def crowd(self, name: str, /) -> Crowd:
        """The set of that name of who did something, to stand beside a counter of how often; see Crowd."""
        return Crowd(self, name)

    # ---- events

    def observe(self, callback: Callable[[KeyEvent], object], prefix: Key | None = None) -> Subscription:
        """Call back with a KeyEvent for each key whose shown value changed, after each change; a lone write at once.

        `prefix`: only keys that begin with it. Called after everything of a call is done, without any lock, one event
        after the other: what a callback writes is told after that. Exceptions of callbacks undo nothing and are
        gathered into an ExceptionGroup, raised last. Costs nothing while nobody observes.

        >>> import crdtkv as ck
        >>> kv = ck.Datastore()
        >>> with kv.observe(lambda event: print(event.key, event.old, event.new, event.is_local), prefix="x"):
        ...     kv["x"] = 1
        ...     kv["y"] = 2
        x MISSING 1 True
        """
        return super().observe(callback, prefix)

    def on_put(self, callback: Callable[[KeyEvent], object], prefix: Key | None = None) -> Subscription:
        """Call back as observe() does, of keys that show a new value.

        >>> import crdtkv as ck
        >>> kv = ck.Datastore()
        >>> subscription = kv.on_put(lambda event: print("put", event.key, event.new))
        >>> kv["x"] = 1
        put x 1
        >>> del kv["x"]
        """
        return self._observe(callback, prefix, lambda event: event.new is not MISSING)

    def on_delete(self, callback: Callable[[KeyEvent], object], prefix: Key | None = None) -> Subscription:
        """Call back as observe() does, of keys that are gone.

        >>> import crdtkv as ck
        >>> kv = ck.Datastore()
        >>> subscription = kv.on_delete(lambda event: print("gone", event.key, event.old))
        >>> kv["x"] = 1
        >>> del kv["x"]
        gone x 1
        """
        return self._observe(callback, prefix, lambda event: event.new is MISSING)

    # ---- for others to read

    def to_sql(self, target: sqlite3.Connection | str | os.PathLike[str], table: str = "kv", prefix: Key = b"") -> int:
        """Write keys and values to a table of an SQLite database, in place of what it was; how many rows it has now.

        `target`: a connection, or the path of a file. Columns: `key` (TEXT or BLOB), `type` and `value`, native where
        SQLite has it, else JSON (bytes inside as {"bytes": base64}), which its json_extract() reads. One transaction.

        >>> import crdtkv as ck, sqlite3
        >>> kv = ck.Datastore()
        >>> kv.update({"user/ada": {"age": 36}, "user/ben": {"age": 52}, "mode": "dark"})
        >>> db = sqlite3.connect(":memory:")
        >>> kv.to_sql(db, "users", prefix="user/")
        2
        >>> db.execute("SELECT key FROM users WHERE json_extract(value, '$.age') > 40").fetchall()
        [('user/ben',)]
        >>> db.close()
        """
        from crdtkv.table import write_table  # imports sqlite3

        return write_table(target, table, self.query(prefix))

    def prometheus(self, prefix: Key = b"") -> bytes:
        """The counters whose names begin with `prefix`, as text that Prometheus reads. Needs crdtkv[prometheus].

        Each is a sample of the gauge crdtkv_counter with its name as a label; Prometheus itself keeps floats. For a
        registry of one's own see crdtkv.prometheus.CounterCollector.
        """
        from crdtkv.prometheus import exposition

        return exposition(self, prefix)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.datastore(self)
