"""Links over real sockets: live, both ways, through restarts; with tokens, keys and TLS."""

import asyncio
import contextlib
import itertools
import logging
import os
import random
import socket
import ssl
import subprocess
import sys
import warnings

import pytest

pytest.importorskip("websockets")

import websockets
from links.patience import soon, until
from links.proxy import Proxy
from links.replicas import replicas

import crdtkv as ck
from crdtkv import net
from crdtkv.net.websocket_client import LONGEST, waits


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_two_replicas_stay_in_step(kind):
    async def story():
        a, b = replicas(2, kind)
        a["x"] = 1
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            await soon(link.synced())
            assert b["x"] == 1
            assert link.peers == (a.identity.public_key,) and server.peers == (b.identity.public_key,)
            b["y"] = 2  # nobody says anything: it travels by itself
            await until(lambda: "y" in a)
            a["z"] = 3
            await until(lambda: "z" in b)
            stats = link.stats()
            assert stats["connected"] and stats["connects"] == 1 and stats["names"] == 1 and stats["conflicts"] == {}
            assert server.stats()["links"] == 1
        assert link.peers == () and not link.connected
        a["w"] = 4
        assert "w" not in b  # on its own again
        return server

    server = asyncio.run(story())
    assert server.stats()["links"] == 0 and server.url.endswith(str(server.port)) and server.port > 0


def test_synced_is_about_what_was_edited_a_moment_ago():
    async def story():
        with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
            async with net.serve(here, port=0) as server, net.connect(there, server.url) as link:
                for i in range(20):
                    here.doc("a")[f"k{i}"] = i
                    there.doc("b" if i else "c")[f"k{i}"] = i
                    here.datastore(f"new {i}")["x"] = i
                    await soon(link.synced())
                    assert there.doc("a")[f"k{i}"] == here.doc("b" if i else "c")[f"k{i}"] == i
                    assert there.datastore(f"new {i}")["x"] == i

    asyncio.run(story())


def test_one_edits_and_all_others_see_it():
    async def story():
        first, *others = replicas(6)
        async with net.serve(first, port=0) as server:
            links = [net.connect(doc, server.url) for doc in others]
            for link in links:
                await link.__aenter__()
            for link in links:
                await soon(link.synced())
            others[0]["text"] = ck.Text("hello")
            await until(lambda: all("text" in doc for doc in (first, *others)))
            for i, doc in enumerate(others):
                doc["text"].insert(0, str(i))
            for _ in range(2):
                for link in links:
                    await soon(link.synced())
            assert len({str(doc["text"]) for doc in (first, *others)}) == 1 and len(first["text"]) == 10
            for link in links:
                await link.__aexit__(None, None, None)

    asyncio.run(story())


def test_it_enters_at_once_though_nobody_listens_and_waits():
    async def story():
        a, b = replicas(2)
        port = free_port()
        async with net.connect(b, f"ws://127.0.0.1:{port}") as link:
            waiting = asyncio.ensure_future(link.synced())
            await until(lambda: link.stats()["attempts"] >= 2)
            assert not waiting.done() and not link.connected and link.peers == ()
            assert "refused" in link.stats()["trouble"] or "Connect" in link.stats()["trouble"]
            b["offline"] = True
            async with net.serve(a, port=port):
                await soon(waiting)
                assert a["offline"]

    asyncio.run(story())


def test_a_server_that_comes_back_is_found_again():
    async def story():
        a, b = replicas(2)
        port = free_port()
        async with net.connect(b, f"ws://127.0.0.1:{port}") as link:
            for i in range(3):
                async with net.serve(a, port=port):
                    await soon(link.synced())
                    b[f"while connected {i}"] = i
                    await soon(link.synced())
                a[f"server alone {i}"] = b[f"client alone {i}"] = i
            async with net.serve(a, port=port):
                await soon(link.synced())
            assert a == b and len(a) == 9 and link.stats()["connects"] == 4

    asyncio.run(story())


def test_synced_is_cancelled_like_anything_else():
    async def story():
        async with net.connect(ck.Doc(), f"ws://127.0.0.1:{free_port()}") as link:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(link.synced(), 0.05)
        with pytest.raises(ck.SyncError):
            await link.synced()

    asyncio.run(story())


