"""One server, one writer and many replicas over WebSocket, on the loopback: how long does an edit take to be
everywhere?

    python benchmarks/net.py [--replicas 100] [--rates 10,100,1000] [--seconds 5] [--processes 1] [--restart] [--json
    FILE]

Three kinds of processes: a server, a writer, and `--processes` that hold the replicas among them. The writer appends
the time to a list, so many times a second, in lone edits; a replica that is told of an edit looks at the clock.
(Clocks of processes of one machine are one clock.) A *delivery* is one edit that arrived at one replica. The writer
gives each edit to the link on its own: what travels together does so because it came together. CPU seconds are those
of all processes.

--restart: besides, 100 edits a second for twice as long, while the server is killed twice and started again; nothing
may be lost. --page writes the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tables import markdown, put

import crdtkv as ck
from crdtkv import net

HERE = os.path.abspath(__file__)
ID = bytes(range(32))


def says(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def serve(port: int, path: str) -> None:
    with ck.Database(path, durability="normal") as db:
        doc = db.doc("bench", id=ID)
        doc.setdefault("log", [])
        async with net.serve(doc, port=port) as server:
            says(port=server.port)
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            await stop.wait()
    says(cpu=cpu())


async def write(url: str, rate: float, seconds: float) -> None:
    doc = ck.Doc(id=ID)
    log = doc.setdefault("log", [])
    async with net.connect(doc, url) as link:
        await link.synced()
        says(ready=True)
        await line()
        began, n = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            while n < (now - began) * rate:
                log.append(int(time.monotonic() * 1e6))
                n += 1
            await asyncio.sleep(min(1 / rate, 0.001))
        await link.synced()
        says(edits=n, length=len(log), cpu=cpu(), connects=link.stats()["connects"])


async def replicate(url: str, n: int) -> None:
    delays = array("d")

    def heard(event: ck.Event) -> None:
        now = time.monotonic() * 1e6
        for patch in event.patches:
            if patch.kind == "insert":
                delays.extend((now - at) / 1000 for at in patch.new)

    docs = [ck.Doc(id=ID) for _ in range(n)]
    for doc in docs:
        doc.setdefault("log", [])
    links = [net.connect(doc, url) for doc in docs]
    for link in links:
        await link.__aenter__()
    await asyncio.gather(*(link.synced() for link in links))
    for doc in docs:
        doc.observe(heard)
    says(ready=True)
    await line()
    n_heard = len(delays)
    await asyncio.gather(*(link.synced() for link in links))
    lengths = {len(doc["log"]) for doc in docs}
    figures = {"n": len(delays), "before_end": n_heard, "lengths": sorted(lengths), "cpu": cpu()}
    for link in links:
        await link.__aexit__(None, None, None)
    if delays:
        cuts = statistics.quantiles(delays, n=100)
        figures |= {"median": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(delays)}
    says(**figures)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


class Child:
    """A process of this very program."""

    def __init__(self, *args: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self) -> Any:
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if not said:
            raise RuntimeError(f"a process ended: {self.process.args}")
        return json.loads(said)

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, signal_: int = signal.SIGTERM) -> None:
        self.process.send_signal(signal_)


def measure(replicas: int, rate: float, seconds: float, processes: int, restart: bool, folder: str) -> dict[str, Any]:
    path = os.path.join(folder, f"{rate}.db")
    server = Child("--as", "server", 0, path)
    port = server.hear()["port"]
    url = f"ws://127.0.0.1:{port}"
    share = [replicas // processes + (i < replicas % processes) for i in range(processes)]
    others = [Child("--as", "replicas", url, n) for n in share]
    writer = Child("--as", "writer", url, rate, seconds)
    for child in (*others, writer):
        child.hear()
    writer.go()
    if restart:
        for _ in range(2):
            time.sleep(seconds / 4)
            server.end(signal.SIGKILL)
            server.process.wait()
            time.sleep(0.3)
            server = Child("--as", "server", port, path)
            server.hear()
    wrote = writer.hear()
    for child in others:
        child.go()
    heard = [child.hear() for child in others]
    server.end()
    served = server.hear()
    lost = [n for one in heard for n in one["lengths"] if n != wrote["length"]]
    n = sum(one["n"] for one in heard)
    return {
        "replicas": replicas,
        "rate": rate,
        "restart": restart,
        "edits": wrote["edits"],
        "deliveries": n,
        "per_second": n / seconds,
        "median": statistics.median(one["median"] for one in heard),
        "p95": max(one["p95"] for one in heard),
        "p99": max(one["p99"] for one in heard),
        "max": max(one["max"] for one in heard),
        "lost": len(lost),
        "cpu_server": served["cpu"],
        "cpu_replicas": sum(one["cpu"] for one in heard),
        "cpu_writer": wrote["cpu"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--rates", default="10,100,1000")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--as", nargs="+", dest="role", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        role, *rest = args.role
        if role == "server":
            asyncio.run(serve(int(rest[0]), rest[1]))
        elif role == "writer":
            asyncio.run(write(rest[0], float(rest[1]), float(rest[2])))
        else:
            asyncio.run(replicate(rest[0], int(rest[1])))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for rate in map(float, args.rates.split(",")):
            rows.append(measure(args.replicas, rate, args.seconds, args.processes, False, folder))
            print(line_of(rows[-1]), flush=True)
        if args.restart:
            rows.append(measure(args.replicas, 100.0, 2 * args.seconds, args.processes, True, folder))
            print(line_of(rows[-1]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))
    if args.page:
        first = (
            f"Python {platform.python_version()}, {os.cpu_count()} processors, websockets {version('websockets')}. "
            f"{args.replicas} replicas in {args.processes} process(es), {args.seconds:.0f} s."
        )
        put("net", f"{first}\n\n{markdown([HEAD, *map(cells, rows)])}")


HEAD = ["", "deliveries/s", "median ms", "p95", "p99", "greatest", "replicas that lost an edit"]
HEAD += [f"CPU s: {of}" for of in ("server", "replicas", "writer")]


def cells(row: dict[str, Any]) -> list[str]:
    what = f"{row['rate']:,.0f} edits/s" + (", the server killed twice" if row["restart"] else "")
    delays = [f"{row['median']:.1f}", *(f"{row[of]:,.0f}" for of in ("p95", "p99", "max"))]
    figures = [f"{row['per_second']:,.0f}", *delays]
    used = [f"{row[f'cpu_{of}']:.2f}" for of in ("server", "replicas", "writer")]
    return [what, *figures, str(row["lost"]), *used]


def line_of(row: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(HEAD, cells(row)))


if __name__ == "__main__":
    main()
