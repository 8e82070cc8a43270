"""A Datastore as a mapping in key order: what a dict does, and what it refuses."""

import copy
import math
import pickle
import random
from collections.abc import MutableMapping

import pytest

import crdtkv as ck


def order(key):
    return (key.encode(), False) if isinstance(key, str) else (key, True)


def test_it_is_a_mutable_mapping():
    kv = ck.Datastore()
    assert isinstance(kv, MutableMapping) and kv == {} and not kv and len(kv) == 0 and list(kv) == []
    kv["b"], kv["a"], kv[b"a"], kv[""] = 1, 2, 3, 4
    assert list(kv) == ["", "a", b"a", "b"] and list(reversed(kv)) == ["b", b"a", "a", ""]
    assert kv == {"": 4, "a": 2, b"a": 3, "b": 1} and kv != {"a": 2} and kv != 5 and len(kv) == 4 and kv
    assert list(kv.keys()) == list(kv) and list(kv.values()) == [4, 2, 3, 1]
    assert list(kv.items("a")) == [("a", 2), (b"a", 3)] == list(kv.items(b"a")) and ("a", 2) in kv.items()
    assert len(kv.keys("a")) == 2 and "b" not in kv.keys("a") and list(reversed(kv.keys("a"))) == [b"a", "a"]
    assert list(kv.keys(start="a", stop=b"a")) == ["a"] and 3 in kv.values() and kv.keys() & {"a", "z"} == {"a"}
    assert kv.pop("a") == 2 and kv.pop("a", 9) == 9 and kv.setdefault("a", [1]) == [1] == kv.setdefault("a", 2)
    assert kv.popitem() == ("b", 1) and kv | {"x": 1} == {"": 4, "a": [1], b"a": 3, "x": 1}
    kv |= {"y": 1}
    kv.update({"z": 1}, w=2)
    kv.update([("v", 3)])
    assert kv["y"] == 1 and kv["z"] == 1 and kv["w"] == 2 and kv["v"] == 3
    del kv["z"]
    kv.clear()
    assert kv == {} and not kv.delete("z")
    with pytest.raises(KeyError, match="popitem"):
        kv.popitem()


def test_what_is_absent():
    kv = ck.Datastore()
    for wrong in (lambda: kv["x"], lambda: kv.__delitem__("x"), lambda: kv.pop("x"), lambda: kv.size("x")):
        with pytest.raises(KeyError, match="x"):
            wrong()
    assert kv.get("x") is None and kv.get("x", 7) == 7 and "x" not in kv and kv.delete("x") is False
    assert kv.commit() is None, "a delete of what is not there is no change"


@pytest.mark.parametrize("value", [None, True, 1, -(2**63), 2**63 - 1, 1.0, "hé\0", b"\xff", [], {}, [[{"a": [b"x"]}]]])
def test_values_come_back(value):
    kv = ck.Datastore()
    kv["x"] = value
    for one in (kv, kv.fork(), ck.Datastore.load(kv.save()), copy.deepcopy(kv), pickle.loads(pickle.dumps(kv))):
        found = one["x"]
        assert found == value and type(found) is type(value)
        assert not isinstance(value, list | dict) or found is not one["x"]


def test_floats_and_tuples():
    kv = ck.Datastore()
    kv["nan"], kv["zero"], kv["t"] = math.nan, -0.0, (1, (2, "x"))
    assert math.isnan(kv["nan"]) and math.copysign(1, kv["zero"]) == -1 and kv["t"] == [1, [2, "x"]]


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ({1, 2}, TypeError, "set"),
        ([0, {"a": object()}], TypeError, r"\[1\]\['a'\]"),
        ({1: 2}, TypeError, "int"),
        (2**63, OverflowError, "64"),
        (["\ud800"], ValueError, "surrogate"),
        ("x" * (1 << 20), ck.LimitError, "."),
        (nested(65), ck.LimitError, "."),
    ],
)
def test_values_that_cannot_be(value, error, words):
    kv = ck.Datastore()
    kv["old"] = 1
    before = kv.heads
    for write in (
        lambda: kv.__setitem__("x", value),
        lambda: kv.put("x", value),
        lambda: kv.update({"a": 1, "x": value}),
        lambda: kv.setdefault("x", value),
        lambda: kv.batch().put("x", value),
    ):
        with pytest.raises(error, match=words):
            write()
    assert kv == {"old": 1} and kv.heads == before, "refused input leaves no trace"
    kv["deep"] = nested(64)
    kv["long"] = "x" * ((1 << 20) - 4)
    assert kv["deep"] == nested(64) and kv.size("long") == (1 << 20) - 4


