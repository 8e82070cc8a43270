"""What notebooks show: sound HTML for every object, within bounds, that changes nothing and hides no lie."""

import ast
import asyncio
import copy
import dataclasses
import pathlib
import pickle
import subprocess
import sys
import threading
from xml.etree import ElementTree

import pytest

import crdtkv as ck
from crdtkv import net, notebook, testing
from crdtkv.notebook.palette import INKS, VEIL, WARNING, Crew, fingerprint
from shown.html import checked
from shown.zoo import animals, ident, troubled

GRAPH = 512 << 10


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    all_of_them = animals(str(tmp_path_factory.mktemp("zoo") / "app.db"))
    yield all_of_them
    all_of_them["Transaction"].abort()
    all_of_them["Database"].close()


KINDS = {
    name: getattr(package, name)
    for package in (ck, net, testing)
    for name in package.__all__
    if isinstance(getattr(package, name), type) and not issubclass(getattr(package, name), Exception)
}
ELSEWHERE = {"Link", "Server", "Presence"}  # they want a loop
NEVER = {"ConvergenceMachine"}  # Hypothesis makes them, and nobody else has one


def test_every_public_type_has_a_display():
    assert {name for name, kind in KINDS.items() if not hasattr(kind, "_repr_html_")} == NEVER


@pytest.mark.parametrize("name", sorted(KINDS.keys() - ELSEWHERE - NEVER))
def test_every_object_shows_itself(zoo, name):
    found = [thing for label, thing in zoo.items() if label.partition(",")[0] == name]
    assert found and all(type(thing) is KINDS[name] for thing in found)
    for thing in found:
        text = checked(thing._repr_html_(), GRAPH if name == "Graph" else 64 << 10)
        assert text.strip() and "cannot be shown" not in text


def test_all_of_the_zoo_is_sound(zoo):
    for label, thing in zoo.items():
        assert "cannot be shown" not in checked(thing._repr_html_(), GRAPH), label


# ---- what is said


def test_a_document_says_what_is_wrong(zoo):
    text = checked(zoo["Doc"]._repr_html_())
    for word in ("fork", "waiting", "void", "two stories", fingerprint(zoo["Doc"].identity.public_key), "you"):
        assert word in text, word
    clean = ck.Doc()
    clean["x"] = 1
    clean.commit()
    text = checked(clean._repr_html_())
    assert "1 key" in text and not any(word in text for word in ("fork", "waiting", "void", "open change"))


def test_an_equivocation_says_who_and_what(zoo):
    e = zoo["Equivocation"]
    for html in (e._repr_html_(), zoo["EquivocationList"]._repr_html_()):
        text = checked(html)
        for word in (fingerprint(ident(3).public_key), e.a.hex()[:8], e.b.hex()[:8], "'yes'", "'no'", "fork"):
            assert word in text, word


def test_authors_in_blame_and_in_text(zoo):
    doc = ck.Doc(ident(1))
    doc["t"] = ck.Text("hello")
    other = doc.fork(ident(2))
    other["t"] += " world"
    doc.merge(other)
    for thing in (doc["t"], doc["t"].blame(), doc.at(doc.heads)["t"]):
        text = checked(thing._repr_html_())
        assert text.count("hello") == 1 and " world" in text
        for n in (1, 2):
            assert fingerprint(ident(n).public_key) in text
    assert "you" in checked(doc["t"]._repr_html_())


def test_a_store_shows_dots_and_clocks():
    s = ck.Store("phone", clock=lambda: 1_000, incarnation=bytes(8))
    s["k"] = "v"
    text = checked(s._repr_html_())
    assert "phone" in text and "1970-01-01 00:00:01.000" in text and "000000" in text
    assert "1970-01-01 00:00:01.000" in checked(s.entries()._repr_html_())


