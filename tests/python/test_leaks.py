"""Each type's story, over and over: the number of allocated blocks must not drift."""

import copy
import gc
import pickle
import sys
from contextlib import suppress

import pytest

import crdtkv as ck
from crdtkv import _core


def doc_story():
    doc = ck.Doc()
    doc["a"], doc["b"], doc["c"] = 1, "xä😀" * 9, b"z"
    del doc["a"]
    doc.get("b"), "b" in doc, list(doc), dict(doc), doc.to_py(), repr(doc), doc.stats(), doc.root
    doc.pop("b"), doc.setdefault("d", 1.5), doc.popitem(), doc == {}
    for wrong in (
        lambda: doc["no"],
        lambda: doc.__setitem__("k", {}),
        lambda: doc.__setitem__(5, 1),
        lambda: doc.apply(b"x"),
    ):
        with suppress(KeyError, TypeError, ck.DecodeError):
            wrong()
    copy.copy(doc), pickle.loads(pickle.dumps(doc))


def text_story():
    doc = ck.Doc()
    t = doc["t"] = ck.Text("hello")
    t.insert(0, "x"), t.delete(0), t.splice(0, 1, "J"), t.splices([(0, 0, "a"), [0, 1, "b"]]), t.update("Hello, you")
    t += "!"
    t[1:3] = "uu"
    del t[::2]
    (
        str(t),
        t[0],
        t[1:2],
        list(t),
        list(reversed(t)),
        t.find("u"),
        t.split(),
        "u" in t,
        repr(t),
        t == "x",
        t + "y",
        "y" + t,
    )
    copy.copy(t), pickle.loads(pickle.dumps(t)), t.blame(), f"{t:>5}"
    for wrong in (
        lambda: t.insert(99, "x"),
        lambda: t.insert(0, "\ud800"),
        lambda: t.splices([(0, 0)]),
        lambda: t.find(5),
    ):
        with suppress(IndexError, ValueError, TypeError):
            wrong()
    del doc["t"]
    with suppress(ck.StaleHandleError):
        str(t)
    doc["u"] = t


def block_story():
    doc = ck.Doc()
    doc["lone"] = 1
    with doc.change("m"):
        doc["t"] = ck.Text("x")
        with doc.change():
            doc["a"] = 1
    try:
        with doc.change():
            doc["u"] = ck.Text("y")
            raise KeyError
    except KeyError:
        pass


def change_story():
    doc = ck.Doc(clock=lambda: 5)
    doc["a"] = 1
    c = doc.commit("message")
    c.id, c.author, c.lane, c.seq, c.prev, c.parents, c.time, c.message, c.n_ops, c.signed, c.void, repr(c), hash(c)
    assert doc.changes() == [c] and doc.changes(until=doc.heads)


def exchange_story():
    a = ck.Doc()
    b = a.fork()
    a["t"], b["x"] = ck.Text("x"), 1
    report = a.merge(b)
    report.applied, report.refused, repr(report)
    b.apply(a.export(b.heads)), a.waiting, a.missing, a.equivocations()
    with a.observe_equivocations(print):
        a.apply(b.export())


def view_story():
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    then = doc.heads
    doc["t"].insert(0, "x")
    doc["n"] = 1
    view = doc.at(then)
    view["t"], view.to_py(), view == doc, str(view["t"]), repr(view)
    doc.diff(then, doc.heads)
    with suppress(KeyError):
        doc.at([bytes(32)])


def identity_story():
    me = ck.Identity.generate()
    me.public_key, repr(me), hash(me), me == me, ck.Identity.from_seed(bytes(32))
    ck.Identity._unseal(me._seal(None), None)
    for wrong in (lambda: ck.Identity.from_seed(b""), lambda: pickle.dumps(me), lambda: ck.Identity._unseal(b"", None)):
        with suppress(ValueError, TypeError):
            wrong()


def container_story():
    doc = ck.Doc()
    doc["m"] = {"l": [1, {"x": "ä"}, 3.5], "s": {1, b"y"}, "c": ck.Counter(2**66), "t": ck.Text("hello")}
    m = doc["m"]
    items, s, c = m["l"], m["s"], m["c"]
    items.append([]), items.insert(0, "a"), items.extend([{}, 1]), items.move(0, 2), items.reverse(), items.pop(0)
    items[1:3] = [{"k": 1}]
    items[::2] = items[::2]
    del items[::3]
    items.sort(key=str)
    list(items), items[0], items[-1:], items == [], items * 2, items + items, repr(items), items.conflicts(0)
    s.add(2), s.discard(1), s.update("ab"), list(s), 1 in s, s | {5}, repr(s)
    c += 5
    int(c), c + 1, c == 7, repr(c), f"{c}"
    m.pop("l"), m.setdefault("d", [1]), m.conflicts("d"), m.history("l"), list(m.items()), m.to_py(), m | {}, repr(m)
    for one in (ck.Map({"a": [ck.Text("x")]}), ck.List([1, {}]), ck.Set([1]), ck.Counter(3)):
        copy.copy(one), pickle.loads(pickle.dumps(one)), repr(one)
        m["new"] = {"deep": [one, (one, 1)]}
        copy.copy(one), pickle.dumps(one), one.to_py()
    try:
        with doc.change():
            doc["u"] = [ck.Map(a=1)]
            raise KeyError
    except KeyError:
        pass
    cycle = ck.Map()
    cycle_in = ck.List([cycle])
    for wrong in (
        lambda: doc.__setitem__("k", {"a": [1, {"b": 1j}]}),
        lambda: doc.__setitem__("k", [2**80]),
        lambda: items.append({"a": {5: 1}}),
        lambda: cycle.__setitem__("x", cycle_in),
        lambda: doc.__setitem__("k", cycle),
        lambda: s.add([]),
        lambda: m["nope"],
    ):
        with suppress(KeyError, TypeError, OverflowError, ck.LimitError, ck.StaleHandleError):
            wrong()


