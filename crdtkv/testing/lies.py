"""What a liar may say: one function for each kind of lie, all of them with a key of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from crdtkv import DecodeError, SyncError
from crdtkv.testing.edit import Choice, pick
from crdtkv.testing.forger import Forger
from crdtkv.testing.host import Host
from crdtkv.testing.wire import join, varint

if TYPE_CHECKING:
    from crdtkv.testing.liar import Liar

__all__ = ["LIES", "a_body"]

Lie = Callable[["Liar", Sequence[Host]], list[str]]
PATIENCE = 40  # messages in a session
SIGNED: tuple[Literal["none", "last"], ...] = ("none", "last")


def write(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """As an honest author would."""
    liar.write_change(liar.doc)
    host = pick(liar.choose, hosts)
    return [liar.tell(host, "a change", liar.doc.export(host.doc.heads))]


def equivocate(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """Two stories or more."""
    return liar.equivocate(hosts)


def withhold(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """Tell the second change, keep the first, perhaps for ever."""
    heads = liar.doc.heads
    first = liar.write_change(liar.doc)
    if liar.one_in(2):
        liar.keep(liar.doc.export(heads))
    liar.write_change(liar.doc)
    return liar.tell_some(hosts, "a change without what it builds on", liar.doc.export([first]))


def flood(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """A chain, last change first; its first is missing."""
    ids = [liar.write_change(liar.doc) for _ in range(3 + liar.choose.below(12))]
    host = pick(liar.choose, hosts)
    told = [
        liar.tell(host, f"{len(ids) - 1} changes in reverse, at last", liar.doc.export([before], [id]))
        for before, id in reversed(list(zip(ids, ids[1:])))
    ]
    return told[-1:]


def replay(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """Say again what was said before."""
    return liar.tell_some(hosts, "an old message", liar.remember(hosts))


def garble(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """No bundle at all, one that was cut or bent, or one that claims to be huge."""
    bundle = liar.bent(liar.remember(hosts))
    if liar.one_in(8):
        bundle = liar.forger().bomb(1 << 28)
    return [liar.tell(pick(liar.choose, hosts), "garbage", bundle)]


def converse(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """In a session: as it should be, until a message is left out, bent, or said twice."""
    host = pick(liar.choose, hosts)
    host.flush()
    mine, theirs = liar.doc.session(), host.doc.session()
    lines = []
    for _ in range(PATIENCE):
        data = mine.send()
        how = liar.choose.below(16)
        if data is None or how == 0:
            data = theirs.send()
            if data is None:
                break
            host.flush()
            with suppress(DecodeError, SyncError):
                mine.receive(data)
            continue
        if how == 1:
            data = liar.bent(data)
        for _ in range(2 if how == 2 else 1):
            lines.append(f"{liar.name} -> {host.name} in a session: {host.hear(theirs, data) or 'hangs up'}")
    return lines or [f"{liar.name} says nothing to {host.name}"]


# ---- with a Forger


def forge(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """A change whose header or signature is not what it should be, perhaps among good ones."""
    forger = liar.forger()
    name = pick(liar.choose, tuple(HEADERS))
    bundle = forger.forge(liar.edit, **HEADERS[name](liar, forger))
    if liar.one_in(3):
        bundle = join(bundle, liar.remember(hosts))
    if liar.one_in(3):  # and something honest that builds on it, unless it stands in no lane of the forger's
        with suppress(ValueError):
            forger.advance(bundle)
            bundle = join(bundle, forger.forge(liar.edit))
    return liar.tell_some(hosts, f"a forged change, {name}", bundle)


def misuse(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """Operations that say nothing, or name what they must not."""
    forger = liar.forger()
    bundle = forger.forge(body=liar.a_body())
    if liar.one_in(2):
        forger.advance(bundle)
        bundle = join(bundle, forger.forge(liar.edit))
    return liar.tell_some(hosts, "a body of its own", bundle)


def backdate(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """An edit of the present that claims to know only the past: what it names may not be there."""
    forger = liar.forger()
    ids = [change.id for change in liar.doc.changes()]
    parents = sorted({pick(liar.choose, ids) for _ in range(liar.choose.below(3))}) if ids else []
    return liar.tell_some(hosts, "an edit from the past", forger.forge(liar.edit, parents=parents))


def mumble(liar: Liar, hosts: Sequence[Host]) -> list[str]:
    """A chain of which nothing is signed, or only the end."""
    forger = liar.forger()
    sign = pick(liar.choose, SIGNED)
    bundles = forger.chain([liar.edit] * (2 + liar.choose.below(4)), sign=sign)
    how = liar.choose.below(3)
    if how:
        bundles = [join(*bundles)] if how == 1 else bundles[::-1]
    host = pick(liar.choose, hosts)
    return [liar.tell(host, f"a chain signed {sign}", bundle) for bundle in bundles]


LIES: tuple[Lie, ...] = (
    write,
    equivocate,
    withhold,
    flood,
    replay,
    garble,
    converse,
    forge,
    misuse,
    backdate,
    mumble,
)


# ---- wrong headers: what forge() gets


def an_id(choose: Choice) -> bytes:
    """One that nobody has."""
    return bytes([1 + choose.below(255)]) * 32


def somebody(liar: Liar, forger: Forger) -> Any:
    """A change of somebody else; of nobody if there is none."""
    others = [change for change in liar.doc.changes() if change.author != liar.identity.public_key]
    return pick(liar.choose, others) if others else None


def another_author(liar: Liar, forger: Forger) -> dict[str, Any]:
    change = somebody(liar, forger)
    return {"author": change.author if change else bytes(32)}


def another_lane(liar: Liar, forger: Forger) -> dict[str, Any]:
    change = somebody(liar, forger)
    if change is None:
        return {"lane_id": an_id(liar.choose)}
    return {"lane_id": change.lane, "seq": change.seq + 1, "prev": change.id, "parents": []}


def behind_another(liar: Liar, forger: Forger) -> dict[str, Any]:
    change = somebody(liar, forger)
    return {"prev": change.id if change else an_id(liar.choose), "seq": 1}


HEADERS: dict[str, Callable[[Liar, Forger], dict[str, Any]]] = {
    "version": lambda liar, forger: {"ver": 2},
    "type": lambda liar, forger: {"type": 3 - forger._desk.type},
    "number too large": lambda liar, forger: {"seq": 2**32 - 1},
    "number without a change before": lambda liar, forger: {"seq": 1 + liar.choose.below(9), "prev": None},
    "parents unknown": lambda liar, forger: {"parents": [an_id(liar.choose)]},
    "parents twice": lambda liar, forger: {"parents": [an_id(liar.choose)] * 2},
    "parents too many": lambda liar, forger: {"parents": [bytes([k]) * 32 for k in range(33)]},
    "change before unknown": lambda liar, forger: {"prev": an_id(liar.choose), "seq": 1 + liar.choose.below(9)},
    "behind another's change": behind_another,
    "too few operations": lambda liar, forger: {"n_ops": 0},
    "too many operations": lambda liar, forger: {"n_ops": 1 + liar.choose.below(1 << 25)},
    "epoch": lambda liar, forger: {"key_epoch": 1},
    "length of the body": lambda liar, forger: {"body_len": liar.choose.below(99)},
    "hash of the body": lambda liar, forger: {"body_hash": an_id(liar.choose)},
    "document": lambda liar, forger: {"doc_id": an_id(liar.choose)},
    "nonce": lambda liar, forger: {"nonce": bytes(16)},
    "author": another_author,
    "lane": another_lane,
    "no signature": lambda liar, forger: {"signature": b""},
    "zeros for a signature": lambda liar, forger: {"signature": bytes(64)},
    "signature of another": lambda liar, forger: {"sign_with": liar.accomplice},
}


# ---- bodies of one's own

OPS = 14  # kinds that are known, and one that is not


def a_body(choose: Choice) -> bytes:
    """Operations of all kinds, framed as they should be, with anything in them; sometimes a table before."""
    body = bytearray(b"\0\0")
    if not choose.below(4):
        body[0] = 2
        body += varint(choose.below(3)) + bytes(choose.below(3) for _ in range(choose.below(4)))
    for _ in range(choose.below(4)):
        payload = bytes(choose.below(5) if choose.below(4) else choose.below(256) for _ in range(choose.below(9)))
        body += varint(1 + choose.below(OPS)) + varint(len(payload)) + payload
    return bytes(body)