def test_a_datastore_shows_who_put_what_while_a_change_is_open():
    ada, ben = ident(1), ident(2)
    kv = ck.Datastore(ada)

    def hex_of(who):
        return fingerprint(who.public_key)

    kv["a"] = 1
    text = checked(kv._repr_html_())
    assert "open" in text and hex_of(ada) in text and kv.stats()["open_edits"] == 1
    other = kv.fork(ben)
    other["b"] = 2
    kv.merge(other)
    kv["c"] = 3
    rows = kv._repr_html_().split("<tr>")[2:5]
    assert [hex_of(ada) in row for row in rows] == [True, False, True] and hex_of(ben) in rows[1]
    assert ["open" in row for row in rows] == [False, False, True] and kv.stats()["open_edits"] == 1


def test_a_database_shows_names_kinds_and_sizes(zoo):
    text = checked(zoo["Database"]._repr_html_())
    for word in ("notes", "settings", "stats", "doc", "store", "datastore", "bytes", "app.db"):
        assert word in text, word
    sizes = {row.name: n for row, n in zoo["Database"]._sizes()}
    assert set(sizes) == {"notes", "settings", "stats"} and all(n > 50 for n in sizes.values())


def test_links_show_themselves():
    net = pytest.importorskip("crdtkv.net")
    pytest.importorskip("websockets")

    async def story():
        here, there = ck.Doc(), None
        here["x"] = 1
        there = ck.Doc(id=here.id)
        async with net.serve(here, "127.0.0.1", 0) as server, net.connect(there, server.url) as link:
            await link.synced()
            return checked(server._repr_html_()), checked(link._repr_html_()), checked(link.stats()._repr_html_())

    server, link, stats = asyncio.run(asyncio.wait_for(story(), 30))
    assert "1 peer" in server and "1 peer" in link and "connected" in link and "bytes in" in stats
    assert "cannot be shown" not in server + link


def test_a_network_says_what_happened_and_whether_all_agree(zoo):
    text = checked(zoo["Network"]._repr_html_())
    net = zoo["Network"]
    for word in (
        "seed 3",
        "3 replicas",
        "2 liars",
        "60 steps",
        "not converged",
        "delivered",
        net.trace[-1],
        "two stories",
    ):
        assert word in text, word
    for liar in net.liars:
        assert fingerprint(liar) in text
    assert net.script in text
    text = checked(zoo["Network, healed"]._repr_html_())
    assert "converged" in text and "not converged" not in text
    assert "fork" in text and repr(net) == "<Network of seed 3: 3 replicas, 2 liars, 60 steps>"


def test_what_is_held_and_not_shown_is_no_convergence():
    def write(doc, rng):
        doc["x"] = 1

    silence = testing.Faults(drop=1, partition=0, crash=0, restore=0, clone=0)
    net = testing.Network(1, replicas=2, byzantine=0, faults=silence, edit=write).run(60)
    assert net.replicas[0] == net.replicas[1] == {"x": 1}
    assert "not converged" in checked(net._repr_html_())
    assert "not converged" not in checked(net.heal()._repr_html_())


@pytest.mark.parametrize("kind", ["doc", "datastore"])
def test_a_look_at_a_network_decides_nothing(kind):
    watched, alone = testing.Network(5, kind=kind), testing.Network(5, kind=kind)
    for _ in range(80):
        assert "cannot be shown" not in watched.run(1)._repr_html_()
    alone.run(80)
    assert watched.trace == alone.trace
    assert [doc.root for doc in watched.heal().replicas] == [doc.root for doc in alone.heal().replicas]


def test_a_large_network_keeps_within_bounds():
    net = testing.Network(2, replicas=60, byzantine=40, faults=testing.Faults(drop=0, crash=0)).run(300)
    text = checked(net._repr_html_())
    assert "60 replicas" in text and "too large, or too many" in text and "more" in text


def test_limits_say_what_is_not_as_usual(zoo):
    text = checked(zoo["Limits"]._repr_html_())
    assert "1.0 KiB" in text or "1,000 bytes" in text
    assert "usually 64.0 MiB" in text and "usually 1,000" in text and text.count("usually") == 2
    fields = {field.name for field in dataclasses.fields(net.Limits)}
    assert all(name in text for name in fields)


