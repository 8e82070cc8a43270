"""A datastore as a mapping: keys, values, order, what is refused."""

import math
from collections.abc import MutableMapping
from datetime import datetime

import pytest

import crdtkv as ck
from house.datastores import datastore, in_order, order, typed
from house.named import named

KEYS = ["", b"", "a", b"a", "a\0", b"a\0", "aa", "b", "ä", "日", b"\xff", "~" * 4096]
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    "",
    "text \0 日本",
    b"",
    b"\xff\0",
    [],
    {},
    [1, [2, [3, {"x": None}]]],
    {"b": 1, "a": {"": [b"x", True, 1.0]}},
]


def test_it_is_a_mutable_mapping(kv):
    assert isinstance(kv, MutableMapping)
    assert len(kv) == 0 and list(kv) == [] and not kv and kv == {}
    kv["a"] = 1
    assert len(kv) == 1 and kv and kv["a"] == 1 and "a" in kv and kv == {"a": 1}
    assert kv.get("a") == 1 and kv.get("b") is None and kv.get("b", 5) == 5
    del kv["a"]
    assert "a" not in kv and kv == {} and len(kv) == 0


def test_what_is_not_there_is_a_key_error(kv):
    kv["a"] = 1
    for key in ("b", b"a", ""):
        with pytest.raises(KeyError):
            kv[key]
        with pytest.raises(KeyError):
            del kv[key]
        with pytest.raises(KeyError):
            kv.pop(key)
        assert kv.pop(key, 7) == 7 and kv.delete(key) is False
    assert kv.delete("a") is True and kv.delete("a") is False


@pytest.mark.parametrize("value", VALUES, ids=named)
def test_values_come_back_as_they_were(kv, value):
    kv["k"] = value
    assert typed(kv["k"]) == typed(value)
    kv.commit()
    assert typed(kv["k"]) == typed(value)
    assert [typed(v) for v in kv.values()] == [typed(value)]


def test_nan_and_tuples(kv):
    kv["nan"], kv["tuple"] = math.nan, (1, (2,))
    assert math.isnan(kv["nan"]) and kv["tuple"] == [1, [2]]


def test_values_are_fresh_objects(kv):
    given = {"x": [1]}
    kv["k"] = given
    given["x"].append(2)
    kv["k"]["x"].append(3)
    assert kv["k"] == {"x": [1]}


def test_keys_keep_their_type_and_their_order(kv):
    for n, key in enumerate(reversed(KEYS)):
        kv[key] = n
    expected = sorted(KEYS, key=order)
    assert [(key, type(key)) for key in kv] == [(key, type(key)) for key in expected]
    assert list(kv.keys()) == expected and list(kv.items()) == [(key, kv[key]) for key in expected]
    assert list(kv.values()) == [kv[key] for key in expected]
    kv.commit()
    assert list(kv) == expected and len(kv) == len(KEYS)


def test_str_and_bytes_are_two_keys(kv):
    kv["a"], kv[b"a"] = 1, 2
    assert kv["a"] == 1 and kv[b"a"] == 2 and list(kv) == ["a", b"a"]
    del kv["a"]
    assert list(kv) == [b"a"]


@pytest.mark.parametrize("key", [1, None, 1.5, ("a",), bytearray(b"a"), memoryview(b"a")], ids=named)
def test_other_keys_are_type_errors(kv, key):
    for call in (
        lambda: kv[key],
        lambda: kv.get(key),
        lambda: key in kv,
        lambda: kv.put(key, 1),
        lambda: kv.delete(key),
        lambda: kv.size(key),
        lambda: kv.conflicts(key),
        lambda: kv.history(key),
    ):
        with pytest.raises(TypeError):
            call()
    assert kv == {} and kv.heads == ()


def test_keys_have_limits(kv):
    for key in ("k" * 4097, b"k" * 4097, "ä" * 2049):
        with pytest.raises(ck.LimitError):
            kv[key] = 1
    with pytest.raises(ValueError, match=r".*"):
        kv["\ud800"] = 1
    assert kv == {} and kv.heads == ()
    kv["ä" * 2048] = 1
    assert len(kv) == 1


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {1}, datetime(2026, 1, 1), [object()], {"a": {b"x": 1}}], ids=named
)
def test_other_values_are_type_errors(kv, value):
    with pytest.raises(TypeError):
        kv["k"] = value
    assert kv == {} and kv.heads == ()


def test_values_have_limits(kv):
    deep = value = []
    for _ in range(63):
        value.append([])
        value = value[0]
    kv["deep"] = deep
    assert kv["deep"] == deep
    for bad, error in (
        ([deep], ck.LimitError),
        (2**63, OverflowError),
        ([-(2**63) - 1], OverflowError),
        ("\ud800", ValueError),
        (bytes(1 << 20), ck.LimitError),
        (["x" * (1 << 19)] * 2, ck.LimitError),
    ):
        with pytest.raises(error):
            kv["k"] = bad
    assert list(kv) == ["deep"]
    kv["large"] = bytes((1 << 20) - 100)
    assert len(kv["large"]) == (1 << 20) - 100


