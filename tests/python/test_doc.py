import contextlib
import copy
import itertools
import json
import math
import pickle
from collections.abc import Mapping, MutableMapping

import pytest
import xxhash

import crdtkv as ck
from house.named import named

SCALARS = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    1.5,
    math.inf,
    "",
    "a",
    "ä€😀\0",
    b"",
    b"\0\xff",
]


def test_is_a_mutable_mapping():
    doc = ck.Doc()
    assert isinstance(doc, MutableMapping) and isinstance(doc, Mapping)
    assert len(doc) == 0 and not doc and list(doc) == [] and doc == {} and doc.to_py() == {}


@pytest.mark.parametrize("value", SCALARS, ids=named)
def test_scalar_reads_back_with_its_type(value):
    doc = ck.Doc()
    doc["k"] = value
    for each in (doc, ck.Doc.load(doc.save())):
        assert type(each["k"]) is type(value) and each["k"] == value
        assert repr(each["k"]) == repr(value)


def test_nan_is_kept():
    doc = ck.Doc()
    doc["k"] = float("nan")
    assert math.isnan(doc["k"]) and math.isnan(ck.Doc.load(doc.save())["k"])


def test_one_and_true_and_one_point_nought_are_three_values():
    doc = ck.Doc()
    for value in (1, True, 1.0):
        doc["k"] = value
        assert type(doc["k"]) is type(value)
        assert doc == {"k": 1} == doc


def test_subclasses_are_stored_as_what_they_are():
    class Str(str):
        pass

    class Int(int):
        pass

    doc = ck.Doc()
    doc["s"], doc["i"] = Str("x"), Int(3)
    assert type(doc["s"]) is str and type(doc["i"]) is int


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**100])
def test_too_large_an_int(value):
    doc = ck.Doc()
    with pytest.raises(OverflowError):
        doc["k"] = value
    assert doc == {}


@pytest.mark.parametrize("value", [object(), 1j, bytearray(b"x"), ck.Doc, ck.Text, range(3), iter(()), {"a": 1j}])
def test_value_of_another_type(value):
    doc = ck.Doc()
    with pytest.raises(TypeError):
        doc["k"] = value
    assert doc == {}


def test_lone_surrogates():
    doc = ck.Doc()
    for key, value in (("k", "\ud800"), ("\udfff", 1), ("k\ud800", "x")):
        with pytest.raises(ValueError):
            doc[key] = value
    with pytest.raises(ValueError):
        ck.Text("a\ud800")
    with pytest.raises(KeyError):
        doc["\ud800"]
    assert "\ud800" not in doc and doc == {}


def test_keys_of_another_type():
    doc = ck.Doc()
    with pytest.raises(TypeError):
        doc[5] = 1
    for key in (5, None, b"x", ("a",)):
        assert key not in doc and doc.get(key) is None and doc.get(key, 7) == 7
        with pytest.raises(KeyError):
            doc[key]
        with pytest.raises(KeyError):
            del doc[key]
    with pytest.raises(TypeError):
        doc[[]]


def test_longest_key():
    doc = ck.Doc()
    doc["x" * 4096] = 1
    for key in ("x" * 4097, "ä" * 2049, "x" * (1 << 20)):
        with pytest.raises(ck.LimitError):
            doc[key] = 1
        assert key not in doc and doc.get(key) is None
        with pytest.raises(KeyError):
            del doc[key]
    assert len(doc) == 1 and len(doc.changes()) == 1


def test_missing_key():
    doc = ck.Doc()
    with pytest.raises(KeyError) as caught:
        doc["nope"]
    assert caught.value.args == ("nope",)
    with pytest.raises(KeyError) as caught:
        del doc["nope"]
    assert caught.value.args == ("nope",)
    assert doc.commit() is None


