"""Queries: every option and combination against a sorted dict; lazy; under writes."""

import itertools
import random
from time import process_time

import pytest

import crdtkv as ck
from house.datastores import in_order, order, put_all
from house.named import named

CONTENT = {
    **{f"a/{n:02}": n for n in range(20)},
    **{f"b/{n:02}".encode(): n for n in range(10)},
    "": "empty",
    b"": "empty bytes",
    "a": 1,
    b"a": 2,
    "a/": 3,
    "ä": 4,
    "b/05": 5,
    b"\xff\xff": 6,
    b"\xff\xff\xff": 7,
}


def expected(content, prefix=b"", keys_only=False, reverse=False, limit=None, offset=0, after=None, where=None):
    """As API-RULES has it: prefix, after (in the direction of travel), where, offset, limit."""
    rows = in_order(content)
    prefix = prefix.encode() if isinstance(prefix, str) else prefix
    rows = [row for row in rows if order(row[0])[0].startswith(prefix)]
    if reverse:
        rows.reverse()
    if after is not None:
        edge = after.encode() if isinstance(after, str) else after
        rows = [row for row in rows if (order(row[0])[0] < edge if reverse else order(row[0])[0] > edge)]
    rows = [row for row in rows if where is None or where(*row)]
    rows = rows[offset : None if limit is None else offset + limit]
    return [key for key, _ in rows] if keys_only else rows


@pytest.fixture
def full(kv):
    put_all(kv, CONTENT.items())
    return kv


def even(key, value):
    return isinstance(value, int) and value % 2 == 0


def test_every_combination(full):
    for prefix, reverse, after, where, offset, limit, keys_only in itertools.product(
        (b"", "a", b"a/", "b/", b"\xff", b"\xff\xff", "zzz", "a/05"),
        (False, True),
        (None, "", "a/10", b"b/", b"\xff\xff", "a"),
        (None, even),
        (0, 3, 100),
        (None, 0, 1, 4),
        (False, True),
    ):
        asked = dict(prefix=prefix, keys_only=keys_only, reverse=reverse, limit=limit, offset=offset)
        asked |= dict(after=after, where=where)
        got = list(full.query(**asked))
        assert got == expected(CONTENT, **asked), asked
        keys = got if keys_only else [key for key, _ in got]
        assert [type(key) for key in keys] == [type(key) for key in expected(CONTENT, **(asked | {"keys_only": True}))]


def test_random_content_and_questions(kv):
    choose = random.Random(7)
    content = {}
    for _ in range(600):
        key = "".join(choose.choices("ab\0é", k=choose.randrange(5)))
        key = key.encode() if choose.random() < 0.5 else key
        if choose.random() < 0.3:
            kv.delete(key)
            content.pop(key, None)
        else:
            kv[key] = content[key] = choose.randrange(100)
        if choose.random() < 0.02:
            kv.commit()
        asked = dict(
            prefix=choose.choice([b"", "a", b"ab", "é"]),
            reverse=choose.random() < 0.5,
            limit=choose.choice([None, 2]),
            offset=choose.choice([0, 1]),
            after=choose.choice([None, "a", b"b\0"]),
        )
        assert list(kv.query(**asked)) == expected(content, **asked), asked


def test_the_prefix_may_stand_in_first_place(full):
    assert list(full.query("a/")) == expected(CONTENT, "a/")
    with pytest.raises(TypeError):
        full.query("a/", True)


def test_a_query_is_an_iterator(full):
    query = full.query(limit=3)
    assert iter(query) is query
    assert [next(query)[0] for _ in range(3)] == ["", b"", "a"]
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(query)


@pytest.mark.parametrize(
    "asked", [{"prefix": 5}, {"after": 5}, {"limit": "x"}, {"offset": 1.5}, {"where": 5}], ids=named
)
def test_wrong_arguments_are_type_errors(full, asked):
    with pytest.raises(TypeError):
        list(full.query(**asked))


def test_negative_numbers_are_value_errors(full):
    for asked in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match=r".*"):
            list(full.query(**asked))


def test_nothing_is_read_before_the_first_step(kv):
    query = kv.query()
    kv["late"] = 1
    assert list(query) == [("late", 1)]


def test_where_sees_keys_and_values_and_its_exceptions_come_out(full):
    seen = []
    assert list(full.query("a/", where=lambda key, value: seen.append((key, value)) or value == 3)) == [
        ("a/", 3),
        ("a/03", 3),
    ]
    assert seen == expected(CONTENT, "a/")
    with pytest.raises(ZeroDivisionError):
        list(full.query(where=lambda key, value: 1 / 0))


def test_where_with_keys_only_gets_the_value(full):
    assert list(full.query("a/", keys_only=True, where=lambda key, value: value == 7)) == ["a/07"]


def test_where_may_write(full):
    def write(key, value):
        full["z" + str(value)] = value
        return True

    assert len(list(full.query("a/", where=write))) == 21
    assert "z19" in full


@pytest.mark.parametrize("reverse", [False, True])
def test_writes_under_way(kv, reverse):
    """Each key at most once, in order; what was there all the time is there."""
    put_all(kv, ((f"{n:04}", n) for n in range(0, 2000, 2)))
    choose = random.Random(1)
    stay = {f"{n:04}" for n in range(0, 2000, 4)}
    got = []
    for key in kv.query(keys_only=True, reverse=reverse):
        got.append(key)
        n = choose.randrange(2000)
        if n % 2:
            kv[f"{n:04}"] = n
        elif n % 4 == 2:
            kv.delete(f"{n:04}")
        if n % 50 == 0:
            kv.commit()
    assert got == sorted(set(got), reverse=reverse)
    assert stay <= set(got)


def test_a_query_goes_on_after_clear(kv):
    put_all(kv, ((f"{n:03}", n) for n in range(100)))
    query = kv.query()
    assert next(query) == ("000", 0)
    kv.clear()
    rest = list(query)
    assert rest == sorted(rest) and len(rest) < 100


def test_batches_and_compaction_under_way(kv):
    put_all(kv, ((f"{n:04}", "x" * 100) for n in range(1000)))
    got = []
    for n, key in enumerate(kv.query(keys_only=True)):
        got.append(key)
        if n == 300:
            put_all(kv, ((f"{n:04}", "y" * 100) for n in range(1000)))
        if n == 600:
            kv.compact()
    assert got == [f"{n:04}" for n in range(1000)]


def test_two_at_once(full):
    a, b = full.query("a/"), full.query("b/", reverse=True)
    rows = list(zip(a, b, strict=False))
    assert [x for x, _ in rows] == expected(CONTENT, "a/")[: len(rows)]
    assert [y for _, y in rows] == expected(CONTENT, "b/", reverse=True)


def test_a_dropped_query_is_no_leak(full):
    for _ in range(1000):
        next(full.query())
    assert full.commit() is None


def test_few_results_of_many_keys_cost_little():
    kv = ck.Datastore()
    for k in range(20):
        put_all(kv, ((f"{k:02}/{n:04}", n) for n in range(2000)))
    began = process_time()
    for k in range(200):
        assert len(list(kv.query(f"{k % 20:02}/1", limit=5))) == 5
        assert len(list(kv.query(after=f"{k % 20:02}/1", limit=5, reverse=True))) in (0, 5)
    few = process_time() - began
    began = process_time()
    assert len(list(kv.query())) == 40_000
    assert few < 8 * (process_time() - began) + 0.2
