"""crdtkv demo and replay."""

import gzip
import json

import pytest

from crdtkv import demo
from crdtkv.cli.replay import replayed
from crdtkv.traces import Trace
from house.shell import done, run, said_no

TXNS = [{"patches": [[1, 0, "X"]]}, {"patches": [[2, 1, ""], [2, 0, "c"]]}]
TRACE = {"startContent": "ab", "endContent": "aXc", "txns": TXNS}


def test_a_seed_tells_one_story():
    one = done("demo", "--seed", 3).out
    assert done("demo", "--seed", 3).out == one != done("demo", "--seed", 4).out
    assert "the same content and the same root" in one and "convict" in one
    said = done("demo", "--json", "--seed", -1).json
    assert said["ok"] and said["refused"] == 8 and len(said["liars"]) == 1


def test_a_demo_that_fails_says_no(monkeypatch):
    monkeypatch.setattr(demo, "verify_equivocation", lambda proof: b"somebody else" + bytes(19))
    result = run("demo")
    assert result.code == 1 and "THE LIE IS NOT PROVEN" in result.out
    assert run("demo", "--json").json["ok"] is False


@pytest.fixture
def folder(tmp_path):
    for name, end in (("right", "aXc"), ("wrong", "abc")):
        with gzip.open(tmp_path / f"{name}.json.gz", "wt") as file:
            json.dump(TRACE | {"endContent": end}, file)
    (tmp_path / "plain.json").write_text(json.dumps(TRACE))
    return tmp_path


def test_replay(folder, monkeypatch):
    said = done("replay", folder / "right.json.gz", "--json").json
    assert said["right"] and said["agree"] and said["splices"] == 3 and len(said["ways"]) == 5
    assert "the text is that of the trace" in done("replay", folder / "plain.json").out
    wrong = run("replay", folder / "wrong.json.gz")
    assert wrong.code == 1 and "the text is WRONG" in wrong.out
    both = run("replay", folder, "--json")
    assert both.code == 1 and [trace["right"] for trace in both.json] == [True, False]
    monkeypatch.setenv("CRDTKV_TRACES", str(folder / "plain.json"))
    assert done("replay").out.startswith("plain: 2 transactions")


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"{}",
        b'{"startContent": 1, "endContent": "", "txns": []}',
        b'{"startContent": "", "endContent": "", "txns": [{"patches": [[5, 0, "x"]]}]}',
        b'{"startContent": "", "endContent": "", "txns": [{"patches": [["x"]]}]}',
        b'{"kind": "concurrent", "endContent": "", "txns": [{"patches": [], "parents": [7], "agent": 0}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_trace(tmp_path, bad):
    (tmp_path / "bad.json").write_bytes(bad)
    said_no(4, "replay", tmp_path / "bad.json")
    (tmp_path / "bad.json.gz").write_bytes(gzip.compress(bad)[:-3])
    said_no(4, "replay", tmp_path / "bad.json.gz")


def test_no_traces(tmp_path):
    said_no(3, "replay", tmp_path)
    said_no(3, "replay", tmp_path / "nothing.json.gz")


def test_two_who_typed_at_once():
    txns = [[(0, 0, "Z")], [(2, 0, "c")], [(4, 0, "!")]]
    figures = replayed(Trace("two", "ab", "Zabc!", txns, [[], [], [0, 1]], [0, 1, 0]), lambda doing, txns: txns)
    assert figures and figures.agree and figures.right
    at_one_place = Trace("odd", "", "zy", [[(0, 0, "y")], [(0, 0, "z")]], [[], []], [0, 1])
    assert replayed(at_one_place, lambda doing, txns: txns).same_characters
    wrong = Trace("wrong", "", "zz", [[(0, 0, "a")]], [[]], [0])
    assert not replayed(wrong, lambda doing, txns: txns)