def test_order_is_that_of_the_bytes():
    keys = ["b", "a", "Z", "ä", "", "😀", "\uffff", "aa", "\0"]
    doc = ck.Doc()
    for key in keys:
        doc[key] = key
    expected = sorted(keys, key=str.encode)
    assert list(doc) == list(doc.keys()) == list(doc.values()) == list(doc.to_py()) == expected
    assert list(reversed(doc)) == expected[::-1]
    assert doc.popitem() == (expected[-1], expected[-1])


def test_methods_of_dict():
    doc = ck.Doc()
    doc.update({"a": 1}, b=2)
    doc.update([("c", 3)])
    assert doc == {"a": 1, "b": 2, "c": 3} and dict(doc) == doc and list(doc.items()) == [("a", 1), ("b", 2), ("c", 3)]
    assert doc.pop("a") == 1 and doc.pop("a", 9) == 9 and doc.setdefault("b", 7) == 2 and doc.setdefault("d") is None
    with pytest.raises(KeyError):
        doc.pop("a")
    with pytest.raises(TypeError):
        doc.pop("a", 1, 2)
    doc.clear()
    assert doc == {} and not doc
    with pytest.raises(KeyError):
        doc.popitem()


def test_popped_text_is_plain():
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    assert type(doc.pop("t")) is str and "t" not in doc
    doc["t"] = ck.Text("hello")
    assert doc.popitem() == ("t", "hello")


def test_setdefault_with_a_text():
    doc = ck.Doc()
    t = ck.Text("one")
    assert doc.setdefault("t", t) is t is doc["t"]
    assert doc.setdefault("t", ck.Text("two")) is t and doc == {"t": "one"}


def test_iteration_goes_on_while_keys_change():
    doc = ck.Doc()
    doc.update(dict.fromkeys("abc", 0))
    for key in doc:
        del doc[key]
    assert doc == {}


def test_equality():
    a, b = ck.Doc(), ck.Doc()
    a["t"], b["t"] = ck.Text("x"), ck.Text("x")
    assert a == b and a == {"t": "x"} and a == {"t": ck.Text("x")} and a == {"t": "x"}
    b["t"] += "y"
    assert a != b and a != {"t": "y"} and a != {} and a != 5 and a is not None
    with pytest.raises(TypeError):
        hash(a)


def test_repr_is_short():
    doc = ck.Doc()
    doc["k"] = "x" * 100_000
    assert doc.id.hex()[:8] in repr(doc) and len(repr(doc)) < 100


def test_arguments():
    for wrong in ({"identity": 5}, {"id": b"short"}, {"id": "x" * 32}, {"clock": 5}, {"nope": 1}):
        with pytest.raises((TypeError, ValueError)):
            ck.Doc(**wrong)
    me = ck.Identity.generate()
    doc = ck.Doc(me, id=bytearray(range(32)))
    assert doc.id == bytes(range(32)) and doc.identity is me
    assert isinstance(ck.Doc().identity, ck.Identity) and ck.Doc().id != ck.Doc().id and len(ck.Doc().id) == 32
    with pytest.raises(AttributeError):
        doc.id = bytes(32)
    with pytest.raises(AttributeError):
        doc.titel = "a slip"


def test_subclass():
    class Mine(ck.Doc):
        pass

    doc = Mine()
    doc["a"] = 1
    assert type(doc.fork()) is Mine and type(Mine.load(doc.save())) is Mine


# ---- changes and time


def test_heads_close_the_open_change():
    doc = ck.Doc()
    assert doc.heads == ()
    doc["a"] = 1
    (head,) = doc.heads
    assert isinstance(head, bytes) and len(head) == 32 and doc.heads == (head,)
    assert [c.id for c in doc.changes()] == [head] and doc.commit() is None


