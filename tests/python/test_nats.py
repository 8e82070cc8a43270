"""Replicas on a stream of a real nats-server: live, late, cut off, restarted, refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest
from links.patience import run, until
from links.replicas import replicas
from links.streams import client_of, needs_server

import crdtkv as ck
from crdtkv import net
from crdtkv.net.jetstream import log
from house.kept import sql
from house.nats_server import NatsServer

pytestmark = needs_server


@pytest.fixture
def server(tmp_path):
    with NatsServer(tmp_path) as server:
        yield server


# ---- how it should go


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_what_one_writes_the_other_reads_before_and_while_they_are_linked(server, kind):
    async def story():
        a, b = replicas(2, kind)
        a["before"], b["too"] = 1, 2
        async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
            await left.synced()
            await right.synced()
            assert b == {"before": 1, "too": 2}
            a["live"] = 3
            await until(lambda: "live" in b)
            await left.synced()
            assert a.root == b.root
            assert left.peers == (b.identity.public_key,) and right.peers == (a.identity.public_key,)
            assert left.stats()["connected"] and left.stats()["trouble"] is None

    run(story)


@pytest.mark.parametrize("is_told_before", [True, False])
@pytest.mark.parametrize("peer_is_there", [True, False])
def test_what_was_purged_is_read_again_when_it_is_admitted(server, peer_is_there, is_told_before):
    """From the log, whoever else is there; what was never here comes, too."""

    async def story():
        a, b = replicas(2, ck.Datastore)
        a["x"] = 1
        a.put("y", 1, dag="side")
        async with net.nats(b, server.url) as right:
            async with net.nats(a, server.url) as left:
                await left.synced()
                await right.synced()
                assert a.root == b.root
                b.purge("side")
                if is_told_before:
                    await right.synced()
                    a.put("z", 2, dag="side")
                    await left.synced()
                    await right.synced()
                    assert dict(b) == {"x": 1}
                if peer_is_there:
                    b.admit("side")
                    await right.synced()
                    assert a.root == b.root
            if not peer_is_there:
                b.admit("side")
                await right.synced()
                assert a.root == b.root
            b.put("later", 3, dag="side")
            await right.synced()
            assert right.stats()["connected"]

    run(story)


def test_synced_brings_what_a_peer_had_not_published_yet(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
            await left.synced()
            for i in range(10):
                a[f"k{i}"] = i  # nobody has looked at it yet
                await right.synced()
                assert b[f"k{i}"] == i

    run(story)


OTHER = """
import asyncio, sys
import crdtkv as ck
from crdtkv import net

async def main(url, id):
    doc = ck.Doc(id=bytes.fromhex(id))
    async with net.nats(doc, url) as link:
        doc["from there"] = list(range(100))
        while "from here" not in doc:
            await asyncio.sleep(0.005)
        doc["seen"] = doc["from here"]
        await link.synced()
        print(doc.root.hex())

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes(server):
    async def story():
        doc = ck.Doc()
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER, server.url, doc.id.hex(), stdout=subprocess.PIPE
        )
        async with net.nats(doc, server.url):
            doc["from here"] = "hello"
            out, _ = await other.communicate()
            await until(lambda: doc.get("seen") == "hello")
            assert other.returncode == 0 and out.decode().strip() == doc.root.hex()
            assert len(doc["from there"]) == 100

    run(story)


