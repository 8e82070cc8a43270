"""Each type's story, over and over: the number of allocated blocks must not drift."""

import copy
import gc
import pickle
import sys
from contextlib import suppress

import pytest

import crdtkv as ck


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


@pytest.mark.parametrize(
    "story",
    [doc_story, text_story, block_story, change_story, exchange_story, view_story, identity_story],
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
