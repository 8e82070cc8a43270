"""Liar: a Byzantine participant of a simulated network, with a real key of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from crdtkv import Doc, Identity
from crdtkv.testing.edit import Choice, pick
from crdtkv.testing.forger import Forger
from crdtkv.testing.host import Host
from crdtkv.testing.lies import LIES, Lie, a_body
from crdtkv.testing.replica import Clock, seed_of

__all__ = ["Liar"]

KEPT = 24  # messages that it remembers, to say them again
DEEP = 66  # changes after a fork, beyond which a proof may be longer


class Liar:
    """It hears everything, and tells each host what it likes, over lines that lose nothing.

    It holds no key but its own, so it can deny, contradict itself and invent; it cannot speak for others. `edit` is
    what it writes, `choose` decides.
    """

    lies: ClassVar[tuple[Lie, ...]] = LIES
    choose: Choice
    accomplice: Identity  # of whom nobody has heard
    doc: Any  # its replica

    def __init__(
        self,
        name: str,
        identity: Identity,
        doc_id: bytes,
        seed: bytes,
        clock: Clock,
        choose: Choice,
        edit: Callable[[Any], object],
    ) -> None:
        self.name = name
        self.identity = identity
        self.accomplice = Identity.from_seed(seed)
        self.choose, self.edit = choose, edit
        self.equivocations = 0
        self._stories: list[bytes] = []  # of the first one, with all that they build on
        self._doc_id, self._seed, self._clock = doc_id, seed, clock
        self._drawn = 0
        self._kept: list[bytes] = []
        self.doc = self._copy(b"")

    def act(self, hosts: Sequence[Host], lie: Lie | None = None) -> list[str]:
        """Do one thing to some of the hosts; what it was, and what became of it."""
        self.doc.apply(pick(self.choose, hosts).bundle(self.doc.heads))
        return (lie or pick(self.choose, self.lies))(self, hosts)

    def equivocate(self, hosts: Sequence[Host]) -> list[str]:
        """Go on in two or three ways from one change, each with all that it builds on, each to somebody else."""
        again, then, data = self._a_lane()
        lines, whole, copy = [], [], self.doc
        for story in range(2 + self.one_in(4)):
            copy = again()
            for _ in range(DEEP if self.one_in(40) else 1 + self.choose.below(3)):
                self.write_change(copy, f"story {story}")
            self.keep(copy.export(then))
            whole.append(copy.export())
            host = pick(self.choose, hosts)
            lines.append(self.tell(host, f"story {story}", copy.export(host.doc.heads)))
        self.equivocations += 1
        self._stories = self._stories or whole
        self.doc = copy if self.one_in(2) else self._copy(data)
        return lines

    def _a_lane(self) -> tuple[Callable[[], Any], tuple[bytes, ...], bytes]:
        """What makes replicas that all go on with one lane, the heads that they begin with, and all of that."""
        self.write_change(self.doc)
        lane = self.doc.changes()[-1].lane
        data = self.doc.export()

        def again() -> Any:
            copy = self._copy(data)
            copy._go_on_with_lane(lane)
            return copy

        return again, self.doc.heads, data

    def repeat(self, hosts: Sequence[Host]) -> list[str]:
        """Tell the stories of the first equivocation again: a host that had heard one may have lost it since."""
        return [self.tell(pick(self.choose, hosts), "its first lie", story) for story in self._stories]

    # ---- means

    def next_seed(self) -> bytes:
        """For what draws on its own."""
        self._drawn += 1
        return seed_of(self._seed, self._drawn)

    def forger(self) -> Forger:
        """A lane of its own upon all that it has heard."""
        return Forger(self.doc, self.identity, seed=self.next_seed())

    def a_body(self) -> bytes:
        """Operations that say nothing, or what they must not."""
        return a_body(self.choose)

    def _copy(self, data: bytes) -> Any:
        """A replica of this; what it writes is a lane of its own."""
        copy = Doc(self.identity, id=self._doc_id, clock=self._clock)
        copy._seed(self.next_seed())
        if data:
            copy.apply(data)
        return copy

    def bent(self, data: bytes) -> bytes:
        """Cut somewhere, or with a bit that is another."""
        at = self.choose.below(len(data))
        bit = self.choose.below(16)
        return data[:at] if bit > 7 else data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    def one_in(self, n: int) -> bool:
        return self.choose.below(n) == n - 1

    def write_change(self, doc: Any, message: str | None = None) -> bytes:
        """A change of at least one operation, whatever the document is like; its id."""
        self.edit(doc)
        doc["liar"] = self.choose.below(1000)
        change = doc.commit(message)
        assert change is not None
        id: bytes = change.id
        return id

    def keep(self, bundle: bytes) -> None:
        """For later."""
        if len(self._kept) == KEPT:
            del self._kept[self.choose.below(KEPT)]
        self._kept.append(bundle)

    def remember(self, hosts: Sequence[Host]) -> bytes:
        """Something that was said before, or what is common knowledge."""
        if not self._kept:
            self.keep(pick(self.choose, hosts).bundle(()))
        return pick(self.choose, self._kept)

    def tell(self, host: Host, what: str, bundle: bytes) -> str:
        return f"{self.name} -> {host.name} {what}: {host.receive(bundle)}"

    def tell_some(self, hosts: Iterable[Host], what: str, bundle: bytes) -> list[str]:
        """To each with even chances, and to others later."""
        self.keep(bundle)
        told = [self.tell(host, what, bundle) for host in hosts if self.one_in(2)]
        return told or [f"{self.name} prepares {what}"]
