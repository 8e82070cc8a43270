"""crdtkv get, put, del, query, count: on datastores, stores and the root of documents."""

import base64
import json
import time

import pytest

import crdtkv as ck
from house.shell import done, run, said_no

KINDS = ["datastore", "store", "doc"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.db"
    done("init", path)
    return path


# ---- one key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("hello", "hello"),
        ("7", 7),
        ("-7", -7),
        ("-.5e1", "-.5e1"),  # no JSON
        ("-0.5", -0.5),
        ("1.0", 1.0),
        ("true", True),
        ("null", None),
        ('"7"', "7"),
        ("", ""),
        ("[1, [2], {}]", [1, [2], {}]),
        ('{"a": {"b": "ü"}}', {"a": {"b": "ü"}}),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("{broken", "{broken"),
        ("a b\tc", "a b\tc"),
    ],
)
def test_a_value_is_json_if_it_parses_else_text(file, kind, typed, value):
    assert done("put", file, "x", "k", typed, "--kind", kind).out == ""
    found = done("get", file, "x", "k", "--json").json
    assert found == value and type(found) is type(value)
    with ck.Database(file, read_only=True) as db:
        there = getattr(db, kind)("x")["k"]
        there = there.to_py() if hasattr(there, "to_py") else there
        assert there == value and type(there) is type(value)


def test_json_may_stand_before_after_and_between(file):
    done("put", file, "x", "k", "[1]")
    for args in (
        ["--json", "get", file, "x", "k"],
        ["get", "--json", file, "x", "k"],
        ["get", file, "x", "k", "--json"],
    ):
        assert done(*args).json == [1]


