"""A document against a dict and str that anybody understands; and several replicas against each other."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

import crdtkv as ck

keys = st.sampled_from(["a", "b", "ä", "", "😀"])
text_keys = st.sampled_from(["t", "u"])
chars = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text("ab", max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | chars
    | st.binary(max_size=9)
)


class Undo(Exception):
    pass


def edit_text(t, plain, at, n, s):
    """Splices both; the new plain text."""
    pos = at % (len(plain) + 1)
    n = min(n, len(plain) - pos)
    t.splice(pos, n, s)
    return plain[:pos] + s + plain[pos + n :]


class OneReplica(RuleBasedStateMachine):
    """A document is a dict of scalars and texts, whatever closes, saves, copies or undoes in between."""

    def __init__(self):
        super().__init__()
        self.doc = ck.Doc()
        self.plain = {}
        self.past = [((), {})]

    @rule(key=keys, value=scalars)
    def set(self, key, value):
        self.doc[key] = self.plain[key] = value

    @rule(key=keys | text_keys)
    def pop(self, key):
        assert self.doc.pop(key, "none") == self.plain.pop(key, "none")

    @rule(key=text_keys, content=chars)
    def new_text(self, key, content):
        self.doc[key] = ck.Text(content)
        self.plain[key] = content

    @rule(key=text_keys, at=st.integers(0, 99), n=st.integers(0, 4), s=chars)
    def splice(self, key, at, n, s):
        t = self.doc.setdefault(key, ck.Text())
        self.plain[key] = edit_text(t, self.plain.get(key, ""), at, n, s)

    @rule(key=text_keys, new=chars)
    def update(self, key, new):
        self.doc.setdefault(key, ck.Text()).update(new)
        self.plain[key] = new

    @rule()
    def commit(self):
        self.doc.commit("m")
        self.past.append((self.doc.heads, dict(self.plain)))

    @rule(key=keys, value=scalars, t=text_keys, s=chars, fail=st.booleans())
    def block(self, key, value, t, s, fail):
        plain = dict(self.plain)
        try:
            with self.doc.change():
                self.doc[key] = plain[key] = value
                plain[t] = edit_text(self.doc.setdefault(t, ck.Text()), plain.get(t, ""), 1, 2, s)
                if fail:
                    raise Undo
        except Undo:
            return
        self.plain = plain

    @rule()
    def reload(self):
        twin = ck.Doc.load(self.doc.save())
        assert twin.root == self.doc.root and twin.heads == self.doc.heads
        self.doc = twin

    @rule(i=st.integers(0, 99))
    def look_back(self, i):
        heads, plain = self.past[i % len(self.past)]
        assert self.doc.at(heads) == plain

    @rule()
    def fork(self):
        self.doc = self.doc.fork()

    @invariant()
    def same(self):
        assert self.doc == self.plain and list(self.doc) == sorted(self.plain, key=str.encode)
        assert len(self.doc) == len(self.plain)


class Replicas(RuleBasedStateMachine):
    """Whoever has the same changes shows the same, in whatever order they came."""

    docs = Bundle("docs")
    post = Bundle("post")

    @rule(target=docs)
    def start(self):
        if not hasattr(self, "first"):
            self.first = ck.Doc()
            self.first["t"] = ck.Text("start")
            self.all = [self.first]
            return self.first
        return multiple()

    @rule(target=docs, doc=docs, own=st.booleans())
    def fork(self, doc, own):
        if len(self.all) >= 5:
            return multiple()
        new = doc.fork(None if own else ck.Identity.generate())
        assert new == doc and new.root == doc.root
        self.all.append(new)
        return new

    @rule(doc=docs, at=st.integers(0, 99), n=st.integers(0, 3), s=chars)
    def edit(self, doc, at, n, s):
        t = doc.get("t")
        if isinstance(t, ck.Text):
            edit_text(t, str(t), at, n, s)

    @rule(doc=docs, key=keys | st.just("t"), value=scalars)
    def set(self, doc, key, value):
        doc[key] = value

    @rule(doc=docs, key=keys | st.just("t"))
    def delete(self, doc, key):
        doc.pop(key, None)

    @rule(doc=docs, s=chars)
    def new_text(self, doc, s):
        doc["t"] = ck.Text(s)

    @rule(doc=docs)
    def commit(self, doc):
        doc.commit()

    @rule(a=docs, b=docs)
    def merge(self, a, b):
        report = a.merge(b)
        assert not report.refused and not report.void
        if a.heads == b.heads:
            assert a == b and a.root == b.root

    @rule(target=post, doc=docs, since=st.integers(0, 9))
    def send(self, doc, since):
        changes = doc.changes()
        return doc.export([changes[-1 - since].id] if len(changes) > since else ())

    @rule(doc=docs, bundle=post)
    def receive(self, doc, bundle):
        assert not doc.apply(bundle).refused

    @rule(doc=docs, bundle=consumes(post), at=st.integers(0, 10**6), bit=st.integers(0, 7))
    def receive_damaged(self, doc, bundle, at, bit):
        bad = bytearray(bundle)
        bad[at % len(bad)] ^= 1 << bit
        root, content = doc.root, doc.to_py()
        try:
            doc.apply(bad)
        except ck.DecodeError:
            pass
        else:
            raise AssertionError("a flipped bit went unseen")
        assert (doc.root, doc.to_py()) == (root, content)

    @precondition(lambda self: hasattr(self, "all"))
    @invariant()
    def equal_roots_are_equal_documents(self):
        by_root = {}
        for doc in self.all:
            same = by_root.setdefault(doc.root, doc)
            assert same == doc and same.heads == doc.heads and not doc.equivocations()

    def teardown(self):
        if not hasattr(self, "all"):
            return
        for _ in range(2):
            for a, b in zip(self.all, [*self.all[1:], self.all[0]]):
                b.merge(a)
        assert len({doc.root for doc in self.all}) == 1
        assert all(doc == self.first and doc.waiting == () for doc in self.all)
        twin = ck.Doc.load(self.first.save())
        assert twin == self.first and twin.root == self.first.root


OneReplica.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
Replicas.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestOneReplica = OneReplica.TestCase
TestReplicas = Replicas.TestCase
