"""Mouth: what the ways to lie in a session have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from crdtkv.errors import DecodeError, Error
from crdtkv.identity import Identity
from crdtkv.testing import frame
from crdtkv.testing.forger import Forger
from crdtkv.testing.frame import BUNDLE, COMPARE, Hello, Message, Stream
from crdtkv.testing.wire import Part, blob, change_id_of, digest, signed_message, take_apart, varint, write_bundle

if TYPE_CHECKING:
    from crdtkv._core import Session
    from crdtkv.doc import Doc

__all__ = ["END", "Mouth", "Story"]

END = 1 << 64  # of all keys

Story: TypeAlias = Iterator[bytes | None]  # messages; None: it wants to hear first


class Mouth:
    """A copy of the document, a liar in it, numbers, and what was heard."""

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