def test_size_is_that_of_the_value(kv):
    kv.update(text="ä" * 10, data=b"12345", empty="", number=5, none=None)
    assert kv.size("text") == 20 and kv.size("data") == 5 and kv.size("empty") == 0
    assert kv.size("number") >= 1 and kv.size("none") >= 1
    kv["list"] = [1, "x"]
    assert kv.size("list") > 4
    with pytest.raises(KeyError):
        kv.size("nothing")


def test_the_mixins_of_mappings_work(kv):
    kv.update({"a": 1, "b": 2}, c=3)
    assert kv.setdefault("a", 9) == 1 and kv.setdefault("d", 4) == 4
    assert kv.pop("a") == 1 and kv.popitem()[0] in ("b", "c", "d")
    kv.update([("x", 1), ("y", 2)])
    kv.clear()
    assert kv == {} and len(kv) == 0


def test_equal_to_any_mapping(kv):
    kv.update({"a": 1, "b": [1, {"x": 2}]})
    assert kv == {"a": True, "b": [1.0, {"x": 2}]} and kv != {"a": 1} and kv != {"a": 1, "b": 2}
    other = datastore(2)
    other.update(kv)
    assert kv == other
    assert kv != {b"a": 1, "b": [1, {"x": 2}]}
    assert kv != 5
    with pytest.raises(TypeError):
        hash(kv)


def test_views_of_a_prefix(kv):
    kv.update({"a/1": 1, "a/2": 2, "b/1": 3})
    kv[b"a/3"] = 4
    assert list(kv.keys(prefix="a/")) == ["a/1", "a/2", b"a/3"]
    assert list(kv.values(prefix=b"a/")) == [1, 2, 4]
    assert list(kv.items(prefix="b")) == [("b/1", 3)]
    assert list(kv.items(prefix="c")) == []
    assert set(kv.keys()) == {"a/1", "a/2", b"a/3", "b/1"} and "a/1" in kv
    assert len(kv.keys()) == len(kv.items()) == 4


def test_the_open_change_shows_at_once(kv):
    kv["a"] = 1
    assert list(kv.query()) == [("a", 1)] and len(kv) == 1 and kv.conflicts("a")
    kv["a"] = 2
    del kv["a"]
    assert "a" not in kv and list(kv.query()) == []
    kv["a"] = 3
    assert kv.commit() is not None and kv["a"] == 3


def test_commit_says_which_change_it_was(kv):
    assert kv.commit() is None
    kv["a"], kv["b"] = 1, 2
    change = kv.commit("two keys")
    assert change.message == "two keys" and change.n_ops == 2 and change.seq == 0
    assert kv.heads == (change.id,) and change.author == kv.identity.public_key
    assert kv.commit() is None
    assert [c.id for c in kv.changes()] == [change.id]


def test_putting_an_equal_value_again_is_a_change(kv):
    kv["a"] = 1
    kv.commit()
    before = kv.heads
    kv["a"] = 1
    assert kv.commit() is not None and kv.heads != before


def test_lone_edits_close_by_themselves(kv):
    for n in range(1000):
        kv[f"{n:04}"] = n
    assert len(kv.changes()) >= 1
    kv["large"] = bytes(300_000)
    kv["more"] = 1
    assert len(kv) == 1002 and kv["0999"] == 999 and len(kv["large"]) == 300_000


def test_many_keys_against_a_dict(kv):
    expected = {}
    for n in range(3000):
        key = f"{n * 7919 % 1009:05}"
        if n % 5 == 4:
            assert kv.delete(key) is (expected.pop(key, None) is not None)
        else:
            kv[key] = expected[key] = n
    assert list(kv.items()) == in_order(expected) and len(kv) == len(expected)
    assert kv == expected


def test_two_datastores_in_one_file_are_two(tmp_path):
    with ck.Database(tmp_path / "x.db") as db:
        a, b = db.datastore("a"), db.datastore("b")
        a["k"], b["k"] = 1, 2
        assert a == {"k": 1} and b == {"k": 2} and a.id != b.id
        assert db.datastore("a") is a
    with ck.Database(tmp_path / "x.db") as db:
        assert db.datastore("a") == {"k": 1} and db.datastore("b") == {"k": 2}


def test_repr_is_short(kv):
    put = {f"{n}": "x" * 100 for n in range(2000)}
    kv.update(put)
    assert len(repr(kv)) < 200 and "Datastore" in repr(kv)


def test_ids():
    a = ck.Datastore()
    assert len(a.id) == 32 and a.id != ck.Datastore().id
    assert ck.Datastore(id=bytes(32)).id == bytes(32)
    for bad in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match=r".*"):
            ck.Datastore(id=bad)
    with pytest.raises(TypeError):
        ck.Datastore(id="x" * 32)
    assert a.heads == () and len(a.root) == 32
    assert ck.Datastore(id=bytes(32)).root == ck.Datastore(id=bytes(32)).root
