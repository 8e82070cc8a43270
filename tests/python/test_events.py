"""observe() and diff(): who is told what, and that mirrors which follow stay equal."""

import gc
import random
import threading
import weakref

import pytest

import crdtkv as ck
from crdtkv.patch import mirror
from house.edits import edit, typed


class Seen(list):
    """Collects events."""

    def __call__(self, event):
        self.append(event)

    @property
    def patches(self):
        return [patch for event in self for patch in event.patches]


def test_kinds_of_patches():
    doc = ck.Doc()
    doc.update({"m": {}, "l": [1, 2], "s": set(), "c": ck.Counter(1), "t": ck.Text("hello")})
    seen = Seen()
    doc.observe(seen)
    M = ck.MISSING

    def told(edit):
        seen.clear()
        edit()
        doc.commit()
        return seen.patches

    assert told(lambda: doc.__setitem__("x", 1)) == [ck.Patch((), "set", "x", M, 1)]
    assert told(lambda: doc.__setitem__("x", [2])) == [ck.Patch((), "set", "x", 1, [2])]
    assert told(lambda: doc.__delitem__("x")) == [ck.Patch((), "remove", "x", [2], M)]
    assert told(lambda: doc["m"].__setitem__("k", {"a": 1})) == [ck.Patch(("m",), "set", "k", M, {"a": 1})]
    assert told(lambda: doc["l"].extend([3, {"n": 1}])) == [ck.Patch(("l",), "insert", 2, M, [3, {"n": 1}])]
    assert told(lambda: doc["l"].__delitem__(slice(0, 2))) == [ck.Patch(("l",), "remove", 0, [1, 2], M)]
    assert told(lambda: doc["l"].__setitem__(0, "s")) == [ck.Patch(("l",), "set", 0, 3, "s")]
    assert told(lambda: doc["l"].move(0, 1)) in (
        [ck.Patch(("l",), "move", 0, M, 1)],
        [ck.Patch(("l",), "move", 1, M, 0)],
    )
    assert told(lambda: doc["l"][0].__setitem__("n", 2)) == [ck.Patch(("l", 0), "set", "n", 1, 2)]
    assert told(lambda: doc["t"].insert(5, "!")) == [ck.Patch(("t",), "insert", 5, M, "!")]
    assert told(lambda: doc["t"].delete(0, 2)) == [ck.Patch(("t",), "remove", 0, "he", M)]
    assert told(lambda: doc["t"].mark(0, 2, "b", True)) == [ck.Patch(("t",), "mark", (0, 2), {}, {"b": True})]
    assert told(lambda: doc["t"].unmark(0, 1, "b")) == [ck.Patch(("t",), "mark", (0, 1), {"b": True}, {})]
    assert told(lambda: doc["s"].add("a")) == [ck.Patch(("s",), "add", None, M, "a")]
    assert told(lambda: doc["s"].discard("a")) == [ck.Patch(("s",), "discard", None, "a", M)]
    assert told(lambda: doc["c"].increment(5)) == [ck.Patch(("c",), "count", None, 1, 6)]
    assert told(lambda: doc["s"].discard("nope")) == []


def test_event_says_who_and_what():
    doc = ck.Doc()
    other = doc.fork(ck.Identity.generate())
    seen = Seen()
    subscription = doc.observe(seen)
    doc["a"] = 1
    assert seen == []
    change = doc.commit()
    with doc.change("m", origin="the editor") as inside:
        inside["b"] = 2
        assert len(seen) == 1
    other["c"] = 3
    other.commit()
    other["d"] = 4
    doc.merge(other)
    one, two, three = seen
    assert (one.path, one.author, one.origin, one.is_local, one.changes) == (
        (), doc.identity.public_key, None, True, (change.id,),
    )  # fmt: skip
    assert two.origin == "the editor" and two.is_local and two.changes == (doc.changes()[1].id,)
    assert three.author == other.identity.public_key and not three.is_local and three.origin is None
    assert three.changes == tuple(c.id for c in other.changes()) and len(three.patches) == 2
    assert repr(subscription) == "<Subscription: on>"
    subscription.cancel()
    subscription.cancel()
    assert repr(subscription) == "<Subscription: over>"
    doc["e"] = 5
    doc.commit()
    assert len(seen) == 3


