"""Map against dict; what is said twice here is said of Doc in test_doc.py."""

import copy
import gc
import json
import pickle
from collections.abc import Hashable, MutableMapping

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import crdtkv as ck


def attached(content=()):
    doc = ck.Doc()
    doc["m"] = dict(content)
    return doc["m"]


def detached(content=()):
    return ck.Map(content)


def nested(depth):
    value = {}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


def test_update_counts_depth_from_where_the_map_is():
    doc = ck.Doc()
    doc.update(a=1, deep=nested(256))
    place = doc["deep"]
    for _ in range(199):
        place = place["x"]
    place.update(y=1, z=nested(56))
    before = doc.to_py()
    with pytest.raises(ck.LimitError):
        place.update(y=2, z=nested(57))
    with pytest.raises(ck.LimitError):
        doc.update(a=2, deeper=nested(257))
    assert doc.to_py() == before


@pytest.fixture(params=[attached, detached])
def make(request):
    return request.param


def test_is_a_mutable_mapping(make):
    m = make()
    assert isinstance(m, MutableMapping) and type(m) is ck.Map and not isinstance(m, Hashable)
    assert len(m) == 0 and not m and list(m) == [] and m == {} and m.to_py() == {}
    with pytest.raises(TypeError):
        hash(m)
    with pytest.raises(AttributeError):
        m.nope = 1


def test_methods_of_dict(make):
    m = make({"b": 1, "a": 2, "é": 3})
    assert list(m) == list(m.keys()) == ["a", "b", "é"] and list(m.values()) == [2, 1, 3]
    assert list(m.items()) == [("a", 2), ("b", 1), ("é", 3)] and list(reversed(m)) == ["é", "b", "a"]
    assert m["a"] == 2 and m.get("a") == 2 and m.get("z") is None and m.get("z", 5) == 5 and "a" in m and "z" not in m
    assert m.pop("a") == 2 and m.pop("a", 9) == 9 and m.setdefault("b", 7) == 1 and m.setdefault("c") is None
    m.update({"x": 1}, y=2)
    m.update([("z", 3)])
    assert m.popitem() == ("é", 3) and m == {"b": 1, "c": None, "x": 1, "y": 2, "z": 3}
    del m["x"]
    assert m | {"b": 0} == {"b": 0, "c": None, "y": 2, "z": 3} and {"b": 0} | m == m and type(m | {}) is dict
    same = m
    m |= {"b": 5}
    assert m is same and m["b"] == 5 and type(m.copy()) is ck.Map and m.copy() == m and m.copy() is not m
    m.clear()
    assert m == {} and ck.Map.fromkeys("ab", 1) == {"a": 1, "b": 1}
    for wrong in (lambda: m["x"], lambda: m.pop("x"), lambda: m.popitem(), lambda: m.__delitem__("x"), lambda: m[5]):
        with pytest.raises(KeyError):
            wrong()
    for wrong in (
        lambda: m.__setitem__(5, 1),
        lambda: m.setdefault(5, 1),
        lambda: m.update({5: 1}),
        lambda: m[[]],
        lambda: m.get(),
        lambda: m.pop("a", 1, 2),
        lambda: m | 5,
        lambda: m < {},
        lambda: m.__setitem__("a", 1j),
        lambda: m.__setitem__("a", [{"b": 1j}]),
    ):
        with pytest.raises(TypeError):
            wrong()
    assert m == {} and 5 not in m and m.get(5) is None


def test_equality(make):
    m = make({"a": [1, {"b": 2.0}], "c": {1}})
    assert m == {"a": [True, {"b": 2}], "c": {1.0}} and {"a": [1, {"b": 2}], "c": {1}} == m and m != {"a": 1} and m != 5
    assert m == make(m.to_py()) and m == attached(m.to_py()) == detached(m.to_py()) and m["a"] == [1, {"b": 2}]


def test_update_is_all_or_none(make):
    m = make({"a": 1})
    for bad in ({"b": 1, "c": 1j}, {"b": 1, 5: 1}, {"b": 2, "c": [2**70]}, {"b": 2, "c" * 5000: 1}):
        with pytest.raises((TypeError, OverflowError, ck.LimitError)):
            m.update(bad)
        assert m == {"a": 1}


