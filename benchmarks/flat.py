"""Writes traces as flat binary files that C reads without a parser: `python benchmarks/flat.py [DIR]`.

They go to build/traces. DIR (or CRDTKV_TRACES) holds the `*.json.gz` of the editing-traces collection; without it,
traces of the same shape are made up from a seed, under the same names, and the program says so. A concurrent trace is
written twice: with its transactions joined as far as the merges allow, and as it is, as NAME-keys.

All numbers are u32, little-endian:

    "ckvtrace"  made_up  n_txns  n_parents  n_patches  n_chars  n_agents  start  end
    transactions: n_txns    x (agent, n_parents, n_patches)
    parents:      n_parents x index of a transaction          in a sequential trace each has the one before it
    patches:      n_patches x (position, n_deleted, n_inserted)
    characters:   n_chars   x code point                      the start (`start` many), what patches insert, the end
"""

from __future__ import annotations

import importlib.util
import os
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def traces_module() -> Any:
    """crdtkv/traces.py alone: the C benchmarks do not need the extension."""
    spec = importlib.util.spec_from_file_location("crdtkv_traces", ROOT / "crdtkv" / "traces.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def chosen(directory: str | None) -> Iterator[tuple[str, Any, bool]]:
    """(file name, trace, whether it is made up)"""
    traces = traces_module()
    where = directory or os.environ.get("CRDTKV_TRACES")
    if where:
        found = [(trace.name, trace) for trace in traces.find(Path(where))]
    else:
        print("no traces given (a folder as argument or in CRDTKV_TRACES): made up from seed 1, of the same shape")
        found = [("automerge-paper", traces.made_up(1, 260_000)), ("friendsforever", traces.made_up_concurrent(1))]
    for name, trace in found:
        yield name, traces.joined(trace) if trace.parents else trace, not where
        if trace.parents:
            yield f"{name}-keys", trace, not where


def flat(trace: Any, made_up: bool) -> bytes:
    """The trace in this file's format."""
    txns, parents, patches = array("I"), array("I"), array("I")
    chars: list[str] = [trace.start]
    for i, txn in enumerate(trace.txns):
        before = trace.parents[i] if trace.parents else [i - 1] if i else []
        txns.extend((trace.agents[i] if trace.agents else 0, len(before), len(txn)))
        parents.extend(before)
        for pos, n_del, text in txn:
            patches.extend((pos, n_del, len(text)))
            chars.append(text)
    chars.append(trace.end)
    points = array("I", map(ord, "".join(chars)))
    n_agents = max(trace.agents) + 1 if trace.agents else 1
    numbers = (made_up, len(trace.txns), len(parents), len(patches) // 3, len(points), n_agents)
    header = array("I", (*numbers, len(trace.start), len(trace.end)))
    if header.itemsize != 4 or sys.byteorder != "little":
        sys.exit("flat.py wants u32 in little-endian order")
    return b"ckvtrace" + b"".join(map(bytes, (header, txns, parents, patches, points)))


def main(arguments: list[str]) -> None:
    target = ROOT / "build" / "traces"
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.flat"):
        old.unlink()
    for name, trace, made_up in chosen(arguments[0] if arguments else None):
        (target / f"{name}.flat").write_bytes(flat(trace, made_up))


if __name__ == "__main__":
    main(sys.argv[1:])
