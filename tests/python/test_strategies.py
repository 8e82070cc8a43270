"""The strategies give what they promise, all of it, and the same each time."""

import math
import random
import re
import subprocess
import sys

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.edit import Chance, an_edit, literal

QUICK = settings(
    max_examples=20000, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def inside(value):
    """The value and all that is in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | set) else ():
        yield from inside(inner)


# ---- values


@given(testing.values())
@settings(deadline=None)
def test_a_document_gives_back_equal_values(value):
    doc = ck.Doc()
    doc["k"] = value
    assert doc["k"] == value and literal(doc.to_py()["k"]) == literal(sorted_keys(value))


def sorted_keys(value):
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value, key=str.encode)}
    return [sorted_keys(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "kind",
    [
        lambda v: v is None,
        lambda v: v is True,
        lambda v: type(v) is int and abs(v) > 2**62,
        lambda v: v == math.inf,
        lambda v: type(v) is float and math.copysign(1, v) < 0 == v,
        lambda v: type(v) is str and not v.isascii(),
        lambda v: type(v) is bytes and v,
        lambda v: type(v) is set and len({type(m) for m in v}) > 1,
        lambda v: type(v) is list and any(type(inner) is dict and inner for inner in v),
        lambda v: type(v) is dict and any(type(inner) is set and inner for inner in v.values()),
    ],
)
def test_every_kind_of_value_comes(kind):
    first = settings(QUICK, phases=[Phase.generate])
    found = find(testing.values(), lambda v: any(kind(inner) for inner in inside(v)), settings=first)
    assert any(kind(inner) for inner in inside(found))


# ---- edits


@given(testing.documents(), st.data())
@settings(deadline=None)
def test_edits_are_legal_and_read_like_python(doc, data):
    twin = doc.fork()
    edit = data.draw(testing.edits(doc))
    edit(doc)
    again = eval(repr(edit), {"Edit": testing.Edit})
    assert again == edit and hash(again) == hash(edit) and again != edit.code
    again(twin)
    assert literal(twin.to_py()) == literal(doc.to_py())


def test_every_kind_of_edit_comes():
    choose, words = Chance(random.Random(1)), set()
    for _ in range(60):
        doc = ck.Doc()
        for _ in range(60):
            edit = an_edit(doc, choose)
            edit(doc)
            words.update(re.findall(r"\.([A-Za-z]+)\(", edit.code))
            words.update({"assign"} if re.search(r"\[[0-9:]+\] = ", edit.code) else ())
            words.update({"nested"} if re.match(r"doc(\[[^]]+\]){3}", edit.code) else ())
    assert words >= {"insert", "delete", "splice", "update", "mark", "unmark", "append", "extend", "move", "reverse"}
    assert words >= {"add", "remove", "discard", "increment", "decrement", "setdefault", "pop", "clear"}
    assert words >= {"assign", "nested", "Text", "Counter"}


def test_an_edit_of_something_else():
    with pytest.raises(TypeError, match="dict"):
        an_edit({}, Chance(random.Random(1)))


# ---- documents


def test_documents_have_content_authors_and_conflicts():
    first = settings(QUICK, phases=[Phase.generate])
    find(testing.documents(), lambda doc: len({c.author for c in doc.changes()}) == 3 and len(doc) > 1, settings=first)
    find(testing.documents(), lambda doc: len(doc.heads) > 1, settings=first)
    find(testing.documents(), lambda doc: any(len(doc.conflicts(k)) > 1 for k in doc), settings=first)
    assert len(find(testing.documents(), lambda doc: True, settings=QUICK)) == 0


@given(testing.documents(), testing.documents())
@settings(deadline=None, max_examples=20)
def test_two_documents_are_two(a, b):
    assert a.id != b.id and not a.equivocations() and not b.equivocations()


def test_a_document_that_makes_a_test_fail_is_told():
    @given(testing.documents())
    @QUICK
    def test(doc):
        if len(doc):
            raise LookupError(doc.root.hex())

    with pytest.raises(LookupError) as caught:
        test()
    told = "\n".join(caught.value.__notes__).split("documents() made this, and gave replicas[0]:\n")[1]
    lines = [line.strip() for line in told.split("\n") if re.match(r" +(replicas|Edit)", line)]
    names = {"testing": testing, "Edit": testing.Edit}
    exec("\n".join(lines), names)
    assert names["replicas"][0].root.hex() == str(caught.value) and "Edit(" in told


# ---- without hypothesis

ALONE = """
import sys
sys.modules["hypothesis"] = None
from crdtkv import testing
testing.Network(1).run(20).heal().assert_converged()
assert testing.Forger and testing.join and testing.Edit
for name in ("values", "documents", "edits", "ConvergenceMachine"):
    try:
        getattr(testing, name)
    except ImportError as error:
        assert "crdtkv[testing]" in str(error), error
    else:
        raise AssertionError(name)
try:
    testing.nothing_of_the_kind
except AttributeError:
    print("fine")
"""


def test_what_does_not_need_hypothesis_works_without():
    told = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert told.stdout == "fine\n", told.stderr


def test_all_names_are_there():
    assert all(getattr(testing, name).__doc__ for name in testing.__all__)
    assert sorted(testing.__all__, key=lambda name: (not name.isupper(), name)) == testing.__all__
