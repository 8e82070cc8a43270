"""What a stranger can do to a server by hand: garbage, floods, silence. It costs him his link, and others nothing."""

import asyncio
import contextlib
import os
import zlib
from random import Random

import pytest

pytest.importorskip("websockets")

from links.patience import soon, until
from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed, InvalidStatus

import crdtkv as ck
from crdtkv import net
from crdtkv.net import Limits
from crdtkv.net import frame as f
from crdtkv.net.directory import Entry
from crdtkv.net.handshake import Handshake, gate
from crdtkv.net.limits import FRAME, Code
from house.named import named

OPEN = gate(None, None)


@contextlib.asynccontextmanager
async def place(**limits):
    """A server, and somebody honest who is linked with it all the while, and must not notice."""
    doc = ck.Doc()
    friend = ck.Doc(id=doc.id)
    async with net.serve(doc, port=0, limits=Limits(**limits)) as server, net.connect(friend, server.url) as link:
        await soon(link.synced())
        yield server, doc
        friend["still here"] = True
        await soon(link.synced())
        assert doc["still here"] and link.stats()["connects"] == 1


async def shaken(socket, identity=None, only=None):
    """Through the handshake, by hand."""
    identity = identity or ck.Identity.generate()
    hello = Handshake.hello(identity, OPEN, only=only, endpoint="x:1")
    shake = Handshake(identity, OPEN, hello, is_client=True)
    await socket.send(f.write(hello))
    shake.hear(f.read(await socket.recv()))
    await socket.send(f.write(shake.proof()))
    shake.check(f.read(await socket.recv()))
    return shake


async def end_of(socket):
    """The code under which it ends."""
    try:
        while True:
            await soon(socket.recv())
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else closed.sent.code if closed.sent else 1006


@pytest.mark.parametrize(
    "first",
    [b"", b"x", b"GET / HTTP/1.1", Random(1).randbytes(1000), bytes(100_000), "text", f.write(f.Barrier(1))],
    ids=named,
)
def test_garbage_ends_at_once(first):
    async def story():
        async with place() as (server, _):
            async with dial(server.url) as socket:
                await socket.send(first)
                assert await end_of(socket) == Code.MALFORMED
            await until(lambda: server.stats()["ended"].get("malformed") == 1)

    asyncio.run(story())


def test_a_message_that_is_too_long_is_not_taken_in():
    async def story():
        async with place() as (server, _):
            async with dial(server.url, max_size=None) as socket:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(bytes(FRAME + 1))
                assert await end_of(socket) == Code.TOO_BIG
            async with dial(server.url, max_size=None) as socket:
                await shaken(socket)
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(3):
                        await socket.send(iter([bytes(1 << 19)] * 8))  # in pieces
                assert await end_of(socket) == Code.TOO_BIG

    asyncio.run(story())


def test_who_says_nothing_is_shown_out():
    async def story():
        async with place(handshake=0.3) as (server, _), dial(server.url) as silent, dial(server.url) as half:
            await half.send(f.write(Handshake.hello(ck.Identity.generate(), OPEN)))
            assert await end_of(silent) == await end_of(half) == Code.SLOW_HANDSHAKE

    asyncio.run(story())