def test_who_is_cancelled_in_the_moment_the_connection_is_lost_is_cancelled():
    async def story():
        doc, other = replicas(2)
        async with net.serve(doc, port=0) as server, net.connect(other, server.url) as link:
            await soon(link.synced())
            waits = asyncio.ensure_future(link.synced())
            await asyncio.sleep(0)
            waits.cancel()
            link._conversation.end()
            await asyncio.wait([waits], timeout=2)
            assert waits.cancelled()

    asyncio.run(story())


def test_a_server_ends_at_once_though_somebody_at_its_door_says_nothing():
    async def story():
        async with net.serve(ck.Doc(), port=0) as server:
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
            await until(lambda: server._at_door == 3)
            began = asyncio.get_running_loop().time()
        took = asyncio.get_running_loop().time() - began
        for _, writer in silent:
            writer.close()
        return took

    assert asyncio.run(story()) < 5


def test_synced_returns_though_nobody_ever_stops_editing():
    async def story():
        a, b = replicas(2)

        async def edit(doc, name):
            for n in itertools.count():
                doc[f"{name}{n % 50}"] = n
                await asyncio.sleep(0.001)

        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            editors = [asyncio.ensure_future(edit(a, "a")), asyncio.ensure_future(edit(b, "b"))]
            for _ in range(20):
                await asyncio.sleep(0.01)
                had = a.get("a0", -1), b.get("b0", -1)
                await soon(link.synced())
                assert b.get("a0", -1) >= had[0] and a.get("b0", -1) >= had[1]
            for editor in editors:
                editor.cancel()

    asyncio.run(story())


def test_synced_as_often_as_one_likes():
    async def story():
        a, b = replicas(2)
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            await asyncio.gather(*(soon(link.synced()) for _ in range(300)))
            for i in range(300):
                b["i"] = i
                await soon(link.synced())
                assert a["i"] == i
            assert link.stats()["connects"] == 1

    asyncio.run(story())


def test_from_hand_to_hand():
    """One who is connected serves others."""

    async def story():
        a, b, c = replicas(3)
        async with (
            net.serve(a, port=0) as first,
            net.connect(b, first.url),
            net.serve(b, port=0) as second,
            net.connect(c, second.url),
        ):
            a["x"], c["y"] = 1, 2
            await until(lambda: a == b == c == {"x": 1, "y": 2})

    asyncio.run(story())


def test_nothing_is_left_behind():
    async def story():
        a, b = replicas(2)
        for i in range(10):
            async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
                if i % 2:
                    await soon(link.synced())
            async with net.connect(b, server.url):
                pass
        await asyncio.sleep(0.05)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(story()) == set()


def test_nothing_is_left_behind_by_who_is_cancelled_at_any_moment():
    """Also not while it says goodbye: a link that nobody holds any more would stay, and come again for ever."""

    async def story():
        doc = ck.Doc()

        async def stay(server):
            async with net.connect(ck.Doc(id=doc.id), server.url) as link:
                await link.synced()
                link.presence.set("here")

        async with net.serve(doc, port=0) as server:
            usual = len(asyncio.all_tasks())
            for n in range(60):
                staying = asyncio.ensure_future(stay(server))
                for _ in range(n * 3):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0003 * n)
                staying.cancel()
                await asyncio.gather(staying, return_exceptions=True)
            await until(lambda: server.stats()["links"] == 0 and server._at_door == 0)
            await until(lambda: len(asyncio.all_tasks()) <= usual)

        async def serve(entered):
            async with net.serve(doc, port=0) as server, net.connect(ck.Doc(id=doc.id), server.url) as link:
                await link.synced()
                entered.set()
                await asyncio.sleep(3600)

        for n in range(20):
            entered = asyncio.Event()
            serving = asyncio.ensure_future(serve(entered))
            await soon(entered.wait())
            serving.cancel()
            for _ in range(n):
                await asyncio.sleep(0)
            serving.cancel()  # once more, while it is leaving
            await asyncio.gather(serving, return_exceptions=True)
        await until(lambda: len(asyncio.all_tasks()) <= 1)

    asyncio.run(story())


def test_what_was_edited_last_goes_out_before_the_end():
    async def story():
        a, b = replicas(2)
        async with net.serve(a, port=0) as server:
            async with net.connect(b, server.url) as link:
                await soon(link.synced())
                b["last"] = "words"
            assert a["last"] == "words"

    asyncio.run(story())