def test_repr_is_short(make):
    m = make({str(i): "x" * 1000 for i in range(100)})
    assert "Map" in repr(m) and "100 keys" in repr(m) and len(repr(m)) < 100


def test_copies_are_detached(make):
    m = make({"a": [1, {"b": {2}}], "n": ck.Counter(2**66), "t": ck.Text("x")})
    for twin in (copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m)), ck.Map(m)):
        assert type(twin) is ck.Map and twin == m and twin is not m and "detached" in repr(twin)
        assert type(twin["t"]) is ck.Text and type(twin["n"]) is ck.Counter
        twin["a"] = 0
        twin["t"] += "y"
        assert m["a"] == [1, {"b": {2}}] and m["t"] == "x"
    assert json.loads(json.dumps(make({"a": [1]}).to_py())) == {"a": [1]}


def test_one_handle_per_place():
    doc = ck.Doc()
    doc["m"] = {"in": {"l": []}}
    m = doc["m"]
    assert doc["m"] is m and m["in"] is m["in"] and m["in"]["l"] is doc["m"]["in"]["l"]
    fresh = ck.Map({"x": 1})
    m["fresh"] = fresh
    assert m["fresh"] is fresh and fresh == {"x": 1}
    inner, text = ck.Map(), ck.Text("t")
    m["deep"] = [{"a": (inner, text)}]
    assert m["deep"][0]["a"][0] is inner and m["deep"][0]["a"][1] is text
    twice = ck.List([1])
    m["twice"] = [twice, twice]
    assert m["twice"][0] is twice and m["twice"][1] is not twice and m["twice"] == [[1], [1]]
    del m, fresh, inner, text, twice
    gc.collect()
    assert doc["m"] is doc["m"]


def test_storing_handles():
    doc, other = ck.Doc(), ck.Doc()
    doc["a"] = {"x": [1]}
    doc.commit()
    doc["a"] = doc["a"]
    doc["a"]["x"] = doc["a"]["x"]
    assert doc.commit() is None
    doc["b"] = doc["a"]
    other["c"] = {"inside": doc["a"], "also": [doc["a"]["x"]]}
    doc["a"]["x"].append(2)
    assert doc["b"] == {"x": [1]} and other == {"c": {"inside": {"x": [1]}, "also": [[1]]}}
    doc["a"]["self"] = doc["a"]
    assert doc["a"] == {"x": [1, 2], "self": {"x": [1, 2]}}


def test_stale_handles():
    doc = ck.Doc()
    for kill in (
        lambda: doc.__delitem__("o"),
        lambda: doc.__setitem__("o", 5),
        lambda: doc.__setitem__("o", {}),
        lambda: doc["o"].__delitem__("m"),
    ):
        doc["o"] = {"m": {"k": 1}}
        m = doc["o"]["m"]
        kill()
        for use in (
            len,
            list,
            bool,
            lambda m: m["k"],
            lambda m: m.get("k"),
            lambda m: "k" in m,
            lambda m: m.__setitem__("k", 1),
            lambda m: m.__delitem__("k"),
            lambda m: m.pop("k"),
            lambda m: m == {},
            lambda m: m.to_py(),
            lambda m: m.clear(),
            lambda m: m.setdefault("k", 1),
            lambda m: m.conflicts("k"),
            lambda m: m.history("k"),
            lambda m: m.update(k=1),
            lambda m: m.__setitem__("k", {}),
        ):
            with pytest.raises(ck.StaleHandleError):
                use(m)
        assert "deleted" in repr(m) and copy.copy(m) == {"k": 1} and pickle.loads(pickle.dumps(m)) == {"k": 1}
        doc["back"] = m
        assert doc["back"] == {"k": 1} and doc["back"] is not m


