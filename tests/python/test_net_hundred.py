"""A hundred replicas at one server: everybody edits, everybody has it all, and a restart changes nothing."""

import asyncio
import contextlib

import pytest

pytest.importorskip("websockets")

from links.patience import until

import crdtkv as ck
from crdtkv import net

N = 100


@pytest.mark.slow
def test_a_hundred_replicas():
    async def story():
        first = ck.Doc()
        docs = [ck.Doc(id=first.id) for _ in range(N)]
        async with contextlib.AsyncExitStack() as stack:
            async with net.serve(first, port=0) as server:
                links = [await stack.enter_async_context(net.connect(doc, server.url)) for doc in docs]
                await asyncio.gather(*(link.synced() for link in links))
                assert server.stats()["links"] == N and len(server.peers) == N
                for i, (doc, link) in enumerate(zip(docs, links)):
                    doc[f"k{i}"] = i
                    link.presence.set(i)
                await until(lambda: all(len(doc) == N for doc in (first, *docs)))
                await until(lambda: all(len(link.presence.peers) == N - 1 for link in links))
                assert server.stats()["ended"] == {}
                port = server.port
            for i, doc in enumerate(docs):
                doc[f"offline{i}"] = i
            async with net.serve(first, port=port):
                await until(lambda: all(len(doc) == 2 * N for doc in (first, *docs)))
                await asyncio.gather(*(link.synced() for link in links))
        assert len({doc.root for doc in (first, *docs)}) == 1

    asyncio.run(story())