def test_commit():
    doc = ck.Doc(clock=lambda: 1234)
    assert doc.commit() is None and doc.commit("nothing") is None
    doc["a"] = 1
    change = doc.commit("mess\N{SNOWMAN}ge")
    assert change.message == "mess\N{SNOWMAN}ge" and change.time == 1234
    doc["a"] = 1  # an op all the same
    assert doc.commit(message=None).message is None
    for wrong in ((5,), (b"x",), ("a", "b")):
        doc["a"] = 2
        with pytest.raises(TypeError):
            doc.commit(*wrong)
    with pytest.raises(TypeError):
        doc.commit(nope=1)
    with pytest.raises(ValueError):
        doc.commit("\ud800")


def test_clock_is_asked_once_for_a_change():
    ticks = itertools.count(10)
    doc = ck.Doc(clock=lambda: next(ticks))
    doc.commit()
    doc["a"] = 1
    assert doc.commit().time == 10
    doc["a"] = 2
    assert doc.heads and doc.changes()[-1].time == 11
    with doc.change():
        doc["a"] = 3
    with doc.change():
        pass
    assert doc.changes()[-1].time == 12 and next(ticks) == 13


@pytest.mark.parametrize("answer", [1.5, "x", None, 2**70])
def test_clock_that_answers_nonsense(answer):
    now = [answer]
    doc = ck.Doc(clock=lambda: now[0])
    doc["a"] = 1
    with pytest.raises((TypeError, OverflowError)):
        doc.commit()
    with pytest.raises((TypeError, OverflowError)):
        doc.heads  # noqa: B018
    now[0] = 7
    assert doc.commit().time == 7


def test_clock_that_uses_the_document():
    doc = ck.Doc(clock=lambda: len(doc) + doc.stats()["changes"])
    doc["a"] = 1
    assert doc.commit().time == 1


def test_real_time_by_default():
    import time

    doc = ck.Doc()
    doc["a"] = 1
    assert abs(doc.commit().time - time.time() * 1000) < 10_000


# ---- blocks


def test_block_is_one_change():
    doc = ck.Doc()
    with doc.change("both", origin="test") as inside:
        assert inside is doc
        doc["a"] = 1
        doc["b"] = ck.Text("xy")
    (change,) = doc.changes()
    assert change.message == "both" and change.n_ops == 4


def test_block_does_not_swallow_lone_edits():
    doc = ck.Doc()
    doc["lone"] = 1
    with doc.change():
        doc["a"] = 1
    assert [c.n_ops for c in doc.changes()] == [1, 1]


def test_empty_block_makes_no_change():
    doc = ck.Doc()
    with doc.change("empty"):
        pass
    assert doc.changes() == []


def test_block_that_raises_is_undone():
    doc = ck.Doc()
    doc["a"], doc["t"] = 1, ck.Text("hello")
    before, root = doc.to_py(), doc.root
    with pytest.raises(ZeroDivisionError), doc.change():
        doc["a"] = 2
        doc["b"] = 3
        doc["t"].splice(0, 2, "HE")
        doc["new"] = ck.Text("x")
        del doc["a"]
        raise ZeroDivisionError
    assert doc == before and doc.root == root
    doc["t"].insert(0, "!")
    assert doc["t"] == "!hello"


def test_nested_blocks_join():
    doc = ck.Doc()
    with doc.change("outer"):
        doc["a"] = 1
        with doc.change("inner"):
            doc["b"] = 2
        with pytest.raises(KeyError), doc.change():
            doc["c"] = 3
            doc["a"] = 9
            raise KeyError
        assert doc == {"a": 1, "b": 2}
    (change,) = doc.changes()
    assert change.message == "outer" and doc == {"a": 1, "b": 2}


def test_inner_block_goes_with_the_outer():
    doc = ck.Doc()
    with pytest.raises(KeyError), doc.change():
        with doc.change():
            doc["a"] = 1
        raise KeyError
    assert doc == {} and doc.changes() == []


class DocWithMore(ck.Doc):
    other: ck.Doc
    bundle: bytes