# ---- a look changes nothing


def test_showing_closes_nothing():
    doc = troubled()
    doc["t"] = ck.Text("open")
    doc["t"] += "!"
    n_open = doc.stats()["open_ops"]
    assert n_open == 6  # a value, five characters
    for thing in (doc, doc["t"], doc.identity, doc.keys(), doc.equivocations(), doc.equivocations()[0], doc.session()):
        checked(thing._repr_html_())
        assert doc.stats()["open_ops"] == n_open
    assert "+ 6 ops in an open change" in checked(doc._repr_html_())
    assert "open change" in checked(doc["t"]._repr_html_())
    kv = troubled(ck.Datastore)
    kv["x"] = 1
    kv.counter("n").increment()
    for thing in (kv, kv.counter("n"), kv.counters(), kv.keys(), kv.equivocations()[0]):
        checked(thing._repr_html_())
        assert kv.stats()["open_edits"] == 2
    assert "+ 2 ops in an open change" in checked(kv._repr_html_())


def test_showing_who_lied_inside_a_block():
    doc = troubled()
    with doc.change():
        for thing in (doc, doc.equivocations(), doc.equivocations()[0]):
            text = checked(thing._repr_html_())
            assert "fork" in text and "cannot be shown" not in text


def test_showing_inside_a_block_and_beside_one():
    doc = ck.Doc()
    doc["t"] = ck.Text("x")
    with doc.change():
        doc["t"] += "y"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(doc._repr_html_()))
        thread.start()
        thread.join(10)
        assert seen, "a plain look must not wait for the end of a block"
        for html in (doc._repr_html_(), doc["t"]._repr_html_(), seen[0]):
            assert "cannot be shown" not in checked(html) and "open change" in checked(html)


def test_what_is_gone_says_so(tmp_path):
    doc = ck.Doc()
    doc["m"], doc["l"], doc["s"], doc["t"], doc["c"] = {}, [], {1}, ck.Text("x"), ck.Counter(1)
    handles = [doc[key] for key in "mlstc"]
    cursor = doc["t"].cursor(0)
    doc.clear()
    with ck.Database(tmp_path / "x.db") as db:
        kept = [db.doc("d"), db.store("s"), db.datastore("k")]
        kept[0]["t"] = ck.Text("x")
        handles += [kept[0]["t"], kept[2].counter("n"), kept[2].counters(), kept[2].crowd("c"), kept[2].batch()]
        transaction = kept[1].begin()
        transaction.abort()
    for thing in (*handles, *kept, transaction, cursor, db):
        text = checked(thing._repr_html_())
        assert "StaleHandleError" in text and type(thing).__name__ in text


# ---- budgets


def test_large_things_stay_small():
    doc = ck.Doc()
    doc["t"] = ck.Text("word " * 40_000)
    doc["m"] = {str(i): i for i in range(30_000)}
    doc["l"] = list(range(100_000))
    doc["s"] = {str(i) for i in range(30_000)}
    doc["deep"] = deep = ck.Map()
    for _ in range(200):
        deep["x"] = ck.Map()
        deep["y"] = "y" * 10_000
        deep = deep["x"]
    doc["wide"] = [[{"k": "v" * 300} for _ in range(20)] for _ in range(50)]
    doc["n"] = ck.Counter(2**60)
    for i in range(300):
        doc["t"].insert(7 * i, "é" if i % 2 else "<")
        doc.commit("message " * 500)
    for thing in (doc, *doc.values(), doc["t"].blame(), doc.changes(), doc.keys(), doc.values(), doc.items()):
        checked(thing._repr_html_())
    checked(doc.at(doc.heads)._repr_html_())
    checked(doc.diff((), doc.heads)._repr_html_())
    s = ck.Store("p" * 255)
    s.update({f"{i:06}" + "k" * 4000: "v" * 4000 for i in range(200)})
    checked(s._repr_html_())
    checked(s.entries()._repr_html_())
    kv = ck.Datastore()
    kv.update({f"{i:06}" + "k" * 4000: {"x" * 4000: ["v" * 4000] * 9} for i in range(60)})
    kv.counter("c" * 4000).increment()
    for thing in (kv, kv.keys(), kv.items(), kv.counters(), kv.counter("c" * 4000)):
        checked(thing._repr_html_())
    assert "more than 50 keys" in checked(kv._repr_html_())
    checked(ck.Stats({f"name {i}" * 100: i for i in range(2000)})._repr_html_())
    checked(ck.ByAuthor({i.to_bytes(32): i - 2000 for i in range(4000)})._repr_html_())