def test_who_dribbles_is_cut_off():
    async def story():
        async with place(handshake=0.3) as (server, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(OSError):
                for _ in range(60):
                    writer.write(b"G")
                    await writer.drain()
                    if reader.at_eof():
                        break
                    await asyncio.sleep(0.05)
            await until(lambda: server._at_door == 1)  # only the friend
            writer.transport.abort()

    asyncio.run(story())


def test_floods():
    async def story():
        async with place(messages=50, chatter=20) as (server, doc):
            for frame in (f.Barrier(7), f.Passed(9), f.Words(()), f.Taken(0, 1)):
                async with dial(server.url) as socket:
                    await shaken(socket)
                    await socket.send(f.write(f.Names((Entry("", "doc", doc.id),))))
                    with contextlib.suppress(ConnectionClosed):
                        for _ in range(1000):
                            await socket.send(f.write(frame))
                    assert await end_of(socket) == Code.FLOOD
            await until(lambda: server.stats()["ended"].get("flood") == 4)

    asyncio.run(story())


PING, PONG, PIECE = 0x89, 0x8A, 0x00


def wire_frame(head, data, *, masked):
    """A frame of WebSocket itself: first byte, length, mask of zeros, content."""
    return bytes([head, len(data) | (0x80 if masked else 0)]) + bytes(4 if masked else 0) + data


@pytest.mark.parametrize(("head", "data"), [(PING, b"x" * 125), (PING, b""), (PONG, b""), (PIECE, b""), (PIECE, b"x")])
@pytest.mark.parametrize("is_shaken", [False, True], ids=["stranger", "peer"])
def test_floods_that_never_become_a_message(head, data, is_shaken):
    """Each ping is answered, each piece is kept until the last one comes: a few bytes make much of both."""

    async def story():
        async with place() as (server, _), dial(server.url, ping_interval=None) as socket:
            if is_shaken:
                await shaken(socket)
            socket.transport.pause_reading()  # the answers are not read
            if head == PIECE:
                socket.transport.write(wire_frame(0x02, b"x", masked=True))
            socket.transport.write(wire_frame(head, data, masked=True) * 100_000)
            await until(lambda: server.stats()["ended"].get("flood") == 1)
            socket.transport.abort()

    asyncio.run(story())


def test_a_server_that_floods_a_client_with_pings_is_left():
    async def story():
        async def flood(socket):
            await socket.recv()
            socket.transport.write(wire_frame(PING, b"", masked=False) * 100_000)
            await socket.wait_closed()

        async with listen(flood, "127.0.0.1", 0) as liar:
            port = next(iter(liar.sockets)).getsockname()[1]
            async with net.connect(ck.Doc(), f"ws://127.0.0.1:{port}") as link:
                await until(lambda: link.stats()["ended"].get("flood", 0) >= 2)  # and it comes again, as to any other
                assert link.error is None

    asyncio.run(story())


@pytest.mark.parametrize("where", ["ws://127.0.0.1:{}/inside", "/elsewhere", "ws://[", "http://127.0.0.1:{}", "\x80"])
def test_a_server_cannot_send_a_client_elsewhere(where):
    async def story():
        guests = []

        async def inside(reader, writer):
            guests.append(await reader.read(100))
            writer.close()

        async def liar(reader, writer):
            asked = await reader.readuntil(b"\r\n\r\n")
            calls.append(asked.split()[1])
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {where.format(secret)}\r\n\r\n".encode("latin-1"))
            writer.close()

        calls = []
        async with await asyncio.start_server(inside, "127.0.0.1", 0) as a:
            secret = a.sockets[0].getsockname()[1]
            async with await asyncio.start_server(liar, "127.0.0.1", 0) as b:
                url = f"ws://127.0.0.1:{b.sockets[0].getsockname()[1]}/here"
                async with net.connect(ck.Doc(), url) as link:
                    await until(lambda: len(calls) >= 3)
                    assert link.error is None and not guests and set(calls) == {b"/here"}

    asyncio.run(story())


def test_pings_and_pieces_of_somebody_honest_are_welcome():
    async def story():
        async with place() as (server, doc), dial(server.url) as socket:
            await shaken(socket)
            for _ in range(200):
                await (await soon(socket.ping()))
            said = f.write(f.Names((Entry("", "doc", doc.id),)))
            await socket.send([said[i : i + 1] for i in range(len(said))])
            await socket.send(f.write(f.Barrier(3)))
            while not isinstance(f.read(await soon(socket.recv())), f.Said):
                pass

    asyncio.run(story())


def test_who_does_not_read_is_cut_off():
    async def story():
        doc = ck.Doc()
        doc["x"] = os.urandom(8 << 20)
        limits = Limits(stall=0.3)
        async with net.serve(doc, port=0, limits=limits) as server, dial(server.url, max_queue=1) as socket:
            await shaken(socket)
            await socket.send(f.write(f.Names((Entry("", "doc", doc.id),))))
            other = ck.Doc(id=doc.id).session()
            await socket.send(f.write(f.Said(0, 2**20, other.send())))
            while not isinstance(said := f.read(await soon(socket.recv())), f.Said):
                pass
            other.receive(said.message)
            await socket.send(f.write(f.Said(0, 2**20, other.send())))  # and now 8 MiB are coming
            socket.transport.pause_reading()
            await until(lambda: server.stats()["ended"].get("stalled") == 1)
            socket.transport.resume_reading()

    asyncio.run(story())


def test_a_recorded_handshake_opens_nothing():
    async def story():
        doc, ada = ck.Doc(), ck.Identity.generate()
        async with net.serve(doc, port=0, allow=[ada.public_key]) as server:
            said = []
            async with dial(server.url) as socket:
                send = socket.send

                async def record(data):
                    said.append(data)
                    await send(data)

                socket.send = record
                await shaken(socket, ada)
            async with dial(server.url) as socket:
                for data in said:
                    await socket.send(data)
                assert await end_of(socket) == Code.NOT_ALLOWED
            async with dial(server.url) as socket:
                with pytest.raises(ConnectionClosed) as caught:
                    await shaken(socket, ck.Identity.generate())
                assert caught.value.rcvd.code == Code.NOT_ALLOWED

    asyncio.run(story())


def test_a_recorded_word_of_presence_is_old():
    async def story():
        async with place() as (server, doc):
            ada = net.Presence(ck.Identity.generate(), doc.id)
            ada.set("first")
            old = tuple(ada.since(0)[0])
            ada.set("second")
            new = tuple(ada.since(0)[0])
            async with dial(server.url) as socket:
                await shaken(socket, ada._identity)
                for words in (old, new, old):
                    await socket.send(f.write(f.Words(words)))
                await until(lambda: "second" in server.presence.peers.values())
                await socket.send(f.write(f.Words(old)))
                await asyncio.sleep(0.1)
                assert list(server.presence.peers.values()) == ["second"]

    asyncio.run(story())


def test_more_links_than_there_may_be():
    async def story():
        async with place(links=3) as (server, _):
            async with dial(server.url) as one, dial(server.url):
                await until(lambda: server.stats()["links"] == 3)
                with pytest.raises(InvalidStatus) as caught:
                    await dial(server.url)
                assert caught.value.response.status_code == 503
                await one.close()
                await until(lambda: server.stats()["links"] == 2)
                async with dial(server.url):
                    pass
            assert server.stats()["turned_away"] == 1

    asyncio.run(story())


def test_web_pages_are_not_let_in_unless_they_are_named():
    async def story():
        async with place() as (server, _):
            with pytest.raises(InvalidStatus) as caught:
                await dial(server.url, origin="https://evil.example")
            assert caught.value.response.status_code == 403
        good = "https://good.example"
        async with net.serve(ck.Doc(), port=0, origins=[good]) as server, dial(server.url, origin=good) as socket:
            await shaken(socket)

    asyncio.run(story())


def test_connections_that_never_say_what_they_want_are_bounded():
    async def story():
        async with place(links=2) as (server, _):
            knocking = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(130)]
            await until(lambda: server.stats()["turned_away"] >= 20)
            assert server._at_door <= 110
            for _, writer in knocking:
                writer.transport.abort()

    asyncio.run(story())


