"""What a display costs: objects with a million of everything, the milliseconds until their HTML is there, and its size.

    .venv/bin/python benchmarks/displays.py [--n 1000000]

The first display of a process also loads crdtkv.notebook; the first line is that. Each object is shown `--runs` times,
the median counts. Exit code 1: something is over 100 ms or over its size.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import crdtkv as ck

MOST_MS, MOST_BYTES, MOST_GRAPH = 100.0, 64 << 10, 512 << 10


def history(n: int) -> ck.Doc:
    """A document of n changes: half of them type into a text, half set keys of a map, by three authors."""
    doc = ck.Doc()
    doc["text"], doc["map"] = ck.Text(), {}
    replicas = [doc, *(doc.fork(ck.Identity.generate()) for _ in range(2))]
    for part in range(0, n, 3000):
        for r, replica in enumerate(replicas):
            text, keys = replica["text"], replica["map"]
            for i in range(part, min(part + 3000, n), 6):
                text.insert(min(len(text), i // 2), "a")
                replica.commit()
                keys[str((i + r) % 200_000)] = i
                replica.commit()
        for other in replicas[1:]:
            doc.merge(other)
            other.merge(doc)
    return doc


def contents(n: int) -> ck.Doc:
    """A document of a few large containers."""
    doc = ck.Doc()
    doc["map"], doc["list"], doc["set"] = {}, [], set()
    for start in range(0, n, 200_000):
        some = range(start, min(n, start + 200_000))
        doc["map"].update({str(i): i for i in some})
        doc.commit()
        doc["list"].extend(some)
        doc.commit()
        doc["set"].update(some)
        doc.commit()
    doc["text"] = ck.Text("all work and no play " * (n // 21))
    return doc


def store(n: int) -> ck.Store:
    s = ck.Store()
    s.update({f"key/{i}": i for i in range(n)})
    return s


def datastore(n: int) -> ck.Datastore:
    kv = ck.Datastore()
    for start in range(0, n, 1000):
        with kv.batch() as b:
            for i in range(start, min(n, start + 1000)):
                b.put(f"key/{i}", i)
    return kv


Case = tuple[str, Callable[[], Any]]  # what, and a call that gives what is shown; the call counts, too


def of_a_history(n: int) -> Iterator[Case]:
    doc = history(n)
    yield f"Doc of {doc.stats()['changes']:,} changes", lambda: doc
    yield f"Text of {len(doc['text']):,} characters, a change each", lambda: doc["text"]
    yield f"Map of {len(doc['map']):,} keys", lambda: doc["map"]
    yield "graph() of them", doc.graph
    yield "timeline() of them", doc.timeline
    changes, blame = doc.changes(), doc["text"].blame()
    yield f"ChangeList of {len(changes):,}", lambda: changes
    yield f"Blame of {len(blame):,} runs", lambda: blame


def of_contents(n: int) -> Iterator[Case]:
    doc = contents(n)
    yield f"Doc of containers with {n:,} each", lambda: doc
    for name in ("map", "list", "set", "text"):
        yield f"{type(doc[name]).__name__} of {len(doc[name]):,}", lambda name=name: doc[name]
    heads = doc.heads
    yield "at(heads) of it", lambda: doc.at(heads)


def of_keys(n: int) -> Iterator[Case]:
    s = store(n)
    yield f"Store of {n:,} keys", lambda: s
    entries = s.entries()
    yield f"Entries of {n:,} keys", lambda: entries
    kv = datastore(n)
    yield f"Datastore of {n:,} keys", lambda: kv
    yield "graph() of it", kv.graph


def measured(make: Callable[[], Any], runs: int) -> tuple[float, int, bool]:
    """Median ms, bytes, and whether it is a picture."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        thing = make()
        html = thing._repr_html_()
        times.append((time.perf_counter() - began) * 1e3)
    assert "cannot be shown" not in html
    return statistics.median(times), len(html.encode()), isinstance(thing, ck.Graph)


def first_display() -> float:
    """ms that a process spends on loading the displays."""
    code = "import crdtkv, time; t = time.perf_counter(); crdtkv.Doc()._repr_html_(); print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print("| display | ms | KiB |\n| --- | ---: | ---: |")
    print(f"| an empty document, first of a process | {first_display():.1f} | |")
    over = 0
    for what, make in (case for group in (of_a_history, of_contents, of_keys) for case in group(options.n)):
        ms, n_bytes, is_graph = measured(make, options.runs)
        over += ms > MOST_MS or n_bytes > (MOST_GRAPH if is_graph else MOST_BYTES)
        print(f"| {what} | {ms:.1f} | {n_bytes / 1024:.1f} |", flush=True)
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
