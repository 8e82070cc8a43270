"""List against list."""

import copy
import operator
import pickle
import random
from collections.abc import Hashable, MutableSequence

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import crdtkv as ck
from crdtkv.list import ascending, moves_to


def attached(content=()):
    doc = ck.Doc()
    doc["l"] = list(content)
    return doc["l"]


def detached(content=()):
    return ck.List(content)


@pytest.fixture(params=[attached, detached])
def make(request):
    return request.param


def test_is_a_mutable_sequence(make):
    assert isinstance(make(), MutableSequence) and type(make()) is ck.List and not isinstance(make(), Hashable)
    assert len(make()) == 0 and not make() and make() == [] and make().to_py() == []
    with pytest.raises(TypeError):
        hash(make())


def test_reading(make):
    plain = [0, "a", None, 2.5, b"x", True, [1], {"k": 2}]
    items = make(plain)
    assert items == plain and list(items) == plain and list(reversed(items)) == plain[::-1] and len(items) == 8
    for i in range(-8, 8):
        assert items[i] == plain[i]
    for start in (None, 0, 1, -2, 99, -99):
        for stop in (None, 0, 3, -1, 99):
            for step in (None, 1, 2, -1, -3):
                found = items[start:stop:step]
                assert type(found) is list and found == plain[start:stop:step]
    for value in ("a", [1], {"k": 2}, 1, 5):
        assert (value in items) == (value in plain) and items.count(value) == plain.count(value)
    assert items.index("a") == 1 and items.index([1], 2) == 6 and items.index(0, -8, 3) == 0
    for wrong in (lambda: items[8], lambda: items[-9], lambda: items[10**30]):
        with pytest.raises(IndexError):
            wrong()
    with pytest.raises(ValueError):
        items.index("nope")
    for wrong in (
        lambda: items["a"],
        lambda: items[1.5],
        lambda: items.append(),
        lambda: operator.add(items, (1,)),
        lambda: items < 5,
    ):
        with pytest.raises(TypeError):
            wrong()


def test_editing(make):
    items, plain = make([3, 1, 2]), [3, 1, 2]
    for edit in (
        lambda x: x.append(9),
        lambda x: x.insert(0, "a"),
        lambda x: x.insert(99, "z"),
        lambda x: x.insert(-99, "y"),
        lambda x: x.insert(-1, [1]),
        lambda x: x.extend([4, {"k": 1}]),
        lambda x: x.extend(iter("ab")),
        lambda x: x.__setitem__(0, 7),
        lambda x: x.__setitem__(-1, [0]),
        lambda x: x.pop(),
        lambda x: x.pop(0),
        lambda x: x.pop(-2),
        lambda x: x.remove(9),
        lambda x: x.reverse(),
        lambda x: x.__delitem__(1),
        lambda x: x.__setitem__(slice(1, 3), "xyz"),
        lambda x: x.__setitem__(slice(2, 2), [[]]),
        lambda x: x.__setitem__(slice(4, 2), [5]),
        lambda x: x.__setitem__(slice(None, None, 2), range(len(x[::2]))),
        lambda x: x.__delitem__(slice(None, None, 3)),
        lambda x: x.__delitem__(slice(-1, 0, -2)),
        lambda x: x.__setitem__(slice(-99, 1), []),
        lambda x: x.__iadd__([1, 2]),
        lambda x: x.__imul__(2),
        lambda x: x.sort(key=repr),
        lambda x: x.sort(key=repr, reverse=True),
        lambda x: x.__delitem__(slice(1, 3)),
        lambda x: x.__imul__(0),
        lambda x: x.extend("abc"),
        lambda x: x.clear(),
    ):
        assert edit(items) == edit(plain)
        assert items == plain and len(items) == len(plain)


