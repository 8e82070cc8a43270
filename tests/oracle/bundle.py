"""Bundles: read one into chains of headers, bodies and signatures; write one, forged as one likes.

The reader checks what the page calls malformed, and nothing that concerns one change: that is for the model to judge.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field, replace

import xxhash
import zstandard

from .columns import MAX_BASE, ColumnChange, Columns, Run, Slice, read_change, write_columns
from .wire import (
    INLINE,
    MAX_SEQ,
    Broken,
    Header,
    Malformed,
    Reader,
    Refused,
    blob,
    change_id_of,
    founded_doc_id,
    lane_id_of,
    parse_header,
    varint,
)

MAGIC = b"CKB\x01"
REFERRED, OPENED, STATED = 0, 1, 2
IN_HEADER, APART, OMITTED, LEFT_OUT = 0, 1, 2, 3
MAX_RATIO = 64  # of the payload to its Zstandard frame
COLUMNS, RAW, BEHIND_RAW = 0, 1, 2


@dataclass(frozen=True)
class Lane:
    """An entry of the lane table. `id` is the stated one if one is stated, else that of the opening."""

    form: int
    id: bytes
    key: bytes = b""
    nonce: bytes = b""


def opened(doc_id: bytes, key: bytes, nonce: bytes) -> Lane:
    return Lane(OPENED, lane_id_of(doc_id, key, nonce), key, nonce)


@dataclass(frozen=True)
class Item:
    """One change as it travels. `body_form` says where the body is; `body` is None unless it stands apart."""

    lane_id: bytes
    header: bytes
    body_form: int
    body: bytes | None = None
    signature: bytes | None = None

    @property
    def id(self) -> bytes:
        return change_id_of(self.lane_id, self.header)


@dataclass
class Chain:
    lane: Lane
    items: list[Item] = field(default_factory=list)


@dataclass
class Bundle:
    doc_id: bytes
    founder: tuple[bytes, bytes] | None
    chains: list[Chain]


def item_of(lane: Lane, header: Header | bytes, body: bytes, signature: bytes | None = None) -> Item:
    """A raw item with its body in the usual place: in the header if it fits there, else apart."""
    data = header if isinstance(header, bytes) else header.encode()
    form = IN_HEADER if len(body) <= INLINE else APART
    return Item(lane.id, data, form, body if form == APART else None, signature)


# Reading


def read_bundle(data: bytes, doc_id: bytes | None = None, type: int = 1) -> Bundle:
    """All chains, with what columns leave out rebuilt. `doc_id`: what it must be of, a document or, type 2, a DAG."""
    try:
        return _read_bundle(data, doc_id, type)
    except (Broken, UnicodeDecodeError, OverflowError, zstandard.ZstdError) as error:
        raise Malformed(str(error)) from error


def _read_bundle(data: bytes, doc_id: bytes | None, type: int) -> Bundle:
    if len(data) < 12 or data[:4] != MAGIC:
        raise Malformed("magic")
    if xxhash.xxh3_64_intdigest(data[:-8]) != int.from_bytes(data[-8:], "little"):
        raise Malformed("check")
    reader = Reader(data[4:-8])
    of = reader.take(32)
    if doc_id is not None and of != doc_id:
        raise Malformed("of another document")
    founder = (reader.take(32), reader.take(16)) if reader.flag() else None
    if founder and founded_doc_id(*founder) != of:
        raise Malformed("doc_id is not the founder's")
    codec, raw_len = reader.u8(), reader.varint()
    payload = unpack(codec, raw_len, reader.take(len(reader.data) - reader.at))
    return Bundle(of, founder, read_payload(of, read_sections(payload), len(data), type))


def unpack(codec: int, raw_len: int, packed: bytes) -> bytes:
    if codec == 0:
        payload = packed
    elif codec == 1 and raw_len <= MAX_RATIO * len(packed):
        if len(zstandard.ZstdDecompressor().stream_reader(packed).read(raw_len + 1)) != raw_len:
            raise Malformed("raw_len")
        frame = zstandard.ZstdDecompressor().decompressobj()
        payload = frame.decompress(packed)
        if not frame.eof or frame.unused_data:
            raise Malformed("not one frame")
    else:
        raise Malformed("codec")
    if len(payload) != raw_len:
        raise Malformed("raw_len")
    return payload


def read_sections(payload: bytes) -> dict[int, bytes]:
    reader, sections, last = Reader(payload), {}, -1
    while not reader.done():
        tag = reader.varint()
        if tag <= last:
            raise Malformed("tags out of order")
        last = tag
        sections[tag] = reader.blob()
    return sections


@dataclass
class _Start:
    """What the chains section says of one chain."""

    lane: int
    columns: bool
    seq: int = 0
    base: int = 0
    prev: bytes | None = None
    signed: list[int] = field(default_factory=list)


def read_payload(doc_id: bytes, sections: dict[int, bytes], n_bytes: int, type: int = 1) -> list[Chain]:
    def section(tag: int) -> Reader:
        return Reader(sections.get(tag, b""))

    def counted(reader: Reader) -> int:
        return reader.varint() if reader.data else 0

    reader = section(1)
    lanes = [read_lane(doc_id, reader) for _ in range(counted(reader))]
    reader.end()

    def lane_index(reader: Reader) -> int:
        index = reader.varint()
        if index >= len(lanes):
            raise Malformed("no such lane")
        return index

    reader, starts = section(2), []
    for _ in range(counted(reader)):
        start = _Start(lane_index(reader), reader.flag())
        if start.columns:
            start.seq, start.base = reader.varint(), read_base(reader)
            start.prev = reader.take(32) if start.seq else None
        at = -1
        for _ in range(reader.varint()):
            at += reader.varint() + 1
            start.signed.append(at)
        starts.append(start)
    reader.end()

    reader, slices = section(3), []
    while not reader.done():
        which, form, n = reader.varint(), reader.u8(), reader.varint()
        if which >= len(starts) or form > BEHIND_RAW or n == 0 or (type != 1 and form != RAW):
            raise Malformed("slice")
        slices.append((which, form, n, read_base(reader) if form == BEHIND_RAW else 0))
    total = sum(n for _, _, n, _ in slices)
    if total > 1024 * sum(len(start.signed) for start in starts) + n_bytes // 16:
        raise Malformed("more changes than signatures can cover")

    reader = section(4)
    outside = [(lane_index(reader), reader.take(32)) for _ in range(counted(reader))]
    reader.end()

    columns = Columns(sections, sum(n for _, form, n, _ in slices if form != RAW), [lane.id for lane in lanes])
    raw_items = section(10)
    chains = [Chain(lanes[start.lane]) for start in starts]
    places: dict[int, Slice] = {}
    forms: dict[int, int] = {}  # of the last slice of a chain
    made: list[tuple[int, bytes]] = []  # lane index and id of each ordinal
    n_columns = 0
    for which, form, n, base in slices:
        start, lane, items = starts[which], chains[which].lane, chains[which].items
        if which not in forms and form != (COLUMNS if start.columns else RAW):
            raise Malformed("the chain begins in the other form")
        here = places.setdefault(which, Slice(start.lane, start.seq, start.prev, start.base))
        if which in forms and form != RAW and (form == BEHIND_RAW) != (forms[which] == RAW):
            raise Malformed("columns behind raw changes say where they begin, and only they")
        if form == BEHIND_RAW:
            here.next_item = base
        forms[which] = form
        run: Run | None = None
        for _ in range(n):
            if form == RAW:
                item = read_raw(lane, raw_items, OMITTED if type == 1 else LEFT_OUT)
                go_on_behind(here, item)
            else:
                if here.seq > MAX_SEQ:
                    raise Malformed("a seq overflows")
                parents = []
                for inside, number in columns.parents():
                    if (inside and not 1 <= number <= len(made)) or (not inside and number >= len(outside)):
                        raise Malformed("no such parent")
                    parents.append(made[len(made) - number] if inside else outside[number])
                parents.sort(key=lambda parent: parent[1])
                header, body, run = read_change(columns, n_columns, here, run, parents)
                item = item_of(lane, header, body)
                n_columns += 1
            here.seq, here.prev = here.seq + 1, item.id
            items.append(item)
            made.append((start.lane, item.id))
        if run:
            raise Malformed("a run beyond its slice")
    columns.end()
    raw_items.end()

    reader = section(9)
    for start, chain in zip(starts, chains, strict=True):
        items = chain.items
        for k in start.signed:
            if k >= len(items):
                raise Malformed("a signature beyond the chain")
            items[k] = replace(items[k], signature=reader.take(64))
    reader.end()
    return chains


def read_lane(doc_id: bytes, reader: Reader) -> Lane:
    form = reader.u8()
    if form > STATED:
        raise Malformed("lane")
    stated = reader.take(32) if form != OPENED else b""
    if form == REFERRED:
        return Lane(form, stated)
    key, nonce = reader.take(32), reader.take(16)
    return Lane(form, stated or lane_id_of(doc_id, key, nonce), key, nonce)


def read_base(reader: Reader) -> int:
    base = reader.varint()
    if base >= MAX_BASE:
        raise Malformed("a base beyond all items")
    return base


def read_raw(lane: Lane, reader: Reader, greatest: int) -> Item:
    header, form = reader.blob(), reader.varint()
    if form > greatest:
        raise Malformed("body")
    return Item(lane.id, header, form, reader.blob() if form == APART else None)


def go_on_behind(at: Slice, item: Item) -> None:
    """Columns behind a raw change of their chain go on from its seq; behind one without, all is refused anyway."""
    with contextlib.suppress(Refused):
        at.seq = parse_header(item.header).seq


# Writing


def frame_bundle(doc_id: bytes, payload: bytes, founder: tuple[bytes, bytes] | None = None, codec: int = 0) -> bytes:
    packed = zstandard.ZstdCompressor().compress(payload) if codec == 1 else payload
    if len(payload) > MAX_RATIO * len(packed):
        codec, packed = 0, payload
    data = MAGIC + doc_id + (b"\0" if founder is None else b"\1" + founder[0] + founder[1])
    return seal(data + bytes([codec]) + varint(len(payload)) + packed)


def seal(data: bytes) -> bytes:
    """Add the check."""
    return data + xxhash.xxh3_64_intdigest(data).to_bytes(8, "little")


def write_sections(sections: dict[int, bytes]) -> bytes:
    return b"".join(varint(tag) + blob(sections[tag]) for tag in sorted(sections) if sections[tag])


def write_lane(lane: Lane) -> bytes:
    opening = lane.key + lane.nonce
    return bytes([lane.form]) + (lane.id if lane.form != OPENED else b"") + (opening if lane.form != REFERRED else b"")


def write_raw(item: Item) -> bytes:
    return blob(item.header) + varint(item.body_form) + (blob(item.body or b"") if item.body_form == APART else b"")


def write_signed(chain: Chain) -> bytes:
    places = [k for k, item in enumerate(chain.items) if item.signature]
    gaps = [k - last - 1 for last, k in zip([-1, *places], places, strict=False)]
    return varint(len(places)) + b"".join(varint(gap) for gap in gaps)


def write_bundle(
    doc_id: bytes,
    chains: list[Chain],
    slices: list[tuple[int, int]] | None = None,
    founder: tuple[bytes, bytes] | None = None,
    codec: int = 0,
) -> bytes:
    """All chains raw, unchecked, in slices of (chain, count); without `slices`, one chain after the other."""
    if slices is None:
        slices = [(k, len(chain.items)) for k, chain in enumerate(chains) if chain.items]
    at, raw = [0] * len(chains), b""
    for chain, n in slices:
        for item in chains[chain].items[at[chain] : at[chain] + n]:
            raw += write_raw(item)
        at[chain] += n
    sections = {
        1: varint(len(chains)) + b"".join(write_lane(chain.lane) for chain in chains),
        2: varint(len(chains)) + b"".join(varint(k) + b"\0" + write_signed(chain) for k, chain in enumerate(chains)),
        3: b"".join(varint(chain) + varint(1) + varint(n) for chain, n in slices),
        9: b"".join(item.signature for chain in chains for item in chain.items if item.signature),
        10: raw,
    }
    return frame_bundle(doc_id, write_sections(sections), founder, codec)


def write_column_bundle(
    doc_id: bytes,
    lanes: list[Lane],
    chain: Chain,
    start: Slice,
    outside: list[tuple[int, bytes]],
    changes: list[ColumnChange | None],
) -> bytes:
    """One chain, in which the changes that are None travel raw. `outside`: parents, as the changes number them."""
    begin = b"\0" if changes[0] is None else b"\1" + varint(start.seq) + varint(start.next_item) + (start.prev or b"")
    slices = b""
    at = 0
    for raw, group in itertools.groupby(changes, key=lambda change: change is None):
        part = list(group)
        form = RAW if raw else BEHIND_RAW if at else COLUMNS
        slices += varint(0) + varint(form) + varint(len(part))
        if part[0] is not None and form == BEHIND_RAW:
            slices += varint(part[0].next_item)
        at += len(part)
    sections = {
        1: varint(len(lanes)) + b"".join(write_lane(lane) for lane in lanes),
        2: varint(1) + varint(start.own) + begin + write_signed(chain),
        3: slices,
        4: varint(len(outside)) + b"".join(varint(lane) + id for lane, id in outside),
        9: b"".join(item.signature for item in chain.items if item.signature),
        10: b"".join(write_raw(item) for item, change in zip(chain.items, changes, strict=True) if change is None),
        **write_columns([change for change in changes if change is not None], len(lanes)),
    }
    return frame_bundle(doc_id, write_sections(sections), None, 1)
