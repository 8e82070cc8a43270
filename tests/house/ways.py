"""Every way into a document for bytes from outside: apply(), a bundle in a session, live changes in a session.

`FarEnd` is the far end of a session, written by hand, so it says what it likes. `meets` asks what becomes of a change
on each way and demands one answer.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from nacl.bindings import crypto_shorthash_siphash24

import crdtkv as ck
from crdtkv import _core, testing
from crdtkv.testing import wire
from crdtkv.testing.wire import blob, varint

T = TypeVar("T")

COMPARE, LATER, BUNDLE, LIVE = 1, 2, 3, 4  # parts of a message
PRINT, TIPS = 1, 2  # ranges of a comparison
PIECE = 1 << 20  # of a bundle, in one message


def message(number: int, heard: int, content: bytes, *, more: bool = False) -> bytes:
    """A message of a session with its frame and checksum."""
    data = bytes([0x50 | more]) + varint(number) + varint(heard) + content
    return data + (_core._checksum(data) & 0xFFFFFFFF).to_bytes(4, "little")


class FarEnd:
    """Talks to a session of `doc`. Its greeting claims to hold the same changes, unless another `root` is given."""

    def __init__(self, doc: ck.Doc, *, root: bytes | None = None, max_bytes: int | None = None) -> None:
        self.session = doc.session(max_bytes=max_bytes)
        self.number = 0
        hello = self.session.send()
        assert hello is not None
        self.hello = wire.Reader(hello[3:-4])
        self.root, later, self.salt = (self.hello.take(n) for n in (32, 16, 8))
        salt = bytes(8) if self.salt != bytes(8) else bytes([1] * 8)
        self.key = wire.digest(b"crdtkv-sync-v1", doc.id + salt + self.salt)[:16]
        self.doc_id = doc.id
        self.say((root or self.root) + later + salt)

    def say(self, content: bytes = b"", *, heard: int = 1) -> ck.Report:
        """The next message with these parts."""
        self.number += 1
        return self.session.receive(message(self.number, heard, content))

    def bundle(self, data: bytes) -> ck.Report:
        """A bundle, in pieces if it is long; the report of the last one."""
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            report = self.say(varint(BUNDLE) + blob(varint(len(data) - at - len(piece)) + piece))
        return report

    def live(self, data: bytes) -> ck.Report:
        """Changes in live form."""
        return self.say(varint(LIVE) + blob(data))

    def compare(self, *ranges: bytes) -> ck.Report:
        """Ranges of a comparison, the first of this end; the greeting had another root."""
        name = crypto_shorthash_siphash24(self.doc_id, self.key)
        return self.say(varint(COMPARE) + blob(name + b"".join(map(blob, ranges))))


def live_form(bundle: bytes) -> bytes | None:
    """The changes of a bundle as live ones, each a run of its own; None if that form cannot say what they say."""
    out = []
    for track, part in enumerate(wire.take_apart(bundle)):
        place = part.place()
        if place is None or part.opening is None or not part.signature or part.form == 2:
            return None
        seq, prev = place
        reader = wire.Reader(part.header)
        for _ in range(3):
            reader.varint()
        reader.take(32 * reader.varint())
        parents = [reader.take(32) for _ in range(reader.varint())]
        n_ops, _, body_len = reader.varint(), reader.varint(), reader.varint()
        body = part.body if part.form else part.header[reader.at :]
        head = [varint(1), varint(1), varint(seq), b"\1" + prev if prev else b"\0", varint(len(parents)), *parents]
        tail = wire.digest(b"crdtkv-body-v1", body) if len(body) > wire.INLINE else body
        header = b"".join([*head, varint(n_ops), b"\0", varint(len(body)), tail])  # as it is rebuilt from a live one
        if header != part.header or (prev is None) != (seq == 0) or (part.form == 1) != (body_len > wire.INLINE):
            return None
        if wire.lane_id_of(_core._doc_id_of(bundle), part.opening) != part.lane:
            return None
        out += [varint((track % 4) << 1 | 1), *part.opening, varint(seq), prev or b"", varint(1)]
        out += [varint(len(parents)), *parents, varint(n_ops), blob(body), part.signature]
    return b"".join(out)


def ways_of(bundle: bytes) -> list[Callable[[ck.Doc], ck.Report]]:
    """What delivers this bundle to a document, for each way that it can go."""
    ways = [lambda doc: doc.apply(bundle), lambda doc: FarEnd(doc).bundle(bundle)]
    live = live_form(bundle)
    if live is not None:
        ways.append(lambda doc: FarEnd(doc).live(live))
    return ways


def state(doc: ck.Doc) -> tuple[object, ...]:
    """All that an attacker would like to change."""
    return doc.root, doc.heads, repr(doc.to_py()), [e.proof for e in doc.equivocations()]


def verdict(doc: ck.Doc, deliver: Callable[[ck.Doc], ck.Report], id: bytes) -> str:
    """What became of one change: applied, void, waiting, later, refused, known, or malformed for an exception."""
    later, before = doc.stats()["later"], state(doc)
    try:
        report = deliver(doc)
    except (ck.DecodeError, ck.SyncError):
        assert state(doc) == before, "an exception left a trace"
        return "malformed"
    met = [name for name in ("applied", "void", "waiting") if id in getattr(report, name)]
    met += ["refused" for refusal in report.refused if refusal.id == id]
    if doc.stats()["later"] > later:
        met = ["later"]
    (one,) = met or ["known"]
    if one in ("waiting", "later", "refused") and not (report.applied or report.void):
        assert state(doc) == before, f"{one}, and it left a trace"
    return one


def meets(doc: ck.Doc, bundle: bytes, *, id: bytes | None = None) -> str:
    """What becomes of the last change of a bundle (or of `id`) on copies of doc, whose replicas agree afterwards.

    Malformed on one way and refused on another is refused: either way nothing is stored.
    """
    id = id or wire.take_apart(bundle)[-1].id
    copies, verdicts = [], set()
    for deliver in ways_of(bundle):
        copies.append(doc.fork(doc.identity))
        verdicts.add(verdict(copies[-1], deliver, id))
    testing.assert_converged(*copies)
    if verdicts == {"refused", "malformed"}:
        return "refused"
    assert len(verdicts) == 1, f"one change, several verdicts: {verdicts}"
    return verdicts.pop()


def in_every_order(doc: ck.Doc, bundles: Sequence[bytes]) -> list[ck.Doc]:
    """Replicas of doc that got these bundles in every order, by apply() and in sessions by turns; they agree."""
    copies = []
    for turn, order in enumerate(itertools.permutations(bundles)):
        copies.append(doc.fork(doc.identity))
        for bundle in order:
            ways = ways_of(bundle)
            with contextlib.suppress(ck.DecodeError):  # that is how some refuse
                ways[turn % len(ways)](copies[-1])
    testing.assert_converged(*copies)
    return copies


def in_small_stack(work: Callable[[], T]) -> T:
    """Does it in a thread with a stack of 256 KiB."""
    results: list[T] = []
    before = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=lambda: results.append(work()))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    (result,) = results
    return result