def test_put_says_what_it_did(file):
    said = done("put", file, "x", "k", "1", "--json", "-m", "first").json
    with ck.Database(file, read_only=True) as db:
        (change,) = db.datastore("x").changes()
        assert said == {"name": "x", "kind": "datastore", "change": change.id.hex()}
        assert change.message == "first"
    assert done("put", file, "s", "k", "1", "--json", "--kind", "store").json["change"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_bytes(file, kind):
    data = bytes(range(256))
    done("put", file, "x", "k", "--bytes", "--stdin", "--kind", kind, stdin=data)
    assert done("get", file, "x", "k", "--json").json == {"bytes": base64.b64encode(data).decode()}
    assert done("get", file, "x", "k", "--raw").stdout == data
    done("put", file, "x", "word", "[1]", "--bytes")
    with ck.Database(file, read_only=True) as db:
        assert getattr(db, kind)("x")["word"] == b"[1]"


def test_stdin(file):
    done("put", file, "x", "k", "--stdin", stdin=b'{"a": 1}\n')
    assert done("get", file, "x", "k", "--json").json == {"a": 1}
    done("put", file, "x", "k", "--stdin", stdin="zwei\nZeilen: ü\n".encode())
    assert done("get", file, "x", "k").out == "zwei\nZeilen: ü\n"
    assert done("get", file, "x", "k", "--json").json == "zwei\nZeilen: ü\n"
    said_no(2, "put", file, "x", "k", "v", "--stdin")
    said_no(2, "put", file, "x", "k")
    assert "--bytes" in said_no(2, "put", file, "x", "k", "--stdin", stdin=b"\xff")


def test_keys_that_look_like_options_or_numbers(file):
    done("put", file, "x", "-5", "-6")
    done("put", file, "x", "--", "--json", "--stdin")
    assert done("get", file, "x", "-5").out == "-6\n"
    assert done("get", file, "x", "--", "--json").out == "--stdin\n"
    assert done("query", file, "x", "--after", "-4", "--json", "--reverse").json == [["--json", "--stdin"]]
    assert done("del", file, "x", "-5", "--json").json["kind"] == "datastore"
    said_no(2, "get", file, "x", "k", "--frob")


@pytest.mark.parametrize("kind", KINDS)
def test_pairs(file, kind):
    """One opening of the file, and of a document one change, however many they are."""
    values = {"a": 1, "b c": "text", "d": [1, {"e": None}], "bytes": b"\0", "nan": float("inf"), "empty": {}}
    lines = "".join(json.dumps([f"k{n}", n]) + "\n" for n in range(300)).encode()
    assert done("put", file, "x", "--pairs", "--kind", kind, "--json", stdin=lines).json["keys"] == 300
    assert done("count", file, "x").out == "300\n"
    with ck.Database(file) as db:
        kept = getattr(db, kind)("x")
        if kind != "store":
            assert kept.stats()["lanes"] == kept.stats()["changes"] == 1
        kept.update(values)
    written = done("query", file, "x", "--json").stdout
    done("put", file, "y", "--pairs", "--kind", kind, stdin=written)
    assert done("query", file, "y", "--json").stdout == written, "what `query` writes, `put` reads"
    if kind != "doc":
        done("put", file, "x", "--pairs", stdin=b'[{"bytes": "AAE="}, 7]')
        assert done("get", file, "x", "0001", "--hex").out == "7\n"
    else:
        assert "are text" in said_no(2, "put", file, "x", "--pairs", stdin=b'[{"bytes": "AAE="}, 7]')


def test_pairs_are_one_change_however_many(file):
    lines = "".join(f'["{k}", "{"x" * 1000}"]\n' for k in range(5000)).encode()
    done("put", file, "many", "--pairs", "--kind", "datastore", stdin=lines)
    assert done("count", file, "many").out == "5000\n"
    assert len(done("log", file, "many", "--json").json) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_all_put_or_none(file, kind):
    for bad in (["k" * 5000, 1], ["k", 2**64], ["k"], [1, 2], ["k", 1, 2], "k", {"k": 1}):
        if kind == "doc" and bad == ["k" * 5000, 1]:
            continue  # a document's keys may be that long
        data = json.dumps([["good", 1]] * 2000 + [bad]).encode()
        said_no(2, "put", file, "x", "--pairs", "--kind", kind, stdin=data)
        assert done("ls", file, "--json").json == {}
    assert "line 3: not a pair" in said_no(2, "put", file, "x", "--pairs", stdin=b'["a", 1]\n["b", 2]\n["c"]\n')
    for broken in (b'["a", 1', b"a\t1", b'["a", NaN]', b"[" * 100_000, b"\xff"):
        said_no(2, "put", file, "x", "--pairs", stdin=broken)
    for more in (["k"], ["k", "v"], ["--stdin"], ["--bytes"], ["--hex"], ["--text"]):
        said_no(2, "put", file, "x", "--pairs", *more)
    done("put", file, "x", "--pairs", stdin=b" \n")
    assert done("count", file, "x").out == "0\n"


def test_pairs_carry_a_message(file):
    for kind in ("doc", "datastore"):
        said = done("put", file, kind, "--pairs", "--kind", kind, "-m", "many", "--json", stdin=b'["a", 1]').json
        (change,) = done("log", file, kind, "--json").json
        assert (change["id"], change["message"]) == (said["change"], "many") and said["keys"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_no(file, kind):
    done("put", file, "x", "k", "1", "--kind", kind)
    assert "no such key" in said_no(1, "get", file, "x", "other")
    assert "no such key" in said_no(1, "del", file, "x", "other")
    for args in (["get", "y", "k"], ["del", "y", "k"], ["count", "y"], ["query", "y"], ["show", "y"]):
        assert "no such name" in said_no(1, args[0], file, *args[1:])
    assert run("get", file, "x", "other", "--json").json is None
    done("del", file, "x", "k")
    said_no(1, "get", file, "x", "k")
    assert done("ls", file, "--json").json == {"x": kind}


def test_a_null_is_there(file):
    done("put", file, "x", "k", "null")
    assert done("get", file, "x", "k", "--json").json is None
    assert done("get", file, "x", "k").out == "null\n"


@pytest.mark.parametrize("kind", ["datastore", "store"])
def test_keys_that_are_bytes_are_given_in_hex(file, kind):
    done("put", file, "x", "00ff", "1", "--hex", "--kind", kind)
    done("put", file, "x", "00ff", "2")
    assert done("get", file, "x", "00ff", "--hex", "--json").json == 1
    assert done("get", file, "x", "0x00FF", "--hex", "--json").json == 1
    assert done("get", file, "x", "00ff", "--json").json == 2
    assert done("query", file, "x", "--json").json == [[{"bytes": "AP8="}, 1], ["00ff", 2]]
    assert done("query", file, "x", "--keys-only", "--prefix", "00", "--hex", "--json").json == [{"bytes": "AP8="}]
    done("del", file, "x", "00ff", "--hex")
    assert done("query", file, "x", "--json").json == [["00ff", 2]]
    assert "hex" in said_no(2, "get", file, "x", "xyz", "--hex")


def test_a_name_has_one_kind(file):
    done("put", file, "x", "k", "1", "--kind", "store")
    assert "'x' is a store, not a doc" in said_no(2, "put", file, "x", "k", "1", "--kind", "doc")
    done("put", file, "x", "k", "2")
    assert done("ls", file, "--json").json == {"x": "store"}


def test_values_and_keys_beyond_bounds_are_usage(file):
    for typed in (str(2**63), "9" * 5000, '"\\ud800"', "[" * 200 + "]" * 200, "[" * 50_000 + "]" * 50_000):
        said_no(2, "put", file, "x", "k", typed)
    said_no(2, "put", file, "x", "k" * 5000, "1")
    said_no(2, "put", file, "n" * 300, "k", "1")
    said_no(2, "put", file, "x", "\udcff", "1")
    assert "text" in said_no(2, "put", file, "d", "00", "1", "--hex", "--kind", "doc")
    assert "d" not in done("ls", file, "--json").json


def test_a_text_is_changed_not_replaced(file):
    done("put", file, "d", "body", "We meet at noon.", "--text")
    done("put", file, "d", "body", "We all meet at noon.", "--text", "-m", "all")
    assert done("ls", file, "d", "--json").json == {"body": "text"}
    pieces = [piece["text"] for piece in done("blame", file, "d", "body", "--json").json]
    assert pieces == ["We ", "all ", "meet at noon."]
    assert done("put", file, "d", "body", "We all meet at noon.", "--text", "--json").json["change"] is None


# ---- places in a document


@pytest.fixture
def notes(file):
    """A document with something in it."""
    done("put", file, "notes", "items", '[{"what": "bread", "a/b": 1}, 7]', "--kind", "doc")
    done("put", file, "notes", "title", "Picnic")
    return file


def content(file):
    return done("show", file, "notes", "--json").json


@pytest.mark.parametrize("path", ["items/0/what", "items[0].what", '["items", 0, "what"]', "items/-2/what"])
def test_a_path_leads_to_what_is_there(notes, path):
    assert done("get", notes, "notes", path, "--path").out == "bread\n"
    done("put", notes, "notes", path, "wine", "--path")
    assert content(notes)["items"][0]["what"] == "wine"
    assert done("get", notes, "notes", path, "--path", "--all", "--json").json == ["wine"]
    done("del", notes, "notes", path, "--path")
    assert content(notes) == {"items": [{"a/b": 1}, 7], "title": "Picnic"}
    assert "nothing is at" in said_no(1, "del", notes, "notes", path, "--path")


def test_a_path_leads_to_new_keys_of_maps_and_to_items_that_are_there(notes):
    done("put", notes, "notes", "items/0/done", "true", "--path")
    done("put", notes, "notes", "items.0.more", "{}", "--path")
    done("put", notes, "notes", "items/0/a/b", "2", "--path")
    done("put", notes, "notes", "items/1", "8", "--path")
    done("put", notes, "notes", "plain", "9", "--path")
    done("put", notes, "notes", "items/0/body", "We meet.", "--path", "--text")
    done("put", notes, "notes", "items/0/body", "We all meet.", "--path", "--text")
    first = {"what": "bread", "a/b": 2, "done": True, "more": {}, "body": "We all meet."}
    assert content(notes) == {"items": [first, 8], "plain": 9, "title": "Picnic"}
    done("del", notes, "notes", "items/0", "--path")
    assert content(notes)["items"] == [8]
    for path in ("items/9", "items/0/x", "nowhere/x", "title/x", "[]"):
        assert said_no(1, "put", notes, "notes", path, "1", "--path")
        assert said_no(1, "get", notes, "notes", path, "--path")
    assert content(notes)["items"] == [8]


def test_a_path_in_json_means_what_it_says(notes):
    """Each step is one key: so what cannot be told apart with slashes can be."""
    done("put", notes, "notes", "a/b", "1")
    done("put", notes, "notes", "a", '{"b": 2}')
    assert [done("get", notes, "notes", path, "--path").out for path in ("a/b", '["a/b"]', '["a", "b"]')] == [
        "1\n",
        "1\n",
        "2\n",
    ]
    done("put", notes, "notes", '["a", "x/y"]', "3", "--path")
    done("put", notes, "notes", '["items", 0, "done"]', "true", "--path")
    done("del", notes, "notes", '["a/b"]', "--path")
    assert content(notes) == {
        "a": {"b": 2, "x/y": 3},
        "items": [{"what": "bread", "a/b": 1, "done": True}, 7],
        "title": "Picnic",
    }


def test_a_path_of_very_many_steps_is_soon_known_to_lead_nowhere(notes):
    began = time.monotonic()
    assert "nothing is at" in said_no(1, "show", notes, "notes", "/" * 100_000)
    assert time.monotonic() - began < 10


def test_a_key_that_could_have_been_a_path_is_noted(notes):
    for path in ("items/0/done", "items/0/what"):
        result = run("put", notes, "notes", path, "true", "--json")
        assert result.code == 0 and result.json["kind"] == "doc"
        assert f"'{path}' is a key of the root now" in result.err and result.err.count("\n") == 1
        assert content(notes)[path] is True
        done("put", notes, "notes", path, "false")  # it is a key now, and known as one
        assert done("get", notes, "notes", path).out == "false\n"
    assert "--path takes it as a path" in said_no(1, "get", notes, "notes", "items/0")
    assert "--path takes it as a path" in said_no(1, "del", notes, "notes", "items/0")
    assert "--path" not in said_no(1, "get", notes, "notes", "a/b/c")
    done("put", notes, "notes", "x/y", "1")  # no path to anything


@pytest.mark.parametrize("kind", ["datastore", "store"])
def test_only_documents_have_paths(file, kind):
    done("put", file, "kv", "k", "1", "--kind", kind)
    for args in (["get"], ["del"], ["put", "1"]):
        assert "for documents" in said_no(2, args[0], file, "kv", "k", *args[1:], "--path")
    assert said_no(2, "put", file, "new", "--pairs", "--path")
    assert "for documents" in said_no(2, "put", file, "new", "a", "1", "--path")
    assert done("ls", file, "--json").json == {"kv": kind}


# ---- many keys

CONTENT = {f"{a}/{b}": n for n, (a, b) in enumerate((a, b) for a in ("a", "b", "ü") for b in ("x", "y", "z", ""))}


@pytest.fixture(params=KINDS)
def filled(request, file):
    with ck.Database(file) as db:
        getattr(db, request.param)("x").update(CONTENT)
    return file


def expected(prefix="", after=None, limit=None, offset=0, reverse=False):
    keys = sorted((k for k in CONTENT if k.startswith(prefix)), key=str.encode, reverse=reverse)
    if after is not None:
        keys = [k for k in keys if (k.encode() < after.encode() if reverse else k.encode() > after.encode())]
    return keys[offset:][: len(keys) if limit is None else limit]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"prefix": "a/"},
        {"prefix": "ü"},
        {"prefix": "nothing"},
        {"after": "a/y"},
        {"after": "a/y", "reverse": True},
        {"after": "b/nowhere"},
        {"limit": 3},
        {"limit": 0},
        {"offset": 2, "limit": 3},
        {"offset": 100},
        {"prefix": "b", "after": "b/x", "offset": 1, "limit": 1, "reverse": True},
        {"prefix": "b", "after": "a", "reverse": True},
    ],
)
def test_query(filled, asked):
    options = [
        word for name, value in asked.items() for word in ([f"--{name}"] if value is True else [f"--{name}", value])
    ]
    keys = expected(**asked)
    assert done("query", filled, "x", *options, "--keys-only", "--json").json == keys
    assert done("query", filled, "x", *options, "--json").json == [[key, CONTENT[key]] for key in keys]
    assert done("query", filled, "x", *options, "--keys-only").out == "".join(f"{key}\n" for key in keys)
    assert done("query", filled, "x", *options).out == "".join(f"{key}\t{CONTENT[key]}\n" for key in keys)