CLOSING = {
    "heads": lambda doc: doc.heads,
    "root": lambda doc: doc.root,
    "save": lambda doc: doc.save(),
    "export": lambda doc: doc.export(),
    "merge": lambda doc: doc.merge(doc.other),
    "merge into": lambda doc: doc.other.merge(doc),
    "apply": lambda doc: doc.apply(doc.bundle),
    "changes": lambda doc: doc.changes(),
    "fork": lambda doc: doc.fork(),
    "commit": lambda doc: doc.commit(),
    "at": lambda doc: doc.at(()),
    "diff": lambda doc: doc.diff((), ()),
    "blame": lambda doc: doc["t"].blame(),
    "copy": lambda doc: copy.copy(doc),
    "pickle": lambda doc: pickle.dumps(doc),
}


@pytest.mark.parametrize("name", CLOSING)
def test_closing_calls_are_refused_inside_a_block(name):
    doc = DocWithMore()
    doc["t"] = ck.Text("x")
    doc.other, doc.bundle = ck.Doc(id=doc.id), doc.export()
    with doc.change():
        doc["a"] = 1
        with pytest.raises(RuntimeError, match="change"):
            CLOSING[name](doc)
        doc["b"] = 2
        assert len(doc) == 3 and doc.get("a") == 1 and doc.stats() and doc.waiting == () == doc.missing
    assert doc == {"a": 1, "b": 2, "t": "x"} and len(doc.changes()) == 2
    CLOSING[name](doc)


def test_block_is_entered_once_and_left_in_order():
    doc = ck.Doc()
    block = doc.change()
    with block, pytest.raises(RuntimeError):
        block.__enter__()
    with pytest.raises(RuntimeError):
        block.__enter__()
    with pytest.raises(RuntimeError):
        block.__exit__(None, None, None)
    outer, inner = doc.change(), doc.change()
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    with pytest.raises(TypeError):
        doc.change(5)
    assert "over" in repr(block)


def test_clock_that_fails_undoes_the_block():
    def clock():
        raise OSError("no battery")

    doc = ck.Doc(clock=clock)
    with pytest.raises(OSError, match="battery"), doc.change():
        doc["a"] = 1
    assert doc == {}
    with doc.change():
        pass


def test_block_beyond_the_limit_is_undone():
    doc = ck.Doc()
    doc["before"] = 1
    with pytest.raises(ck.LimitError), doc.change():
        doc["small"] = 1
        for i in range(20):
            doc[f"k{i}"] = b"x" * (1 << 20)
    assert doc == {"before": 1} and len(doc.changes()) == 1
    with pytest.raises(ck.LimitError), doc.change():
        doc["t"] = ck.Text("x" * (17 << 20))
    with pytest.raises(ck.LimitError):
        doc["k"] = b"x" * (17 << 20)
    assert doc == {"before": 1}
    doc["k"] = b"x" * (15 << 20)
    assert len(doc["k"]) == 15 << 20


# ---- lone edits and the MiB


def test_lone_edits_close_at_a_mebibyte():
    doc = ck.Doc()
    for i in range(40):
        doc[f"k{i}"] = b"x" * 100_000
    sizes = [c.n_ops for c in doc.changes()]
    assert 3 <= len(sizes) <= 6 and sum(sizes) == 40


@pytest.mark.parametrize("c", ["x", "ä", "€", "😀"])
def test_lone_paste_splits_by_itself(c):
    doc = ck.Doc()
    doc["t"] = ck.Text("[]")
    n = 3 * (1 << 20) // len(c.encode())
    doc["t"].insert(1, c * n)
    assert len(doc["t"]) == n + 2 and doc["t"] == f"[{c * n}]"
    assert 3 <= len(doc.changes()) <= 6
    copy_ = ck.Doc.load(doc.save())
    assert copy_ == doc and copy_.root == doc.root


def test_long_text_is_stored_in_parts():
    doc = ck.Doc()
    t = ck.Text("x" * (20 << 20))
    doc["t"] = t
    assert doc["t"] is t and len(t) == 20 << 20 and len(doc.changes()) > 15
    t.update("y" * (18 << 20))
    assert t == "y" * (18 << 20)
    t[1:-1] = "z"
    assert t == "yzy" and ck.Doc.load(doc.save()) == doc


