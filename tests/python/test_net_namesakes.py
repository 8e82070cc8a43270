"""Two objects of one name: whoever links them is told, at the link and at the server; names do no harm there."""

import asyncio
import contextlib
import logging
import warnings

import pytest

pytest.importorskip("websockets")

from links.patience import soon, until

import crdtkv as ck
from crdtkv import net
from crdtkv.net import namesakes
from crdtkv.net.directory import Entry
from crdtkv.net.namesakes import MOST, LoggedNamesakes, WarnedNamesakes, said

TOLD = "'shopping' is one document here and another one there"


@pytest.fixture
def two():
    """A document "shopping" in each of two databases, made separately."""
    with ck.Database(":memory:") as here, ck.Database(":memory:") as there:
        here.doc("shopping")["side"], there.doc("shopping")["side"] = "here", "there"
        yield here, there


def entry(name, fill=0, kind="doc"):
    return Entry(name, kind, bytes([fill] * 32))


@contextlib.asynccontextmanager
async def websocket(db):
    async with net.serve(db, port=0) as server:
        yield server.url


@contextlib.asynccontextmanager
async def under_uvicorn(db):
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(net.asgi(db), port=0, log_level="error", ws_max_size=1 << 21))
    running = asyncio.ensure_future(server._serve())  # serve() would take signals over
    try:
        await until(lambda: server.started)
        yield f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        await soon(running)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of uvicorn
@pytest.mark.parametrize("serving", [websocket, under_uvicorn])
def test_both_ends_are_told_once(two, caplog, serving):
    here, there = two

    async def story():
        async with serving(here) as url, net.connect(there, url) as link:
            with pytest.warns(RuntimeWarning) as caught:
                await soon(link.synced())  # soon() waits in a task of its own
                await link.synced()
            (warning,) = [found for found in caught if found.category is RuntimeWarning]
            ids = there.doc("shopping").id[:8].hex(), here.doc("shopping").id[:8].hex()
            assert str(warning.message).startswith(
                f"{TOLD} (id {ids[0]}... / {ids[1]}...): they are not synchronised; "
            )
            lines = [record for record in caplog.records if TOLD in record.getMessage()]
            assert [line.levelno for line in lines] == [logging.WARNING] and ids[1] in lines[0].getMessage()

    asyncio.run(story())
    assert there.doc("shopping").to_py() == {"side": "there"}


def test_the_warning_shows_the_line_that_waits(two):
    here, there = two

    async def story():
        async with net.serve(here, port=0) as server, net.connect(there, server.url) as link:
            with pytest.warns(RuntimeWarning, match=TOLD) as caught:
                await link.synced()
            assert caught[0].filename == __file__

    asyncio.run(story())


def test_where_warnings_are_errors_nothing_breaks_and_the_log_has_it(two, caplog):
    here, there = two

    async def story():
        async with net.serve(here, port=0) as server, net.connect(there, server.url) as link:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                await soon(link.synced())
            ids = f"(id {there.doc('shopping').id[:8].hex()}... / {here.doc('shopping').id[:8].hex()}...)"
            assert f"{TOLD} {ids}" in caplog.text  # as this end sees it, not the server
            there.doc("other")["x"] = 1
            await soon(link.synced())
            assert here.doc("other")["x"] == 1 and link.stats()["connects"] == 1

    asyncio.run(story())


def test_a_link_that_nobody_waits_for_warns_by_itself(two, monkeypatch):
    here, there = two
    monkeypatch.setattr(namesakes, "GRACE", 0.01)

    async def story():
        async with net.serve(here, port=0) as server, net.connect(there, server.url) as link:
            with pytest.warns(RuntimeWarning, match=TOLD):
                await until(lambda: link.stats()["conflicts"])
                await asyncio.sleep(0.2)

    asyncio.run(story())


def test_the_end_of_a_block_warns_of_what_nobody_was_told(two):
    here, there = two

    async def story():
        async with net.serve(here, port=0) as server:
            with pytest.warns(RuntimeWarning, match=TOLD):
                async with net.connect(there, server.url) as link:
                    await until(lambda: link.stats()["conflicts"])

    asyncio.run(story())


def test_a_link_that_comes_again_does_not_repeat_itself(two):
    here, there = two

    async def story():
        async with net.serve(here, port=0) as server:
            link = net.connect(there, server.url)
            async with link:
                with pytest.warns(RuntimeWarning, match=TOLD):
                    await soon(link.synced())
                for task in list(server._links):
                    task.cancel()
                await until(lambda: link.stats()["connects"] == 2)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    await soon(link.synced())
                assert [str(each.message) for each in caught if each.category is RuntimeWarning] == []

    asyncio.run(story())


def test_what_helps_does_help(two):
    here, there = two

    async def story():
        async with net.serve(here, port=0) as server:
            with pytest.warns(RuntimeWarning, match="delete one"):
                async with net.connect(there, server.url) as link:
                    await soon(link.synced())
            there.delete("shopping")
            async with net.connect(there, server.url) as link:
                await soon(link.synced())
            assert there.doc("shopping").to_py() == {"side": "here"}

    asyncio.run(story())


def test_names_from_outside_are_escaped_and_cut():
    text = said(entry("a\x1b[2J\n‮" + "x" * 10_000), entry("a\x1b[2J\n‮" + "x" * 10_000, 1))
    assert text.isprintable() and len(text) < 300 and text.startswith("'a\\x1b[2J\\n\\u202ex")
    assert said(entry("a"), entry("a", 1, "\x1b" * 999)).startswith("'a' is a document here and something else there")
    assert said(None, entry("a")).startswith("'a' is something else here and a document there")


def test_many_names_do_not_flood():
    many = WarnedNamesakes()
    for n in range(1000):
        many.meet(entry(str(n)), entry(str(n), 1))
    with pytest.warns(RuntimeWarning) as caught:
        many.warn()
    assert len(caught) == MOST + 1 and "conflicts" in str(caught[-1].message)


def test_a_log_has_so_many_lines_a_second(caplog):
    lines = LoggedNamesakes()
    for n in range(1000):
        lines.meet(entry(str(n)), entry(str(n), 1))
    assert 20 <= len(caplog.records) < 40
