"""What others wrote cannot reach the terminal: escapes, controls, changes of direction, line ends."""

import re
import time
import unicodedata

import pytest

import crdtkv as ck
from crdtkv.cli.screen import clean, clean_text, one_line
from house.shell import ESCAPES, done, on_a_terminal, run

EVIL = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x90q\x9c",
    "a\rb",
    "a\nb",
    "a\tb",
    "a\x00b",
    "a\x08\x08b",
    "\x7f",
    "\u202etxt.exe",
    "\u2066a\u2069",
    "\u200f\u061c",
    "a\u2028b\u2029c",
    "\ufeff",
    "\U000e0041",
    "\ufff9",
]
ALL = "".join(EVIL)
ARG = ALL.replace("\0", "")  # what can be typed


def harmless(text):
    """Nothing in it but what can be seen, and our own line ends and tabs."""
    bad = [c for c in text if c not in "\n\t" and not (c.isprintable() or unicodedata.category(c) == "Zs")]
    assert not bad, (bad, text)
    return True


@pytest.mark.parametrize("text", EVIL)
def test_clean(text):
    assert clean(text).isprintable() and clean(clean(text)) == clean(text)
    assert harmless(clean_text(text)) and one_line(text).isprintable()


def test_clean_leaves_what_people_write():
    for text in ("größe", "日本語　", "👨‍👩‍👧", "می‌خواهم", "a\u00a0b", "C:\\x", "é"):
        assert clean(text) == text


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        doc, kv, store = db.doc(f"doc{ARG}"), db.datastore(f"kv{ARG}"), db.store(f"store{ARG}")
        with doc.change(f"message{ALL}"):
            doc[f"key{ARG}"] = f"value{ALL}"
            doc["text"] = ck.Text(f"text{ALL}")
            doc["deep"] = {ALL: [{ALL: ALL}, {ALL.encode()}]}
        doc[f"key{ARG}"] = "other"
        doc.commit()
        with kv.batch(message=ALL) as batch:
            batch.put(f"key{ARG}", {ALL: [ALL, ALL.encode()]}, dag=f"dag{ALL}")
            batch.put(ALL.encode(), ALL)
        store.update({f"key{ARG}": ALL, ALL.encode(): ALL.encode()})
    return path


COMMANDS = [
    "ls",
    "ls {doc}",
    "ls {kv}",
    "ls {store}",
    "get {doc} {key}",
    "get {kv} {key}",
    "get {store} {key}",
    "get {kv} {hex} --hex",
    "get {doc} deep",
    "get {kv} {evil}",
    "get {evil} {evil}",
    "query {doc}",
    "query {kv}",
    "query {store} --keys-only",
    "show {doc}",
    "show {doc} text",
    "show {doc} {evil}",
    "show {kv}",
    "show {store}",
    "log",
    "graph",
    "graph {kv} --dot",
    "graph {kv} --svg",
    "diff {doc} empty heads",
    "diff {kv} empty heads",
    "diff {doc} {evil} heads",
    "blame {doc} text",
    "blame {doc} {key}",
    "blame {kv} {key}",
    "check",
    "verify",
    "stats {doc}",
    "export {evil} out",
    "frob{evil}",
    "query {doc} --limit {evil}",
    "query {doc} --{evil}",
    "import {doc} {evil}",
    "put {evil} x y --kind {evil}",
    "diff {doc} {evil} {evil}",
]


def words_of(command, file):
    names = {
        "doc": f"doc{ARG}",
        "kv": f"kv{ARG}",
        "store": f"store{ARG}",
        "key": f"key{ARG}",
        "evil": ARG,
        "hex": ALL.encode().hex(),
    }
    name, *rest = (word.format(**names) for word in command.split())
    return [name, str(file), *rest]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
def test_nothing_hostile_comes_out(file, command, as_json):
    if as_json and command.startswith("graph {kv}"):
        return
    result = run(*words_of(command, file), *["--json"] * as_json)
    assert harmless(result.out) and harmless(result.err) and result.err.count("\n") <= 1
    assert result.code in (0, 1, 2, 3, 4) and bool(result.err) == (result.code > 0)
    if as_json:
        assert result.out.isascii()
        if result.code < 2:
            assert result.json is not None or result.code == 1


