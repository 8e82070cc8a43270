"""What type checkers know of links."""

from typing import Any, assert_type

import crdtkv as ck
from crdtkv import net
from crdtkv.figures import Figures


async def story(doc: ck.Doc, db: ck.Database) -> None:
    async with net.serve(db, "127.0.0.1", 8765, tls=None, allow=[bytes(32)], limits=net.Limits(links=3)) as server:
        assert_type(server, net.Server)
        assert_type(server.port, int)
        assert_type(server.url, str)
        assert_type(server.stats(), Figures[Any])
    async with net.connect(doc, "ws://127.0.0.1:8765", token="secret", accept=lambda name, kind, id: True) as link:
        assert_type(link, net.Link)
        assert_type(await link.synced(), None)
        assert_type(link.peers, tuple[bytes, ...])
        assert_type(link.error, ck.Error | None)
        assert_type(link.presence, net.Presence)
        assert_type(link.presence.peers, dict[bytes, Any])
    net.connect(doc)  # type: ignore[call-arg]
    net.serve(ck.Store())  # type: ignore[arg-type]
