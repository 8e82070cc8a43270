import pickle
import random
from collections.abc import Mapping

import pytest

import crdtkv as ck
from crdtkv import testing


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


# ---- containers of the past


def rich():
    doc = ck.Doc()
    doc["m"] = {"l": [1, {"x": 1}, 3], "s": {1, "a"}, "c": ck.Counter(5), "t": ck.Text("hello"), "deep": {"er": {}}}
    doc["m"]["t"].mark(0, 2, "b", True)
    then = doc.heads
    plain = doc.to_py()
    doc["m"]["l"].move(0, 2)
    doc["m"]["l"][0]["x"] = 2
    doc["m"]["s"] ^= {1, 2}
    doc["m"]["c"] += 2**62
    doc["m"]["t"].update("goodbye")
    doc["m"]["deep"]["er"]["est"] = [{}]
    del doc["m"]["l"][1]
    doc["m"]["over"] = doc["m"]
    doc.commit()
    return doc, then, plain


def test_containers_of_the_past_read_as_they_were():
    doc, then, plain = rich()
    view = doc.at(then)
    m = view["m"]
    assert view == plain == view.to_py() and m == plain["m"] and m.to_py() == plain["m"]
    assert [type(m[key]) for key in m] == [ck.Counter, ck.Map, ck.List, ck.Set, ck.Text]
    assert list(m) == ["c", "deep", "l", "s", "t"] and list(reversed(m)) == list(m)[::-1] and len(m) == 5
    assert m["l"][1] == {"x": 1} and m["l"][-1] == 3 and m["l"][::2] == [1, 3] and m["l"].index(3) == 2 and 1 in m["l"]
    assert m["s"] == {1, "a"} and 1 in m["s"] and 2 not in m["s"] and m["s"] | {9} == {1, "a", 9}
    assert (
        m["c"] == 5
        and m["c"] + 1 == 6
        and str(m["t"]) == "hello"
        and m["t"].spans() == [("he", {"b": True}), ("llo", {})]
    )
    assert m["l"] is m["l"] and m["l"][1] is m["l"][1] and view["m"] is m
    assert all("past" in repr(x) for x in (m, m["l"], m["s"], m["c"], m["t"]))
    assert [row[:2] for row in m["t"].blame()] == [(0, 5)]
    assert list(view.conflicts("m").values()) == [m] and list(m.conflicts("c").values()) == [5]
    assert list(m["l"].conflicts(1).values()) == [{"x": 1}] and m.conflicts("nope") == {} == view.conflicts("nope")
    assert view | {"m": 1} == {"m": 1} and m.get("nope") is None and "l" in m and m.copy() == m
    assert doc.at(doc.heads) == doc and doc != view


def test_containers_of_the_past_do_not_change():
    doc, then, plain = rich()
    m = doc.at(then)["m"]
    for wrong in (
        lambda: m.__setitem__("a", 1),
        lambda: m.__delitem__("l"),
        lambda: m.pop("l"),
        lambda: m.update(a=1),
        lambda: m.clear(),
        lambda: m.setdefault("new", 1),
        lambda: m.popitem(),
        lambda: m["l"].append(1),
        lambda: m["l"].insert(0, 1),
        lambda: m["l"].pop(),
        lambda: m["l"].extend([1]),
        lambda: m["l"].move(0, 1),
        lambda: m["l"].reverse(),
        lambda: m["l"].__setitem__(0, 1),
        lambda: m["l"].__delitem__(0),
        lambda: m["l"].__iadd__([1]),
        lambda: m["l"].sort(key=str),
        lambda: m["s"].add(1),
        lambda: m["s"].discard(1),
        lambda: m["s"].update([1]),
        lambda: m["s"].__ior__({1}),
        lambda: m["s"].pop(),
        lambda: m["c"].increment(),
        lambda: m["c"].__iadd__(1),
        lambda: m["t"].mark(0, 1, "b", 1),
        lambda: m.observe(print),
    ):
        with pytest.raises(TypeError):
            wrong()
    assert m == plain["m"]
    doc["copy"] = m
    assert doc["copy"] == plain["m"] and type(doc["copy"]["c"]) is ck.Counter
    twin = pickle.loads(pickle.dumps(m))
    assert twin == m and type(twin) is ck.Map
    twin["a"] = 1


def test_diff_of_containers():
    from crdtkv.patch import mirror

    doc, then, plain = rich()
    patches = doc.diff(then, doc.heads)
    assert mirror(plain, patches) == doc.to_py() and mirror(doc.to_py(), doc.diff(doc.heads, then)) == plain
    assert doc.diff(then, then) == [] and isinstance(patches, list)
    assert {patch.kind for patch in patches} >= {"set", "move", "remove", "add", "discard", "count", "insert"}
    with pytest.raises(KeyError):
        doc.diff(then, [bytes(32)])