def test_who_comes_late_reads_the_stream_though_nobody_is_there(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as link:
            for i in range(20):
                a[str(i)] = i
                a.commit()
            await link.synced()
        async with net.nats(b, server.url) as link:
            await link.synced()
            assert a.root == b.root
            assert link.stats()["published"] == 0 and link.stats()["talks_asked"] == 0

    run(story)


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_who_comes_late_asks_peers_for_what_the_stream_has_lost(server, kind):
    async def story():
        a, b = replicas(2, kind)
        async with client_of(server) as client, net.nats(a, server.url) as left:
            for i in range(20):
                a[str(i)] = "x" * 1000
                a.commit()
            await left.synced()
            await client.jetstream().purge_stream("crdtkv")
            a["after"] = True
            await left.synced()
            async with net.nats(b, server.url) as right:
                await right.synced()
                assert a.root == b.root and b["after"]
                assert right.stats()["talks_asked"] >= 1
                assert left.stats()["published"] <= 3  # and not all of it again

    run(story)


def test_a_database_comes_late_to_names_that_only_peers_know(server, tmp_path):
    async def story():
        with ck.Database(tmp_path / "a.db") as a, ck.Database(tmp_path / "b.db") as b:
            async with client_of(server) as client, net.nats(a, server.url) as left:
                a.doc("notes")["x"] = 1
                a.datastore("stats")["y"] = 2
                await left.synced()
                await client.jetstream().purge_stream("crdtkv")
                async with net.nats(b, server.url) as right:
                    await right.synced()
                    assert b.doc("notes")["x"] == 1 and b.datastore("stats")["y"] == 2

    run(story)


def test_the_server_dies_and_comes_back_while_both_write(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
            for i in range(60):
                a[f"a{i}"], b[f"b{i}"] = i, i
                if i == 20:
                    server.kill()
                if i == 40:
                    server.start()
                await asyncio.sleep(0.01)
            await asyncio.gather(left.synced(), right.synced())
            await left.synced()
            assert a.root == b.root and len(a) == 120
            assert left.stats()["connections"] == 2
        c = ck.Doc(id=a.id)
        async with net.nats(c, server.url) as link:  # the stream has it all
            await link.synced()
            assert c.root == a.root and link.stats()["talks_asked"] == 0

    run(story)


def test_it_enters_at_once_and_waits_for_a_server(tmp_path):
    async def story():
        a, b = replicas(2)
        server = NatsServer(tmp_path)
        try:
            async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
                a["x"] = 1
                waiting = asyncio.create_task(left.synced())
                await asyncio.sleep(0.2)
                assert not waiting.done() and not left.stats()["connected"] and left.peers == ()
                server.start()
                await waiting
                await right.synced()
                assert b == {"x": 1}
        finally:
            server.kill()

    run(story)


def test_leaving_publishes_the_last_edits(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as link:
            await link.synced()
            a["last"] = 1
        async with net.nats(b, server.url) as link:
            await link.synced()
        assert b == {"last": 1}

    run(story)


def test_what_does_not_fit_into_a_message_goes_in_pieces(tmp_path):
    async def story():
        a, b = replicas(2)
        with NatsServer(tmp_path, "max_payload: 64KB") as server:
            blob = bytes(range(256)) * 1600  # one change of 400 KiB, incompressible enough
            a["one"] = blob
            a.commit()
            for i in range(200):  # and a history to be cut
                a[f"k{i}"] = ck.Identity.generate().public_key * 200
                a.commit()
            async with net.nats(a, server.url) as left:
                await left.synced()
                assert left.stats()["published"] > 10
            async with net.nats(b, server.url) as right:
                await right.synced()
            assert a.root == b.root and b["one"] == blob

    run(story)


def test_a_talk_carries_more_than_a_message_holds(tmp_path):
    async def story():
        a, b = replicas(2)
        with NatsServer(tmp_path, "max_payload: 64KB") as server:
            for i in range(100):
                a[f"k{i}"] = b"".join(ck.Identity.generate().public_key for _ in range(300))
            async with client_of(server) as client, net.nats(a, server.url) as left:
                await left.synced()
                await client.jetstream().purge_stream("crdtkv")
                async with net.nats(b, server.url) as right:
                    await right.synced()
                    assert a.root == b.root and left.stats()["talks_served"] >= 1

    run(story)


def test_an_open_block_is_not_disturbed(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
            await right.synced()
            with b.change():
                b["mine"] = 1
                a["theirs"] = 2
                await left.synced()
                await asyncio.sleep(0.1)
                assert b == {"mine": 1}
            await until(lambda: "theirs" in b and "mine" in a)
            await left.synced()
            assert a.root == b.root and len(b.changes()) == 2

    run(story)


def test_a_stream_that_is_deleted_is_made_again_and_peers_fill_the_gap(server):
    async def story():
        a, b = replicas(2)
        async with client_of(server) as client, net.nats(a, server.url) as left, net.nats(b, server.url) as right:
            a["x"] = 1
            await left.synced()
            await right.synced()
            await client.jetstream().delete_stream("crdtkv")
            a["y"], b["z"] = 2, 3
            await until(lambda: a == b == {"x": 1, "y": 2, "z": 3}, 20)
            c = ck.Doc(id=a.id)
            async with net.nats(c, server.url) as link:
                await link.synced()
                await until(lambda: c.root == a.root)

    run(story)


def test_a_server_that_does_not_say_that_a_request_is_over_is_asked_again(server, monkeypatch):
    for name, seconds in {"PULL": 0.5, "BEAT": 0.25, "GRACE": 0.1}.items():
        monkeypatch.setattr(log, name, seconds)
    read_one = log.Reader._read_one

    def forget(self, msg, pull):
        if (msg.headers or {}).get("Status") != "408":
            read_one(self, msg, pull)

    monkeypatch.setattr(log.Reader, "_read_one", forget)

    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url), net.nats(b, server.url) as right:
            await right.synced()
            reader = right._line.reader
            consumer = reader._consumer
            for i in range(4):  # each beyond the end of a request
                await asyncio.sleep(0.6)
                a[f"k{i}"] = i
                await until(lambda i=i: f"k{i}" in b)
            assert right._line.reader is reader and reader._consumer == consumer

    run(story)


def test_many_who_come_at_once_make_one_stream(server):
    async def story():
        docs = replicas(12)
        async with AsyncExitStack() as stack:
            links = [await stack.enter_async_context(net.nats(doc, server.url, stream="crowd")) for doc in docs]
            await asyncio.gather(*(link.synced() for link in links))  # SyncError where the stream was being made twice

    run(story)


def test_a_file_that_was_closed_and_opened_again_publishes_nothing_twice(server, tmp_path):
    async def story():
        with ck.Database(tmp_path / "a.db") as db:
            db.doc("notes")["x"] = 1
            async with net.nats(db, server.url) as link:
                await link.synced()
                assert link.stats()["published"] == 1
        with ck.Database(tmp_path / "a.db") as db:
            db.doc("notes")["y"] = 1  # written while nobody was linked
            async with net.nats(db, server.url) as link:
                await link.synced()
                assert link.stats()["published"] == 1 and link.stats()["known"] >= 1
            assert len(db.doc("notes").changes()) == 2

    run(story)


# ---- databases


def test_databases_share_names_and_new_ones_appear(server, tmp_path):
    async def story():
        with ck.Database(tmp_path / "a.db") as a, ck.Database(tmp_path / "b.db") as b:
            a.doc("notes")["x"] = 1
            a.datastore("stats")["y"] = 2
            a.store("settings")["theme"] = "dark"
            b.doc("plans")["z"] = 3
            async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
                await left.synced()
                await right.synced()
                assert b.names() == {"notes": "doc", "plans": "doc", "stats": "datastore"}
                assert b.doc("notes")["x"] == 1 and b.datastore("stats")["y"] == 2
                a.doc("fresh")["w"] = 4
                await until(lambda: b.names().get("fresh") == "doc" and "w" in b.doc("fresh"))
                a.doc("empty")
                await until(lambda: "empty" in b.names())
                await until(lambda: "plans" in a.names() and a.doc("plans") == {"z": 3})

    run(story)


@pytest.mark.parametrize("waits", [True, False])
def test_a_name_that_was_made_just_before_is_in_the_stream(server, waits):
    """When synced() has returned, or the block was left."""

    async def story():
        with ck.Database(":memory:") as db:
            async with net.nats(db, server.url) as link:
                await link.synced()
                db.doc("notes")["title"] = "Picnic"
                if waits:
                    await link.synced()
                    assert link.stats()["published"] == 1
        with ck.Database(":memory:") as late:
            async with net.nats(late, server.url) as link:
                await link.synced()
                assert late.names() == {"notes": "doc"} and late.doc("notes") == {"title": "Picnic"}

    run(story)


def test_one_name_with_two_ids_is_a_conflict_and_accept_may_refuse(server, tmp_path):
    async def story():
        asked = []

        def accept(name, kind, id):
            asked.append((name, kind, id))
            return name != "secret"

        with ck.Database(tmp_path / "a.db") as a, ck.Database(tmp_path / "b.db") as b:
            here, there = a.doc("notes"), b.doc("notes")
            here["x"], there["y"] = 1, 2
            a.doc("secret")["s"] = 1
            a.doc("open")["o"] = 1
            async with net.nats(a, server.url) as left, net.nats(b, server.url, accept=accept) as right:
                with pytest.warns(RuntimeWarning, match="'notes' is one document here and another one there") as caught:
                    await left.synced()
                    await right.synced()
                assert caught[0].filename == __file__
                assert b.names() == {"notes": "doc", "open": "doc"} and there == {"y": 2}
                assert right.stats()["conflicts"] == {"notes": (there.id, here.id)}
                assert asked.count(("secret", "doc", a.doc("secret").id)) == 1

    run(story)


def test_a_document_alone_meets_the_same_one_in_a_database(server, tmp_path):
    async def story():
        doc = ck.Doc()
        with ck.Database(tmp_path / "a.db") as db:
            shared = db.doc("notes", id=doc.id)
            async with net.nats(doc, server.url) as left, net.nats(db, server.url) as right:
                doc["x"] = 1
                await left.synced()
                await right.synced()
                assert shared == {"x": 1}

    run(story)


# ---- presence


def test_presence(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as left:
            left.presence.set({"name": "ada"})
            async with net.nats(b, server.url) as right:
                right.presence.set({"name": "ben"})
                await until(lambda: right.presence.peers and left.presence.peers)
                assert right.presence.peers == {a.identity.public_key: {"name": "ada"}}
                left.presence.set({"name": "ada", "cursor": 7})
                await until(lambda: right.presence.peers[a.identity.public_key].get("cursor") == 7)
            await until(lambda: not left.presence.peers)  # he said that he leaves

    run(story)


def test_who_leaves_before_the_log_was_read_says_so_too(server):
    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as left:
            async with net.nats(b, server.url) as right:
                right.presence.set({"name": "ben"})
                await until(lambda: left.presence.peers)
                right._line.ready.clear()
            await until(lambda: not left.presence.peers)

    run(story)


# ---- what cannot be had


def test_a_wrong_password_is_said_by_synced(tmp_path):
    async def story():
        with NatsServer(tmp_path, 'authorization { user: "ada", password: "right" }') as server:
            doc = ck.Doc()
            async with net.nats(doc, server.url, options={"user": "ada", "password": "wrong"}) as link:
                with pytest.raises(ck.UnauthorizedError, match="does not let us in"):
                    await link.synced()
                assert "does not let us in" in link.stats()["trouble"]
                doc["still"] = "works"
            async with net.nats(doc, server.url, options={"user": "ada", "password": "right"}) as link:
                await link.synced()

    run(story)


def test_a_server_without_jetstream_is_said_by_synced(tmp_path):
    async def story():
        with NatsServer(tmp_path, jetstream=False) as server:
            async with net.nats(ck.Doc(), server.url) as link:
                with pytest.raises(ck.SyncError, match="no JetStream"):
                    await link.synced()

    run(story)


def test_a_stream_of_somebody_else_is_said_by_synced(server):
    async def story():
        async with client_of(server) as client:
            await client.jetstream().add_stream(name="crdtkv", subjects=["orders.*"])
            async with net.nats(ck.Doc(), server.url) as link:
                with pytest.raises(ck.SyncError, match=r"does not take crdtkv\.\*\.\*\.log"):
                    await link.synced()

    run(story)


def test_who_may_only_read_reads(tmp_path):
    users = """authorization { users: [
        {user: ada, password: x}
        {user: eve, password: x, permissions: {publish: {deny: "crdtkv.doc.*.log"}}}
    ] }"""

    async def story():
        a, b = replicas(2)
        with NatsServer(tmp_path, users) as server:
            ada, eve = ({"user": name, "password": "x"} for name in ("ada", "eve"))
            async with net.nats(a, server.url, options=ada) as left, net.nats(b, server.url, options=eve) as right:
                await right.synced()
                b["not for the log"] = 1
                a["x"] = 1
                await left.synced()
                await until(lambda: "x" in b)
                with pytest.raises(ck.UnauthorizedError):
                    await right.synced()

    run(story)


def test_wrong_arguments():
    for stream in ("", "a.b", "a*", "a b", "a>", "a\n"):
        with pytest.raises(ValueError, match="name of a stream"):
            net.nats(ck.Doc(), stream=stream)
    for url in ("", "http://localhost", "nats://", "nats://a b", ["nats://localhost", "ftp://x"]):
        with pytest.raises(ValueError, match="nats://"):
            net.nats(ck.Doc(), url)
    with pytest.raises(TypeError):
        net.nats(ck.Doc(), 5)
    secret = net.nats(ck.Doc(), "nats://ada:secret@localhost")
    assert repr(secret) == "<NatsLink nats://localhost: not connected>"
    with pytest.raises(ValueError, match="positive"):
        net.nats(ck.Doc(), rebroadcast=0)
    with pytest.raises(TypeError):
        net.nats(ck.Store())


def test_a_link_is_entered_once_and_ends_with_its_block(tmp_path):
    async def story():
        server = NatsServer(tmp_path)
        async with net.nats(ck.Doc(), server.url) as link:
            with pytest.raises(RuntimeError, match="once"):
                await link.__aenter__()
            waiting = asyncio.create_task(link.synced())
            await asyncio.sleep(0)
        with pytest.raises(ck.SyncError, match="closed"):
            await waiting
        with pytest.raises(ck.SyncError, match="closed"):
            await link.synced()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(story)


def test_a_database_that_is_closed_ends_its_link_only(server, tmp_path):
    async def story():
        db = ck.Database(tmp_path / "a.db")
        db.doc("notes")["x"] = 1
        async with net.nats(db, server.url) as link:
            await link.synced()
            db.close()
            with pytest.raises(ck.StaleHandleError):
                while True:
                    await link.synced()
                    await asyncio.sleep(0.01)

    run(story)


def test_a_name_that_is_deleted_ends_no_link(server):
    async def story():
        with ck.Database(":memory:") as db, ck.Database(":memory:") as late:
            for name in ("gone", "notes"):
                db.doc(name)["x"] = 1
            async with net.nats(db, server.url) as link:
                await link.synced()
                db.delete("gone")
                db.doc("notes")["x"] = 2
                await link.synced()
                db.delete("notes")
                await until(lambda: link.stats()["objects"] == 0)
                db.doc("new")["y"] = 3
                await link.synced()
                assert link.error is None and link.stats()["connections"] == 1
            async with net.nats(late, server.url) as link:
                await link.synced()
                assert late.doc("notes") == {"x": 2} and late.doc("new") == {"y": 3}

    run(story)


def test_a_name_that_is_deleted_and_made_anew_goes_on(server):
    async def story():
        with ck.Database(":memory:") as db, ck.Database(":memory:") as late:
            db.doc("notes")["x"] = 1
            async with net.nats(db, server.url) as link:
                await link.synced()
                id = db.doc("notes").id
                db.delete("notes")
                db.doc("notes", id=id)["y"] = 2
                await link.synced()
            async with net.nats(late, server.url) as link:
                await link.synced()
                assert late.doc("notes") == {"x": 1, "y": 2}

    run(story)


def test_a_damaged_document_keeps_no_other_from_the_stream(server, tmp_path, caplog):
    async def story():
        path = tmp_path / "app.db"
        with ck.Database(path) as db:
            db.doc("bad")["x"] = db.doc("good")["x"] = 1
            bad = db.doc("bad").id
        sql(path, "UPDATE record SET data = zeroblob(9) WHERE kind != 5 AND object = (SELECT min(object) FROM record)")
        with ck.Database(path) as db, ck.Database(":memory:") as other:
            async with net.nats(db, server.url) as link:
                await link.synced()
                db.doc("good")["y"] = 2
                await link.synced()
            async with net.nats(other, server.url) as link:
                await link.synced()
                assert other.names() == {"good": "doc"} and other.doc("good") == {"x": 1, "y": 2}
        assert caplog.text.count(f"object {bad.hex()} cannot be opened") == 1

    run(story)


def test_callbacks_that_fail_end_no_line(server, caplog):
    """Told of what is written here, they are called when the link closes the change."""

    async def story():
        a, b = replicas(2)
        async with net.nats(a, server.url) as left, net.nats(b, server.url) as right:
            a.observe(lambda event: 1 / 0)
            for i in range(3):
                a["x"] = i
                await left.synced()
                await right.synced()
                assert b["x"] == i
            assert left.stats()["connections"] == 1

    run(story)
    assert "ZeroDivisionError" in caplog.text
