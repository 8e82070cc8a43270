"""What tests of datastores need again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import crdtkv as ck

ID = bytes(range(32))
LONG = "long enough to stand apart from its header " * 3


class Clock:
    """Milliseconds that go on when told to."""

    def __init__(self, now: int = 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def wait(self, ms: int) -> None:
        self.now += ms


def identity(n: int) -> ck.Identity:
    return ck.Identity.from_seed(bytes([n]) * 32)


def datastore(n: int = 1, **options: Any) -> ck.Datastore:
    """A replica of one and the same datastore, in memory, by author n."""
    return ck.Datastore(identity(n), id=options.pop("id", ID), **options)


def meet(*stores: ck.Datastore) -> None:
    """Everybody gets all."""
    for _ in range(2):
        for other in stores[1:]:
            ck.sync(stores[0], other)


def talk(a: ck.Session, b: ck.Session, limit: int = 200) -> list[bytes]:
    """Two sessions, stepped in turns until both are silent; what was sent."""
    sent: list[bytes] = []
    silent = turn = 0
    ends = [a, b]
    while silent < 2:
        message = ends[turn % 2].send()
        silent = silent + 1 if message is None else 0
        if message is not None:
            sent.append(message)
            ends[1 - turn % 2].receive(message)
        turn += 1
        assert turn < limit, "they talk for ever"
    return sent


def content(kv: ck.Datastore) -> Any:
    """All that can be seen of keys and counters."""
    return (
        [(key, type(key), typed(value)) for key, value in kv.query()],
        {key: [typed(value) for value in kv.conflicts(key).values()] for key in kv},
        [list(kv.conflicts(key)) for key in kv],
        {name: kv.counter(name).by_author() for name in kv.counters()},
    )


def state(kv: ck.Datastore) -> Any:
    return content(kv), kv.root, kv.heads


def typed(value: Any) -> Any:
    """Tells 1, 1.0 and True apart, and 0.0 from -0.0."""
    if isinstance(value, list):
        return ["list", *map(typed, value)]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return type(value).__name__, repr(value)


def assert_equal(*stores: ck.Datastore) -> None:
    first = state(stores[0])
    for other in stores[1:]:
        assert state(other) == first


def order(key: str | bytes) -> tuple[bytes, bool]:
    """Keys are ordered by their bytes, and then str before bytes."""
    return (key, True) if isinstance(key, bytes) else (key.encode(), False)


def in_order(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(mapping.items(), key=lambda item: order(item[0]))


def put_all(kv: ck.Datastore, pairs: Iterable[tuple[Any, Any]]) -> None:
    with kv.batch() as b:
        for key, value in pairs:
            b.put(key, value)
