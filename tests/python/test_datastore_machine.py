"""A datastore against a dict, whatever Hypothesis thinks of: in memory, and in a file that is opened again."""

import contextlib
import math
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import crdtkv as ck
from house.datastores import ID, identity, in_order, order, typed

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
keys = st.sampled_from(["", "a", "ä", b"", b"a", b"\xff", "a\x00", "ab"]) | text | st.binary(max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=9)
    | st.sampled_from([0.0, -0.0, math.inf, 1, 1.0, True, "x" * 2000])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
dags = st.sampled_from(["default", "default", "x", "y"])
GONE = object()
writes = st.lists(st.tuples(keys, values | st.just(GONE), dags), max_size=6)
names = st.sampled_from(["n", b"n", "m"])
amounts = st.integers(-(2**63) + 1, 2**63 - 1)


class Datastores(RuleBasedStateMachine):
    """Everything is written here and by nobody else, so a dict says what there must be."""

    def __init__(self):
        super().__init__()
        self.expected = {}
        self.counts = {}
        self.other = ck.Datastore(identity(2), id=ID)
        self.start()

    def start(self):
        self.kv = ck.Datastore(identity(1), id=ID)

    @rule(key=keys, value=values, dag=dags)
    def put(self, key, value, dag):
        self.kv.put(key, value, dag=dag)
        self.expected[key] = value

    @rule(key=keys)
    def delete(self, key):
        assert self.kv.delete(key) is (key in self.expected)
        self.expected.pop(key, None)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def delete_what_is_there(self, data):
        key = data.draw(st.sampled_from(sorted(self.expected, key=order)))
        del self.kv[key]
        del self.expected[key]

    @rule(writes=writes, commit=st.booleans())
    def batch(self, writes, commit):
        b = self.kv.batch()
        for key, value, dag in writes:
            if value is GONE:
                b.delete(key, dag=dag)
            else:
                b.put(key, value, dag=dag)
        if not commit:
            b.abort()
            return
        b.commit()
        for key, value, _ in writes:
            if value is GONE:
                self.expected.pop(key, None)
            else:
                self.expected[key] = value

    @rule(name=names, amount=amounts)
    def count(self, name, amount):
        self.kv.counter(name).increment(amount)
        self.counts[name] = self.counts.get(name, 0) + amount

    @rule()
    def commit(self):
        self.kv.commit()

    @rule()
    def compact(self):
        self.kv.compact()

    @rule()
    def rewrite(self):
        self.kv.compact(rewrite=True)

    @rule()
    def repair(self):
        self.kv.repair()

    @rule()
    def exchange(self):
        ck.sync(self.kv, self.other)
        assert self.content(self.other) == self.content(self.kv)
        assert self.other.root == self.kv.root

    @rule(prefix=keys, reverse=st.booleans(), offset=st.integers(0, 3), limit=st.none() | st.integers(0, 4))
    def query(self, prefix, reverse, offset, limit):
        begins = order(prefix)[0]
        rows = [(key, value) for key, value in in_order(self.expected) if order(key)[0].startswith(begins)]
        if reverse:
            rows.reverse()
        rows = rows[offset : None if limit is None else offset + limit]
        got = list(self.kv.query(prefix, reverse=reverse, offset=offset, limit=limit))
        assert [(order(key), typed(value)) for key, value in got] == [(order(key), typed(value)) for key, value in rows]

    @staticmethod
    def content(kv):
        return [(order(key), typed(value)) for key, value in kv.query()]

    @invariant()
    def it_is_the_dict(self):
        assert self.content(self.kv) == [(order(key), typed(value)) for key, value in in_order(self.expected)]
        assert len(self.kv) == len(self.expected)
        for name, total in self.counts.items():
            assert int(self.kv.counter(name)) == total

    def teardown(self):
        self.kv.commit()
        assert self.kv.check() == []
        ck.sync(self.kv, self.other)
        assert self.content(self.other) == self.content(self.kv)


class InAFile(Datastores):
    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.open()

    def open(self):
        self.db = ck.Database(self.folder / "x.db", identity(1))
        self.kv = self.db.datastore("kv", id=ID)

    @rule()
    def reopen(self):
        self.db.close()
        self.open()

    @rule()
    def compact_the_file(self):
        self.db.compact()

    def teardown(self):
        try:
            super().teardown()
            assert self.db.check() == []
        finally:
            with contextlib.suppress(Exception):
                self.db.close()
            shutil.rmtree(self.folder)


TestInMemory = Datastores.TestCase
TestInMemory.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestInAFile = InAFile.TestCase
TestInAFile.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