def test_errors_of_editing(make):
    items = make([1, 2, 3])
    for wrong in (
        lambda: items.pop(3),
        lambda: items.__setitem__(3, 0),
        lambda: items.__delitem__(-4),
        lambda: items.move(3, 0),
    ):
        with pytest.raises(IndexError):
            wrong()
    for wrong in (
        lambda: items.__setitem__(slice(None, None, 2), [1]),
        lambda: items.remove(9),
        lambda: items.__setitem__(slice(None, None, 0), []),
        lambda: items.append("\ud800"),
    ):
        with pytest.raises(ValueError):
            wrong()
    for wrong in (
        lambda: items.append(1j),
        lambda: items.insert("0", 1),
        lambda: items.extend(5),
        lambda: items.extend([1, 1j]),
        lambda: items.__setitem__(0, {"a": 1j}),
        lambda: items.__setitem__(slice(1), [1, 1j]),
        lambda: items.__setitem__(slice(None, None, -1), [1, 2, 1j]),
        lambda: items.__setitem__("a", 1),
        lambda: items.move(0),
        lambda: items.__iadd__(5),
        lambda: items.sort(len),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(IndexError):
        make().pop()
    assert items == [1, 2, 3]


def test_new_lists_and_comparing(make):
    items = make([1, 2])
    more, none = [3], []
    assert items + more == [1, 2, 3] and more + items == [3, 1, 2] and items * 2 == 2 * items == [1, 2, 1, 2]
    assert type(items + none) is list and items + make([5]) == [1, 2, 5]
    assert items < [1, 3] and items <= [1, 2] and items > [1] and items >= make([1, 2]) and items == make([1, 2])
    assert items != (1, 2) and items != [1] and items != 5 and items == [1, 2]
    same = items
    items += (3,)
    items *= 2
    assert items is same and items == [1, 2, 3] * 2


def test_items_keep_their_handles():
    doc = ck.Doc()
    doc["l"] = [{"n": 3}, {"n": 1}, {"n": 2}]
    items = doc["l"]
    three, one, two = items
    items.insert(0, "x")
    assert items[1] is three and items[2] is one
    del items[0]
    items.reverse()
    assert [x is y for x, y in zip(items, (two, one, three))] == [True] * 3
    items.sort(key=lambda m: m["n"])
    assert [x is y for x, y in zip(items, (one, two, three))] == [True] * 3
    items.move(0, 2)
    assert items[2] is one and items == [{"n": 2}, {"n": 3}, {"n": 1}]
    items[2]["n"] += 9
    assert one == {"n": 10}
    t = ck.Text("x")
    items.append(t)
    assert items[3] is t
    items[3] += "y"
    items[3] = items[3]
    assert t == "xy" and items[3] is t
    items[0] = {"new": 1}
    with pytest.raises(ck.StaleHandleError):
        two["n"]
    fresh = [ck.Map(), ck.Counter(1)]
    items[::2] = fresh
    assert items[0] is fresh[0] and items[2] is fresh[1]
    assert items.pop(0) == {} and items.pop() == "xy"


def test_move(make):
    for i in range(-4, 4):
        for j in (-9, -4, -2, -1, 0, 1, 2, 3, 4, 9):
            items, plain = make("abcd"), list("abcd")
            items.move(i, j)
            plain.insert(j, plain.pop(i))
            assert items == plain


def test_sort_and_reverse_move_few(make):
    doc = ck.Doc()
    doc["l"] = [1, 2, 3, 0]
    doc.commit()
    doc["l"].sort()
    assert doc["l"] == [0, 1, 2, 3] and doc.commit().n_ops == 1
    doc["l"].sort()
    assert doc.commit() is None
    doc["l"].reverse()
    assert doc["l"] == [3, 2, 1, 0] and doc.commit().n_ops == 3
    with pytest.raises(TypeError):
        make([1, "a"]).sort()


@given(st.permutations(range(12)))
@settings(max_examples=200, deadline=None)
def test_moves_make_the_order(order):
    plain = list(range(12))
    moves = moves_to(list(order))
    for i, j in moves:
        plain.insert(j, plain.pop(i))
    assert plain == list(order) and len(moves) == 12 - len(ascending(list(order)))


def test_sorting_many():
    rng = random.Random(5)
    numbers = [rng.random() for _ in range(5000)]
    items = attached(numbers)
    items.sort()
    assert items == sorted(numbers)


def test_iteration_sees_changes():
    items = attached([1, 2, 3])
    seen = []
    for x in items:
        seen.append(x)
        if x == 1:
            items.append(4)
        if x == 2:
            items.pop()
    assert seen == [1, 2, 3]
    it = iter(items)
    list(it)
    items.append(5)
    assert list(it) == []


def test_own_slice_while_it_grows(make):
    items = make([1, 2])
    items.extend(items)
    items[1:1] = items
    assert items == [1, 1, 2, 1, 2, 2, 1, 2]


def test_stale_handles():
    doc = ck.Doc()
    doc["l"] = [[1]]
    inner = doc["l"][0]
    del doc["l"][0]
    for use in (
        len,
        list,
        bool,
        lambda x: x[0],
        lambda x: x[:],
        lambda x: x.append(1),
        lambda x: x.insert(0, 1),
        lambda x: x.pop(),
        lambda x: x.extend([1]),
        lambda x: x.append({}),
        lambda x: x.move(0, 0),
        lambda x: x == [],
        lambda x: x.to_py(),
        lambda x: x.__setitem__(0, 1),
        lambda x: x.__delitem__(0),
        lambda x: x.__setitem__(slice(0), [1]),
        lambda x: x.clear(),
        lambda x: x.conflicts(0),
        lambda x: x.cursor(0),
        lambda x: 1 in x,
        lambda x: x.reverse(),
    ):
        with pytest.raises(ck.StaleHandleError):
            use(inner)
    assert copy.copy(inner) == [1] and "deleted" in repr(inner)
    doc["l"].append(inner)
    assert doc["l"] == [[1]]


def test_copies_are_detached(make):
    items = make([1, [ck.Text("x")], {"a": {2}}])
    for twin in (
        copy.copy(items),
        copy.deepcopy(items),
        pickle.loads(pickle.dumps(items)),
        ck.List(items),
        items.copy(),
    ):
        assert type(twin) is ck.List and twin == items and "detached" in repr(twin)
        twin.append(1)
        assert len(items) == 3
    assert "3 items" in repr(items) and len(repr(make(["x" * 1000] * 100))) < 100


def test_concurrent_edits():
    a = ck.Doc()
    a["l"] = ["a", "b", "c"]
    b = a.fork(ck.Identity.generate())
    a["l"].move(0, 2)
    b["l"].move(0, 1)
    b["l"].append("d")
    a["l"][1] = "C"
    b["l"][2] = "see"
    a.merge(b)
    b.merge(a)
    assert a == b and a.root == b.root and len(a["l"]) == 4 and a["l"].count("a") == 1
    at = next(i for i, x in enumerate(a["l"]) if x in ("C", "see"))
    assert sorted(a["l"].conflicts(at).values()) == ["C", "see"] and len(a["l"].conflicts(0)) == 1
    assert next(iter(a["l"].conflicts(at).values())) == a["l"][at]
    assert list(a["l"].conflicts(at)) == list(b["l"].conflicts(at))
    with pytest.raises(IndexError):
        a["l"].conflicts(9)
    with pytest.raises(TypeError):
        ck.List([1]).conflicts(0)


def test_bulk_is_quick_and_right():
    rows = [{"id": i, "name": f"n{i}", "x": i / 2, "ok": True} for i in range(5000)]
    items = attached(rows)
    assert items.to_py() == rows and items[4999]["id"] == 4999
    items.extend(rows)
    del items[:5000]
    assert items == rows


# ---- against a list

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab😀", max_size=2)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from("ab"), scalars, max_size=2)
indices = st.integers(-6, 12)
ends = st.none() | indices
steps = st.sampled_from([None, 1, 2, -1])


class AgainstList(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.doc = ck.Doc()
        self.doc["l"] = []
        self.plain = []

    def both(self, edit):
        errors = []
        results = []
        for target in (self.doc["l"], self.plain):
            try:
                results.append(edit(target))
                errors.append(None)
            except (IndexError, ValueError) as error:
                errors.append(type(error))
        assert errors[0] is errors[1] and (errors[0] or results[0] == results[1])

    @rule(i=indices, value=values)
    def insert(self, i, value):
        self.both(lambda x: x.insert(i, value))

    @rule(value=values)
    def append(self, value):
        self.both(lambda x: x.append(value))

    @rule(i=indices)
    def pop(self, i):
        self.both(lambda x: x.pop(i))

    @rule(i=indices, value=values)
    def set(self, i, value):
        self.both(lambda x: x.__setitem__(i, value))

    @rule(
        i=st.none() | indices,
        j=st.none() | indices,
        step=st.sampled_from([None, 1, 2, -1]),
        new=st.lists(values, max_size=3),
    )
    def set_slice(self, i, j, step, new):
        self.both(lambda x: x.__setitem__(slice(i, j, step), new))

    @rule(i=ends, j=ends, step=steps)
    def delete_slice(self, i, j, step):
        self.both(lambda x: x.__delitem__(slice(i, j, step)))

    @rule(i=indices, j=indices)
    def move(self, i, j):
        self.both(lambda x: x.move(i, j) if isinstance(x, ck.List) else x.insert(j, x.pop(i)))

    @rule(reverse=st.booleans())
    def sort(self, reverse):
        self.both(lambda x: x.sort(key=repr_plain, reverse=reverse))

    @rule(fail=st.booleans(), new=st.lists(values, max_size=3))
    def block(self, fail, new):
        before = list(self.plain)
        try:
            with self.doc.change():
                self.both(lambda x: x.extend(new))
                self.both(lambda x: x.reverse())
                self.both(lambda x: x.pop())
                if fail:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            self.plain = before

    @rule()
    def reload(self):
        twin = ck.Doc.load(self.doc.save())
        assert twin.root == self.doc.root
        self.doc = twin

    @invariant()
    def same(self):
        items = self.doc["l"]
        assert items == self.plain and len(items) == len(self.plain) and items.to_py() == self.plain


def repr_plain(value):
    plain = value.to_py() if hasattr(value, "to_py") else value
    return repr(sorted(plain.items()) if isinstance(plain, dict) else plain)


AgainstList.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestAgainstList = AgainstList.TestCase


def test_many_moves_of_one_element_at_a_version():
    """Where it shows at a version is asked once a walk, not once a slot."""
    doc = ck.Doc()
    doc["l"] = [1, 2, 3]
    doc.commit()
    aside = doc.fork(ck.Identity.generate())
    for i in range(3):
        aside["x"] = i
        aside.commit()
    aside["l"].move(0, 2)
    aside.commit()
    with doc.change():
        for _ in range(300):
            doc["l"].move(0, 1)
            doc["l"].move(1, 0)
    last = doc.heads
    doc["l"].move(2, 0)
    seen = ck.Doc.load(aside.export())
    mirror = seen["l"].to_py()
    events = []
    seen.observe(events.append)
    seen.apply(doc.export())
    for patch in (patch for event in events for patch in event.patches):
        assert patch.kind == "move"
        mirror.insert(patch.new, mirror.pop(patch.position))
    assert mirror == seen["l"].to_py()
    assert seen.at(last)["l"].to_py() == doc.at(last)["l"].to_py() == [1, 2, 3]
    assert seen.at(aside.heads)["l"].to_py() == [2, 3, 1]


@pytest.mark.parametrize("make", [lambda: ck.Map(a=[1]), lambda: ck.List([1, [2]]), lambda: ck.Set({1}), ck.Counter])
@pytest.mark.parametrize(
    "store",
    [
        lambda items, new: items.append(new),
        lambda items, new: items.insert(99, new),
        lambda items, new: items.__setitem__(-1, new),
        lambda items, new: items.__setitem__(slice(1, 1), [new]),
        lambda items, new: items.extend([new]),
        lambda items, new: items.__iadd__([new]),
    ],
)
def test_a_fresh_container_becomes_the_handle_whichever_way_it_is_stored(make, store):
    doc = ck.Doc()
    doc["l"] = [0]
    new = make()
    store(doc["l"], new)
    assert sum(item is new for item in doc["l"]) == 1
    doc["l"].append(new)
    assert doc["l"][-1] is not new and doc["l"][-1] == new
