"""asgi(): the same in somebody's web application, under a real server; and by hand."""

import asyncio
import subprocess
import sys

import pytest

pytest.importorskip("websockets")

from links.patience import soon, until

import crdtkv as ck
from crdtkv import net
from crdtkv.net import Limits
from crdtkv.net import frame as f
from crdtkv.net.handshake import Handshake, gate
from crdtkv.net.limits import FRAME, Code

OPEN = gate(None, None)

APPLICATION = """
import asyncio, sys, crdtkv as ck, uvicorn
from crdtkv import net
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

doc = ck.Doc(id=bytes(32))
doc["from"] = "server"
sync = net.asgi(doc, token="secret")

async def content(request):
    return JSONResponse({"content": doc.to_py(), "links": sync.stats()["links"]})

app = Starlette(routes=[Route("/content", content), Mount("/sync", app=sync)])

async def main():
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws_max_size=1 << 21))
    running = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await running

asyncio.run(main())
"""


def test_mounted_in_an_application_under_uvicorn():
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    process = subprocess.Popen([sys.executable, "-c", APPLICATION], stdout=subprocess.PIPE, text=True)

    async def get(port, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await soon(reader.read())
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    async def story(port):
        a, b = ck.Doc(id=bytes(32)), ck.Doc(id=bytes(32))
        url = f"ws://127.0.0.1:{port}/sync/"
        async with net.connect(a, url, token="secret") as one, net.connect(b, url, token="secret") as two:
            await soon(one.synced())
            await soon(two.synced())
            a["x"] = 1
            await until(lambda: b.get("x") == 1)
            one.presence.set("ada")
            await until(lambda: two.presence.peers == {a.identity.public_key: "ada"})
            content = await get(port, "/content")
            assert '"x":1' in content and '"links":2' in content
            assert "426" in await get(port, "/sync/")
        async with net.connect(a, url, token="wrong") as link:
            with pytest.raises(ck.UnauthorizedError):
                await soon(link.synced())
        async with net.connect(a, url, token="secret") as link:  # it was idle, and wakes
            a["y"] = 2
            await soon(link.synced())
        assert '"y":2' in await get(port, "/content")

    try:
        asyncio.run(story(int(process.stdout.readline())))
    finally:
        process.terminate()
        process.communicate()


class Client:
    """An ASGI server with one client, by hand."""

    def __init__(self, app, **scope):
        self.inbox, self.outbox = asyncio.Queue(), asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(app({"type": "websocket", **scope}, self.inbox.get, self.outbox.put))

    def say(self, **event):
        self.inbox.put_nowait({"type": "websocket.receive", **event})

    async def hear(self, kind):
        event = await soon(self.outbox.get())
        assert event["type"] == f"websocket.{kind}"
        return event

    async def shake(self):
        hello = Handshake.hello(ck.Identity.generate(), OPEN)
        self.say(bytes=f.write(hello))
        assert isinstance(f.read((await self.hear("send"))["bytes"]), f.Hello)

    async def end(self):
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await soon(self.task)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"text": "text"}, Code.MALFORMED),
        ({"bytes": b"garbage"}, Code.MALFORMED),
        ({"bytes": bytes(FRAME + 1)}, Code.TOO_BIG),
        ({"text": None, "bytes": f.write(f.Barrier(1))}, Code.MALFORMED),
    ],
)
def test_what_breaks_a_rule_ends_the_link(event, code):
    async def story():
        app = net.asgi(ck.Doc())
        client = Client(app)
        await client.hear("accept")
        client.say(**event)
        assert (await client.hear("close"))["code"] == code
        await soon(client.task)
        assert app.stats()["links"] == 0 and app.stats()["ended"] == {code.name.lower(): 1}

    asyncio.run(story())


def test_a_client_that_goes_and_one_too_many():
    async def story():
        app = net.asgi(ck.Doc(), limits=Limits(links=1))
        one, two = Client(app), Client(app)
        await one.hear("accept")
        assert (await two.hear("close"))["code"] == Code.TRY_LATER
        await one.shake()
        await one.end()
        assert app.stats()["turned_away"] == 1 and app.stats()["ended"] == {"going_away": 1}
        three = Client(app)
        await three.hear("accept")
        await three.end()

    asyncio.run(story())


def test_web_pages_are_not_let_in_unless_they_are_named():
    async def story():
        app = net.asgi(ck.Doc(), origins=["https://good.example"])
        bad = Client(app, headers=[(b"host", b"x"), (b"origin", b"https://bad.example")])
        assert (await bad.hear("close"))["code"] == Code.NOT_ALLOWED
        good = Client(app, headers=[(b"origin", b"https://good.example")])
        await good.hear("accept")
        await good.end()

    asyncio.run(story())


def test_other_kinds_of_connections():
    async def story():
        app, said = net.asgi(ck.Doc()), []

        async def send(event):
            said.append(event["type"] if event["type"].startswith("lifespan") else event.get("status"))

        events = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive():
            return {"type": next(events)}

        await app({"type": "lifespan"}, receive, send)
        await app({"type": "http"}, receive, send)
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete", 426, None]
        with pytest.raises(ValueError, match="smoke"):
            await app({"type": "smoke"}, receive, send)

    asyncio.run(story())


@pytest.mark.parametrize("error", [OSError, RuntimeError])
@pytest.mark.parametrize("headers", [[], [(b"Origin", b"https://evil.example")]], ids=["welcome", "unwelcome"])
def test_a_client_that_has_gone_before_it_was_let_in_is_no_error(error, headers):
    async def story():
        app = net.asgi(ck.Doc())

        async def receive():
            return {"type": "websocket.connect"}

        async def send(event):
            assert event["type"] == ("websocket.close" if headers else "websocket.accept")
            raise error("gone")

        await soon(app({"type": "websocket", "headers": headers}, receive, send))
        assert app.stats()["links"] == app.stats()["accepted"] == 0

    asyncio.run(story())
