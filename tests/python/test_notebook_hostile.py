"""Whoever writes to a document decides what is in it, not what a notebook does with it: text stays text."""

import os
import random
import re
import time
from xml.etree import ElementTree

import pytest

import crdtkv as ck
from crdtkv import testing
from crdtkv.notebook.page import Page, escape, shows, tag
from crdtkv.notebook.table import table
from crdtkv.notebook.values import moment, size, value
from shown.html import checked

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "]]></style></svg></div></td></table><script>",
    "<!-- --> <![CDATA[ <?php",
    "&lt;b&gt; & &amp; &#60; &",
    "javascript:alert(1) https://evil.example url(x) @import",
    "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "abc\u202egnp.exe\u2066\u2069\u200f\u061c",
    "\ufeff\ufffe\uffff\U0001ffff\U000e0041",
    "\u2028\u2029\u0085\xad\u200b",
    "}</style><style>*{display:none}",
    "{{ }} {% %} ${x} $$ \\(x\\)",
    "é" * 3000 + "<",
    "<" * 70_000,
]
NAMES = [text for text in HOSTILE if len(text) < 50]


def everything(text):
    """Objects that have this text wherever text may be."""
    name = text[:60]
    doc = ck.Doc()
    doc[name] = text
    doc["map"] = {name: {name: [text, {name: text}]}}
    doc["set"] = {text}
    doc["text"] = ck.Text(text)
    doc["text"].mark(0, 1, name or "x", name)
    doc.commit(text[:2000])
    events = []
    with doc.observe(events.append):
        with doc.change(name, origin=text):
            doc["text"].insert(0, text[:100])
            doc["map"][name] = text
        doc.commit()
    yield from (doc, doc["map"], doc["set"], doc["text"], doc["text"].blame(), doc.changes(), doc.changes()[0], *events)
    yield from (
        doc.history(name),
        doc.conflicts(name),
        doc.diff((), doc.heads),
        doc.at(doc.heads),
        doc["text"].cursor(1),
    )
    yield from (doc.keys(), doc.items(), doc.graph(), doc.timeline())
    store = ck.Store(name.encode()[:200], clock=lambda: 5)
    store.observe(events.append)
    store[name] = [text, {name: text}]
    store[text.encode()[:100]] = text.encode()
    yield from (store, store.entries(), store.conflicts(name), store.items(), events[-1], store.begin())
    kv = ck.Datastore()
    kv[name] = {name: text}
    kv.put("k", text, dag=name[:20])
    kv.counter(name).increment()
    kv.crowd(name).add(name)
    kv.commit(text[:2000])
    yield from (kv, kv.counter(name), kv.counters(), kv.crowd(name), kv.history(name), kv.graph(), kv.changes())
    yield ck.Stats({name: text, "x_limit": text})
    yield ck.Refusal(None, text, ck.Error)
    yield ck.Entry(name, text, b"\0" * 32, None, 2**63, "put")
    yield ck.Patch((name, 0), name, name, text, {name: text})


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_stays_text(number):
    text = HOSTILE[number]
    for thing in everything(text):
        html = thing._repr_html_()
        words = checked(html, 512 << 10 if isinstance(thing, ck.Graph) else 64 << 10)
        assert "cannot be shown" not in words, type(thing)
        for bad in ("<script", "<img", "onerror=alert(1)>", "<svg/", "\u202e", "\u2066", "\x00", "\x1b", "\u2028"):
            assert bad not in html, (type(thing), bad)


def test_random_text_stays_text():
    rng = random.Random(8)
    letters = "<>&\"'`=/ \n\t\r\0]-!abc" + "\u202e\ufffe\u200d\U0001f600é"
    for _ in range(300):
        text = "".join(rng.choices(letters, k=rng.randrange(60)))
        html = tag("td", text, title=text, cls="x")
        root = ElementTree.fromstring(html)
        assert root.tag == "td" and not list(root) and root.get("class") == "x"
        checked(str(tag("table", tag("tbody", tag("tr", html)))))
        assert escape(escape(text)) == escape(text)  # what is escaped stays so


