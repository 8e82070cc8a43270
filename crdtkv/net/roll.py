"""Roll: what the two ends of a link share. Each calls out its entries, which have numbers from then on; what both have,
or the listener makes, is shared; of the rest one says that it is gone.
"""

from __future__ import annotations

import logging
import time
from collections import deque

from crdtkv.net.directory import Directory, Entry, Quota, Verdict
from crdtkv.net.frame import NAMES_AT_ONCE, Frame, Gone, Names
from crdtkv.net.limits import Code, LinkError
from crdtkv.net.namesakes import Namesakes

__all__ = ["Roll"]

log = logging.getLogger("crdtkv.net")


class Roll:
    """The entries of both ends. What is to be said goes to `outbox`.

    `most`: entries that either end may call out; `quota`: of theirs, those that may be made here; `namesakes`: who is
    told of a name that means two things.

    >>> import crdtkv as ck
    >>> with ck.Database(":memory:") as db:
    ...     notes, outbox = db.doc("notes").id, deque[Frame]()
    ...     roll = Roll(Directory(db), outbox, most=10, quota=Quota(), namesakes=None)
    ...     roll.call(), [entry.name for entry in outbox[0].entries], roll.is_answered
    ...     roll.hear(Names((Entry("notes", "doc", notes),))) == [notes], roll.is_answered
    ([], ['notes'], False)
    (True, True)
    """

    __slots__ = (
        "_directory",
        "_fresh",
        "_generation",
        "_gone",
        "_most",
        "_n_heard",
        "_namesakes",
        "_only",
        "_ours",
        "_ours_by_id",
        "_outbox",
        "_quota",
        "_theirs",
        "_unanswered",
        "conflicts",
        "left_out",
        "refused",
        "turn",
    )

    def __init__(
        self, directory: Directory, outbox: deque[Frame], most: int, quota: Quota, namesakes: Namesakes | None
    ) -> None:
        self._directory, self._outbox, self._most = directory, outbox, most
        self._quota, self._namesakes = quota, namesakes
        self._only: bytes | None = None  # the one object that the other end is
        self._generation = -1  # of the directory, when it was called out last
        self._ours: list[bytes] = []  # ids, by number
        self._ours_by_id: dict[bytes, int] = {}  # and back
        self._unanswered: set[bytes] = set()  # of these, those that the other end has said nothing of
        self._theirs: list[Entry] = []  # by number
        self._n_heard = 0  # entries of the frame that is being taken in
        self._fresh: list[tuple[int, bytes]] = []  # of these, those that are here, too: (number, id)
        self._gone: set[bytes] = set()  # ids of which nothing more is said
        self.turn = float("inf")  # seconds that hear() may go on making names, before it wants to be called again
        self.conflicts: dict[str, tuple[bytes | None, bytes]] = {}  # name -> (id here, id there)
        self.left_out = 0  # own entries that were not said, because there are too many
        self.refused = 0  # entries of the other end that were not made here

    @property
    def has_news(self) -> bool:
        """There may be something to call out."""
        return self._generation != self._directory.generation

    @property
    def is_answered(self) -> bool:
        """The other end has said something of all that was called out."""
        return not self._unanswered

    def begin(self, only: bytes | None) -> None:
        """The other end is one object, if it is."""
        self._only = only

    def number(self, id: bytes) -> int | None:
        """Under which our entry was called out. None: it was not, or nothing more is said of it."""
        return None if id in self._gone else self._ours_by_id.get(id)

    def theirs(self, number: int) -> bytes:
        """The id of an entry of theirs. LinkError: they have called out none under this number."""
        if number >= len(self._theirs):
            raise LinkError(Code.MALFORMED, "nothing was announced under this number")
        return self._theirs[number].id

    # ---- out

    def call(self) -> list[bytes]:
        """Call out the entries that are new since the last time. The ids of those that they have called out before."""
        self._generation = self._directory.generation
        new = [
            entry
            for entry in self._directory.entries()
            if entry.id not in self._ours_by_id and (self._only is None or entry.id == self._only)
        ]
        room = self._most - len(self._ours)
        if len(new) > room:
            self.left_out = len(new) - room
            log.warning("%d names are not shared over this link: there are too many", self.left_out)
            new = new[:room]
        known = {entry.id for entry in self._theirs}
        for entry in new:
            self._ours_by_id[entry.id] = len(self._ours)
            self._ours.append(entry.id)
            if entry.id not in known:
                self._unanswered.add(entry.id)
        self._outbox.extend(Names(tuple(new[i : i + NAMES_AT_ONCE])) for i in range(0, len(new), NAMES_AT_ONCE))
        return [entry.id for entry in new if entry.id in known]

    def give_up(self, id: bytes, *, tell: bool) -> None:
        """Nothing more is said of an object over this link."""
        self._gone.add(id)
        self._unanswered.discard(id)
        if tell:
            self._outbox.append(Gone(True, self._ours_by_id[id]))

    def is_gone(self, id: bytes) -> bool:
        """Is nothing more said of it?"""
        return id in self._gone

    # ---- in

    def hear(self, names: Names) -> list[bytes] | None:
        """Take in what the other end calls out. The ids that are shared from now on; None: there are more, and it is
        somebody else's turn. LinkError."""
        entries, began = names.entries, time.monotonic()
        if len(self._theirs) - self._n_heard + len(entries) > self._most:
            raise LinkError(Code.FLOOD, f"more than {self._most} names")
        while self._n_heard < len(entries):
            entry = entries[self._n_heard]
            if self._only is not None and entry.id != self._only:
                raise LinkError(Code.MALFORMED, "it said that it is another object")
            self._n_heard += 1
            self._hear_one(entry)
            if time.monotonic() - began > self.turn:
                return None
        fresh, self._n_heard, self._fresh = self._fresh, 0, []
        shared = self.call() if self.has_news else []
        for number, id in fresh:
            if id in self._ours_by_id:
                shared.append(id)
            else:
                self._outbox.append(Gone(False, number))
        return shared

    def _hear_one(self, entry: Entry) -> None:
        number = len(self._theirs)
        self._theirs.append(entry)
        verdict = self._directory.offer(entry, self._quota)
        self._unanswered.discard(entry.id)
        if verdict is Verdict.SHARED:
            self._fresh.append((number, entry.id))
            return
        if verdict is Verdict.CONFLICT:
            here = self._directory.against(entry)
            if entry.name not in self.conflicts and self._namesakes is not None:
                self._namesakes.meet(here, entry)
            self.conflicts[entry.name] = (None if here is None else here.id, entry.id)
        else:
            self.refused += 1
        self._outbox.append(Gone(False, number))

    def hear_gone(self, gone: Gone) -> bytes:
        """The id of an entry of theirs, or of ours, of which they say nothing more. LinkError."""
        if gone.own:
            return self.theirs(gone.number)
        if gone.number >= len(self._ours):
            raise LinkError(Code.MALFORMED, "nothing was announced under this number")
        return self._ours[gone.number]
