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


def steps_of(path: str) -> list[str]:
    """The steps of a path; those of a JSON list cannot be joined again, which a zero byte between them sees to."""
    if path.startswith("["):
        try:
            steps = json.loads(path)
        except (ValueError, RecursionError):
            steps = None
        if isinstance(steps, list) and all(isinstance(step, str | int) for step in steps):
            return [str(step) for step in steps]
    return path.split("/")


def readings(path: str) -> Iterator[list[str]]:
    """The steps of a path, in all the ways it may be meant; as it is written here, first.

    >>> list(readings("a[0].b"))
    [['a[0].b'], ['a', '0', 'b']]
    """
    yield steps_of(path)
    if path.startswith("/"):
        yield path[1:].split("/")
    elif "/" not in path and (steps := re.findall(r"[^.\[\]]+", path)):
        yield steps


def first_that_leads(path: str, follow: Callable[[list[str]], T]) -> T:
    """What the first reading leads to that leads anywhere. No: none does."""
    wrong: No | None = None
    for steps in readings(path):
        try:
            return follow(steps)
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

    def follow(steps: list[str]) -> Any:
        found = value
        while steps:
            found, used = below(found, steps, path)
            steps = steps[used:]
        return found

    return first_that_leads(path, follow) if path else value


def holder_of(value: Any, path: str) -> tuple[Any, str]:
    """The mapping that has what is at a path, and its key there. No: nothing is, or it is in no mapping."""

    def follow(steps: list[str]) -> tuple[Any, str]:
        holder = value
        while True:
            inner, used = below(holder, steps, path)
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

    def follow(steps: list[str]) -> tuple[Any, str | int]:
        holder = value
        while True:
            inner, used = below(holder, steps, path)
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
    for *steps, key in filter(None, reversed(list(readings(path)))):
        holder = value
        try:
            while steps:
                holder, used = below(holder, steps, path)
                steps = steps[used:]
        except No as error:
            wrong = error
            continue
        if isinstance(holder, Mapping):
            return holder, key
        wrong = No(f"a new key needs a map, and none is above {path!r}")
    raise wrong


def below(value: Any, steps: list[str], path: str) -> tuple[Any, int]:
    """What the first steps lead to, and how many those are."""
    if isinstance(value, Mapping):
        for used in range(len(steps), 0, -1):
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