@pytest.mark.parametrize(
    ("key", "error"),
    [(5, TypeError), (None, TypeError), (("a",), TypeError), ("x" * 4097, ck.LimitError), ("\ud800", ValueError)],
)
def test_keys_that_cannot_be(key, error):
    kv = ck.Datastore()
    for use in (
        lambda: kv[key],
        lambda: key in kv,
        lambda: kv.get(key),
        lambda: kv.__setitem__(key, 1),
        lambda: kv.__delitem__(key),
        lambda: kv.delete(key),
        lambda: kv.pop(key, 1),
        lambda: kv.setdefault(key, 1),
        lambda: kv.size(key),
        lambda: kv.conflicts(key),
        lambda: kv.history(key),
        lambda: kv.counter(key),
        lambda: kv.batch().put(key, 1),
        lambda: kv.batch().delete(key),
        lambda: kv.batch().increment(key),
        lambda: kv.update({key: 1}),
    ):
        with pytest.raises(error):
            use()
    assert len(kv) == 0 and not kv.counters()


def test_the_longest_key():
    kv = ck.Datastore()
    kv["x" * 4096] = 1
    kv["é" * 2048] = 2
    assert list(kv.values()) == [1, 2] and kv["é" * 2048] == 2
    assert list(kv.query(after="x" * 4096)) == [("é" * 2048, 2)]


def test_size():
    kv = ck.Datastore()
    kv.update(a=b"12345", b="hé", c=7, d=[1], e="")
    assert [kv.size(key) for key in kv] == [5, 3, 3, kv.size("d"), 0] and kv.size("d") > 2


def test_an_equal_value_is_a_change():
    kv = ck.Datastore()
    kv["x"] = 1
    first = kv.heads
    kv["x"] = 1
    assert kv.heads != first and [entry.value for entry in kv.history("x")] == [1, 1]


def test_not_hashable_not_iterated_by_number():
    with pytest.raises(TypeError, match="unhashable"):
        hash(ck.Datastore())
    assert repr(ck.Datastore(id=bytes(32))) == "<Datastore 0000000000000000: 0 changes in 1 DAGs>"


def test_arguments_of_put_and_delete():
    kv = ck.Datastore()
    kv.put(key="a", value=1)
    kv.put("b", 2, "default")
    kv.put("c", dag="d", value=3)
    kv.delete(key="b", dag="default")
    assert kv == {"a": 1, "c": 3}
    for wrong in (
        lambda: kv.put("a"),
        lambda: kv.put("a", 1, "d", 4),
        lambda: kv.put("a", 1, key="a"),
        lambda: kv.put("a", 1, x=1),
        lambda: kv.delete("a", value=1),
        lambda: kv.delete(),
        lambda: kv.put("a", 1, dag=5),
        lambda: kv.put("a", 1, dag=b"d"),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ck.LimitError):
        kv.put("a", 1, dag="x" * 256)
    with pytest.raises(ValueError, match="surrogate"):
        kv.put("a", 1, dag="\ud800")
    assert kv == {"a": 1, "c": 3}


@pytest.mark.parametrize("seed", range(6))
def test_in_step_with_a_dict(seed):
    rng = random.Random(seed)
    kv, twin = ck.Datastore(), {}
    names = [f"{i}" for i in range(12)] + [f"{i}".encode() for i in range(12)]
    for step in range(600):
        key = rng.choice(names)
        what = rng.random()
        if what < 0.5:
            kv[key] = twin[key] = rng.choice([step, [step, {"k": str(step)}], b"x" * rng.randrange(300), None])
        elif what < 0.7:
            assert kv.delete(key) == (twin.pop(key, "none") != "none")
        elif what < 0.75:
            assert kv.pop(key, -1) == twin.pop(key, -1)
        elif what < 0.8:
            many = {rng.choice(names): step + i for i in range(rng.randrange(5))}
            kv.update(many)
            twin.update(many)
        elif what < 0.85:
            with kv.batch() as b:
                for _ in range(rng.randrange(6)):
                    other = rng.choice(names)
                    if rng.random() < 0.6:
                        b.put(other, step)
                        twin[other] = step
                    else:
                        b.delete(other)
                        twin.pop(other, None)
        elif what < 0.9:
            assert kv.setdefault(key, step) == twin.setdefault(key, step)
        elif what < 0.95:
            kv.commit()
        elif what < 0.96:
            kv.clear()
            twin.clear()
        else:
            kv = kv.fork()
        assert kv.get(key, "none") == twin.get(key, "none") and (key in kv) == (key in twin)
    ordered = sorted(twin, key=order)
    assert list(kv) == ordered and list(kv.items()) == [(key, twin[key]) for key in ordered] and kv == twin
    assert ck.Datastore.load(kv.save()) == twin and kv.check() == []
