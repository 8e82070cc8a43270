"""A Store as a mapping: the manners of a dict, in the order of its keys' bytes."""

import copy
import json
import math
import pickle
import threading
from collections.abc import Hashable, ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from decimal import Decimal

import pytest

import crdtkv as ck
from house.named import named
from house.stores import in_order, state, store, whole

MIXED = ["", b"", "a", b"a", b"a\x00", "ab", b"ab", "b", b"b\xff", "é", b"\xff", b"\xff\xff"]  # in order


def filled(*keys, **more):
    s = store()
    s.update({key: i for i, key in enumerate(keys)}, **more)
    return s


# ---- what a dict does


def test_a_store_is_a_mutable_mapping_that_cannot_be_hashed():
    s = ck.Store()
    assert isinstance(s, MutableMapping) and not isinstance(s, Hashable) and type(s) is ck.Store
    assert len(s) == 0 and not s and list(s) == [] and s == {} and list(reversed(s)) == []
    with pytest.raises(TypeError):
        hash(s)
    with pytest.raises(AttributeError):
        s.nope = 1


def test_set_get_and_delete():
    s = ck.Store()
    s["k"] = 1
    assert s["k"] == 1 and "k" in s and s.get("k") == 1 and s.get("k", 5) == 1 and len(s) == 1 and s
    s["k"] = 2
    assert s["k"] == 2 and len(s) == 1
    del s["k"]
    assert "k" not in s and s.get("k") is None and s.get("k", 5) == 5 and len(s) == 0
    for absent in (lambda: s["k"], lambda: s.__delitem__("k"), lambda: s.pop("k"), s.popitem):
        with pytest.raises(KeyError):
            absent()


def test_a_key_error_names_its_key():
    with pytest.raises(KeyError) as caught:
        ck.Store()[b"k"]
    assert caught.value.args == (b"k",)


def test_pop_setdefault_update_and_clear():
    s = filled("a", "b", "c")
    assert s.pop("a") == 0 and "a" not in s and s.pop("a", None) is None and s.pop("a", 9) == 9
    assert s.setdefault("b", 7) == 1 and s.setdefault("n") is None and s["n"] is None and s.setdefault("m", [1]) == [1]
    s.update({"x": 1}, y=2)
    s.update([("z", 3)])
    s.update()
    s.update(store())
    assert s == {"b": 1, "c": 2, "m": [1], "n": None, "x": 1, "y": 2, "z": 3}
    s.clear()
    assert s == {} and len(s) == 0
    s.clear()


def test_setdefault_of_a_present_key_writes_nothing():
    s = filled("k")
    before = state(s)
    s.setdefault("k", 9)
    assert state(s) == before


def test_popitem_takes_the_last_in_key_order():
    s = filled("b", b"\xff", "a")
    assert s.popitem() == (b"\xff", 1) and s.popitem() == ("b", 0) and s.popitem() == ("a", 2)
    with pytest.raises(KeyError):
        s.popitem()


def test_union():
    s = filled("a", "b")
    same = s
    s |= {"b": 5, "c": 6}
    s |= [("d", 7)]
    assert s is same and s == {"a": 0, "b": 5, "c": 6, "d": 7}
    assert (s | {"a": 1}) == {"a": 1, "b": 5, "c": 6, "d": 7} and ({"a": 1, "e": 1} | s) == {**s, "e": 1}
    assert s["a"] == 0 and "e" not in s
    with pytest.raises(TypeError):
        s |= 5


def test_equality_is_by_content_with_any_mapping():
    s = filled("a", b"a")
    assert s == {b"a": 1, "a": 0} and s == {"a": 0, b"a": 1} and s != {"a": 0} and s != {"a": 0, "b": 1}
    assert s == filled("a", b"a") and s != filled("a", "b") and s != filled("a") and s == s
    assert s == {"a": False, b"a": 1.0} and s != [("a", 0), (b"a", 1)] and s != 5 and s is not None
    assert s != {"a": 0, 5: 1} and s != {"a": 0, "x" * 5000: 1} and s != {"a": 0, "\ud800": 1}

    class Other(Mapping):
        def __getitem__(self, key):
            return {"a": 0, b"a": 1}[key]

        def __len__(self):
            return 2

        def __iter__(self):
            return iter(["a", b"a"])

    assert s == Other() and Other() == s


