"""Many replicas on one stream of NATS JetStream, a partition, and what it takes until all are equal again.

    python benchmarks/jetstream.py [--replicas 1000] [--processes 8] [--edits 3] [--only reset silent killed] [--page]

Starts a nats-server of its own (JetStream, files) and so many processes, which share the replicas among them; every
replica has a connection, an identity and a lane of its own. Three kinds of partition, each with a server and with
replicas of its own:

    reset   half of the processes are behind a relay, which resets their connections and hangs up on who calls
    silent  the same half; the relay is a black hole: nothing moves, and nobody is told
    killed  kill -9 of the server: every replica is alone

As soon as the network is parted, every replica writes some edits at the same moment; then one writer in each process
goes on, on both sides. When the links that are cut off know of it, it heals, and the clock runs until every replica
has every edit. Everything runs on this one machine, so a time is that of all processors together for all replicas.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from links.proxy import Proxy
from measuring import need
from tables import markdown, put

import crdtkv as ck
from crdtkv import net
from house.nats_server import PROGRAM, NatsServer

HERE = Path(__file__).resolve().parent.parent
ID = bytes(range(32))
KINDS = ("reset", "silent", "killed")
LIVE = 5  # edits of each writer while the others are linked, or not
PAUSE = 4.0  # seconds between them
WATCHERS = 5  # replicas of each process that look at the clock when a value comes in
LOOK = 0.05  # seconds between looks whether something came true
MOMENT = 1.0  # seconds for all processes to get ready for a moment
LONGEST_LINE = 1 << 24  # bytes of an answer
COUNTS = (
    "published",
    "published_bytes",
    "received",
    "received_bytes",
    "notices_sent",
    "notices_heard",
    "talks_asked",
    "connections",
)


# ---- a process with some of the replicas


class Worker:
    """Does what its standard input says, a line at a time, and answers with a line each."""

    def __init__(self, number: int, url: str, n: int) -> None:
        self.number = number
        self.replicas = [ck.Datastore(id=ID) for _ in range(n)]
        self.links = [net.nats(replica, url) for replica in self.replicas]
        self.noticing: asyncio.Task[float] | None = None
        self.late: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str] = asyncio.Queue()
        loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
        for replica in self.replicas[-WATCHERS:]:
            replica.on_put(self.look_at_clock)
        async with AsyncExitStack() as stack:
            for link in self.links:
                await stack.enter_async_context(link)
            while line := (await lines.get()).strip():
                command, *arguments = json.loads(line)
                answer = await getattr(self, command)(*arguments)
                print(json.dumps(answer), flush=True)

    def look_at_clock(self, event: Any) -> None:
        """Values of live edits are times."""
        if not event.is_local and event.key.startswith("live/"):
            self.late.append(time.time() - event.new)

    async def join(self) -> bool:
        """All links stand."""
        while not all(link.connected for link in self.links):
            await asyncio.sleep(LOOK)
        return True

    async def write(self, n: int, moment: float) -> bool:
        """Every replica at the same moment, without a look at any other."""
        await asyncio.sleep(moment - time.time())
        for i, replica in enumerate(self.replicas):
            for j in range(n):
                replica[f"crowd/{self.number}/{i}/{j}"] = j
                replica.commit()
        return True

    async def live(self, name: str) -> bool:
        """One replica writes now and then."""
        await asyncio.sleep(self.number * PAUSE / 8)
        for i in range(LIVE):
            self.replicas[0][f"live/{name}/{self.number}/{i}"] = time.time()
            self.replicas[0].commit()
            await asyncio.sleep(PAUSE)
        return True

    async def lateness(self) -> list[float]:
        """How late live edits came to some replicas here since the last time."""
        late, self.late = self.late, []
        return late

    async def watch(self) -> bool:
        """From now on, until all links here know that they are cut off."""
        self.noticing = asyncio.create_task(self.notice())
        return True

    async def notice(self) -> float:
        while any(link.connected for link in self.links):
            await asyncio.sleep(LOOK)
        return time.time()

    async def noticed(self) -> float:
        """When the last one knew."""
        assert self.noticing is not None
        return await self.noticing

    async def caught_up(self, n_keys: int) -> list[float]:
        """When each replica had so many keys."""
        at: dict[int, float] = {}
        while len(at) < len(self.replicas):
            for i, replica in enumerate(self.replicas):
                if i not in at and len(replica) == n_keys:
                    at[i] = time.time()
            await asyncio.sleep(LOOK)
        return list(at.values())

    async def equal(self) -> str:
        """When all replicas here are: their root."""
        while len(roots := {replica.root for replica in self.replicas}) > 1:
            await asyncio.sleep(LOOK)
        return roots.pop().hex()

    async def contents(self) -> list[str]:
        """A digest of the keys of each replica, without repetitions."""
        return sorted({digest(replica) for replica in self.replicas})

    async def counts(self) -> dict[str, float]:
        """What it took so far."""
        stats = [link.stats() for link in self.links]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **{key: sum(one[key] for one in stats) for key in COUNTS},
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": usage.ru_maxrss * 1024,
        }


def digest(keys: Any) -> str:
    return blake2b("\n".join(sorted(keys)).encode(), digest_size=16).hexdigest()


# ---- all of them


class Fleet:
    """The processes. Those of the second half call another address than those of the first."""

    def __init__(self, n_replicas: int, n_processes: int) -> None:
        self.sizes = [n_replicas // n_processes + (i < n_replicas % n_processes) for i in range(n_processes)]
        self.processes: list[asyncio.subprocess.Process] = []
        self.all = range(n_processes)
        self.here, self.there = range(n_processes // 2), range(n_processes // 2, n_processes)

    async def start(self, here: str, there: str) -> None:
        for i, size in enumerate(self.sizes):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, "--worker", str(i), here if i in self.here else there, str(size)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LONGEST_LINE,
                cwd=HERE,
            )
            self.processes.append(process)

    async def ask(self, who: range, *command: Any) -> list[Any]:
        """The same of some processes; their answers."""
        for i in who:
            stdin = self.processes[i].stdin
            assert stdin is not None
            stdin.write(json.dumps(command).encode() + b"\n")
        return list(await asyncio.gather(*(self.answer(i) for i in who)))

    async def answer(self, i: int) -> Any:
        process = self.processes[i]
        assert process.stdout is not None
        line = await process.stdout.readline()
        need(bool(line), f"process {i} ended")
        return json.loads(line)

    async def totals(self) -> dict[str, float]:
        answers = await self.ask(self.all, "counts")
        return {key: sum(answer[key] for answer in answers) for key in answers[0]}

    async def end(self) -> None:
        for process in self.processes:
            process.kill()
            await process.wait()


@asynccontextmanager
async def fleet_of(n_replicas: int, n_processes: int, here: str, there: str) -> AsyncIterator[Fleet]:
    fleet = Fleet(n_replicas, n_processes)
    try:
        await fleet.start(here, there)
        yield fleet
    finally:
        await fleet.end()


class Partition:
    """One of the three kinds, and who is cut off by it."""

    def __init__(self, kind: str, server: NatsServer, relay: Proxy, fleet: Fleet) -> None:
        self.kind, self._server, self._relay = kind, server, relay
        self.linked = range(0) if kind == "killed" else fleet.here
        self.cut_off = fleet.all if kind == "killed" else fleet.there

    def begin(self) -> None:
        if self.kind == "killed":
            self._server.kill()
        else:
            self._relay.part(silently=self.kind == "silent")

    def heal(self) -> None:
        if self.kind == "killed":
            self._server.start()
        else:
            self._relay.heal()


async def measure(kind: str, n_replicas: int, n_processes: int, n_edits: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, NatsServer(Path(folder)) as server:
        async with Proxy(server.port) as relay:
            there = server.url if kind == "killed" else relay.url("nats")
            figures: dict[str, Any] = {"load": os.getloadavg()[0]}
            began = time.time()
            async with fleet_of(n_replicas, n_processes, server.url, there) as fleet:
                await fleet.ask(fleet.all, "join")
                figures["join"] = time.time() - began
                say(f"{kind}: {n_replicas} linked after {figures['join']:.1f} s")
                await story(figures, fleet, Partition(kind, server, relay, fleet), n_edits)
    return figures


async def story(figures: dict[str, Any], fleet: Fleet, partition: Partition, n_edits: int) -> None:
    keys: list[str] = []
    await fleet.ask(fleet.all, "live", "before")
    keys += live_keys("before", fleet.all)
    await fleet.ask(fleet.all, "caught_up", len(keys))
    figures["late"] = await lateness(fleet, fleet.all)
    before = await fleet.totals()

    linked, cut_off = partition.linked, partition.cut_off
    partition.begin()
    began = time.time()
    await fleet.ask(cut_off, "watch")
    await fleet.ask(fleet.all, "write", n_edits, time.time() + MOMENT)
    await fleet.ask(fleet.all, "live", "parted")
    figures["edits"] = [len(keys_of(fleet, who, n_edits)) for who in (linked, cut_off)]
    await fleet.ask(linked, "caught_up", len(keys) + figures["edits"][0])
    need(len(set(await fleet.ask(linked, "equal"))) <= 1, "those who are linked are not equal")
    figures["late parted"] = await lateness(fleet, linked)
    figures["noticed"] = max(await fleet.ask(cut_off, "noticed")) - began
    keys += keys_of(fleet, fleet.all, n_edits)
    say(f"{partition.kind}: parted and written; the last link that was cut off knew after {figures['noticed']:.1f} s")

    began = time.time()
    partition.heal()
    at = await fleet.ask(fleet.all, "caught_up", len(keys))
    roots = set(await fleet.ask(fleet.all, "equal"))
    figures["healed"] = time.time() - began
    figures["caught up"] = [sorted(t - began for i in who for t in at[i]) for who in (linked, cut_off)]
    need(len(roots) == 1, "processes have different roots")
    after = await fleet.totals()
    contents = set(itertools.chain(*await fleet.ask(fleet.all, "contents")))
    need(contents == {digest(keys)}, "an edit is missing")
    figures.update({key: after[key] - before[key] for key in (*COUNTS, "cpu")})
    say(f"{partition.kind}: all have all after {figures['healed']:.1f} s, {figures['cpu']:.0f} of CPU")
    figures["memory"] = after["memory"]


def live_keys(name: str, who: range) -> list[str]:
    return [f"live/{name}/{i}/{j}" for i in who for j in range(LIVE)]


def keys_of(fleet: Fleet, who: range, n_edits: int) -> list[str]:
    """What some processes write while the network is parted."""
    crowd = [f"crowd/{i}/{n}/{j}" for i in who for n in range(fleet.sizes[i]) for j in range(n_edits)]
    return crowd + live_keys("parted", who)


async def lateness(fleet: Fleet, who: range) -> list[float]:
    return sorted(late for one in await fleet.ask(who, "lateness") for late in one)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def middle_and_99(seconds: list[float]) -> str:
    if not seconds:
        return ""
    return f"{1e3 * statistics.median(seconds):.0f}, {1e3 * seconds[int(len(seconds) * 0.99)]:.0f}"


def middle_and_most(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f}, {seconds[-1]:.1f}" if seconds else ""


def table(n_replicas: int, n_processes: int, n_edits: int, found: dict[str, dict[str, Any]]) -> str:
    kinds = {"reset": "half reset", "silent": "half in a black hole", "killed": "server killed"}

    def row(what: str, unit: str, show: Any) -> list[str]:
        return [what, unit, *(show(figures) for figures in found.values())]

    rows = [
        row("load of the machine before", "", lambda f: f"{f['load']:.1f}"),
        row("all links stand", "s", lambda f: f"{f['join']:.1f}"),
        row("an edit comes to another, all linked: median, 99 of 100", "ms", lambda f: middle_and_99(f["late"])),
        row("... within the half that stays linked", "ms", lambda f: middle_and_99(f["late parted"])),
        row("edits while parted: linked, cut off", "", lambda f: "{:,}, {:,}".format(*f["edits"])),
        row("until the last link that is cut off knows", "s", lambda f: f"{f['noticed']:.1f}"),
        row("**from healing until all are equal and have every edit**", "s", lambda f: f"**{f['healed']:.1f}**"),
        row("... a replica of the cut half: median, last", "s", lambda f: middle_and_most(f["caught up"][1])),
        row("... of the linked half: median, last", "s", lambda f: middle_and_most(f["caught up"][0])),
        row("messages into the stream", "", lambda f: f"{f['published']:,}"),
        row("... their bytes", "kB", lambda f: f"{f['published_bytes'] / 1e3:,.0f}"),
        row("messages read by all replicas", "", lambda f: f"{f['received']:,}"),
        row("... their bytes", "MB", lambda f: f"{f['received_bytes'] / 1e6:,.0f}"),
        row("notices sent, and heard by all", "", lambda f: f"{f['notices_sent']:,}, {f['notices_heard']:,}"),
        row("talks between peers", "", lambda f: f"{f['talks_asked']:,}"),
        row("connections made again", "", lambda f: f"{f['connections']:,}"),
        row("CPU time of all processes, from the cut on", "s", lambda f: f"{f['cpu']:.0f}"),
        row("memory of all processes, at most", "MB", lambda f: f"{f['memory'] / 1e6:,.0f}"),
    ]
    title = f"{n_replicas:,} replicas in {n_processes} processes"
    return markdown([[title, "unit", *(kinds[kind] for kind in found)], *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--edits", type=int, default=3, help="of each replica when the network is parted")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of partition")
    parser.add_argument("--page", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        number, url, n = given.worker
        asyncio.run(Worker(int(number), url, int(n)).run())
        return
    if PROGRAM is None:
        sys.exit("there is no nats-server: apt-get install nats-server")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a file for each end of a connection
    shape = given.replicas, given.processes, given.edits
    page = table(*shape, {kind: asyncio.run(measure(kind, *shape)) for kind in given.only})
    print(page)
    if given.page:
        put("nats", page)


if __name__ == "__main__":
    main()
