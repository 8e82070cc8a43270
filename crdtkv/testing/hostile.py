"""HostilePeer: a session that lies, in one of the ways of HOSTILE."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count, islice, repeat
from typing import TYPE_CHECKING, TypeAlias

from crdtkv.errors import DecodeError, Error
from crdtkv.identity import Identity
from crdtkv.report import Report
from crdtkv.testing import frame
from crdtkv.testing.forger import Forger
from crdtkv.testing.frame import BUNDLE, COMPARE, LATER, LIVE, WORD, Hello, Message, Stream
from crdtkv.testing.wire import (
    Buffer,
    Part,
    Reader,
    blob,
    change_id_of,
    digest,
    reseal,
    signed_message,
    take_apart,
    varint,
    write_bundle,
)

if TYPE_CHECKING:
    from crdtkv._core import Session
    from crdtkv.doc import Doc

__all__ = ["HOSTILE", "HostilePeer"]

MAX_MESSAGE = (1 << 20) + 4096
MAX_BUNDLE = 32 << 20
TURN = 100  # messages in a row without hearing one: more than anybody has patience for
LIFE = 2000  # calls of send() in all
END = 1 << 64  # of all keys

Story: TypeAlias = Iterator[bytes | None]  # messages; None: it wants to hear first


class Mouth:
    """What the ways to lie have in common: a copy of the document, a liar in it, numbers, and what was heard."""

    def __init__(self, doc: Doc, strategy: str, seed: int) -> None:
        name = f"{strategy} {seed}".encode()
        self.random = random.Random(name)
        self.identity = Identity.from_seed(digest(b"crdtkv-hostile", name))
        self.forger = Forger(doc, self.identity, seed=name)
        self.doc = self.forger.doc
        seeded = getattr(self.doc, "_seed", None)  # what an honest session draws follows from the seed, too
        if seeded is not None:
            seeded(digest(b"crdtkv-hostile", b"salts " + name))
        self.salt = self.random.randbytes(8)
        self.number = 0  # of the last message said
        self.heard = 0
        self.theirs: Hello | None = None
        self.first = False  # we spoke before we heard them
        self.messages: list[bytes] = []  # heard, not read yet
        self.nothing = self.doc.apply(self.doc.export(self.doc.heads))  # a report of nothing
        self._met = self._compared = False
        self._stream = Stream()

    def hear(self, data: bytes) -> None:
        try:
            message = frame.read(data)
        except DecodeError:
            return
        self.heard = message.number
        self.theirs = self.theirs or message.hello
        self.messages.append(data)

    def read(self) -> Iterator[Message]:
        """What was heard since the last time."""
        now, self.messages = self.messages, []
        return map(frame.read, now)

    def ranges(self) -> list[bytes]:
        """The ranges that were heard since the last time."""
        out = []
        for message in self.read():
            part = message.parts.get(COMPARE)
            if part is not None:
                out += self._stream.take(part if self._met else part[8:])
                self._met = True
        return out

    @property
    def opens(self) -> bool:
        """Whether it is for us to begin the comparison."""
        return not self.first or (self.theirs is not None and self.salt < self.theirs.salt)

    def h(self, data: bytes) -> int:
        assert self.theirs is not None
        return frame.siphash(frame.key_of(self.doc.id, self.salt, self.theirs.salt), data)

    def hello(self, root: bytes | None = None, later: bytes = bytes(16)) -> Story:
        """Ours, and theirs. root: None for one that nobody has, so that they compare."""
        self.first = self.theirs is None
        self.number = 1
        root = self.random.randbytes(32) if root is None else root
        yield frame.write(1, self.heard, hello=Hello(root, later, self.salt))
        while self.theirs is None:
            yield None

    def say(self, *parts: tuple[int, bytes]) -> bytes:
        self.number += 1
        return frame.write(self.number, self.heard, parts)

    def bundle(self, bundle: bytes) -> Iterator[bytes]:
        """One bundle, in as many pieces as it takes."""
        for at in range(0, len(bundle), 1 << 20):
            piece = bundle[at : at + (1 << 20)]
            yield self.say((BUNDLE, varint(len(bundle) - at - len(piece)) + piece))

    def write(self, parts: Sequence[Part]) -> bytes:
        return write_bundle(self.forger._head, parts)

    def compare(self, *ranges: bytes) -> tuple[int, bytes]:
        """A part that says these, behind the document if it is the first."""
        head = b"" if self._compared else self.h(self.doc.id).to_bytes(8, "little")
        self._compared = True
        return COMPARE, head + b"".join(map(blob, ranges))

    def tips(self, n: int, lo: int = 0, hi: int = END) -> list[frame.Tip]:
        """So many that do not exist, in order."""
        draw = self.random
        keys = sorted(draw.randrange(max(lo, 1), hi) | 1 for _ in range(n))
        last = hi - 1
        return [(min(key, last), draw.choice((1, 2, 77, 2**32 - 1)), draw.getrandbits(64)) for key in sorted(set(keys))]

    def siblings(self, n: int, parents: bool) -> list[Part]:
        """So many first changes of the liar's lane, signed. parents: of which each names one that does not exist."""
        lie = self.forger.forge(parents=[bytes(32)]) if parents else self.forger.forge(body=b"\0" + bytes(8))
        (honest,) = take_apart(lie)
        at = honest.header.rindex(bytes(8))
        out = []
        for _ in range(n):
            header = honest.header[:at] + self.random.randbytes(8) + honest.header[at + 8 :]
            id = change_id_of(honest.lane, header)
            signature = self.identity._sign(signed_message(self.doc.id, honest.lane, 0, id))
            out.append(replace(honest, id=id, header=header, signature=signature))
        return out

    def honest(self) -> tuple[Session, Callable[[], Iterator[bytes]]]:
        """A true session of the copy, and what it has to say to what was heard so far."""
        session = self.doc.session()

        def said() -> Iterator[bytes]:
            now, self.messages = self.messages, []
            self.forger.advance(self.forger.forge())  # there is always news
            with suppress(Error):  # the other end may have gone wrong as well
                for data in now:
                    session.receive(data)
            while (message := session.send()) is not None:
                yield message

        return session, said

    def broken(self, data: bytes, flips: int = 0) -> bytes:
        """These bytes with some of them changed."""
        out = bytearray(data)
        for _ in range(flips or self.random.choice((1, 1, 2, 8))):
            out[self.random.randrange(len(out))] ^= self.random.randrange(1, 256)
        return bytes(out)