def test_after_matches_by_bytes_keys_of_both_types(file):
    with ck.Database(file) as db:
        for kind in ("datastore", "store"):
            getattr(db, kind)(kind).update({"a": 1, b"a": 2, "b": 3, b"b": 4})
    for kind in ("datastore", "store"):
        assert done("query", file, kind, "--after", "a", "--json").json == [["b", 3], [{"bytes": "Yg=="}, 4]]
        assert done("query", file, kind, "--after", "b", "--reverse", "--keys-only", "--json").json == [
            {"bytes": "YQ=="},
            "a",
        ]


def test_counters(file):
    with ck.Database(file) as db:
        kv = db.datastore("x")
        for n, page in enumerate(("a", "b", "c")):
            kv.counter(f"views/{page}").increment(n + 1)
        kv.counter("other").increment(5)
        db.store("s")["k"] = 1
    assert done("query", file, "x", "--counters", "--json", "--prefix", "views/").json == [
        ["views/a", 1],
        ["views/b", 2],
        ["views/c", 3],
    ]
    assert done("query", file, "x", "--counters", "--after", "views/b", "--reverse").out == "views/a\t1\nother\t5\n"
    assert done("query", file, "x", "--json").json == []
    assert "only datastores" in said_no(2, "query", file, "s", "--counters")