# ---- exchange


def test_apply_and_report():
    a = ck.Doc()
    b = a.fork()
    a["x"] = 1
    a["y"] = 2
    report = b.apply(a.export())
    assert report.applied == a.heads and report.void == report.waiting == report.refused == () and report.known == 0
    assert report and b == a and b.root == a.root and b.heads == a.heads
    again = b.apply(memoryview(a.export()))
    assert not again and again.applied == () and again.known == 1
    assert "1 applied" in repr(report)
    for wrong in (5, "text", None, [1]):
        with pytest.raises(TypeError):
            b.apply(wrong)


def test_empty_replicas_have_equal_roots():
    a = ck.Doc()
    assert a.root == a.fork().root == ck.Doc(id=a.id).root != ck.Doc().root


def test_export_since_and_until():
    a = ck.Doc()
    a["x"] = 1
    first = a.heads
    a["y"] = 2
    second = a.heads
    b = ck.Doc(id=a.id)
    assert b.apply(a.export(since=first)).waiting == second
    assert b.waiting == second and b.missing == first and b == {}
    assert set(b.apply(a.export((), until=first)).applied) == {*first, *second} and b == a
    assert len(a.export(a.heads)) < 512 and not b.apply(a.export(a.heads))
    assert a.export([bytes(32)]) == a.export()
    with pytest.raises(KeyError):
        a.export(until=[bytes(32)])
    for wrong in (first[0], [b"short"], ["x" * 32], 5, [5]):
        with pytest.raises((TypeError, ValueError)):
            a.export(wrong)


def test_decode_error_closes_nothing_and_changes_nothing():
    doc = ck.Doc()
    doc["a"] = 1
    root = doc.root
    whole = doc.fork(ck.Identity.generate()).export()
    doc["b"] = 2
    foreign = ck.Doc()
    foreign["x"] = 1
    for bad in (b"", b"CKB", whole[:-1], whole + b"\0", b"X" + whole[1:], foreign.export()):
        with pytest.raises(ck.DecodeError):
            doc.apply(bad)
    change = doc.commit("still open")
    assert change.message == "still open" and change.n_ops == 1 and doc == {"a": 1, "b": 2}
    assert doc.at([doc.changes()[0].id]) == {"a": 1} and root != doc.root


def test_save_is_export_and_stable():
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    assert doc.save() == doc.export() == doc.save() == bytes(doc.save())
    me = ck.Identity.generate()
    other = ck.Doc.load(doc.save(), me)
    assert other == doc and other.id == doc.id and other.identity is me and other.root == doc.root
    with pytest.raises(ck.DecodeError):
        ck.Doc.load(b"")
    with pytest.raises(TypeError):
        ck.Doc.load(5)


def test_merge():
    a = ck.Doc()
    b, c = a.fork(), a.fork(ck.Identity.generate())
    a["x"], b["y"], c["z"] = 1, 2, 3
    assert a.merge(b) and a.merge(c) and not a.merge(a)
    assert b.merge(a) and c.merge(b)
    assert a == b == c == {"x": 1, "y": 2, "z": 3} and a.root == b.root == c.root and a.heads == b.heads
    assert len(a.heads) == 3
    with pytest.raises(TypeError):
        a.merge(a.save())
    with pytest.raises(ck.Error):
        foreign = ck.Doc()
        foreign["q"] = 1
        a.merge(foreign)


def test_fork_of_the_past():
    doc = ck.Doc()
    doc["a"] = 1
    then = doc.heads
    doc["a"] = 2
    old = doc.fork(heads=then)
    assert old == {"a": 1} and old.heads == then and old.identity is doc.identity
    old["b"] = 1
    assert {c.lane for c in old.changes()} != {c.lane for c in doc.changes()} and not doc.equivocations()
    assert doc.merge(old) and doc == {"a": 2, "b": 1}
    with pytest.raises(KeyError):
        doc.fork(heads=[bytes(32)])


