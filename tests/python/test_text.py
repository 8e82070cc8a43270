import copy
import gc
import json
import operator
import pickle
import random
import weakref
from collections.abc import Hashable, Sequence

import pytest

import crdtkv as ck

KINDS = ["hello", "grüße", "€uro ‰", "a😀b🎉c", ""]


def attached(content=""):
    doc = ck.Doc()
    doc["t"] = ck.Text(content)
    return doc["t"]


def detached(content=""):
    return ck.Text(content)


@pytest.fixture(params=[attached, detached])
def make(request):
    return request.param


def test_is_a_sequence(make):
    assert isinstance(make(), Sequence) and issubclass(ck.Text, Sequence) and not isinstance(make(), Hashable)
    with pytest.raises(TypeError):
        hash(make())


@pytest.mark.parametrize("s", KINDS)
def test_reads_like_a_str(make, s):
    t = make(s)
    assert str(t) == s == t and t == s and len(t) == len(s) and bool(t) == bool(s)
    assert list(t) == list(s) and list(reversed(t)) == list(reversed(s)) and t.to_py() == s and f"{t:>9}" == f"{s:>9}"
    for i in range(-len(s), len(s)):
        assert t[i] == s[i]
    for start in (None, 0, 1, -2, 99, -99):
        for stop in (None, 0, 3, -1, 99):
            for step in (None, 1, 2, -1, -2):
                assert t[start:stop:step] == s[start:stop:step]
    for sub in ("", "l", "lo", "😀", "zz", s):
        assert (sub in t) == (sub in s) and t.find(sub) == s.find(sub) and t.rfind(sub, 1) == s.rfind(sub, 1)
        assert t.count(sub) == s.count(sub) and t.startswith(sub) == s.startswith(sub)
        assert t.endswith((sub, "x")) == s.endswith((sub, "x")) and t.find(sub, 1, 3) == s.find(sub, 1, 3)
        assert t.replace(sub, "Z") == s.replace(sub, "Z") and t.removeprefix(sub) == s.removeprefix(sub)
    assert t.upper() == s.upper() and t.split() == s.split() and t.split("l", maxsplit=1) == s.split("l", maxsplit=1)
    assert t.splitlines() == s.splitlines() and t.strip("h") == s.strip("h") and t.partition("l") == s.partition("l")
    assert t.encode() == s.encode() and t.isspace() == s.isspace() and t.casefold() == s.casefold()
    for name in [
        "capitalize",
        "title",
        "swapcase",
        "isalnum",
        "isalpha",
        "isascii",
        "isdecimal",
        "isdigit",
        "islower",
        "isnumeric",
    ]:
        assert getattr(t, name)() == getattr(s, name)()
    assert t.center(9, "*") == s.center(9, "*") and t.ljust(9) == s.ljust(9) and t.rjust(9) == s.rjust(9)
    assert t.zfill(9) == s.zfill(9) and t.expandtabs(tabsize=3) == s.expandtabs(3) and t.join("ab") == s.join("ab")
    assert t.translate({ord("l"): "L"}) == s.translate({ord("l"): "L"})
    for name in ["isprintable", "istitle", "isupper", "isidentifier"]:
        assert getattr(t, name)() is getattr(s, name)()
    assert t == s and str(t) == s


def test_reading_errors_are_those_of_str(make):
    t = make("abc")
    for i in (3, -4, 10**30):
        with pytest.raises(IndexError):
            t[i]
    for wrong in (lambda: t["a"], lambda: 5 in t, lambda: t.find(5), lambda: t.find(), lambda: t < 5, lambda: t + 5):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError):
        t.index("z")
    with pytest.raises(ValueError):
        t[::0]


def test_comparison_and_concatenation(make):
    t, u = make("abc"), make("abd")
    assert t < u and t <= "abc" and u > "abc" and t != u and t == "abc" and t != 5 and t != b"abc"
    assert t + "d" == "abcd" and "d" + t == "dabc" and t + u == "abcabd" and type(t + "d") is str
    assert t in ["", "abc", ""] and make("b") in t and t.find(make("c")) == 2


def test_repetition(make):
    t = make("ab")
    assert t * 2 == 2 * t == "abab" and type(t * 2) is str and t * 0 == t * -1 == "" and t == "ab"
    with pytest.raises(TypeError):
        t * "x"
    handle = t
    t *= 3
    assert t is handle and t == "ababab"
    t *= 1
    assert t is handle and t == "ababab"
    t *= 0
    assert t is handle and t == ""


