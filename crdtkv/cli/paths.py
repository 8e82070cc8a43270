"""Paths: where in a value something is. `items/0/title`, or as JSON: '["items", 0, "title"]'.

Keys may have slashes in them: the longest key that fits is taken. Where that leads nowhere, what people are used to is
understood, too: `/items/0/title`, `items.0.title`, `items[0].title`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from crdtkv.cli.answers import No
from crdtkv.errors import LimitError

__all__ = ["holder_of", "new_spot", "spot_of", "walk"]

T = TypeVar("T")
WIDEST = 4097  # steps that one key can be made of: with a slash between them it has 4 KiB then


def steps_in_json(path: str) -> list[str] | None:
    """The steps of a path that is written as a JSON list, each a key or an index; None: it is not."""
    if path.startswith("["):
        with suppress(ValueError, RecursionError):
            steps = json.loads(path)
            if isinstance(steps, list) and all(isinstance(step, str | int) for step in steps):
                return [str(step) for step in steps]
    return None


def readings(path: str) -> Iterator[tuple[list[str], int]]:
    """The steps of a path, in all the ways it may be meant; as it is written here, first. And how many steps one key
    may be made of: in a JSON list each is one.

    >>> [steps for steps, _ in readings("a[0].b")], list(readings('["a/b", 0]'))
    ([['a[0].b'], ['a', '0', 'b']], [(['a/b', '0'], 1)])
    """
    steps = steps_in_json(path)
    if steps is not None:
        yield steps, 1
        return
    yield path.split("/"), WIDEST
    if path.startswith("/"):
        yield path[1:].split("/"), WIDEST
    elif "/" not in path and (steps := re.findall(r"[^.\[\]]+", path)):
        yield steps, WIDEST


def first_that_leads(path: str, follow: Callable[[list[str], int], T]) -> T:
    """What the first reading leads to that leads anywhere. No: none does."""
    wrong: No | None = None
    for steps, widest in readings(path):
        try:
            return follow(steps, widest)
        except No as error:
            wrong = wrong or error
    assert wrong is not None
    raise wrong


def is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def walk(value: Any, path: str) -> Any:
    """What is at a path below a value. No: nothing is.

    >>> walk({"items": [{"title": "Bread"}], "a/b": 1}, "items/0/title"), walk({"a/b": 1}, "a/b")
    ('Bread', 1)
    >>> walk({"items": [{"title": "Bread"}]}, "items[0].title")
    'Bread'
    """

    def follow(steps: list[str], widest: int) -> Any:
        found = value
        while steps:
            found, used = below(found, steps, path, widest)
            steps = steps[used:]
        return found

    return first_that_leads(path, follow) if path else value


def holder_of(value: Any, path: str) -> tuple[Any, str]:
    """The mapping that has what is at a path, and its key there. No: nothing is, or it is in no mapping."""

    def follow(steps: list[str], widest: int) -> tuple[Any, str]:
        holder = value
        while True:
            inner, used = below(holder, steps, path, widest)
            if used == len(steps):
                if isinstance(holder, Mapping):
                    return holder, "/".join(steps)
                raise No(f"{path!r} is an item of a list: only texts and keys of maps can be blamed")
            holder, steps = inner, steps[used:]

    return first_that_leads(path, follow)


def spot_of(value: Any, path: str) -> tuple[Any, str | int]:
    """The map or list that has what is at a path, and its key or index there. No: nothing is.

    >>> spot_of({"items": [{"title": "Bread"}]}, "items/0/title")
    ({'title': 'Bread'}, 'title')
    """

    def follow(steps: list[str], widest: int) -> tuple[Any, str | int]:
        holder = value
        while True:
            inner, used = below(holder, steps, path, widest)
            if used == len(steps):
                return holder, "/".join(steps) if isinstance(holder, Mapping) else int(steps[0])
            holder, steps = inner, steps[used:]

    return first_that_leads(path, follow)


def new_spot(value: Any, path: str) -> tuple[Any, str | int]:
    """The map in which a path leads to a key that is not there yet, and that key. No: it leads to no map.

    >>> new_spot({"items": [{"title": "Bread"}]}, "items/0/done")
    ({'title': 'Bread'}, 'done')
    """
    wrong = No(f"nothing is at {path!r}")
    for written, widest in reversed(list(readings(path))):
        if not written:
            continue
        *steps, key = written
        holder = value
        try:
            while steps:
                holder, used = below(holder, steps, path, widest)
                steps = steps[used:]
        except No as error:
            wrong = error
            continue
        if isinstance(holder, Mapping):
            return holder, key
        wrong = No(f"a new key needs a map, and none is above {path!r}")
    raise wrong


def below(value: Any, steps: list[str], path: str, widest: int) -> tuple[Any, int]:
    """What the first steps lead to, and how many those are."""
    if isinstance(value, Mapping):
        for used in range(min(len(steps), widest), 0, -1):
            key = "/".join(steps[:used])
            with suppress(LimitError):  # longer than any key
                if key in value:
                    return value[key], used
    elif is_sequence(value) and not hasattr(value, "blame"):
        try:
            return value[int(steps[0])], 1
        except (ValueError, IndexError):
            pass
    raise No(f"nothing is at {path!r}; `crdtkv show` has what is there")
