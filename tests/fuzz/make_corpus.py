"""Writes the seeds of tests/fuzz/corpus: small inputs that reach every room of the reader. The same each time.

.venv/bin/python tests/fuzz/make_corpus.py
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import xxhash
import zstandard

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv  # noqa: E402
from oracle.author import Author, Pen  # noqa: E402
from oracle.bundle import Reader  # noqa: E402
from oracle.lies import BODIES, HEADERS, KINDS, LATER, stage, tell  # noqa: E402
from oracle.model import APPLIED, VOID, Replica  # noqa: E402

DOC_ID = b"\x2a" * 32
CORPUS = ROOT / "tests" / "fuzz" / "corpus"


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


def main() -> None:
    for seed in range(6):
        sent = stories(seed)
        whole = Replica(DOC_ID)
        for data in sent:
            whole.apply(data)
        keep("bundle", payload(columns(sent)))
        keep("bundle", payload(whole.export(list(whole.changes)[:: 1 + seed % 2])))
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
    keep("bundle", payload(replica.export()))
    keep("bundle", payload(columns([replica.export()])))  # one of everything, in columns
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
                keep("bundle", payload(fresh.export()))


if __name__ == "__main__":
    main()