def test_databases_with_conflicts_and_an_accept_hook(tmp_path):
    async def story():
        with ck.Database(tmp_path / "a.db") as here, ck.Database(tmp_path / "b.db") as there:
            here.doc("notes")["side"] = "here"
            there.doc("notes")["side"] = "there"
            here.datastore("kv")["k"] = 1
            here.store("settings")["volume"] = 7
            here.doc("secret")["x"] = 1
            async with (
                net.serve(here, port=0) as server,
                net.connect(there, server.url, accept=lambda name, kind, id: name != "secret") as link,
            ):
                with pytest.warns(RuntimeWarning, match="'notes' is one document here and another one there"):
                    await soon(link.synced())
                assert link.stats()["conflicts"] == {"notes": (there.doc("notes").id, here.doc("notes").id)}
                assert link.stats()["refused"] == 1
                assert there.names() == {"kv": "datastore", "notes": "doc"} and there.datastore("kv")["k"] == 1
                assert there.doc("notes")["side"] == "there"
                there.doc("plans")["new"] = True
                await until(lambda: "plans" in here.names() and here.doc("plans").get("new"))
            assert here.check() == there.check() == []

    asyncio.run(story())


@pytest.mark.parametrize("who", ["server", "client"])
def test_a_conflict_is_over_with_the_next_connection_when_one_is_deleted(who):
    async def story():
        with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
            here.doc("notes")["x"], there.doc("notes")["x"] = "here", "there"
            async with net.serve(here, port=0) as server:
                with pytest.warns(RuntimeWarning, match="'notes' is one document here and another one there"):
                    async with net.connect(there, server.url) as link:
                        await soon(link.synced())
                (here if who == "server" else there).delete("notes")
                async with net.connect(there, server.url) as link:
                    await soon(link.synced())
                    assert link.stats()["conflicts"] == {} and link.stats()["names"] == 1
            assert here.doc("notes") == there.doc("notes") == {"x": "there" if who == "server" else "here"}

    asyncio.run(story())


def test_a_name_that_was_deleted_comes_back_alive():
    async def story():
        with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
            here.doc("notes")["x"] = 1
            async with net.serve(here, port=0) as server:
                async with net.connect(there, server.url) as link:
                    await soon(link.synced())
                await until(lambda: server.stats()["links"] == 0)  # nobody looks
                here.delete("notes")
                async with net.connect(there, server.url) as link:
                    await soon(link.synced())
                    await asyncio.sleep(0.2)  # it was looked at, some times
                    here.doc("notes")["y"] = 2
                    await until(lambda: there.doc("notes") == {"x": 1, "y": 2})

    asyncio.run(story())


def test_names_that_were_not_taken_over_are_counted():
    async def story():
        few = net.Limits(new_names=2)
        with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
            for n in range(5):
                here.doc(f"here {n}")
                there.doc(f"there {n}")
            here.doc("ours"), there.doc("ours")
            async with net.serve(here, port=0, limits=few) as server, net.connect(there, server.url) as link:
                await soon(link.synced())
                stats = link.stats()
                assert (stats["names"], stats["unshared"], stats["refused"], len(stats["conflicts"])) == (7, 3, 0, 1)
            async with net.serve(there, port=0) as server, net.connect(here, server.url, limits=few) as link:
                await soon(link.synced())
                stats = link.stats()
                assert (stats["names"], stats["unshared"], stats["refused"], len(stats["conflicts"])) == (9, 0, 1, 1)
        assert link.stats()["unshared"] == 0

    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        asyncio.run(story())


def test_names_from_elsewhere_are_no_paths(tmp_path):
    """What others call their documents names rows of one file, and nothing on the disk."""
    names = ["../out", str(tmp_path / "absolute"), "a/../../b", "\0", "a.db", "a.db.key", "-rf", "~", "C:\\x", "."]
    home = tmp_path / "home"
    home.mkdir()

    async def story():
        with ck.Database(":memory:") as there, ck.Database(home / "a.db") as here:
            for name in names:
                there.doc(name)["x"] = 1
            async with net.serve(there, port=0) as server, net.connect(here, server.url) as link:
                await soon(link.synced())
                assert sorted(here.names()) == sorted(names)
                assert all(here.doc(name) == {"x": 1} for name in names)

    asyncio.run(story())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.db", "a.db.key", "home"]


