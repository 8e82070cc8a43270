"""Cursors stay with their character or item."""

import copy
import pickle
import random

import pytest

import crdtkv as ck


@pytest.fixture(params=["text", "list"])
def place(request):
    doc = ck.Doc()
    doc["x"] = ck.Text("abcde") if request.param == "text" else list("abcde")
    return doc, doc["x"]


def test_stays_with_its_item(place):
    _doc, x = place
    after, before, start, end = x.cursor(2), x.cursor(2, "before"), x.cursor(0, side="before"), x.cursor(5)
    assert [c.index for c in (after, before, start, end)] == [2, 2, 0, 5]
    x.insert(2, "X")
    assert (after.index, before.index) == (3, 2)
    x.insert(0, "0")
    x.insert(len(x), "9")
    assert (after.index, before.index, start.index, end.index) == (4, 3, 0, 8)
    del x[4]
    assert after.index == 4
    x.insert(4, "Y")
    del x[:]
    assert [c.index for c in (after, before, start, end)] == [0, 0, 0, 0]


def test_arguments(place):
    doc, x = place
    assert x.cursor(-1).index == 4 and x.cursor(index=1, side="after").index == 1
    for wrong in (lambda: x.cursor(6), lambda: x.cursor(-6), lambda: x.cursor(10**30)):
        with pytest.raises(IndexError):
            wrong()
    for wrong in (
        lambda: x.cursor(),
        lambda: x.cursor("0"),
        lambda: x.cursor(0, 5),
        lambda: x.cursor(0, nope=1),
        lambda: x.cursor(0, "after", "z"),
        lambda: ck.Cursor(),
        lambda: ck.Text("x").cursor(0),
        lambda: ck.List([1]).cursor(0),
        lambda: doc.at(doc.heads)["x"].cursor(0),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError):
        x.cursor(0, "left")


def test_equality_and_container(place):
    doc, x = place
    c = x.cursor(2)
    assert (
        c == x.cursor(2) and hash(c) == hash(x.cursor(2)) and c != x.cursor(3) and c != x.cursor(2, "before") and c != 2
    )
    assert c.container is x is doc["x"] and "2" in repr(c)
    assert copy.copy(c) is c and copy.deepcopy(c) is c
    with pytest.raises(TypeError):
        pickle.dumps(c)
    doc["x"] = 5
    with pytest.raises(ck.StaleHandleError):
        c.index  # noqa: B018
    assert "deleted" in repr(c)


def test_encode(place):
    doc, x = place
    other = doc.fork(ck.Identity.generate())
    x.insert(0, "z")
    cursors = [x.cursor(i, side) for i in range(7) for side in ("after", "before")]
    with doc.change(), pytest.raises(RuntimeError, match="change"):
        cursors[0].encode()
    data = [c.encode() for c in cursors]
    assert all(type(d) is bytes and len(d) < 200 for d in data)
    assert [ck.Cursor.decode(d, doc) for d in data] == cursors
    with pytest.raises(KeyError):
        ck.Cursor.decode(data[0], other)
    other["x"].insert(5, "q")
    other.merge(doc)
    found = [ck.Cursor.decode(bytearray(d), other) for d in data]
    assert [c.container is other["x"] for c in found] == [True] * 14
    doc.merge(other)
    assert [c.index for c in found] == [c.index for c in cursors]
    for wrong in (b"", data[0][:-1], data[0] + b"x", b"nonsense"):
        with pytest.raises(ck.DecodeError):
            ck.Cursor.decode(wrong, doc)
    foreign = ck.Doc()
    with pytest.raises((ck.DecodeError, KeyError)):
        ck.Cursor.decode(data[0], foreign)
    for wrong in ((5, doc), (data[0], 5), (data[0],)):
        with pytest.raises(TypeError):
            ck.Cursor.decode(*wrong)


def test_moved_item_takes_its_cursor_along():
    doc = ck.Doc()
    doc["l"] = list("abc")
    c = doc["l"].cursor(0)
    doc["l"].move(0, 2)
    assert c.index == 2 and doc["l"][c.index] == "a"


@pytest.mark.parametrize("seed", range(10))
def test_random_edits_of_two(seed):
    rng = random.Random(seed)
    a = ck.Doc()
    a["t"] = ck.Text("".join(chr(200 + i) for i in range(30)))
    b = a.fork(ck.Identity.generate())
    cursors = {a["t"][i]: a["t"].cursor(i) for i in range(30)}
    for _ in range(60):
        doc = rng.choice((a, b))
        t = doc["t"]
        i = rng.randrange(len(t) + 1)
        if rng.random() < 0.6:
            t.insert(i, rng.choice(["x", "yy"]))
        elif i < len(t):
            t.delete(i)
        if rng.random() < 0.2:
            doc.merge(b if doc is a else a)
        content = str(a["t"])
        for c, cursor in cursors.items():
            if c in content:
                assert content[cursor.index] == c
            else:
                assert 0 <= cursor.index <= len(content)


def test_of_an_item_that_was_rolled_back(place):
    """Its number is given to other items, of any kind, or to none."""
    doc, x = place
    before = x.cursor(1)
    made = []
    for more in (0, 1, 3):
        with pytest.raises(KeyError), doc.change():
            x.insert(5, "y")
            made.append(x.cursor(5))
            made.append(x.cursor(6, "before"))
            assert made[-1].index == 6
            raise KeyError
        for k in range(more):
            doc[f"k{k}"] = k
        for cursor in made:
            with pytest.raises(ck.StaleHandleError):
                cursor.index  # noqa: B018
            with pytest.raises(ck.StaleHandleError):
                cursor.encode()
    x.insert(5, "z")
    later = x.cursor(5)
    with pytest.raises(KeyError), doc.change():
        x.insert(0, "yyy")
        raise KeyError
    assert (before.index, later.index) == (1, 5)
    assert ck.Cursor.decode(later.encode(), doc).index == 5
    for cursor in made:
        with pytest.raises(ck.StaleHandleError):
            cursor.index  # noqa: B018