def test_repeating_in_place_keeps_what_is_there():
    doc = ck.Doc()
    doc["t"] = t = ck.Text("ab")
    first = doc.commit()
    last = t.cursor(1)
    doc["t"] *= 2
    assert doc["t"] is t and t == "abab" and last.index == 1 and t.blame()[0][:2] == (0, 2)
    assert t.blame()[0][3] == first.id
    with pytest.raises(TypeError):
        doc.at(doc.heads)["t"].__imul__(2)


@pytest.mark.parametrize("s", KINDS)
def test_insert_delete_splice(make, s):
    t = make("0123456789")
    assert t.insert(3, s) is None
    assert t == "012" + s + "3456789"
    assert t.delete(3, len(s)) is None and t == "0123456789"
    assert t.splice(2, 3, s) is None and t == "01" + s + "56789"
    t.update("0123456789")
    t.insert(10, s)
    t.insert(0, s)
    assert t == s + "0123456789" + s


def test_negative_positions_count_from_the_end(make):
    t = make("abc")
    t.insert(-1, "X")
    assert t == "abXc"
    t.delete(-2)
    assert t == "abc"
    t.splice(-3, 1, "A")
    assert t == "Abc"
    t.delete(-2, 2)
    assert t == "A"


def test_positions_out_of_range(make):
    t = make("abc")
    for wrong in (
        lambda: t.insert(4, "x"),
        lambda: t.insert(-4, "x"),
        lambda: t.insert(10**30, "x"),
        lambda: t.delete(3),
        lambda: t.delete(0, 4),
        lambda: t.delete(2, 2),
        lambda: t.splice(1, 3, "x"),
        lambda: t.splice(4, 0, "x"),
        lambda: t.insert(4, ""),
        lambda: t.__setitem__(3, "x"),
        lambda: t.__delitem__(3),
        lambda: t.splices([(0, 0, "x"), (9, 0, "x")]),
        lambda: t.splices([(0, 3, ""), (0, 1, "")]),
    ):
        with pytest.raises(IndexError):
            wrong()
        assert t == "abc"
    t.insert(3, "")
    t.delete(3, 0)
    t.splice(0, 0, "")
    assert t == "abc"


def test_arguments_of_another_type(make):
    t = make("abc")
    for wrong in (
        lambda: t.insert("0", "x"),
        lambda: t.insert(0.0, "x"),
        lambda: t.insert(0, 5),
        lambda: t.insert(0, b"x"),
        lambda: t.insert(0),
        lambda: t.insert(0, "x", 1),
        lambda: t.delete(),
        lambda: t.delete(0, "1"),
        lambda: t.delete(0, m=1),
        lambda: t.splice(0, 1),
        lambda: t.update(5),
        lambda: t.update(None),
        lambda: t.splices(5),
        lambda: t.splices([5]),
        lambda: t.splices([(0, 0, 5)]),
        lambda: t.__setitem__(0, 5),
        lambda: t.__setitem__("a", "x"),
        lambda: operator.iadd(t, 5),
        lambda: ck.Text(5),
        lambda: ck.Text(b"x"),
        lambda: ck.Text("a", "b"),
    ):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (lambda: t.delete(0, -1), lambda: t.splice(0, -1, ""), lambda: t.splices([(0, 0)])):
        with pytest.raises(ValueError):
            wrong()
    assert t == "abc"
    t.insert(True, "x")
    t.delete(0, n=2)
    assert t == "bc"


def test_lone_surrogates(make):
    t = make("abc")
    for wrong in (
        lambda: t.insert(0, "\ud800"),
        lambda: t.insert(0, "x" * 5000 + "\udfff"),
        lambda: t.splice(0, 1, "😀\ud800"),
        lambda: t.splices([(0, 1, ""), (0, 0, "\ud800")]),
        lambda: t.update("a\ud800"),
        lambda: t.__setitem__(slice(1), "\ud800"),
        lambda: t.__iadd__("\ud800"),
    ):
        with pytest.raises(ValueError):
            wrong()
        assert t == "abc"


def test_slices(make):
    t = make("abcdef")
    t[1:3] = "XYZ"
    assert t == "aXYZdef"
    t[4:] = ""
    assert t == "aXYZ"
    t[99:] = "!"
    t[:0] = "?"
    assert t == "?aXYZ!"
    del t[1:-1]
    assert t == "?!"
    t[0] = "A"
    t[-1] = "Z"
    assert t == "AZ"
    del t[0]
    assert t == "Z"
    t[:] = "0123456789"
    t[::2] = "abcde"
    assert t == "a1b3c5d7e9"
    t[::-3] = "WXYZ"
    assert t == "Z1bY" + "c5X7eW"
    del t[1::3]
    assert t == "ZbY5XeW"
    del t[::-2]
    assert t == "b5e"
    t[2:1] = "-"
    assert t == "b5-e"
    with pytest.raises(ValueError):
        t[::2] = "abc"
    assert t == "b5-e"