def test_repr_shows_type_and_size_and_never_the_content():
    s = filled("needle")
    s["k"] = "haystack" * 100_000
    assert "Store" in repr(s) and "2" in repr(s) and "haystack" not in repr(s) and len(repr(s)) < 200
    assert len(repr(s.items())) < 10_000_000 and len(repr(ck.Store("n" * 200))) < 400
    assert "haystack" not in repr(s.entries()) and "2" in repr(s.entries())


def test_to_py_is_a_plain_dict_for_json():
    s = filled("b", "a", c={"n": [1, 2]})
    assert type(s.to_py()) is dict and json.loads(json.dumps(s.to_py())) == {"a": 1, "b": 0, "c": {"n": [1, 2]}}


# ---- views


def test_views_are_those_of_a_dict_and_live():
    s = filled("a", "b")
    keys, values, items = s.keys(), s.values(), s.items()
    assert isinstance(keys, KeysView) and isinstance(values, ValuesView) and isinstance(items, ItemsView)
    s["c"] = "x"
    assert list(keys) == ["a", "b", "c"] and list(values) == [0, 1, "x"] and len(keys) == len(values) == len(items) == 3
    assert list(items) == [("a", 0), ("b", 1), ("c", "x")] == list(reversed(items))[::-1]
    assert list(reversed(keys)) == ["c", "b", "a"] and list(reversed(values)) == ["x", 1, 0]
    assert "a" in keys and "z" not in keys and "x" in values and 7 not in values
    assert ("a", 0) in items and ("a", 1) not in items and ("z", 0) not in items
    assert keys & {"a", "z"} == {"a"} and keys | {"z"} == {"a", "b", "c", "z"} and keys - {"a"} == {"b", "c"}
    assert items & {("a", 0)} == {("a", 0)} and keys == {"a", "b", "c"} and keys.isdisjoint({"z"})


def test_views_of_a_prefix_are_live_and_know_their_bounds():
    s = filled("a", "aa", "ab", "b")
    keys, values, items = s.keys(prefix="a"), s.values(prefix="a"), s.items(prefix="a")
    s[b"az"] = 9
    assert list(keys) == ["a", "aa", "ab", b"az"] and list(values) == [0, 1, 2, 9] and len(items) == len(keys) == 4
    assert "b" not in keys and "ab" in keys and ("b", 3) not in items and (b"az", 9) in items and 3 not in values
    assert list(reversed(keys)) == [b"az", "ab", "aa", "a"]
    del s["aa"]
    assert dict(items) == {"a": 0, "ab": 2, b"az": 9}


# ---- order, prefixes, ranges


def test_keys_come_in_the_order_of_their_bytes_and_keep_their_type():
    s = filled(*reversed(MIXED))
    assert list(s) == MIXED and [type(k) for k in s] == [type(k) for k in MIXED]
    assert list(reversed(s)) == MIXED[::-1] and list(s.entries()) == MIXED
    assert [s[k] for k in MIXED] == list(s.values()) == list(reversed(range(len(MIXED))))
    del s["a"]
    assert b"a" in s and "a" not in s


def test_equal_text_in_another_form_is_another_key():
    s = filled("\u00e9", "e\u0301")
    assert len(s) == 2 and list(s) == ["e\u0301", "\u00e9"]


@pytest.mark.parametrize("prefix", ["", b"", "a", b"a", "ab", b"\xff", b"\xc3", "é", "zz"])
def test_a_prefix_matches_bytes_of_keys_of_both_types(prefix):
    s = filled(*MIXED)
    raw = in_order(prefix)[0]
    wanted = [k for k in MIXED if in_order(k)[0].startswith(raw)]
    assert list(s.keys(prefix=prefix)) == list(s.keys(prefix)) == wanted
    assert list(s.items(prefix)) == [(k, s[k]) for k in wanted] and list(s.values(prefix)) == [s[k] for k in wanted]
    assert list(s.keys(prefix, reverse=True)) == wanted[::-1] and len(s.keys(prefix)) == len(wanted)