def event_story():
    doc = ck.Doc()
    seen = []
    with doc.observe(seen.append), doc.observe(seen.append, ("m",)):
        doc["m"] = {"l": [1, 2]}
        doc.commit()
        with doc["m"]["l"].observe(seen.append), doc.change(origin=object()):
            doc["m"]["l"].move(0, 1)
            doc["m"]["l"].append({"x": "y"})
    doc.diff((), doc.heads)
    stack = doc.undo_stack(doc["m"])
    doc["m"]["l"].clear()
    stack.undo(), stack.redo(), stack.can_undo, repr(stack)
    doc["t"] = ck.Text("hello")
    t = doc["t"]
    t.mark(0, 2, "b", True), t.unmark(0, 1, "b"), t.spans()
    place = t.cursor(2)
    place.index, place.container, ck.Cursor.decode(place.encode(), doc) == place, repr(place), hash(place)
    view = doc.at(doc.heads)
    view["m"]["l"], view["t"].spans(), view["t"].blame(), view.to_py(), view.conflicts("m")


def store_story():
    s = ck.Store("me", clock=lambda: 5)
    s["a"], s[b"b"], s["c"], s["d"] = 1, "xä😀" * 9, b"z" * 1000, [1, {"x": (None, 2.5)}]
    del s["a"]
    s.update({"e": {}}, f=[1]), s.setdefault("g", [2]), s.setdefault("g"), s.pop("f"), s.pop("no", None), s.get("d")
    list(s), list(reversed(s)), s.keys() & {"c"}, list(s.items("c")), list(s.values(start="c")), len(s.keys(b"b"))
    (
        s["c":],
        s.to_py(),
        s.entries(),
        s.conflicts("d"),
        s | {"q": 1},
        s == {},
        repr(s),
        s.stats(),
        s.peer_id,
        s.incarnation,
    )
    (s.clock.now(), s.clock.last, repr(s.clock)), s.copy(), pickle.loads(pickle.dumps(s)), s.popitem()
    walk = iter(s.items())
    next(walk)
    del s["d":"e"]
    for wrong in (
        lambda: next(walk),
        lambda: s["no"],
        lambda: s.__setitem__("k", {5: 1}),
        lambda: s.__setitem__("k", [2**80]),
        lambda: s.update(a=1, b={1}),
        lambda: s[5],
        lambda: s["a":"b":2],
        lambda: ck.Store("x" * 256),
        lambda: ck.Store("x", incarnation=b"y"),
        lambda: ck.Store("x", clock=lambda: "y").update(a=1),
        lambda: ck.Store.load(s.save()[:-1]),
        lambda: s.integrate_ops([s.insert_with_op("x", [1]), 5]),
        lambda: s.integrate_diff(b"x"),
    ):
        with suppress(KeyError, TypeError, OverflowError, RuntimeError, ValueError, ck.LimitError):
            wrong()
    s.clear()


def store_exchange_story():
    a, b, c = ck.Store("a"), ck.Store("b"), ck.Store("c")
    seen = []
    with b.observe(seen.append), b.observe(seen.append, "l"):
        a["x"], b["x"] = 1, 2
        request = b.request_diff()
        diff = a.build_diff(request)
        report = b.integrate_diff(diff)
        report.applied, report.refused, report.waiting, repr(report), bool(report)
        ck.Store.advance_request(request, diff), b.index_size()
        ops = [a.insert_with_op("l", [1]), a.remove_with_op("l"), a.insert_with_op("m", {})]
        c.integrate_ops(reversed(ops)).waiting, c.integrate_op(ops[0]), c.integrate_diff(a.build_diff(c.request_diff()))
        x, y = a.opset(), b.opset()
        c.integrate_opset(ck.Store.merge_opsets(x, y))
    left, right = a.session(), b.session()
    right.receive(left.send()), left.receive(right.send()), left.done, left.store, left.stats(), repr(left)
    with suppress(ck.DecodeError):
        right.receive(b"x")
    ck.sync(a, c)
    with suppress(ExceptionGroup), a.observe(lambda event: 1 / 0):
        a["y"] = 1


