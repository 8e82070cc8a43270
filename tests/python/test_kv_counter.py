"""Counters of a Datastore: exact, read like ints, nobody can change another one's part."""

import math
import pickle
import random

import pytest

import crdtkv as ck


def test_it_reads_like_an_int():
    kv = ck.Datastore()
    c = kv.counter("likes/42")
    assert c == 0 and not c and c.name == "likes/42" and c.by_author() == {}
    c += 5
    c -= 2
    c.increment()
    c.decrement(n=2)
    d = kv.counter("likes/42")
    assert int(c) == c.value == c == d == 2 and c + 1 == 3 == 1 + c and c < 3 and [0, 1, 2][c] == 2
    assert f"{c:03}" == "002" and str(c) == "2" and repr(c) == "<DatastoreCounter 'likes/42': 2>" and -c == -2
    assert math.floor(c) == 2 == round(c) == math.trunc(c) == math.ceil(c)
    assert float(c) == 2.0 and divmod(7, c) == (3, 1)
    assert c.by_author() == {kv.identity.public_key: 2} and "likes/42" not in kv and len(kv) == 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(c)
    with pytest.raises(TypeError, match="bound to its datastore"):
        pickle.dumps(c)
    with pytest.raises(TypeError, match=r"\+= and -= only"):
        c *= 2
    with pytest.raises(TypeError):
        c += 1.5
    with pytest.raises(TypeError):
        c.increment("x")
    with pytest.raises(TypeError):
        ck.DatastoreCounter()


def test_names_are_apart_from_keys_and_keep_their_type():
    kv = ck.Datastore()
    kv["x"] = "value"
    kv.counter("x").increment()
    kv.counter(b"x").increment(2)
    assert list(kv.counters()) == ["x", b"x"] and dict(kv.counters()) == {"x": 1, b"x": 2} and kv == {"x": "value"}
    del kv["x"]
    kv.clear()
    assert kv.counters()["x"] == 1 and "y" not in kv.counters() and b"x" in kv.counters("x")
    with pytest.raises(KeyError):
        kv.counters("y")["x"]
    with pytest.raises(KeyError):
        kv.counters()["y"]
    assert len(kv.counters()) == 2 and "2 names" in repr(kv.counters())


def test_amounts_fit_64_bits_totals_are_exact():
    kv = ck.Datastore()
    c = kv.counter("n")
    for amount in (2**63, -(2**63) - 1, 10**30):
        with pytest.raises(OverflowError):
            c.increment(amount)
        with pytest.raises(OverflowError):
            c -= amount
    for _ in range(3):
        c += 2**63 - 1
    c -= -(2**63)
    assert c == 3 * (2**63 - 1) + 2**63 == kv.fork().counter("n")
    c.decrement(-(2**63))
    assert c == 3 * (2**63 - 1) + 2**64 and kv.counters()["n"] == int(c)
    for _ in range(6):
        c -= 2**63 - 1
    c -= 2**63 - 1
    c.increment(-(2**63))
    assert c == -4 * (2**63 - 1) + 2**63 and dict(kv.counters())["n"] == int(c) == sum(c.by_author().values())


def test_each_author_has_a_part():
    a = ck.Datastore()
    b = a.fork(ck.Identity.generate())
    same = a.fork()  # another replica of the same author: a lane of its own
    for kv, n in ((a, 3), (b, -10), (same, 100)):
        kv.counter("n").increment(n)
    for kv in (b, same):
        a.merge(kv)
    assert a.counter("n") == 93
    assert a.counter("n").by_author() == {a.identity.public_key: 103, b.identity.public_key: -10}
    a.compact()
    b.merge(a)
    assert b.counter("n").by_author() == a.counter("n").by_author() and b.counters()["n"] == 93


def test_top():
    kv = ck.Datastore()
    rng = random.Random(1)
    totals = {f"views/{n}": rng.randrange(10**6) for n in range(200)}
    with kv.batch() as b:
        for name, n in totals.items():
            b.increment(name, n)
        b.increment("other", 10**9)
    best = sorted(totals.items(), key=lambda item: -item[1])
    assert kv.top(10, "views/") == best[:10] and kv.top(1) == [("other", 10**9)] and kv.top(0) == []
    assert kv.top(1000, "views/") == sorted(totals.items(), key=lambda item: (-item[1], item[0]))


def test_crowds():
    a = ck.Datastore()
    fans, others = a.crowd("x"), a.crowd("x/y")
    fans.add("ada")
    fans.add(b"\xff")
    others.add("ben")
    assert set(fans) == {"ada", b"\xff"} and list(others) == ["ben"] and len(fans) == 2 and "ben" not in fans
    assert fans == {"ada", b"\xff"} and fans & {"ada"} == {"ada"} and 5 not in fans and fans.name == "x"
    fans.discard("nobody")
    b = a.fork(ck.Identity.generate())
    fans.discard("ada")
    b.crowd("x").add("ada")  # at the same time: add wins
    a.merge(b)
    b.merge(a)
    assert set(fans) == set(b.crowd("x")) == {"ada", b"\xff"} and "2 members" in repr(fans)
    with pytest.raises(TypeError):
        fans.add(5)
    with pytest.raises(TypeError):
        a.crowd(b"x")
    with pytest.raises(KeyError):
        fans.remove("ben")