def test_one_event_per_run_of_an_author():
    doc = ck.Doc()
    doc["l"] = []
    ada, ben = doc.fork(ck.Identity.generate()), doc.fork(ck.Identity.generate())
    for _ in range(3):
        ada["l"].append("a")
        ada.commit()
    ben.merge(ada)
    for _ in range(2):
        ben["l"].append("b")
        ben.commit()
    seen = Seen()
    doc.observe(seen)
    doc.apply(ben.export())
    assert [(event.author == ada.identity.public_key, len(event.changes)) for event in seen] == [(True, 3), (False, 2)]
    assert seen.patches == [ck.Patch(("l",), "insert", 0, new=["a"] * 3), ck.Patch(("l",), "insert", 3, new=["b"] * 2)]


def test_no_effect_no_event():
    doc = ck.Doc()
    doc["x"] = 1
    seen = Seen()
    doc.observe(seen)
    with doc.change():
        doc["y"] = 1
        del doc["y"]
    with doc.change():
        pass
    with pytest.raises(KeyError), doc.change():
        doc["z"] = 1
        raise KeyError
    doc.apply(doc.export())
    assert seen == []


def test_paths():
    doc = ck.Doc()
    doc["a"] = {"b": {"c": 1}, "l": [{"x": 1}, {"x": 2}]}
    everything, below, leaf, word = Seen(), Seen(), Seen(), Seen()
    doc.observe(everything)
    doc.observe(below, ("a", "b"))
    doc.observe(leaf, path=["a", "l", 1])
    doc.observe(word, "a")
    doc["a"]["b"]["c"] = 2
    doc["other"] = 1
    doc["a"]["l"][1]["x"] = 3
    doc.commit()
    assert len(everything.patches) == 3 and [e.path for e in everything] == [()]
    assert below.patches == [ck.Patch(("a", "b"), "set", "c", 1, 2)] and below[0].path == ("a", "b")
    assert leaf.patches == [ck.Patch(("a", "l", 1), "set", "x", 2, 3)] and len(word.patches) == 2
    doc["a"]["b"] = 5
    doc.commit()
    assert below.patches[-1] == ck.Patch(("a",), "set", "b", {"c": 2}, 5)


def test_what_a_path_leads_to_comes_and_goes_with_what_it_is_in():
    doc = ck.Doc()
    theme, missing, second = Seen(), Seen(), Seen()
    doc.observe(theme, ("settings", "theme"))
    doc.observe(missing, ("settings", "nothing"))
    doc.observe(second, ("list", 1, "x"))
    doc["settings"] = {"theme": "dark"}
    doc["list"] = [{"x": 1}]
    doc.commit()
    assert theme.patches == [ck.Patch((), "set", "settings", ck.MISSING, {"theme": "dark"})] and second == []
    assert theme[0].path == ("settings", "theme") and isinstance(theme[0].patches, ck.PatchList)
    doc["list"] += [{"x": 2}, {"x": 3}]
    doc["settings"]["font"] = "serif"
    doc.commit()
    assert len(theme) == 1
    assert second.patches == [ck.Patch(("list",), "insert", 1, ck.MISSING, [{"x": 2}, {"x": 3}])]
    doc["list"].append({"y": 1})
    doc["list"].move(0, 2)
    doc.commit()
    assert len(second) == 1  # another item than the one at 1 was moved
    doc["list"].move(1, 0)
    doc.commit()
    assert [patch.kind for patch in second.patches[1:]] == ["move"]
    del doc["settings"], doc["list"][1:]
    doc.commit()
    doc["list"] = ck.Text("other")
    doc["list"].insert(1, "x")
    doc.commit()
    doc["list"].insert(1, "x")
    doc.commit()
    assert [patch.kind for patch in theme.patches[1:]] == ["remove"] and missing == []
    assert [patch.kind for patch in second.patches[2:]] == ["remove"]


