"""The glossary: a first table for users, in order; no word of it, or of the second, stands there twice."""

import re

import pytest

from house.pages import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
pytestmark = pytest.mark.skipif(not GLOSSARY.exists(), reason="the pages are not beside the tests")


def test_each_word_stands_there_once():
    users, inside = (re.findall(r"^\| (\*\*.*?) \| ", part, re.M) for part in GLOSSARY.read_text().split("## Inside"))
    assert 15 < len(users) < 30 < len(inside)
    first = [re.search(r"\*\*(.+?)\*\*", words)[1].casefold() for words in users]
    assert first == sorted(first)
    words = [word.casefold() for row in GLOSSARY.read_text().splitlines() for word in re.findall(r"\*\*(.+?)\*\*", row)]
    assert sorted(words) == sorted(set(words))
