"""Many authors who write at once and meet in one place: what they build on travels, however often it is named."""

import pytest

import crdtkv as ck

N = 100


def meet_in(first, others):
    """Everybody brings his, then everybody takes all: as bundles."""
    for other in others:
        report = first.apply(other.export(first.heads))
        assert not report.refused and not report.waiting
    for other in others:
        report = other.apply(first.export(other.heads))
        assert not report.refused and not report.waiting


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_a_hundred_writers_who_build_on_a_hundred_heads(kind, tmp_path):
    """Their changes name the same hundred parents, again and again: some thousands of names in few bytes."""
    first = kind()
    others = [kind(id=first.id) for _ in range(N)]
    for turn in range(2):
        for i, other in enumerate(others):
            other[f"{turn}/{i}"] = i
        meet_in(first, others)
        assert len({one.root for one in (first, *others)}) == 1 and len(first) == N * (turn + 1)
    assert kind.load(first.save()) == first
    with ck.Database(tmp_path / "a.db") as db:
        db.add("notes", first)
    with ck.Database(tmp_path / "a.db") as db:
        kept = db.doc("notes") if kind is ck.Doc else db.datastore("notes")
        assert dict(kept) == dict(others[0])
        assert ck.sync(kept, others[0]).changes == 0 and db.check() == []