def test_a_range_has_its_start_and_not_its_stop():
    s = filled("a", "b", b"bb", "c", "d")
    assert list(s.keys(start="b")) == ["b", b"bb", "c", "d"] and list(s.keys(stop="c")) == ["a", "b", b"bb"]
    assert list(s.keys(start="b", stop="d")) == ["b", b"bb", "c"] and list(s.keys(start="ba", stop="bz")) == [b"bb"]
    assert list(s.keys(start="d", stop="a")) == list(s.keys(start="b", stop="b")) == list(s.keys(start="x")) == []
    assert list(s.items(start=b"bb", stop="d")) == [(b"bb", 2), ("c", 3)] and list(s.values(start="c")) == [3, 4]
    assert list(s.keys(start="b", stop="d", reverse=True)) == ["c", b"bb", "b"]
    assert list(s.keys("b", start="ba")) == [b"bb"] and list(s.keys("b", stop="bb")) == ["b"]
    assert list(s.keys("b", start="a", stop="z", reverse=True)) == [b"bb", "b"] and list(s.keys("b", start="c")) == []


def test_a_slice_is_a_dict_of_its_range():
    s = filled("a", "b", "c", "d")
    assert s["a":"c"] == {"a": 0, "b": 1} and type(s["a":"c"]) is dict and list(s["b":]) == ["b", "c", "d"]
    assert s[:"c"] == {"a": 0, "b": 1} and s[:] == dict(s) and s["x":] == s["c":"b"] == {}
    del s["b":"d"]
    assert s == {"a": 0, "d": 3}
    del s["x":"z"]
    del s["z":"x"]
    assert s == {"a": 0, "d": 3}
    del s[:]
    assert s == {}


def test_a_slice_takes_keys_and_no_step():
    s = filled("a", "b")
    for wrong in (lambda: s[1:2], lambda: s["a":5], lambda: s.__delitem__(slice(1, 2)), lambda: list(s.keys(start=5))):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises((TypeError, ValueError)):
        s["a":"b":2]
    with pytest.raises((TypeError, ValueError)):
        del s["a":"b":-1]
    with pytest.raises(TypeError):
        list(s.keys(prefix=5))
    assert s == {"a": 0, "b": 1}


def test_random_ranges_are_those_of_a_sorted_list():
    keys = sorted(bytes([i * 37 % 256, i % 7]) for i in range(500))
    s = filled(*keys)
    for i in range(0, 256, 5):
        start, stop = bytes([i]), bytes([i * 3 % 256, 3])
        wanted = [k for k in keys if start <= k < stop]
        assert list(s.keys(start=start, stop=stop)) == wanted == list(s[start:stop])
        assert list(s.keys(start=start, stop=stop, reverse=True)) == wanted[::-1]
        assert list(s.keys(start)) == [k for k in keys if k.startswith(start)]


def test_thousands_of_scrambled_keys_stay_in_order_while_they_come_and_go():
    s = store()
    keys = [f"k{i * 7919 % 4001:04}" for i in range(4000)]
    for key in keys:
        s[key] = key
    for key in keys[::3]:
        del s[key]
    rest = sorted(set(keys) - set(keys[::3]))
    assert list(s) == rest and list(s.values()) == rest and list(reversed(s)) == rest[::-1] and len(s) == len(rest)


# ---- iteration and changes


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.__setitem__("new", 1),
        lambda s: s.__delitem__("d"),
        lambda s: (s.__setitem__("new", 1), s.__delitem__("d")),
        lambda s: s.clear(),
        lambda s: s.integrate_op(store("b").insert_with_op("new", 1)),
    ],
    ids=["add", "remove", "add and remove", "clear", "integrate"],
)
@pytest.mark.parametrize(
    "view", [iter, reversed, lambda s: iter(s.keys("")), lambda s: iter(s.items()), lambda s: iter(s.values())]
)
def test_adding_or_removing_while_iterating_is_an_error_at_the_next_step(view, change):
    s = filled("a", "b", "c", "d")
    steps = view(s)
    next(steps)
    change(s)
    with pytest.raises(RuntimeError):
        next(steps)