def test_names_of_a_database(tmp_path):
    for name in NAMES:
        folder = tmp_path / str(NAMES.index(name))
        folder.mkdir()
        file = "".join(c for c in name if c not in "/\0")[:40]
        with ck.Database(folder / (file + ".db")) as db:
            db.doc(name)["x"] = 1
            db.store("s", id=name[:20] or "s")
            for thing in (db, db.names()):
                assert "cannot be shown" not in checked(thing._repr_html_())
    surrogate = tmp_path / b"\xff\xfe.db".decode("utf-8", "surrogateescape")
    with ck.Database(surrogate) as db:
        assert "\N{REPLACEMENT CHARACTER}" in checked(db._repr_html_())


def test_hostile_authors_and_clocks():
    """Times of the years 0 and 10000, thousands of authors: the picture stands."""
    doc = ck.Doc(clock=lambda: 1_000_000)
    doc["x"] = 1
    doc.commit()
    for n, ms in enumerate((-(2**63), -1, 0, 2**63 - 1, 2**62)):
        other = ck.Doc(ck.Identity.generate(), id=doc.id, clock=lambda ms=ms: ms)
        other.merge(doc)
        other[str(n)] = n
        doc.merge(other)
    for thing in (doc, doc.changes(), doc.timeline(), doc.graph()):
        checked(thing._repr_html_(), 512 << 10)
    ElementTree.fromstring(doc.timeline()._repr_svg_())


def test_a_liar_with_many_tips():
    doc = ck.Doc()
    doc["x"] = 1
    liar = testing.Forger(doc, ck.Identity.generate())
    for bundle in liar.fork(*[lambda d, n=n: d.__setitem__("lie", n) for n in range(300)]):
        doc.apply(bundle)
    graph = doc.graph(limit=400)
    root = ElementTree.fromstring(graph._repr_svg_())
    n_marked = sum(e.text == "fork" for e in root.iter())
    assert 100 <= n_marked <= 300 and "more rows are not drawn" in graph._repr_svg_()
    for thing in (doc, doc.equivocations(), doc.equivocations()[0], doc.conflicts("lie")):
        checked(thing._repr_html_())


def soon(thing, limit=64 << 10):
    """What is shown of something that is meant to take for ever. A tenth of a second, where nobody else is at work."""
    began = time.monotonic()
    words = checked(thing._repr_html_(), limit)
    assert time.monotonic() - began < 2 and "cannot be shown" not in words
    return words


def test_a_text_of_very_many_authors():
    runs = [(i, i + 1, os.urandom(32), bytes(32)) for i in range(30_000)]
    assert "30,000 runs" in soon(ck.Blame(runs, "x" * 30_000))
    assert "by 100,000 authors" in soon(ck.ByAuthor({os.urandom(32): n for n in range(100_000)}))


def test_paths_that_are_deep_and_keys_that_are_long():
    path = tuple(f"{n}\u202e" * 3000 for n in range(250))
    words = soon(
        ck.Event(path, tuple(ck.Patch(path, "set", "x", 1, 2) for _ in range(5000)), bytes(32), None, True, ())
    )
    assert "250 steps" in words and "\u202e" not in words


def test_a_graph_of_many_that_wait():
    doc = ck.Doc()
    doc["x"] = 1
    forger = testing.Forger(doc, ck.Identity.generate())
    for bundle in forger.chain([lambda d, n=n: d.__setitem__("k", n) for n in range(900)])[:0:-1]:
        doc.apply(bundle)
    graph = doc.graph(limit=10_000)
    assert len(graph.waiting) == 899
    words = soon(graph, 512 << 10)
    shown = list(map(int, re.findall(r"(\d+)waiting", words)))
    assert len(shown) >= 500 and shown == sorted(shown)  # each behind what it builds on


def test_keys_with_very_many_concurrent_values():
    kv = ck.Datastore()
    for n in range(300):
        other = ck.Datastore(id=kv.id)
        with other.batch() as batch:
            for k in range(40):
                batch.put(f"k{k:02}", n)
        kv.merge(other)
    words = soon(kv)
    assert words.count("300 values") == 4 and "k39" in words  # then it does not ask any more


