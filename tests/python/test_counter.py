"""Counter against int."""

import copy
import math
import operator
import pickle

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

import crdtkv as ck


def attached(n=0):
    doc = ck.Doc()
    doc["c"] = ck.Counter(n)
    return doc["c"]


@pytest.fixture(params=[attached, ck.Counter])
def make(request):
    return request.param


def test_reads_like_an_int(make):
    c = make(7)
    assert c == 7 and c == 7 and c != 8 and int(c) == c.value == c.to_py() == 7 and type(int(c)) is int and c == 7.0
    assert (
        c < 8
        and c <= 7.0
        and c > 6
        and c >= make(7)
        and c == make(7)
        and c
        and not make()
        and c != "7"
        and c is not None
    )
    assert (
        float(c) == 7.0
        and list(range(9))[c] == 7
        and hex(c) == "0x7"
        and f"{c:>3}" == "  7"
        and str(c) == "7"
        and round(c) == 7
    )
    with pytest.raises(TypeError):
        hash(c)
    for op in (
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.floordiv,
        operator.mod,
        operator.pow,
        divmod,
        operator.lshift,
        operator.rshift,
        operator.and_,
        operator.or_,
        operator.xor,
    ):
        for other in (3, True):
            assert (
                op(c, other) == op(7, other)
                and op(other, c) == op(other, 7)
                and type(op(c, other)) is type(op(7, other))
            )
        assert op(c, make(2)) == op(7, 2)
    assert (
        c + 0.5 == 7.5
        and 0.5 * c == 3.5
        and -c == -7
        and +c == 7
        and abs(make(-7)) == 7
        and ~c == ~7
        and pow(c, 2, 5) == 4
    )
    for wrong in (lambda: c + "x", lambda: c < "x", lambda: c + None):
        with pytest.raises(TypeError):
            wrong()
    assert sum([c, c]) == 14 and max(c, 9) == 9


def test_counts(make):
    c = same = make(5)
    c += 1
    c -= 3
    c.increment()
    c.increment(10)
    c.decrement()
    c.decrement(n=2)
    c += True
    assert c is same and c == 12
    for wrong in (1.5, "1", None, []):
        with pytest.raises(TypeError):
            c += wrong
        with pytest.raises(TypeError):
            c.increment(wrong)
    with pytest.raises(TypeError):
        c *= 2
    assert c == 12


def test_amounts_and_totals():
    c = attached()
    for wrong in (2**63, -(2**63) - 1):
        with pytest.raises(OverflowError):
            c += wrong
    c -= -(2**63)
    assert c == 2**63
    for _ in range(4):
        c += 2**63 - 1
    assert c == 2**63 + 4 * (2**63 - 1) and int(ck.Doc.load(c._doc.save())["c"]) == int(c)
    big = attached(2**66)
    assert big == 2**66 and attached(-(2**66)) == -(2**66) and big.value == 2**66
    with pytest.raises(OverflowError):
        ck.Counter(2**127)


def test_rounding_is_exact_beyond_what_a_float_holds():
    n = 3 * (2**63 - 1)
    counter = ck.Counter(n)
    assert math.trunc(counter) == math.floor(counter) == math.ceil(counter) == round(counter) == n


def test_constructor():
    assert ck.Counter() == 0 and ck.Counter(n=3) == 3 and ck.Counter(True) == 1 and ck.Counter(ck.Counter(4)) == 4
    assert type(ck.Counter(True).value) is int
    for wrong in ("1", 1.5, None, [1]):
        with pytest.raises(TypeError):
            ck.Counter(wrong)


def test_everybody_counts():
    a = ck.Doc()
    a["c"] = ck.Counter(10)
    b = a.fork(ck.Identity.generate())
    a["c"] += 5
    b["c"] -= 2
    a.merge(b)
    b.merge(a)
    assert a["c"] == b["c"] == 13 and a.to_py() == {"c": 13}


def test_handles(make):
    c = make(3)
    for twin in (copy.copy(c), copy.deepcopy(c), pickle.loads(pickle.dumps(c)), ck.Counter(c)):
        assert type(twin) is ck.Counter and twin == 3
        twin += 1
        assert c == 3
    assert "Counter" in repr(c) and "3" in repr(c)


def test_place():
    doc = ck.Doc()
    c = ck.Counter(1)
    doc["c"] = c
    doc["l"] = [ck.Counter(1)]
    doc["c"] += 1
    doc["l"][0] += 1
    assert doc["c"] is c and doc == {"c": 2, "l": [2]}
    assert doc.commit().n_ops == 7 or doc.changes()
    del doc["c"]
    for use in (int, lambda c: c.value, lambda c: c + 1, lambda c: c == 1, lambda c: c.increment(), bool, str):
        with pytest.raises(ck.StaleHandleError):
            use(c)
    assert "deleted" in repr(c)
    doc["again"] = c
    assert doc["again"] == 2 and type(doc["again"]) is ck.Counter
    assert doc.pop("again") == 2


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8), st.integers(-(2**66), 2**66))
@settings(max_examples=100, deadline=None)
def test_sums(amounts, start):
    c = attached(start)
    for amount in amounts:
        c += amount
    assert c == start + sum(amounts)
    if amounts:
        assert ck.Doc.load(c._doc.save()) == {"c": start + sum(amounts)}