def test_writing_a_present_key_while_iterating_is_fine():
    s = filled("a", "b", "c")
    for key in s:
        s[key] = key * 2
    assert s == {"a": "aa", "b": "bb", "c": "cc"}


def test_an_iterator_that_has_ended_stays_ended():
    s = filled("a")
    steps = iter(s)
    assert list(steps) == ["a"] and next(steps, None) is None
    s["b"] = 1
    assert next(steps, None) is None


def test_an_iterator_keeps_its_store_alive():
    steps = iter(filled("a", "b").items())
    assert list(steps) == [("a", 0), ("b", 1)]


# ---- values


VALUES = [
    None, True, False, 0, 1, -1, 2**63 - 1, -(2**63), 0.0, 1.0, -1.5, 1e308, 5e-324, math.inf, -math.inf,
    "", "x", "é😀", "\x00", b"", b"\x00\xff", [], {}, {"": 0},
    [None, True, 1, 1.0, "1", b"1"], {"a": {"b": [1, {"c": b""}]}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=named)
def test_a_value_is_read_back_as_it_was_with_its_type(value):
    s = store()
    s["k"] = value
    for back in (s["k"], s.get("k"), s.entries()["k"].value, ck.Store.load(s.save())["k"], s.pop("k")):
        assert back == value and type(back) is type(value) and repr(back) == repr(value)


def test_minus_zero_keeps_its_sign_and_nan_stays_nan():
    s = store()
    s["z"], s["n"] = -0.0, [math.nan]
    assert math.copysign(1, s["z"]) == -1 and math.isnan(s["n"][0])


def test_bool_int_and_float_are_told_apart_also_inside():
    s = store()
    s["k"] = [1, 1.0, True, {"x": 0, "y": False, "z": 0.0}]
    assert repr(s["k"]) == "[1, 1.0, True, {'x': 0, 'y': False, 'z': 0.0}]"


def test_a_nested_value_is_a_fresh_object_each_time_and_tuples_are_lists():
    s = store()
    given = {"a": [1]}
    s["k"], s["t"] = given, (1, (2, [3]))
    given["a"].append(2)
    s["k"]["a"].append(3)
    assert s["k"] == {"a": [1]} and s["k"] is not s["k"] and s["t"] == [1, [2, [3]]] and type(s["t"][1]) is list


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_values_nest_64_deep_and_no_deeper():
    s = store()
    s["k"] = nested(64)
    assert s["k"] == nested(64)
    deep = {"a": nested(62)}
    s["d"] = (deep,)
    assert s["d"] == [deep]
    round_and_round = []
    round_and_round.append(round_and_round)
    before = state(s)
    for value in (nested(65), {"a": nested(64)}, nested(10_000), round_and_round):
        with pytest.raises(ck.LimitError):
            s["k"] = value
    assert state(s) == before


def test_a_value_of_a_mebibyte_is_too_large_and_a_little_less_is_not():
    s = store()
    s["k"] = b"x" * ((1 << 20) - 16)
    s["t"] = "é" * ((1 << 19) - 16)
    s["l"] = [b"x" * 1000] * 1000
    assert len(s["k"]) == (1 << 20) - 16
    before = state(s)
    for value in (b"x" * ((1 << 20) + 1), "é" * ((1 << 19) + 1), [b"x" * 1000] * 1100, {"x" * ((1 << 20) + 1): 1}):
        with pytest.raises(ck.LimitError):
            s["k"] = value
    assert state(s) == before


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1},
        frozenset(),
        1j,
        Decimal(1),
        range(3),
        bytearray(b"x"),
        {5: 1},
        {b"k": 1},
        {None: 1},
        int,
        ck.MISSING,
    ],
    ids=named,
)
@pytest.mark.parametrize(
    "wrap", [lambda v: v, lambda v: [1, v], lambda v: {"a": {"b": v}}], ids=["bare", "list", "dict"]
)
def test_other_types_are_type_errors_at_any_depth(value, wrap):
    s = filled("k")
    before = state(s)
    with pytest.raises(TypeError):
        s["k"] = wrap(value)
    with pytest.raises(TypeError):
        s.setdefault("new", wrap(value))
    with pytest.raises(TypeError):
        s.insert_with_op("k", wrap(value))
    assert state(s) == before


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30, [2**63], {"a": 2**64}], ids=named)
def test_integers_beyond_64_bits_overflow(value):
    s = filled("k")
    before = state(s)
    with pytest.raises(OverflowError):
        s["k"] = value
    assert state(s) == before