def test_copy_is_a_fork():
    doc = ck.Doc()
    doc["t"] = ck.Text("x")
    for make in (copy.copy, copy.deepcopy):
        twin = make(doc)
        assert twin == doc and twin.id == doc.id and twin is not doc and twin["t"] is not doc["t"]
        twin["t"] += "y"
        doc["n"] = 1
        assert not doc.merge(twin).refused and not doc.equivocations()


def test_pickle_holds_no_secret():
    seed = bytes(range(50, 82))
    doc = ck.Doc(ck.Identity.from_seed(seed))
    doc["t"] = ck.Text("x")
    data = pickle.dumps(doc)
    assert seed not in data
    twin = pickle.loads(data)
    assert twin == doc and twin.id == doc.id and twin.root == doc.root and twin.identity != doc.identity


def test_stats():
    doc = ck.Doc()
    doc["a"] = 1
    doc["t"] = ck.Text("hello")
    doc.commit()
    stats = doc.stats()
    names = [
        "changes",
        "ops",
        "lanes",
        "heads",
        "void",
        "waiting",
        "later",
        "waiting_bytes",
        "evicted",
        "equivocations",
        "verified",
        "memory",
    ]
    assert set(names) <= set(stats) and all(type(n) is int for n in stats.values())
    assert stats["changes"] == stats["lanes"] == stats["heads"] == 1 and stats["ops"] == 7 and stats["memory"] > 0
    assert stats["tips"] == stats["branches"] == 1 and stats["refused"] == stats["void_bytes"] == 0
    bounded = {name.removesuffix("_limit") for name in stats if name.endswith("_limit")}
    assert bounded == {"items", "waiting", "lane_waiting", "peer_waiting", "tips"}
    mib = 1 << 20
    limits = [stats[f"{name}_limit"] for name in ("waiting", "lane_waiting", "peer_waiting", "tips")]
    assert limits == [32 * mib, 8 * mib, 4 * mib, 1024]


def test_stats_of_what_waits_and_what_was_refused():
    doc = ck.Doc()
    doc["a"] = 1
    first = doc.commit()
    doc["b"] = 2
    doc.commit()
    other = ck.Doc(id=doc.id)
    assert other.apply(doc.export(since=[first.id])).waiting == tuple(doc.heads)
    stats = other.stats()
    assert stats["waiting"] == 1 and stats["refused"] == 0
    assert stats["lane_waiting"] == stats["waiting_bytes"] > 0 == stats["peer_waiting"]
    bundle, refused = doc.export(), 0
    for at in range(40, len(bundle) - 8):
        damaged = bundle[:at] + bytes([bundle[at] ^ 1]) + bundle[at + 1 : -8]
        damaged += xxhash.xxh3_64_intdigest(damaged).to_bytes(8, "little")
        with contextlib.suppress(ck.DecodeError):
            refused += len(other.apply(damaged).refused)
        assert other.stats()["refused"] == refused
    assert refused > 64


def test_to_py_is_plain():
    doc = ck.Doc()
    doc["t"], doc["n"] = ck.Text("ä"), None
    assert type(doc.to_py()) is dict and type(doc.to_py()["t"]) is str
    assert json.loads(json.dumps(doc.to_py())) == doc


def test_more_heads_than_a_change_can_name():
    doc = ck.Doc()
    doc["start"] = 1
    forks = [doc.fork() for _ in range(40)]
    for i, fork in enumerate(forks):
        fork[f"k{i}"] = i
        doc.merge(fork)
    assert len(doc.heads) == 40
    doc["end"] = 1
    change = doc.commit()
    assert doc.heads == (change.id,) and len(change.parents) <= 32
    assert len(doc.changes()) > 42 and len(doc) == 42
