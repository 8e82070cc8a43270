"""The examples in docstrings and in the pages run as they stand."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest
from hypothesis import HealthCheck, settings

import crdtkv

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS
MODULES = sorted(
    {"crdtkv", "crdtkv._core", *(m.name for m in pkgutil.walk_packages(crdtkv.__path__, "crdtkv."))}
    - {"crdtkv.__main__"}
)


def c_examples():
    """doctest does not look into types and functions of C; this does."""
    core = importlib.import_module("crdtkv._core")
    finder = doctest.DocTestParser()
    for name, thing in sorted(vars(core).items()):
        for label, doc in (
            [(name, thing.__doc__), *((f"{name}.{m}", getattr(v, "__doc__", None)) for m, v in vars(thing).items())]
            if isinstance(thing, type)
            else [(name, getattr(thing, "__doc__", None))]
        ):
            if isinstance(doc, str) and ">>>" in doc:
                yield finder.get_doctest(doc, {}, label, "_core", 0)


C_EXAMPLES = list(c_examples())
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def patience():
    """Examples that use Hypothesis fail for what they say, not for a machine that is busy."""
    before = settings.get_current_profile_name()
    settings.load_profile("patient")
    yield
    settings.load_profile(before)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=FLAGS)
    assert failed == 0


@pytest.mark.parametrize("example", C_EXAMPLES, ids=lambda e: e.name)
def test_docstrings_of_c(example):
    assert doctest.DocTestRunner(optionflags=FLAGS).run(example).failed == 0


@pytest.mark.parametrize("page", sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")}), ids=lambda p: p.name)
def test_pages(page, tmp_path, monkeypatch):
    """Blocks marked ```python: either a session with prompts, or statements; those of one page share their names."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__page__"}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, page.name, str(page), 0)
            assert doctest.DocTestRunner(optionflags=FLAGS).run(test, clear_globs=False).failed == 0
            names = test.globs
        else:
            exec(compile(block, str(page), "exec"), names)
