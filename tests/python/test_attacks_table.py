"""The table of attacks in docs/security.md, its tests and the mutations agree. `make mutations` runs the last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from house import mutations

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_TEST = {45, 46, 47, 51, 55, 56, 57, 58}  # later, or there is no such thing
IN_C = {32, 33, 38}


def table() -> dict[int, str]:
    """Row number -> the last column of the table, where the guards are."""
    rows: dict[int, str] = {}
    section = (ROOT / "docs" / "security.md").read_text().partition("## Attacks\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        found = re.match(r"\| (\d+)(?:( to |, )(\d+))? \|", line)
        if not found:
            continue
        first, last = int(found[1]), int(found[3] or found[1])
        for row in range(first, last + 1):
            assert row not in rows
            rows[row] = line.rpartition(" | ")[2]
    return rows


def test_every_row_is_there() -> None:
    assert sorted(table()) == list(range(1, 63))


def test_every_attack_has_its_test() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests" / "python").glob("test_attacks_*.py"))
    tested = {int(row) for row in re.findall(r"^def test_(\d\d)_\w+\(", sources, re.MULTILINE)}
    assert tested == set(range(1, 63)) - WITHOUT_TEST - IN_C


def test_the_mutations_are_those_of_the_table() -> None:
    """What a row names as its guards is what is taken out for it, and the functions are where it says."""
    taken: dict[int, set[str]] = {row: set() for row in table()}
    for mutation in mutations.MUTATIONS:
        taken[int(mutation.row)] |= {edit.file for edit in mutation.edits}
    for row, guards in table().items():
        files = set(re.findall(r"`([a-z]+/\w+\.[ch])`", guards))
        assert files == taken[row], f"row {row}"
        source = "".join((ROOT / "csrc" / file).read_text() for file in files)
        for name in re.findall(r"`(\w+)`", guards):
            assert f"{name}(" in source or name == "save", f"row {row}: {name}"


def test_every_mutation_is_still_in_the_sources() -> None:
    assert mutations.check() == []


def test_what_is_no_mutation() -> None:
    edit = mutations.Edit("a.c", "x", "y")
    assert mutations.mutated("axb", edit) == "ayb"
    for source in ("ab", "axbx"):
        with pytest.raises(ValueError, match="not once"):
            mutations.mutated(source, edit)
