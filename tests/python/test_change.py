import copy
import pickle

import pytest

import crdtkv as ck
from crdtkv import testing
from shown.html import checked


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


# ---- what changes and reports say goes anywhere


def twins(thing):
    assert copy.copy(thing) is thing is copy.deepcopy(thing)
    return [pickle.loads(pickle.dumps(thing, n)) for n in (2, 5)]


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_a_change_is_copied_and_pickled_without_its_document(kind):
    said = [name for name in dir(ck.Change) if name[0] != "_"] + ["_has_twin"]
    assert len(said) == 13
    here = kind()
    here["x"] = "x" * 100_000
    here.commit()
    for bundle in testing.Forger(here, ck.Identity.generate()).fork(None, None):
        here.apply(bundle)
    here["y"] = 2
    here.commit()
    changes = here.changes()
    assert len(changes) == 4 and any(c._has_twin for c in changes) and any(c.parents for c in changes)
    for change in changes:
        for twin in twins(change):
            assert type(twin) is ck.Change and twin == change and hash(twin) == hash(change)
            assert [getattr(twin, name) for name in said] == [getattr(change, name) for name in said]
            assert repr(twin) == repr(change) and checked(twin._repr_html_())
    data = pickle.dumps(changes)
    assert len(data) < 5000 and pickle.loads(data) == changes == copy.deepcopy(changes)
    del here, changes
    assert [c.seq for c in pickle.loads(pickle.dumps(pickle.loads(data)))] == [0, 0, 0, 1]
    checked(pickle.loads(data)._repr_html_())


def test_what_was_no_change_is_refused():
    doc = ck.Doc()
    doc["x"] = 1
    told, (fields,) = doc.commit().__reduce__()
    assert told(fields).n_ops == 1
    bad = [None, [], (), fields[:-1], (*fields, 1)]
    for i in range(len(fields)):
        bad += [(*fields[:i], wrong, *fields[i + 1 :]) for wrong in (1.5, b"short", [], ("x",), (b"short",))]
    for wrong in bad:
        with pytest.raises(ValueError, match="no change"):
            told(wrong)


def test_a_report_is_copied_and_pickled():
    doc, store = ck.Doc(), ck.Store("a")
    other, mallory = doc.fork(), testing.Forger(doc, ck.Identity.generate())
    doc["x"] = 1
    store["x"], store[b"x"] = 1, 2
    reports = [other.apply(doc.export()), other.apply(doc.export()), other.apply(mallory.forge(signature=bytes(64)))]
    reports.append(ck.Store("b").integrate_diff(store.build_diff(ck.Store("b").request_diff())))
    assert reports[3].applied == ("x", b"x") and reports[2].refused and reports[1].known == 1
    for report in reports:
        for twin in twins(report):
            assert type(twin) is ck.Report and repr(twin) == repr(report) and bool(twin) is bool(report)
            for name in ["applied", "void", "waiting", "refused", "known"]:
                assert getattr(twin, name) == getattr(report, name)
            assert twin == report and hash(twin) == hash(report) and twin != report.applied
            checked(twin._repr_html_())
    assert len(set(reports)) == 4 and reports[0] != reports[1]
    told, parts = reports[0].__reduce__()
    for wrong in ((), parts[:-1], (*parts[:-1], -1), (*parts[:-1], "x"), ([], *parts[1:])):
        with pytest.raises((TypeError, OverflowError)):
            told(*wrong)
