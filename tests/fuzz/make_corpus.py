"""Writes seeds to build/corpus: small inputs that reach every room of the readers.

The same each time, but for recorded sessions.

What is committed in tests/fuzz/corpus is chosen from these and from what fuzzing found: tests/fuzz/run.py --keep.

.venv/bin/python tests/fuzz/make_corpus.py
"""

from __future__ import annotations

import math
import random
import struct
import sys
from pathlib import Path
from typing import Any

import xxhash
import zstandard

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from golden.make_runs import edges, scattered  # noqa: E402
from golden.make_sheaf import items  # noqa: E402

import crdtkv  # noqa: E402
from oracle.author import Author, Pen  # noqa: E402
from oracle.bundle import Reader  # noqa: E402
from oracle.lies import BODIES, HEADERS, KINDS, LATER, stage, tell  # noqa: E402
from oracle.model import APPLIED, VOID, Replica  # noqa: E402
from oracle.nested import nested  # noqa: E402
from oracle.runs import write_runs  # noqa: E402
from oracle.sheaf import write_sheaf  # noqa: E402
from oracle.store import Store  # noqa: E402
from oracle.store_wire import write_diff, write_op, write_opset, write_request  # noqa: E402
from oracle.wire import blob, varint  # noqa: E402

DOC_ID = b"\x2a" * 32
CORPUS = ROOT / "build" / "corpus"


