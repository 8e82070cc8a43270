"""Network: replicas, liars, faults and time in one process, all of it decided by a seed."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from crdtkv import Session, SyncError
from crdtkv.testing.converged import difference
from crdtkv.testing.edit import Chance, pick
from crdtkv.testing.faults import Faults
from crdtkv.testing.host import Host, Version
from crdtkv.testing.kinds import KINDS, Kind, UserEdit, edit_as_written
from crdtkv.testing.replica import seed_of

__all__ = ["Network"]

CLONES = 2  # that live at a time
LIE = 0.12  # of all steps, if there are liars
FIRST_LIE = 40  # one equivocation comes at this step or before, whatever else happens
COUNTS = (
    "edits",
    "delivered",
    "dropped",
    "duplicated",
    "reordered",
    "corrupted",
    "partitions",
    "crashes",
    "restores",
    "clones",
    "equivocations",
)


@dataclass(frozen=True, slots=True)
class Message:
    source: str
    target: str
    kind: str  # "bundle", "heads" or "session"
    data: bytes
    line: int = 0  # of a session: which


@dataclass(frozen=True, slots=True)
class Line:
    """Two ends of a session. Whoever crashes hangs up; after an error both do."""

    number: int
    ends: dict[str, Session]


class Network:
    """Honest replicas that edit and talk over bad lines, and liars among them. Everything comes from the seed.

    `replicas` honest ones and `byzantine` liars share one document. `faults`: how much goes wrong; without, the seed
    decides that, too. `edit`: what the replicas write, a callable (document, random.Random) or several; without, all
    that documents can do. In steps: one edit, one message or one fault each.

    With kind="datastore" they share a datastore: some of them in files, which live as long as the network. They also
    compact, and in some networks, unless there is an `edit`, purge DAGs, which heal() has them admit again; liars also
    call bodies dead that live.

    `replicas` are the honest documents, `liars` the public keys of the others, `trace` says what happened and `counts`
    how often. Equal arguments give equal traces and roots, on any machine.

    >>> from crdtkv import testing
    >>> net = testing.Network(7, replicas=3, faults=testing.Faults(drop=0.5)).run(100).heal()
    >>> net.assert_converged()
    >>> net.counts["dropped"] > 0, len(net.liars)
    (True, 2)
    >>> print(net.script)
    from crdtkv import testing
    <BLANKLINE>
    testing.Network(seed=7, replicas=3, byzantine=2, faults=testing.Faults(drop=0.5)).run(100).heal().assert_converged()
    >>> net = testing.Network(7, replicas=3, kind="datastore").run(100).heal()
    >>> net.assert_converged()
    >>> net.counts["compactions"] > 0
    True
    """

    def __init__(
        self,
        seed: int,
        replicas: int = 5,
        byzantine: int = 2,
        faults: Faults | None = None,
        edit: UserEdit | Sequence[UserEdit] | None = None,
        *,
        kind: Kind = "doc",
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f'kind is "doc" or "datastore", not {kind!r}')
        if replicas < 1 or byzantine < 0:
            raise ValueError("a network has at least one replica, and not less than no liars")
        self.seed = seed
        self._rng = random.Random(int.from_bytes(seed_of("network", seed)))
        self.faults = Faults.swarm(self._rng) if faults is None else faults
        self.trace: list[str] = []
        self._counts = dict.fromkeys(COUNTS, 0)
        self._choose = Chance(self._rng)
        self._edits = edit if edit is None or isinstance(edit, Sequence) else (edit,)
        self._arguments = (replicas, byzantine, faults, kind)
        self._calls: list[tuple[str, int]] = []
        self._steps = 0
        self._kind = KINDS[kind](seed, self._choose, self._edits)
        weakref.finalize(self, self._kind.close)
        self._hosts = [self._kind.host(i) for i in range(replicas)]
        self._clones: list[Host] = []
        self._liars = [self._kind.liar(i) for i in range(byzantine)]
        self._first_lie = 1 + self._choose.below(FIRST_LIE)  # its step
        self._wire: list[Message] = []
        self._lines: dict[frozenset[str], Line] = {}  # by the names of both ends
        self._n_lines = 0
        self._manner = self._choose.below(3)  # bundles alone, sessions alone, or both
        self._far: set[str] = set()  # names of those on the other side of a partition

    def __repr__(self) -> str:
        who = f"{len(self._hosts)} replicas, {len(self._liars)} liars"
        return f"<Network of seed {self.seed}: {who}, {self._steps} steps>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.network(self)

    # ---- who takes part

    @property
    def _all(self) -> list[Host]:
        return self._hosts + self._clones

    @property
    def replicas(self) -> list[Any]:
        """The documents, or datastores, of the honest replicas."""
        return [host.doc for host in self._hosts]

    @property
    def liars(self) -> list[bytes]:
        """The public keys of the liars."""
        return [liar.identity.public_key for liar in self._liars]

    @property
    def counts(self) -> dict[str, int]:
        """How often what has happened."""
        equivocations = sum(liar.equivocations for liar in self._liars)
        return {**self._counts, "equivocations": equivocations, **self._kind.counts}

    def _alike(self) -> list[int]:
        """A number for each replica, the same for those that hold as many changes and show the same. A look: it closes
        no open change, and so decides nothing of what comes."""
        kinds: list[tuple[int, dict[Any, Any]]] = []
        numbers = []
        for host in self._all:
            holds = host.doc._glance()["changes"], host.doc.to_py()
            number = next((i for i, other in enumerate(kinds) if difference(holds, other) is None), len(kinds))
            if number == len(kinds):
                kinds.append(holds)
            numbers.append(number)
        return numbers

    # ---- what a user does

    def run(self, steps: int) -> Self:
        """So many steps; the network. run(50).run(50) is run(100)."""
        if not self._calls or self._calls[-1][0] != "run":
            self._calls.append(("run", 0))
        with self._replayable():
            for _ in range(steps):
                self._calls[-1] = ("run", self._calls[-1][1] + 1)
                self._step()
        return self

    def heal(self) -> Self:
        """Connect everybody: what is on the way arrives, then honest replicas exchange until nothing is new.

        Liars take the chance to say their first lies again, so that all hear of it.
        """
        self._calls.append(("heal", 0))
        self._say("the network heals")
        with self._replayable():
            self._far.clear()
            while self._wire:
                self._hand_over(self._wire.pop(0))
            for liar in self._liars:
                self._say(*liar.repeat(self._all))
            self._say(*self._kind.gather(self._all))
            self._exchange()
            self._kind.settle(self._all)
        return self

    def assert_converged(self) -> None:
        """AssertionError if the honest replicas differ, or if lies had an effect that they must not have.

        They agree on changes and content, and another order of the same changes gives the same; nothing that was
        saved is lost; no honest author seems to have written what it did not, or to have lied; all who told two
        stories are found out. The message ends with the script.
        """
        rng = random.Random(int.from_bytes(seed_of("replay", self.seed, self._steps)))
        with self._replayable():
            self._kind.check(self._all, set(self.liars), rng, restored=self._counts["restores"] > 0)

    @property
    def script(self) -> str:
        """Python that does this very run again."""
        replicas, byzantine, faults, kind = self._arguments
        arguments = [f"seed={self.seed}", f"replicas={replicas}", f"byzantine={byzantine}"]
        imports = "from crdtkv import testing\n"
        if faults is not None:
            arguments.append(f"faults={faults_as_written(faults)}")
        if self._edits is not None:
            arguments.append(f"edit=[{', '.join(map(edit_as_written, self._edits))}]")
            imports = "".join(sorted({imports, *map(import_of, self._edits)}))
        if kind != "doc":
            arguments.append(f"kind={kind!r}")
        calls = "".join(f".{call}({steps if call == 'run' else ''})" for call, steps in self._calls)
        return f"{imports}\ntesting.Network({', '.join(arguments)}){calls}.assert_converged()"

    @contextmanager
    def _replayable(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            told = f"testing.Network({self.seed}): {error}"
            raise AssertionError(f"{told}\nThis does it again:\n\n{self.script}") from error
        except Exception as error:
            error.add_note(f"This does it again:\n\n{self.script}")
            raise

    # ---- steps

    def _say(self, *lines: str) -> None:
        self.trace.extend(f"{self._steps}: {line}" for line in lines)

    def _happens(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _step(self) -> None:
        self._steps += 1
        self._kind.time.now += self._choose.below(3000)
        if self._liars and self._steps == self._first_lie:
            self._say(*pick(self._choose, self._liars).equivocate(self._all))
            return
        for fault in ("partition", "crash", "restore", "clone"):
            if self._happens(getattr(self.faults, fault)):
                getattr(self, f"_{fault}")()
                return
        if self._liars and self._happens(LIE):
            self._say(*pick(self._choose, self._liars).act(self._all))
            return
        what = self._choose.below(20)
        if what < 7:
            self._edit()
        elif what < 12 or not self._wire:
            self._send()
        else:
            for _ in range(1 + self._choose.below(3)):
                self._deliver()

    def _edit(self) -> None:
        host = pick(self._choose, self._all)
        if upkeep := self._kind.upkeep(host):
            self._say(*upkeep)
            return
        edits = self._kind.edit(host)
        if not self._choose.below(3):
            host.flush()
        elif not self._choose.below(6):
            host.back_up()
        self._counts["edits"] += len(edits)
        self._say(*(f"{host.name}: {edit}" for edit in edits))

    def _send(self) -> None:
        hosts = self._all
        source = pick(self._choose, hosts)
        others = [host for host in hosts if host is not source]
        for _ in range(1 + self._choose.below(3) if others else 0):
            target = pick(self._choose, others)
            if self._manner == 1 or (self._manner == 2 and self._choose.below(2)):
                self._call(source, target)
            else:
                self._post(source, target, heads=not self._choose.below(3))

    def _call(self, source: Host, target: Host) -> None:
        """Say what there is to say in the session with another one; in a new one if that is over or stuck."""
        ends = frozenset({source.name, target.name})
        line = self._lines.get(ends)
        if line is None or not (self._speak(line, source, target) or self._is_alive(line)):
            self._n_lines += 1
            line = Line(self._n_lines, {host.name: host.doc.session() for host in (source, target)})
            self._lines[ends] = line
            self._say(f"{source.name} calls {target.name}")
            self._speak(line, source, target)

    def _speak(self, line: Line, source: Host, target: Host) -> bool:
        """All that one end has to say now; was there anything?"""
        source.flush()
        before = len(self._wire)
        with suppress(SyncError):  # a DAG was admitted again
            while (data := line.ends[source.name].send()) is not None:
                self._wire.append(Message(source.name, target.name, "session", data, line.number))
        return len(self._wire) > before

    def _is_alive(self, line: Line) -> bool:
        """Both are done, or something is on the way: if not, it was lost, and both would wait for ever."""
        on_the_way = any(message.line == line.number for message in self._wire)
        return on_the_way or all(end.done for end in line.ends.values())

    def _hang_up(self, host: Host) -> None:
        self._lines = {ends: line for ends, line in self._lines.items() if host.name not in ends}

    def _post(self, source: Host, target: Host, heads: bool) -> None:
        """What it believes the other lacks; or what it has, so that the other knows."""
        if heads:
            source.flush()
            message = Message(source.name, target.name, "heads", b"".join(source.doc.heads))
        else:
            bundle = source.bundle(source.beliefs.get(target.name, ()))
            message = Message(source.name, target.name, "bundle", bundle)
            if self._choose.below(2):  # and takes for granted that it arrives
                source.beliefs[target.name] = source.doc.heads
        self._wire.append(message)
        self._say(f"{source.name} sends {message.kind} to {target.name}")

    def _deliver(self) -> None:
        far, faults = self._far, self.faults
        ready = [i for i, message in enumerate(self._wire) if (message.source in far) == (message.target in far)]
        if not ready:
            return
        first = 0
        if len(ready) > 1 and self._happens(faults.reorder):
            first = 1 + self._choose.below(len(ready) - 1)
            self._counts["reordered"] += 1
        message = self._wire.pop(ready[first])
        line = f"{message.source} -> {message.target} {message.kind}"
        if self._happens(faults.drop):
            self._counts["dropped"] += 1
            self._say(f"{line}: lost")
            return
        if self._happens(faults.duplicate):
            self._counts["duplicated"] += 1
            self._wire.append(message)
        if message.data and self._happens(faults.corrupt):
            self._counts["corrupted"] += 1
            message = replace(message, data=self._corrupted(message.data))
        self._hand_over(message)

    def _corrupted(self, data: bytes) -> bytes:
        at = self._choose.below(len(data))
        bit = 1 << self._choose.below(8)
        return data[:at] if bit == 1 else data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    def _hand_over(self, message: Message) -> None:
        source, target = self._named(message.source), self._named(message.target)
        self._counts["delivered"] += 1
        line = f"{message.source} -> {message.target} {message.kind}"
        if message.kind == "heads":
            target.beliefs[source.name] = heads_of(message.data)
            self._say(line)
            return
        if message.kind == "session":
            self._say(f"{line}: {self._answer(message, source, target)}")
            return
        self._say(f"{line}: {target.receive(message.data)}")
        if target.doc.waiting:
            self._post(target, source, heads=True)

    def _answer(self, message: Message, source: Host, target: Host) -> str:
        ends = frozenset({source.name, target.name})
        line = self._lines.get(ends)
        if line is None or line.number != message.line:
            return "has hung up"
        heard = target.hear(line.ends[target.name], message.data)
        if heard:
            self._speak(line, target, source)
        else:
            del self._lines[ends]
        return heard or "hangs up"

    def _named(self, name: str) -> Host:
        return next(host for host in self._all if host.name == name)

    def _exchange(self) -> None:
        hosts = self._all
        pairs = [(a, b) for a in hosts for b in hosts if a is not b]
        while len({host.doc.root for host in hosts}) > 1:
            news = False
            for _ in range(len(pairs)):
                a, b = pick(self._choose, pairs)
                if a.doc.root != b.doc.root:
                    root = b.doc.root
                    if self._manner and self._choose.below(2):
                        self._say(f"{a.name} <-> {b.name}: {a.sync(b)}")
                    else:
                        self._say(f"{a.name} -> {b.name} bundle: {b.receive(a.bundle(b.doc.heads))}")
                    news |= b.doc.root != root
            if not news and all(b.receive(a.bundle(b.doc.heads)).startswith("0 applied, 0 void") for a, b in pairs):
                break  # they differ, and have nothing to tell each other

    # ---- lies and accidents

    def _partition(self) -> None:
        if self._far:
            self._far.clear()
            self._say("the halves find together")
            return
        self._far = {host.name for host in self._all if self._choose.below(2)}
        self._counts["partitions"] += 1
        self._say(f"on their own: {', '.join(sorted(self._far)) or 'nobody'}")

    def _crash(self) -> None:
        host = pick(self._choose, self._all)
        host.crash()
        self._hang_up(host)
        self._counts["crashes"] += 1
        self._say(f"{host.name} crashes")

    def _restore(self) -> None:
        host = pick(self._choose, self._all)
        backup = self._choose.below(len(host.backups))
        host.restore(backup)
        self._hang_up(host)
        self._counts["restores"] += 1
        self._say(f"{host.name} goes back to backup {backup}")

    def _clone(self) -> None:
        if len(self._clones) == CLONES:
            return
        host = pick(self._choose, self._all)
        self._clones.append(host.clone(f"clone {len(self._clones)}"))
        self._counts["clones"] += 1
        self._say(f"{self._clones[-1].name} of {host.name}")


def heads_of(data: bytes) -> Version:
    """Ids one after the other; what is left over is no id."""
    return tuple(data[i : i + 32] for i in range(0, len(data) - 31, 32))


def faults_as_written(faults: Faults) -> str:
    given = (f"{f.name}={value!r}" for f in fields(faults) if (value := getattr(faults, f.name)) != f.default)
    return f"testing.Faults({', '.join(given)})"


def import_of(edit: UserEdit) -> str:
    return f"from {getattr(edit, '__module__', None) or '__main__'} import {edit_as_written(edit)}\n"
