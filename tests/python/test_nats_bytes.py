"""What replicas say over NATS, and what an outbox knows, without a server: bytes, pieces, parcels, state."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest

import crdtkv as ck
from crdtkv.net.jetstream import outbox as outboxes
from crdtkv.net.jetstream import pieces as rooms
from crdtkv.net.jetstream import state as states
from crdtkv.net.jetstream.frame import LARGEST, Note, Notice, Piece, pieces_of
from crdtkv.net.jetstream.log import covers, numbers_of
from crdtkv.net.jetstream.outbox import InBlockError, Outbox, tips
from crdtkv.net.jetstream.pieces import Pieces
from crdtkv.net.jetstream.state import State
from crdtkv.testing import Forger

KINDS = [ck.Doc, ck.Datastore]


def notice_of(identity, **fields):
    honest = {
        "author": identity.public_key,
        "peer": bytes(16),
        "number": int(1000 * time.time()),
        "wants_answer": True,
        "is_logged": False,
        "root": bytes(32),
        "n_changes": 7,
        "position": 300,
        "name": "notes",
    }
    return Notice(**{**honest, **fields})


# ---- frames


def test_frames_survive_the_wire():
    ada = ck.Identity.generate()
    notice = notice_of(ada)
    assert Notice.decode(notice.encode(ada, b"here"))[0] == notice
    note = Note(b"8 bytes!", bytes(16), 2, 1000, True, b"data")
    assert Note.decode(note.encode()) == note
    for piece in (Piece("", b"", 0, 1, b""), Piece("n", bytes(16), 3, 7, b"data")):
        assert Piece.decode(piece.encode()) == piece


def test_every_truncation_of_a_frame_is_refused_or_shorter():
    ada = ck.Identity.generate()
    frames = {
        Piece: Piece("name", bytes(16), 3, 7, b"").encode(),
        Note: Note(b"8 bytes!", bytes(16), 2, 1000, True, b"").encode(),
        Notice: notice_of(ada).encode(ada, b"here"),
    }
    for kind, frame in frames.items():
        kind.decode(frame)
        for n in range(len(frame)):
            with pytest.raises(ck.DecodeError):
                kind.decode(frame[:n])
        for other in frames:
            if other is not kind:
                with pytest.raises(ck.DecodeError):
                    other.decode(frame)


def test_random_bytes_are_no_frames_or_harmless_ones():
    source = random.Random(1)
    for _ in range(3000):
        data = source.choice([b"\x01P", b"\x01N", b"\x01T"]) + source.randbytes(source.randrange(200))
        for kind in (Piece, Note, Notice):
            with suppress(ck.DecodeError):
                kind.decode(data)


def test_a_notice_is_of_its_author_and_of_its_place():
    ada, eve = ck.Identity.generate(), ck.Identity.generate()
    notice = notice_of(ada)
    read, signature = Notice.decode(notice.encode(ada, b"here"))
    assert read.is_signed(signature, b"here")
    assert not read.is_signed(signature, b"there")
    assert not notice_of(eve).is_signed(signature, b"here")
    assert not notice_of(ada, root=bytes([1]) * 32).is_signed(signature, b"here")


# ---- pieces


def test_pieces_come_together_in_any_order_and_more_than_once():
    bundle = random.Random(1).randbytes(5000)
    frames = [Piece.decode(frame) for frame in pieces_of("n", bundle, 700)]
    assert len(frames) > 10
    random.Random(2).shuffle(frames)
    pieces = Pieces()
    whole = [pieces.add(bytes(32), piece) for piece in [*frames[:5], *frames]]
    assert [one for one in whole if one is not None] == [bundle]


def test_pieces_that_do_not_fit_are_refused_and_unfinished_ones_are_bounded(monkeypatch):
    first, second = (Piece.decode(frame) for frame in pieces_of("", bytes(300), 512 + 150))
    pieces = Pieces()
    assert pieces.add(bytes(32), first) is None
    assert pieces.add(bytes(32), second) == bytes(300)
    pieces.add(bytes(32), first)
    with pytest.raises(ck.DecodeError, match="do not make"):
        pieces.add(bytes(32), Piece("", second.bundle, 1, 2, b"else"))
    monkeypatch.setattr(rooms, "LARGEST", 1000)
    for i in range(500):
        assert pieces.add(bytes(32), Piece("", i.to_bytes(16, "little"), 0, 2, bytes(10))) is None
        assert pieces._bytes <= 1000 and len(pieces._bundles) <= 64
    assert pieces.dropped > 400


def test_a_bundle_that_fits_nowhere_is_not_sent():
    with pytest.raises(ck.DecodeError, match="does not fit"):
        list(pieces_of("", bytes(LARGEST + 1), 1 << 20))


# ---- outbox


@pytest.mark.parametrize("kind", KINDS)
def test_an_outbox_gives_what_is_new_here_and_not_what_came(kind):
    a = kind()
    b = kind(id=a.id)
    mine, yours = Outbox(a), Outbox(b)
    assert mine.is_clean() and not mine.parcels()
    a["x"] = 1
    assert not mine.is_clean()
    (parcel,) = mine.parcels()
    assert yours.take(lambda: b.apply(parcel.data))
    assert not yours.parcels() and yours.is_clean()
    mine.acknowledge()
    assert mine.is_clean() and not mine.parcels()
    b["y"] = 2
    assert not yours.is_clean()
    (parcel,) = yours.parcels()
    assert parcel.n_changes == 1
    mine.take(lambda: a.apply(parcel.data))
    assert mine.is_clean() and a.root == b.root  # without another look


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_acknowledged_is_given_again(kind):
    a = kind()
    outbox = Outbox(a)
    a["x"] = 1
    first = outbox.parcels()
    a["y"] = 2
    a.commit()
    assert [parcel.n_changes for parcel in outbox.parcels()] == [2]
    assert [parcel.n_changes for parcel in first] == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_or_came_while_a_parcel_was_on_its_way_is_told_apart(kind):
    a = kind()
    b = kind(id=a.id)
    outbox = Outbox(a)
    a["x"] = 1
    outbox.parcels()
    b["theirs"] = 1
    outbox.take(lambda: a.apply(b.export()))
    a["mine"] = 2
    outbox.acknowledge()
    (parcel,) = outbox.parcels()
    assert parcel.n_changes == 1
    c = kind(id=a.id)
    assert c.apply(parcel.data).waiting  # only "mine", which builds on the others
    outbox.acknowledge()
    assert outbox.is_clean()


def test_logged_ids_are_summed_up(monkeypatch):
    monkeypatch.setattr(outboxes, "MOST_LOGGED", 10)
    a = ck.Doc()
    b = ck.Doc(id=a.id)
    outbox = Outbox(b)
    for i in range(50):
        then = a.heads
        a["x"] = i
        data = a.export(then)
        outbox.take(lambda data=data: b.apply(data))
        assert outbox.is_clean() and len(outbox._logged) <= 11
    b["y"] = 1
    assert [parcel.n_changes for parcel in outbox.parcels()] == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_history_of_many_authors_is_cut_where_it_is_signed(kind, monkeypatch):
    monkeypatch.setattr(outboxes, "BUNDLE", 4000)
    first = kind()
    writers = [first, *(kind(id=first.id) for _ in range(4))]
    source = random.Random(1)
    for i in range(300):
        writer = source.choice(writers)
        writer[f"k{i}"] = source.randbytes(60)
        writer.commit()
        if i % 10 == 0:
            writer.merge(source.choice(writers))
    reader = kind(id=first.id)
    for writer in writers:
        reader.merge(writer)
    parcels = Outbox(reader).parcels()
    assert len(parcels) > 5 and sum(parcel.n_changes for parcel in parcels) == len(reader.changes())
    copy = kind(id=first.id)
    for parcel in parcels:
        report = copy.apply(parcel.data)
        assert not report.refused and not report.waiting
    assert copy.root == reader.root


def test_tips_are_what_nothing_builds_on():
    a = ck.Doc()
    a["x"] = 1
    b = a.fork(ck.Identity.generate())
    a["y"], b["z"] = 1, 2
    a.merge(b)
    assert tips(list(a.changes())) == a.heads and len(a.heads) == 2


def test_inside_a_block_an_outbox_waits():
    a = ck.Doc()
    b = a.fork(ck.Identity.generate())
    b["y"] = 1
    outbox = Outbox(a)
    with a.change():
        a["x"] = 1
        with pytest.raises(InBlockError):
            outbox.parcels()
        with pytest.raises(InBlockError):
            outbox.take(lambda: a.apply(b.export()))
        assert not outbox.is_clean()
    assert [parcel.n_changes for parcel in outbox.parcels()] == [1]


def test_callbacks_that_fail_publish_nothing_of_others(caplog):
    a = ck.Doc()
    b = a.fork(ck.Identity.generate())
    b["y"] = 1
    outbox = Outbox(a)
    with a.observe(lambda event: 1 / 0):
        assert outbox.take(lambda: a.apply(b.export())) is None
    assert a["y"] == 1 and outbox.is_clean() and "callbacks failed" in caplog.text


# ---- the state of a link


def state_of(target, accept=None):
    return State(target, "s", accept, bytes(range(16)))


def frame_of(bundle, name=""):
    return Piece(name, b"", 0, 1, bundle).encode()


def test_junk_is_counted_and_pauses_the_reading():
    doc = ck.Doc()
    doc["x"] = 1
    other = ck.Doc()
    other["y"] = 1
    forged = Forger(doc, ck.Identity.generate()).forge(signature=bytes(64))
    state = state_of(doc)
    state.refresh()
    subject = f"s.doc.{doc.id.hex()}.log"
    root = doc.root
    for data in (b"", b"x", b"\x01P", frame_of(b"no bundle"), frame_of(other.export()), frame_of(forged)):
        state.take(subject, data, 1)
    assert (state.counts["received"], state.counts["undecodable"], state.counts["refused"]) == (6, 5, 1)
    assert doc.root == root and state.rest() == 0
    for _ in range(6):
        state.take(subject, bytes(1 << 20), 1)
    assert 0.5 < state.rest() < 10


def test_subjects_of_nobody_are_let_be(tmp_path):
    with ck.Database(tmp_path / "a.db") as db:
        state = state_of(db)
        data = frame_of(b"", "n" * 255)
        for subject in ("s.doc.log", "s..x.log", "s.doc.zz.log", "s.doc.00.log", f"s.store.{bytes(32).hex()}.log"):
            state.take(subject, data, 1)
        assert db.names() == {}
        state.take(f"s.doc.{bytes(32).hex()}.log", frame_of(b"junk", "../../etc/passwd"), 1)
        assert list(db.names()) == ["../../etc/passwd"]  # a name in a table, never a path


def test_a_link_makes_1024_names_and_asks_once_about_each_that_is_not_welcome(tmp_path):
    asked = []
    with ck.Database(tmp_path / "a.db", durability="normal") as db:
        state = state_of(db, lambda name, kind, id: asked.append(name) or False)
        for _ in range(3):
            for i in range(50):
                state.take(f"s.doc.{i:064x}.log", frame_of(b"", f"n{i}"), 1)
        assert len(asked) == 50 and db.names() == {} and state.counts["unwelcome"] == 50


def test_notices_are_heard_once_and_lately_and_from_their_author():
    ada, doc = ck.Identity.generate(), ck.Doc()
    state = state_of(doc)
    subject = state.subjects("heads")
    place = subject.encode()
    assert state.hear(subject, notice_of(ada).encode(ada, place)) is not None
    assert state.peers(1) == [ada.public_key]
    bad = [
        notice_of(ada).encode(ada, place)[:-1],
        notice_of(ada, number=1).encode(ada, place),
        notice_of(ada, peer=b"p" * 16, number=1).encode(ada, place),
        notice_of(ada, peer=b"q" * 16).encode(ada, b"elsewhere"),
        notice_of(ada, peer=state.me).encode(ada, place),
        notice_of(ck.Identity.generate(), peer=b"r" * 16).encode(ada, place),
    ]
    for data in bad:
        assert state.hear(subject, data) is None
    assert state.counts["notices_ignored"] == len(bad) and state.peers(1) == [ada.public_key]


def test_a_flood_of_notices_costs_no_signatures():
    doc = ck.Doc()
    state = state_of(doc)
    state._notices = states.Bucket(0.1, 100)
    ada, subject = ck.Identity.generate(), state.subjects("heads")
    frames = [notice_of(ada, peer=i.to_bytes(16, "little")).encode(ada, subject.encode()) for i in range(200)]
    heard = [state.hear(subject, frame) for frame in frames]
    assert 100 <= sum(notice is not None for notice in heard) < 190


# ---- the stream


def test_numbers_of_a_delivery():
    assert numbers_of("$JS.ACK.s.c.1.17.3.1700000000000000000.5") == ("s", "c", 17, 3, 5)
    assert numbers_of("$JS.ACK.dom.acc.s.c.1.17.3.1700000000000000000.5.rand") == ("s", "c", 17, 3, 5)
    assert numbers_of("_INBOX.x") == ("", "", 0, 0, 0)


def test_which_subjects_cover_which():
    for pattern in ("s.*.*.log", "s.>", ">", "*.*.*.log", "s.*.*.*"):
        assert covers(pattern, "s.*.*.log")
    for pattern in ("s.*.log", "s.doc.*.log", "t.>", "s.*.*.log.*", "s.*.*.heads"):
        assert not covers(pattern, "s.*.*.log")
