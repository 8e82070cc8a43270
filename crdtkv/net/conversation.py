"""Conversation: one end of a link. Frames in by receive(), frames out of send(); no input or output of its own.

    handshake   who is there (handshake.py)
    roll        what each end shares (roll.py, directory.py)
    sessions    one for each object that both share (sessions.py); they stay in step for as long as the link lives
    barriers    "tell me when you have told all that you have": what synced() waits for (barriers.py)
    words       presence (presence.py)

What a slow reader is not told yet is not kept here: a session knows what the other end lacks, and says it when asked.
"""

from __future__ import annotations

import logging
from collections import deque

from crdtkv.errors import DecodeError
from crdtkv.net.barriers import Barriers, Waiting
from crdtkv.net.directory import Directory, Quota
from crdtkv.net.frame import (
    MOST_WORDS,
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
from crdtkv.net.roll import Roll
from crdtkv.net.sessions import Sessions

__all__ = ["Conversation", "Waiting"]

WORDS_PER_SECOND = 5000  # of presence, that are looked at; others are not missed for long
OWN_WORDS = 100  # likewise, of a client, who speaks for itself only

log = logging.getLogger("crdtkv.net")


class Conversation:
    """One end. `is_client`: it dialled, and proves first who it is.

    receive() raises LinkError when the other end broke a rule: say so to it, and end the link. Nothing else it does
    comes out as an exception, but that the target cannot go on: StaleHandleError, StoreError, MemoryError.
    """

    __slots__ = (
        "_barriers",
        "_chatter",
        "_directory",
        "_handshake",
        "_is_client",
        "_mark",
        "_open",
        "_outbox",
        "_roll",
        "_sessions",
        "_wants_words",
        "_words",
        "board",
        "bytes_in",
        "bytes_out",
        "frames_in",
        "frames_out",
        "peer",
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
        limits = limits or Limits()
        self._directory, self._is_client = directory, is_client
        self._chatter = Meter(limits.chatter, 5 * limits.chatter)
        only = None if directory.only is None else directory.get(directory.only)
        hello = Handshake.hello(directory.identity, gate, only, endpoint)
        self._handshake = Handshake(directory.identity, gate, hello, is_client=is_client)
        self._outbox: deque[Frame] = deque([hello] if is_client else [])
        self._open = False
        self.peer: bytes | None = None  # the public key that the other end has proved to have
        self._roll = Roll(directory, self._outbox, limits.names, quota or Quota(limits.new_names), namesakes)
        self._sessions = Sessions(directory, self._roll)
        self._barriers = Barriers(5 * limits.chatter)
        self.board: Presence | None = None
        self._mark = 0  # of the board, up to which words were said here
        self._words = Meter(WORDS_PER_SECOND, 2 * MOST_PEERS) if is_client else Meter(OWN_WORDS, 2 * OWN_WORDS)
        self._wants_words = False
        self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = 0

    # ---- what it is

    @property
    def is_open(self) -> bool:
        """Both ends have proved who they are."""
        return self._open

    @property
    def wants_look(self) -> bool:
        """The other end wants to know all that was edited here."""
        return self._barriers.wants_look

    @property
    def is_due(self) -> bool:
        """May there be something to say now?"""
        return bool(self._sessions.is_due or self._outbox or self._barriers.is_due or self._wants_words)

    @property
    def names(self) -> int:
        """How many objects both ends share."""
        return len(self._sessions)

    @property
    def conflicts(self) -> dict[str, tuple[bytes | None, bytes]]:
        """Names that mean two things: (id here, id there)."""
        return self._roll.conflicts

    @property
    def left_out(self) -> int:
        """Own entries that were not said, because there are too many."""
        return self._roll.left_out

    @property
    def refused(self) -> int:
        """Entries of the other end that were not made here."""
        return self._roll.refused

    @property
    def moved(self) -> dict[bytes, int | None]:
        """Of what was changed by frames, id -> version; the caller clears it."""
        return self._sessions.moved

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

    def take_turns(self, turn: float) -> None:
        """receive() wants to be called again when it has made names for so many seconds."""
        self._roll.turn = turn

    def touch(self, id: bytes) -> bool:
        """An object has moved; True: that matters here."""
        return self._sessions.touch(id)

    def touch_lazy(self) -> bool:
        """It is time to say that what came has come; True: there is something to say."""
        return self._sessions.touch_lazy()

    def touch_words(self) -> None:
        """There may be something to say of presence."""
        self._wants_words = True

    def meet(self, board: Presence) -> None:
        """Where words come from, and go to."""
        self.board, self._wants_words = board, True

    def looked(self) -> None:
        """All that was edited here is known now."""
        self._barriers.looked()

    def barrier(self, waiter: Waiting) -> None:
        """`waiter` is done when what both ends have now is on both."""
        self._barriers.ask(waiter)

    def end(self) -> None:
        """Nothing more will be said. Who waits is told by CancelledError, and must not wait here again."""
        self._open = False
        self._sessions.end()
        self._barriers.end()

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
        if self._open and self._roll.has_news:
            self._start(self._roll.call())
        while True:
            if self._outbox:
                return self._outbox.popleft()
            if not self._open:
                return None
            said = self._sessions.say()
            if said is not None:
                return said
            if not self._outbox:  # else something was given up
                break
        if self._wants_words and (words := self._speak_words()) is not None:
            return words
        return self._barriers.next() if self._roll.is_answered and self._sessions.is_settled else None

    def _start(self, shared: list[bytes]) -> None:
        for id in shared:
            self._sessions.start(id)

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
                if not self._sessions.hear(frame):
                    return False
            elif isinstance(frame, Names) and self._open:
                shared = self._roll.hear(frame)
                if shared is None:
                    return False
                self._start(shared)
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
            case Taken():
                self._sessions.hear_taken(frame)
                return
            case Gone():
                self._hear_gone(frame)
                return
            case Passed():
                if self._barriers.hear_passed(frame):
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
            self._barriers.hear(frame)

    def _hear_gone(self, gone: Gone) -> None:
        """Of an entry of theirs (own), or of ours."""
        self._sessions.give_up(self._roll.hear_gone(gone), tell=False)
        if self._directory.only is not None:
            raise LinkError(Code.OTHER_OBJECT, "the other end does not share this object")

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
                self._roll.begin(None if shake.theirs.only is None else shake.theirs.only.id)
            case _:
                raise LinkError(Code.MALFORMED, "first a handshake")

    def _must_fit(self, hello: Hello) -> None:
        here = None if self._directory.only is None else self._directory.get(self._directory.only)
        if here is not None and hello.only is not None and here != hello.only:
            this, that = (f"{entry.kind} {entry.id[:8].hex()}" for entry in (here, hello.only))
            raise LinkError(Code.OTHER_OBJECT, f"here it is the {this}, there the {that}")
