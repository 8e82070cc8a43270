"""What a liar may say to a datastore, besides what it may say to a document: bodies, counters, names, floods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crdtkv.testing.edit import Choice, pick
from crdtkv.testing.host import Host
from crdtkv.testing.lies import LIES, Lie
from crdtkv.testing.wire import blob, dags_of, head_of, join, take_apart, varint, wrap, write_bundle, zigzag

if TYPE_CHECKING:
    from crdtkv.testing.kv_liar import KvLiar

__all__ = ["KV_LIES", "a_kv_body", "without_bodies"]

LEFT_OUT = 3  # of a Part
PUT, DELETE, COUNT, PART, LATER = 1, 2, 3, 4, 5
KEYS: tuple[str | bytes, ...] = ("a", "b", b"a", "liar")
NAMES: tuple[str | bytes, ...] = ("n", b"n", "m")
LONG = b"so long that it stands apart from its header, and may be left out"


def claim(liar: KvLiar, hosts: Sequence[Host]) -> list[str]:
    """Pass on what an honest replica has without some of its bodies, as if they were dead."""
    data = pick(liar.choose, hosts).bundle(())
    return liar.tell_some(hosts, "that bodies are dead", without_bodies(data, liar.choose))


def hide(liar: KvLiar, hosts: Sequence[Host]) -> list[str]:
    """Write a change, and tell its body to few; or later, or to nobody."""
    before = liar.doc.heads
    liar.write_change(liar.doc)
    bundle = liar.doc.export(before)
    if liar.one_in(3):  # one that is void, or of a later version
        bundle = liar.forger().forge(body=a_kv_body(liar, LONG))
    lines = liar.tell_some(hosts, "headers alone", without_bodies(bundle))
    if liar.one_in(2):
        liar.keep(bundle)
    else:
        lines.append(liar.tell(pick(liar.choose, hosts), "the bodies", bundle))
    return lines


def crowd(liar: KvLiar, hosts: Sequence[Host]) -> list[str]:
    """Many writes to one key, in lanes that have not heard of each other."""
    key = literal_of(pick(liar.choose, KEYS))
    writers = [liar.forger() for _ in range(3 + liar.choose.below(6))]
    bundles = [writer.forge(body=body_of([operation(PUT, key + names_of([]) + string(LONG))])) for writer in writers]
    return liar.tell_some(hosts, f"{len(bundles)} values of one key", join(*bundles))


KV_LIES: tuple[Lie, ...] = (*LIES, claim, hide, crowd)  # type: ignore[arg-type]


def without_bodies(bundle: bytes, choose: Choice | None = None) -> bytes:
    """A bundle of a datastore whose bodies, all or about half, are left out."""
    dags = {}
    for name, data in dags_of(bundle).items():
        parts = [
            replace(part, form=LEFT_OUT, body=b"") if part.form == 1 and (choose is None or choose.below(2)) else part
            for part in take_apart(data)
        ]
        dags[name] = write_bundle(head_of(data), parts)
    return wrap(bundle[4:36], dags)


# ---- bodies of one's own


def a_kv_body(liar: KvLiar, message: bytes = b"") -> bytes:
    """Operations that are well formed for the most part, and name and count whatever they like."""
    choose = liar.choose
    ids = [change.id for change in liar.doc.changes()]
    return body_of([an_operation(choose, ids) for _ in range(choose.below(4))], message)


def an_operation(choose: Choice, ids: list[bytes]) -> bytes:
    if not choose.below(8):  # anything in it, perhaps of a later version
        return operation(1 + choose.below(LATER), bytes(choose.below(256) for _ in range(choose.below(9))))
    some = sorted({(pick(choose, ids), choose.below(2)) for _ in range(choose.below(4))}) if ids else []
    kind = 1 + choose.below(PART)
    key = literal_of(pick(choose, KEYS if kind < COUNT else NAMES))
    if kind == PUT:
        return operation(PUT, key + names_of(some) + string(b"lie " * choose.below(20)))
    if kind == DELETE:
        return operation(DELETE, key + names_of(some))
    total = zigzag(choose.below(1 << 20) - (1 << 19) << choose.below(80))  # some are beyond 96 bits
    if kind == PART and some:
        return operation(PART, key + some[0][0] + varint(some[0][1]) + total)
    return operation(COUNT, key + total)


def body_of(operations: Sequence[bytes], message: bytes = b"") -> bytes:
    return (b"\1\0" + blob(message) if message else b"\0\0") + b"".join(operations)


def operation(kind: int, payload: bytes) -> bytes:
    return varint(kind) + blob(payload)


def literal_of(key: Any) -> bytes:
    data = key if isinstance(key, bytes) else key.encode()
    return varint(len(data) << 1 | isinstance(key, bytes)) + bytes(data)


def names_of(names: Sequence[tuple[bytes, int]]) -> bytes:
    return varint(len(names)) + b"".join(id + varint(index) for id, index in names)


def string(data: bytes) -> bytes:
    """A value that is a str."""
    return varint(5) + blob(data)
