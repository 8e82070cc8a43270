"""UndoStack: one's own work, step by step."""

import random

import pytest

import crdtkv as ck
from house.edits import edit


def clock_of(now):
    return lambda: now[0]


def test_undo_and_redo():
    doc = ck.Doc()
    doc["before"] = 1
    stack = doc.undo_stack()
    assert not stack.can_undo and not stack.can_redo and stack.undo() is False and stack.redo() is False
    states = [doc.to_py()]
    for step in (
        lambda: doc.__setitem__("x", 1),
        lambda: doc.__setitem__("x", [1, {"a": 2}]),
        lambda: doc["x"].append(3),
        lambda: doc["x"].move(0, 2),
        lambda: doc["x"].__delitem__(0),
        lambda: doc.__setitem__("t", ck.Text("hello")),
        lambda: doc["t"].splice(1, 3, "ipp"),
        lambda: doc["t"].mark(0, 2, "b", True),
        lambda: doc.__setitem__("c", ck.Counter(5)),
        lambda: doc["c"].increment(3),
        lambda: doc.__setitem__("s", {1, 2}),
        lambda: doc["s"].discard(1),
        lambda: doc["s"].add(9),
        lambda: doc.__delitem__("before"),
        lambda: doc.__delitem__("x"),
        lambda: doc.__delitem__("t"),
    ):
        step()
        doc.commit()
        states.append(doc.to_py())
    for _ in range(2):
        for state in states[-2::-1]:
            assert stack.can_undo and stack.undo() is True and doc.to_py() == state and stack.can_redo
        assert not stack.can_undo and stack.undo() is False
        for state in states[1:]:
            assert stack.can_redo and stack.redo() is True and doc.to_py() == state and stack.can_undo
        assert not stack.can_redo and stack.redo() is False
    assert "16 to undo" in repr(stack)
    assert ck.Doc.load(doc.save()) == doc


def test_undo_brings_the_very_handle_back():
    doc = ck.Doc()
    doc["l"] = [ck.Text("x")]
    t = doc["l"][0]
    stack = doc.undo_stack()
    del doc["l"][0]
    doc.commit()
    with pytest.raises(ck.StaleHandleError):
        str(t)
    stack.undo()
    assert t == "x" and doc["l"][0] is t


def test_open_edits_are_a_step():
    doc = ck.Doc()
    stack = doc.undo_stack()
    doc["a"] = 1
    doc["b"] = 2
    assert stack.can_undo and stack.undo() and doc == {} and stack.redo() and doc == {"a": 1, "b": 2}
    with doc.change():
        doc["c"] = 3
        for call in (stack.undo, stack.redo):
            with pytest.raises(RuntimeError, match="change"):
                call()
    assert stack.undo() and doc == {"a": 1, "b": 2}


def test_a_stack_says_what_it_could_undo_now():
    with ck.Database(":memory:") as db:
        doc = db.doc("notes")
        stack = doc.undo_stack()
        doc["a"] = 1
        assert "0 to undo, and an open change, 0 to redo" in repr(stack) and doc.stats()["open_ops"] == 1
        doc.commit()
        assert "1 to undo, 0 to redo" in repr(stack) and "1 to undo" in stack._repr_html_()
        stack.undo()
        assert "0 to undo, 1 to redo" in repr(stack)
        doc["b"] = 2
        assert "0 to undo, and an open change, 0 to redo" in repr(stack)
        doc.commit()
        db.delete("notes")
        assert "0 to undo, 1 to redo" in repr(stack)  # the document cannot be asked any more: what was known last


def test_new_work_ends_redo():
    doc = ck.Doc()
    stack = doc.undo_stack()
    doc["a"] = 1
    stack.undo()
    assert stack.can_redo
    doc["b"] = 2
    assert not stack.can_redo and stack.redo() is False and doc == {"b": 2}
    assert stack.undo() and doc == {} and not stack.undo()


