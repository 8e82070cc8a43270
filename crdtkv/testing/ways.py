"""Ways to lie in a session: each tells a story, message by message, through a Mouth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, count, islice, repeat

from crdtkv.errors import DecodeError
from crdtkv.identity import Identity
from crdtkv.testing import frame
from crdtkv.testing.frame import BUNDLE, COMPARE, LATER, LIVE, WORD, Hello
from crdtkv.testing.mouth import END, Mouth, Story
from crdtkv.testing.wire import Part, Reader, blob, reseal, take_apart, varint

__all__ = ["HOSTILE", "LIFE", "WAYS"]

LIFE = 2000  # calls of send() in all
MAX_MESSAGE = (1 << 20) + 4096
MAX_BUNDLE = 32 << 20


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
