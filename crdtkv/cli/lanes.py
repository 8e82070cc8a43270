"""Lanes: a hash graph drawn with letters, for terminals and pipes. Newest change first, a column for each lane.

    @ |  B:1 3f2a9c01 head   merges A:0
    | o  A:1 77d00f4e
    o |  A:0 ...

`@` is a head, `o` a change, `Y` one of several in one place (a fork: somebody told two stories), `x` a void one. The
words head, fork and void say the same, so that nothing rests on shape or colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crdtkv.cli.screen import Cell
from crdtkv.graph import Node

__all__ = ["drawn", "legend", "letters", "ops"]

WIDEST = 24  # columns; lanes beyond share the last one
COLOURS = ("green", "magenta", "yellow", "blue", "cyan", "red")


def letters(number: int) -> str:
    """A, B, ... Z, AA, AB, ...

    >>> letters(0), letters(25), letters(26)
    ('A', 'Z', 'AA')
    """
    name = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        name = chr(65 + digit) + name
    return name


def columns(nodes: Iterable[Node]) -> dict[bytes, int]:
    """The column of each lane, in order of first appearance."""
    of: dict[bytes, int] = {}
    for node in nodes:
        of.setdefault(node.lane, len(of))
    return of


def colour(column: int) -> str:
    return COLOURS[column % len(COLOURS)]


def drawn(nodes: list[Node]) -> Iterator[list[Cell]]:
    """A line of cells for each change: the lanes, its name, its id, what else there is to say."""
    of = columns(nodes)
    width = min(len(of), WIDEST)
    names = {node.id: f"{letters(of[node.lane])}:{node.seq}" for node in nodes}
    first = {column: i for i, node in reversed(list(enumerate(nodes))) for column in [min(of[node.lane], WIDEST - 1)]}
    last = {min(of[node.lane], WIDEST - 1): i for i, node in enumerate(nodes)}
    for i in range(len(nodes) - 1, -1, -1):
        node = nodes[i]
        mine = min(of[node.lane], WIDEST - 1)
        marks = (mark(node) if c == mine else "|" if first[c] < i < last[c] else " " for c in range(width))
        says = ["head"] * node.is_head + ["fork"] * node.is_fork
        says += [f"void: {node.void}"] * (node.void is not None)
        merged = [names.get(parent, parent.hex()[:8]) for parent in node.parents]
        says += [f"merges {' '.join(merged)}"] * bool(merged)
        style = "red" if node.is_fork or node.void is not None else colour(of[node.lane])
        yield [
            (" ".join(marks), style),
            names[node.id],
            (node.id.hex()[:8], "dim"),
            ops(node.n_ops),
            ", ".join(says),
        ]


def ops(n: int) -> str:
    """How many."""
    return f"{n} op{'s' * (n != 1)}"


def mark(node: Node) -> str:
    return "x" if node.void is not None else "Y" if node.is_fork else "@" if node.is_head else "o"


def legend(nodes: list[Node]) -> Iterator[list[Cell]]:
    """Which lane is whose."""
    of = columns(nodes)
    whose = {node.lane: node for node in nodes}
    for lane, column in of.items():
        dag = [f"in {whose[lane].dag}"] if whose[lane].dag else []
        author = whose[lane].author.hex()[:16]
        yield [(letters(column), colour(column)), f"lane {lane.hex()[:8]}", f"author {author}", *dag]