def test_container_is_followed():
    doc = ck.Doc()
    doc["l"] = [{"n": 0}, {"n": 1}, {"n": 2}]
    two = doc["l"][2]
    seen = Seen()
    with two.observe(seen):
        with doc.change():
            two["n"] = "a"
            doc["l"].insert(0, "x")
            two["n"] = "b"
            doc["l"].move(3, 0)
            del doc["l"][1]
            two["m"] = 1
        assert [event.path for event in seen] == [("l", 0)]
        plain = {"n": 2}
        for patch in seen.patches:
            plain = mirror(plain, [ck.Patch((), patch.kind, patch.position, patch.old, patch.new)])
        assert plain == {"n": "b", "m": 1} == two
        doc["l"][1]["n"] = 5
        doc.commit()
        assert len(seen) == 1
        del doc["l"][0]
        doc["l"][0] = {"n": 9}
        doc.commit()
        assert len(seen) == 1
    texts = Seen()
    doc["t"] = ck.Text("x")
    doc["t"].observe(texts)
    doc["t"] += "y"
    doc.commit()
    assert texts.patches == [ck.Patch(("t",), "insert", 1, new="y")]
    with pytest.raises(TypeError):
        ck.Map().observe(print)
    with pytest.raises(TypeError):
        doc.observe(5)


def test_a_deleted_container_cannot_be_observed():
    doc = ck.Doc()
    doc["all"] = [ck.Text("x"), [], {}, {1}, ck.Counter(1)]
    handles = list(doc["all"])
    del doc["all"]
    for handle in handles:
        with pytest.raises(ck.StaleHandleError):
            handle.observe(print)


def test_what_a_callback_edits_is_told_afterwards():
    doc = ck.Doc()
    depth, order = [], []

    def echo(event):
        depth.append(1)
        assert len(depth) == 1
        for patch in event.patches:
            order.append((patch.position, patch.new))
            if patch.new < 3:
                doc["x"] = patch.new + 1
                doc.commit()
                doc["y" * patch.new] = 9
                assert doc.heads
        depth.pop()

    doc.observe(echo)
    doc["x"] = 1
    doc.commit()
    assert [new for position, new in order if position == "x"] == [1, 2, 3] and ("yy", 9) in order


def test_callbacks_see_the_whole():
    doc = ck.Doc()
    a = doc.fork(ck.Identity.generate())
    b = a.fork(ck.Identity.generate())
    a["a"] = 1
    b.merge(a)
    b["b"] = 1
    doc.observe(lambda event: sizes.append(len(doc)))
    sizes = []
    doc.merge(b)
    assert sizes == [2, 2]


def test_exceptions_are_gathered_and_undo_nothing():
    doc = ck.Doc()
    seen = Seen()

    def broken(event):
        raise ZeroDivisionError(event.patches[0].position)

    doc.observe(broken)
    doc.observe(seen)
    doc.observe(broken)
    for n, close in enumerate((doc.commit, doc.save, lambda: doc.heads, lambda: doc.change().__enter__().get("x"))):
        doc[f"k{n}"] = 1
        with pytest.raises(ExceptionGroup) as caught:
            close()
        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError] * 2
        assert len(seen) == n + 1 and f"k{n}" in doc
    with pytest.raises(ExceptionGroup), doc.change():
        doc["block"] = 1
    other = doc.fork(ck.Identity.generate())
    other["other"] = 1
    with pytest.raises(ExceptionGroup):
        doc.merge(other)
    assert doc["block"] == 1 and doc["other"] == 1 and len(seen) == 6 and doc == other


def test_cancel_from_within():
    doc = ck.Doc()
    calls = []

    def first(event):
        calls.append("first")
        one.cancel(), two.cancel()

    one = doc.observe(first)
    two = doc.observe(lambda event: calls.append("second"))
    doc["x"] = 1
    doc.commit()
    doc["x"] = 2
    doc.commit()
    assert calls == ["first"]
    with doc.observe(lambda event: calls.append("third")):
        doc["x"] = 3
        doc.commit()
    doc["x"] = 4
    doc.commit()
    assert calls == ["first", "third"]