def test_presence():
    async def story():
        doc, a, b = replicas(3)
        async with net.serve(doc, port=0) as server, net.connect(a, server.url) as ada:
            ada.presence.set({"name": "ada"})  # before anybody can hear it
            await soon(ada.synced())
            async with net.connect(b, server.url) as ben:
                await until(lambda: ben.presence.peers == {a.identity.public_key: {"name": "ada"}})
                ben.presence.set({"name": "ben"})
                server.presence.set("the server")
                await until(lambda: len(ada.presence.peers) == len(server.presence.peers) == 2)
                for i in range(50):
                    ada.presence.set({"name": "ada", "cursor": i})
                await until(lambda: ben.presence.peers[a.identity.public_key].get("cursor") == 49)
                with pytest.raises(TypeError):
                    ada.presence.set(b"bytes")
                with pytest.raises(ck.LimitError):
                    ada.presence.set("x" * 5000)
            await until(lambda: list(ada.presence.peers.values()) == ["the server"])  # who leaves says so
        assert doc.changes() == [] and a.changes() == []  # nothing was stored

    asyncio.run(story())


def test_presence_is_there_when_synced_returns():
    async def story():
        doc, a, b = replicas(3)
        async with (
            net.serve(doc, port=0) as server,
            net.connect(a, server.url) as ada,
            net.connect(b, server.url) as ben,
        ):
            for i in range(20):
                ada.presence.set(i)
                server.presence.set(-i)
                await soon(ada.synced())
                await soon(ben.synced())
                assert ben.presence.peers == {a.identity.public_key: i, doc.identity.public_key: -i}

    asyncio.run(story())


def test_presence_between_databases():
    async def story():
        with ck.Database(":memory:") as x, ck.Database(":memory:") as y, ck.Database(":memory:") as z:
            async with (
                net.serve(x, port=0) as server,
                net.connect(y, server.url) as ada,
                net.connect(z, server.url) as ben,
            ):
                ada.presence.set(1)
                await until(lambda: ben.presence.peers == server.presence.peers == {y.identity.public_key: 1})

    asyncio.run(story())


def test_who_may_come():
    async def story():
        a, b, c = replicas(3)
        async with net.serve(a, port=0, allow=[b.identity.public_key], token="secret") as server:
            async with net.connect(b, server.url, token="secret", allow=[a.identity.public_key]) as link:
                await soon(link.synced())
            for doc, how in (
                (c, {"token": "secret"}),
                (b, {"token": "wrong"}),
                (b, {}),
                (b, {"token": "secret", "allow": []}),
            ):
                async with net.connect(doc, server.url, **how) as link:
                    with pytest.raises(ck.UnauthorizedError):
                        await soon(link.synced())
                    assert isinstance(link.error, ck.UnauthorizedError) and link.peers == ()
                    attempts = link.stats()["attempts"]
                    await asyncio.sleep(0.2)
                    assert link.stats()["attempts"] == attempts  # it does not try again what cannot work
        assert server.stats()["ended"]["not_allowed"] >= 3

    asyncio.run(story())


def test_two_different_documents_are_no_link():
    async def story():
        a, b = ck.Doc(), ck.Doc()
        a["x"], b["y"] = 1, 2
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            told = []
            for _ in range(3):
                with pytest.raises(ck.SyncError, match=r"here it is the doc .*: both ends .* fork\(\)") as caught:
                    await soon(link.synced())
                told.append(len(caught.traceback))
            assert len(set(told)) == 1  # who asks again and again leaves nothing behind
        assert a.to_py() == {"x": 1} and b.to_py() == {"y": 2}

    asyncio.run(story())


