"""Stores whose time a test sets, how they meet, and all that can be asked of their state."""

from __future__ import annotations

from typing import Any

import crdtkv as ck

NOON = 1_700_000_000_000  # milliseconds; where the clocks of tests stand


class Clock:
    """Milliseconds that stand still until a test moves them.

    >>> clock = Clock(5)
    >>> clock.ms += 1
    >>> clock()
    6
    """

    def __init__(self, ms: int = NOON) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


def store(name: str = "a", ms: int = NOON, **options: Any) -> ck.Store:
    """A store whose clock stands at `ms` and whose incarnation is known: of two with one hlc the later name wins.

    >>> s = store("b")
    >>> s["k"] = 1
    >>> s.incarnation, s.entries()["k"].hlc == NOON << 16
    (b'b/bbbbbbbb', True)
    """
    options.setdefault("clock", Clock(ms))
    options.setdefault("incarnation", (name * 8).encode()[:8])
    return ck.Store(name, **options)


def pull(taker: ck.Store, giver: ck.Store) -> ck.Report[str | bytes]:
    """What the giver has comes to the taker.

    >>> a, b = store("a"), store("b")
    >>> a["k"] = 1
    >>> pull(b, a).applied
    ('k',)
    """
    return taker.integrate_diff(giver.build_diff(taker.request_diff()))


def meet(*stores: ck.Store) -> None:
    """Everyone pulls from everyone, so often that all is everywhere."""
    for _ in range(2):
        for taker in stores:
            for giver in stores:
                if taker is not giver:
                    pull(taker, giver)


def whole(s: ck.Store) -> dict[str | bytes, list[tuple[Any, bytes, int]]]:
    """All that is live, hidden values too: equal on replicas that have met."""
    return {key: [(e.value, e.peer, e.hlc) for e in s.conflicts(key)] for key in s}


def state(s: ck.Store) -> tuple[bytes, dict[str | bytes, Any], int]:
    """What refused input must leave as it was: what is stored, what is shown, the clock."""
    return s.save(), dict(s.entries()), s.clock.last


def assert_equal(*stores: ck.Store) -> None:
    """They hold the same, down to what is hidden and what they know of each other."""
    first = stores[0]
    for other in stores[1:]:
        assert whole(other) == whole(first)
        assert dict(other.entries()) == dict(first.entries())
        assert other.request_diff() == first.request_diff()


def assert_sound(s: ck.Store) -> None:
    """What it shows in one way it shows in every way, and it can be stored, copied and written."""
    keys = list(s)
    assert len(keys) == len(s) == len(set(keys)) and dict(s.entries()).keys() == set(keys)
    assert keys == sorted(keys, key=in_order) and list(reversed(s)) == keys[::-1]
    for key, value in s.items():
        entries = s.conflicts(key)
        assert entries and s.entries()[key] == entries[0] and repr(entries[0].value) == repr(value)
        assert entries == sorted(entries, key=lambda e: (e.hlc, e.peer), reverse=True)
    again = ck.Store.load(s.save(), max_drift=None)
    fresh = ck.Store(max_drift=None)
    pull(fresh, s)
    assert repr(whole(again)) == repr(whole(fresh)) == repr(whole(s))
    assert again.request_diff() == fresh.request_diff() == s.request_diff()
    for key in keys:
        again[key] = 1
        del again[key]
    assert len(again) == 0
    pull(fresh, again)
    assert len(fresh) == 0


def in_order(key: str | bytes) -> tuple[bytes, bool]:
    """What keys are sorted by: their bytes, a str before bytes that are equal to it."""
    return (key.encode(), False) if isinstance(key, str) else (key, True)