@pytest.mark.parametrize("value", ["\ud800", ["x\udfff"], {"\ud800": 1}, {"a": {"b": "\ud83d"}}], ids=ascii)
def test_lone_surrogates_in_values_are_value_errors(value):
    s = filled("k")
    before = state(s)
    with pytest.raises(ValueError):
        s["k"] = value
    assert state(s) == before


# ---- keys

READS = {
    "in": lambda s, k: k in s,
    "get": lambda s, k: s.get(k),
    "getitem": lambda s, k: s[k],
}
WRITES = {
    "setitem": lambda s, k: s.__setitem__(k, 1),
    "delitem": lambda s, k: s.__delitem__(k),
    "pop": lambda s, k: s.pop(k, None),
    "setdefault": lambda s, k: s.setdefault(k, 1),
    "update": lambda s, k: s.update({"good": 1, k: 1}),
    "insert_with_op": lambda s, k: s.insert_with_op(k, 1),
    "remove_with_op": lambda s, k: s.remove_with_op(k),
    "conflicts": lambda s, k: s.conflicts(k),
    "transaction": lambda s, k: s.begin().__setitem__(k, 1),
}
WAYS = READS | WRITES


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("key", [5, None, 1.5, (), ("a",), True, object, bytearray(b"k"), memoryview(b"k")], ids=named)
def test_a_key_of_another_type_is_a_type_error(way, key):
    s = filled("k")
    before = state(s)
    with pytest.raises(TypeError):
        way(s, key)
    assert state(s) == before


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "key", ["x" * 4097, b"x" * 4097, "é" * 2049, b"x" * (1 << 21)], ids=lambda k: f"{type(k).__name__} {len(k)}"
)
def test_a_key_over_4_kib_is_a_limit_error(way, key):
    s = filled("k")
    before = state(s)
    with pytest.raises(ck.LimitError):
        way(s, key)
    assert state(s) == before


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("key", ["\ud800", "x\udfff"], ids=ascii)
def test_a_key_with_a_lone_surrogate_is_a_value_error(way, key):
    s = filled("k")
    before = state(s)
    with pytest.raises(ValueError) as caught:
        way(s, key)
    assert not isinstance(caught.value, KeyError) and state(s) == before


def test_keys_of_4_kib_and_empty_keys_are_fine():
    s = filled("x" * 4096, b"x" * 4096, "é" * 2048, "", b"")
    assert len(s) == 5 and s["é" * 2048] == 2 and s[""] == 3 and s[b""] == 4
    assert ck.Store.load(s.save()) == s


def test_update_is_all_or_nothing():
    s = filled("a")
    before = state(s)
    for wrong, error in (
        ([("a", 1), ("b", object())], TypeError),
        ([("a", 1), (5, 1)], TypeError),
        ({"a": 1, "b": 2**64}, OverflowError),
        ({"a": 1, "x" * 5000: 1}, ck.LimitError),
        ([("a", 1), ("b",)], (TypeError, ValueError)),
        (5, TypeError),
    ):
        with pytest.raises(error):
            s.update(wrong)
        assert state(s) == before
    s["b"] = 1
    assert s == {"a": 0, "b": 1}


def test_an_update_from_a_generator_that_fails_leaves_nothing():
    def pairs():
        yield "a", 1
        raise KeyError("mine")

    s = filled("k")
    before = state(s)
    with pytest.raises(KeyError, match="mine"):
        s.update(pairs())
    assert state(s) == before


