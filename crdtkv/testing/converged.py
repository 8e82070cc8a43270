"""assert_converged: do these replicas agree, and if not, where and since which change?"""

from __future__ import annotations

from typing import Any

from crdtkv._core import Change
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.ordered import order
from crdtkv.patch import MISSING
from crdtkv.store import Store

__all__ = ["assert_converged", "difference", "shown"]

SHOWN = 200  # characters of a value in a message


def assert_converged(*replicas: Doc | Datastore | Store) -> None:
    """Raise AssertionError unless all replicas hold the same changes and show the same.

    Of datastores: the same keys with the same values in conflict, and the same parts of the same counters.

    Of stores: the same values under the same dots, hidden ones too, and the same bookmarks; then the message names two
    replicas and a key with its entries.

    The message names two replicas, the first path at which they differ with both values, the first change that not all
    hold, heads and roots. 1, 1.0 and True are three values here; NaN is equal to itself. Closes open changes.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> a = ck.Doc()
    >>> b = a.fork()
    >>> testing.assert_converged(a, b)
    >>> a["x"] = {"y": 1}
    >>> testing.assert_converged(a, b)
    Traceback (most recent call last):
        ...
    AssertionError: replicas 0 and 1 differ at ('x',): {'y': 1} is not MISSING
    the first change that not all hold: ... (seq 0 of lane ...), held by 0
    heads of 0: ...
    heads of 1: none
    root of 0: ...
    root of 1: ...
    """
    docs = tuple(replica for replica in replicas if isinstance(replica, Doc | Datastore))
    stores = tuple(replica for replica in replicas if isinstance(replica, Store))
    if len({kind for kind in (Doc, Datastore, Store) for replica in replicas if isinstance(replica, kind)}) > 1:
        raise AssertionError("documents, datastores and stores never converge")
    if len({doc.id for doc in docs}) > 1:
        raise AssertionError(
            f"replicas of different {'documents' if isinstance(docs[0], Doc) else 'datastores'} never converge"
        )
    for i in range(1, len(docs)):
        _compare(docs, i)
    for i in range(1, len(stores)):
        _compare_stores(stores[0], stores[i], i)


def _compare_stores(a: Store, b: Store, i: int) -> None:
    for key in sorted({*a, *b}, key=order):
        x, y = a.conflicts(key), b.conflicts(key)
        same_dots = [(e.peer, e.hlc) for e in x] == [(e.peer, e.hlc) for e in y]
        if not same_dots or any(difference(e.value, f.value) for e, f in zip(x, y, strict=True)):
            raise AssertionError(f"stores 0 and {i} differ at {key!r}: {_shown(x)} is not {_shown(y)}")
    if a.request_diff() != b.request_diff():
        raise AssertionError(f"stores 0 and {i} show the same, but one has seen more: pull once more")


def shown(replica: Doc | Datastore) -> dict[Any, Any]:
    """All that a replica shows, as plain values."""
    if isinstance(replica, Doc):
        return replica.to_py()
    keys = {key: list(replica.conflicts(key).items()) for key in list(replica)}
    counters = {name: replica.counter(name).by_author() for name in replica.counters()}
    return {"keys": keys, "counters": counters}


def _compare(replicas: tuple[Doc | Datastore, ...], i: int) -> None:
    a, b = replicas[0], replicas[i]
    found = difference(shown(a), shown(b))
    same_evidence = [(e.lane, e.seq, e.a, e.b) for e in a.equivocations()] == [
        (e.lane, e.seq, e.a, e.b) for e in b.equivocations()
    ]
    if found is None and same_evidence and a.root == b.root and a.heads == b.heads:
        return
    if found:
        path, x, y = found
        lines = [f"replicas 0 and {i} differ at {path}: {_shown(x)} is not {_shown(y)}"]
    elif a.root != b.root or a.heads != b.heads:
        lines = [f"replicas 0 and {i} show the same, but hold different changes"]
    else:
        lines = [f"replicas 0 and {i} show the same, but know of different equivocations"]
    lines.append(_first_change(replicas))
    for name in ("heads", "root"):
        for k in (0, i):
            ids = replicas[k].heads if name == "heads" else (replicas[k].root,)
            lines.append(f"{name} of {k}: {' '.join(id.hex() for id in ids[:8]) or 'none'}{' ...' * (len(ids) > 8)}")
    raise AssertionError("\n".join(lines))


def _first_change(replicas: tuple[Doc | Datastore, ...]) -> str:
    """Of the changes that not all hold and all of whose ancestors all do, that with the smallest id."""
    histories = [replica.changes() for replica in replicas]
    held = [{change.id for change in history} for history in histories]
    common = set.intersection(*held)
    firsts: list[Change] = []
    for history in histories:
        firsts += [change for change in history if change.id not in common][:1]
    if not firsts:
        return "all hold the same changes"
    first = min(firsts, key=lambda change: change.id)
    by = ", ".join(str(k) for k, ids in enumerate(held) if first.id in ids)
    return (
        f"the first change that not all hold: {first.id.hex()} (seq {first.seq} of lane {first.lane.hex()[:16]} "
        f"by {first.author.hex()[:16]}), held by {by}"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def _same(a: object, b: object) -> bool:
    if type(a) is not type(b):
        return False
    return repr(a) == repr(b) if isinstance(a, float) else a == b  # NaN is NaN, 0.0 is not -0.0


def difference(a: Any, b: Any, path: tuple[Any, ...] = ()) -> tuple[tuple[Any, ...], Any, Any] | None:
    """The first place at which two plain values differ, as (path, value there in a, value there in b)."""
    if type(a) is not type(b):
        return path, a, b
    keys: Any
    if isinstance(a, dict):
        keys = sorted({*a, *b}, key=order)
        pairs = ((key, a.get(key, MISSING), b.get(key, MISSING)) for key in keys)
    elif isinstance(a, list | tuple):
        keys = range(max(len(a), len(b)))
        pairs = ((k, a[k] if k < len(a) else MISSING, b[k] if k < len(b) else MISSING) for k in keys)
    elif isinstance(a, set):
        return None if {(type(x), repr(x)) for x in a} == {(type(x), repr(x)) for x in b} else (path, a, b)
    else:
        return None if _same(a, b) else (path, a, b)
    for key, x, y in pairs:
        if found := difference(x, y, (*path, key)):
            return found
    return None