def test_layout_cannot_be_forged(file):
    assert done("ls", file).out.count("\n") == 3
    assert all(line.count("\t") == 1 for line in done("query", file, f"kv{ARG}").out.splitlines())
    assert done("query", file, f"store{ARG}", "--keys-only").out.count("\n") == 2
    assert done("log", file).out.count("\n") == 4
    assert {line.count("\t") for line in done("log", file).out.splitlines()} == {5}


@pytest.mark.parametrize(
    "command",
    ["ls", "query {kv}", "show {doc}", "show {kv}", "log", "graph", "blame {doc} text", "get {kv} {key}", "verify"],
)
def test_a_terminal_sees_colours_of_ours_only(file, command):
    seen, code = on_a_terminal(*words_of(command, file))
    assert code == 0
    plain = ESCAPES.sub("", seen)
    assert harmless(plain.replace("\r", "")), plain
    colours = set(re.findall(r"\x1b\[([0-9;]*)m", seen))
    assert all(c in OURS or re.fullmatch(r"38;5;[0-9]+", c) for c in colours), colours


OURS = ["0", "1", "2", "1;36", "2;36", "31", "32", "33", "34", "35", "36", "2;33"]


def test_colour_is_only_for_terminals_that_want_it(file):
    seen, _ = on_a_terminal("ls", str(file))
    assert "\x1b[1;36m" in seen
    seen, _ = on_a_terminal("ls", str(file), NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)
    seen, _ = on_a_terminal("ls", str(file), "--json")
    assert "\x1b" not in seen
    assert "\x1b" not in run("ls", file).out


def test_a_bundle_is_not_printed_on_a_terminal(file):
    seen, code = on_a_terminal("export", str(file), f"doc{ARG}", "-")
    assert code == 2 and "a bundle is no text" in seen


def test_long_lines_stay_whole_on_a_terminal(tmp_path):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        db.datastore("kv")["k" * 150] = "v" * 300
    seen, _ = on_a_terminal("query", str(path), "kv")
    assert ESCAPES.sub("", seen) == "k" * 150 + '  "' + "v" * 300 + '"\n'


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """A value, a text and a message of millions of characters, and thousands of keys."""
    path = tmp_path_factory.mktemp("huge") / "huge.db"
    with ck.Database(path) as db:
        doc = db.doc("doc")
        doc.update({"s": "x" * 3_000_000, "text": ck.Text("line\n" * 200_000)})
        doc.commit("m" * 500_000)
        db.doc("many").update({f"k{n:05}": n for n in range(20_000)})
    return path


@pytest.mark.parametrize(
    "command",
    ["show doc", "show many", "ls many", "log doc", "blame doc text", "blame doc s", "diff doc empty heads"],
)
def test_what_is_huge_is_not_laid_out(huge, command):
    """Half a minute a megabyte is what that would take; a terminal breaks lines by itself."""
    name, *rest = command.split()
    began = time.monotonic()
    seen, code = on_a_terminal(name, str(huge), *rest)
    assert code == 0 and time.monotonic() - began < 20 and harmless(ESCAPES.sub("", seen))
    longest = max(re.findall(r"x+|m+", seen), key=len, default="")
    assert len(longest) == {"log doc": 500_000, "show doc": 3_000_000}.get(command, len(longest))


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_without_width_still_shows_all(file, columns):
    seen, _ = on_a_terminal("ls", str(file), COLUMNS=columns)
    assert "datastore" in seen


def test_a_table_nobody_can_look_at_is_lines(tmp_path):
    path = tmp_path / "app.db"
    with ck.Database(path) as db:
        db.datastore("kv").update({f"{n:05}": n for n in range(1_500)})
    seen, _ = on_a_terminal("ls", str(path), "kv")
    assert ESCAPES.sub("", seen).splitlines()[:2] == ["00000  int", "00001  int"] and seen.count("\n") == 1_500
