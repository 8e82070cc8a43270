"""Links between processes, over asyncio: WebSocket (`crdtkv[ws]`) and NATS JetStream (`crdtkv[nats]`).

    async with net.serve(target, "127.0.0.1", 8765) as server: ...
    async with net.connect(target, "ws://127.0.0.1:8765") as link: await link.synced()

A target is a Doc, a Datastore or a Database. What a link needs is imported when it is made.
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
