"""Nothing in the pages is code that nobody runs: each block is of a language that a test runs, or is none.

What is run: ```python by test_doctests.py (programs by test_console.py), ```console by test_console.py, ```sql by
test_file_docs.py. Indented blocks are for commands that build or install something: those are read, here.
"""

import importlib.util
import re
import shlex
import tomllib

import pytest
from markdown_it import MarkdownIt

from crdtkv.cli.main import COMMANDS
from house.pages import PAGES, ROOT, blocks, name_of

RUN = {"python", "console", "sql"}
NO_CODE = {"text", "{toctree}", "{include}", "{eval-rst}"}  # pictures; what makes the site
PICTURES = {"docs/format.md"}  # its indented blocks: what bytes look like
CODE = re.compile(r"^\s*(>>> |\$ |import |from \S+ import |(async )?(def|with|for) .*:$|SELECT |\w+\(.*\)$)", re.M)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
sources = pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="the sources are not beside the tests")
every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def inline(page):
    """What stands between backticks in the text of a page."""
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def words_of(line):
    """Without comments and variables; and the program by its name, of whichever environment it is."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    return [words[0].rpartition("/")[2] or words[0], *words[1:]] if words else words


def shell_lines(page):
    """Lines of indented blocks, and what is like one in the text; without comments and variables."""
    lines = [line for block in blocks(page, None) for line in block.text.splitlines() if line.strip()]
    for line in [*lines, *inline(page)]:
        try:
            words = words_of(line)
        except ValueError:
            continue
        if words:
            yield line, words


def make_targets():
    rules = re.findall(r"^([a-z][\w -]*):(?!=)", (ROOT / "Makefile").read_text(), re.M)
    return {target for rule in rules for target in rule.split()}


@every_page
def test_every_block_is_run_or_is_no_code(page):
    for block in blocks(page):
        if block.language is None:
            continue
        assert block.language in RUN | NO_CODE, f"{block.place}: no test runs {block.language!r}; a picture is 'text'"
        assert block.language != "sql" or name_of(page) == "docs/file.md", f"{block.place}: no test runs this"
        if block.language == "text":
            assert not CODE.search(block.text), f"{block.place}: this is code, and no test runs it"
        if block.language == "{eval-rst}":
            wrong = [line for line in block.text.splitlines() if not re.match(r"\.\. auto\w+:: |   :|$", line)]
            assert not wrong, f"{block.place}: {wrong}"
    assert not re.search("<(pre|code)", page.read_text(), re.I)


def makes(words):
    benches = [word.removeprefix("B=") for word in words if word.startswith("B=bench_")]
    targets = {word for word in words[1:] if "=" not in word}
    return targets <= make_targets() and all((ROOT / "benchmarks" / "c" / f"{b}.c").is_file() for b in benches)


def installs(words):
    if words[:2] != ["pip", "install"] or len(words) < 3:
        return False
    extras = [re.fullmatch(r"(?:\.|crdtkv|[a-z]+)(?:\[([\w,]+)\])?", what) for what in words[2:]]
    return all(found and (not found[1] or set(found[1].split(",")) <= set(EXTRAS)) for found in extras)


def starts(words):
    """python FILE, .venv/bin/pytest, valgrind PROGRAM CASE: does it exist, or the source it is made of?"""
    if words[1] == "-m" and words[0] != "pytest":
        return importlib.util.find_spec(words[2]) is not None
    program = next((word for word in words[1:] if "/" in word), None)
    if program is None:
        return words[0] == "pytest"
    source = re.sub(r"^build/c/bench/(\w+)$", r"benchmarks/c/\1.c", program)
    return (ROOT / source).is_file()


KNOWN = {"make": makes, "pip": installs, "python": starts, "python3": starts, "pytest": starts}
KNOWN |= {"valgrind": starts, "callgrind_annotate": lambda words: True}


@sources
@every_page
def test_every_line_of_an_indented_block_is_a_command_that_is_there(page):
    if name_of(page) in PICTURES:
        return
    for block in blocks(page, None):
        for line in block.text.splitlines():
            words = words_of(line)
            assert words and words[0] in KNOWN, f"{block.place}: {line!r}: no test runs this"
            assert KNOWN[words[0]](words), f"{block.place}: {line!r}"


@sources
@every_page
def test_what_the_text_tells_to_type_is_there(page):
    for line, words in shell_lines(page):
        if words[0] in KNOWN and len(words) > 1 and not words[1].startswith("-"):
            assert KNOWN[words[0]](words), f"{name_of(page)}: `{line}`"
        if words[0] == "crdtkv" and len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
            assert words[1] in COMMANDS, f"{name_of(page)}: `{line}`"


@sources
@every_page
def test_every_file_that_the_text_names_is_there(page):
    for text in inline(page):
        for path in re.findall(r"^(?:[\w.-]+/)+[\w.-]+\.(?:py|c|h|md|toml|txt)$", text):
            near = (ROOT, ROOT / "csrc", ROOT / "tests", page.parent)
            assert any((folder / path).exists() for folder in near), f"{name_of(page)}: `{text}`"


@sources
def test_what_make_help_lists_is_there_and_always_made():
    """Also where a folder has the name of a target: docs."""
    makefile = (ROOT / "Makefile").read_text()
    listed = {target for line in re.findall(r"^## (.+?)(?:  |$)", makefile, re.M) for target in line.split(" ")}
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    assert {"docs", "test", "wheels"} <= listed <= make_targets() & set(phony.split())


def test_extras_that_the_pages_name_are_there():
    named = {extra for page in PAGES for extra in re.findall(r"crdtkv\[([\w,]+)\]", page.read_text())}
    assert len(named) > 5
    assert {name for names in named for name in names.split(",")} <= set(EXTRAS)
