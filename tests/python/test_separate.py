"""Two objects that were made separately, and taken for replicas of one: every way says so, and what helps instead."""

import pytest

import crdtkv as ck

HELPS = r"fork(\(\))?, .*save(\(\))? and load.* or .*id"
kinds = pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])


def talk(a, b):
    a, b = a.session(), b.session()
    for _ in range(9):
        for one, other in ((a, b), (b, a)):
            while message := one.send():
                other.receive(message)


WAYS = {
    "apply": (ck.DecodeError, "bundle .*of another", lambda a, b: a.apply(b.export())),
    "merge": (ck.DecodeError, "a replica of another", lambda a, b: a.merge(b)),
    "save": (ck.DecodeError, "bundle .*of another", lambda a, b: a.apply(b.save())),
    "session": (ck.SyncError, "the other end has another", talk),
    "sync": (ck.Error, "two different", ck.sync),
}


@kinds
@pytest.mark.parametrize("way", WAYS)
def test_the_error_says_what_helps(kind, way):
    error, words, do = WAYS[way]
    a, b = kind(), kind()
    a["x"], b["y"] = 1, 2
    before = a.root, b.root
    with pytest.raises(error, match=f"{words}.*{HELPS}") as caught:
        do(a, b)
    assert type(caught.value) is error and len(str(caught.value)) < 200
    assert (a.root, b.root) == before and not a.equivocations() and dict(a) == {"x": 1}


@kinds
@pytest.mark.parametrize("make", ["fork", "load", "id"])
def test_what_helps_does(kind, make):
    a = kind()
    a["x"] = 1
    b = {"fork": a.fork, "load": lambda: kind.load(a.save()), "id": lambda: kind(id=a.id)}[make]()
    ck.sync(a, b)
    b["y"] = 2
    assert a.merge(b) and a == b == {"x": 1, "y": 2}