def test_fresh_handles_of_an_undone_block_keep_their_content():
    doc = ck.Doc()
    m, deep = ck.Map({"a": 1}), ck.Text("x")
    with pytest.raises(KeyError), doc.change():
        doc["m"] = m
        m["t"] = [deep]
        m["n"] = ck.Counter(5)
        raise KeyError
    assert doc == {}
    with pytest.raises(ck.StaleHandleError):
        m["a"]
    doc["m"] = m
    assert doc == {"m": {"a": 1, "n": 5, "t": ["x"]}} and type(doc["m"]["n"]) is ck.Counter


def test_pop_is_plain(make):
    m = make({"a": {"b": [1]}, "t": ck.Text("x"), "c": ck.Counter(3)})
    for key, content in (("a", {"b": [1]}), ("t", "x"), ("c", 3)):
        value = m.pop(key)
        assert value == content and type(value) is type(content)


# ---- conflicts and history


def test_conflicts():
    a = ck.Doc()
    a["m"] = {}
    b = a.fork(ck.Identity.generate())
    a["m"]["x"], b["m"]["x"] = "a", {"b": 1}
    one, two = a.commit(), b.commit()
    a.merge(b)
    b.merge(a)
    found = a["m"].conflicts("x")
    assert set(found) == {f"{one.id.hex()}:0", f"{two.id.hex()}:0"} and next(iter(found.values())) == a["m"]["x"]
    assert sorted(map(str, map(type, found.values()))) == sorted(map(str, (str, ck.Map)))
    assert list(found) == list(b["m"].conflicts("x")) and a["m"].conflicts("nope") == {} == a.conflicts("nope")
    hidden = next(value for value in found.values() if not isinstance(value, str))
    hidden["c"] = 2
    assert hidden == {"b": 1, "c": 2}
    a["m"]["x"] = "settled"
    assert list(a["m"].conflicts("x").values()) == ["settled"] and a["m"].conflicts(5) == {}
    with pytest.raises(TypeError):
        ck.Map().conflicts("x")


def test_setdefault_is_one_container():
    a = ck.Doc()
    b = a.fork(ck.Identity.generate())
    a.setdefault("l", []).append("a")
    b.setdefault("l", []).append("b")
    a.merge(b)
    b.merge(a)
    assert a == b and sorted(a["l"]) == ["a", "b"] and len(a.conflicts("l")) == 1
    a.setdefault("c", ck.Counter(2)), b.setdefault("c", ck.Counter(3))
    a.setdefault("t", ck.Text()).insert(0, "x"), b.setdefault("t", ck.Text()).insert(0, "y")
    a.merge(b)
    assert a["c"] == 5 and sorted(a["t"]) == ["x", "y"]
    del a["l"]
    again = a.setdefault("l", [])
    assert again == [] and a["l"] is again
    t = ck.Text("fresh")
    assert a.setdefault("u", t) is t is a["u"] and a.setdefault("u", ck.Text()) is t
    assert a.setdefault("n", 5) == 5 and a.setdefault("n", 6) == 5


def test_history():
    doc = ck.Doc(clock=lambda: 77)
    doc["m"] = {}
    m = doc["m"]
    m["x"] = 1
    one = doc.commit()
    del m["x"]
    two = doc.commit()
    m["x"] = [1]
    three = doc.commit()
    found = m.history("x")
    me = doc.identity.public_key
    assert isinstance(found, list) and found == [
        ck.Entry("x", [1], me, three.id, 77, "put"),
        ck.Entry("x", ck.MISSING, me, two.id, 77, "delete"),
        ck.Entry("x", 1, me, one.id, 77, "put"),
    ]
    assert m.history("nope") == [] and doc.history("m")[0].kind == "put"
    with pytest.raises(TypeError):
        ck.Map().history("x")


@pytest.mark.parametrize("call", [lambda m: m.conflicts("x"), lambda m: m.history("x")])
def test_closing_calls_are_refused_inside_a_block(call):
    doc = ck.Doc()
    doc["m"] = {"x": 1}
    with doc.change(), pytest.raises(RuntimeError, match="change"):
        call(doc["m"])
    call(doc["m"])


# ---- against a dict