def test_in_place_addition_keeps_the_handle(make):
    t = same = make("a")
    t += "b"
    t += make("c")
    assert t is same and t == "abc"
    doc = ck.Doc()
    doc["t"] = ck.Text("x")
    handle = doc["t"]
    doc["t"] += "y"
    doc["t"] += "z"
    assert doc["t"] is handle and handle == "xyz" and doc.commit().n_ops == 4


@pytest.mark.parametrize("as_iterable", [list, tuple, iter, lambda s: (list(x) for x in s)])
def test_splices(make, as_iterable):
    rng = random.Random(1)
    plain = "start"
    series = []
    t = make(plain)
    for _ in range(500):
        pos = rng.randint(0, len(plain))
        n = rng.randint(0, min(3, len(plain) - pos))
        s = "".join(rng.choices("abä😀", k=rng.randint(0, 4)))
        series.append((pos if rng.random() < 0.5 or pos == len(plain) else pos - len(plain), n, s))
        plain = plain[:pos] + s + plain[pos + n :]
    assert t.splices(as_iterable(series)) is None
    assert t == plain
    t.splices([])
    assert t == plain


def test_splices_beyond_a_change():
    t = attached()
    t.splices([(0, 0, "x" * 400_000)] * 10 + [(5, 0, "y" * 3_000_000)])
    assert len(t) == 7_000_000 and t[5] == "y" and t.count("y") == 3_000_000


@pytest.mark.parametrize(
    "old, new, n_ops",
    [
        ("hello", "hello", 0),
        ("hello", "hello world", 6),
        ("hello", "jello", 2),
        ("abcabba", "cbabac", 5),
        ("", "xyz", 3),
        ("xyz", "", 3),
        ("the quick brown fox", "the slow brown ox", None),
        ("a😀b", "a🎉b", 2),
        ("abc" * 1000, "abc" * 500 + "x" + "abc" * 500, 1),
    ],
)
def test_update_is_minimal(old, new, n_ops):
    t = attached(old)
    doc = ck.Doc()
    doc["t"] = ck.Text(old)
    t = doc["t"]
    doc.commit()
    t.update(new)
    assert t == new
    change = doc.commit()
    if n_ops is not None:
        assert (change.n_ops if change else 0) == n_ops


def test_update_keeps_what_others_write():
    a = ck.Doc()
    a["t"] = ck.Text("The cat sat.")
    b = a.fork()
    a["t"].update("The black cat sat.")
    b["t"].update("The cat sat down.")
    a.merge(b)
    assert a["t"] == "The black cat sat down."


