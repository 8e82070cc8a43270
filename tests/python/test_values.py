"""What goes in and comes out: conversion, errors that say where, and no trace of what was refused."""

import collections
import json
import math
import types
from collections.abc import Mapping

import pytest

import crdtkv as ck


class Strange(Mapping):
    """A mapping of anybody's."""

    def __init__(self, items):
        self.pairs = items

    def __getitem__(self, key):
        return dict(self.pairs)[key]

    def __iter__(self):
        return iter(dict(self.pairs))

    def __len__(self):
        return len(self.pairs)


def fill(kind):
    doc = ck.Doc()
    doc["m"], doc["l"] = {}, [0]
    doc.commit()
    return doc, {
        "root": lambda v: doc.__setitem__("k", v),
        "map": lambda v: doc["m"].__setitem__("k", v),
        "setdefault": lambda v: doc["m"].setdefault("k", v),
        "update": lambda v: doc["m"].update({"k": v}),
        "append": lambda v: doc["l"].append(v),
        "insert": lambda v: doc["l"].insert(0, v),
        "assign": lambda v: doc["l"].__setitem__(0, v),
        "extend": lambda v: doc["l"].extend([1, v]),
        "slice": lambda v: doc["l"].__setitem__(slice(0, 1), [2, v]),
        "stepwise": lambda v: doc["l"].__setitem__(slice(0, None, -1), [v]),
    }[kind]


WAYS = ["root", "map", "setdefault", "update", "append", "insert", "assign", "extend", "slice", "stepwise"]


@pytest.fixture(params=WAYS)
def way(request):
    return fill(request.param)


BAD = [
    (1j, TypeError, "complex"),
    ({"a": [0, 1, 2, {"b": 1j}]}, TypeError, "complex at .*['a'][3]['b']"),
    ([{"a": {5: 1}}], TypeError, "keys are str, not int at .*['a']"),
    ([[], {"x": {(1, 2)}}], TypeError, "tuple as a member of a set at .*['x']"),
    ({"a": (1, 2**63)}, OverflowError, "64 bits at .*['a'][1]"),
    ({"a": {"b": "\ud800"}}, ValueError, "surrogate.* at .*['a']['b']"),
    ({"a": {"\ud800": 1}}, ValueError, "surrogate"),
    ({"a": {"k" * 4097: 1}}, ck.LimitError, "4 KiB"),
    (Strange([("a", [object()])]), TypeError, "object at .*['a'][0]"),
    ({"a": bytearray()}, TypeError, "bytearray"),
    ([ck.Doc], TypeError, "cannot store ABCMeta"),
    ({"a": {"b": ck.Map({"c": [1]}), "d": ...}}, TypeError, "ellipsis at .*['d']"),
]


@pytest.mark.parametrize("value, error, says", BAD, ids=lambda x: repr(x)[:30])
def test_refused_values_leave_no_trace(way, value, error, says):
    doc, store = way
    before, root = doc.to_py(), doc.root
    pattern = says.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(error, match=pattern):
        store(value)
    assert doc.to_py() == before and doc.root == root and doc.commit() is None


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_depth():
    doc = ck.Doc()
    doc["deep"] = nested(256)
    assert doc["deep"] == nested(256)
    twin = ck.Doc.load(doc.save())
    assert twin == doc
    root = doc.root
    for bad in (nested(257), {"a": nested(256)}, (nested(256),)):
        with pytest.raises(ck.LimitError, match="256"):
            doc["deeper"] = bad
    at = doc["deep"]
    for _ in range(255):
        at = at[0]
    at.append(1)
    for bad in ([], {}, ck.Text(), ck.Counter(), set(), [1]):
        with pytest.raises(ck.LimitError):
            at.append(bad)
    del at[0]
    doc.commit()
    assert root != doc.root and doc["deep"] == nested(256)
    inside = doc["deep"][0]
    with pytest.raises(ck.LimitError):
        inside.append(nested(255))


def test_cycles():
    doc = ck.Doc()
    plain = {"a": []}
    plain["a"].append(plain)
    named = ck.Map()
    named_list = ck.List([named])
    with pytest.raises((ValueError, ck.LimitError)):
        doc["x"] = plain
    for build in (lambda: named.__setitem__("self", named_list), lambda: doc.__setitem__("x", named)):
        try:
            build()
        except (ValueError, ck.LimitError):
            continue
    assert "x" not in doc or doc["x"] == {}


def test_kinds():
    Point = collections.namedtuple("Point", "x y")
    doc = ck.Doc()
    doc["v"] = {
        "dict": {}, "list": [], "tuple": (1, (2,)), "set": {1}, "frozen": frozenset("a"), "point": Point(1, 2),
        "ordered": collections.OrderedDict(b=1, a=2), "proxy": types.MappingProxyType({"x": 1}),
        "default": collections.defaultdict(int, y=1), "chain": collections.ChainMap({"z": 1}),
        "strange": Strange([("s", 1)]), "text": ck.Text("t"), "counter": ck.Counter(5),
    }  # fmt: skip
    found = {key: type(value) for key, value in doc["v"].items()}
    maps = ("dict", "ordered", "proxy", "default", "chain", "strange")
    assert all(found[key] is ck.Map for key in maps)
    assert found["list"] is found["tuple"] is found["point"] is ck.List and found["set"] is found["frozen"] is ck.Set
    assert found["text"] is ck.Text and found["counter"] is ck.Counter
    assert doc.to_py()["v"] == {
        "dict": {}, "list": [], "tuple": [1, [2]], "set": {1}, "frozen": {"a"}, "point": [1, 2],
        "ordered": {"a": 2, "b": 1}, "proxy": {"x": 1}, "default": {"y": 1}, "chain": {"z": 1},
        "strange": {"s": 1}, "text": "t", "counter": 5,
    }  # fmt: skip
    assert ck.Doc.load(doc.save()) == doc


