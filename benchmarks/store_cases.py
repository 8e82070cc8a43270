"""Cases of key-value stores, each in a process of its own: benchmarks/store.py starts them and makes tables.

python benchmarks/store_cases.py CASE LIBRARY N       prints the figures as JSON: seconds and bytes
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

from keyvalue import STORES
from measuring import SEED, Figures, need, resident, timed, typical

KEY, VALUE = 16, 100
PAYLOAD = KEY + VALUE
BEHIND = 1000
FILES = 500  # single writes to what waits for a disk after each


def made_up(n: int, seed: int = SEED) -> Iterator[tuple[bytes, bytes]]:
    """Keys in scrambled order, and values that nothing can compress."""
    rng = random.Random(seed)
    for _ in range(n):
        yield b"%016x" % rng.getrandbits(64), rng.randbytes(VALUE)


# ---- beside others


def keys(library: str, n: int) -> Figures:
    """Everything in one process, seconds a call: what is written is there for what reads."""
    kind = STORES[library][1]
    pairs = [(kind.key(k), v) for k, v in made_up(n)]
    rng = random.Random(SEED + 1)
    order = [k for k, _ in pairs]
    rng.shuffle(order)
    out: Figures = {"loop": timed(lambda: loop(pairs))[0] / n}
    store = kind()
    out["insert"] = timed(lambda: store.insert(pairs))[0] / n
    need(len(store) == n, "the number of keys")
    out["get"] = timed(lambda: store.get(order))[0] / n
    seconds, found = timed(store.scan)
    need(found == n, "a scan")
    out["scan"] = seconds / n
    if hasattr(store, "prefixes"):
        some = [b"%04x" % i for i in rng.sample(range(1 << 16), 10_000)]
        seconds, found = timed(lambda: store.prefixes(some))
        asked = set(some)
        need(found == sum(k[:4] in asked for k in order), "the keys with a prefix")
        out["prefix"] = seconds / len(some)
    more = [(kind.key(k), v) for k, v in made_up(FILES if "file" in library else n // 50, SEED + 2)]
    began = time.perf_counter()
    out["single"] = timed(lambda: store.single(more))[0] / len(more)
    out["single, by the clock"] = (time.perf_counter() - began) / len(more)
    others = [(k, bytes(reversed(v))) for k, (_, v) in zip(order, pairs, strict=True)]
    out["overwrite"] = timed(lambda: store.insert(others))[0] / n
    need(len(store) == n + len(more), "the number of keys after overwriting")
    rng.shuffle(order)
    gone = order[: n // 2]
    out["delete"] = timed(lambda: store.delete(gone))[0] / len(gone)
    need(len(store) == n + len(more) - len(gone), "the number of keys after deleting")
    store = kind()
    out["update"] = timed(lambda: store.update(pairs))[0] / n
    need(len(store) == n, "the number of keys after update()")
    return out


def loop(pairs: list[tuple[Any, bytes]]) -> None:
    for _k, _v in pairs:
        pass


def memory(library: str, n: int) -> Figures:
    """Bytes of an entry beyond its key and value. These are made while they are written, so what is not needed goes."""
    kind = STORES[library][1]
    store = kind()
    store.insert([(kind.key(b"warm"), b"up")])
    before = resident()
    store.insert((kind.key(k), v) for k, v in made_up(n))
    out: Figures = {"resident": (resident() - before) / n - PAYLOAD}
    if library == "crdtkv":
        stats = store.at.stats()
        out |= {name: float(figure) for name, figure in stats.items() if isinstance(figure, int)}
    return out


# ---- Store alone: what replicas tell each other


def filled(n: int) -> Any:
    """A store with n keys, one transaction."""
    import crdtkv

    store = crdtkv.Store("ada")
    with store.transaction() as t:
        for k, v in made_up(n):
            t[k] = v
    return store


def copied(store: Any, name: str) -> Any:
    """Another replica with the same content."""
    import crdtkv

    return crdtkv.Store.load(store.save(), name)


def request(library: str, n: int) -> Figures:
    store = filled(n)
    seconds, data = typical(store.request_diff)
    need(store.index_size() == len(data), "index_size()")
    return {"seconds": seconds, "bytes": len(data)}


def behind(library: str, n: int) -> Figures:
    """A replica that has all but the last BEHIND puts asks for them."""
    ada = filled(n)
    ben = copied(ada, "ben")
    with ada.transaction() as t:
        for k, v in made_up(BEHIND, SEED + 3):
            t[k] = v
    asked, req = typical(ben.request_diff)
    built, diff = typical(lambda: ada.build_diff(req))
    taken, _ = timed(lambda: ben.integrate_diff(diff))
    need(len(ben) == n + BEHIND and ben.entries() == ada.entries(), "two replicas")
    return {"ask": asked, "request": len(req), "build": built, "bytes": len(diff), "integrate": taken}


def pull(library: str, n: int) -> Figures:
    """All of it to a replica that has nothing."""
    import crdtkv

    ada, ben = filled(n), crdtkv.Store("ben")
    req = ben.request_diff()
    built, diff = typical(lambda: ada.build_diff(req), 3)
    taken, _ = timed(lambda: ben.integrate_diff(diff))
    need(len(ben) == n and ben.entries() == ada.entries(), "two replicas")
    return {"build": built, "integrate": taken, "bytes": len(diff)}


def session(library: str, n: int) -> Figures:
    """Two replicas that each have something new, then one and a fresh one, by ck.sync."""
    import crdtkv

    ada, cleo = filled(n), crdtkv.Store("cleo")
    ben = copied(ada, "ben")
    for seed, store in enumerate((ada, ben), SEED + 5):
        store.update(made_up(BEHIND, seed))
    out: Figures = {}
    for name, other in ("", ben), ("all: ", cleo):
        seconds, report = timed(lambda other=other: crdtkv.sync(ada, other))
        need(other.entries() == ada.entries(), "two replicas")
        out |= {f"{name}seconds": seconds, f"{name}bytes": report.bytes, f"{name}rounds": report.rounds}
    return out


def disk(library: str, n: int) -> Figures:
    """To bytes and back."""
    import crdtkv

    store = filled(n)
    saved, data = typical(store.save, 3)
    loaded, copy = timed(lambda: crdtkv.Store.load(data))
    need(copy.entries() == store.entries(), "what was loaded")
    return {"save": saved, "load": loaded, "bytes": len(data)}


def opset(library: str, n: int) -> Figures:
    """BEHIND changes of a store of n, one by one: puts of new and old keys and removes."""
    ada = filled(n)
    ada.opset()
    ben = copied(ada, "ben")
    old = [k for k, _ in made_up(BEHIND)]
    for i, (k, v) in enumerate(made_up(BEHIND, SEED + 4)):
        if i % 4 == 3:
            del ada[old[i]]
        else:
            ada[k if i % 2 else old[i]] = v
    made, data = timed(ada.opset)
    taken, _ = timed(lambda: ben.integrate_opset(data))
    need(ben.entries() == ada.entries(), "two replicas")
    return {"make": made, "take": taken, "bytes": len(data)}


def op(library: str, n: int) -> Figures:
    """Puts of new keys and then of the same ones, then removes, a message each; seconds and bytes of one."""
    import crdtkv

    ada, ben = crdtkv.Store("ada"), crdtkv.Store("ben")
    pairs = list(made_up(n))
    out: Figures = {}

    def send(name: str, make: Callable[[], list[bytes]]) -> None:
        made, ops = timed(make)

        def take() -> None:
            integrate = ben.integrate_op
            for message in ops:
                integrate(message)

        taken, _ = timed(take)
        need(dict(ben) == dict(ada), f"two replicas after {name}")
        out.update({f"{name}, make": made / n, f"{name}, take": taken / n, f"{name}, bytes": sum(map(len, ops)) / n})

    put, remove = ada.insert_with_op, ada.remove_with_op
    send("put", lambda: [put(k, v) for k, v in pairs])
    send("put again", lambda: [put(k, v) for k, v in pairs])
    send("remove", lambda: [remove(k) for k, _ in pairs])
    return out


# ---- live dots in many patterns


def thinned(n: int, stays: Callable[[], bool]) -> Any:
    """Puts one after the other, whose dots are consecutive; n of them stay, the others are overwritten."""
    import crdtkv

    store = crdtkv.Store("ada", clock=lambda: NOW)
    i = 0
    while i < n:
        if stays():
            store[b"%016x" % i] = 0
            i += 1
        else:
            store[b"passing"] = 0
    store.pop(b"passing", None)
    return store


def by_time(n: int, burst: Callable[[], int]) -> Any:
    """Puts that stay, some in each millisecond."""
    import crdtkv

    now = NOW
    store = crdtkv.Store("ada", clock=lambda: now)
    i = 0
    while i < n:
        now += 1
        for _ in range(min(burst(), n - i)):
            store[b"%016x" % i] = 0
            i += 1
    return store


NOW = 1_700_000_000_000
RNG = random.Random(SEED)
EVERY = cycle((True, False))
THOUSAND = cycle((True,) * 999 + (False,))
PATTERNS: dict[str, Callable[[int], Any]] = {
    "all": lambda n: thinned(n, lambda: True),
    "all but 1 of 1,000": lambda n: thinned(n, lambda: next(THOUSAND)),
    "9 of 10, at random": lambda n: thinned(n, lambda: RNG.random() < 0.9),
    "half, at random": lambda n: thinned(n, lambda: RNG.random() < 0.5),
    "every second": lambda n: thinned(n, lambda: next(EVERY)),
    "1 of 10, at random": lambda n: thinned(n, lambda: RNG.random() < 0.1),
    "1 of 60, at random": lambda n: thinned(n // 10, lambda: RNG.random() < 1 / 60),
    "1 put a ms": lambda n: by_time(n, lambda: 1),
    "1 to 5 puts a ms": lambda n: by_time(n, lambda: RNG.randint(1, 5)),
    "1 to 1,000 puts a ms": lambda n: by_time(n, lambda: RNG.randint(1, 1000)),
    "1 put in about 50 ms": lambda n: by_time(n, lambda: int(RNG.random() < 0.02)),
}


def scattered(library: str, n: int, pattern: str) -> Figures:
    """A request, and what CRoaring makes of the same dots in its own portable format, optimised for runs."""
    import pyroaring

    store = PATTERNS[pattern](n)
    hlcs = [entry.hlc for entry in store.entries().values()]
    need(len(hlcs) == len(store), "the number of live dots")
    bitmap = pyroaring.BitMap64(hlcs)
    bitmap.run_optimize()
    seconds, data = typical(store.request_diff)
    return {"bytes": len(data), "roaring": len(bitmap.serialize()), "seconds": seconds, "dots": len(hlcs)}


CASES: dict[str, Callable[..., Figures]] = {
    case.__name__: case for case in (keys, memory, request, behind, pull, session, disk, opset, op, scattered)
}


def main(case: str, library: str, n: str, *args: str) -> None:
    print(json.dumps(CASES[case](library, int(n), *args)))


if __name__ == "__main__":
    main(*sys.argv[1:])