@pytest.mark.parametrize("kind", KINDS)
def test_all_concurrent_values(file, kind):
    made = {"doc": ck.Doc, "datastore": ck.Datastore, "store": ck.Store}[kind]
    a = made()
    b = made() if kind == "store" else made(id=a.id)
    a["k"], b["k"] = "one", ["two"]
    ck.sync(a, b)
    with ck.Database(file) as db:
        db.add("x", a)
    shown = done("get", file, "x", "k", "--json").json
    both = done("get", file, "x", "k", "--all", "--json").json
    assert both[0] == shown and sorted(map(str, both)) == ["['two']", "one"]
    assert len(done("get", file, "x", "k", "--all").out.splitlines()) == 2
    said_no(1, "get", file, "x", "nothing", "--all")


def test_count(filled):
    assert done("count", filled, "x", "--json").json == len(CONTENT)
    assert done("count", filled, "x").out == f"{len(CONTENT)}\n"
    assert done("count", filled, "x", "--prefix", "a/").out == "4\n"


def test_containers_of_documents_are_plain(file):
    with ck.Database(file) as db:
        doc = db.doc("d")
        doc.update({"t": ck.Text("hi"), "c": ck.Counter(2**70), "s": {"b", "a"}, "m": {"l": [b"\0", float("inf")]}})
    content = {
        "c": 2**70,
        "m": {"l": [{"bytes": "AA=="}, {"float": "inf"}]},
        "s": ["a", "b"],
        "t": "hi",
    }
    assert done("show", file, "d", "--json").json == content
    assert dict(done("query", file, "d", "--json").json) == content
    for key, value in content.items():
        assert done("get", file, "d", key, "--json").json == value
    assert json.loads(done("get", file, "d", "m").out) == content["m"]