def test_a_graph_of_many_liars_stays_small():
    doc = ck.Doc()
    doc["x"] = 0
    for n in range(1, 200):
        replica = doc.fork(ck.Identity.from_seed(bytes([n]) * 32))
        replica["x"] = n
        doc.merge(replica)
    for graph in (doc.graph(), doc.graph(limit=10_000)):
        checked(graph._repr_html_(), GRAPH)
        assert len(graph._repr_svg_().encode()) <= GRAPH
    checked(doc.timeline()._repr_html_())


def test_a_graph_of_thousands_of_changes_stays_small():
    doc, other = ck.Doc(), None
    doc["x"] = 0
    other = doc.fork(ck.Identity.generate())
    for n in range(700):
        doc["x"], other["y"] = n, n
        doc.merge(other)
        other.merge(doc)
    graph = doc.graph(limit=10_000)
    assert len(graph) == 1401
    text = checked(graph._repr_html_(), GRAPH)
    assert "601 changes of them without room in the picture" in text
    ElementTree.fromstring(graph._repr_svg_())


def test_only_what_is_shown_is_read():
    doc = ck.Doc()
    for i in range(3000):
        doc["n"] = i
        doc.commit()
    assert [c.seq for c in doc._newest(3)] == [2997, 2998, 2999]
    assert len(doc.graph(limit=50)) == 50 and doc.graph(limit=50).n_left_out == 2950
    assert len(doc.timeline(limit=20)) == 20 and doc.timeline(limit=20).n_left_out == 2980
    assert "2,995 older ones" in checked(doc._repr_html_())
    with pytest.raises(ValueError):
        doc._newest(-1)
    with pytest.raises(ValueError, match="limit"):
        doc.timeline(0)


def test_no_dag_crowds_another_one_out():
    kv = ck.Datastore()
    for i in range(100):
        kv.put("k", i, dag="busy")
        kv.commit()
    for name in ("a", "b"):
        kv.put(name, 1, dag=name)
        kv.commit()
    dags = [c.dag for c in kv._newest(20)]
    assert len(dags) <= 20 and {"a", "b", "busy"} <= set(dags)


# ---- lists and dicts are what they were


def test_listings_are_plain_lists_and_dicts(zoo):
    for name in ("Blame", "ChangeList", "EquivocationList", "History", "PatchList", "StoreConflicts"):
        thing = zoo[name]
        assert isinstance(thing, list) and thing == list(thing) and repr(thing) == repr(list(thing)), name
    for name in ("ByAuthor", "Conflicts", "Names", "Stats"):
        thing = zoo[name]
        assert isinstance(thing, dict) and thing == dict(thing) and repr(thing) == repr(dict(thing)), name
    for name in (
        "Blame",
        "ByAuthor",
        "ChangeList",
        "Entries",
        "History",
        "Names",
        "PatchList",
        "Stats",
        "StoreConflicts",
    ):
        thing = zoo[name]
        for twin in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
            assert type(twin) is type(thing) and twin == thing
            checked(twin._repr_html_())
    for name in ("ChangeList", "EquivocationList", "History", "PatchList", "StoreConflicts"):
        part = zoo[name][:1]
        assert type(part) is type(zoo[name]) and part == list(zoo[name])[:1] and part._you == zoo[name]._you
        assert zoo[name][0] == next(iter(zoo[name])) and zoo[name][::-1] == list(reversed(zoo[name]))
        checked(part._repr_html_())
    plain = troubled(ck.Datastore).conflicts("title")
    assert pickle.loads(pickle.dumps(plain)) == plain and len(plain) == 2
    checked(pickle.loads(pickle.dumps(plain))._repr_html_())
    assert type(ck.Datastore().compact()) is ck.Stats


