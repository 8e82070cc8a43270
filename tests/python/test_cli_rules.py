"""What docs/cli.md says of exit codes, and of what is refused, is so."""

import re

import pytest

import crdtkv as ck
from crdtkv.cli.answers import Exit
from house.shell import ROOT, run

PAGE = ROOT / "docs" / "cli.md"


def rows(section, n_cells):
    """The cells of a table under a heading; of headings and lines nothing."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = [[cell.strip() for cell in line.split("|")] for line in re.findall(r"^\|(.*)\|$", text, re.M)]
    return [cells for cells in found if len(cells) == n_cells and cells[-1] not in ("", "---", "code")]


def test_the_exit_codes_are_those_of_the_code():
    codes = [int(cells[0]) for cells in rows("Exit codes", 2) if cells[0].isdigit()]
    assert codes == [int(code) for code in Exit]


RULES = [(words.strip("`"), int(code)) for _, words, code in rows("Exit codes", 3) if words]


@pytest.fixture
def ruled(tmp_path, monkeypatch):
    """What the table of rules says is there."""
    monkeypatch.chdir(tmp_path)
    with ck.Database("app.db") as db:
        db.datastore("pages")["home"] = "x" * 5000
        db.doc("notes").update({"items": [{"what": "bread"}], "title": "Picnic"})
        db.store("settings")["volume"] = 7
    data = bytearray((tmp_path / "app.db").read_bytes())
    for at in range(4096, len(data), 997):
        data[at] ^= 0x55
    (tmp_path / "broken.db").write_bytes(data)
    (tmp_path / "letter.txt").write_text("dear Ben" * 1000)
    return tmp_path


@pytest.mark.parametrize(("words", "code"), RULES, ids=[words for words, _ in RULES])
def test_rule(ruled, words, code):
    before = {path.name: path.read_bytes() for path in ruled.iterdir()}
    result = run(*words.split())
    assert result.code == code, result
    if code:
        assert {path.name: path.read_bytes() for path in ruled.iterdir()} == before
        assert "Traceback" not in result.err


def test_every_code_that_can_be_shown_has_a_rule():
    assert {code for _, code in RULES} == {int(code) for code in Exit if code < Exit.BUG} and len(RULES) > 15
