"""Service: what all servers have in common, whatever accepts the connections."""

from __future__ import annotations

import asyncio
from typing import Any

from crdtkv.figures import Figures
from crdtkv.net.conversation import Conversation
from crdtkv.net.directory import Accept, Quota, Target
from crdtkv.net.handshake import Gate
from crdtkv.net.hub import Hub, Wire
from crdtkv.net.limits import Limits, Meter
from crdtkv.net.namesakes import LoggedNamesakes
from crdtkv.net.presence import Presence

__all__ = ["Service"]

NEW_NAMES = 16  # a second that a service makes, for all links together, and at once those of so many links


class Service:
    """A hub, and who may link with it."""

    def __init__(self, target: Target, *, gate: Gate, accept: Accept | None, limits: Limits) -> None:
        self._hub = Hub(target, accept=accept, limits=limits)
        self._gate = gate
        self._links: set[asyncio.Task[Any]] = set()
        self._accepted = self._turned_away = 0
        self._namesakes = LoggedNamesakes()
        self._new_names = Meter(NEW_NAMES, NEW_NAMES * limits.new_names)

    @property
    def peers(self) -> tuple[bytes, ...]:
        """Public keys of those who are linked now, sorted."""
        return tuple(sorted({peer for c in self._hub.carriers if (peer := c.conversation.peer) is not None}))

    @property
    def presence(self) -> Presence:
        """Who else is here, and what they say of themselves; see `Presence`. Of a Database, those who share one too."""
        return self._hub.board(self._hub.home)

    def stats(self) -> Figures[Any]:
        """Figures: "links" now, "accepted" and "turned_away" so far, "ended" (why -> how many), and of all links
        together "frames_in" "frames_out" "bytes_in" "bytes_out", "refused" names, and "names" that are shared.

        >>> import crdtkv as ck
        >>> from crdtkv import net
        >>> net.asgi(ck.Doc()).stats()["links"]
        0
        """
        figures = {
            "links": len(self._hub.carriers),
            "accepted": self._accepted,
            "turned_away": self._turned_away,
            "ended": dict(self._hub.ended),
            "names": len(self._hub.directory.entries()),
            **self._hub.figures(),
        }
        return Figures(figures)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.link(self)

    def _start(self) -> None:
        self._hub.start()

    def _is_full(self) -> bool:
        full = len(self._links) >= self._hub.limits.links
        self._turned_away += full
        return full

    async def _serve(self, wire: Wire) -> None:
        """Run one link until it ends."""
        hub = self._hub
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        self._accepted += 1
        quota = Quota(hub.limits.new_names, self._new_names)
        try:
            conversation = Conversation(
                hub.directory,
                self._gate,
                is_client=False,
                limits=hub.limits,
                quota=quota,
                namesakes=self._namesakes,
            )
            await hub.carry(wire, conversation)
        finally:
            self._links.discard(task)

    async def _finish(self) -> None:
        """Ends all links."""
        for task in self._links:
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
