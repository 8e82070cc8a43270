"""Rich text: mark(), unmark(), spans()."""

import random

import pytest

import crdtkv as ck

B = {"b": True}


def text(content="hello world"):
    doc = ck.Doc()
    doc["t"] = ck.Text(content)
    return doc["t"]


def test_mark_and_unmark():
    t = text()
    assert t.spans() == [("hello world", {})] and text("").spans() == []
    t.mark(0, 5, "b", True)
    t.mark(3, 8, "color", "red")
    assert t.spans() == [
        ("hel", B),
        ("lo", {"b": True, "color": "red"}),
        (" wo", {"color": "red"}),
        ("rld", {}),
    ]
    t.unmark(4, 8, "color")
    t.mark(0, 2, "b", False)
    assert t.spans() == [("he", {"b": False}), ("l", B), ("l", {"b": True, "color": "red"}), ("o", B), (" world", {})]
    t.unmark(0, 11, "b")
    t.unmark(0, 11, "color")
    assert t.spans() == [("hello world", {})] and t == "hello world"
    for value in (None, 1, 2.5, "x", b"y"):
        t.mark(0, 1, "v", value)
        assert t.spans()[0] == ("h", {"v": value})


def test_arguments():
    t = text("hello")
    for wrong in (
        lambda: t.mark(2, 2, "b", 1),
        lambda: t.mark(3, 2, "b", 1),
        lambda: t.unmark(1, 1, "b"),
        lambda: t.mark(0, 1, "", 1),
        lambda: t.mark(0, 1, "b", 1, "sideways"),
        lambda: t.mark(0, 1, "\ud800", 1),
    ):
        with pytest.raises(ValueError):
            wrong()
    for wrong in (lambda: t.mark(0, 6, "b", 1), lambda: t.mark(-6, 2, "b", 1), lambda: t.unmark(0, 10**30, "b")):
        with pytest.raises(IndexError):
            wrong()
    for wrong in (
        lambda: t.mark(0, 1, "b", []),
        lambda: t.mark(0, 1, 5, 1),
        lambda: t.mark("0", 1, "b", 1),
        lambda: t.mark(0, 1, "b"),
        lambda: t.mark(0, 1, "b", 1, 5),
        lambda: ck.Text("x").mark(0, 1, "b", 1),
        lambda: ck.Text("x").unmark(0, 1, "b"),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(OverflowError):
        t.mark(0, 1, "b", 2**63)
    with pytest.raises(ck.LimitError):
        t.mark(0, 1, "b" * 4097, 1)
    assert t.spans() == [("hello", {})] and ck.Text("x").spans() == [("x", {})] and ck.Text().spans() == []
    t.mark(-2, -1, "b", True)
    t.mark(start=0, end=1, name="b", value=True, expand="none")
    assert t.spans() == [("h", B), ("el", {}), ("l", B), ("o", {})]


@pytest.mark.parametrize("expand, before, after", [("none", 0, 0), ("before", 1, 0), ("after", 0, 1), ("both", 1, 1)])
def test_expansion(expand, before, after):
    t = text("abcd")
    t.mark(1, 3, "b", True, expand)
    t.insert(3, "Y")
    t.insert(1, "X")
    marked = "".join(s for s, names in t.spans() if names)
    assert marked == "X" * before + "bc" + "Y" * after
    t.insert(3, "m")
    assert "m" in "".join(s for s, names in t.spans() if names)


def test_default_expands_after():
    t = text("abcd")
    t.mark(0, 4, "b", True)
    t += "e"
    t.insert(0, "0")
    assert t.spans() == [("0", {}), ("abcde", B)]


def test_concurrent_marks():
    a = ck.Doc()
    a["t"] = ck.Text("the quick fox")
    b = a.fork(ck.Identity.generate())
    a["t"].mark(0, 9, "b", True)
    b["t"].mark(4, 13, "i", 1)
    b["t"].insert(9, "est")
    a["t"].mark(4, 9, "color", "red")
    b["t"].mark(4, 9, "color", "blue")
    a.merge(b)
    b.merge(a)
    assert a["t"].spans() == b["t"].spans() and a.root == b.root
    plain = dict.fromkeys(range(len(a["t"])))
    at = 0
    for s, names in a["t"].spans():
        for _ in s:
            plain[at] = names
            at += 1
    assert plain[0] == B and plain[5]["i"] == 1 and plain[5]["b"] is True and plain[5]["color"] in ("red", "blue")
    assert at == len(a["t"]) and ck.Doc.load(a.save())["t"].spans() == a["t"].spans()


def test_marks_in_blocks_and_of_the_past():
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    doc["t"].mark(0, 2, "b", True)
    then = doc.heads
    with pytest.raises(KeyError), doc.change():
        doc["t"].mark(0, 5, "b", 5)
        raise KeyError
    assert doc["t"].spans() == [("he", B), ("llo", {})]
    doc["t"].unmark(0, 5, "b")
    assert doc["t"].spans() == [("hello", {})] and doc.at(then)["t"].spans() == [("he", B), ("llo", {})]
    with pytest.raises(TypeError):
        doc.at(then)["t"].mark(0, 1, "b", 1)
    t = doc["t"]
    del doc["t"]
    for use in (lambda: t.spans(), lambda: t.mark(0, 1, "b", 1), lambda: t.unmark(0, 1, "b")):
        with pytest.raises(ck.StaleHandleError):
            use()


def test_against_a_list_of_dicts():
    rng = random.Random(7)
    t = text("0123456789")
    plain = [("0123456789"[i], {}) for i in range(10)]
    for step in range(400):
        n = len(plain)
        start = rng.randrange(n)
        end = rng.randrange(start + 1, n + 1)
        what = rng.random()
        name, value = rng.choice("abc"), rng.randrange(4)
        if what < 0.4:
            t.mark(start, end, name, value, "none")
            plain[start:end] = [(c, {**names, name: value}) for c, names in plain[start:end]]
        elif what < 0.6:
            t.unmark(start, end, name)
            plain[start:end] = [(c, {k: v for k, v in names.items() if k != name}) for c, names in plain[start:end]]
        elif n > 5 and what < 0.8:
            t.delete(start)
            del plain[start]
        else:
            continue
        spans = [(c, names) for s, names in t.spans() for c in s]
        assert spans == plain, step