def test_over_tls(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    where = ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    made = subprocess.run([*command.split(), *where], capture_output=True)
    if made.returncode:
        pytest.skip("no openssl")
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(certificate, key)
    there = ssl.create_default_context(cafile=str(certificate))

    async def story():
        a, b = replicas(2)
        a["x"] = 1
        async with net.serve(a, "localhost", 0, tls=here) as server:
            assert server.url == f"wss://localhost:{server.port}"
            async with net.connect(b, server.url, tls=there) as link:
                await soon(link.synced())
            assert b["x"] == 1
            async with net.connect(b, server.url, tls=ssl.create_default_context()) as link:
                await until(lambda: link.stats()["attempts"] >= 2)  # nobody it trusts
                assert not link.connected

    asyncio.run(story())


def test_edits_of_another_thread_and_a_long_block(tmp_path):
    async def story():
        a, b = replicas(2)
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            await soon(link.synced())

            def work():
                for i in range(200):
                    with a.change():
                        a[f"k{i % 10}"] = i

            await asyncio.to_thread(work)
            await until(lambda: b.get("k9") == 199)
            with a.change():
                a["half"] = True
                b["meanwhile"] = 1
                await asyncio.sleep(0.05)  # not a good idea, and does no harm
                a["whole"] = True
            await until(lambda: b.get("whole") and a.get("meanwhile"))

    asyncio.run(story())


def test_callbacks_that_fail_end_no_link(caplog):
    async def story():
        a, b = replicas(2)
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            await soon(link.synced())
            b.observe(lambda event: 1 / 0)
            a["x"] = 1
            await until(lambda: "x" in b)
            b["y"] = 1
            await until(lambda: "y" in a)
            assert link.stats()["connects"] == 1

    with caplog.at_level(logging.ERROR, "crdtkv.net"):
        asyncio.run(story())
    assert "ZeroDivisionError" in caplog.text


def test_a_database_that_is_closed_ends_its_links():
    async def story():
        db, other = ck.Database(":memory:"), ck.Database(":memory:")
        db.doc("notes")["x"] = 1
        async with net.serve(db, port=0) as server, net.connect(other, server.url) as link:
            await soon(link.synced())
            other.close()
            await until(lambda: link.error is not None)
            with pytest.raises(ck.StaleHandleError):
                await link.synced()
            await until(lambda: server.stats()["links"] == 0)
        db.close()

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["doc", "datastore"])
def test_an_object_whose_database_is_closed_ends_its_links(kind):
    async def story():
        db = ck.Database(":memory:")
        kept = getattr(db, kind)("notes")
        kept["x"] = 1
        others = [type(kept)(id=kept.id) for _ in range(2)]
        async with (
            net.serve(kept, port=0) as server,
            net.serve(others[0], port=0) as second,
            net.connect(others[1], server.url) as link,
            net.connect(kept, second.url) as own,
        ):
            await soon(link.synced())
            await soon(own.synced())
            db.close()
            await until(lambda: own.error is not None)
            with pytest.raises(ck.StaleHandleError):
                await own.synced()
            await until(lambda: server.stats()["ended"].get("going_away"))
            assert link.error is None  # it waits for a server that can
        with pytest.raises(ck.StaleHandleError):
            net.serve(kept)
        with pytest.raises(ck.StaleHandleError):
            net.connect(kept, server.url)

    asyncio.run(story())


def test_all_it_says_of_itself():
    doc = ck.Doc()
    server, link = net.serve(doc, "::1", 1234), net.connect(doc, "ws://localhost:1")
    assert (server.port, server.url) == (1234, "ws://[::1]:1234")
    assert net.serve(doc, "0.0.0.0", 99).url == "ws://127.0.0.1:99"
    assert repr(link) == "<Link ws://localhost:1: not connected>" and "0 links" in repr(server)
    for thing in (server, link, link.presence):
        assert type(thing).__name__ in thing._repr_html_()
    secret = net.connect(doc, "wss://ada:secret@localhost/there?key=secret")
    assert repr(secret) == "<Link wss://localhost:443: not connected>" and "secret" in secret.url


