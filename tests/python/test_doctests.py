"""The examples in docstrings and in the pages run as they stand."""

import doctest
import inspect

import pytest
from hypothesis import HealthCheck, settings

from house.examples import MODULES, examples, written
from house.pages import PAGES, blocks, name_of

FLAGS = doctest.ELLIPSIS
EXAMPLES = [example for module in MODULES for example in examples(module)]
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def patience():
    """Examples that use Hypothesis fail for what they say, not for a machine that is busy."""
    before = settings.get_current_profile_name()
    settings.load_profile("patient")
    yield
    settings.load_profile(before)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_docstrings(example):
    assert doctest.DocTestRunner(optionflags=FLAGS).run(example, clear_globs=False).failed == 0


def test_no_docstring_is_missed():
    found = {inspect.cleandoc(example.docstring) for example in EXAMPLES}
    examples = list(written())
    assert len(examples) > 150
    assert [where for where, doc in examples if doc not in found] == []


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python"))], ids=name_of)
def test_pages(page, tmp_path, monkeypatch):
    """Blocks of a page share their names. Each is a session with prompts, or statements.

    Or a program, which test_console.py starts: its first line is its name, "# app.py".
    """
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__page__"}
    for block in blocks(page, "python"):
        if ">>>" in block.text:
            test = doctest.DocTestParser().get_doctest(block.text, names, block.place, str(page), block.line)
            assert doctest.DocTestRunner(optionflags=FLAGS).run(test, clear_globs=False).failed == 0
            names = test.globs
        elif block.program is None:
            exec(compile(block.text, str(page), "exec"), names)
    assert list(tmp_path.iterdir()) == [], "it leaves files behind, on which it may stumble the next time"