def test_frames_of_a_later_version_are_skipped():
    async def story():
        async with place() as (server, doc), dial(server.url) as socket:
            await shaken(socket)
            await socket.send(b"\x63new" + zlib.crc32(b"\x63new").to_bytes(4, "little"))
            await socket.send(f.write(f.Names((Entry("", "doc", doc.id),))))
            await socket.send(f.write(f.Barrier(5)))
            session = ck.Doc(id=doc.id).session()
            while True:
                frame = f.read(await soon(socket.recv()))
                if isinstance(frame, f.Said):
                    session.receive(frame.message)
                    while message := session.send():
                        await socket.send(f.write(f.Said(0, 1, message)))
                if frame == f.Passed(5):
                    break

    asyncio.run(story())


def test_a_server_that_lies_costs_a_client_its_link_only(caplog):
    """Garbage, silence, another protocol: the client comes again, later and later."""

    async def story():
        doc = ck.Doc()
        calls = []

        async def lie(socket):
            calls.append(1)
            if len(calls) % 3 == 0:
                await asyncio.sleep(0.5)
            await socket.send(os.urandom(100) if len(calls) % 3 else "hello")
            with contextlib.suppress(ConnectionClosed):
                await socket.recv()

        async with listen(lie, "127.0.0.1", 0) as liar:
            port = next(iter(liar.sockets)).getsockname()[1]
            async with net.connect(doc, f"ws://127.0.0.1:{port}", limits=Limits(handshake=0.2)) as link:
                await until(lambda: len(calls) >= 5)
                assert link.error is None and not link.connected and link.peers == ()
        async with await asyncio.start_server(mumble, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            async with net.connect(doc, f"ws://127.0.0.1:{port}", limits=Limits(handshake=0.2)) as link:
                await until(lambda: link.stats()["attempts"] >= 3)
                assert link.error is None and not link.connected

    async def mumble(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.transport.abort()

    asyncio.run(story())
