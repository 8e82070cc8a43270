"""The documentation as its readers get it: pages, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")}))
COMMAND = re.compile(r"^\$ (.*(?:\\\n.*)*)\n", re.M)  # may go on after a backslash
PROGRAM = re.compile(r"# (\w+\.py)\n")  # the first line of a block that is a file


@dataclass(frozen=True)
class Block:
    """A block of code. `language`: the first word behind its fence, "" if there is none; None: it is indented."""

    page: Path
    line: int
    language: str | None
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{name_of(self.page)}:{self.line}"

    @property
    def program(self) -> str | None:
        """The name of the file that this is, if it says so in its first line."""
        found = PROGRAM.match(self.text) if self.language == "python" else None
        return found and found[1]


def name_of(page: Path) -> str:
    """As the project calls it: README.md, docs/adr/index.md."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str | None = "any") -> Iterator[Block]:
    """The blocks of a page in order, those of one language or all."""
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            found = (token.info.split() or [""])[0] if token.type == "fence" else None
            if language in ("any", found):
                yield Block(page, token.map[0] + 1, found, token.content)


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, what it must print) for each `$ ` line of a block."""
    pieces = COMMAND.split(block.text)
    assert pieces[0] == "", f"{block.place}: a block begins with a command"
    return list(zip(pieces[1::2], pieces[2::2]))