def test_no_repr_is_long():
    long = "x" * 900_000
    doc, kv, store = ck.Doc(), ck.Datastore(), ck.Store()
    events = []
    doc.observe(events.append)
    kv.observe(events.append)
    doc["v"], doc["t"], doc["l"] = long, ck.Text(long), [long, long]
    doc.commit()
    kv["v"] = store["v"] = [long]
    kv.commit()
    things = [doc, doc["t"], doc["l"], doc.diff((), doc.heads), doc.history("v"), doc.conflicts("v"), *events]
    things += [kv, kv.history("v"), kv.conflicts("v"), store, store.entries(), store.conflicts("v")]
    for thing in things:
        assert len(repr(thing)) < 11_000, type(thing)
    many = ck.Datastore()
    for i in range(300):
        many["k"] = i
        many.commit()
    assert repr(many.changes()).endswith("...") and len(repr(many.changes())) < 11_000


def test_what_is_closed_says_so():
    with ck.Database(":memory:") as db:
        things = [
            db,
            db.doc("d"),
            db.datastore("kv"),
            db.store("s"),
            db.store("s").clock,
            db.datastore("kv").counter("n"),
        ]
    for thing in things:
        assert repr(thing)
        checked(thing._repr_html_())


# ---- rows for others


FRAMES = ["Blame", "ByAuthor", "ChangeList", "Conflicts", "Counters", "Entries", "EquivocationList", "Graph", "History"]
FRAMES += ["Names", "PatchList", "Stats", "StoreConflicts", "Timeline"]


@pytest.mark.parametrize("name", FRAMES)
def test_to_pandas(zoo, name):
    pandas = pytest.importorskip("pandas")
    frame = zoo[name].to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(zoo[name]) > 0
    if "time" in frame:
        assert str(frame["time"].dtype).startswith("datetime64")
    for column in {"author", "id", "lane", "change", "peer"} & set(frame):
        assert all(type(id) is bytes for id in frame[column]), "ids are bytes, as everywhere else"


@pytest.mark.parametrize("make", [ck.Store, ck.Datastore])
def test_keys_and_values_to_pandas(make):
    pandas = pytest.importorskip("pandas")
    kv = make()
    assert list(kv.to_pandas()) == ["key", "value"] and len(kv.to_pandas()) == 0
    kv.update({f"user/{n}": n for n in range(100)} | {b"raw": b"x", "mixed": None, "nested": {"a": [1, None]}})
    for frame, items in (kv.to_pandas(), kv.items()), (kv.to_pandas("user/"), kv.items("user/")):
        assert isinstance(frame, pandas.DataFrame)
        assert list(frame.itertuples(index=False, name=None)) == list(items)
    assert kv.items(start="user/5", stop="user/9", reverse=True).to_pandas()["key"].iloc[-1] == "user/5"
    assert kv.to_pandas("user/")["value"].sum() == 4950 and kv.to_pandas("user/")["value"].dtype == "int64"


def test_values_of_several_types_stay_what_they_are():
    pytest.importorskip("pandas")
    kv = ck.Datastore()
    kv.update({"a": 2**53 + 1, "b": None, "c": 1.0, "d": True, "e": 1})
    found = list(kv.to_pandas()["value"])
    assert found == list(kv.values()) and list(map(type, found)) == [int, type(None), float, bool, int]


