"""Conversation: one end of a link. Frames in by receive(), frames out of send(); no input or output of its own.

    handshake   who is there (handshake.py)
    names       what each end shares (directory.py)
    sessions    one for each object that both share (crdtkv.Session); they stay in step for as long as the link lives
    barriers    "tell me when you have told all that you have": what synced() waits for
    words       presence (presence.py)

What a slow reader is not told yet is not kept here: a session knows what the other end lacks, and says it when asked.
"""

from __future__ import annotations

import logging
import time
from asyncio import Future
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from crdtkv.errors import DecodeError, Error, StaleHandleError, SyncError
from crdtkv.net.directory import Directory, Entry, Quota, Shared, Verdict
from crdtkv.net.frame import (
    MOST_WORDS,
    NAMES_AT_ONCE,
    Barrier,
    Frame,
    Gone,
    Hello,
    Names,
    Passed,
    Proof,
    Said,
    Taken,
    Words,
    read,
    write,
)
from crdtkv.net.handshake import Gate, Handshake
from crdtkv.net.limits import Code, Limits, LinkError, Meter
from crdtkv.net.namesakes import Namesakes
from crdtkv.net.presence import MOST_PEERS, Presence, scope_of
from crdtkv.session import Session

__all__ = ["Conversation", "Waiting"]

AHEAD = 4  # messages of a session under way: a slower reader gets fewer and longer ones
BEHIND = 2  # messages that may come before the other end is told so at once
WORDS_PER_SECOND = 5000  # of presence, that are looked at; others are not missed for long
OWN_WORDS = 100  # likewise, of a client, who speaks for itself only

log = logging.getLogger("crdtkv.net")

Waiting: TypeAlias = "Future[None]"


@dataclass(slots=True)
class Line:
    """The session of one object."""

    shared: Shared
    session: Session
    number: int  # of our entry
    sent: int = 0  # messages
    taken: int = 0  # of them, those that the other end has said it took in
    came: int = 0  # messages of the other end
    told: int = 0  # of them, those that it was told are taken in

    @property
    def is_ahead(self) -> bool:
        return self.sent - self.taken >= AHEAD

    @property
    def is_behind(self) -> bool:
        return self.came - self.told > BEHIND