def keep(target: str, data: bytes) -> None:
    """Named after the content, so that a second run changes nothing."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / xxhash.xxh3_64_hexdigest(data)).write_bytes(data)


def payload(bundle: bytes) -> bytes:
    """What a bundle without founder holds, unpacked."""
    reader = Reader(bundle[37:-8])
    codec, _ = reader.u8(), reader.varint()
    packed = reader.take(len(reader.data) - reader.at)
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed) if codec else packed


def stories(seed: int) -> list[bytes]:
    """Honest authors and a liar write into one document; every change as a bundle of its own."""
    choose = random.Random(seed)
    pens = [Author(choose.getrandbits(64)).pen(DOC_ID) for _ in range(3)]
    views = [Replica(DOC_ID) for _ in pens]
    sent: list[bytes] = []
    for _ in range(8):
        who = choose.randrange(len(pens))
        for data in sent:
            if choose.random() < 0.7:
                views[who].apply(data)
        pen, view = pens[who], views[who]
        if who == 2 and choose.random() < 0.5:  # a fork, or odd operations
            own = [change.id for change in view.changes.values() if change.lane.id == pen.lane.id]
            liar = Pen(pen.author, DOC_ID, pen.lane, choose.choice([None, *own]))
            draft = liar.draft(view)
            pen.author.lie(draft)
            item = liar.item(draft)
            sent.append(liar.bundle(item))
            view.apply(sent[-1])
        else:
            draft = pen.draft(view)
            pen.author.edit(draft)
            sent.append(pen.write(view, draft, choose.randint(-9, 9), choose.choice([None, "why"])))
    return sent


def columns(sent: list[bytes]) -> bytes:
    """All of it as the C core writes it."""
    doc = crdtkv.Doc(crdtkv.Identity.from_seed(bytes(32)), id=DOC_ID)
    for data in sent:
        doc.apply(data)
    return doc.export()


def keep_payload(data: bytes) -> None:
    """As a bundle, and as a save on top of a part of it."""
    keep("bundle", data)
    keep("snapshot", data[-1:] + data[-2:-1] + data)


def scripts() -> None:
    """Random steps for the targets that read some."""
    choose = random.Random(1)
    steps = [*range(0, 64, 16), 0, 7, 23, 4, 20, 36, 52, 13, 29, 45, 61, 2, 18, 12, 28, 44, 60, 3, 19]
    for _ in range(40):
        script = b""
        for step in choose.choices(steps, k=20):
            script += bytes([step]) + choose.randbytes({0: 2, 1: 2, 2: 1}.get(step % 16, 0))
        keep("session", script)
        keep(
            "live",
            b"\0" + b"".join(bytes([choose.choice(b"\0\0\1\2\3\4\x08")]) + choose.randbytes(2) for _ in range(12)),
        )
        keep("cursor", bytes([128, choose.randrange(16), choose.randrange(20), choose.randrange(2), 5, 1]))
        keep("cursor", b"\2" + bytes(4) + bytes([choose.randrange(4)]) + bytes(32) + choose.randbytes(32) + b"\0")
    for pair in range(8):
        keep("recon", bytes([pair, 8, 8, 8, 8]))
        for kind in range(8):
            keep("recon", bytes([pair, 8, kind, 3, 2, 3, 5, 0, 1, 0, 2, 0, 8, kind, 0, 2, 2, 2, 8]))


VALUES = [
    *(b"\0\0", b"\1\0", b"\2\0", b"\3\1\1", b"\3\1\2", b"\3\x0a" + b"\xff" * 9 + b"\1", b"\x10\0", b"\x1c\0"),
    *(
        b"\4\x08" + struct.pack("<d", number)
        for number in (0.0, -0.0, 0.5, 1.0, -(2.0**63), 2.0**63, math.inf, math.nan)
    ),
    *(b"\5\0", b"\5\3abc", b"\5\2\xc3\xa9", b"\6\2\xff\0"),
]
PLAIN = [
    *(b"\0", b"\x10\2\0\1a\3\2\0\1b\4" + bytes(8), b"\x11\3\0\x11\1\2\x10\0", b"\x12\2\3\2\5\1x"),
    *(
        b"\x13" + bytes(16),
        b"\x13" + b"\xff" * 16,
        b"\x14\4\xf0\x9f\x99\x82",
        b"\x10\2\0\1a\x10\1\1\6\1\xff\0\1c\x14\0",
    ),
]
NESTED: list[Any] = [
    *(None, True, False, -1, 2**63 - 1, -0.0, math.nan, "", "\u00e9\U0001f642", b"\xff", [], {}),
    *([1, [2.5, "x"], b""], {"a": 1, "": {"b": [None], "c": {}}}),
    {str(number): [number] for number in range(18)},
]


def sets() -> None:
    """Two sets of numbers, each once as it travels and once as the gaps and lengths that the target makes one of."""
    choose = random.Random(7)
    for how in range(3):
        for _ in range(10):
            both = [write_runs(scattered(choose)) for _ in range(2)]
            keep("runs", bytes([how]) + both[0] + both[1])
            keep("runs", bytes([how | 4]) + blob(choose.randbytes(40)) + blob(bytes(choose.choices(b"\0\1\2\7", k=60))))
    for runs in edges():
        keep("runs", b"\1" + write_runs(runs) + write_runs(((3, 9), (70, 1 << 40))))


def block(items: list[tuple[bytes, bool, bytes]]) -> bytes:
    """Keys with their type and entries, ascending, as they stand in a run of an index."""
    body, last, restarts = b"", b"", []
    for number, (key, is_bytes, entry) in enumerate(items):
        shared = 0
        if number % 16 == 0:
            restarts.append(len(body))
        else:
            while last[: shared + 1] == key[: shared + 1] and shared < min(len(last), len(key)):
                shared += 1
        body += varint(shared) + varint((len(key) - shared) << 1 | is_bytes) + varint(len(entry))
        body += key[shared:] + entry
        last = key
    return body + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def blocks() -> None:
    """With a key to look for that is there, and with others."""
    choose = random.Random(17)
    for n in (1, 2, 5, 16, 17, 40):
        for size in (1, 3, 12):
            texts = [bytes(choose.choices(b"ab", k=choose.randrange(size + 1))) for _ in range(n)]
            keys = sorted({(text, choose.random() < 0.5) for text in texts})
            items = [(*key, choose.randbytes(choose.randrange(1, 6))) for key in keys]
            for key, is_bytes in (*keys, (b"b", True)):
                keep("block", bytes([is_bytes]) + blob(key) + block(items))


def sheaves() -> None:
    choose = random.Random(19)
    for n in (1, 2, 7, 40):
        for first in (0, 9, 100_000):
            for squeeze in (False, True):
                story = write_sheaf(items(choose, n, first), choose.randbytes(32), squeeze=squeeze)
                keep("sheaf", varint(first) + story[8:])


def small_parts() -> None:
    for value in VALUES:
        keep("value", value)
        keep("value", value + VALUES[3] + value)
    for value in NESTED:
        keep("nested", nested(value))
        keep("nested", nested([value, {"a": value}]) + nested(value))
    for how in range(4):
        for plain in PLAIN:
            keep("plain", bytes([how, 1]) + plain)
    seed = bytes(range(32))
    for head in (b"\0\0CKI\1" + seed, b"\4\0CKI\1" + seed, b"\6\3abcCKI\1" + seed):
        keep("keyfile", head + bytes(8))
    for sealed in (b"\1\3pwd" + seed, b"\1\0" + seed + b"\x0a\1", b"\1\3pwd" + seed + b"\x18\4"):
        keep("keyfile", sealed)
    keep("keyfile", b"\6\3abcCKI\2" + bytes(16) + b"\1\0\0\0\x08\0\0\0" + bytes(24 + 48 + 8))


def sessions() -> None:
    """What two replicas say to each other: from nothing, with lanes that differ, and while they write."""
    a = crdtkv.Doc(crdtkv.Identity.from_seed(bytes(32)))
    b = crdtkv.Doc(crdtkv.Identity.from_seed(bytes([1]) * 32), id=a.id)
    for round in range(3):
        for doc in (a, b):
            doc[f"key {round}"] = [round, {"text": crdtkv.Text("some text")}]
        left, right = a.session(), b.session()
        for step in range(3):
            for speaker, listener in ((left, right), (right, left)) * 4:
                while (message := speaker.send()) is not None:
                    keep("message", message)
                    listener.receive(message)
            a["counted"], b["also counted"] = step, "x" * step
        for doc in (a, b):
            keep("frame", doc.export())


def keep_payloads(target: str, world: int, *messages: bytes) -> None:
    """As tests/fuzz/stock.h reads them. Saves are not among them: its mutator makes those."""
    payloads = [message[2:-8] for message in messages]
    keep(target, bytes([world]) + b"".join(map(blob, payloads)))


def stores(seed: int) -> None:
    """What stores of the model say to each other, whose incarnations are those of the targets' worlds."""
    choose = random.Random(seed)
    a, b, c = peers = [Store(name + b"/" + bytes(8), lambda: 0) for name in (b"", b"a", b"b")]
    ops, sets = [], []
    for _ in range(20):
        peer, other = choose.sample(peers, 2)
        if key := choose.choice(["", "a", "b", "ba"]):
            ops.append(write_op(peer.insert_with_op(key, choose.randrange(9))))
        elif choose.random() < 0.3:
            sets.append(write_opset(peer.opset()))
        else:
            peer.integrate_diff(other.build_diff(peer.request_diff()))
    request, diff = write_request(a.request_diff()), write_diff(b.build_diff(a.request_diff()))
    keep_payloads("store_request", seed, request)
    keep_payloads("store_diff", seed, diff)
    keep_payloads("store_after", seed, request, diff)
    keep_payloads("store_op", seed, *choose.sample(ops, 3))
    keep_payloads("store_opset", seed, *sets[:2], write_opset(c.opset()))
    keep("store_session", bytes([seed]) + choose.randbytes(60))


