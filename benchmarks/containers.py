"""Cases of maps, lists and what is nested, beside dict, list and json ("Python") and the other libraries."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from measuring import SEED, Figures, need, resident, timed, typical
from structures import ITSELF


def keyed(library: str, pairs: list[tuple[str, Any]], nested: bool) -> Figures:
    """Sets the keys one by one, saves in every format there is, loads from each; `bytes` and `load` are the best."""
    doc = ITSELF[library]()
    at = doc.map(nested)
    before = resident()
    seconds, _ = timed(lambda: doc.set_all(at, pairs))
    close, _ = timed(doc.close)
    out: Figures = {"seconds": seconds, "close": close, "memory": resident() - before}
    key, value = pairs[len(pairs) // 2]
    plain = dict(pairs)
    for form, save in doc.forms().items():
        export, data = timed(save)
        load, got = typical(lambda data=data: ITSELF[library].load(data).get(key, nested), 5)
        need(got == value, f"a value that was loaded from {form}")
        every, got = typical(lambda data=data: ITSELF[library].load(data).plain(), 3)
        need((got["map"] if nested else got) == plain, f"what was loaded from {form}")
        out |= {f"{form}: export": export, f"{form}: bytes": len(data), f"{form}: load": load, f"{form}: every": every}
    for figure in ("export", "bytes", "load", "every"):
        out[figure] = min(n for name, n in out.items() if name.endswith(f": {figure}"))
    out["to_py"], _ = typical(doc.plain, 5)
    return out


def map_root(library: str, where: str, n: int = 200_000) -> Figures:
    return keyed(library, [(f"key{i}", i) for i in range(n)], False)


def map_nested(library: str, where: str, n: int = 200_000) -> Figures:
    return keyed(library, [(f"key{i}", i) for i in range(n)], True)


def map_random(library: str, where: str, n: int = 200_000) -> Figures:
    """Keys of 8 random hex digits and short random words as values: nothing that a compressor foresees."""
    rng = random.Random(SEED)
    return keyed(library, [(f"{rng.getrandbits(32):08x}", f"{rng.getrandbits(28):07x}") for _ in range(n)], False)


def filled(library: str, plain: list[Any], fill: Callable[[Any, Any], None]) -> Figures:
    doc = ITSELF[library]()
    at = doc.list()
    doc.close()
    before = resident()
    seconds, _ = timed(lambda: fill(doc, at))
    close, _ = timed(doc.close)
    memory = resident() - before
    to_py, got = typical(doc.plain, 5)
    need(got["list"] == plain, "the list")
    n = len(plain)
    return {"seconds": seconds / n, "close": close / n, "memory": memory / n, "to_py": to_py / n}


def list_append(library: str, where: str, n: int = 100_000) -> Figures:
    values = list(range(n))
    return filled(library, values, lambda doc, at: doc.append_all(at, values))


def list_insert(library: str, where: str, n: int = 20_000) -> Figures:
    rng = random.Random(SEED)
    pairs = [(rng.randint(0, i), i) for i in range(n)]
    plain: list[int] = []
    for index, value in pairs:
        plain.insert(index, value)
    return filled(library, plain, lambda doc, at: doc.insert_all(at, pairs))


def nested(library: str, keyed: bool, n: int) -> Figures:
    """Flat dicts from one plain structure, as containers; and back. Python itself: copies, and json.loads."""
    flats = [{"name": f"name{i}", "n": i, "done": i % 3 == 0, "ratio": i / 7} for i in range(n)]
    plain = {flat["name"]: flat for flat in flats} if keyed else {"list": flats}
    doc = ITSELF[library]()
    before = resident()
    seconds, _ = timed(lambda: doc.nest(flats, keyed))
    close, _ = timed(doc.close)
    memory = resident() - before
    text = json.dumps(plain)
    to_py, got = typical((lambda: json.loads(text)) if library == "Python" else doc.plain, 7)
    need(got == plain, "the objects")
    out: Figures = {"seconds": seconds, "close": close, "memory": memory, "to_py": to_py}
    sizes, loads = [], []
    for save in doc.forms().values():
        data = save()
        sizes.append(len(data))
        load, got = typical(lambda data=data: ITSELF[library].load(data).plain(), 3)
        need(got == plain, "the objects that were loaded")
        loads.append(load)
    return out | {"bytes": min(sizes), "every": min(loads)}


def objects(library: str, where: str, n: int = 20_000) -> Figures:
    return nested(library, False, n)


def objects_keyed(library: str, where: str, n: int = 20_000) -> Figures:
    return nested(library, True, n)


CASES = (map_root, map_nested, map_random, list_append, list_insert, objects, objects_keyed)