def test_lone_edits_that_close_by_themselves_are_told():
    doc = ck.Doc()
    seen = Seen()
    doc.observe(seen)
    for i in range(40):
        doc[f"k{i}"] = b"x" * 100_000
    assert 2 <= len(seen) <= 5
    doc["t"] = ck.Text("x" * (3 << 20))
    doc["t"].update("y" * (3 << 20))
    doc.commit()
    plain = {}
    for event in seen:
        plain = mirror(plain, event.patches)
    assert plain == doc


def test_document_with_observers_is_collected():
    doc = ck.Doc()
    doc.observe(lambda event: doc)  # noqa: F821
    ref = weakref.ref(doc)
    del doc
    gc.collect()
    assert ref() is None


def test_threads():
    doc = ck.Doc()
    doc["l"] = []
    doc.commit()
    plain = [{"l": []}]

    def follow(event):
        plain[0] = mirror(plain[0], event.patches)

    doc.observe(follow)

    def work(n):
        for i in range(100):
            with doc.change():
                doc["l"].append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(doc["l"]) == 400
    doc["end"] = 1
    doc.commit()
    assert plain[0] == doc.to_py()


# ---- mirrors


@pytest.mark.parametrize("seed", range(25))
def test_mirrors_of_random_histories(seed):
    rng = random.Random(seed)
    docs = [ck.Doc()]
    docs[0]["l"] = [1, {"a": 1}, ck.Text("abc")]
    docs += [docs[0].fork(ck.Identity.generate()) for _ in range(2)]
    mirrors = [doc.to_py() for doc in docs]
    versions = [(docs[0], docs[0].heads)]

    def follow(n):
        def callback(event):
            mirrors[n] = mirror(mirrors[n], event.patches)
            assert event.patches

        return callback

    for n, doc in enumerate(docs):
        doc.observe(follow(n))
    for _ in range(40):
        doc = rng.choice(docs)
        if rng.random() < 0.25:
            doc.merge(rng.choice(docs))
        elif rng.random() < 0.3:
            try:
                with doc.change():
                    for _ in range(4):
                        edit(doc, rng)
                    if rng.random() < 0.3:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        else:
            edit(doc, rng)
        versions.append((doc, doc.heads))
        for doc, plain in zip(docs, mirrors):
            assert typed(plain) == typed(doc.to_py())
    for doc in docs:
        for other in docs:
            doc.merge(other)
    docs[0].merge(docs[-1])
    docs[-1].merge(docs[0])
    for doc, plain in zip(docs, mirrors):
        assert typed(plain) == typed(doc.to_py())
    doc = docs[0]
    contents = [doc.at(heads).to_py() for _, heads in versions]
    for _ in range(60):
        i, j = rng.randrange(len(versions)), rng.randrange(len(versions))
        patches = doc.diff(versions[i][1], versions[j][1])
        assert typed(mirror(contents[i], patches)) == typed(contents[j])
        assert not (i == j and patches)


def test_a_deep_path_is_made_of_the_same_strings_for_all_patches():
    """A key takes up to 4 KiB, and 250 of them stand above each patch: copies would be a megabyte a patch."""
    doc = ck.Doc()
    place = doc
    with doc.change():
        for n in range(200):
            place[f"{n}" * 1000] = {}
            place = place[f"{n}" * 1000]
        for n in range(50):
            place[f"c{n}"] = [{}]
    events = []
    with doc.observe(events.append), doc.change():
        for n in range(50):
            place[f"c{n}"][0]["x"] = n
    (event,) = events
    assert [patch.path[200:] for patch in event.patches] == [(f"c{n}", 0) for n in range(50)]
    for patches in (event.patches, doc.diff((), doc.heads), doc.diff(event.changes, ())):
        assert all(patch.path[k] is patches[0].path[k] for patch in patches for k in range(len(patches[0].path))[:200])