def test_another_document_is_a_map():
    a, b = ck.Doc(), ck.Doc()
    a["x"] = {"t": ck.Text("x")}
    b["copy"] = a
    b["past"] = a.at(a.heads)
    assert b == {"copy": {"x": {"t": "x"}}, "past": {"x": {"t": "x"}}}


def test_types_stay_apart_when_nested():
    doc = ck.Doc()
    values = [1, True, 1.0, 0, False, 0.0, -0.0, None, "", b"", math.inf, 2**63 - 1, -(2**63)]
    doc["v"] = [values, {"k": values}]
    for each in (doc, ck.Doc.load(doc.save())):
        found = each.to_py()["v"]
        assert list(map(repr, found[0])) == list(map(repr, values)) == list(map(repr, found[1]["k"]))
    doc["nan"] = [math.nan]
    assert math.isnan(doc.to_py()["nan"][0])


def test_keys_come_in_order_and_are_shared():
    doc = ck.Doc()
    doc["rows"] = [{"b": i, "a": -i, "ä": None} for i in range(100)]
    rows = doc["rows"].to_py()
    assert list(rows[0]) == ["a", "b", "ä"] and next(iter(rows[0])) is next(iter(rows[99]))
    assert json.loads(json.dumps(rows)) == rows == doc["rows"]


def test_code_of_anybody_may_run_while_a_value_is_read():
    doc = ck.Doc()

    class Meddler(Strange):
        def __iter__(self):
            doc["meddled"] = doc.get("meddled", 0) + 1
            victim.clear()
            return super().__iter__()

    victim = [1, Meddler([("a", 1)]), 3]
    with pytest.raises(RuntimeError):
        doc["v"] = victim
    victim = {"a": Meddler([("a", 1)]), "b": 2}
    with pytest.raises(RuntimeError):
        doc["v"] = victim
    assert doc == {"meddled": doc["meddled"]} and doc["meddled"] > 0


def test_exceptions_of_anybody_leave_no_trace():
    class Broken(Strange):
        def __len__(self):
            return 5

        def __iter__(self):
            raise ZeroDivisionError

    doc = ck.Doc()
    with pytest.raises(ZeroDivisionError):
        doc["v"] = [1, {"a": Broken([])}]
    assert doc == {} and doc.commit() is None


def test_exception_in_a_block_leaves_all_as_it_was():
    doc = ck.Doc()
    doc["m"] = {"l": [1, {"t": ck.Text("text")}, 3], "s": {1, 2}, "c": ck.Counter(5)}
    before, root, stats = doc.to_py(), doc.root, doc.stats()["items"]
    handles = [doc["m"], doc["m"]["l"], doc["m"]["l"][1]["t"], doc["m"]["s"], doc["m"]["c"]]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), doc.change():
            doc["m"]["l"].move(0, 2)
            doc["m"]["l"][0]["t"].insert(0, "more ")
            doc["m"]["l"][0]["t"].mark(0, 4, "bold", True)
            doc["m"]["l"].insert(1, {"deep": [[]]})
            doc["m"]["l"].sort(key=str)
            doc["m"]["s"] ^= {2, 3}
            doc["m"]["c"] += 7
            doc["m"]["new"] = doc["m"]["l"]
            del doc["m"]["l"][0]
            doc["m"].setdefault("d", []).append(1)
            doc["m"] = {"over": 1}
            1 / 0  # noqa: B018
        assert doc.to_py() == before and doc.root == root and doc.stats()["items"] == stats
        assert [doc["m"], doc["m"]["l"], doc["m"]["l"][1]["t"], doc["m"]["s"], doc["m"]["c"]] == handles
        assert all(
            x is y
            for x, y in zip(handles, [doc["m"], doc["m"]["l"], doc["m"]["l"][1]["t"], doc["m"]["s"], doc["m"]["c"]])
        )
        assert doc["m"]["l"][1]["t"].spans() == [("text", {})]


def test_large_values():
    doc = ck.Doc()
    doc["big"] = [{"i": i, "s": "x" * 100} for i in range(50_000)]
    assert len(doc["big"]) == 50_000 and doc["big"][49_999] == {"i": 49_999, "s": "x" * 100}
    with pytest.raises(ck.LimitError):
        doc["bigger"] = ["x" * 1000] * 20_000
    assert "bigger" not in doc
    doc["l"] = [ck.Text("x" * (2 << 20))]
    doc["l"].append(ck.Text("y" * (3 << 20)))
    assert len(doc["l"][1]) == 3 << 20 and ck.Doc.load(doc.save()) == doc
