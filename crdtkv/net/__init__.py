"""Links between processes, over asyncio: WebSocket (`crdtkv[ws]`) and NATS JetStream (`crdtkv[nats]`).

A target is a Doc, a Datastore or a Database. What a link needs is imported when it is made. docs/network.md is the
manual.

>>> import asyncio, crdtkv as ck
>>> from crdtkv import net
>>> async def main():
...     with ck.Database(":memory:") as office, ck.Database(":memory:") as laptop:
...         office.doc("notes")["title"] = "Picnic"
...         async with net.serve(office, "127.0.0.1", 0) as server, net.connect(laptop, server.url) as link:
...             await link.synced()
...             return laptop.doc("notes").to_py()
>>> asyncio.run(main())
{'title': 'Picnic'}
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from crdtkv.net.presence import Presence

if TYPE_CHECKING:
    from crdtkv.net.asgi_app import asgi
    from crdtkv.net.jetstream import nats
    from crdtkv.net.limits import Limits
    from crdtkv.net.websocket_client import Link, connect
    from crdtkv.net.websocket_server import Server, serve

__all__ = ["Limits", "Link", "Presence", "Server", "asgi", "connect", "nats", "serve"]

_ROOMS = {
    "Limits": ("limits", None),
    "Link": ("websocket_client", "ws"),
    "Server": ("websocket_server", "ws"),
    "asgi": ("asgi_app", None),
    "connect": ("websocket_client", "ws"),
    "nats": ("jetstream", "nats"),
    "serve": ("websocket_server", "ws"),
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, extra = _ROOMS[name]
    try:
        found = getattr(importlib.import_module(f"crdtkv.net.{room}"), name)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").startswith("crdtkv"):
            raise
        raise ImportError(f"crdtkv.net.{name} needs {error.name!r}: pip install 'crdtkv[{extra}]'") from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
