"""assert_converged: says where replicas differ, and since which change."""

import math
import re

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.testing.converged import difference

EVE = ck.Identity.from_seed(b"e" * 32)


def complaint(*replicas):
    with pytest.raises(AssertionError) as error:
        testing.assert_converged(*replicas)
    return str(error.value)


def test_any_number_of_replicas():
    doc = ck.Doc()
    doc["a"] = [1, math.nan, {"x": {2}}]
    assert testing.assert_converged() is None
    assert testing.assert_converged(doc) is None
    assert testing.assert_converged(doc, doc.fork(), doc.fork(EVE), doc) is None


def test_it_names_path_values_and_change():
    one = ck.Doc()
    one["a"] = {"list": [1, {"deep": "old"}]}
    two, three = one.fork(), one.fork()
    two["a"]["list"][1]["deep"] = "new"
    first = two.commit()
    two["b"] = 1
    text = complaint(one, three, two)
    assert "replicas 0 and 2" in text and "('a', 'list', 1, 'deep')" in text
    assert "'old' is not 'new'" in text
    assert f"{first.id.hex()} (seq 0" in text and text.count("held by 2\n") == 1
    for doc in (one, two):
        assert doc.root.hex() in text and doc.heads[0].hex() in text
    one.merge(two)
    three.merge(two)
    testing.assert_converged(one, two, three)


def test_of_two_first_changes_the_smaller_is_named():
    one = ck.Doc()
    two = one.fork()
    one["x"], two["x"] = 1, 2
    first = min(one.commit().id, two.commit().id)
    assert first.hex() in complaint(one, two).splitlines()[1] and first.hex() in complaint(two, one).splitlines()[1]


def test_replicas_that_show_the_same_by_different_changes():
    one = ck.Doc()
    two = one.fork()
    one["x"], two["x"] = 1, 1
    text = complaint(one, two)
    assert "show the same, but hold different changes" in text and "held by" in text


def test_a_void_change_makes_a_difference():
    one = ck.Doc()
    two = one.fork()
    two.apply(testing.Forger(one, EVE).forge(n_ops=9))
    assert "different changes" in complaint(one, two)


def test_values_of_other_types_differ():
    for value, other in ((1, True), (1, 1.0), (0.0, -0.0), (b"a", "a"), ([], {}), ({1}, {True}), (None, False)):
        one, two = ck.Doc(), ck.Doc()
        one["k"], two["k"] = value, other
        path, x, y = difference(one.to_py(), two.to_py())
        assert path[0] == "k" and repr(x) == repr(value) and repr(y) == repr(other)


def test_where_plain_values_differ():
    assert difference({"a": [1, 2]}, {"a": [1]}) == (("a", 1), 2, ck.MISSING)
    assert difference({"b": 1}, {"a": 1, "b": 1}) == (("a",), ck.MISSING, 1)
    assert difference({"s": {1, 2}}, {"s": {2, 3}}) == (("s",), {1, 2}, {2, 3})
    assert difference([math.nan, {1.0, math.nan}], [math.nan, {math.nan, 1.0}]) is None
    assert difference({}, {}) is None


def test_messages_stay_short():
    one = ck.Doc()
    two = one.fork()
    one["t"], two["t"] = "x" * 100_000, "y" * 100_000
    text = complaint(one, two)
    assert len(text) < 2000 and re.search(r"x\.\.\. \(100002 characters\)", text)


def test_documents_of_two_ids():
    assert "different documents" in complaint(ck.Doc(), ck.Doc())


def test_stores_agree_on_what_shows_what_hides_and_what_was_seen():
    a, b = ck.Store("a", clock=lambda: 1), ck.Store("b", clock=lambda: 1)
    assert testing.assert_converged(a, b) is None
    a["k"], b["k"], a["nan"] = 1, 1.0, math.nan
    assert re.search(r"stores 0 and 1 differ at 'k': \[.*1.*\] is not \[.*1\.0.*\]", complaint(a, b))
    a.integrate_diff(b.build_diff(a.request_diff()))
    assert "differ at 'k'" in complaint(a, b)  # the same shows, but only one of them has the other value
    ck.sync(a, b)
    assert testing.assert_converged(a, b, a.copy()) is None
    a[b"gone"] = 1
    del a[b"gone"]
    assert "one has seen more" in complaint(a, b)
    assert "never converge" in complaint(a, ck.Doc())