keys = st.sampled_from(["a", "b", "ä", "", "😀"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text("aé😀", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.sets(st.integers(0, 3)),
    max_leaves=6,
)


class AgainstDict(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.doc = ck.Doc()
        self.doc["m"] = {}
        self.plain = {}

    @property
    def map(self):
        return self.doc["m"]

    @rule(key=keys, value=values)
    def set(self, key, value):
        self.map[key] = self.plain[key] = value

    @rule(key=keys)
    def pop(self, key):
        assert self.map.pop(key, "none") == self.plain.pop(key, "none")

    @rule(key=keys, value=values)
    def setdefault(self, key, value):
        assert self.map.setdefault(key, value) == self.plain.setdefault(key, value)

    @rule(new=st.dictionaries(keys, values, max_size=3))
    def update(self, new):
        self.map.update(new)
        self.plain.update(new)

    @rule(fail=st.booleans(), key=keys, value=values)
    def block(self, fail, key, value):
        plain = dict(self.plain)
        try:
            with self.doc.change():
                self.map[key] = plain[key] = value
                self.map.pop("a", None), plain.pop("a", None)
                if fail:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return
        self.plain = plain

    @rule()
    def reload(self):
        twin = ck.Doc.load(self.doc.save())
        assert twin.root == self.doc.root
        self.doc = twin

    @invariant()
    def same(self):
        assert self.map == self.plain and list(self.map) == sorted(self.plain, key=str.encode)
        assert self.map.to_py() == self.plain and len(self.map) == len(self.plain)


@pytest.mark.parametrize("make", [ck.Doc, ck.Map, lambda: ck.Doc().setdefault("m", {})])
def test_any_key_is_a_keyword_of_update(make):
    m = make()
    m.update(self=1, other=2, args=3)
    m.update({"self": 4}, kwargs=5)
    assert m == {"self": 4, "other": 2, "args": 3, "kwargs": 5}


def test_views_of_dict_go_backwards_too():
    doc = ck.Doc()
    doc.update(b=1, a=2, c=3)
    doc["m"] = dict(doc)
    for m in (doc["m"], doc.at(doc.heads)["m"], ck.Map(doc["m"])):
        plain = dict(sorted(m.to_py().items()))
        assert list(reversed(m.keys())) == list(reversed(plain.keys()))
        assert list(reversed(m.values())) == list(reversed(plain.values()))
        assert list(reversed(m.items())) == list(reversed(plain.items()))
    assert next(reversed(doc.keys())) == next(reversed(doc.at(doc.heads).items()))[0] == "m"


AgainstDict.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstDict = AgainstDict.TestCase


@given(values)
@settings(max_examples=150, deadline=None)
def test_any_value_reads_back(value):
    doc = ck.Doc()
    doc["v"] = value
    plain = doc.to_py()["v"]
    assert plain == value and repr(sort_keys(plain)) == repr(sort_keys(value))
    assert ck.Doc.load(doc.save()) == {"v": value}


def sort_keys(value):
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sort_keys(inner) for inner in value]
    return sorted(value) if isinstance(value, set) else value


def test_many_defaults_beside_one():
    """Who asks again and again knows one stretch of what was asked for: it is kept as one."""
    a = ck.Doc()
    a["seed"] = 1
    a.commit()
    b, c = a.fork(ck.Identity.generate()), a.fork(ck.Identity.generate())
    a.setdefault("k", ck.List()).append(1)
    for doc in (b, c):
        doc["seed"] = 2  # so that what follows comes behind the list in the total order
        doc.commit()
        with doc.change():
            for _ in range(200):
                doc.setdefault("k", ck.Map())
                del doc["k"]
            doc.setdefault("k", ck.Map())[str(doc is b)] = 1
    bundles = [x.export() for x in (a, b, c)]
    docs = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        docs.append(ck.Doc.load(bundles[order[0]]))
        for i in order[1:]:
            docs[-1].apply(bundles[i])
    assert docs[0].to_py() == docs[1].to_py() == docs[2].to_py()
    assert docs[0]["k"].to_py() == {"True": 1, "False": 1}
    with docs[0].change():
        docs[0]["k"]["more"] = 2
    docs[1].apply(docs[0].export(since=docs[1].heads))
    assert docs[1].to_py() == docs[0].to_py()