# ---- the ways


def garbage(mouth: Mouth) -> Story:
    """Random bytes, or honest messages with flipped ones, in half of them with the check repaired."""
    draw = mouth.random
    _, said = mouth.honest()
    for left in count(draw.randrange(6), -1):
        if draw.random() < 0.2 and left <= 0:
            yield draw.randbytes(draw.choice((0, 1, 6, 7, 64, 5000)))
        for message in said():
            if left <= 0:
                message = mouth.broken(message)
                yield frame.repair(message) if draw.random() < 0.5 and len(message) > 4 else message
            else:
                yield message
        yield None


def huge(mouth: Mouth) -> Story:
    """Messages over the limit, lengths that nobody has the bytes for, bundles that never end, bombs."""
    yield from mouth.hello(mouth.doc.root if mouth.random.random() < 0.5 else None)
    number = varint(mouth.random.choice((WORD, 1 << 63, 1 << 32, (1 << 31) - 1, MAX_BUNDLE + 1)))
    bomb = mouth.forger.bomb(mouth.random.choice((1 << 20, 1 << 28, 1 << 31, 1 << 63)))
    live = varint(1) + mouth.identity.public_key + bytes(16) + varint(0)
    lies: list[Callable[[], Iterator[bytes]]] = [
        lambda: iter([mouth.say((9, bytes(MAX_MESSAGE - 40))), mouth.say((9, bytes(MAX_MESSAGE)))]),
        lambda: iter([frame.repair(mouth.say()[:-4] + varint(tag) + number + bytes(4)) for tag in (BUNDLE, LIVE, 99)]),
        lambda: iter([mouth.say((BUNDLE, number + b"x"))]),
        lambda: (mouth.say((BUNDLE, varint(MAX_BUNDLE - k * (1 << 20)) + bytes(1 << 20))) for k in range(1, 40)),
        lambda: (mouth.say((BUNDLE, varint(1 - k * (1 << 20) & WORD) + bytes(1 << 20 if k else 1))) for k in range(99)),
        lambda: mouth.bundle(bomb),
        lambda: mouth.bundle(reseal(mouth.forger._head + b"\1" + number + bytes(99))),
        lambda: iter([mouth.say(mouth.compare(), (COMPARE + 1, bytes(1 << 19))), mouth.say((LATER, bytes(8)))]),
        lambda: iter([mouth.say((COMPARE, mouth.compare()[1] + number)) for _ in range(40)]),
        lambda: iter([mouth.say(mouth.compare(b"\2\0" + number + bytes(1000)))]),
        lambda: iter([mouth.say(mouth.compare(b"\2\0" + varint(50000) + bytes(850000)))]),
        lambda: iter([mouth.say(mouth.compare(b"\1\x08" + b"\xff" * 8 + bytes(8) + number))]),
        lambda: (mouth.say((COMPARE, mouth.compare()[1] + (bytes(1 << 20) if k else number))) for k in range(40)),
        lambda: iter([mouth.say((LIVE, live + number))]),
        lambda: iter([mouth.say((LIVE, live + varint(8) + number))]),
        lambda: iter([mouth.say((LIVE, live + b"\1\0\1" + number))]),
        lambda: iter([mouth.say((LIVE, live + b"\1\0" + number + b"\0" + bytes(64)))]),
    ]
    while True:
        yield from mouth.random.choice(lies)()