class Conversation:
    """One end. `is_client`: it dialled, and proves first who it is.

    receive() raises LinkError when the other end broke a rule: say so to it, and end the link. Nothing else it does
    comes out as an exception, but that the target cannot go on: StaleHandleError, StoreError, MemoryError.
    """

    __slots__ = (
        "_announced",
        "_asked",
        "_barriers",
        "_chatter",
        "_directory",
        "_dirty",
        "_fresh",
        "_generation",
        "_given_up",
        "_handshake",
        "_held",
        "_is_client",
        "_lazy",
        "_limits",
        "_lines",
        "_mark",
        "_n_heard",
        "_namesakes",
        "_numbers",
        "_open",
        "_outbox",
        "_owed",
        "_quota",
        "_theirs",
        "_unanswered",
        "_unseen",
        "_unsettled",
        "_wants_words",
        "_words",
        "board",
        "bytes_in",
        "bytes_out",
        "conflicts",
        "frames_in",
        "frames_out",
        "left_out",
        "moved",
        "peer",
        "refused",
        "turn",
        "waiting",
    )

    def __init__(
        self,
        directory: Directory,
        gate: Gate,
        *,
        is_client: bool,
        endpoint: str = "",
        limits: Limits | None = None,
        quota: Quota | None = None,
        namesakes: Namesakes | None = None,
    ) -> None:
        self._directory, self._is_client = directory, is_client
        self._limits = limits = limits or Limits()
        self._quota = quota or Quota(limits.new_names)
        self._namesakes = namesakes  # who is told of conflicts
        self._chatter = Meter(limits.chatter, 5 * limits.chatter)
        only = None if directory.only is None else directory.get(directory.only)
        hello = Handshake.hello(directory.identity, gate, only, endpoint)
        self._handshake = Handshake(directory.identity, gate, hello, is_client=is_client)
        self._outbox: deque[Frame] = deque([hello] if is_client else [])
        self._open = False
        self.peer: bytes | None = None  # the public key that the other end has proved to have
        self._generation = -1  # of the directory, when it was announced last
        self._announced: dict[bytes, int] = {}  # id -> number of our entry
        self._numbers: list[bytes] = []  # and back
        self._unanswered: set[bytes] = set()  # ids that the other end has said nothing of
        self._theirs: list[Entry] = []  # by number
        self._n_heard = 0  # entries of the frame that is being taken in
        self._fresh: list[tuple[int, bytes]] = []  # of these, those that are shared: (number, id)
        self.turn = float("inf")  # seconds that receive() may go on making names, before it wants to be called again
        self._given_up: set[bytes] = set()  # ids of which nothing more is said
        self._lines: dict[bytes, Line] = {}
        self._dirty: dict[bytes, None] = {}  # ids whose sessions may have something to say, in order
        self._held: set[bytes] = set()  # likewise, but inside a block
        self._lazy: set[bytes] = set()  # that only have to say that something came
        self._unsettled: set[bytes] = set()
        self._barriers = 0  # that were asked for
        self._asked: deque[int] = deque()  # of those, the ones to be sent
        self.waiting: dict[int, Waiting] = {}  # number of a barrier -> who waits for the answer
        self._unseen: list[int] = []  # barriers of the other end; what was edited here before them may not be known yet
        self._owed: deque[int] = deque()  # those before which the caller has looked
        self.board: Presence | None = None
        self._mark = 0  # of the board, up to which words were said here
        self._words = Meter(WORDS_PER_SECOND, 2 * MOST_PEERS) if is_client else Meter(OWN_WORDS, 2 * OWN_WORDS)
        self._wants_words = False
        self.conflicts: dict[str, tuple[bytes | None, bytes]] = {}  # name -> (id here, id there)
        self.left_out = 0  # own entries that were not said, because there are too many
        self.refused = 0  # entries of the other end that were not made here
        self.moved: dict[bytes, int | None] = {}  # id -> version, of what was changed by frames; the caller clears it
        self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = 0

    # ---- what it is

    @property
    def is_open(self) -> bool:
        """Both ends have proved who they are."""
        return self._open

    @property
    def wants_look(self) -> bool:
        """The other end wants to know all that was edited here."""
        return bool(self._unseen)

    @property
    def is_due(self) -> bool:
        """May there be something to say now?"""
        return bool(self._dirty or self._outbox or self._owed or self._asked or self._wants_words)

    @property
    def names(self) -> int:
        """How many objects both ends share."""
        return len(self._lines)

    @property
    def scope(self) -> bytes:
        """Where presence happens: at the one object, or at the server."""
        theirs = self._handshake.theirs
        assert theirs is not None
        if self._directory.only is not None:
            return self._directory.only
        if theirs.only is not None:
            return theirs.only.id
        return scope_of(theirs.key if self._is_client else self._directory.identity.public_key)

    # ---- what the caller knows

    def touch(self, id: bytes) -> bool:
        """An object has moved; True: that matters here."""
        if id not in self._lines:
            return False
        self._held.discard(id)
        self._lazy.discard(id)
        self._dirty[id] = None
        return True

    def touch_lazy(self) -> bool:
        """It is time to say that what came has come; True: there is something to say."""
        if not self._lazy:
            return False
        self._dirty.update(dict.fromkeys(self._lazy))
        self._lazy.clear()
        return True

    def touch_words(self) -> None:
        """There may be something to say of presence."""
        self._wants_words = True

    def meet(self, board: Presence) -> None:
        """Where words come from, and go to."""
        self.board, self._wants_words = board, True

    def looked(self) -> None:
        """All that was edited here is known now."""
        self._owed.extend(self._unseen)
        self._unseen.clear()

    def barrier(self, waiter: Waiting) -> None:
        """`waiter` is done when what both ends have now is on both."""
        self._barriers += 1
        self.waiting[self._barriers] = waiter
        self._asked.append(self._barriers)

    def end(self) -> None:
        """Nothing more will be said. Who waits is told by CancelledError, and must not wait here again."""
        self._open = False
        self._lines.clear()
        for waiter in self.waiting.values():
            if not waiter.done():
                waiter.cancel()
        self.waiting.clear()

    # ---- out

    def send(self) -> bytes | None:
        """The next frame, None if there is none now."""
        frame = self._next()
        if frame is None:
            return None
        data = write(frame)
        self.frames_out += 1
        self.bytes_out += len(data)
        return data

    def _next(self) -> Frame | None:
        if self._open and self._generation != self._directory.generation:
            self._announce()
        while True:
            if self._outbox:
                return self._outbox.popleft()
            if not self._open:
                return None
            said = self._say()
            if said is not None:
                return said
            if not self._outbox:  # else something was given up
                break
        if self._wants_words and (words := self._speak_words()) is not None:
            return words
        if not (self._unanswered or self._unsettled or self._held):
            if self._asked:
                return Barrier(self._asked.popleft())
            if self._owed:
                return Passed(self._owed.popleft())
        return None

    def _announce(self) -> None:
        """The entries that are new since the last time."""
        self._generation = self._directory.generation
        theirs = self._handshake.theirs
        assert theirs is not None
        only = None if theirs.only is None else theirs.only.id
        new = [
            entry
            for entry in self._directory.entries()
            if entry.id not in self._announced and (only is None or entry.id == only)
        ]
        room = self._limits.names - len(self._announced)
        if len(new) > room:
            self.left_out = len(new) - room
            log.warning("%d names are not shared over this link: there are too many", self.left_out)
            new = new[:room]
        answered = {entry.id for entry in self._theirs}
        for entry in new:
            self._announced[entry.id] = len(self._numbers)
            self._numbers.append(entry.id)
            if entry.id in answered:
                self._start(entry.id)
            else:
                self._unanswered.add(entry.id)
        self._outbox.extend(Names(tuple(new[i : i + NAMES_AT_ONCE])) for i in range(0, len(new), NAMES_AT_ONCE))

    def _start(self, id: bytes) -> None:
        """Both share it: a session begins, when its turn comes."""
        if id not in self._lines and id not in self._given_up:
            self._unsettled.add(id)
            self._dirty[id] = None

    def _line(self, id: bytes) -> Line | None:
        """The session of an object, which is opened now if it was not. None: it cannot be."""
        line = self._lines.get(id)
        if line is None and id in self._announced and id not in self._given_up:
            try:
                shared = self._directory.open(id)
                line = Line(shared, shared.session(), self._announced[id])
            except KeyError:
                self._give_up(id)
                return None
            except StaleHandleError:
                raise
            except Error as error:
                log.warning("object %s cannot be opened: %s", id.hex(), error)
                self._give_up(id)
                return None
            self._lines[id] = line
        return line

    def _give_up(self, id: bytes, *, tell: bool = True) -> None:
        """Nothing more is said of an object over this link."""
        self._given_up.add(id)
        self._lines.pop(id, None)
        self._dirty.pop(id, None)
        self._held.discard(id)
        self._lazy.discard(id)
        self._unsettled.discard(id)
        self._unanswered.discard(id)
        if tell:
            self._outbox.append(Gone(True, self._announced[id]))

    def _say(self) -> Said | Taken | None:
        """What the next session has to say that has something to say."""
        while self._dirty:
            id = next(iter(self._dirty))
            try:
                line = self._line(id)
                if line is None:
                    self._dirty.pop(id, None)
                    continue
                del self._dirty[id]
                if line.shared._version is None:
                    self._held.add(id)
                    continue
                message = None if line.is_ahead else self._ask(line.session)
                if message is not None:
                    self._dirty[id] = None  # once more, when all others had their turn
                    line.sent += 1
                    line.told = line.came
                    return Said(line.number, line.came, message)
                if line.session._settled:
                    self._unsettled.discard(id)
                else:
                    self._unsettled.add(id)
                if line.is_behind or (line.is_ahead and line.told < line.came):
                    line.told = line.came
                    return Taken(line.number, line.came)
            except StaleHandleError:
                self._lost(id)
            except SyncError as error:  # a DAG that was purged is here again; the next link begins anew
                raise LinkError(Code.SESSION, str(error)) from None
        return None

    @staticmethod
    def _ask(session: Session) -> bytes | None:
        try:
            return session.send()
        except ExceptionGroup:  # callbacks, told of the change that was closed now: they end nothing
            log.exception("callbacks failed")
            return session.send()

    def _lost(self, id: bytes) -> None:
        """An object was deleted, or all of the database was closed: StaleHandleError, then."""
        self._directory.refresh()
        self._give_up(id)

    def _speak_words(self) -> Frame | None:
        self._wants_words = False
        if self.board is None:
            return None
        words, self._mark = self.board.since(self._mark, source=self)
        pieces = [Words(tuple(words[i : i + MOST_WORDS])) for i in range(0, len(words), MOST_WORDS)]
        self._outbox.extend(pieces[1:])
        return pieces[0] if pieces else None

    # ---- in

    def receive(self, data: bytes) -> bool:
        """Take a frame in. False: not now, because a block is open in the object, or not all at once, because others
        have waited for a `turn`; come again with it.
        """
        try:
            frame = read(data)
            if isinstance(frame, Said) and self._open:
                if not self._hear(frame):
                    return False
            elif isinstance(frame, Names) and self._open:
                if not self._hear_names(frame.entries):
                    return False
            else:
                self._control(frame)
        except DecodeError as error:
            raise LinkError(Code.MALFORMED, str(error)) from None
        self.frames_in += 1
        self.bytes_in += len(data)
        return True

    def _control(self, frame: Frame | None) -> None:
        if not self._open:
            self._greet(frame)
            return
        match frame:
            case Taken(number, n):
                self._hear_taken(number, n)
                return
            case Gone(own, number):
                self._hear_gone(own, number)
                return
            case Passed(number):
                waiter = self.waiting.pop(number, None)
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
                if waiter is not None:
                    return
            case Words(words) if self._is_client:
                self._hear_words(words)
                return
            case Words(words):
                self._hear_words(words)
            case Hello() | Proof():
                raise LinkError(Code.MALFORMED, "the handshake is over")
        if not self._chatter.take(1):
            raise LinkError(Code.FLOOD, "too much that says nothing")
        if isinstance(frame, Barrier):
            if len(self._unseen) + len(self._owed) >= 5 * self._limits.chatter:
                raise LinkError(Code.FLOOD, "too many barriers that are not passed")
            self._unseen.append(frame.number)

    def _hear_words(self, words: tuple[tuple[int, bytes], ...]) -> None:
        """A client speaks for itself only; a server passes on what others said."""
        if self.board is None:
            return
        author = None if self._is_client else self.peer
        for age, word in words:
            if self._words.take(1):
                self.board.take(word, age, source=self, author=author)

    def _greet(self, frame: Frame | None) -> None:
        shake = self._handshake
        match frame:
            case Hello():
                shake.hear(frame)
                self._must_fit(frame)
                if self._is_client:
                    self._outbox.append(shake.proof())
                else:
                    self._outbox.append(shake._hello)
            case Proof():
                try:
                    shake.check(frame)
                except (LinkError, DecodeError):
                    raise
                except Exception:
                    log.exception("allow() failed, and nobody is allowed")
                    raise LinkError(Code.NOT_ALLOWED, "not allowed here") from None
                assert shake.theirs is not None
                if not self._is_client:
                    self._outbox.append(shake.proof())
                self.peer, self._open = shake.theirs.key, True
            case _:
                raise LinkError(Code.MALFORMED, "first a handshake")

    def _must_fit(self, hello: Hello) -> None:
        here = None if self._directory.only is None else self._directory.get(self._directory.only)
        if here is not None and hello.only is not None and here != hello.only:
            this, that = (f"{entry.kind} {entry.id[:8].hex()}" for entry in (here, hello.only))
            raise LinkError(Code.OTHER_OBJECT, f"here it is the {this}, there the {that}")

    def _hear_names(self, entries: tuple[Entry, ...]) -> bool:
        """Take in what the other end shares. False: there are more, and it is somebody else's turn."""
        theirs = self._handshake.theirs
        assert theirs is not None
        began = time.monotonic()
        if len(self._theirs) - self._n_heard + len(entries) > self._limits.names:
            raise LinkError(Code.FLOOD, f"more than {self._limits.names} names")
        while self._n_heard < len(entries):
            entry = entries[self._n_heard]
            if theirs.only is not None and entry.id != theirs.only.id:
                raise LinkError(Code.MALFORMED, "it said that it is another object")
            self._n_heard += 1
            self._hear_name(entry)
            if time.monotonic() - began > self.turn:
                return False
        fresh, self._n_heard, self._fresh = self._fresh, 0, []
        if self._generation != self._directory.generation:
            self._announce()
        for number, id in fresh:
            if id in self._announced:
                self._start(id)
            else:
                self._outbox.append(Gone(False, number))
        return True

    def _hear_name(self, entry: Entry) -> None:
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

    def _hear_gone(self, own: bool, number: int) -> None:
        """Of an entry of theirs (own), or of ours."""
        if number >= (len(self._theirs) if own else len(self._numbers)):
            raise LinkError(Code.MALFORMED, "nothing was announced under this number")
        self._give_up(self._theirs[number].id if own else self._numbers[number], tell=False)
        if self._directory.only is not None:
            raise LinkError(Code.OTHER_OBJECT, "the other end does not share this object")

    def _hear(self, said: Said) -> bool:
        if said.number >= len(self._theirs):
            raise LinkError(Code.MALFORMED, "nothing was announced under this number")
        id = self._theirs[said.number].id
        try:
            line = self._line(id)
            if line is None:
                if id not in self._given_up:
                    raise LinkError(Code.MALFORMED, "a session of what is not shared")
                return True  # it had not heard that yet
            before, waited = line.shared._version, line.is_ahead
            if before is None:
                return False
            try:
                line.session.receive(said.message)
            except ExceptionGroup:  # callbacks raise last, and end nothing
                log.exception("callbacks failed")
            after = line.shared._version
            if after != before:
                self.moved[id] = after
        except StaleHandleError:
            self._lost(id)
            return True
        except SyncError as error:
            raise LinkError(Code.SESSION, str(error)) from None
        line.came += 1
        line.taken = max(line.taken, min(said.taken, line.sent))
        if line.session._settled:
            self._unsettled.discard(id)
            if not (line.is_behind or waited):
                self._lazy.add(id)
                return True
        else:
            self._unsettled.add(id)
        self._dirty[id] = None
        return True

    def _hear_taken(self, number: int, n: int) -> None:
        if number >= len(self._theirs):
            raise LinkError(Code.MALFORMED, "nothing was announced under this number")
        id = self._theirs[number].id
        line = self._lines.get(id)
        if line is not None:
            if line.is_ahead:
                self._dirty[id] = None
            line.taken = max(line.taken, min(n, line.sent))
