"""What a store keeps: values come back as they went in, types told apart; what is none is refused, with its place."""

import collections
import enum
import itertools
import math
import random
import struct
import sys
import threading
import types

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

import crdtkv as ck
from oracle.nested import Beyond, nested, read_nested
from oracle.wire import Broken, Reader, blob

MIB = 1 << 20
SURROGATE = "\ud800"


def told_apart(value):
    """The value with its types and signs: equal for what is the same, not for what Python calls equal."""
    if isinstance(value, list):
        return [told_apart(item) for item in value]
    if isinstance(value, dict):
        return dict, [(key, told_apart(item)) for key, item in value.items()]
    if isinstance(value, float):
        return float, "nan" if math.isnan(value) else struct.pack("<d", value)
    return type(value), value


def carried(value):
    """The value as another store shows it."""
    here, there = ck.Store("here"), ck.Store("there")
    here["k"] = value
    there.integrate_diff(here.build_diff(there.request_diff()))
    assert told_apart(there["k"]) == told_apart(here["k"])
    return there["k"]


VALUES = [
    *(None, True, False, 0, 1, -1, 127, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 5e-324, 1e308, math.inf, -math.inf, math.nan),
    *("", "a", "\0", "x" * 127, "x" * 128, "\xe9", "\u65e5\u672c", "\U0001f642" * 300, "\ud7ff\ue000"),
    *(b"", b"\0", b"\xff" * 100, bytes(range(256)) * 70),
    *([], {}, [[]], [{}], {"": {}}, [None] * 127, [None] * 20000),
    {"b": 1, "a": [1, 1.0, True, "1", b"1", None], "": {"\xe9": -0.0}},
    {str(number): [{str(number): number}] for number in range(3000)},
    [{"name": "ada", "tags": ["x", "y"], "\u65e5" * 30: i, "z" * 70: {"name": i}} for i in range(100)],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{repr(value)[:20]}")
def test_a_value_comes_back_as_it_went_in(value):
    assert told_apart(carried(value)) == told_apart(value)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats()
        | st.text(st.characters(exclude_categories=["Cs"]))
        | st.binary(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner)
        ),
        max_leaves=30,
    )
)
def test_any_value_comes_back(value):
    assert told_apart(carried(value)) == told_apart(value)


def test_equal_values_of_other_types_stay_apart():
    store = ck.Store()
    for value in (1, 1.0, True, "1", b"1", 0, 0.0, -0.0, False, None, "", b"", [], {}):
        store["k"] = value
        assert told_apart(store["k"]) == told_apart(value)


