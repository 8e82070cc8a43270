"""Random legal edits of a document, and plain values with their types."""

from __future__ import annotations

import random
from typing import Any

import crdtkv as ck

CONTAINERS = (ck.Map, ck.List, ck.Set, ck.Counter, ck.Text)


def edit(doc: ck.Doc, rng: random.Random) -> None:
    """Does something somewhere."""
    at: Any = doc
    while isinstance(at, ck.Doc | ck.Map | ck.List):
        values = at if isinstance(at, ck.List) else at.values()
        inner = [value for value in values if isinstance(value, CONTAINERS)]
        if not inner or rng.random() < 0.3:
            break
        at = rng.choice(inner)
    if isinstance(at, ck.Doc | ck.Map):
        edit_map(at, rng)
    elif isinstance(at, ck.List):
        edit_list(at, rng)
    elif isinstance(at, ck.Text):
        i = rng.randrange(len(at) + 1)
        if rng.random() < 0.7:
            at.insert(i, rng.choice(["x", "yz", "😀"]))
        elif i < len(at):
            at.delete(i)
    elif isinstance(at, ck.Set):
        rng.choice([at.add, at.discard])(rng.choice([1, True, 1.0, 2, "a"]))
    else:
        at += rng.randrange(-5, 6)


def value_of(rng: random.Random) -> Any:
    """Some value, fresh each time."""
    values = [1, "x", None, [1, [2]], {"a": {"b": 1}}, ck.Text("ab"), ck.Counter(3), {1, 2}]
    return rng.choice(values)


def edit_map(at: Any, rng: random.Random) -> None:
    key, what = rng.choice("abcd"), rng.random()
    if what < 0.15:
        at.pop(key, None)
    elif what < 0.3:
        at.setdefault(key, rng.choice([[], {}]))
    else:
        at[key] = value_of(rng)


def edit_list(at: ck.List, rng: random.Random) -> None:
    i, what = rng.randrange(len(at) + 1), rng.random()
    if what < 0.4 or not at:
        at.insert(i, value_of(rng))
    elif what < 0.55:
        del at[i : i + rng.randrange(3)]
    elif what < 0.75:
        at.move(rng.randrange(len(at)), rng.randrange(len(at)))
    elif what < 0.85:
        at[rng.randrange(len(at))] = value_of(rng)
    else:
        at.reverse()


def typed(value: Any) -> Any:
    """A plain value in which 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return value if isinstance(value, set) else repr(value)  # which of equal members is shown may be either
