"""Session: one end of an exchange between two replicas of one document."""

from __future__ import annotations

from .bundle import Chain, read_bundle, write_bundle
from .compare import Compare
from .graph import Change
from .live import Tracks
from .message import (
    BUNDLE,
    COMPARE,
    LATER,
    LIVE,
    Hello,
    Message,
    Misfit,
    read_message,
    session_key,
    siphash,
    write_message,
)
from .model import Replica, Report
from .wire import Broken, Malformed, Reader, digest, varint

ROOM = 2**20  # for what is cut into pieces
MAX_BUNDLE = 2**25
BUNDLE_BODIES = 2**22  # a new bundle begins behind so many bytes
LIVE_CHANGES, LIVE_BYTES = 8, 4096


class Session:
    """`salt`: eight bytes, random, another one for each session and end."""

    def __init__(self, replica: Replica, salt: bytes) -> None:
        self.replica = replica
        self.salt = salt
        self.dead = False
        self.number = 0  # of the last message sent
        self.spoke = 0  # of the last one that had a part
        self.taken = 0  # number of the other end's last message
        self.heard = 0  # the last of the own messages that it has heard
        self.owes = False  # a message with parts came, and nothing was said since
        self.more = self.said_more = True  # as the last message of the other end, and the own one, had it
        self.mine: Hello | None = None
        self.other: Hello | None = None
        self.told: set[bytes] = set()  # what the own hello spoke of
        self.told_later: set[bytes] = set()
        self.compare: Compare | None = None
        self.said_doc = self.heard_doc = False
        self.said_later = self.heard_later = False
        self.theirs: set[bytes] = set()  # what the other end has
        self.come: set[bytes] = set()  # what it has sent
        self.leaving = b""  # a bundle, as far as it is not sent
        self.coming = b""  # a bundle, as far as it has come
        self.rest = 0  # of that bundle
        self.out, self.into = Tracks(replica.doc_id), Tracks(replica.doc_id)

    def h(self, id: bytes) -> int:
        assert self.mine and self.other
        return siphash(session_key(self.replica.doc_id, self.mine, self.other), id)

    # Both hellos

    def later(self) -> list[bytes]:
        """What waits for a later version and is signed itself."""
        return sorted(id for id, change in self.replica.later.items() if change.signature)

    def say_hello(self) -> Hello:
        later = self.later()
        self.told, self.told_later = set(self.replica.changes), set(later)
        name = digest(b"crdtkv-later-v1", b"".join(later))[:16] if later else bytes(16)
        return Hello(self.replica.root, name, self.salt)

    def meet(self, opener: bool) -> None:
        """Both hellos are known."""
        assert self.mine and self.other
        if self.mine.salt == self.other.salt:
            raise Misfit("talks to itself")
        if self.mine.root == self.other.root:
            self.theirs |= self.told
        else:
            self.compare = Compare(self.replica, self.told, self.h, opener, self.theirs)
        if self.mine.later == self.other.later:
            self.theirs |= self.told_later
            self.said_later = self.heard_later = True

    # Where it stands

    @property
    def equal(self) -> bool:
        """Did both hellos tell the same?"""
        assert self.mine and self.other
        return (self.mine.root, self.mine.later) == (self.other.root, self.other.later)

    @property
    def compared(self) -> bool:
        return bool(self.mine and self.other and (self.compare is None or self.compare.over))

    def unsent(self) -> list[Change]:
        """Ancestors first."""
        if self.compare:
            self.compare.look_again()
        later = [self.replica.later[id] for id in self.later()] if self.heard_later else []
        return [change for change in [*self.replica.changes.values(), *later] if change.id not in self.theirs]

    @property
    def settled(self) -> bool:
        if not self.compared or not self.said_later or not self.heard_later:
            return False
        if self.leaving or self.unsent() or (self.compare and self.compare.out):
            return False
        come = {self.h(id) for id in {*self.come, *self.replica.changes}}
        return self.compare is None or all(tip.hash in come for tip in self.compare.unknown_here)

    @property
    def done(self) -> bool:
        if self.dead or not self.settled:
            return False
        return (not self.more or (self.equal and self.taken == 1)) and self.heard >= self.spoke

    # Sending

    def send(self) -> bytes | None:
        if self.dead:
            return None
        hello = None
        if self.mine is None:
            hello = self.mine = self.say_hello()
            if self.other:
                self.meet(opener=True)
        parts = self.parts() if self.other else {}
        more = not self.settled
        settled_since = self.said_more and not more and not (self.equal and self.taken == 1)
        if not hello and not parts and not self.owes and not settled_since:
            return None
        self.owes, self.said_more = False, more
        self.number += 1
        if parts:
            self.spoke = self.number
        return write_message(Message(more, self.number, self.taken, hello, parts))

    def parts(self) -> dict[int, bytes]:
        parts: dict[int, bytes] = {}
        if self.compare and self.compare.out:
            head = b"" if self.said_doc else self.h(self.replica.doc_id).to_bytes(8, "little")
            self.said_doc = True
            parts[COMPARE] = head + self.compare.out[:ROOM]
            self.compare.out = self.compare.out[ROOM:]
        if not self.said_later:
            self.said_later = True
            parts[LATER] = b"".join(self.h(id).to_bytes(8, "little") for id in sorted(self.told_later))
        room = ROOM - sum(map(len, parts.values()))
        if self.compared and room > 0:
            live = b"" if self.leaving else self.pick()
            if live:
                parts[LIVE] = live
            elif self.leaving:
                piece, self.leaving = self.leaving[:room], self.leaving[room:]
                parts[BUNDLE] = varint(len(self.leaving)) + piece
        return parts

    def pick(self) -> bytes:
        """What is sent next: live changes, or a bundle that begins to leave."""
        changes: list[Change] = []
        for change in self.unsent():
            if sum(len(each.body) for each in changes) >= BUNDLE_BODIES:
                break
            changes.append(change)
        self.theirs.update(change.id for change in changes)
        few = len(changes) <= LIVE_CHANGES and sum(len(change.body) for change in changes) <= LIVE_BYTES
        if few and all(change.signature for change in changes):
            return self.out.write(changes)
        self.leaving = self.replica.export({change.id for change in changes})
        return b""

    # Receiving

    def receive(self, data: bytes) -> Report:
        """`Malformed` or `Misfit` end the session."""
        if self.dead:
            raise Misfit("the session has ended")
        try:
            return self.take(read_message(data))
        except Broken as error:
            self.dead = True
            raise Malformed(str(error)) from error
        except (Malformed, Misfit):
            self.dead = True
            raise

    def take(self, message: Message) -> Report:
        if message.number != self.taken + 1 or not self.heard <= message.heard <= self.number:
            raise Misfit("a message was lost, or came twice")
        self.taken, self.heard, self.more = message.number, message.heard, message.more
        if message.hello:
            self.other = message.hello
            if self.mine is None and message.parts:
                raise Misfit("knows more than it can")
            if self.mine:
                self.meet(opener=message.heard == 0 and self.mine.salt < self.other.salt)
        self.owes = self.owes or bool(message.parts)
        if COMPARE in message.parts:
            self.hear_compare(message.parts[COMPARE])
        if LATER in message.parts:
            self.hear_later(message.parts[LATER])
        if BUNDLE in message.parts and LIVE in message.parts:
            raise Misfit("a bundle and live changes at once")
        if BUNDLE in message.parts:
            return self.hear_piece(message.parts[BUNDLE])
        if LIVE in message.parts:
            return self.hear_live(message.parts[LIVE])
        return Report()

    def hear_compare(self, data: bytes) -> None:
        if self.compare is None:
            raise Misfit("there is nothing to compare")
        if not self.heard_doc:
            self.heard_doc = True
            if data[:8] != self.h(self.replica.doc_id).to_bytes(8, "little"):
                raise Misfit("of another document")
            data = data[8:]
        self.compare.hear(data)

    def hear_later(self, data: bytes) -> None:
        if self.heard_later:
            raise Misfit("has told that before")
        self.heard_later = True
        reader, hashes = Reader(data), set()
        while not reader.done():
            hashes.add(int.from_bytes(reader.take(8), "little"))
        self.theirs.update(id for id in self.replica.later if self.h(id) in hashes)

    def hear_piece(self, data: bytes) -> Report:
        reader = Reader(data)
        rest = reader.varint()
        piece = reader.take(len(data) - reader.at)
        if self.rest and self.rest != len(piece) + rest:
            raise Misfit("not the piece that follows")
        if len(self.coming) + len(piece) + rest > MAX_BUNDLE:
            raise Misfit("the bundle is too long")
        self.coming += piece
        self.rest = rest
        if rest:
            return Report()
        bundle, self.coming = self.coming, b""
        return self.apply(bundle)

    def hear_live(self, data: bytes) -> Report:
        if self.rest:
            raise Misfit("live changes between the pieces of a bundle")
        chains: list[Chain] = self.into.read(data)
        return self.apply(write_bundle(self.replica.doc_id, chains))

    def apply(self, bundle: bytes) -> Report:
        report = self.replica.apply(bundle)
        ids = {item.id for chain in read_bundle(bundle).chains for item in chain.items}
        self.come |= ids
        self.theirs |= ids
        return report
