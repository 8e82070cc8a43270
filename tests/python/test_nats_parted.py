"""Half of the network is cut off: both sides go on, links tell what they can know, nothing is lost when it heals."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from links.patience import run, until
from links.proxy import Proxy
from links.replicas import replicas
from links.streams import client_of, needs_server

import crdtkv as ck
from crdtkv import net
from crdtkv.net.jetstream import line
from house.nats_server import NatsServer

pytestmark = needs_server
N, N_HERE = 6, 4  # replicas; those on the server's side


@pytest.fixture
def server(tmp_path):
    with NatsServer(tmp_path) as server:
        yield server


@asynccontextmanager
async def linked(server, relay, docs):
    """The last ones by a line that can be cut."""
    async with AsyncExitStack() as stack:
        urls = [server.url if i < N_HERE else relay.url("nats") for i in range(len(docs))]
        links = [await stack.enter_async_context(net.nats(doc, url)) for doc, url in zip(docs, urls)]
        await asyncio.gather(*(link.synced() for link in links))
        yield links


def write(docs, what):
    for i, doc in enumerate(docs):
        doc[f"{what} {i}"] = i


def all_hold(docs, n):
    return all(len(doc) == n for doc in docs) and len({doc.root for doc in docs}) == 1


@pytest.mark.parametrize("silently", [False, True], ids=["reset", "silent"])
@pytest.mark.parametrize("kind", [ck.Doc, ck.Datastore])
def test_both_sides_go_on_and_nothing_is_lost(server, kind, silently, monkeypatch):
    monkeypatch.setattr(line, "LOOK", 0.1)

    async def story():
        docs = replicas(N, kind)
        here, there = docs[:N_HERE], docs[N_HERE:]
        async with Proxy(server.port) as relay, linked(server, relay, docs) as links:
            write(docs, "before")
            await until(lambda: all_hold(docs, N))

            relay.part(silently=silently)
            write(docs, "parted")  # in silence nobody knows it yet
            await until(lambda: all_hold(here, N + N_HERE))
            cut_off = links[N_HERE:]
            await until(lambda: not any(link.connected for link in cut_off))
            await until(lambda: all(link.stats()["trouble"] for link in cut_off))
            assert all(link.connected and link.stats()["trouble"] is None for link in links[:N_HERE])
            write(docs, "known")
            await until(lambda: all_hold(here, N + 2 * N_HERE))
            assert all(len(doc) == N + 2 for doc in there)  # what everybody wrote before, and their own

            relay.heal()
            await until(lambda: all_hold(docs, 3 * N))
            assert docs[0] == {f"{what} {i}": i for what in ("before", "parted", "known") for i in range(N)}
            await until(lambda: all(link.connected and link.stats()["trouble"] is None for link in links))
            assert all(link.stats()["connections"] == 1 for link in links[:N_HERE])

    run(story, 90)


def test_a_short_silence_is_bridged_by_tcp_and_synced_does_not_return_in_it(server):
    async def story():
        docs = replicas(N)
        async with Proxy(server.port) as relay, linked(server, relay, docs) as links:
            relay.part(silently=True)
            write(docs, "parted")
            waiting = asyncio.create_task(links[-1].synced())
            await until(lambda: all_hold(docs[:N_HERE], N_HERE))
            await asyncio.sleep(1.0)
            assert links[-1].connected and not waiting.done()  # it cannot know, and does not say that all is well
            relay.heal()
            await waiting
            await until(lambda: all_hold(docs, N))
            assert all(link.stats()["connections"] == 1 for link in links)

    run(story)


def test_what_was_under_way_when_it_fell_silent_is_in_the_stream_once(server, monkeypatch):
    monkeypatch.setattr(line, "LOOK", 0.1)

    async def story():
        docs = replicas(N)
        async with Proxy(server.port) as relay, linked(server, relay, docs) as links, client_of(server) as client:
            relay.part(silently=True)
            docs[-1]["x"] = 1
            docs[-1].commit()
            await until(lambda: not links[-1].connected)
            relay.heal()  # the first connection delivers it now, and so does the second one
            await until(lambda: all_hold(docs, 1) and links[-1].stats()["published"] == 1)
            await links[0].synced()
            assert (await client.jetstream().stream_info("crdtkv")).state.messages == 1

    run(story)


@pytest.mark.slow
def test_a_silence_is_noticed_within_25_seconds(server):
    async def story():
        docs = replicas(N)
        async with Proxy(server.port) as relay, linked(server, relay, docs) as links:
            relay.part(silently=True)
            await until(lambda: not links[-1].connected and not links[-2].connected, 25)
            await until(lambda: links[-1].stats()["trouble"])
            assert "nothing came from the NATS server" in links[-1].stats()["trouble"]

    run(story, 60)


def test_who_has_nothing_to_say_is_not_taken_for_cut_off(server, monkeypatch):
    monkeypatch.setattr(line, "LOOK", 0.02)

    async def story():
        async with net.nats(ck.Doc(), server.url) as link:
            await link.synced()
            await asyncio.sleep(0.02 * 10 * line.SILENCE)
            assert link.connected and link.stats()["connections"] == 1

    run(story)
