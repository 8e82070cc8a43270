"""The picture of the hash graph: well-formed, in words as well as in shapes, and true."""

import re
from xml.etree import ElementTree

import pytest

import crdtkv as ck
from crdtkv import testing
from shown.html import checked
from shown.zoo import troubled

SVG = "{http://www.w3.org/2000/svg}"


def drawn(graph):
    """The picture as a tree, and how often each word stands in it as a text of its own."""
    root = ElementTree.fromstring(graph._repr_svg_())
    words = [element.text for element in root.iter(f"{SVG}text")]
    return root, words


@pytest.mark.parametrize("make", [ck.Doc, ck.Datastore])
def test_words_stand_at_what_is_marked(make):
    replica = troubled(make)
    graph = replica.graph()
    _, words = drawn(graph)
    assert words.count("fork") == sum(n.is_fork for n in graph) == 2
    assert words.count("waiting") == len(graph.waiting) == 3
    assert words.count("void") == 1 and words.count("missing") == 1
    assert words.count("head") == len(replica.heads)
    for word in ("fork", "waiting"):  # nowhere else, so that who searches for it finds what is marked
        assert graph._repr_svg_().count(word) == words.count(word)
        assert graph._repr_html_().count(word) == words.count(word)


def test_nothing_is_marked_where_nothing_is_wrong():
    doc = ck.Doc()
    doc["x"] = 1
    other = doc.fork(ck.Identity.generate())
    doc["y"], other["z"] = 1, 2
    doc.merge(other)
    _, words = drawn(doc.graph())
    assert not {"fork", "waiting", "void", "missing"} & set(words) and words.count("head") == 2


def test_a_picture_has_words_for_who_cannot_see_it():
    graph = troubled().graph()
    root, _ = drawn(graph)
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    assert root.find(f"{SVG}title").text and "two stories" in root.find(f"{SVG}desc").text
    assert "two stories" in root.get("aria-label") and "3 changes not applied" in root.get("aria-label")
    titles = [g.find(f"{SVG}title").text for g in root.iter(f"{SVG}g") if g.find(f"{SVG}title") is not None]
    assert len(titles) == len(graph) + len(graph.waiting) + len(graph.missing) and all(titles)


def test_alone_it_brings_its_colours_and_in_a_page_it_takes_them():
    graph = troubled().graph()
    alone, inside = graph._repr_svg_(), graph._repr_html_()
    assert "prefers-color-scheme:dark" in alone and "xmlns" not in inside and "http" not in inside
    assert alone.count("http") == 1 and 'xmlns="http://www.w3.org/2000/svg"' in alone
    assert "url(" not in alone and "<script" not in alone and "href" not in alone
    checked(inside, 512 << 10)


def places(graph):
    """Where each change stands: by the beginning of its id."""
    root, _ = drawn(graph)
    out = {}
    for group in root.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        texts = group.findall(f"{SVG}text")
        if title is not None and texts:
            out[title.text[:16]] = float(texts[0].get("x")), float(texts[0].get("y"))
    return out


def test_time_goes_from_left_to_right_and_a_lane_is_a_row():
    replica = troubled()
    graph = replica.graph()
    at = places(graph)
    for node in (*graph, *graph.waiting):
        for before in (node.prev, *node.parents):
            if before is not None and before.hex()[:16] in at:
                assert at[before.hex()[:16]][0] < at[node.id.hex()[:16]][0]
    rows = {}
    for node in graph:
        rows.setdefault(node.lane, set()).add(at[node.id.hex()[:16]][1])
    assert sorted(map(len, rows.values())) == [1, 1, 1, 2]  # the lane that forks has a row for each prong
    assert len(set(at.values())) == len(at)  # none hides another one


def test_older_ones_are_counted():
    doc = ck.Doc()
    for n in range(30):
        doc["x"] = n
        doc.commit()
    graph = doc.graph(limit=5)
    assert [node.seq for node in graph] == [25, 26, 27, 28, 29] and "25 older ones left out" in graph._repr_svg_()
    assert len(places(graph)) == 5 and repr(graph) == "<Graph: 5 changes in 1 lanes, 25 older ones left out>"


def test_twins_are_found_beyond_the_picture():
    """The one of two stories that is shown is marked, even if the other one is too old to be in the picture."""
    doc = ck.Doc()
    doc["x"] = 1
    liar = testing.Forger(doc, ck.Identity.generate())
    first, second = liar.fork(lambda d: d.__setitem__("k", 1), lambda d: d.__setitem__("k", 2))
    doc.apply(first)
    for n in range(20):
        doc["x"] = n
        doc.commit()
    doc.apply(second)
    graph = doc.graph(limit=3)
    assert [node.is_fork for node in graph] == [False, False, True]
    assert [c._has_twin for c in doc.changes()].count(True) == 2
    assert drawn(graph)[1].count("fork") == 1


def test_waiting_chains_stand_in_order():
    source = ck.Doc()
    source["x"] = 0
    lost = source.heads
    heads = []
    for n in range(5):
        source["x"] = n
        source.commit()
        heads.append(source.heads)
    other = source.fork(ck.Identity.generate())
    other["y"] = 1
    reader = ck.Doc(id=source.id)
    assert len(reader.apply(other.export(lost)).waiting) == 6
    graph = reader.graph()
    assert len(graph) == 0 and len(graph.waiting) == 6 and graph.missing == reader.missing
    at = places(graph)
    xs = [at[head.hex()[:16]][0] for (head,) in heads]
    assert xs == sorted(set(xs)) and at[other.heads[0].hex()[:16]][0] > xs[-1]
    assert drawn(graph)[1].count("missing") == 1


def test_dot_says_the_same():
    dot = troubled().graph().to_dot()
    assert dot.count("waiting") == 3 and dot.count("fork") == 2 and dot.count("void") == 1


def test_a_timeline():
    doc = ck.Doc(clock=iter(range(1000, 10**9, 1000)).__next__)
    for n in range(10):
        doc["x"] = n
        doc.commit(f"number {n}")
    t = doc.timeline()
    assert [m.time for m in t] == [1000 * n for n in range(1, 11)] and t[0].message == "number 0"
    root = ElementTree.fromstring(t._repr_svg_())
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert len(bars) == 10 and re.search(r"1970-01-01 00:00:01", t._repr_svg_())
    text = checked(t._repr_html_())
    assert "10 changes by 1 author" in text and repr(t) == "<Timeline: 10 changes by 1 authors>"


@pytest.mark.parametrize("n_authors", [4, 40])
def test_a_timeline_of_many_who_wrote_all_the_time_is_a_picture(n_authors):
    clock = iter(range(1000, 10**9, 1000)).__next__
    doc = ck.Doc(clock=clock)
    others = [doc, *(ck.Doc(id=doc.id, clock=clock) for _ in range(n_authors - 1))]
    for n in range(800):
        others[n % n_authors]["x"] = n
        others[n % n_authors].commit()
    for other in others[1:]:
        doc.merge(other)
    text = checked(doc.timeline(1000)._repr_html_())
    assert f"800 changes by {n_authors} authors" in text and "Too many" not in text
