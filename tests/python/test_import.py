"""What `import crdtkv` brings along, and what it leaves for those who ask for it."""

import subprocess
import sys

import pytest

import crdtkv as ck

HEAVY = {"dataclasses", "inspect", "hashlib", "sqlite3", "json", "random", "asyncio", "ssl", "pathlib", "argparse"}
EXTRAS = {"click", "rich", "websockets", "nats", "networkx", "pandas", "IPython", "hypothesis", "prometheus_client"}
OURS = {"crdtkv.notebook", "crdtkv.net", "crdtkv.cli", "crdtkv.testing", "crdtkv.demo", "crdtkv.table"}


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after it, and would not have without."""
    command = [
        sys.executable,
        "-c",
        f"import sys; bare = set(sys.modules); {statement}; print(*set(sys.modules) - bare)",
    ]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_import_leaves_out_what_few_need():
    assert not loaded_by("import crdtkv") & (HEAVY | EXTRAS | OURS)


def test_what_is_left_out_comes_when_it_is_used():
    used = "import crdtkv as ck; kv = ck.Datastore(); kv['x'] = 1; kv.to_sql(':memory:')"
    assert {"sqlite3", "json", "crdtkv.table"} <= loaded_by(used)


@pytest.mark.parametrize("room", ["net", "testing"])
def test_rooms_of_their_own_are_there_without_an_import(room):
    assert f"crdtkv.{room}" in loaded_by(f"import crdtkv as ck; ck.{room}.__all__")
    with pytest.raises(AttributeError, match="no attribute 'nets'"):
        ck.nets  # noqa: B018