def test_keys_of_a_datastore_are_not_counted():
    kv = ck.Datastore()
    kv.update({f"k{n:03}": n for n in range(150)})
    assert "more than 100 entries" in soon(kv.keys()) and "more than 100 entries" in soon(kv.items())
    assert "10 entries" in soon(kv.keys(prefix="k00"))


def test_what_is_closed_says_so_and_raises_nothing():
    with ck.Database(":memory:") as db:
        doc, kv, store = db.doc("doc"), db.datastore("kv"), db.store("store")
        doc.update({"map": {"a": [1]}, "text": ck.Text("hi"), "n": ck.Counter(1), "set": {1}})
        kv["a"] = store["a"] = 1
        kv.counter("n").increment()
        db.commit()
        things = [
            db,
            doc,
            kv,
            store,
            *doc.values(),
            doc["map"]["a"],
            doc.at(doc.heads),
            doc.keys(),
            doc["text"].cursor(0),
        ]
        things += [doc.graph(), doc.timeline(), doc.changes(), doc.conflicts("map"), doc.history("n"), doc.undo_stack()]
        things += [kv.counter("n"), kv.counters(), kv.crowd("w"), kv.history("a"), kv.keys(), kv.items(), kv.batch()]
        things += [store.entries(), store.items(), store.clock, doc.session(), kv.session(), db.names()]
    for thing in things:
        checked(thing._repr_html_(), 512 << 10)
        assert repr(thing).isprintable()


def test_what_is_printed_is_as_harmless():
    """A repr stands on a terminal, DOT in a file that another program reads."""
    for text in HOSTILE:
        said = repr(ck.Refusal(None, text, ck.Error))
        assert said.isprintable() and len(said) < 20_000
        kv = ck.Datastore()
        kv.put("k", 1, dag=f'\\N"]; x [URL="javascript:1{text[:40]}')
        dot = kv.graph().to_dot()
        title = next(line for line in dot.splitlines() if "label=" in line and "lane" in line)
        assert all(line.isprintable() for line in dot.splitlines())
        inside = re.fullmatch(r' *subgraph cluster_0 \{ label="((?:[^"\\]|\\.)*)";', title)
        assert inside and "\\\\N" in inside[1] and not re.search("&(?!amp;)", inside[1])


# ---- what is below


def test_a_display_never_raises():
    @shows
    def broken(page, thing):
        page.put(tag("table", "half"))
        raise RuntimeError("<b>no</b>" * 1000)

    text = checked(broken(5))
    assert "int" in text and "cannot be shown" in text and "RuntimeError" in text and "half" not in text

    @shows
    def interrupted(page, thing):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(5)


def test_a_table_stops_where_the_room_ends():
    page = Page(16_000)
    n = table(page, ("name", "#n"), ((f"<{i}>", i) for i in range(10_000)), 10_000, most=10**6)
    html = page.html()
    assert 0 < n < 10_000 and f"and {10_000 - n:,} more" in checked(html, 16_000)


def test_values_are_cut():
    assert "500,000 characters" in value("x" * 500_000) and len(value("x" * 500_000)) < 4000
    assert "70,000 bytes" in value(b"x" * 70_000)
    assert "1,000 in all" in value(list(range(1000)))
    assert "bits" in value(1 << 50_000)
    assert len(value([[[[[["deep"] * 99] * 99] * 99] * 99] * 99] * 99)) < 20_000
    assert len(value({"k" * 999: {"k" * 999: {"k" * 999: "v" * 999}}})) < 20_000


@pytest.mark.parametrize(
    "ms, text",
    [(None, ""), (0, "1970-01-01 00:00:00"), (-1, "1969-12-31 23:59:59"), (253402300799999, "9999-12-31 23:59:59")],
)
def test_moments(ms, text):
    assert moment(ms) == text and moment(253402300800000) == "253402300800000 ms" and size(5 << 30) == "5.0 GiB"