def test_tuples_come_back_as_lists_and_subclasses_as_what_they_are_made_of():
    class Colour(enum.IntEnum):
        RED = 3

    class Word(str):
        pass

    class Data(bytes):
        pass

    class Half(float):
        pass

    class Row(list):
        pass

    Point = collections.namedtuple("Point", "x y")
    moved = collections.OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    for value, plain in [
        ((1, (2, ())), [1, [2, []]]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, 3),
        (Word("a"), "a"),
        (Data(b"a"), b"a"),
        (Half(0.5), 0.5),
        (Row([Row()]), [[]]),
        ({Word("k"): Word("v")}, {"k": "v"}),
        (moved, {"b": 2, "a": 1}),
        (collections.defaultdict(list, x=[1]), {"x": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
    ]:
        assert told_apart(carried(value)) == told_apart(plain)


def test_what_comes_out_is_fresh():
    store = ck.Store()
    value = {"a": [1, {"b": 2}]}
    store["k"] = value
    value["a"].append(3)
    store["k"]["a"].clear()
    assert store["k"] == {"a": [1, {"b": 2}]}
    assert store["k"] is not store["k"]
    first, second = (store["k"]["a"] for _ in range(2))
    assert first is not second and first[1] is not second[1]


# ---- what is none


class Twice(str):
    """Equal to itself alone, so that a dict can have two of them."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__


REFUSED = [
    (1j, TypeError, "cannot store complex$"),
    (object, TypeError, "cannot store type$"),
    ({1}, TypeError, "cannot store set$"),
    (bytearray(b"x"), TypeError, "cannot store bytearray$"),
    (memoryview(b"x"), TypeError, "cannot store memoryview$"),
    (types.MappingProxyType({}), TypeError, "cannot store mappingproxy$"),
    (ck.Counter(1), TypeError, "cannot store Counter$"),
    ({"a": [0, 1, 2, 1j]}, TypeError, r"cannot store complex at \['a'\]\[3\]$"),
    (([[], ({"x": {1}},)],), TypeError, r"cannot store set at \[0\]\[1\]\[0\]\['x'\]$"),
    ({1: 2}, TypeError, "keys are str, not int$"),
    ([{"a": {b"k": 5}}], TypeError, r"keys are str, not bytes at \[0\]\['a'\]$"),
    (2**63, OverflowError, "64 bits$"),
    ([-(2**63) - 1], OverflowError, r"64 bits at \[0\]$"),
    (10**400, OverflowError, "64 bits$"),
    (SURROGATE, ValueError, "surrogates cannot be stored$"),
    (["ok", "x" + SURROGATE], ValueError, r"surrogates cannot be stored at \[1\]$"),
    ({SURROGATE: 1}, ValueError, "surrogates cannot be stored$"),
    ({Twice("a"): 1, Twice("a"): 2}, ValueError, "a key twice"),
]


@pytest.mark.parametrize(("value", "error", "says"), REFUSED)
def test_what_is_no_value_is_refused_and_says_where(value, error, says):
    store = ck.Store(clock=lambda: 1000)
    store["k"] = "before"
    saved = store.save()
    for put in (
        lambda: store.__setitem__("k", value),
        lambda: store.__setitem__("other", value),
        lambda: store.insert_with_op("k", value),
        lambda: store.update({"k": value}),
        lambda: store.setdefault("other", value),
    ):
        with pytest.raises(error, match=says):
            put()
    assert store.save() == saved and dict(store) == {"k": "before"}


def test_a_value_takes_at_most_one_mebibyte():
    store = ck.Store()
    assert len(carried(b"x" * (MIB - 4))) == MIB - 4
    for value in (
        b"x" * (MIB - 3),
        "x" * (MIB - 3),
        "\xe9" * (MIB // 2),
        [b"x" * (MIB - 7)],
        {"k": b"x" * (MIB - 9)},
        [None] * (MIB // 2),
        {str(i): None for i in range(200_000)},
        collections.OrderedDict.fromkeys(map(str, range(400_000))),
        b"x" * (20 * MIB),
        ["x" * (20 * MIB)],
    ):
        with pytest.raises(ck.LimitError, match="1 MiB"):
            store["k"] = value
    carried([b"x" * (MIB - 8)])
    assert len(store) == 0


def test_what_would_be_terabytes_is_refused_at_once():
    value = [0] * 1000
    for _ in range(5):
        value = [value] * 1000
    empty = []
    for _ in range(60):
        empty = [empty, empty]
    for bomb in (value, empty):
        with pytest.raises(ck.LimitError, match="1 MiB"):
            ck.Store()["k"] = bomb


def deep(n, scalar=1):
    """A scalar in n containers."""
    value = scalar
    for i in range(n):
        value = [value] if i % 2 else {"k": value}
    return value


def test_values_are_at_most_sixty_four_deep():
    assert carried(deep(64)) == deep(64)
    itself, round_about = [], {}
    itself.append(itself)
    round_about["x"] = [round_about]
    for value in (deep(65), deep(64, []), deep(5000), itself, round_about):
        with pytest.raises(ck.LimitError, match="64 deep"):
            ck.Store()["k"] = value


def test_a_dict_that_changes_under_the_reader_is_refused():
    class Meddler(dict):
        def __init__(self, meddle):
            super().__init__(x=1)
            self.meddle = meddle

        def items(self):
            self.meddle()
            return [("x", 1)]

    def again(d):
        d.clear()
        d["b"] = d["a"] = 1

    def other(d):
        for key in list(d)[1:]:
            del d[key]
        d.update(a=1, c=1)

    store = ck.Store()
    for meddle in (dict.clear, again, other, lambda d: d.update(zip("cdefghijk", itertools.repeat(1), strict=False))):
        outer = {}
        outer["a"] = Meddler(lambda outer=outer, meddle=meddle: meddle(outer))
        outer["b"] = 2
        try:
            store["k"] = outer
        except (RuntimeError, ValueError):
            assert "k" not in store
        else:
            there = ck.Store("there")
            there.integrate_diff(store.build_diff(there.request_diff()))  # a value, whichever
            assert there["k"] == store["k"]
            del store["k"]
    shrinking = [1, 2, 3]
    shrinking[0] = Meddler(shrinking.clear)
    store["k"] = shrinking
    assert store["k"] == [{"x": 1}]


def test_what_a_subclass_raises_goes_on():
    class Bad(dict):
        def items(self):
            raise LookupError("no items today")

    class Worse(dict):
        def items(self):
            return [("k", 1, 2)]

    store = ck.Store()
    with pytest.raises(LookupError, match="today"):
        store["k"] = [Bad(a=1)]
    with pytest.raises(ValueError, match="length 3"):
        store["k"] = Worse(a=1)
    assert not store


def test_containers_that_other_threads_change():
    """Whatever is stored meanwhile is a value."""
    shared = {"list": list(range(50)), "dict": {str(i): i for i in range(50)}}
    stop = threading.Event()

    def meddle(seed):
        choose = random.Random(seed)
        while not stop.is_set():
            items, entries = shared["list"], shared["dict"]
            items[choose.randrange(3) :] = range(choose.randrange(80))
            entries.pop(str(choose.randrange(50)), None)
            entries[str(choose.randrange(99))] = items[:3]

    threads = [threading.Thread(target=meddle, args=(seed,)) for seed in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    store = ck.Store()
    try:
        for thread in threads:
            thread.start()
        for _ in range(2000):
            try:
                store["k"] = shared
            except (RuntimeError, ValueError):
                continue
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert carried(store["k"]) == store["k"]


# ---- keys


def test_keys_keep_their_type_and_what_is_none_is_refused_everywhere():
    store = ck.Store()
    keys = ["", b"", "a", b"a", "\0", b"\xff", "\xe9", "x" * 4096, b"x" * 4096, "\xe9" * 2048, "\U0001f642" * 1024]
    for i, key in enumerate(keys):
        store[key] = i
    assert {(type(key), key) for key in store} == {(type(key), key) for key in keys}
    assert [store[key] for key in keys] == list(range(len(keys)))
    calls = [
        lambda key: store[key],
        lambda key: store.get(key),
        lambda key: key in store,
        lambda key: store.__setitem__(key, 1),
        lambda key: store.__delitem__(key),
        lambda key: store.pop(key, None),
        lambda key: store.insert_with_op(key, 1),
        lambda key: store.remove_with_op(key),
        lambda key: store.conflicts(key),
    ]
    for call in calls:
        for key in (1, None, True, 1.5, ("a",), bytearray(b"a"), memoryview(b"a")):
            with pytest.raises(TypeError):
                call(key)
        for key in (SURROGATE, "a" + SURROGATE):
            with pytest.raises(ValueError, match="surrogate"):
                call(key)
        for key in ("x" * 4097, b"x" * 4097, "\xe9" * 2049, "\U0001f642" * 1025, "\xe9" * 100_000):
            with pytest.raises(ck.LimitError, match="4 KiB"):
                call(key)
    assert len(store) == len(keys)


def test_keys_of_subclasses_are_plain_keys():
    class Word(str):
        pass

    class Data(bytes):
        pass

    store = ck.Store()
    store[Word("\xe9")] = 1
    store[Data(b"a")] = 2
    assert [(type(key), key) for key in store] == [(bytes, b"a"), (str, "\xe9")]
    assert store["\xe9"] == 1 and store[b"a"] == 2


# ---- bytes


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{repr(value)[:20]}")
def test_the_page_says_what_is_sent(value):
    here, there = ck.Store("here"), ck.Store("there")
    here["k"] = value
    data = nested(value)
    assert data in here.build_diff(there.request_diff())
    assert told_apart(read_nested(Reader(data))) == told_apart(value)


def resealed(message):
    return message[:-8] + xxhash.xxh3_64_intdigest(message[:-8]).to_bytes(8, "little")


def test_of_damaged_values_the_page_and_the_store_say_the_same():
    choose = random.Random(1)
    here = ck.Store("here")
    here["k"] = {"a": [1, -0.5, None, True, "x\xe9", b"\xff", {"c": {}, "d": []}], "b": "\U0001f642", "e" * 20: 2**40}
    data = nested(here["k"])
    diff = here.build_diff(ck.Store("there").request_diff())
    at, good, bad = diff.index(data), 0, 0
    for _ in range(4000):
        changed = bytearray(data)
        for _ in range(choose.choice([1, 1, 1, 2, 3])):
            place = choose.randrange(len(data))
            changed[place] = choose.choice([changed[place] ^ 1 << choose.randrange(8), choose.randrange(40)])
        try:
            reader = Reader(bytes(changed))
            value = read_nested(reader)
            reader.end()  # another length: the rest is no part of a message
        except Broken:
            value = None
        there = ck.Store("there")
        there["own"] = 1
        message = resealed(diff[:at] + changed + diff[at + len(data) :])
        if value is None:
            bad += 1
            with pytest.raises(ck.DecodeError):
                there.integrate_diff(message)
            assert dict(there) == {"own": 1}
        else:
            good += 1
            there.integrate_diff(message)
            assert told_apart(there["k"]) == told_apart(value)
    assert good > 300 and bad > 1000


def test_too_much_from_outside():
    here, there = ck.Store("here"), ck.Store("there")
    here["k"] = b"x" * 200
    diff, data = here.build_diff(there.request_diff()), nested(b"x" * 200)
    too_deep = b"\0\0"
    for _ in range(65):
        too_deep = b"\x20" + blob(too_deep)
    for value in (too_deep, b"\x06" + blob(bytes(MIB - 3))):
        with pytest.raises(Beyond):
            read_nested(Reader(value))
        with pytest.raises(ck.LimitError):
            there.integrate_diff(resealed(diff.replace(data, value)))
        assert not there
    twice = b"\x21" + blob((blob(b"a") + b"\0\0") * 2)
    many = b"\x21" + blob(b"".join(blob(b"%05d" % (i * 7919 % 60000)) + b"\0\0" for i in range(60001)))
    for value in (twice, many):
        with pytest.raises(ck.DecodeError):
            there.integrate_diff(resealed(diff.replace(data, value)))
        assert not there
