import pickle

import pytest

import crdtkv as ck


def two():
    doc = ck.Doc(ck.Identity.from_seed(bytes(32)), clock=lambda: 1_700_000_000_000)
    doc["a"] = 1
    first = doc.commit()
    doc["t"] = ck.Text("xyz")
    return doc, first, doc.commit("second")


def test_attributes():
    doc, first, second = two()
    assert first.seq == 0 and second.seq == 1 and first.prev is None and second.prev == first.id
    assert first.author == second.author == doc.identity.public_key
    assert first.lane == second.lane and len(first.lane) == len(first.id) == 32
    assert first.parents == second.parents == () and first.time == 1_700_000_000_000
    assert (first.message, second.message) == (None, "second")
    assert (first.n_ops, second.n_ops) == (1, 4)
    assert first.void is None and not first.signed
    doc.export()
    assert first.signed and second.signed
    with pytest.raises(AttributeError):
        first.seq = 5
    with pytest.raises(TypeError):
        type(first)()


def test_parents_are_the_other_heads_sorted():
    doc, _, second = two()
    forks = [doc.fork() for _ in range(3)]
    for i, fork in enumerate(forks):
        fork[f"f{i}"] = i
        doc.merge(fork)
    doc["join"] = 1
    change = doc.commit()
    assert change.prev == second.id and change.parents == tuple(sorted(f.heads[0] for f in forks))


def test_changes_since_and_until():
    doc, first, second = two()
    assert doc.changes() == [first, second] and isinstance(doc.changes(), list)
    assert doc.changes(since=[first.id]) == [second] == doc.changes([first.id])
    assert doc.changes(until=[first.id]) == [first] and doc.changes(until=()) == []
    assert doc.changes(since=[bytes(32)]) == [first, second]
    with pytest.raises(KeyError):
        doc.changes(until=[bytes(32)])
    with pytest.raises((TypeError, ValueError)):
        doc.changes(since=[b"short"])


def test_equality_and_hash():
    doc, first, second = two()
    assert first == doc.changes()[0] and first != second and len({first, second, *doc.changes()}) == 2
    assert first == ck.Doc.load(doc.save()).changes()[0] and first != first.id


def test_repr_is_short():
    doc, first, _ = two()
    assert first.id.hex()[:8] in repr(first) and len(repr(first)) < 100
    doc["x"] = 1
    assert len(repr(doc.commit("m" * 10_000))) < 100


def test_change_outlives_the_name_of_its_document():
    _, first, _ = two()
    assert first.n_ops == 1


def test_not_pickled():
    with pytest.raises(TypeError):
        pickle.dumps(two()[1])
