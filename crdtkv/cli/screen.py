"""Screen: where answers go. Lines, tables and trees for people, tab-separated lines for pipes, JSON for programs.

Whatever comes from data passes through clean(): no control character, escape sequence or change of direction in a key,
value, name or message reaches a terminal, not even through a pipe. rich is imported only where something is drawn.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from crdtkv.cli.jsonout import dumps, key_text, listed
from crdtkv.cli.progress import Work, work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

__all__ = ["Cell", "Screen", "clean", "clean_text", "one_line", "shown", "shown_key", "tell"]

Cell = str | tuple[str, str]  # text, or text and its style
T = TypeVar("T")

LONGEST = 2_000  # characters of a message
LONGEST_TABLE = 1_000  # rows
MOST_HELD = 1 << 20  # characters of JSON that wait for the rest
MOST_LAID_OUT = 100_000  # characters
NARROW, USUAL = 20, 80  # columns: narrower is nobody's terminal
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


def tell(message: str) -> None:
    """Say something on stderr, in one line; what was typed may make it long."""
    line = one_line(message)
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    try:
        sys.stderr.write(f"crdtkv: {line}\n")
        sys.stderr.flush()
    except OSError:  # nobody can be told, but by an exit code; what is in the buffer must not fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


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

        columns = os.environ.get("COLUMNS", "")
        width = USUAL if columns.isdecimal() and int(columns) < NARROW else None  # else nothing would be left of it
        return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width)

    # ---- for programs

    def value(self, value: Any) -> None:
        """One JSON value."""
        self.has_spoken = True
        self.write(dumps(value) + "\n")

    def values(self, values: Iterable[Any]) -> None:
        """One JSON list, whose items may be many. What fails soon, as damaged files do, leaves no half of it."""
        held: list[str] = []
        n_held = 0
        for piece in chain(listed(values), "\n"):
            held.append(piece)
            n_held += len(piece)
            if n_held > MOST_HELD:  # from now on as it comes
                self.has_spoken = True
                self.write("".join(held))
                held.clear()
        self.has_spoken = True
        self.write("".join(held))

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
            self.write("  ".join(map(self.painted, cells)) + "\n")
        else:
            self.write("\t".join(clean(words(cell)) for cell in cells) + "\n")

    def painted(self, cell: Cell, cleaned: Callable[[str], str] = clean) -> str:
        """A cell in its colours, if this is a terminal: not laid out, however long it is."""
        text = cleaned(words(cell))
        if isinstance(cell, str) or not self.is_terminal:
            return text
        from rich.console import COLOR_SYSTEMS

        console = self.console
        style = console.get_style(cell[1])
        colours = COLOR_SYSTEMS.get(console.color_system or "")
        return (style.without_color if console.no_color else style).render(text, color_system=colours)

    def note(self, text: str) -> None:
        """A line beside the answer, for people: on stderr."""
        self.flush()
        tell(text)

    def text(self, text: str) -> None:
        """A text of many lines."""
        self.write(clean_text(text) + ("" if text.endswith("\n") else "\n"))

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """A table on a terminal, columns without title to the right; lines of columns, without titles, in a pipe.

        So are tables that are too long for anybody to look at.
        """
        rows = iter(rows)
        head, is_all = beginning(rows, lambda row: row) if self.is_terminal else ([], False)
        if head and is_all:
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
        """A value and what is in it: a tree on a terminal; indented lines in a pipe, or if it is long."""
        parts = branches(title, value)
        head, is_all = beginning(parts, lambda part: part[1]) if self.is_terminal else ([], False)
        if not is_all:
            for depth, cells in chain(head, parts):
                self.write("  " * depth + " ".join(map(self.painted, cells)) + "\n")
            return
        from rich.tree import Tree

        stack: list[Tree] = []
        for depth, cells in head:
            label = joined(cells, " ")
            del stack[depth:]
            stack.append(stack[-1].add(label) if stack else Tree(label, guide_style="dim"))
        self.console.print(stack[0])

    # ---- while it takes its time

    @contextmanager
    def busy(self, doing: str) -> Iterator[Work]:
        """Shows on a terminal that something goes on, and how far it is; nothing elsewhere."""
        with work(clean(doing)) as shown:
            yield shown

    def steps(self, doing: str, items: Sequence[T]) -> Iterator[T]:
        """The items one after the other, with a progress bar on a terminal."""
        with self.busy(doing) as shown:
            yield from shown.steps(items)


def beginning(some: Iterator[T], cells: Callable[[T], Iterable[Cell]]) -> tuple[list[T], bool]:
    """The first ones, as many as can be laid out soon; and are these all?"""
    head: list[T] = []
    room = MOST_LAID_OUT
    for one in some:
        head.append(one)
        room -= sum(len(words(cell)) for cell in cells(one))
        if room < 0 or len(head) > LONGEST_TABLE:
            return head, False
    return head, True


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
