"""One Doc or Store on both sides of os.fork(): parent and child go on, each as somebody of its own."""

import os
import struct
import sys
import traceback

import pytest

import crdtkv as ck

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


PARENTS = {}  # pipe that a parent reads -> its process: it writes first


def put(fd, data):
    data = struct.pack("<I", len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def get(fd):
    def exactly(n):
        data = b""
        while len(data) < n:
            part = os.read(fd, n - len(data))
            assert part, "the other side has gone"
            data += part
        return data

    return exactly(struct.unpack("<I", exactly(4))[0])


def both(in_child, in_parent):
    """Runs one function on each side of a fork; they get (read, write) ends of pipes to each other."""
    to_child, to_parent = os.pipe(), os.pipe()
    PARENTS[to_parent[0]] = os.getpid()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(to_child[1])
            os.close(to_parent[0])
            in_child(to_child[0], to_parent[1])
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(to_child[0])
    os.close(to_parent[1])
    try:
        in_parent(to_parent[0], to_child[1])
    finally:
        os.close(to_parent[0])
        os.close(to_child[1])
        _, status = os.waitpid(pid, 0)
    assert status == 0, "the child failed; its words are above"


def swap(data, read, write, *, first):
    """Puts ours, gets theirs; not both sides at once, as a pipe holds little."""
    if first:
        put(write, data)
    theirs = get(read)
    if not first:
        put(write, data)
    return theirs


def exchange(doc, read, write):
    first = os.getpid() == PARENTS.get(read)
    report = doc.apply(swap(doc.export(), read, write, first=first))
    assert not report.refused and not report.void and not doc.waiting
    assert swap(doc.root, read, write, first=first) == doc.root
    assert doc.equivocations() == [] and doc.stats()["equivocations"] == 0


def close_by_commit(doc, who):
    doc[who] = 1
    doc.commit()


def close_by_look(doc, who):
    doc["t"].insert(0, who)
    assert doc.heads


def close_by_block(doc, who):
    with doc.change(who):
        doc[who] = 1
        doc["t"].delete(0)


def close_by_long_paste(doc, who):
    doc["t"].insert(0, who * (1 << 19))


def close_by_long_update(doc, who):
    doc["t"].update(who[0] * (1 << 21))


def close_by_long_splices(doc, who):
    doc["t"].splices([(0, 1, who * (1 << 18)), (0, 1, "x" * (1 << 20)), (5, 0, who)])


CLOSING = [
    close_by_commit,
    close_by_look,
    close_by_block,
    close_by_long_paste,
    close_by_long_update,
    close_by_long_splices,
]


@pytest.mark.parametrize("close", CLOSING)
@pytest.mark.parametrize("published", [True, False], ids=["published", "unsigned"])
def test_both_go_on(close, published):
    doc = ck.Doc()
    doc["t"] = ck.Text("hello")
    doc.commit()
    if published:
        doc.export()

    def child(read, write):
        for _ in range(3):
            close(doc, "child")
        exchange(doc, read, write)
        assert len({c.lane for c in doc.changes()}) == 2 == doc.stats()["lanes"]
        close(doc, "again")
        exchange(doc, read, write)

    def parent(read, write):
        lane = doc.changes()[0].lane
        for _ in range(3):
            close(doc, "parent")
        assert {c.lane for c in doc.changes()} == {lane}
        exchange(doc, read, write)
        close(doc, "too")
        assert doc.changes()[-1].lane == lane
        exchange(doc, read, write)

    both(child, parent)


def test_before_the_first_change():
    doc = ck.Doc()
    both(
        lambda r, w: (close_by_commit(doc, "child"), exchange(doc, r, w)),
        lambda r, w: (close_by_commit(doc, "parent"), exchange(doc, r, w)),
    )
    assert doc == {"child": 1, "parent": 1}


def test_a_change_that_was_open_closes_on_both_sides():
    doc = ck.Doc()
    doc["a"] = 1
    doc.commit()
    doc["b"] = 2
    doc["t"] = ck.Text("x")
    both(lambda r, w: exchange(doc, r, w), lambda r, w: exchange(doc, r, w))
    assert doc == {"a": 1, "b": 2, "t": "x"} and len(doc.changes()) == 3


def test_a_block_that_was_open_closes_on_both_sides():
    doc = ck.Doc()
    doc["a"] = 1
    doc.commit()
    here = {}
    block = doc.change()
    block.__enter__()
    doc["b"] = 2

    def close(read, write):
        block.__exit__(None, None, None)
        exchange(doc, read, write)
        here["changes"] = len(doc.changes())

    both(close, close)
    assert doc == {"a": 1, "b": 2} and here["changes"] == 3


def test_fork_in_the_child_of_a_child():
    doc = ck.Doc()
    doc["a"] = 1
    doc.commit()

    def leaf(read, write):
        close_by_commit(doc, "leaf")
        exchange(doc, read, write)

    def child(read, write):
        close_by_commit(doc, "child")
        both(leaf, lambda r, w: (close_by_commit(doc, "more"), exchange(doc, r, w)))
        assert doc.stats()["lanes"] == 3
        exchange(doc, read, write)

    both(child, lambda r, w: (close_by_commit(doc, "parent"), exchange(doc, r, w)))
    assert doc == {"a": 1, "leaf": 1, "child": 1, "more": 1, "parent": 1}


def test_a_replica_made_in_the_child_keeps_its_lane():
    doc = ck.Doc()
    doc["a"] = 1

    def child(read, write):
        mine = doc.fork()
        for i in range(3):
            mine[str(i)] = i
            mine.commit()
        assert mine.stats()["lanes"] == 2
        exchange(mine, read, write)

    both(child, lambda r, w: (close_by_commit(doc, "parent"), exchange(doc, r, w)))


def meet(store, read, write):
    """Both sides pull from each other, and are equal then."""
    first = os.getpid() == PARENTS.get(read)
    request = swap(store.request_diff(), read, write, first=first)
    report = store.integrate_diff(swap(store.build_diff(request), read, write, first=first))
    assert not report.refused and not report.waiting
    theirs = swap(store.save(), read, write, first=first)
    assert ck.Store.load(theirs).entries() == store.entries()


def test_a_store_goes_on_as_two_incarnations():
    store = ck.Store("me")
    store["a"] = 1
    before = store.incarnation

    def child(read, write):
        assert store.incarnation is None
        store["child"] = store["x"] = 1
        assert store.incarnation not in (None, before)
        meet(store, read, write)
        assert store.pop("a") == 1
        meet(store, read, write)

    def parent(read, write):
        assert store.incarnation == before
        store["parent"] = store["x"] = 2
        meet(store, read, write)
        meet(store, read, write)
        assert store.incarnation == before

    both(child, parent)
    assert store.keys() == {"child", "parent", "x"} and len(store.conflicts("x")) == 2


def test_a_transaction_that_was_open_ends_on_both_sides():
    store = ck.Store("me")
    store["a"] = 1
    here = {}
    t = store.begin()
    t["b"], t["a"] = 2, 3

    def commit(read, write):
        t.commit()
        meet(store, read, write)
        here["conflicts"] = len(store.conflicts("b"))
        store["b"] = 4
        meet(store, read, write)

    both(commit, commit)
    assert store == {"a": 3, "b": 4} and here["conflicts"] == 2


def test_a_store_that_only_reads_stays_who_it_is():
    store = ck.Store("me")
    both(lambda read, write: meet(store, read, write), lambda read, write: meet(store, read, write))
    assert store.incarnation is None and not store.request_diff()[2:-8]
