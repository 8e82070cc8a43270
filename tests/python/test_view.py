import pickle
import random
from collections.abc import Mapping

import pytest

import crdtkv as ck


def story():
    doc = ck.Doc()
    versions = [((), {})]

    def step():
        versions.append((doc.heads, doc.to_py()))

    doc["t"] = ck.Text("hello")
    step()
    doc["n"] = 1
    doc["t"].insert(5, " wörld")
    step()
    doc["t"].delete(0, 2)
    doc["n"] = True
    step()
    del doc["n"]
    doc["t"] = ck.Text("a new one")
    step()
    doc["t"].splice(2, 3, "old")
    doc["u"] = ck.Text("")
    step()
    del doc["t"]
    step()
    return doc, versions


def test_every_version_reads_as_it_was():
    doc, versions = story()
    for heads, content in versions:
        view = doc.at(heads)
        assert view == content == view.to_py() and content == view and view.heads == heads
        assert list(view) == list(content) and len(view) == len(content) and list(reversed(view)) == list(content)[::-1]
        assert "t" in view or "t" not in content
    assert doc.at(doc.heads) == doc and doc == doc.at(doc.heads) and doc.at(versions[1][0]) != doc


def test_view_stays_while_the_document_grows():
    doc, versions = story()
    views = [doc.at(heads) for heads, _ in versions]
    for i in range(300):
        doc.setdefault("t", ck.Text()).insert(0, f"{i} ")
        doc[f"k{i}"] = i
        doc.commit()
    for view, (_, content) in zip(views, versions):
        assert view == content


def test_view_is_a_mapping_and_read_only():
    doc, versions = story()
    view = doc.at(versions[2][0])
    assert isinstance(view, Mapping) and view.get("nope") is None and view["n"] == 1
    with pytest.raises(TypeError):
        view["n"] = 2
    with pytest.raises(TypeError):
        del view["n"]
    with pytest.raises(KeyError):
        view["nope"]
    with pytest.raises(TypeError):
        hash(view)
    with pytest.raises(TypeError):
        pickle.dumps(view)
    assert len(repr(view)) < 100


def test_text_of_the_past_reads_and_does_not_write():
    doc, versions = story()
    t = doc.at(versions[2][0])["t"]
    assert isinstance(t, ck.Text) and t == "hello wörld" and t[6:] == "wörld" and len(t) == 11 and t.find("w") == 6
    for wrong in (
        lambda: t.insert(0, "x"),
        lambda: t.delete(0),
        lambda: t.splice(0, 0, "x"),
        lambda: t.splices([]),
        lambda: t.update("x"),
        lambda: t.__setitem__(0, "x"),
        lambda: t.__delitem__(slice(2)),
        lambda: t.__iadd__("x"),
    ):
        with pytest.raises(TypeError):
            wrong()
    view = doc.at(versions[2][0])
    assert view["t"] is view["t"] and "past" in repr(view["t"])
    doc["copy"] = view["t"]
    doc["copy"] += "!"
    assert doc["copy"] == "hello wörld!" and view["t"] == "hello wörld"


def test_unknown_id():
    doc, _ = story()
    for wrong in ([bytes(32)], [*doc.heads, bytes(32)]):
        with pytest.raises(KeyError):
            doc.at(wrong)
        with pytest.raises(KeyError):
            doc.diff((), wrong)
    for wrong in (doc.heads[0], [b"short"], 5):
        with pytest.raises((TypeError, ValueError)):
            doc.at(wrong)


def test_view_of_one_branch():
    a = ck.Doc()
    a["t"] = ck.Text("mid")
    b = a.fork()
    a["t"].insert(0, "left ")
    b["t"].insert(3, " right")
    one, two = a.heads, b.heads
    a.merge(b)
    assert a["t"] == "left mid right"
    assert a.at(one) == {"t": "left mid"} and a.at(two) == {"t": "mid right"}
    assert a.at([*two, *one]) == a and a.at([*one, *two]).heads == tuple(sorted(one + two))


# ---- diff


def play(content, patches):
    """The patches, applied to plain content."""
    out = dict(content)
    for patch in patches:
        if patch.path == ():
            if patch.kind == "set":
                assert (out[patch.position] == patch.old) if patch.old is not ck.MISSING else patch.position not in out
                out[patch.position] = patch.new
            else:
                assert patch.kind == "remove" and out.pop(patch.position) == patch.old and patch.new is ck.MISSING
        else:
            (key,) = patch.path
            text, at = out[key], patch.position
            if patch.kind == "insert":
                assert patch.old is ck.MISSING
                out[key] = text[:at] + patch.new + text[at:]
            else:
                assert (
                    patch.kind == "remove" and text[at : at + len(patch.old)] == patch.old and patch.new is ck.MISSING
                )
                out[key] = text[:at] + text[at + len(patch.old) :]
    return out


def typed(content):
    return {key: (type(value), repr(value)) for key, value in content.items()}


def test_diff_between_all_versions():
    doc, versions = story()
    for a, old in versions:
        for b, new in versions:
            patches = doc.diff(a, b)
            assert typed(play(old, patches)) == typed(new)
            assert (patches == []) == (typed(old) == typed(new)) or a != b


def test_diff_says():
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    doc["n"], doc["gone"] = 1, None
    then = doc.heads
    doc["t"].splice(1, 2, "EY")
    doc["n"], doc["new"] = 1.0, ck.Text("x")
    del doc["gone"]
    assert doc.diff((), then) == [
        ck.Patch((), "set", "gone", ck.MISSING, None),
        ck.Patch((), "set", "n", ck.MISSING, 1),
        ck.Patch((), "set", "t", ck.MISSING, "hello"),
    ]
    patches = doc.diff(then, doc.heads)
    assert [p for p in patches if p.path == ()] == [
        ck.Patch((), "remove", "gone", None, ck.MISSING),
        ck.Patch((), "set", "n", 1, 1.0),
        ck.Patch((), "set", "new", ck.MISSING, "x"),
    ]
    assert {p.kind for p in patches if p.path == ("t",)} == {"insert", "remove"}
    assert play(doc.at(then).to_py(), patches) == doc
    with pytest.raises(AttributeError):
        patches[0].kind = "x"


def test_missing_is_one_thing():
    assert repr(ck.MISSING) == "MISSING" and pickle.loads(pickle.dumps(ck.MISSING)) is ck.MISSING
    patch = ck.Patch((), "set", "a")
    assert pickle.loads(pickle.dumps(patch)) == patch and patch.old is ck.MISSING


def test_diff_of_random_histories():
    rng = random.Random(4)
    a = ck.Doc()
    a["t"] = ck.Text("0123456789")
    b = a.fork()
    versions = [a.heads]
    for _ in range(30):
        doc = rng.choice((a, b))
        t = doc["t"]
        for _ in range(3):
            pos = rng.randint(0, len(t))
            t.splice(pos, rng.randint(0, min(2, len(t) - pos)), rng.choice(["", "x", "yz", "😀"]))
        versions.append(doc.heads)
        if rng.random() < 0.4:
            doc.merge(b if doc is a else a)
            versions.append(doc.heads)
    a.merge(b)
    contents = [a.at(v).to_py() for v in versions]
    for _ in range(100):
        i, j = rng.randrange(len(versions)), rng.randrange(len(versions))
        assert play(contents[i], a.diff(versions[i], versions[j])) == contents[j]