# ---- names, copies, bytes


def test_a_name_is_bytes_or_text_or_drawn():
    assert ck.Store(b"laptop").peer_id == b"laptop" and ck.Store("laptop").peer_id in ("laptop", b"laptop")
    assert ck.Store(peer_id="x").peer_id == ck.Store("x").peer_id
    assert ck.Store().peer_id != ck.Store().peer_id
    for wrong in (5, 1.5, [], ("a",)):
        with pytest.raises(TypeError):
            ck.Store(wrong)
    with pytest.raises(ValueError):
        ck.Store("\ud800")


def test_options_are_checked_at_once():
    for wrong in ({"clock": 5}, {"max_drift": 5}, {"max_drift": "x"}, {"incarnation": 5}, {"incarnation": "12345678"}):
        with pytest.raises(TypeError):
            ck.Store("a", **wrong)
    for wrong in (b"", b"short", b"123456789"):
        with pytest.raises(ValueError):
            ck.Store("a", incarnation=wrong)
    with pytest.raises(TypeError):
        ck.Store("a", None, None)
    with pytest.raises(TypeError):
        ck.Store("a", nope=1)


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        ck.Store.copy,
        lambda s: pickle.loads(pickle.dumps(s)),
        lambda s: ck.Store.load(s.save(), "a"),
    ],
    ids=["copy", "deepcopy", "method", "pickle", "load"],
)
def test_a_copy_holds_the_same_and_goes_its_own_way(copied):
    s = ck.Store("a")
    s.update({"k": [1], b"k": None})
    twin = copied(s)
    assert type(twin) is ck.Store and twin is not s and twin == s and dict(twin.entries()) == dict(s.entries())
    assert twin.peer_id == s.peer_id and twin.request_diff() == s.request_diff() and twin.clock.last == s.clock.last
    twin["t"] = 1
    s["s"] = 1
    assert "s" not in twin and "t" not in s and whole(twin)["k"] == whole(s)["k"]


def test_save_twice_is_the_same_bytes_and_load_takes_any_buffer():
    s = filled("a", "b")
    data = s.save()
    assert type(data) is bytes and s.save() == data
    for buffer in (data, bytearray(data), memoryview(data)):
        assert ck.Store.load(buffer) == s
    for wrong in (5, None, "text", [1]):
        with pytest.raises(TypeError):
            ck.Store.load(wrong)


def test_load_of_an_empty_store():
    assert ck.Store.load(ck.Store().save()) == {}


def test_index_size_is_that_of_a_request():
    s = store()
    assert s.index_size() == len(s.request_diff())
    for i in range(100):
        s[f"k{i * 7 % 31}"] = i
        assert s.index_size() == len(s.request_diff())


def test_stats_are_a_dict_of_numbers():
    s = filled("a", "b")
    figures = s.stats()
    assert isinstance(figures, dict) and figures and all(type(v) is int and v >= 0 for v in figures.values())
    assert figures != ck.Store().stats()


def test_entries_is_a_mapping_from_key_to_value_peer_and_hlc():
    s = filled("a", b"b")
    entries = s.entries()
    assert isinstance(entries, Mapping) and len(entries) == 2 and list(entries) == ["a", b"b"] and "z" not in entries
    assert entries["a"].value == 0 and entries["a"].peer == s.incarnation and entries[b"b"].hlc == s.clock.last
    assert entries == store_like(s).entries() and entries != filled("a").entries()
    with pytest.raises(KeyError):
        entries["z"]


def store_like(s):
    return ck.Store.load(s.save())


def test_threads_may_share_a_store():
    s = ck.Store("a")
    together = threading.Barrier(4)
    failed = []

    def work(name):
        try:
            together.wait()
            for i in range(500):
                s[f"{name}{i}"] = i
                s.get(f"{name}{i // 2}")
                if i % 3 == 0:
                    del s[f"{name}{i}"]
                if i % 100 == 0:
                    s.save(), s.request_diff(), len(s), s["0":"z"]
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(s) == 4 * (500 - 167)
    assert len({(e.hlc, e.peer) for e in s.entries().values()}) == len(s)
