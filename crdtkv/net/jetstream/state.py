"""State: what a link knows, connected or not. Takes in what stands in the log; does no input or output."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Any

from crdtkv._core import Report
from crdtkv.errors import DecodeError, Error, LimitError, StaleHandleError
from crdtkv.net.directory import Accept, Directory, Entry, Quota, Target, Verdict
from crdtkv.net.jetstream.frame import Notice, Piece
from crdtkv.net.jetstream.log import Place
from crdtkv.net.jetstream.outbox import InBlockError
from crdtkv.net.jetstream.pieces import Pieces
from crdtkv.net.jetstream.replica import Replica
from crdtkv.net.namesakes import WarnedNamesakes

__all__ = ["MOST_PEERS", "State"]

MOST_PEERS = 4096
MOST_REFUSED = 4096  # names and ids that were not welcome, so that nobody is asked again
JUNK_RATE = 1 << 20  # bytes a second of messages that bring only errors; beyond, reading pauses
JUNK_BURST = 4 << 20
NOTICES_RATE = 200.0  # notices of others a second that are looked at
NOTICES_BURST = 1000.0
COUNTS = (
    "published",
    "published_bytes",
    "received",
    "received_bytes",
    "applied",
    "void",
    "known",
    "waiting",
    "refused",
    "limited",
    "undecodable",
    "unwelcome",
    "notices_sent",
    "notices_heard",
    "notices_ignored",
    "connections",
)

log = logging.getLogger("crdtkv.net")


class Bucket:
    """A token bucket."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left, self._at = rate, burst, burst, time.monotonic()

    def _fill(self) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now

    def spend(self, n: float) -> None:
        """Also what is not there."""
        self._fill()
        self._left -= n

    def has(self, n: float) -> bool:
        """Spends it, if it is there."""
        self._fill()
        if self._left < n:
            return False
        self._left -= n
        return True

    def debt(self) -> float:
        """Seconds until nothing is owed."""
        return 0.0 if self._left >= 0 else -self._left / self._rate


