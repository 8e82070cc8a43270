"""Who may publish may publish anything: into the stream, as notices, as notes of talks. Links stay, and converge."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextlib import suppress

import pytest
from links.patience import run, until
from links.streams import client_of, needs_server

import crdtkv as ck
from crdtkv import net
from crdtkv.net.jetstream import line
from crdtkv.net.jetstream.frame import BUSY, END, OPEN, WORD, Note, Notice, Piece, pieces_of
from crdtkv.testing import HOSTILE, Forger, HostilePeer
from house.nats_server import NatsServer

pytestmark = needs_server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def stream(request):
    """A stream of its own for each test, on one server."""
    return f"s{abs(hash(request.node.nodeid)):x}"


def frame_of(bundle, name=""):
    return Piece(name, b"", 0, 1, bundle).encode()


def notice_of(identity, subject, **fields):
    honest = {
        "author": identity.public_key,
        "peer": random.randbytes(16),
        "number": int(1000 * time.time()),
        "wants_answer": False,
        "is_logged": True,
        "root": random.randbytes(32),
        "n_changes": 1 << 40,
        "position": 1 << 40,
        "name": "",
    }
    return Notice(**{**honest, **fields}).encode(identity, subject.encode())


def junk_for(doc):
    """What a liar puts into the log, all of it to no effect."""
    eve, source = ck.Identity.generate(), random.Random(1)
    other = ck.Doc()
    other["x"] = 1
    forger = Forger(doc, eve)
    honest = frame_of(doc.export())
    yield b""
    yield b"\x01"
    yield honest[: len(honest) // 2]
    yield bytes([2]) + honest[1:]
    yield frame_of(other.export())
    yield frame_of(forger.bomb(1 << 30))
    yield frame_of(forger.forge(signature=bytes(64)))
    yield frame_of(forger.forge(sign_with=ck.Identity.generate()))
    yield from list(pieces_of("", forger.forge() + bytes(3000), 700))[:-1]  # the last piece never comes
    for piece in pieces_of("", bytes(3000), 700):
        yield piece[:-1] + bytes([piece[-1] ^ 1])
    for _ in range(100):
        damaged = bytearray(honest)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        yield bytes(damaged)


def test_junk_in_the_stream_is_passed_over_by_all_and_counted(server, stream):
    async def story():
        a = ck.Doc()
        a["before"] = 1
        b, late = ck.Doc(id=a.id), ck.Doc(id=a.id)
        subject = f"{stream}.doc.{a.id.hex()}.log"
        async with (
            client_of(server) as liar,
            net.nats(a, server.url, stream=stream) as left,
            net.nats(b, server.url, stream=stream) as right,
        ):
            await left.synced()
            js = liar.jetstream()
            junk = list(junk_for(a))
            for data in junk:
                await js.publish(subject, data, headers={"Status": "404"} if not data else None)
            a["after"] = 2
            await left.synced()
            await right.synced()
            assert a == b == {"before": 1, "after": 2}
            stats = right.stats()
            assert stats["received"] >= len(junk) + 2 and stats["undecodable"] >= 90 and stats["refused"] >= 2
            assert stats["connections"] == 1
        async with net.nats(late, server.url, stream=stream) as link:
            await link.synced()
        assert late.root == a.root

    run(story)


def test_equivocations_come_through_and_are_known_to_all(server, stream):
    async def story():
        a, eve = ck.Doc(), ck.Identity.generate()
        a["x"] = 1
        b = ck.Doc(id=a.id)
        one, two = Forger(a, eve).fork(lambda doc: doc.update({"l": 1}), lambda doc: doc.update({"l": 2}))
        async with (
            client_of(server) as liar,
            net.nats(a, server.url, stream=stream) as left,
            net.nats(b, server.url, stream=stream) as right,
        ):
            await left.synced()
            for bundle in (two, one):
                await liar.jetstream().publish(f"{stream}.doc.{a.id.hex()}.log", frame_of(bundle))
            await left.synced()
            await right.synced()
            assert a.root == b.root and a == b
            for doc in (a, b):
                (found,) = doc.equivocations()
                assert ck.verify_equivocation(found.proof) == eve.public_key

    run(story)


def test_notices_of_what_nobody_holds_cost_a_few_talks_that_become_rare(server, stream, monkeypatch):
    monkeypatch.setattr(line, "PATIENCE", 0.5)

    async def story():
        a = ck.Doc()
        a["x"] = 1
        subject = f"{stream}.doc.{a.id.hex()}.heads"
        async with client_of(server) as liar, net.nats(a, server.url, stream=stream) as link:
            await link.synced()
            began = time.monotonic()
            while time.monotonic() - began < 1.5:
                for _ in range(20):  # each in another name: keys cost nothing
                    await liar.publish(subject, notice_of(ck.Identity.generate(), subject))
                await asyncio.sleep(0.05)
            assert link.stats()["notices_heard"] > 100
            assert link.stats()["talks_asked"] <= 4
            a["y"] = 2
            await until(lambda: link.stats()["published"] == 2)
            async with asyncio.timeout(5):
                await link.synced()  # whatever they claim

    run(story)


def test_who_hears_others_who_have_read_as_far_keeps_silent(server, stream):
    async def story():
        a = ck.Doc()
        a["x"] = 1
        subject = f"{stream}.doc.{a.id.hex()}.heads"

        async def sent_while(position, is_over):
            before = link.stats()["notices_sent"]
            while not is_over(link.stats()["notices_sent"] - before):
                for peer, eve in others.items():  # each holds something else than is here
                    await liar.publish(subject, notice_of(eve, subject, peer=peer, position=position))
                await asyncio.sleep(0.02)
            return link.stats()["notices_sent"] - before

        async with client_of(server) as liar, net.nats(a, server.url, stream=stream, rebroadcast=0.5) as link:
            others = {random.randbytes(16): ck.Identity.generate() for _ in range(line.FEW)}
            await link.synced()
            began = time.monotonic()
            async with asyncio.timeout(30):
                alone = await sent_while(0, lambda sent: sent >= 6)  # they read on, and will know more
            end = 2 * time.monotonic() - began
            assert await sent_while(1 << 40, lambda sent: time.monotonic() >= end) <= alone / 2

    run(story)


def test_garbage_as_notices_and_notes_is_counted(server, stream):
    async def story():
        a = ck.Doc()
        b = ck.Doc(id=a.id)
        async with (
            client_of(server) as liar,
            net.nats(a, server.url, stream=stream) as left,
            net.nats(b, server.url, stream=stream) as right,
        ):
            await left.synced()
            await right.synced()
            eve, place = ck.Identity.generate(), f"doc.{a.id.hex()}"
            me = left._state.me.hex()
            for data in (b"", b"\x01N", b"x" * 1000, notice_of(eve, "elsewhere")):
                await liar.publish(f"{stream}.{place}.heads", data)
            for data in (b"", b"\x01T", b"x" * 1000):
                await liar.publish(f"{stream}.to.{me}.talk", data)
                await liar.publish(f"{stream}.to.{me}.zz", data, headers={"Status": "503"})
                await liar.publish(f"{stream}.{place}.here", data)
            for what in (WORD, END, BUSY, 4):
                note = Note(b"8 bytes!", bytes(16), min(what, 3), 5, True, b"junk")
                await liar.publish(f"{stream}.to.{me}.talk", note.encode())
            await liar.flush()
            await until(lambda: left.stats()["talks_failed"] == 3 and left.stats()["notices_ignored"] >= 4)
            a["x"] = 1
            await until(lambda: "x" in b)
            assert left.stats()["connections"] == 1 and left.presence.peers == {}

    run(story)


@pytest.mark.parametrize("strategy", HOSTILE)
def test_a_peer_who_lies_in_a_talk_ends_that_talk(server, stream, strategy):
    async def story():
        a = ck.Doc()
        a["x"] = 1
        b = ck.Doc(id=a.id)
        me = random.randbytes(16)
        async with client_of(server) as liar, net.nats(a, server.url, stream=stream) as left:
            await left.synced()
            peer, talk = HostilePeer(a, strategy), random.randbytes(8)
            number, said = itertools.count(), itertools.count()
            to = f"{stream}.to.{left._state.me.hex()}.talk"

            async def speak():
                while next(said) < 12 and (message := peer.send()) is not None:
                    for at in range(0, max(1, len(message)), 1 << 19):
                        part = message[at : at + (1 << 19)]
                        is_last = at + len(part) >= len(message)
                        await liar.publish(to, Note(talk, me, WORD, next(number), is_last, part).encode())

            async def on_note(msg):
                note = Note.decode(msg.data)
                if note.what == WORD:
                    with suppress(ck.Error):
                        peer.receive(note.data)
                        await speak()

            await liar.subscribe(f"{stream}.to.{me.hex()}.talk", cb=on_note)
            root = a.root
            opening = Note(talk, me, OPEN, next(number), True, b"doc." + a.id)
            await liar.publish(to, opening.encode())
            await speak()
            await liar.flush()
            await asyncio.sleep(0.2)
            assert left.stats()["talks_served"] == 1
            async with net.nats(b, server.url, stream=stream) as right:
                a["y"] = 2
                await left.synced()
                await right.synced()
                assert b["x"] == 1 and b["y"] == 2
            assert a.root != root and left.stats()["connections"] == 1

    run(story)


def test_who_opens_many_talks_and_says_nothing_is_turned_away(server, stream):
    async def story():
        a = ck.Doc()
        a["x"] = 1
        async with client_of(server) as liar, net.nats(a, server.url, stream=stream) as left:
            await left.synced()
            to = f"{stream}.to.{left._state.me.hex()}.talk"
            for i in range(100):
                note = Note(i.to_bytes(8, "little"), i.to_bytes(16, "little"), OPEN, 0, True, b"doc." + a.id)
                await liar.publish(to, note.encode())
            await liar.publish(to, Note(bytes(8), bytes(16), OPEN, 0, True, b"doc." + bytes(32)).encode())
            await liar.flush()
            await until(lambda: left.stats()["talks_turned_away"] == 92)
            assert left.stats()["talks_served"] == 8

    run(story)


def test_a_number_of_a_message_that_somebody_else_took_hides_nothing(server, stream, monkeypatch):
    async def story():
        a = ck.Doc()
        async with client_of(server) as liar, net.nats(a, server.url, stream=stream) as link:
            await link.synced()
            subject = f"{stream}.doc.{a.id.hex()}.log"
            log = link._line._log
            frame = frame_of(b"mine")
            taken = {}

            async def publish(subject, data, headers):
                number = headers["Nats-Msg-Id"]
                if not taken:  # the liar saw it first, and was faster
                    taken[number] = await honest(subject, b"lies", headers=headers)
                return await honest(subject, data, headers=headers)

            honest = log._js.publish
            monkeypatch.setattr(log._js, "publish", publish)
            seq = await log.publish(subject, frame)
            assert (await liar.jetstream().get_msg(stream, seq)).data == frame
            assert await log.publish(subject, frame) == seq  # ours, again: the server noticed

    run(story)