def test_counters_to_pandas():
    pytest.importorskip("pandas")
    kv = ck.Datastore()
    kv.counter("views/a").increment(3)
    kv.counter("views/b").increment(2**62)
    for _ in range(4):
        kv.counter("views/b").increment(2**62)
    assert list(kv.counters("views/").to_pandas().itertuples(index=False, name=None)) == [
        ("views/a", 3),
        ("views/b", 5 * 2**62),
    ], "totals are exact"


def test_a_frame_and_a_network_speak_of_the_same_ids(zoo):
    pytest.importorskip("pandas"), pytest.importorskip("networkx")
    frame, graph = zoo["ChangeList"].to_pandas(), zoo["Graph"].to_networkx()
    assert set(frame["id"]) <= set(graph)
    assert all(parent in graph for parents in frame["parents"] for parent in parents)


def test_to_networkx(zoo):
    networkx = pytest.importorskip("networkx")
    graph = zoo["Graph"]
    out = graph.to_networkx()
    assert isinstance(out, networkx.DiGraph) and networkx.is_directed_acyclic_graph(out)
    assert set(out) == {node.id for node in (*graph, *graph.waiting)}
    assert sum(data["waiting"] for _, data in out.nodes(data=True)) == 3
    assert out.nodes[graph[0].id]["seq"] == 0


@pytest.mark.parametrize("name, ask", [("pandas", "to_pandas"), ("networkx", "to_networkx")])
def test_who_lacks_a_library_is_told_which(zoo, name, ask, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install crdtkv\[{name}\]"):
        getattr(zoo["Graph"], ask)()


# ---- colours


def luminance(ink):
    parts = [int(ink[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, two):
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def veiled(ink, page):
    mixed = (round(VEIL * int(ink[i : i + 2], 16) + (1 - VEIL) * int(page[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in mixed)


@pytest.mark.parametrize("ink", INKS)
def test_colours_can_be_told_from_light_and_dark(ink):
    assert contrast("#ffffff", ink) >= 4.5  # a sign on it
    for page, words in (("#ffffff", "#1b1f24"), ("#111111", "#d4d4d4"), ("#000000", "#cccccc"), ("#1e1e1e", "#cccccc")):
        assert contrast(ink, page) >= 3
        assert contrast(words, veiled(ink, page)) >= 4.5
    assert all(contrast(WARNING, page) >= 3 for page in ("#ffffff", "#111111"))


def test_authors_are_told_apart_without_colour(monkeypatch):
    monkeypatch.setattr("crdtkv.notebook.palette._SEEN", {})  # a process that has shown nobody yet
    keys = [bytes([n]) + bytes([m]) * 31 for n in (8, 16, 24, 1) for m in range(5)]
    crew = Crew(None, [*keys, *keys])
    assert len({crew.sign(key) for key in keys}) == len(keys)
    assert {crew.ink(key) for key in keys} == set(range(len(INKS)))
    again = Crew(None, keys)
    assert [crew.ink(key) for key in keys] == [again.ink(key) for key in keys]
    assert Crew(keys[3]).sign(keys[3]) == keys[3].hex()[:2]


# ---- where it stands in the house


def test_importing_crdtkv_loads_no_displays():
    code = "import sys, crdtkv; print([m for m in sys.modules if m.startswith('crdtkv.notebook')])"
    out = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], capture_output=True, text=True
    )
    assert out.stdout.strip() == "[]", out.stderr


def test_displays_import_no_object():
    for file in pathlib.Path(notebook.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        guarded = {id(n) for part in ast.walk(tree) if isinstance(part, ast.If) for n in ast.walk(part)}
        for node in ast.walk(tree):
            if id(node) in guarded or not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                ours = (name or "").startswith("crdtkv")
                assert (
                    not ours
                    or name.startswith("crdtkv.notebook")
                    or (name == "crdtkv" and node.names[0].name == "_core")
                )