def main() -> None:
    small_parts()
    sets()
    blocks()
    sheaves()
    scripts()
    sessions()
    for seed in range(16):
        stores(seed)
    for seed in range(6):
        sent = stories(seed)
        whole = Replica(DOC_ID)
        for data in sent:
            whole.apply(data)
        keep_payload(payload(columns(sent)))
        keep_payload(payload(whole.export(list(whole.changes)[:: 1 + seed % 2])))
        keep("frame", columns(sent))
        if seed == 0:
            keep("bundle", columns(sent))
        for change in list(whole.changes.values())[::3]:
            keep("header", change.raw)
            keep("body", bytes([len(change.header.parents)]) + change.body)
        for told in whole.equivocations()[:1]:
            keep("proof", told.proof)
    for _, _, body in BODIES.values():
        if len(body) < 200:
            keep("body", b"\1" + body)
    replica, pen = stage(1, DOC_ID)
    keep_payload(payload(replica.export()))
    keep_payload(payload(columns([replica.export()])))  # one of everything, in columns
    for change in replica.changes.values():
        keep("body", bytes([len(change.header.parents)]) + change.body)
    for number, kind in enumerate(KINDS):
        lie = tell(kind, pen, replica)
        if lie.verdict in (APPLIED, VOID, LATER) and len(lie.bundle) < 1500:
            if kind not in BODIES:
                keep("bundle", payload(lie.bundle))
            fresh = Replica(DOC_ID)
            fresh.apply(replica.export())
            fresh.apply(lie.bundle)
            if kind not in BODIES and kind not in HEADERS and number % 8 == 0:
                keep_payload(payload(fresh.export()))


if __name__ == "__main__":
    main()
