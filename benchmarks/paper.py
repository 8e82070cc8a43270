"""The traces that the cases replay: the published ones, or made-up ones of the same shape."""

from __future__ import annotations

from pathlib import Path

from measuring import SEED, need

from crdtkv import traces


def sequential(where: str) -> tuple[list[traces.Splice], str]:
    trace = traces.read(Path(where, "automerge-paper.json.gz")) if where else traces.made_up(SEED, 260_000)
    need(not trace.start, "a trace with a start")
    return [splice for txn in trace.txns for splice in txn], trace.end


def concurrent(where: str) -> traces.Trace:
    trace = traces.read(Path(where, "friendsforever.json.gz")) if where else traces.made_up_concurrent(SEED)
    need(not trace.start, "a trace with a start")
    return traces.joined(trace)


def runs_of(edits: list[traces.Splice]) -> list[traces.Splice]:
    """The same edits with typing and deleting in one stretch as one call each."""
    out: list[traces.Splice] = []
    for pos, n_del, s in edits:
        if out:
            at, n, before = out[-1]
            if s and not n_del and not n and at + len(before) == pos:
                out[-1] = at, 0, before + s
                continue
            if n_del and not s and not before and n and (pos == at or pos + n_del == at):
                out[-1] = pos, n + n_del, ""
                continue
        out.append((pos, n_del, s))
    return out