def test_synced_goes_on_with_the_next_connection_when_one_breaks_a_rule():
    """Between the end of a conversation and that of its connection nobody may begin to wait for the old one."""

    async def story(nth):
        a, b = replicas(2)
        a["x"] = b["y"] = 1

        async def twice(near, far, counter):
            async for message in near:
                counter.append(message)
                for _ in range(2 if len(counter) == nth else 1):
                    await far.send(message)

        async def carry(near):
            async with websockets.connect(server.url) as far:
                ways = [asyncio.ensure_future(twice(*way, messages)) for way in ((near, far), (far, near))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

        messages, port = [], free_port()
        async with (
            net.serve(a, port=0) as server,
            websockets.serve(carry, "127.0.0.1", port),
            net.connect(b, f"ws://127.0.0.1:{port}") as link,
        ):
            await soon(link.synced())
            assert a == b == {"x": 1, "y": 1}
            return link.stats()["connects"]

    assert max(asyncio.run(story(nth)) for nth in range(3, 9)) == 2


def test_a_dag_that_was_purged_comes_back_when_it_is_admitted():
    async def story():
        a, b = replicas(2, ck.Datastore)
        a["x"] = 1
        a.put("y", 1, dag="side")
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            await soon(link.synced())
            b.purge("side")
            await soon(link.synced())
            assert dict(b) == {"x": 1}
            b.admit("side")
            b["z"] = 1
            await until(lambda: a.root == b.root)
            await soon(link.synced())
            assert dict(a) == dict(b) == {"x": 1, "y": 1, "z": 1}

    asyncio.run(story())


@pytest.mark.parametrize("n_changes", [1, 2])
@pytest.mark.parametrize("who", ["client", "server", "server in a file"])
@pytest.mark.parametrize("pause", [None, 0.0, 0.1])
def test_synced_brings_back_what_was_purged_and_admitted(tmp_path, who, pause, n_changes):
    """Whether it was told of the purge before, or hears of both at once; whoever purged."""

    async def story():
        a, b = replicas(2, ck.Datastore)
        if who == "server in a file":
            stack.enter_context(db := ck.Database(tmp_path / "app.db"))
            a = db.add("kv", a)
        a["x"] = 1
        for n in range(n_changes):
            a.put("y", n, dag="side")
            a.commit()
        purger = b if who == "client" else a
        async with net.serve(a, port=0) as server, net.connect(b, server.url) as link:
            await soon(link.synced())
            assert a.root == b.root
            purger.purge("side")
            if pause is not None:
                await soon(link.synced())
                await asyncio.sleep(pause)
                assert "y" not in purger
            purger.admit("side")
            await soon(link.synced())
            assert a.root == b.root and dict(a) == dict(b) == {"x": 1, "y": n_changes - 1}
            a.put("y", "later", dag="side")
            await soon(link.synced())
            assert b["y"] == "later"

    with contextlib.ExitStack() as stack:
        asyncio.run(story())


@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_a_mirror_takes_in_nothing_for_good(tmp_path, kind):
    """The recipe of docs/network.md: a copy in memory, which the next one replaces."""

    async def story():
        with ck.Database(tmp_path / "app.db") as writer:
            there = writer.add("it", kind())
            there["x"] = 1
            there.commit()
            with ck.Database(tmp_path / "app.db", read_only=True) as db:
                kept = db.doc("it") if kind is ck.Doc else db.datastore("it")
                copy = kind.load(kept.save(), db.identity)
                ben = kind(id=kept.id)
                ben["y"] = 2
                async with net.serve(copy, port=0) as server, net.connect(ben, server.url) as link:
                    await soon(link.synced())
                assert ben == copy == {"x": 1, "y": 2} and kept == there == {"x": 1}

    asyncio.run(story())


def test_what_is_open_for_reading_only_is_not_linked(tmp_path):
    with ck.Database(tmp_path / "app.db") as db:
        db.doc("notes")["x"] = 1
    with ck.Database(tmp_path / "app.db", read_only=True) as db:
        for target in (db, db.doc("notes")):
            for make in (net.serve, net.asgi, lambda it: net.connect(it, "ws://127.0.0.1:9")):
                with pytest.raises(ck.StoreError, match="reading only"):
                    make(target)


def test_what_people_write_wrongly():
    doc = ck.Doc()
    with pytest.raises(TypeError, match="url"):
        net.connect(doc, 5)
    for url in ("http://x", "ws://", "localhost:80", "", "ws://no body:80", "ws://x\n:80"):
        with pytest.raises(ValueError, match="ws://"):
            net.connect(doc, url)
    with pytest.raises(ValueError, match="wss"):
        net.connect(doc, "ws://x", tls=ssl.create_default_context())
    with pytest.raises(TypeError):
        net.serve(doc, tls=True)
    with pytest.raises(TypeError):
        net.serve(ck.Store())
    for port in ("8765", 1.5, None, True):
        with pytest.raises(TypeError, match="port"):
            net.serve(doc, port=port)
    for port in (-1, 65536):
        with pytest.raises(ValueError, match="port"):
            net.serve(doc, port=port)

    async def twice():
        async with net.serve(doc, port=0) as server:
            with pytest.raises(RuntimeError):
                await server.__aenter__()
            with pytest.raises(OSError):
                async with net.serve(doc, port=server.port):
                    pass
            async with net.connect(ck.Doc(id=doc.id), server.url) as link:
                with pytest.raises(RuntimeError):
                    await link.__aenter__()

    asyncio.run(twice())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "", None, "::1", "::"])
