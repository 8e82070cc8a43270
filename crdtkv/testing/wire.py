"""Bytes that no honest replica writes: headers with any field, bundles in raw form, bundles joined. docs/format.md."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from crdtkv import _core
from crdtkv.errors import DecodeError

__all__ = [
    "Opening",
    "Part",
    "Reader",
    "dags_of",
    "digest",
    "head_of",
    "join",
    "reseal",
    "take_apart",
    "wrap",
    "write_bundle",
]

DEFAULT = "default"  # the DAG of a datastore that has its id
INLINE = 48  # bytes of a body that stand in the header
Buffer: TypeAlias = bytes | bytearray | memoryview
Opening: TypeAlias = tuple[bytes, bytes]  # author key, nonce


BYTES = [bytes([k]) for k in range(128)]


def varint(value: int) -> bytes:
    """LEB128; OverflowError beyond 64 bits."""
    if 0 <= value < 128:
        return BYTES[value]
    if not 0 <= value < 1 << 64:
        raise OverflowError(f"{value} does not fit a varint")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """A number that may be negative: minimal, of any size."""
    number = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def blob(data: bytes) -> bytes:
    """Length, then the bytes."""
    return varint(len(data)) + data


def digest(person: bytes, message: bytes) -> bytes:
    """H(person, message) of the format."""
    return hashlib.blake2b(message, digest_size=32, person=person).digest()


def lane_id_of(doc_id: bytes, opening: Opening) -> bytes:
    """The lane that an author opens with a nonce in a document."""
    return digest(b"crdtkv-lane-v1", doc_id + opening[0] + opening[1])


def change_id_of(lane: bytes, header: bytes) -> bytes:
    """The id of the change with this header."""
    return hashlib.blake2b(header, digest_size=32, salt=lane[:16], person=lane[16:]).digest()


def signed_message(doc_id: bytes, lane: bytes, seq: int, change: bytes) -> bytes:
    """What the signature of a change is over."""
    return b"crdtkv-sig-v1" + doc_id + lane + (seq & 0xFFFFFFFF).to_bytes(4, "little") + change


class Reader:
    """Takes numbers and bytes from the front of `data`; DecodeError when they run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n > len(self.data) - self.at:
            raise DecodeError("bytes run out")
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self) -> int:
        """A number."""
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


@dataclass(frozen=True, slots=True)
class Part:
    """One change as it travels. `form`: its body is 0 in the header, 1 apart, 2 not here, 3 left out.

    `opening`: None: not told.
    """

    lane: bytes
    opening: Opening | None
    id: bytes
    header: bytes
    form: int
    body: bytes
    signature: bytes  # b"": none

    def whole_body(self) -> bytes:
        """Its body, wherever it stands; b"" if it is not here, or the header does not decode."""
        if self.form == 1:
            return self.body
        reader = Reader(self.header)
        try:
            _ = reader.varint(), reader.varint(), reader.varint()
            reader.take(32 * reader.varint())
            reader.take(32 * reader.varint())
            reader.varint()
            reader.take(32 * reader.varint())
            return reader.take(reader.varint()) if self.form == 0 else b""
        except DecodeError:
            return b""

    def place(self) -> tuple[int, bytes | None] | None:
        """(seq, prev) as the header says; None if it does not decode."""
        reader = Reader(self.header)
        try:
            _ = reader.varint(), reader.varint()
            seq = reader.varint()
            prev = reader.take(32) if reader.varint() else None
            reader.take(32 * reader.varint())
            reader.varint()
            reader.take(32 * reader.varint())
            n = reader.varint()
            reader.take(n if n <= INLINE else 32)
        except DecodeError:
            return None
        return (seq, prev) if reader.at == len(self.header) and seq < 1 << 32 else None


# ---- bundles


def head_of(bundle: bytes) -> bytes:
    """The bytes that all bundles of a document begin with: magic, document, founder."""
    return bundle[: 37 + (48 if bundle[36] else 0)]


def wrap(datastore_id: bytes, dags: Mapping[str, bytes]) -> bytes:
    """A bundle of a datastore: bundles of its DAGs by name."""
    parts = sorted((name.encode(), bundle) for name, bundle in dags.items())
    return reseal(b"CKD\1" + datastore_id + b"".join(blob(name) + blob(bundle) for name, bundle in parts) + bytes(8))


def dag_id_of(datastore_id: bytes, dag: str) -> bytes:
    """The id that the changes of a DAG are signed under."""
    return datastore_id if dag == DEFAULT else digest(b"crdtkv-dag-v1", datastore_id + dag.encode())


def dags_of(bundle: Buffer) -> dict[str, bytes]:
    """The bundles of DAGs in one of a datastore, by name; unchecked. DecodeError for what is none."""
    data = bytes(bundle)
    if len(data) < 44 or data[:4] != b"CKD\1":
        raise DecodeError("not a bundle of a datastore")
    reader, dags = Reader(data[36:-8]), {}
    while reader.at < len(reader.data):
        name = reader.take(reader.varint()).decode(errors="replace")
        dags[name] = reader.take(reader.varint())
    return dags