class State:
    """What a link knows."""

    def __init__(self, target: Target, stream: str, accept: Accept | None, me: bytes) -> None:
        self.stream, self.me = stream, me
        self.number = 0  # of the last notice
        self.directory = Directory(target, accept=accept)
        self.replicas: dict[bytes, Replica] = {}
        self.place, self.pieces = Place(), Pieces()
        self.conflicts: dict[str, tuple[bytes | None, bytes]] = {}  # name -> id here, id there
        self.namesakes = WarnedNamesakes()  # to tell of them
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self._peers: OrderedDict[bytes, tuple[bytes, int, float]] = OrderedDict()  # peer -> author, number, when
        self._quota, self._unwelcome = Quota(), OrderedDict[Entry, None]()
        self._damaged: set[bytes] = set()  # ids of what is here and cannot be opened
        self._junk, self._notices = Bucket(JUNK_RATE, JUNK_BURST), Bucket(NOTICES_RATE, NOTICES_BURST)

    # ---- objects

    def subjects(self, last: str) -> str:
        """The subjects of all objects, as a pattern."""
        only = self.directory.only
        if only is None:
            return f"{self.stream}.*.*.{last}"
        return f"{self.stream}.{self.directory.entries()[0].kind}.{only.hex()}.{last}"

    def refresh(self) -> list[Replica]:
        """Look for names that are new here, and for those that are gone; the new ones. StaleHandleError: closed."""
        self.directory.refresh()
        entries = {entry.id: entry for entry in self.directory.entries()}
        for id in [id for id, replica in self.replicas.items() if id not in entries or replica.is_stale]:
            del self.replicas[id]
        self._damaged &= entries.keys()
        new = [entry for id, entry in entries.items() if id not in self.replicas and id not in self._damaged]
        return [replica for replica in map(self._open, new) if replica is not None]

    def _open(self, entry: Entry) -> Replica | None:
        """None: it was deleted just now, or is damaged, which is no reason not to go on with the others."""
        try:
            shared = self.directory.open(entry.id)
        except KeyError:
            return None
        except StaleHandleError:
            raise
        except Error as error:
            log.warning("object %s cannot be opened: %s", entry.id.hex(), error)
            self._damaged.add(entry.id)
            return None
        replica = self.replicas[entry.id] = Replica(self.stream, entry, shared)
        return replica

    def find(self, subject: str, name: str) -> Replica | None:
        """The object that a subject is of; made, if it is new and welcome. None: it is nobody's here."""
        parts = subject[len(self.stream) + 1 :].split(".")
        try:
            kind, id = parts[0], bytes.fromhex(parts[1])
        except (IndexError, ValueError):
            return None
        replica = self.replicas.get(id)
        if replica is not None:
            return replica if replica.entry.kind == kind else None
        entry = Entry(name, kind, id)
        if entry in self._unwelcome or id in self._damaged or len(id) != 32:
            return None
        verdict = self.directory.offer(entry, self._quota)
        here = self.directory.get(id)
        if verdict is Verdict.SHARED and here is not None:
            return self._open(here)
        if verdict is Verdict.CONFLICT and len(self.conflicts) < MOST_REFUSED:
            other = self.directory.against(entry)
            if name not in self.conflicts:
                self.namesakes.meet(other, entry)
            self.conflicts[name] = (None if other is None else other.id, id)
        self._unwelcome[entry] = None
        self.counts["unwelcome"] += 1
        if len(self._unwelcome) > MOST_REFUSED:
            self._unwelcome.popitem(last=False)
        return None

    def at(self, place: bytes) -> Replica | None:
        """The object of a place, as notes of talks name it."""
        kind, _, id = place.partition(b".")
        replica = self.replicas.get(id)
        return replica if replica is not None and replica.entry.kind.encode() == kind else None

    # ---- what comes

    def take(self, subject: str, data: bytes, seq: int) -> None:
        """A message of the log, and its number. InBlockError: again later. Raises what is wrong here, not in it."""
        try:
            piece = Piece.decode(data)
        except DecodeError:
            self._is_junk(data, "undecodable")
            return
        replica = self.find(subject, piece.name)
        if replica is None:
            self._count(data)
            return
        if replica.shared._version is None:
            raise InBlockError
        try:
            bundle = self.pieces.add(replica.entry.id, piece)
            report = None if bundle is None else replica.outbox.take(lambda: replica.shared.apply(bundle))
        except DecodeError:
            self._is_junk(data, "undecodable")
            return
        self._count(data)
        replica.seq = seq
        if report is not None:
            self.tell(report)
            if report.refused and not report:
                self._junk.spend(len(data))

    def tell(self, report: Report[Any]) -> None:
        """Counts what came, by the log or in a talk."""
        counts = self.counts
        counts["applied"] += len(report.applied)
        counts["void"] += len(report.void)
        counts["known"] += report.known
        counts["waiting"] += len(report.waiting)
        for refusal in report.refused:
            counts["limited" if refusal.error is LimitError else "refused"] += 1

    def rest(self) -> float:
        """Seconds that reading has to pause, because of all the junk."""
        return self._junk.debt()

    def _count(self, data: bytes) -> None:
        self.counts["received"] += 1
        self.counts["received_bytes"] += len(data)

    def _is_junk(self, data: bytes, why: str) -> None:
        self._count(data)
        self.counts[why] += 1
        self._junk.spend(len(data) + 64)

    def hear(self, subject: str, data: bytes) -> Notice | None:
        """A notice of somebody else that is worth a thought."""
        self.counts["notices_heard"] += 1
        try:
            if not self._notices.has(1):
                raise DecodeError("too many notices")
            notice, signature = Notice.decode(data)
            last = self._peers.get(notice.peer)
            if notice.peer == self.me or (last is not None and notice.number <= last[1]):
                raise DecodeError("an old notice")
            if abs(notice.number - 1000 * time.time()) > 600_000 or not notice.is_signed(signature, subject.encode()):
                raise DecodeError("not said by its author, or not lately")
        except DecodeError:
            self.counts["notices_ignored"] += 1
            return None
        self._peers[notice.peer] = (notice.author, notice.number, time.monotonic())
        self._peers.move_to_end(notice.peer)
        if len(self._peers) > MOST_PEERS:
            self._peers.popitem(last=False)
        return notice

    def peers(self, within: float) -> list[bytes]:
        """The authors whose links were heard of in the last seconds."""
        since = time.monotonic() - within
        return sorted({author for author, _, at in self._peers.values() if at >= since})