def test_the_url_of_a_server_leads_to_it(host):
    """Who listens everywhere on port 0 has one port for IPv4 and another one for IPv6."""

    async def story():
        a, b = replicas(2)
        a["x"] = 1
        async with net.serve(a, host, 0) as server, net.connect(b, server.url) as link:
            await soon(link.synced())
            return b.to_py()

    if host and ":" in host and not has_ipv6():
        pytest.skip("there is no IPv6 here")
    assert asyncio.run(story()) == {"x": 1}


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as there:
            there.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_attempts_are_farther_and_farther_apart_and_never_together():
    pauses = [list(zip(waits(random.Random(seed)), range(40))) for seed in range(50)]
    assert all(run[0][0] == 0 for run in pauses)
    means = [sum(run[i][0] for run in pauses) / 50 for i in range(40)]
    assert means[1] < 0.1 < means[6] < means[9] and max(map(max, pauses))[0] <= LONGEST
    assert len({run[20][0] for run in pauses}) == 50


def test_lines_that_are_cut_and_slow():
    async def story():
        a, b = replicas(2)
        async with net.serve(a, port=0) as server, Proxy(server.port) as line, net.connect(b, line.url("ws")) as link:
            line.delay, line.chunk = 0.001, 200
            for i in range(8):
                await until(lambda: link.connected)
                b[f"b{i}"] = "x" * 2000
                a[f"a{i}"] = "y" * 2000
                await asyncio.sleep(0.01 * i)
                line.cut()
            await soon(link.synced())
            assert a == b and len(a) == 16 and link.stats()["connects"] > 1

    asyncio.run(story())


def test_lines_that_damage_what_they_carry(caplog):
    async def story():
        with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
            for i in range(10):
                here.doc(f"n{i}")["text"] = "x" * 3000
            async with net.serve(here, port=0) as server, Proxy(server.port) as line:
                line.flips = 20_000
                async with net.connect(there, line.url("ws")) as link:
                    for _ in range(4):
                        await asyncio.sleep(0.2)
                        there.datastore("kv")[os.urandom(4)] = os.urandom(3000)
                    line.flips = 0
                    await soon(link.synced())
                    assert line.n_flipped > 0
            assert here.names() == there.names() and len(here.names()) == 11
            assert all(here.doc(f"n{i}") == there.doc(f"n{i}") for i in range(10))
            assert dict(here.datastore("kv")) == dict(there.datastore("kv"))

    asyncio.run(story())


SERVER = """
import asyncio, sys, crdtkv as ck
from crdtkv import net
async def main(path, port):
    with ck.Database(path, durability="normal") as db:
        async with net.serve(db, port=port) as server:
            print(server.port, flush=True)
            await asyncio.Event().wait()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_a_server_process_that_is_killed_loses_nothing(tmp_path):
    running = []

    def start(port):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, tmp_path / "s.db", str(port)], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return int(process.stdout.readline())

    def kill():
        running[-1].kill()
        running.pop().communicate()

    async def story():
        port = start(0)
        url = f"ws://127.0.0.1:{port}"
        with ck.Database(":memory:") as a, ck.Database(":memory:") as b:
            kv = a.datastore("kv")
            async with net.connect(a, url) as one, net.connect(b, url) as two:
                await soon(one.synced())
                n = 0
                for _ in range(2):
                    for _ in range(50):
                        kv[f"k{n}"] = n
                        n += 1
                        await asyncio.sleep(0.001)
                    kill()
                    kv[f"k{n}"] = n
                    n += 1
                    start(port)
                await soon(one.synced())
                await soon(two.synced())
                assert dict(b.datastore("kv")) == {f"k{i}": i for i in range(n)}
            kill()
            with ck.Database(tmp_path / "s.db") as server:
                assert server.check() == [] and len(server.datastore("kv")) == n

    try:
        asyncio.run(story())
    finally:
        if running:
            kill()


def test_the_package_does_not_import_what_only_links_need():
    code = (
        "import sys, crdtkv, crdtkv.net; assert not {'websockets', 'asyncio', 'nats'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_missing_is_named():
    code = (
        "import sys; sys.modules['websockets'] = None\n"
        "from crdtkv import net\n"
        "try: net.serve\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "pip install 'crdtkv[ws]'" in said and said.count("\n") == 1
    assert not hasattr(net, "nothing") and set(net.__all__) <= set(dir(net))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
