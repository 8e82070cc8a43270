"""make sim: a few of its networks, and what it says of those that fail."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import crdtkv as ck
from crdtkv import testing

COMMAND = Path(__file__).with_name("simulate.py")
SEEDS = int(os.environ.get("SEEDS", "400"))


@pytest.fixture
def simulate() -> Any:
    spec = importlib.util.spec_from_file_location("simulate", COMMAND)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(40))
def test_a_network_and_the_oracle_agree(simulate: Any, seed: int) -> None:
    happened = simulate.one_run(seed, 60, oracle=True)
    assert happened["changes"] and happened["equivocations"]


@pytest.mark.parametrize("seed", range(12))
def test_a_network_of_datastores_and_the_oracle_agree(simulate: Any, seed: int) -> None:
    happened = simulate.one_run(seed, 60, oracle=True, kind="datastore")
    assert happened["changes"] and happened["equivocations"] and happened["compactions"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["doc", "datastore"])
def test_many_networks_and_the_oracle_agree(simulate: Any, kind: str) -> None:
    first = random.randrange(1 << 32)
    given = ["--kind", kind, "--seeds", str(SEEDS), "--first", str(first), "--jobs", "1"]
    assert simulate.main(given) == 0, first


def test_the_command_says_what_happened() -> None:
    told = subprocess.run(
        [sys.executable, str(COMMAND), "--seeds", "30", "--jobs", "2"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    first, happened, last = told.stdout.splitlines()
    assert first.startswith("seeds 0 to 29, 80 steps each, 2 processes: ") and "runs/s" in first
    assert " edits, " in happened and " proofs" in happened and "0 void" not in happened.split(", ")
    assert last == "30 runs are as they should be, 0 are not"


class Odd(ck.Doc):
    """Shows its author among the content, once it has heard of many changes."""

    def to_py(self) -> dict[str, Any]:
        return super().to_py() | ({"odd": self.identity.public_key} if len(self.changes()) > 9 else {})


def test_what_fails_is_shortened_and_replays(simulate: Any, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("crdtkv.testing.kinds.Doc", Odd)
    assert simulate.main(["--seeds", "3", "--jobs", "1"]) == 1
    told = capsys.readouterr().out
    assert "are not 0 1 2" in told and "fails after" in told
    script = next(line for line in told.splitlines() if line.startswith("testing.Network(seed=0"))
    with pytest.raises(AssertionError, match="differ"):
        exec(script, {"testing": testing})


def test_the_oracle_finds_what_is_wrong(simulate: Any, monkeypatch: Any) -> None:
    net = testing.Network(1).run(40).heal()
    doc = net.replicas[0]
    simulate.by_the_oracle(doc, 1)
    shown = doc.to_py
    monkeypatch.setattr(ck.Doc, "to_py", lambda self: {**shown(), "odd": 1})
    with pytest.raises(AssertionError, match="content"):
        simulate.by_the_oracle(doc, 1)


def test_the_oracle_finds_what_is_wrong_with_a_datastore(simulate: Any, monkeypatch: Any) -> None:
    net = testing.Network(1, kind="datastore").run(40).heal()
    kv = net.replicas[0]
    simulate.by_the_oracle(kv, 1)
    monkeypatch.setattr(ck.Datastore, "conflicts", lambda self, key: {"op": 1})
    with pytest.raises(AssertionError, match="content"):
        simulate.by_the_oracle(kv, 1)
