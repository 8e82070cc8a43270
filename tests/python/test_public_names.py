"""All that is public has words, an example that runs, and a place in the reference."""

import importlib
import inspect
import re

import pytest

import crdtkv
from house.examples import GIVEN, MODULES, PUBLIC, examples, public
from house.pages import ROOT, blocks

NAMES = public()
CLASSES = [name for name in NAMES if isinstance(name.thing, type)]
VALUES = {"crdtkv.MISSING", "crdtkv.testing.HOSTILE"}  # they have no docstring of their own
RUN = {example.docstring for module in MODULES for example in examples(module)}


def label(name):
    return f"{name.module}.{name.name}"


def test_no_public_name_is_missed():
    everything = {f"{module}.{name}" for module in PUBLIC for name in importlib.import_module(module).__all__}
    assert everything - set(map(label, NAMES)) == VALUES
    assert len(NAMES) - len(GIVEN) == len(everything) - len(VALUES)
    members = {f"{name.name}.{member}" for name in CLASSES for member, _ in name.members}
    assert {"Doc.heads", "Doc.changes", "Doc.observe", "StoreError.pid", "Patch.old", "Link.synced"} <= members
    assert len(members) > 400


@pytest.mark.parametrize("name", NAMES, ids=label)
def test_every_public_name_has_an_example_that_runs(name):
    """That they run: test_doctests.py."""
    doc = name.thing.__doc__
    assert doc and doc.strip(), "it has no words"
    assert ">>> " in doc, "it has no example"
    assert doc in RUN, "its example is not run"


@pytest.mark.parametrize("name", CLASSES, ids=label)
def test_every_public_member_has_words(name):
    """Methods and properties their own; data, such as the fields of a dataclass, may be explained by a class."""
    classes = "\n".join(base.__doc__ or "" for base in name.thing.__mro__ if base.__module__.startswith("crdtkv"))
    for member, value in name.members:
        doc = getattr(value, "__func__", value).__doc__ or ""
        is_data = inspect.ismemberdescriptor(value) or not (callable(value) or hasattr(value, "__get__"))
        is_field = is_data or member in getattr(name.thing, "_fields", ())
        if is_data and not inspect.ismemberdescriptor(value):
            doc = ""  # that of its type
        is_told = is_field and re.search(rf"\b{member}\b", classes)
        assert doc.strip() or is_told, f"{name.name}.{member}"
        assert ">>> " not in doc or doc in RUN, f"{name.name}.{member}: its example is not run"


def test_the_reference_has_every_public_name():
    text = "\n".join(block.text for page in ROOT.glob("docs/reference/*.md") for block in blocks(page, "{eval-rst}"))
    named = set(re.findall(r"^\.\. auto\w+:: crdtkv\.(\w+)$", text, re.MULTILINE))
    listed = {name for names in re.findall(r"^   :members: (.+)$", text, re.MULTILINE) for name in names.split(", ")}
    assert set(crdtkv.__all__) - named - listed == {"MISSING"}
    assert {module.removeprefix("crdtkv.") for module in PUBLIC[1:]} <= named