def test_only_own_work():
    doc = ck.Doc()
    doc["t"] = ck.Text("base")
    doc["l"] = ["x"]
    other = doc.fork(ck.Identity.generate())
    stack = doc.undo_stack()
    doc["t"].insert(4, " mine")
    doc["l"].append("mine")
    doc.commit()
    other["t"].insert(0, "theirs ")
    other["l"].insert(0, "theirs")
    other["k"] = 1
    doc.merge(other)
    same_key = doc.fork()
    same_key["elsewhere"] = 1
    doc.merge(same_key)
    assert stack.undo() and doc == {"t": "theirs base", "l": ["theirs", "x"], "k": 1, "elsewhere": 1}
    assert not stack.undo()
    other.merge(doc)
    assert other == doc
    assert stack.redo() and doc["t"] == "theirs base mine" and doc["l"] == ["theirs", "x", "mine"]


def test_steps_without_effect_are_skipped():
    doc = ck.Doc()
    stack = doc.undo_stack()
    doc["a"] = 1
    doc.commit()
    doc["l"] = [1, 2]
    doc.commit()
    doc["l"].append(3)
    doc.commit()
    other = doc.fork(ck.Identity.generate())
    del other["l"]
    doc.merge(other)
    assert doc == {"a": 1}
    assert stack.can_undo and stack.undo() and doc == {} and not stack.undo()


def test_scope():
    doc = ck.Doc()
    doc["a"], doc["b"] = ck.Text("a"), {"in": [1]}
    stack, both = doc.undo_stack(doc["a"]), doc.undo_stack([doc["a"], doc["b"]["in"]])
    with doc.change():
        doc["a"] += "1"
        doc["b"]["in"].append(2)
        doc["b"]["x"] = 1
    doc["c"] = 1
    doc.commit()
    assert stack.undo() and doc == {"a": "a", "b": {"in": [1, 2], "x": 1}, "c": 1} and not stack.undo()
    assert stack.redo() and doc["a"] == "a1"
    doc["b"]["in"].append(3)
    assert both.undo() and doc["b"]["in"] == [1, 2]
    for wrong in ([5], ck.Map(), ck.Doc(), [ck.Text()], "c", ("b", "x"), 5):
        with pytest.raises(TypeError):
            doc.undo_stack(wrong)
    for nowhere in ("zz", ("b", "zz"), [("b", "zz")]):
        with pytest.raises(KeyError):
            doc.undo_stack(nowhere)
    by_path, by_paths = doc.undo_stack(("b", "in")), doc.undo_stack(["a", ("b", "in")])
    doc["a"] += "2"
    doc["b"]["in"].append(4)
    doc.commit()
    assert by_path.undo() and doc["b"]["in"] == [1, 2] and doc["a"] == "a12" and by_path.redo()
    doc["b"]["y"] = 1
    doc["a"] += "3"
    doc.commit()
    assert by_paths.undo() and doc["a"] == "a12" and doc["b"]["y"] == 1
    everything = doc.undo_stack(doc)
    doc["z"] = 1
    assert everything.undo() and "z" not in doc


def test_interval():
    now = [1000]
    doc = ck.Doc(clock=clock_of(now))
    stack = doc.undo_stack(interval=2.0)
    for time, key in ((1000, "a"), (2500, "b"), (4400, "c"), (6400, "d"), (6500, "e")):
        now[0] = time
        doc[key] = 1
        doc.commit()
    assert stack.undo() and sorted(doc) == ["a", "b", "c"] and stack.undo() and doc == {} and not stack.undo()
    assert stack.redo() and stack.redo() and len(doc) == 5
    plain = doc.undo_stack()
    doc["x"] = 1
    doc.commit()
    doc["y"] = 1
    assert plain.undo() and "x" in doc and "y" not in doc
    with pytest.raises(ValueError):
        doc.undo_stack(interval=-1)


def test_group():
    doc = ck.Doc()
    stack = doc.undo_stack()
    doc["before"] = 1
    with stack.group():
        doc["a"] = 1
        doc.commit()
        with doc.change():
            doc["b"] = 2
        with stack.group():
            doc["c"] = 3
    doc["after"] = 1
    assert stack.undo() and sorted(doc) == ["a", "b", "before", "c"]
    assert stack.undo() and doc == {"before": 1} and stack.redo() and len(doc) == 4
    with pytest.raises(KeyError), stack.group():
        doc["x"] = 1
        raise KeyError
    assert stack.undo() and "x" not in doc
    with stack.group():
        pass
    assert not stack.can_redo or stack.redo()


