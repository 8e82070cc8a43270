"""Queries of a Datastore: order of work, laziness, and that they go on while others write."""

import random

import pytest

import crdtkv as ck


def place(key):
    return key.encode() if isinstance(key, str) else key


def order(key):
    return place(key), isinstance(key, bytes)


def slow_query(content, prefix=b"", *, keys_only=False, reverse=False, limit=None, offset=0, after=None, where=None):
    """What query() says, said once more."""
    found = sorted(content, key=order, reverse=reverse)
    found = [key for key in found if place(key).startswith(place(prefix))]
    if after is not None:
        found = [key for key in found if (place(key) < place(after) if reverse else place(key) > place(after))]
    if where is not None:
        found = [key for key in found if where(key, content[key])]
    found = found[offset:]
    if limit is not None:
        found = found[:limit]
    return found if keys_only else [(key, content[key]) for key in found]


@pytest.mark.parametrize("seed", range(4))
def test_against_sorted_lists(seed):
    rng = random.Random(seed)
    kv = ck.Datastore()
    alphabet = ["a", "b", "\x7f", "é", b"\xff", b"a", b"\x00", b"\xfe\xff"]

    def a_key():
        parts = [rng.choice(alphabet) for _ in range(rng.randrange(4))]
        if all(isinstance(part, str) for part in parts) and rng.random() < 0.7:
            return "".join(parts)
        return b"".join(place(part) for part in parts)

    content = {}
    for n in range(120):
        key = a_key()
        kv[key] = content[key] = n
        if rng.random() < 0.2:
            kv.commit()
    for _ in range(300):
        how = {
            "keys_only": rng.random() < 0.3,
            "reverse": rng.random() < 0.5,
            "limit": rng.choice([None, None, 0, 1, 5]),
            "offset": rng.choice([0, 0, 1, 7, 1000]),
            "after": rng.choice([None, a_key()]),
            "where": rng.choice([None, lambda key, value: value % 3 == 0]),
        }
        prefix = rng.choice([b"", a_key()])
        assert list(kv.query(prefix, **how)) == slow_query(content, prefix, **how), (prefix, how)
        start, stop = rng.choice([None, a_key()]), rng.choice([None, a_key()])
        inside = [
            key
            for key in sorted(content, key=order)
            if place(key).startswith(place(prefix))
            and (start is None or order(start) <= order(key))
            and (stop is None or order(key) < order(stop))
        ]
        view = kv.keys(prefix, start=start, stop=stop)
        assert list(view) == inside and len(view) == len(inside)
        assert list(kv.values(prefix, start=start, stop=stop, reverse=True)) == [content[k] for k in reversed(inside)]


def test_nothing_is_read_before_the_first_step():
    kv = ck.Datastore()
    seen = []
    q = kv.query(where=lambda key, value: seen.append(key) or True)
    kv["late"] = 1
    assert seen == [] and iter(q) is q and next(q) == ("late", 1) and seen == ["late"]
    with pytest.raises(StopIteration):
        next(q)
    kv["later"] = 2
    with pytest.raises(StopIteration):  # over is over
        next(q)


def test_only_what_is_asked_for_is_looked_at():
    kv = ck.Datastore()
    kv.update({f"{n:03}": n for n in range(500)})
    seen = []
    found = list(kv.query(limit=3, offset=2, where=lambda key, value: seen.append(value) or value % 2 == 0))
    assert found == [("004", 4), ("006", 6), ("008", 8)] and seen == list(range(9))


def test_it_goes_on_while_others_write():
    kv = ck.Datastore()
    kv.update({f"{n:03}": n for n in range(0, 100, 2)})
    found = []
    for key in kv.query(keys_only=True):
        found.append(key)
        n = int(key)
        if n < 60:
            kv[f"{n + 1:03}"] = -1  # comes next
            kv[f"{max(n - 20, 0):03}"] = -2  # is over
            kv.delete(f"{n + 2:03}")
            if n % 3 == 0:
                kv.commit()
        elif n % 10 == 0:
            kv.compact()
    assert found == sorted(set(found)) and {"001", "002"} & set(found) and "099" not in found
    assert all(f"{n:03}" in found for n in range(62, 100, 2))
    kv.clear()
    assert list(kv.query()) == []


def test_many_queries_at_once():
    kv = ck.Datastore()
    kv.update({str(n): n for n in range(9)})
    both = [(a, b) for a in kv for b in kv.query(keys_only=True, reverse=True)]
    assert len(both) == 81 and both[:2] == [("0", "8"), ("0", "7")]


def test_where_may_raise_and_may_write():
    kv = ck.Datastore()
    kv.update(a=1, b=0, c=2)
    q = kv.query(where=lambda key, value: 1 / value)
    assert next(q) == ("a", 1)
    with pytest.raises(ZeroDivisionError):
        next(q)
    assert next(q) == ("c", 2)

    def writes(key, value):
        kv[f"seen/{key}"] = value
        return True

    assert list(kv.query(limit=2, where=writes)) == [("a", 1), ("b", 0)] and kv["seen/b"] == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": -1}, ValueError),
        ({"offset": -1}, ValueError),
        ({"limit": "x"}, TypeError),
        ({"limit": 1.5}, TypeError),
        ({"prefix": 5}, TypeError),
        ({"after": 5}, TypeError),
        ({"where": 5}, TypeError),
        ({"what": 5}, TypeError),
        ({"prefix": "x" * 4097}, ck.LimitError),
        ({"after": "\ud800"}, ValueError),
    ],
)
def test_what_query_refuses(arguments, error):
    with pytest.raises(error):
        ck.Datastore().query(**arguments)
    with pytest.raises(TypeError, match="position"):
        ck.Datastore().query("", "")
    with pytest.raises(TypeError):
        type(ck.Datastore().query())()


@pytest.mark.parametrize("what", ["put", "fixed", "delete", "commit", "batch", "compact", "repair", "merge", "count"])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_there_all_the_time_is_found(what, reverse):
    rng = random.Random(what)
    kv = ck.Datastore()
    other = kv.fork(ck.Identity.generate())
    fixed = [f"f{n:02}" for n in range(40)]
    for key in fixed:  # in the open change at first
        kv[key] = 1
    for _ in range(3):
        found = []
        for key in kv.query(keys_only=True, reverse=reverse):
            found.append(key)
            near = f"f{rng.randrange(40):02}x"
            kv[near] = 2
            if what == "fixed":
                kv[rng.choice(fixed)] = 3
            elif what == "delete":
                kv.delete(near)
            elif what == "commit":
                kv.commit()
            elif what == "batch":
                with kv.batch() as b:
                    b.put(near, 4)
            elif what == "merge":
                other[near] = 5
                kv.merge(other)
            elif what == "count":
                kv.counter(near).increment()
                assert len(kv.counters()) <= 40
            elif what != "put":
                getattr(kv, what)()
        assert [key for key in found if len(key) == 3] == sorted(fixed, reverse=reverse)
        assert found == sorted(set(found), reverse=reverse)