def endless_want(mouth: Mouth) -> Story:
    """Compares for ever: sums that never agree, ranges that never shrink, tips without end, random finds."""
    yield from mouth.hello()
    draw = mouth.random
    manner = draw.choice(("same", "many", "drip", "tips"))
    if mouth.opens and manner in ("many", "drip"):
        n = 1 if manner == "drip" else 40000
        for at in count(1, n):
            yield mouth.say(mouth.compare(*(frame.fingerprint(end << 20, end, 1) for end in range(at, at + n))))
    todo = [frame.fingerprint(0, 1, draw.choice((1, 1 << 20)))] if mouth.opens else []
    low, lo, end = 0, 0, END
    for turn in count():
        for asked in mouth.ranges():
            reader = Reader(asked[1:])
            try:
                if asked[0] in (frame.PRINT, frame.TIPS):
                    low, lo = frame.read_bound(reader), low
                    end = low or END
                if asked[0] == frame.PRINT and manner == "tips":
                    todo.append(frame.listing(low, mouth.tips(16384, lo, end)))
                elif asked[0] == frame.PRINT:
                    cuts = {"same": 0, "many": 20000, "drip": 20}[manner]
                    bounds = sorted({draw.randrange(lo + 1, end) for _ in range(min(cuts, end - lo - 2))})
                    todo += [frame.fingerprint(each, draw.getrandbits(64), 100) for each in [*bounds, low]]
                elif asked[0] == frame.TIPS:
                    n = len(frame.read_tips(reader))
                    bits = draw.randbytes((n + 7) // 8)
                    todo.append(frame.having(bits, mouth.tips(draw.choice((0, 1, 50000)), lo, end)))
                elif asked[0] == frame.HAVE:
                    todo.append(frame.knowing(draw.randbytes(draw.randrange(40))))
                elif asked[0] == frame.PAST:
                    todo.append(frame.found(draw.randrange((len(asked) - 1) // 8 + 1)))
                elif asked[0] == frame.FOUND:
                    todo.append(frame.past([draw.getrandbits(64) for _ in range(3)]))
            except DecodeError:
                continue
        if turn > 20 and not todo:  # nothing is left to answer: so it speaks unasked
            todo.append(frame.fingerprint(draw.randrange(END), 1, 1))
        n = 1 if manner == "drip" else 40000
        if todo:
            some, todo = todo[:n], todo[n:]
            if sum(map(len, some)) < 1 << 20:
                yield mouth.say(mouth.compare(*some))
            else:
                part, text = mouth.compare(*some)
                yield from (mouth.say((part, text[at : at + (1 << 20)])) for at in range(0, len(text), 1 << 20))
        yield None


def phantom(mouth: Mouth) -> Story:
    """Claims tips, tracks and messages that do not exist, and delivers none."""
    yield from mouth.hello()
    draw = mouth.random
    if mouth.opens:
        yield mouth.say(mouth.compare(frame.listing(0, mouth.tips(draw.choice((1, 100, 16384))))))
    for turn in count():
        for asked in mouth.ranges():
            reader = Reader(asked[1:])
            if asked[0] in (frame.PRINT, frame.TIPS):
                bound = frame.read_bound(reader)
                if asked[0] == frame.PRINT:
                    yield mouth.say(mouth.compare(frame.listing(bound, mouth.tips(3, 0, bound or END))))
                else:
                    n = len(frame.read_tips(reader))
                    yield mouth.say(mouth.compare(frame.having(bytes((n + 7) // 8), mouth.tips(draw.randrange(200)))))
            elif asked[0] == frame.HAVE and len(asked) > 2:
                yield mouth.say(mouth.compare(frame.knowing(b"\xff" * draw.randrange(3))))
            elif asked[0] == frame.PAST:
                yield mouth.say(mouth.compare(frame.found(draw.randrange(4))))
        if turn == 3 and draw.random() < 0.5:
            run = varint(draw.randrange(200) * 2) + varint(1) + b"\0\1\0" + mouth.identity._sign(b"")
            yield mouth.say((LIVE, run))
        if turn == 3 and draw.random() < 0.3:
            mouth.heard += draw.choice((1, 1000, WORD - mouth.heard))
        if turn > 3:
            yield mouth.say()
        yield None


def stall(mouth: Mouth) -> Story:
    """Says hello and then nothing; or acknowledges for ever; or talks a byte at a time."""
    draw = mouth.random
    yield from mouth.hello(mouth.doc.root if draw.random() < 0.3 else None)
    manner = draw.choice(("nothing", "empty", "bundle", "ranges", "unknown"))
    bundle = mouth.forger.forge()
    for at in count():
        if manner == "nothing":
            yield None
        elif manner == "empty":
            yield mouth.say()
        elif manner == "bundle":
            yield mouth.say((BUNDLE, varint(max(0, len(bundle) - 1 - at)) + bundle[at : at + 1]))
        elif manner == "ranges":
            part, data = mouth.compare()
            yield mouth.say((part, data + (varint(1 << 20) if at == 0 else b"\0")))
        else:
            yield mouth.say((draw.choice((5, 99, WORD)), draw.randbytes(draw.randrange(9))))


def flood(mouth: Mouth) -> Story:
    """Signed changes whose ancestors nobody has, by the thousand; equivocations by the hundred."""
    yield from mouth.hello(mouth.doc.root)
    yield from mouth.bundle(mouth.write(mouth.siblings(300, parents=False)))
    floating: list[Part] = []
    while True:
        if len(floating) < 5000:
            floating += mouth.siblings(mouth.random.choice((1, 10, 1000)), parents=True)
        n = 1000 if len(floating) < 5000 else 50
        yield from mouth.bundle(mouth.write(mouth.random.sample(floating, min(n, len(floating)))))


def forged(mouth: Mouth) -> Story:
    """Wrong signatures, wrong authors, wrong headers of every kind, among good ones."""
    yield from mouth.hello(mouth.doc.root)
    draw, forger = mouth.random, mouth.forger
    lanes = [change.lane for change in forger.doc.changes()] or [bytes(32)]
    ids = [change.id for change in forger.doc.changes()] or [bytes(32)]
    while True:
        parts: list[Part] = []
        for _ in range(draw.choice((1, 5, 40))):
            lies: list[dict[str, object]] = [
                {},
                {"signature": draw.randbytes(64)},
                {"signature": b""},
                {"sign_with": Identity.from_seed(draw.randbytes(32))},
                {"author": draw.randbytes(32)},
                {"lane_id": draw.choice(lanes)},
                {"lane_id": draw.choice(lanes), "prev": draw.choice(ids)},
                {"seq": draw.choice((1, 2**31, 2**32 - 1, 2**32, WORD))},
                {"prev": draw.randbytes(32)},
                {"parents": [draw.choice(ids)] * 2},
                {"parents": [draw.randbytes(32) for _ in range(40)]},
                {"ver": draw.choice((0, 2, WORD))},
                {"type": 9},
                {"n_ops": draw.choice((0, 2**20, WORD))},
                {"body_len": draw.choice((0, 2**24, WORD))},
                {"body_hash": draw.randbytes(32)},
                {"key_epoch": 1},
                {"nonce": draw.randbytes(16)},
                {"doc_id": draw.randbytes(32)},
                {"body": draw.randbytes(draw.randrange(200))},
            ]
            parts += take_apart(forger.forge(**draw.choice(lies)))  # type: ignore[arg-type]
        yield from mouth.bundle(mouth.write(parts))


def regress(mouth: Mouth) -> Story:
    """An honest session that repeats, reorders or drops what it said, goes back in time, or answers nobody."""
    draw = mouth.random
    _, said = mouth.honest()
    manner = draw.choice(("repeat", "reorder", "drop", "again", "hello", "old", "answer"))
    honest = draw.randrange(1, 7)
    past: list[bytes] = []
    while True:
        now = list(said())
        if manner == "reorder":
            now.reverse()
        for message in now:
            honest -= 1
            past.append(message)
            mouth.number = frame.read(message).number
            if manner == "drop" and honest < 0 and draw.random() < 0.5:
                continue
            yield message
            if honest > 0:
                continue
            if manner == "repeat":
                yield message
            elif manner == "again":
                yield from past
            elif manner == "hello":
                yield frame.write(mouth.number + 1, mouth.heard, hello=Hello(bytes(32), bytes(16), mouth.salt))
                yield frame.write(1, mouth.heard, hello=Hello(bytes(32), bytes(16), mouth.salt))
            elif manner == "old":
                _, said = mouth.honest()
                mouth.messages.clear()
            elif manner == "answer":
                said_by_none = draw.choice((frame.skip(0), frame.knowing(b"\1"), frame.found(1), frame.past([1, 2])))
                yield mouth.say((COMPARE, blob(said_by_none)))
        yield None


def replay(mouth: Mouth) -> Story:
    """What was said in another session of the same document, word for word, or under numbers that fit."""
    reader, listener = mouth.doc.session(), type(mouth.doc)(Identity.from_seed(bytes(32)), id=mouth.doc.id).session()
    recorded = []
    for _ in range(6):
        for one, other in (reader, listener), (listener, reader):
            while (message := one.send()) is not None:
                other.receive(message)
                if one is reader:
                    recorded.append(message)
    if mouth.random.random() < 0.5:
        yield from recorded
    yield from mouth.hello()
    for message in islice(chain.from_iterable(repeat(recorded)), LIFE):
        yield mouth.say(*frame.read(message).parts.items())
        yield None


def mirror(mouth: Mouth) -> Story:
    """Says what it hears: word for word, or as if it had been its own."""
    if mouth.random.random() < 0.5:
        while True:
            now, mouth.messages = mouth.messages, []
            yield from now
            yield None
    while mouth.theirs is None:
        yield None
    yield from mouth.hello(mouth.theirs.root, mouth.theirs.later)
    while True:
        for message in mouth.read():
            yield mouth.say(*message.parts.items())
        yield None


def drip(mouth: Mouth) -> Story:
    """One tiny change each 60 empty messages: slow, and no more than that."""
    yield from mouth.hello(mouth.doc.root)
    while True:
        bundle = mouth.forger.forge()
        mouth.forger.advance(bundle)
        yield from mouth.bundle(bundle)
        for _ in range(60):
            yield mouth.say()


def future(mouth: Mouth) -> Story:
    """Changes that only a later version can read, one by one: signed, and kept by everybody."""
    yield from mouth.hello(mouth.doc.root)
    while True:
        yield from mouth.bundle(mouth.forger.forge(body=b"\x7c" + mouth.random.randbytes(9)))


WAYS: dict[str, Callable[[Mouth], Story]] = {
    way.__name__: way
    for way in (
        garbage,
        huge,
        endless_want,
        phantom,
        stall,
        flood,
        forged,
        regress,
        replay,
        mirror,
        drip,
        future,
    )
}
HOSTILE: tuple[str, ...] = tuple(WAYS)


class HostilePeer:
    """A session that lies: put it at one end of a wire, and `doc.session()` of an honest replica at the other.

    `doc` is the document that it lies about, any replica of it; the peer works on a copy. `strategy` is one of HOSTILE,
    and what it does follows from it, `seed`, and what it hears. `identity` is who signs what it makes: all that an
    honest document gains from it is by that author.

    It falls silent after 100 messages without hearing one, until it hears one, and for good after it was asked 2,000
    times. It never raises, whatever it hears. `done`: it has nothing more to say, ever.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> doc["a"] = 1
    >>> session, peer = doc.session(), testing.HostilePeer(doc, "huge", seed=3)
    >>> try:
    ...     while not peer.done:
    ...         while message := session.send():
    ...             nothing = peer.receive(message)
    ...         if message := peer.send():
    ...             report = session.receive(message)
    ... except (ck.SyncError, ck.DecodeError):
    ...     print("found out")
    found out
    >>> doc == {"a": 1}, session.send(), session.done
    (True, None, False)
    """

    __slots__ = ("_left", "_mouth", "_story", "_turn", "strategy")

    def __init__(self, doc: Doc, strategy: str, seed: int = 0) -> None:
        if strategy not in WAYS:
            raise ValueError(f"strategy is one of {', '.join(HOSTILE)}, not {strategy!r}")
        self.strategy = strategy
        self._mouth = Mouth(doc, strategy, seed)
        self._story = WAYS[strategy](self._mouth)
        self._turn, self._left = TURN, LIFE

    def __repr__(self) -> str:
        return f"<HostilePeer {self.strategy}: asked {LIFE - self._left} times>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.hostile_peer(self)

    @property
    def identity(self) -> Identity:
        """Who signs its changes."""
        return self._mouth.identity

    def send(self) -> bytes | None:
        """The next lie; None when it wants to hear something first, or has nothing more to say."""
        if self._left == 0:
            return None
        self._left -= 1
        message = next(self._story, None) if self._turn else None
        self._turn -= message is not None
        return message

    def receive(self, data: Buffer) -> Report:
        """Listens, and takes nothing in: the report is empty."""
        self._turn = TURN
        self._mouth.hear(bytes(data))
        return self._mouth.nothing

    @property
    def done(self) -> bool:
        """Whether it has fallen silent for good."""
        return self._left == 0
