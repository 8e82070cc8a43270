"""Writes the golden messages of stores that are not there yet, and store.txt for all of them.

A message is never written again.

    .venv/bin/python tests/golden/make_store.py

The core writes them; the oracle says what they mean.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv as ck  # noqa: E402
from oracle import store_wire as wire  # noqa: E402

HERE = Path(__file__).resolve().parent
READERS = {
    ".ckr": (wire.read_request, wire.write_request),
    ".ckd": (wire.read_diff, wire.write_diff),
    ".cko": (wire.read_op, wire.write_op),
    ".cks": (wire.read_opset, wire.write_opset),
    ".ckv": (wire.read_save, wire.write_save),
}
VALUES = {
    "none": None,
    "true": True,
    "false": False,
    "int": [0, -1, 2**63 - 1, -(2**63)],
    "float": [0.5, -0.0, float("inf"), float("nan")],
    "str": "naïve 😀\x00",
    "bytes": b"\x00\xff",
    "list": [[], [[1], "x"]],
    "dict": {"": {}, "z": None, "a": [{"b": b""}]},
    "": "the empty str",
    b"": "empty bytes, another key",
    b"\xff\xfe": "no UTF-8",
}


def store(name: str | bytes, ms: int) -> ck.Store:
    raw = name if isinstance(name, bytes) else name.encode()
    return ck.Store(name, clock=lambda: ms, incarnation=raw + b"/incarnat")


def pull(to: ck.Store, source: ck.Store) -> None:
    to.integrate_diff(source.build_diff(to.request_diff()))


def stories() -> dict[str, bytes]:
    ada, ben = store("ada", 1000), store(b"ben\xff", 1001)
    out = {}
    ada.update(VALUES)
    ada["both"] = "ada's, hidden"
    pull(ben, ada)
    out["empty.ckr"] = store("new", 0).request_diff()
    out["empty.ckd"] = ben.build_diff(ben.request_diff())
    out["empty.cks"] = store("new", 0).opset()
    out["empty.ckv"] = store("new", 0).save()
    del ben["none"], ben["list"], ben["false"]
    out["runs.ckr"] = ben.request_diff()
    ada["both"] = "ada's, hidden"
    ben["both"] = "ben's, shown"
    ada["late"] = 1
    del ada["int"]
    pull(ada, ben)
    out["rows_and_deaths.ckd"] = ada.build_diff(out["runs.ckr"])
    pull(ben, ada)
    out["hidden.ckv"] = ben.save()
    out["all.ckd"] = ada.build_diff(out["empty.ckr"])
    mine = ben.opset()
    first = ada.opset()
    out["supersedes_two.cko"] = ada.insert_with_op("both", {"now": ["one"]})
    out["remove.cko"] = ada.remove_with_op(b"")
    with ada.transaction() as t:
        t["x"], t[b"x"] = 1, 2.5
        del t["dict"]
    second = ada.opset()
    out["one.cks"] = second
    out["merged.cks"] = ck.Store.merge_opsets(mine, second)
    cay = store("cay", 1002)
    pull(cay, ben)
    cay["own"] = True
    cay["str"] = "cay's"
    cay.integrate_op(out["supersedes_two.cko"])
    cay.integrate_opset(second)
    out["that_waits.ckv"] = cay.save()
    cay.integrate_opset(first)
    out["settled.ckv"] = cay.save()
    many = store("many", 5)
    many.update((str(n), n) for n in range(200))
    many.update((str(n), n) for n in range(200) if n % 3 or n > 150)
    out["bitmap.ckr"] = many.request_diff()
    return out


def told(name: str, message: bytes) -> str:
    read, write = READERS[Path(name).suffix]
    found: Any = read(message)
    assert write(found) == message, name
    return f"{name}\n    {found!r}\n"


def main() -> None:
    for name, message in stories().items():
        path = HERE / f"store_{name}"
        if not path.exists():
            path.write_bytes(message)
    paths = sorted(path for path in HERE.glob("store_*") if path.suffix in READERS)
    (HERE / "store.txt").write_text("".join(told(path.name, path.read_bytes()) for path in paths), encoding="utf-8")


if __name__ == "__main__":
    main()
