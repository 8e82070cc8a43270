"""One end of a session of stores, from the page: docs/format.md, "Session of stores".

Diffs of less than 1 MiB only: what this end says fits into one message.
"""

from __future__ import annotations

from .message import Misfit
from .store import Diff, Request, Store, advance_request
from .store_wire import framed, opened, read_diff, read_request, write_diff, write_request
from .wire import Broken, Reader, blob, digest, varint

REQUEST, DIFF = 1, 2
ROOM = 1 << 20  # of a message, for pieces
PATIENCE = 64


class Session:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.over = False
        self.hello = b""  # the own request, as the first message told of it
        self.met = self.differ = False  # both hellos are known; they are two
        self.asked = False  # the own request went out
        self.theirs: Request | None = None  # what the other end has, as far as is known
        self.all_told: Request | None = None  # what this store had when the other end had been told all of it
        self.pieces: tuple[int, bytes] = 0, b""  # of what is coming
        self.owes = False  # an answer
        self.their_more = True
        self.sent = self.heard = 0  # numbers of the last messages
        self.told = self.taken = 0  # the last one that said something; the last one that the other end took
        self.is_news = False  # the message at hand brings something
        self.idle = 0  # messages in a row that brought nothing

    # Out

    def send(self) -> bytes | None:
        if self.over:
            return None
        if self.sent == 0:
            self.hello = self.hello or write_request(self.store.request_diff())
        pieces = self.what_is_due()
        if self.sent and not self.owes and not pieces:
            return None
        return self.message(pieces)

    def what_is_due(self) -> bytes:
        out = b""
        if self.met and self.differ and not self.asked:
            out += piece(REQUEST, self.hello)
            self.asked = True
        diff = self.what_they_lack()
        if diff and self.theirs is not None:
            out += piece(DIFF, write_diff(diff))
            self.theirs = advance_request(self.theirs, diff)
        if self.theirs is not None:
            self.all_told = self.store.request_diff()
        assert len(out) < ROOM
        return out

    def what_they_lack(self) -> Diff:
        known = self.theirs is None or self.all_told == self.store.request_diff()
        return {} if known or self.theirs is None else self.store.build_diff(self.theirs)

    def message(self, pieces: bytes) -> bytes:
        first = digest(b"crdtkv-request", self.hello)[:16] if self.sent == 0 else b""
        self.sent += 1
        if pieces or (first and not (self.met and not self.differ)):
            self.told = self.sent
        self.owes = False
        more = self.theirs is None
        return framed(b"T", bytes([more]) + varint(self.sent) + varint(self.heard) + first + pieces)

    # In

    def receive(self, message: bytes) -> None:
        """Misfit, Broken or Drift: the session is over."""
        try:
            self.take(message)
        except Exception:
            self.over = True
            raise

    def take(self, message: bytes) -> None:
        if self.over:
            raise Misfit("over")
        r = opened(b"T", message)
        more, number, heard = r.flag(), r.varint(), r.varint()
        if number != self.heard + 1 or not self.taken <= heard <= self.sent:
            raise Misfit("another message was due")
        hello = r.take(16) if number == 1 else b""
        has_pieces = not r.done()
        self.is_news = bool(hello) or self.taken < self.told <= heard
        if hello:
            self.meet(hello)
        while not r.done():
            self.take_piece(r)
        self.idle = 0 if self.is_news else self.idle + 1
        if self.idle == PATIENCE:
            raise Misfit("nothing new for a long time")
        self.heard, self.taken = number, heard
        alone = bool(hello) and not self.differ and not has_pieces  # equal hellos need no answer but the own one
        self.owes = self.owes or (self.sent == 0 if alone else bool(hello) or has_pieces)
        self.their_more = more and not alone

    def meet(self, hello: bytes) -> None:
        self.hello = self.hello or write_request(self.store.request_diff())
        self.met = True
        self.differ = hello != digest(b"crdtkv-request", self.hello)[:16]
        if not self.differ:
            self.told = 0  # needs no answer
            self.theirs = read_request(self.hello)

    def take_piece(self, r: Reader) -> None:
        kind, last, content = r.u8(), r.flag(), r.blob()
        if kind not in (REQUEST, DIFF) or not content:
            raise Broken("not a piece")
        if self.pieces[0] not in (0, kind) or (kind == REQUEST and self.theirs is not None):
            raise Misfit("a piece of something else")
        self.is_news = self.is_news or kind == REQUEST
        self.pieces = kind, self.pieces[1] + content
        if last:
            self.take_whole(*self.pieces)
            self.pieces = 0, b""

    def take_whole(self, kind: int, content: bytes) -> None:
        if kind == REQUEST:
            self.theirs = read_request(content)
            return
        diff = read_diff(content)
        before, waits = self.store.request_diff(), bool(self.store.waiting or self.store.pending)
        report = self.store.integrate_diff(diff)
        if self.theirs is not None:
            known, self.theirs = self.theirs, advance_request(self.theirs, diff)
            self.is_news = self.is_news or known != self.theirs
        if before == self.all_told and not report.refused and not waits:  # all that is new came from there
            self.all_told = self.store.request_diff()

    # Looking

    def done(self) -> bool:
        """Both ends have the same, as far as this one has heard."""
        finished = self.theirs is not None and not self.what_they_lack() and not self.their_more and not self.owes
        return finished and not self.over and self.pieces[0] == 0 and self.taken >= self.told


def piece(kind: int, content: bytes) -> bytes:
    return bytes([kind, 1]) + blob(content)