def reseal(data: Buffer) -> bytes:
    """The same bytes with the 64-bit checksum at their end made right again.

    Whatever ends with one: bundles, proofs, messages of a Store. ValueError for less than 8 bytes.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> doc["a"] = 1
    >>> broken = doc.export()[:-1] + b"?"
    >>> doc.fork().apply(broken)
    Traceback (most recent call last):
        ...
    crdtkv.DecodeError: ...
    >>> testing.reseal(broken) == doc.export()
    True
    """
    data = bytes(data)
    if len(data) < 8:
        raise ValueError("a checksum is 8 bytes long")
    return data[:-8] + _core._checksum(data[:-8]).to_bytes(8, "little")


def chains_of(parts: Sequence[Part]) -> Iterator[int]:
    """The number of a chain for each change: that of the change before it in its lane if that one ends a chain, else a
    new one. So a signature covers what came unsigned in another bundle."""
    ends: dict[tuple[bytes, Opening | None, bytes], tuple[int, int]] = {}
    n = 0
    for part in parts:
        place = part.place() if len(parts) > 1 else None
        number = n
        if place and place[1] is not None:
            before = part.lane, part.opening, place[1]
            if before in ends and ends[before][1] + 1 == place[0]:
                number, _ = ends.pop(before)
        n += number == n
        if place:
            ends[part.lane, part.opening, part.id] = (number, place[0])
        yield number


def write_payload(doc_id: bytes, parts: Sequence[Part]) -> bytes:
    """The sections of a bundle of these changes, all raw."""
    lanes: dict[tuple[bytes, Opening | None], int] = {}
    table: list[bytes] = []
    for part in parts:
        key = part.lane, part.opening
        if key in lanes:
            continue
        lanes[key] = len(lanes)
        if part.opening is None:
            table.append(b"\0" + part.lane)
        elif lane_id_of(doc_id, part.opening) == part.lane:
            table.append(b"\1" + part.opening[0] + part.opening[1])
        else:
            table.append(b"\2" + part.lane + part.opening[0] + part.opening[1])
    numbers = list(chains_of(parts))
    chains: list[list[Part]] = []
    for part, number in zip(parts, numbers, strict=True):
        if number == len(chains):
            chains.append([])
        chains[number].append(part)
    starts, signatures = [], []
    for chain in chains:
        signed = [at for at, part in enumerate(chain) if part.signature]
        gaps = [at - before - 1 for before, at in zip([-1, *signed], signed)]
        starts.append(varint(lanes[chain[0].lane, chain[0].opening]) + b"\0" + varint(len(gaps)))
        starts += map(varint, gaps)
        signatures += [chain[at].signature for at in signed]
    slices = [varint(number) + b"\1" + varint(len(list(run))) for number, run in groupby(numbers)]
    raw = [blob(part.header) + bytes([part.form]) + (blob(part.body) if part.form == 1 else b"") for part in parts]
    sections = {
        1: varint(len(table)) + b"".join(table),
        2: varint(len(chains)) + b"".join(starts),
        3: b"".join(slices),
        9: b"".join(signatures),
        10: b"".join(raw),
    }
    return b"".join(varint(tag) + blob(section) for tag, section in sections.items())


def write_bundle(head: bytes, parts: Sequence[Part]) -> bytes:
    """A bundle of these changes in this order, unchecked."""
    payload = write_payload(head[4:36], parts)
    return reseal(head + b"\0" + varint(len(payload)) + payload + bytes(8))


def take_apart(bundle: Buffer) -> list[Part]:
    """The changes of a bundle in their order, unchecked. DecodeError for what is no bundle."""
    doc = _core.Doc(id=_core._doc_id_of(bundle))
    return [Part(*part[1:]) for part in doc._take_apart(bundle)]


def join(*bundles: Buffer) -> bytes:
    """One bundle of all changes of these bundles in order, checked by nobody: forged, unsigned and repeated ones too.

    Where one bundle goes on with a lane right where another stopped, a signature in the one covers the other.
    ValueError without bundles, or if they are of several documents; DecodeError for what is no bundle.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> liar = testing.Forger(doc, ck.Identity.generate())
    >>> one, two = liar.chain([lambda d: d.update(a=1), lambda d: d.update(b=2)], sign="last")
    >>> doc.apply(one)                                       # nothing signs it
    <Report 0 applied, 0 void, 0 waiting, 1 refused, 0 known>
    >>> doc.apply(testing.join(one, two))
    <Report 2 applied, 0 void, 0 waiting, 0 refused, 0 known>
    """
    if not bundles:
        raise ValueError("nothing to join")
    if any(bytes(bundle[:3]) == b"CKD" for bundle in bundles):
        return _join_datastores([bytes(bundle) for bundle in bundles])
    parts = [take_apart(bundle) for bundle in bundles]
    heads = [head_of(bytes(bundle)) for bundle in bundles]
    if len({head[:36] for head in heads}) > 1:
        raise ValueError("bundles of several documents")
    return write_bundle(max(heads, key=len), [part for some in parts for part in some])


def _join_datastores(bundles: list[bytes]) -> bytes:
    """The same, DAG by DAG."""
    if len({bundle[:36] for bundle in bundles}) > 1:
        raise ValueError("bundles of several datastores")
    dags: dict[str, list[bytes]] = {}
    for bundle in bundles:
        for name, part in dags_of(bundle).items():
            dags.setdefault(name, []).append(part)
    return wrap(bundles[0][4:36], {name: join(*parts) for name, parts in dags.items()})