def test_update_of_texts_that_are_not_alike():
    rng = random.Random(2)
    for n in (30, 3000, 60_000):
        old, new = ("".join(rng.choices("abcdefgh", k=n)) for _ in range(2))
        t = attached(old)
        t.update(new)
        assert t == new
        t.update(old[: n // 2] + new[n // 3 :])
        assert t == old[: n // 2] + new[n // 3 :]


def test_update_random_edits_are_exact():
    rng = random.Random(3)
    for _ in range(200):
        old = "".join(rng.choices("ab", k=rng.randint(0, 40)))
        new = "".join(rng.choices("ab", k=rng.randint(0, 40)))
        t = attached(old)
        t.update(new)
        assert t == new


# ---- handles


def test_one_handle_per_place():
    doc = ck.Doc()
    t = ck.Text("x")
    doc["t"] = t
    assert doc["t"] is t and doc.get("t") is t and next(iter(doc.values())) is t
    again = doc["t"]
    del t
    assert doc["t"] is again
    del again
    gc.collect()
    assert doc["t"] is doc["t"] and doc["t"] == "x"


def test_handle_holds_the_document():
    doc = ck.Doc()
    doc["t"] = ck.Text("x")
    t, ref = doc["t"], weakref.ref(doc)
    del doc
    gc.collect()
    t.insert(1, "y")
    assert t == "xy" and ref() is not None
    del t
    gc.collect()
    assert ref() is None


def test_storing_a_handle_elsewhere_copies():
    doc, other = ck.Doc(), ck.Doc()
    doc["a"] = ck.Text("x")
    doc["b"] = doc["a"]
    other["c"] = doc["a"]
    assert doc["a"] is not doc["b"] and doc["a"] is not other["c"]
    doc["a"] += "1"
    doc["b"] += "2"
    other["c"] += "3"
    assert doc == {"a": "x1", "b": "x2"} and other == {"c": "x3"}


def test_storing_a_handle_on_its_own_slot_is_nothing():
    doc = ck.Doc()
    doc["t"] = ck.Text("x")
    doc.commit()
    doc["t"] = doc["t"]
    assert doc.commit() is None


def test_stale_handles():
    doc = ck.Doc()
    uses = (
        str, len, list, repr, lambda t: t == "x", lambda t: t.insert(0, "y"), lambda t: t.delete(0), lambda t: t[0],
        lambda t: t[:], lambda t: t.splices([]), lambda t: t.update("z"), lambda t: t.find("x"), lambda t: "x" in t,
        lambda t: t.blame(), lambda t: t.__iadd__("x"), lambda t: t.insert(0, ""), bool,
    )  # fmt: skip
    for kill in (
        lambda: doc.__delitem__("t"),
        lambda: doc.__setitem__("t", 5),
        lambda: doc.__setitem__("t", ck.Text("new")),
    ):
        t = doc["t"] = ck.Text("x")
        kill()
        for use in uses:
            if use is repr:
                assert "deleted" in repr(t)
            else:
                with pytest.raises(ck.StaleHandleError):
                    use(t)
    old = doc["t"] = ck.Text("last words")
    del doc["t"]
    doc["again"] = old
    assert doc["again"] == "last words" and copy.copy(old) == "last words" and ck.Text(old) == "last words"
    with pytest.raises(ck.StaleHandleError):
        str(old)


def test_text_of_an_undone_block_keeps_its_words():
    doc = ck.Doc()
    t = ck.Text("kept")
    with pytest.raises(KeyError), doc.change():
        doc["t"] = t
        t += " too"
        raise KeyError
    with pytest.raises(ck.StaleHandleError):
        str(t)
    doc["t"] = t
    assert doc == {"t": "kept too"}


def test_handle_comes_back_when_its_deletion_is_undone():
    doc = ck.Doc()
    t = doc["t"] = ck.Text("x")
    with pytest.raises(KeyError), doc.change():
        del doc["t"]
        with pytest.raises(ck.StaleHandleError):
            str(t)
        raise KeyError
    assert t == "x" and doc["t"] is t


def test_failed_store_leaves_a_fresh_text_fresh():
    doc = ck.Doc()
    t = ck.Text("x")
    with pytest.raises(ck.LimitError):
        doc["k" * 5000] = t
    t += "y"
    doc["k"] = t
    assert doc["k"] is t and doc == {"k": "xy"}


def test_copies_are_detached(make):
    t = make("x")
    for twin in (copy.copy(t), copy.deepcopy(t), pickle.loads(pickle.dumps(t)), ck.Text(t)):
        assert type(twin) is ck.Text and twin == t and twin is not t
        twin += "y"
        assert t == "x" and "detached" in repr(twin)
    assert json.dumps(t.to_py()) == '"x"'


def test_repr_is_short(make):
    assert "'hello'" in repr(make("hello")) and "5 characters" in repr(make("hello"))
    assert len(repr(make("😀" * 1_000_000))) < 150


def test_format_and_join(make):
    t = make("x")
    assert f"{t}" == "x" and f"{t:>3}" == "  x" and str.format("{}", t) == "x" and "-".join(t) == "x"


# ---- blame


def test_blame():
    a = ck.Doc(ck.Identity.generate())
    a["t"] = ck.Text("hello")
    first = a.commit()
    b = a.fork(ck.Identity.generate())
    b["t"].insert(5, "!!")
    b["t"].insert(2, "--")
    second = b.commit()
    ada, ben = a.identity.public_key, b.identity.public_key
    assert b["t"].blame() == [
        (0, 2, ada, first.id),
        (2, 4, ben, second.id),
        (4, 7, ada, first.id),
        (7, 9, ben, second.id),
    ]
    b["t"].delete(0, 4)
    assert b["t"].blame() == [(0, 3, ada, first.id), (3, 5, ben, second.id)]
    assert attached().blame() == []
    with pytest.raises(TypeError):
        ck.Text("x").blame()


def test_an_update_of_very_many_small_edits_closes_changes_as_it_goes() -> None:
    rng = random.Random(1)
    old, new = ("".join(rng.choices("abcdefgh", k=200_000)) for _ in range(2))
    doc = ck.Doc()
    doc["t"] = ck.Text(old)
    doc["t"].update(new)
    assert str(doc["t"]) == new
    assert len(doc.changes()) > 2
    assert ck.Doc.load(doc.save()) == doc