def test_history_of_the_past():
    doc = ck.Doc()
    doc["m"] = {"k": 1}
    m = doc["m"]
    m["k"] = [2]
    first = doc.heads
    twin = doc.fork(ck.Identity.generate(), heads=first)
    twin["m"]["k"] = 3
    m["k"].append(4)
    del m["k"]
    doc["x"] = 5
    here = doc.heads
    doc.merge(twin)
    assert [e.value for e in doc.at(first)["m"].history("k")] == [[2], 1]
    assert doc.at(first).history("x") == [] and doc.at(here).history("x") == doc.history("x")
    assert [e.value for e in doc.at(here)["m"].history("k")] == [ck.MISSING, [2, 4], 1]
    assert doc.at(twin.heads)["m"].history("k") == twin["m"].history("k")
    assert doc.at(doc.heads)["m"].history("k") == doc["m"].history("k")
    del doc["m"]
    assert len(doc.at(here)["m"].history("k")) == 3


# ---- without somebody


def everything(identity=None):
    doc = ck.Doc(identity)
    doc["t"] = ck.Text("hello world")
    doc["items"] = ["a", "b", "c"]
    doc["n"] = ck.Counter(5)
    doc["tags"] = {"x", "y"}
    doc["m"] = {"k": 1}
    return doc


def test_without_nobody_and_without_all():
    doc = everything()
    assert doc.without() == doc.to_py() and doc.without(bytes(32)) == doc.to_py()
    assert doc.without(doc.identity.public_key) == {}
    with pytest.raises((TypeError, ValueError)):
        doc.without(b"short")
    with pytest.raises(KeyError):
        doc.without(heads=[bytes(32)])


def test_without_a_vandal_nothing_of_his_shows_and_all_that_he_broke_does():
    doc = everything()
    plain = doc.to_py()
    vandal = doc.fork(ck.Identity.generate())
    vandal["t"].delete(0, 6)
    vandal["t"].insert(2, "RUDE")
    vandal["t"].mark(0, 3, "bold", True)
    vandal["items"].move(0, 2)
    vandal["items"][0] = "changed"
    del vandal["items"][1]
    vandal["items"].append("more")
    vandal["n"] += 100
    vandal["tags"].discard("x")
    vandal["tags"].add("z")
    vandal["m"]["k"] = 2
    vandal["new"] = {"deep": [1]}
    del vandal["m"]
    doc.merge(vandal)
    assert doc != plain and doc.without(vandal.identity.public_key) == plain
    assert doc.without(vandal.identity.public_key)["t"].spans() == [("hello world", {})]
    doc["t"] += "!"
    assert str(doc.without(vandal.identity.public_key)["t"]) == "hello world!"
    assert doc.without(vandal.identity.public_key, heads=vandal.heads) == plain


def test_what_honest_people_write_next_to_a_vandal_stays():
    doc = everything()
    vandal = doc.fork(ck.Identity.generate())
    vandal["t"].insert(5, "LOUD")
    doc.merge(vandal)
    doc["t"].insert(7, "(in between)")
    doc["t"].insert(0, ">")
    view = doc.without(vandal.identity.public_key)
    assert str(view["t"]) == ">hello(in between) world"
    assert doc.without(doc.identity.public_key) == {}
    assert doc["t"] == ">helloLO(in between)UD world"


def test_whoever_equivocates_can_be_left_out_as_soon_as_it_is_found():
    doc = everything()
    muted = set()
    with doc.observe_equivocations(lambda e: muted.add(e.author)):
        liar = testing.Forger(doc, ck.Identity.generate())

        def story(word):
            return lambda d: d["t"].insert(0, word)

        for bundle in liar.fork(story("one "), story("two ")):
            doc.apply(bundle)
    assert muted == {liar.identity.public_key}
    assert str(doc["t"]) in ("one two hello world", "two one hello world")
    assert str(doc.without(*muted)["t"]) == "hello world"


def test_without_agrees_on_all_replicas():
    rng = random.Random(4)
    for _ in range(20):
        base = everything()
        docs = [base, *(base.fork(ck.Identity.generate()) for _ in range(3))]
        for _ in range(30):
            doc = rng.choice(docs)
            text = doc["t"]
            if rng.random() < 0.5 or not text:
                text.insert(rng.randrange(len(text) + 1), rng.choice("abc"))
            else:
                text.delete(rng.randrange(len(text)))
            doc[rng.choice("pq")] = rng.random()
            if rng.random() < 0.3:
                doc.merge(rng.choice(docs))
        for one in docs:
            for other in docs:
                one.merge(other)
        for left_out in docs:
            key = left_out.identity.public_key
            views = {str(doc.without(key).to_py()) for doc in docs}
            assert len(views) == 1
