"""Presence: who is here, and what they say of themselves. Signed, short-lived, never stored.

A *word* is what one author said last, under a number that only grows. Whoever carries words, a server or a NATS
subject, can drop and delay them, not make them up, and not bring old ones back. This file does no input or output:
words go in by take(), and come out of since(). docs/format.md, "Links".
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from typing import Any

from crdtkv.errors import DecodeError, LimitError
from crdtkv.identity import Identity
from crdtkv.net.wire import Reader, blob

__all__ = ["Presence", "scope_of"]

DOMAIN = b"crdtkv-net-v1\x03"
LIFE = 30.0  # seconds a word is believed
BEAT = 10.0  # seconds between words that say the same again
LONGEST = 4096  # bytes of an encoded value
DEEPEST = 64
WORD = 32 + 8 + 2 + LONGEST + 64  # bytes of the longest word
MOST_PEERS = 1024
REMEMBERED = 4 * MOST_PEERS  # authors whose last number is still known after they went
DRIFT = 600_000  # ms that somebody's clock may be off


def scope_of(data: bytes) -> bytes:
    """32 bytes that name a place where people meet, made of what names it already."""
    return blake2b(data, digest_size=32, person=b"crdtkv-scope-v1").digest()


@dataclass(slots=True)
class Word:
    """What one author said last."""

    author: bytes
    number: int
    data: bytes
    value: Any
    gone: bool
    until: float  # nobody believes it afterwards
    turn: int  # grows with every word that comes in
    source: object  # who brought it


class Presence:
    """Who else is here, and what they say of themselves: a name, a cursor. Made by links, as `link.presence`.

    `set(value)`: say something, anything JSON can say, up to 4 KiB. It is said again every 10 seconds while the link
    lives. `peers`: the public key of each other author -> what he said last; he is gone 30 s after his last word.
    `ignored`: how many words were not believed. `wake`: what a link is called by, when there is something to carry.

    >>> import crdtkv as ck
    >>> from crdtkv.net import Presence
    >>> room = bytes(32)
    >>> ada, ben = Presence(ck.Identity.generate(), room), Presence(ck.Identity.generate(), room)
    >>> ada.set({"name": "ada", "cursor": 7})
    >>> words, mark = ada.since(0)                      # what a link carries
    >>> [ben.take(word, age) for age, word in words]
    [True]
    >>> list(ben.peers.values())
    [{'name': 'ada', 'cursor': 7}]
    """

    __slots__ = (
        "_beaten",
        "_clock",
        "_dirty",
        "_identity",
        "_known",
        "_number",
        "_scope",
        "_turn",
        "_value",
        "_wall",
        "_words",
        "ignored",
        "wake",
    )

    def __init__(
        self,
        identity: Identity,
        scope: bytes,
        *,
        wake: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._identity, self._scope = identity, scope
        self._clock, self._wall = clock, wall
        self._words: OrderedDict[bytes, Word] = OrderedDict()  # by author, in order of turns
        self._known: OrderedDict[bytes, int] = OrderedDict()  # author -> the greatest number heard
        self._value: bytes | None = None  # encoded; None: nothing is said
        self._dirty = False  # it was not put into a word yet
        self._number = self._turn = 0
        self._beaten = 0.0
        self.wake = wake  # called when there is something to carry
        self.ignored = 0  # words that were not believed

    # ---- for people

    def set(self, value: Any) -> None:
        """Say something of oneself. TypeError: JSON cannot say it. LimitError: more than 4 KiB."""
        self._value, self._dirty = encoded(value), True
        self._poke()

    def clear(self) -> None:
        """Say that one is gone. Others would find out 30 s later."""
        self._dirty = self._dirty or self._value is not None
        self._value = None
        self._poke()

    @property
    def value(self) -> Any:
        """What was set, None if nothing was."""
        return None if self._value is None else json.loads(self._value)

    @property
    def peers(self) -> dict[bytes, Any]:
        """What each other author said last, by public key: a new dict every time.

        >>> import crdtkv as ck
        >>> from crdtkv.net import Presence
        >>> Presence(ck.Identity.generate(), bytes(32)).peers
        {}
        """
        self._forget()
        own = self._identity.public_key
        return {word.author: word.value for word in self._words.values() if word.author != own and not word.gone}

    def __repr__(self) -> str:
        return f"<Presence: {len(self.peers)} others>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.presence(self)

    # ---- for whoever carries the words

    @property
    def scope(self) -> bytes:
        """Where this is: words said elsewhere mean nothing here."""
        return self._scope

    def enter(self, scope: bytes) -> None:
        """Go somewhere else: who is there is not known yet."""
        if scope != self._scope:
            self._scope, self._dirty = scope, self._value is not None
            self._words.clear()
            self._known.clear()

    @property
    def mark(self) -> int:
        """All that is known now is at most this old: since(mark) is nothing."""
        return self._turn

    def beat(self) -> None:
        """Every second or so: says again what one said, if it is time to."""
        if self._value is not None and self._clock() - self._beaten >= BEAT:
            self._dirty = True
            self._poke()

    def since(self, mark: int, *, source: object = None) -> tuple[list[tuple[int, bytes]], int]:
        """(age in ms, word) for all words that came after a mark, but not from `source`; and the new mark."""
        if self._dirty:
            self._speak()
        self._forget()
        now = self._clock()
        found: list[tuple[int, bytes]] = []
        for word in reversed(self._words.values()):
            if word.turn <= mark:
                break
            if source is None or word.source is not source:
                found.append((int(1000 * max(0.0, LIFE - (word.until - now))), word.data))
        found.reverse()
        return found, self._turn

    def take(self, data: bytes, age: int = 0, *, source: object = None, author: bytes | None = None) -> bool:
        """A word that came, `age` ms after it was said: was it news? What is not believed is counted, and forgotten.

        `author`: whose it must be.
        """
        try:
            word = self._read(data, age, source)
            if word is None or (author is not None and word.author != author):
                raise DecodeError("a word of another time, or of somebody else")
            if word.until <= self._clock() or word.number <= self._known.get(word.author, -1):
                return False  # so far nothing has cost anything
            if not Identity._verifies(word.author, DOMAIN + self._scope + data[32:-64], data[-64:]):
                raise DecodeError("a word that its author has not signed")
            word.value = None if word.gone else decoded(word.value)
        except DecodeError:
            self.ignored += 1
            return False
        return self._enter_word(word)

    # ---- inside

    def _poke(self) -> None:
        if self.wake is not None:
            self.wake()

    def _speak(self) -> None:
        self._dirty = False
        self._beaten = now = self._clock()
        self._number = max(self._number + 1, int(1000 * self._wall()))
        value = self._value or b""
        said = self._number.to_bytes(8, "little") + blob(value)
        key = self._identity.public_key
        data = key + said + self._identity._sign(DOMAIN + self._scope + said)
        self._enter_word(Word(key, self._number, data, None, not value, now + LIFE, 0, self))

    def _read(self, data: bytes, age: int, source: object) -> Word | None:
        """Neither verified nor decoded yet: its value is bytes. None: it is of another time."""
        if len(data) > WORD:
            raise DecodeError("a word is too long")
        reader = Reader(data)
        author, number, said = reader.take(32), int.from_bytes(reader.take(8), "little"), reader.blob(LONGEST)
        reader.take(64)
        reader.end()
        if abs(number - 1000 * self._wall()) > DRIFT:
            return None
        until = self._clock() + LIFE - age / 1000
        return Word(author, number, data, said, not said, until, 0, source)

    def _enter_word(self, word: Word) -> bool:
        self._forget()
        is_own = word.source is self  # and is said, however many others are here
        if not is_own and word.author not in self._words and len(self._words) >= MOST_PEERS:
            self.ignored += 1
            return False
        self._turn += 1
        word.turn = self._turn
        self._words[word.author] = word
        self._words.move_to_end(word.author)
        self._known[word.author] = word.number
        self._known.move_to_end(word.author)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if not is_own:
            self._poke()
        return True

    def _forget(self) -> None:
        """Words that are believed no longer."""
        now = self._clock()
        for author in [author for author, word in self._words.items() if word.until <= now]:
            del self._words[author]


def encoded(value: Any) -> bytes:
    """As JSON. TypeError, ValueError (a lone surrogate), LimitError."""
    check(value, 0)
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(data) > LONGEST:
        raise LimitError(f"what one says of oneself has at most {LONGEST} bytes, not {len(data)}")
    return data


def decoded(data: bytes) -> Any:
    """What somebody else encoded, or claims to have."""
    try:
        value = json.loads(data.decode())
        encoded(value)
    except (ValueError, TypeError, RecursionError, LimitError):
        raise DecodeError("a word does not say anything") from None
    return value


def check(value: Any, depth: int) -> None:
    """TypeError for what JSON cannot say as it is; also for numbers that are none."""
    if depth > DEEPEST:
        raise LimitError(f"nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys must be str, not {type(key).__name__}")
            check(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            check(inner, depth + 1)
    elif isinstance(value, float):
        if not isfinite(value):
            raise TypeError(f"JSON cannot say {value!r}")
    elif value is not None and not isinstance(value, bool | int | str):
        raise TypeError(f"JSON cannot say what is of type {type(value).__name__}")
