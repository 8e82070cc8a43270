"""Forger: an author who lies, with real keys."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import index
from typing import Any, Literal, TypeAlias

from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.identity import Identity
from crdtkv.report import Report
from crdtkv.testing.bomb import bomb_of
from crdtkv.testing.desk import Desk, Edit, desk_of
from crdtkv.testing.pen import MAX_PARENTS, Pen, foreign_of, header_of, ref_of, thin
from crdtkv.testing.wire import (
    DEFAULT,
    Buffer,
    Opening,
    Part,
    change_id_of,
    lane_id_of,
    signed_message,
    take_apart,
    write_bundle,
    write_payload,
)

__all__ = ["Edit", "Forger"]

Signature: TypeAlias = bytes | Callable[[bytes], bytes]

FIELDS = {"ver", "type", "doc_id", "lane_id", "seq", "prev", "parents", "n_ops", "key_epoch", "body_len", "body_hash"}
FIELDS |= {"author", "nonce"}  # of the lane's opening


def _exactly(n: int, value: bytes, name: str) -> bytes:
    data = bytes(memoryview(value))
    if len(data) != n:
        raise ValueError(f"{name} is {n} bytes long, not {len(data)}")
    return data


def _epoch(value: bytes | int | None) -> bytes:
    if value is None or value == 0:
        return b"\0"
    return b"\1" + (value.to_bytes(32, "little") if isinstance(value, int) else _exactly(32, value, "key_epoch"))


class Forger:
    """An author who lies, with real keys, at the present state of a document, or of a datastore in one of its DAGs.

    `doc` is a private copy of the replica, `lane` the id of a fresh lane of `identity`, in which all that it makes
    stands. The first change there has seq 0 and the heads of the document as parents. Nothing that it makes changes the
    document, the copy, or the forger: results follow the present tip, so two of them are siblings, until advance()
    takes one in. Limits that a replica sets itself do not bind it: edits nest containers beyond 256 (to 1,024), have
    longer keys (16 KiB) and say more in one change (64 MiB).

    An *edit* is a callable that gets a document, or a datastore; all that it does (there: in `dag`) is one change. None
    sets a key, key and value drawn by lot. With a `seed` (int, str or bytes) the lane and what is drawn come from it:
    equal ones give equal bytes, if the replica and its clock are equal too.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> doc["n"] = 1
    >>> liar = testing.Forger(doc, ck.Identity.generate())
    >>> report = doc.apply(liar.forge(lambda d: d.update(n=2), n_ops=7))
    >>> len(report.void), doc["n"]                           # a change that lies about itself has no effect
    (1, 1)
    >>> kv = ck.Datastore()
    >>> liar = testing.Forger(kv, ck.Identity.generate(), dag="feed")
    >>> yes, no = liar.fork(lambda kv: kv.put("vote", "yes", dag="feed"), lambda kv: kv.put("vote", "no", dag="feed"))
    >>> bool(kv.apply(yes)), bool(kv.apply(no)), len(kv.equivocations()), len(kv.conflicts("vote"))
    (True, True, 1, 2)
    """

    __slots__ = ("_desk", "_head", "_opening", "_random", "_seq", "_stage", "_stage_at", "_tip", "identity", "lane")

    def __init__(
        self,
        doc: Doc | Datastore,
        identity: Identity,
        *,
        seed: int | str | bytes | None = None,
        dag: str = DEFAULT,
    ) -> None:
        self._desk = desk_of(doc, identity, dag)
        self.identity = identity
        self._random = random.Random(os.urandom(32) if seed is None else seed)
        self._opening: Opening = (identity.public_key, self._random.randbytes(16))
        self.lane = lane_id_of(self._desk.id, self._opening)
        self._head = self._desk.head
        self._tip: bytes | None = None
        self._seq = 0  # of the next change
        self._stage: Desk | None = None
        self._stage_at: tuple[bytes | None, list[bytes]] = (None, [])

    def __repr__(self) -> str:
        return f"<Forger {self.lane.hex()[:8]}: {self._seq} changes>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.forger(self)

    @property
    def doc(self) -> Doc | Datastore:
        """The private copy."""
        return self._desk.replica

    # ---- where it stands

    def _pen(self) -> Pen:
        """A pen at the tip. Who changes its desk sets _stage to None, or else the next pen gets it, too."""
        foreign = foreign_of(self._desk, self.lane)
        at = (self._tip, foreign)
        if self._stage is None or self._stage_at != at:
            self._stage = self._stage_for(self._stage, foreign)
            self._stage_at = at
        return Pen(self._stage, self._head, self.identity, self.lane, self._opening, self._tip, self._seq)

    def _stage_for(self, stage: Desk | None, foreign: list[bytes]) -> Desk:
        """A desk that holds the tip and these heads with what is behind them, and nothing else: siblings of the tip
        that came back from others are no past of what follows the tip."""
        tip = [] if self._tip is None or self._desk.place_of(self._tip) is None else [self._tip]
        if stage is not None:
            stage.apply(self._desk.export(stage.heads, [*tip, *foreign]))
            if set(foreign) <= set(stage.heads) <= {*tip, *foreign}:
                return stage
        return self._desk.copy(self.identity, [*tip, *foreign])

    def _random_edit(self, doc: Any) -> None:
        value = self._random.getrandbits(32)  # before the key: so equal seeds have always told it
        self._desk.set(doc, f"forged {self._random.getrandbits(32):08x}", value)

    def advance(self, bundle: Buffer) -> Report:
        """Take in a bundle that this forger made: what it makes from now on follows its last change.

        Whatever became of that change: what nobody would apply can be built upon, too. What came unsigned is signed for
        the private copy. ValueError for a bundle without a change of this forger's lane.

        >>> import crdtkv as ck
        >>> from crdtkv import testing
        >>> doc = ck.Doc()
        >>> liar = testing.Forger(doc, ck.Identity.generate())
        >>> first = liar.forge()
        >>> report = liar.advance(first)
        >>> len(doc.apply(liar.forge()).waiting)             # for the first
        1
        """
        parts = take_apart(self._desk.unwrap(bundle))
        own = [at for at, part in enumerate(parts) if part.lane == self.lane and part.opening == self._opening]
        place = parts[own[-1]].place() if own else None
        if place is None:
            raise ValueError("no change of this forger's lane is in the bundle")
        tip = parts[own[-1]]
        message = signed_message(self._desk.id, self.lane, place[0], tip.id)
        parts[own[-1]] = replace(tip, signature=self.identity._sign(message))
        report = self._desk.apply(write_bundle(self._head, parts))
        self._tip, self._seq = tip.id, place[0] + 1
        return report

    # ---- lies

    def fork(self, *branches: Edit | Sequence[Edit | None] | None) -> tuple[bytes, ...]:
        """Tell several stories: one bundle for each branch, all from the tip on, each signed at its end.

        A branch is an edit or a list of edits. Two branches are an equivocation.

        >>> import crdtkv as ck
        >>> from crdtkv import testing
        >>> doc = ck.Doc()
        >>> liar = testing.Forger(doc, ck.Identity.generate())
        >>> a, b = liar.fork(lambda d: d.update(x=1), [lambda d: d.update(x=2), lambda d: d.update(y=3)])
        >>> bool(doc.apply(a)), bool(doc.apply(b)), len(doc.equivocations())
        (True, True, 1)
        """
        out = []
        for branch in branches:
            edits = list(branch) if isinstance(branch, Sequence) else [branch]
            if not edits:
                raise ValueError("a branch is one edit or more")
            pen = self._pen()
            parents = pen.foreign()
            if len(edits) == 1 and len(parents) <= MAX_PARENTS:
                parts = [pen.next(edits[0] or self._random_edit, parents)]
            else:
                self._stage = None
                parts = [part for edit in edits for part in pen.write(edit or self._random_edit)]
            out.append(self._desk.wrap(write_bundle(self._head, thin(parts))))
        return tuple(out)

    def chain(self, edits: Iterable[Edit | None], *, sign: Literal["all", "last", "none"] = "all") -> list[bytes]:
        """Changes that follow each other, one bundle each: all signed, only the last, or none.

        >>> import crdtkv as ck
        >>> from crdtkv import testing
        >>> doc = ck.Doc()
        >>> liar = testing.Forger(doc, ck.Identity.generate())
        >>> bundles = liar.chain([None] * 3)
        >>> [len(doc.apply(bundle).applied) for bundle in reversed(bundles)]
        [0, 0, 3]
        """
        if sign not in ("all", "last", "none"):
            raise ValueError(f'sign is "all", "last" or "none", not {sign!r}')
        pen, self._stage = self._pen(), None
        out: list[bytes] = []
        last: list[Part] = []
        for edit in edits:
            parts = pen.write(edit or self._random_edit)
            if sign != "all":
                last = parts
                parts = [replace(part, signature=b"") for part in parts]
            out.append(pen.taken if sign == "all" and len(parts) == 1 else write_bundle(self._head, parts))
        if sign == "last" and out:
            out[-1] = write_bundle(self._head, last)
        return [self._desk.wrap(bundle) for bundle in out]

    def forge(
        self,
        edit: Edit | None = None,
        *,
        sign_with: Identity | None = None,
        signature: Signature | None = None,
        body: bytes | None = None,
        **header: Any,
    ) -> bytes:
        """One change behind the tip with any field of its header overridden, also with what no replica takes.

        Fields: `ver type doc_id lane_id seq prev parents n_ops key_epoch body_len body_hash`, and `author nonce` of the
        lane's opening. `prev=None` is absent; `parents` stand as given; a number is written if 64 bits hold it, else
        OverflowError. What is not given is honest and follows what is: the `lane_id` of a lane that is here brings its
        author and nonce, `author`, `nonce` and `doc_id` change the lane_id, a `prev` that is an id brings the seq
        behind it. The body names the same things as without lies, in the way that prev and parents ask for.

        `body`: other bytes for it; no edit is made then. `sign_with`: whose key signs. `signature`: 64 bytes, b"" for
        none, or a callable that gets the message and returns one of these. Id and message are those of the header as
        forged.

        >>> import crdtkv as ck
        >>> from crdtkv import testing
        >>> doc = ck.Doc()
        >>> liar = testing.Forger(doc, ck.Identity.generate())
        >>> doc.apply(liar.forge(seq=2**32 - 1)).refused
        (<Refusal ...>,)
        >>> len(doc.apply(liar.forge(parents=[bytes(32)])).waiting)
        1
        >>> doc.apply(liar.forge(signature=lambda message: bytes(64))).refused[0].error
        <class 'crdtkv.SignatureError'>
        """
        for name in header:
            if name not in FIELDS:
                raise TypeError(f"forge() knows no header field {name!r}")

        pen = self._pen()
        knots = pen.knots()
        if knots:
            self._stage = None
        parents: Sequence[bytes] = pen.foreign()
        if "parents" in header:
            parents = [_exactly(32, parent, "a parent") for parent in header["parents"]]
        prev = header.get("prev", pen.tip)
        prev = None if prev is None else _exactly(32, prev, "prev")
        seq = index(header["seq"]) if "seq" in header else self._seq_behind(prev, pen)

        known = [id for id in (prev, *parents) if id is not None and self._desk.place_of(id)]
        if any(pen.desk.place_of(id) is None for id in known):  # a sibling of the tip, say
            self._stage = None
            pen.desk.apply(self._desk.export(pen.desk.heads, known))
        if body is None:
            n_ops, data = pen.body(edit or self._random_edit, prev, parents)
        else:
            data = bytes(memoryview(body))
            n_ops = self._desk.n_ops(data, len(parents))

        lane, opening = self._lane_of(header)
        ref = _exactly(32, header["body_hash"], "body_hash") if "body_hash" in header else ref_of(data)
        form = int(ref is not data)
        bytes_ = header_of(
            index(header.get("ver", 1)),
            index(header.get("type", self._desk.type)),
            seq,
            prev,
            parents,
            index(header.get("n_ops", n_ops)),
            _epoch(header.get("key_epoch")),
            index(header.get("body_len", len(data))),
            ref,
        )
        id = change_id_of(lane, bytes_)
        doc_id = _exactly(32, header.get("doc_id", self._desk.id), "doc_id")
        message = signed_message(doc_id, lane, seq, id)
        if signature is None:
            signature = (sign_with or self.identity)._sign(message)
        elif callable(signature):
            signature = signature(message)
        signature = bytes(memoryview(signature))
        if len(signature) not in (0, 64):
            raise ValueError(f"a signature is 64 bytes long, or b'' for none, not {len(signature)}")
        part = Part(lane, opening, id, bytes_, form, data if form else b"", signature)
        return self._desk.wrap(write_bundle(self._head, [*knots, part]))

    def _seq_behind(self, prev: bytes | None, pen: Pen) -> int:
        """The honest number of a change behind prev."""
        if prev is None or prev == pen.tip:
            return pen.seq
        place = self._desk.place_of(prev)
        return place[1] + 1 if place else max(pen.seq, 1)

    def _lane_of(self, header: dict[str, Any]) -> tuple[bytes, Opening]:
        """The lane and the opening that these fields make."""
        author, nonce = self._opening
        lane = None
        if "lane_id" in header:
            lane = _exactly(32, header["lane_id"], "lane_id")
            author, nonce = self._desk.opening(lane) or self._opening
        author = _exactly(32, header.get("author", author), "author")
        nonce = _exactly(16, header.get("nonce", nonce), "nonce")
        doc_id = _exactly(32, header.get("doc_id", self._desk.id), "doc_id")
        return lane or lane_id_of(doc_id, (author, nonce)), (author, nonce)

    def bomb(self, size: int) -> bytes:
        """A correctly signed bundle of at most 64 KiB that claims to unpack to `size` bytes, zeros for the most part.

        Up to 2 GiB it would, too; beyond, the claim is a lie as well. ValueError if size is too small for a change.

        >>> import crdtkv as ck
        >>> from crdtkv import testing
        >>> doc = ck.Doc()
        >>> bomb = testing.Forger(doc, ck.Identity.generate()).bomb(1 << 30)
        >>> len(bomb) <= 1 << 16
        True
        >>> doc.apply(bomb)
        Traceback (most recent call last):
            ...
        crdtkv.DecodeError: ...
        """
        size = index(size)
        parts = take_apart(self._desk.unwrap(self.forge()))
        payload = write_payload(self._desk.id, parts)
        return self._desk.wrap(bomb_of(self._head, payload, size, self._desk.frame))