def test_observers_that_raise_lose_no_step():
    doc = ck.Doc()
    stack = doc.undo_stack()
    doc["a"] = 1
    doc.commit()

    def broken(event):
        raise ZeroDivisionError

    with doc.observe(broken), pytest.raises(ExceptionGroup):
        stack.undo()
    assert doc == {} and stack.redo() and doc == {"a": 1} and stack.undo() and doc == {}


def test_two_stacks_and_events():
    doc = ck.Doc()
    one, two = doc.undo_stack(), doc.undo_stack()
    seen = []
    doc.observe(seen.append)
    doc["a"] = 1
    one.undo()
    assert [event.is_local for event in seen] == [True, True]
    assert two.undo() and doc == {"a": 1}


@pytest.mark.parametrize("seed", range(20))
def test_random_work_alone(seed):
    rng = random.Random(seed)
    doc = ck.Doc()
    doc["l"] = [1, {"a": 1}, ck.Text("abc")]
    stack = doc.undo_stack()
    states = [doc.to_py()]
    for _ in range(25):
        edit(doc, rng)
        doc.commit()
        if doc.to_py() != states[-1]:
            states.append(doc.to_py())
    at = len(states) - 1
    for _ in range(60):
        before = doc.to_py()
        if rng.random() < 0.6:
            stack.undo()
        else:
            stack.redo()
        if doc.to_py() == before:
            continue
        assert doc.to_py() in states
    while stack.undo():
        pass
    assert doc.to_py() == states[0]
    while stack.redo():
        pass
    assert doc.to_py() == states[at] and ck.Doc.load(doc.save()) == doc


def test_many_times():
    """Who replaced what is asked for each restore: the answer of before is remembered, or this would take minutes."""
    doc = ck.Doc()
    doc["k"] = 0
    doc["l"] = [0]
    doc.commit()
    stack = doc.undo_stack()
    for i in range(1, 300):
        with doc.change():
            doc["k"] = i
            doc["l"][0] = i
        assert stack.undo()
        assert (doc["k"], doc["l"].to_py()) == (0, [0])
    other = ck.Doc.load(doc.export())
    assert other.to_py() == doc.to_py() and other.root == doc.root
    with other.change():
        other["k"] = -1
    doc.apply(other.export(since=doc.heads))
    assert doc.to_py() == other.to_py() == {"k": -1, "l": [0]}


def test_deleted_and_restored_many_times():
    """At a version that is not all of it, too."""
    doc = ck.Doc()
    doc["t"] = ck.Text("abc" * 5)
    doc.commit()
    aside = doc.fork(ck.Identity.generate())
    aside["x"] = 1
    other = ck.Doc.load(aside.export())
    stack, heads = doc.undo_stack(), []
    for i in range(40):
        del doc["t"][i % 5 : 10]
        doc.commit()
        heads.append((doc.heads, str(doc["t"])))
        assert stack.undo()
        heads.append((doc.heads, "abc" * 5))
    assert not other.apply(doc.export()).void
    assert other["t"] == "abc" * 5
    for of, text in heads:
        assert str(other.at(of)["t"]) == str(doc.at(of)["t"]) == text


@pytest.mark.parametrize(
    "act",
    [
        lambda d: d["l"].pop(1),
        lambda d: d["l"].move(0, 2),
        lambda d: d["l"].reverse(),
        lambda d: d["l"].clear(),
        lambda d: d["m"].pop("k"),
        lambda d: d["m"].__setitem__("k", 5),
        lambda d: d.__delitem__("m"),
        lambda d: d["c"].increment(5),
        lambda d: d["s"].discard(1),
        lambda d: d.clear(),
    ],
)
def test_undo_and_redo_of_any_edit(act):
    doc = ck.Doc()
    doc.update(l=[1, {"a": 1}, 3], m={"k": {"z": [1]}}, c=ck.Counter(3), s={1, 2})
    stack, handle, before = doc.undo_stack(), doc["l"][1], doc.to_py()
    act(doc)
    after = doc.to_py()
    assert stack.undo() and doc == before and doc["l"][1] is handle and handle == {"a": 1}
    assert stack.redo() and doc == after
    assert stack.undo() and doc == before and not stack.undo()
