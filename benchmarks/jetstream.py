"""Many replicas on one stream of NATS JetStream: a partition of each from each, and what it takes to converge again.

    python benchmarks/jetstream.py [--replicas 1000] [--processes 8] [--edits 3] [--page]

Starts a nats-server of its own (JetStream, files) and so many processes, which share the replicas among them; every
replica has a connection, an identity and a lane of its own. One writer in each process writes while all are linked.
Then the server is killed: every replica is alone. All of them write, the server comes back, and the clock runs until
all roots are equal. Everything runs on this one machine, so the time is that of all processors together for all
replicas.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from tables import markdown, put

import crdtkv as ck
from crdtkv import net
from house.nats_server import PROGRAM, NatsServer

HERE = Path(__file__).resolve().parent.parent
ID = bytes(range(32))
LIVE = 5  # edits of each writer while all are linked
PAUSE = 4.0  # seconds between them
WATCHERS = 5  # replicas of each process that look at the clock when a value comes in
COUNTS = ("published", "published_bytes", "received", "received_bytes", "notices_sent", "notices_heard", "talks_asked")


# ---- a process with some of the replicas


class Worker:
    """Does what its standard input says, a line at a time, and answers with a line each."""

    def __init__(self, number: int, url: str, n: int) -> None:
        self.number = number
        self.replicas = [ck.Datastore(id=ID) for _ in range(n)]
        self.links = [net.nats(replica, url) for replica in self.replicas]
        self.late: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str] = asyncio.Queue()
        loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
        async with AsyncExitStack() as stack:
            for link in self.links:
                await stack.enter_async_context(link)
            while line := (await lines.get()).strip():
                command, *arguments = json.loads(line)
                answer = await getattr(self, command)(*arguments)
                print(json.dumps(answer), flush=True)

    async def join(self) -> bool:
        """All links stand."""
        while not all(link.stats()["connected"] for link in self.links):
            await asyncio.sleep(0.1)
        return True

    async def live(self) -> bool:
        """One replica writes now and then; its values are times. How late they came to some replicas here."""
        late: list[float] = []
        for replica in self.replicas[-WATCHERS:]:
            replica.on_put(lambda event: event.is_local or late.append(time.time() - event.new))
        await asyncio.sleep(self.number * PAUSE / 8)
        for i in range(LIVE):
            self.replicas[0][f"live/{self.number}/{i}"] = time.time()
            self.replicas[0].commit()
            await asyncio.sleep(PAUSE)
        self.late = late
        return True

    async def lateness(self) -> list[float]:
        """What live() saw."""
        return self.late

    async def alone(self) -> bool:
        """No link stands."""
        while any(link.stats()["connected"] for link in self.links):
            await asyncio.sleep(0.05)
        return True

    async def write(self, n: int) -> bool:
        """Every replica, without a look at any other."""
        for i, replica in enumerate(self.replicas):
            for j in range(n):
                replica[f"alone/{self.number}/{i}/{j}"] = j
                replica.commit()
        return True

    async def converge(self, n_keys: int) -> str:
        """Until all replicas here are equal and hold so many keys; their root."""
        while True:
            roots = {replica.root for replica in self.replicas}
            if len(roots) == 1 and len(self.replicas[0]) == n_keys:
                return roots.pop().hex()
            await asyncio.sleep(0.1)

    async def counts(self) -> dict[str, float]:
        """What it took so far."""
        stats = [link.stats() for link in self.links]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **{key: sum(one[key] for one in stats) for key in COUNTS},
            "connections": sum(one["connections"] for one in stats),
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": usage.ru_maxrss * 1024,
        }


# ---- all of them


class Fleet:
    """The processes."""

    def __init__(self, url: str, n_replicas: int, n_processes: int) -> None:
        sizes = [n_replicas // n_processes + (i < n_replicas % n_processes) for i in range(n_processes)]
        self.processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--worker", str(i), url, str(size)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=HERE,
            )
            for i, size in enumerate(sizes)
        ]

    def tell(self, *command: Any) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()

    def hear(self) -> list[Any]:
        answers = []
        for process in self.processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                sys.exit(f"a process ended with {process.wait()}")
            answers.append(json.loads(line))
        return answers

    def ask(self, *command: Any) -> list[Any]:
        self.tell(*command)
        return self.hear()

    def totals(self) -> dict[str, float]:
        answers = self.ask("counts")
        return {key: sum(answer[key] for answer in answers) for key in answers[0]}

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def fleet_of(*arguments: Any) -> Iterator[Fleet]:
    fleet = Fleet(*arguments)
    try:
        yield fleet
    finally:
        fleet.end()


def measure(n_replicas: int, n_processes: int, n_edits: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        NatsServer(Path(folder)) as server,
        fleet_of(server.url, n_replicas, n_processes) as fleet,
    ):
        began = time.perf_counter()
        fleet.ask("join")
        figures["join"] = time.perf_counter() - began
        say(f"{n_replicas} linked after {figures['join']:.1f} s")

        n_keys = LIVE * n_processes
        fleet.ask("live")
        fleet.ask("converge", n_keys)
        figures["late"] = sorted(late for one in fleet.ask("lateness") for late in one)
        before = fleet.totals()
        say(f"{n_keys} live edits everywhere")

        server.kill()
        fleet.ask("alone")
        fleet.ask("write", n_edits)
        n_keys += n_replicas * n_edits
        say("cut off, and written")
        began = time.perf_counter()
        server.start()
        roots = set(fleet.ask("converge", n_keys))
        figures["heal"] = time.perf_counter() - began
        if len(roots) != 1:
            sys.exit("WRONG: processes have different roots")
        after = fleet.totals()
        say(f"converged after {figures['heal']:.1f} s")
        figures.update({key: after[key] - before[key] for key in COUNTS})
        figures["cpu"] = after["cpu"] - before["cpu"]
        figures["memory"] = after["memory"]
    return figures


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def table(n_replicas: int, n_processes: int, n_edits: int, figures: dict[str, Any]) -> str:
    late = figures["late"]
    rows = [
        ["all links stand", "s", f"{figures['join']:.1f}"],
        ["an edit comes to another replica while all are linked: median", "ms", f"{1e3 * statistics.median(late):.0f}"],
        ["... 99 of 100", "ms", f"{1e3 * late[int(len(late) * 0.99)]:.0f}"],
        ["from the start of the server until all roots are equal", "s", f"{figures['heal']:.1f}"],
        ["changes that were made alone", "", f"{n_replicas * n_edits:,}"],
        ["messages published into the stream", "", f"{figures['published']:,}"],
        ["... their bytes", "kB", f"{figures['published_bytes'] / 1e3:,.0f}"],
        ["messages read by all replicas", "", f"{figures['received']:,}"],
        ["... their bytes", "MB", f"{figures['received_bytes'] / 1e6:,.0f}"],
        ["notices sent, and heard by all", "", f"{figures['notices_sent']:,}, {figures['notices_heard']:,}"],
        ["talks between peers", "", f"{figures['talks_asked']:,}"],
        ["CPU time of all processes", "s", f"{figures['cpu']:.0f}"],
        ["memory of all processes, at most", "MB", f"{figures['memory'] / 1e6:,.0f}"],
    ]
    return markdown([[f"{n_replicas:,} replicas in {n_processes} processes", "unit", ""], *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--edits", type=int, default=3, help="of each replica while it is alone")
    parser.add_argument("--page", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        number, url, n = given.worker
        asyncio.run(Worker(int(number), url, int(n)).run())
        return
    if PROGRAM is None:
        sys.exit("there is no nats-server: apt-get install nats-server")
    shape = given.replicas, given.processes, given.edits
    page = table(*shape, measure(*shape))
    print(page)
    if given.page:
        put("nats", page)


if __name__ == "__main__":
    main()
