"""Screen: where answers go. Lines, tables and trees for people, tab-separated lines for pipes, JSON for programs.

Whatever comes from data passes through clean(): no control character, escape sequence or change of direction in a key,
value, name or message reaches a terminal, not even through a pipe. rich is imported only where something is drawn.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from crdtkv.cli.jsonout import dumps, key_text, listed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

__all__ = ["Cell", "Screen", "clean", "clean_text", "one_line", "shown", "shown_key"]

Cell = str | tuple[str, str]  # text, or text and its style
T = TypeVar("T")

LONGEST_TABLE = 1_000  # rows
JOINERS = "\u200c\u200d"  # written Persian and families of emoji need them, and they move nothing
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(c: str) -> str:
    """A character that must not reach the terminal, in words that can."""
    n = ord(c)
    return SHORT.get(c) or (f"\\x{n:02x}" if n < 0x100 else f"\\u{n:04x}" if n < 0x10000 else f"\\U{n:08x}")


def clean(text: str) -> str:
    """The text on one line, with what controls a terminal or the direction of text written out.

    >>> clean("red \\x1b[31m\\n\\u202etxt")
    'red \\\\x1b[31m\\\\n\\\\u202etxt'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in JOINERS or unicodedata.category(c) == "Zs" else escaped(c) for c in text
    )


def clean_text(text: str) -> str:
    """The same, with line ends and tabs left as they are.

    >>> clean_text("one\\ntwo\\x1b")
    'one\\ntwo\\\\x1b'
    """
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in text.split("\n"))


def one_line(text: str) -> str:
    """A message as one clean line, however it was laid out.

    >>> one_line("No such option.\\n\\n  Did you mean --json?")
    'No such option. Did you mean --json?'
    """
    return clean(" ".join(text.split()))


def shown(value: Any) -> str:
    """A value on one line: its JSON, readable."""
    return clean(dumps(value, ascii_only=False))


def shown_key(key: str | bytes) -> str:
    """A key on one line."""
    return clean(key_text(key))


class Screen:
    """Where the answer of one command goes: stdout. With `json` it is one JSON value; the command says which."""

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self.has_spoken = False  # the one JSON value is out
        self.is_terminal = sys.stdout.isatty() and not json

    @cached_property
    def console(self) -> Console:
        """The terminal. Colours as the terminal has them; none with NO_COLOR."""
        from rich.console import Console

        return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)

    # ---- for programs

    def value(self, value: Any) -> None:
        """One JSON value."""
        self.has_spoken = True
        self.write(dumps(value) + "\n")

    def values(self, values: Iterable[Any]) -> None:
        """One JSON list, whose items may be many."""
        self.has_spoken = True
        for piece in listed(values):
            self.write(piece)
        self.write("\n")

    def flush(self) -> None:
        """To be seen at once, although the command goes on."""
        sys.stdout.flush()

    # ---- for people

    def write(self, text: str) -> None:
        """Text that is clean already."""
        sys.stdout.write(text)

    def line(self, *cells: Cell) -> None:
        """One line: columns, with a tab between them where nobody looks."""
        if self.is_terminal:
            self.console.print(joined(cells), soft_wrap=True)
        else:
            self.write("\t".join(clean(words(cell)) for cell in cells) + "\n")

    def text(self, text: str) -> None:
        """A text of many lines."""
        self.write(clean_text(text) + ("" if text.endswith("\n") else "\n"))

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """A table on a terminal, columns without title to the right; lines of columns, without titles, in a pipe.

        So are tables that are too long for anybody to look at.
        """
        rows = iter(rows)
        head = list(islice(rows, LONGEST_TABLE + 1)) if self.is_terminal else []
        if head and len(head) <= LONGEST_TABLE:
            from rich.table import Table

            table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
            for title in titles:
                table.add_column(title, overflow="fold", justify="left" if title else "right")
            for row in head:
                table.add_row(*map(styled, row))
            self.console.print(table)
            return
        for row in chain(head, rows):
            self.line(*row)

    def tree(self, title: str, value: Any) -> None:
        """A value and what is in it: a tree on a terminal, indented lines in a pipe."""
        if not self.is_terminal:
            for depth, cells in branches(title, value):
                self.write("  " * depth + " ".join(clean(words(cell)) for cell in cells) + "\n")
            return
        from rich.tree import Tree

        stack: list[Tree] = []
        for depth, cells in branches(title, value):
            label = joined(cells, " ")
            del stack[depth:]
            stack.append(stack[-1].add(label) if stack else Tree(label, guide_style="dim"))
        self.console.print(stack[0])

    # ---- while it takes its time

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Says on a terminal that something goes on; nothing elsewhere."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True, markup=False, highlight=False, emoji=False).status(clean(doing)):
            yield

    def steps(self, doing: str, items: Sequence[T]) -> Iterator[T]:
        """The items one after the other, with a progress bar on a terminal."""
        if not sys.stderr.isatty() or len(items) < 2:
            yield from items
            return
        from rich.console import Console
        from rich.progress import track

        yield from track(items, clean(doing), console=Console(stderr=True, markup=False), transient=True)


def words(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def styled(cell: Cell) -> Text:
    from rich.text import Text

    return Text(clean(cell)) if isinstance(cell, str) else Text(clean(cell[0]), cell[1])


def joined(cells: Iterable[Cell], between: str = "  ") -> Text:
    from rich.text import Text

    return Text(between).join(styled(cell) for cell in cells)


def branches(title: str, value: Any, depth: int = 0) -> Iterator[tuple[int, list[Cell]]]:
    """(depth, cells) of a value and all below it; a scalar stands on the line of its key."""
    head: Cell = (title, "bold cyan")
    if isinstance(value, Mapping):
        yield depth, [head, (f"{{{len(value)}}}", "dim")]
        for key, inner in value.items():
            yield from branches(shown_key(key), inner, depth + 1)
    elif isinstance(value, list | tuple):
        yield depth, [head, (f"[{len(value)}]", "dim")]
        for number, inner in enumerate(value):
            yield from branches(str(number), inner, depth + 1)
    else:
        yield depth, [head, shown(value)]