def transaction_story():
    s = ck.Store()
    with s.transaction() as t:
        t["x"], t["y"] = 1, [2]
        del t["x"]
        t.update(z=3), list(t.items()), repr(t), t.setdefault("w", {}), t.popitem(), t == s
        walk = iter(t)
        next(walk)
    with suppress(ck.StaleHandleError):
        next(walk)
    with suppress(ck.StaleHandleError):
        t["x"] = 1
    t = s.begin()
    t["k"] = "v"
    with suppress(RuntimeError):
        s["x"] = 1
    t.commit_with_ops()
    with suppress(ZeroDivisionError), s.transaction() as t:
        t["q"] = 1 / 0
    dropped = s.begin()
    dropped["x"] = [1]


def file_story():
    file = _core.File(None)
    file.begin()
    file.run("INSERT INTO record(object, kind, data) VALUES (?, ?, ?)", 1, 2, b"x")
    file.commit()
    file.run("SELECT * FROM record"), file.check(), file.size(), file.version(), file.closed, file.poisoned
    file.set_key(ck.Identity.from_seed(bytes(32)))
    for wrong in (
        lambda: file.run("SELECT ?", 1.5),
        lambda: file.run("nonsense"),
        lambda: file.run("DELETE FROM record"),
        lambda: _core.File("/nowhere/x"),
    ):
        with suppress(TypeError, RuntimeError, OSError):
            wrong()
    file.close()
    with suppress(ck.StaleHandleError):
        file.run("SELECT 1")


def database_story():
    with ck.Database(":memory:") as db:
        doc, kv, store = db.doc("d"), db.datastore("k"), db.store("s")
        doc["a"], kv["a"], store["a"] = 1, 1, 1
        db.commit(), db.names(), db.stats(), db.check(), repr(db)
        db.add("e", ck.Doc())
        db.delete("d")
        for wrong in (lambda: db.doc("s"), lambda: db.delete("d"), lambda: doc["a"], lambda: db.doc("k", id=b"")):
            with suppress(TypeError, KeyError, ValueError, ck.StaleHandleError):
                wrong()


def look_story():
    """What displays ask for: nothing is read that is not shown, and nothing is kept."""
    doc = ck.Doc()
    doc["m"], doc["l"], doc["s"], doc["t"] = {"a": {}}, [1, [2]], {b"x"}, ck.Text("hello")
    before = doc.commit()
    doc["t"] += "!"
    past = doc.at([before.id])
    doc["t"] += "?"
    for container in (doc, doc["m"], doc["l"], doc["s"], past["m"], past["l"]):
        container._some(2)
    for text in (doc["t"], past["t"], ck.Text("x")):
        text._look(3)
    doc._newest(5), doc._change(before.id), doc._change(bytes(32)), doc._letters(5), before._has_twin
    kv = ck.Datastore()
    kv["x"] = 1
    kv.counter("n").increment()
    kv._newest(5), kv._change(kv.commit().id), kv._letters(5), kv._glance(), kv.counter("n").by_author()
    for wrong in (
        lambda: doc._newest(-1),
        lambda: doc._change(b"x"),
        lambda: doc["t"]._some(1),
        lambda: kv._letters("x"),
    ):
        with suppress(ValueError, TypeError):
            wrong()
    for shown in (doc, doc["t"], doc.stats(), before, kv):
        shown._repr_html_()


@pytest.mark.parametrize(
    "story",
    [
        look_story,
        file_story,
        database_story,
        store_story,
        store_exchange_story,
        transaction_story,
        container_story,
        event_story,
        doc_story,
        text_story,
        block_story,
        change_story,
        exchange_story,
        view_story,
        identity_story,
    ],
    ids=lambda story: story.__name__,
)
def test_blocks_do_not_drift(story):
    def blocks():
        for _ in range(3):
            gc.collect()
        return sys.getallocatedblocks()

    for _ in range(50):
        story()
    best = 10**9
    for _ in range(20):  # caches of Python's own fill for a while; a leak never ends
        before = blocks()
        for _ in range(200):
            story()
        best = min(best, blocks() - before)
        if best < 20:
            break
    assert best < 20


def test_document_in_a_cycle_is_collected():
    import weakref

    class Doc(ck.Doc):
        pass

    cycle = []
    doc = Doc(clock=lambda: len(cycle))  # noqa: F821
    cycle.append(doc)
    doc.t = ck.Text("x")
    doc["t"] = doc.t
    ref = weakref.ref(doc)
    del doc, cycle
    gc.collect()
    assert ref() is None


def test_store_in_a_cycle_is_collected():
    import weakref

    class Store(ck.Store):
        pass

    cycle = []
    s = Store(clock=lambda: len(cycle))  # noqa: F821
    s.observe(lambda event: cycle)  # noqa: F821
    s["x"] = 1
    cycle += [s, iter(s), s.begin(), s.clock]
    ref = weakref.ref(s)
    del s, cycle
    gc.collect()
    assert ref() is None
