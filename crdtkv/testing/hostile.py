"""HostilePeer: a session that lies, in one of the ways of HOSTILE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdtkv.identity import Identity
from crdtkv.report import Report
from crdtkv.testing.mouth import Mouth
from crdtkv.testing.ways import HOSTILE, LIFE, WAYS
from crdtkv.testing.wire import Buffer

if TYPE_CHECKING:
    from crdtkv.doc import Doc

__all__ = ["HOSTILE", "HostilePeer"]

TURN = 100  # messages in a row without hearing one: more than anybody has patience for


class HostilePeer:
    """A session that lies: put it at one end of a wire, and `doc.session()` of an honest replica at the other.

    `doc` is the document that it lies about, any replica of it; the peer works on a copy. `strategy` is one of HOSTILE,
    and what it does follows from it, `seed`, and what it hears. `identity` is who signs what it makes: all that an
    honest document gains from it is by that author.

    It falls silent after 100 messages without hearing one, until it hears one, and for good after it was asked 2,000
    times. It never raises, whatever it hears. `done`: it has nothing more to say, ever.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> doc["a"] = 1
    >>> session, peer = doc.session(), testing.HostilePeer(doc, "huge", seed=3)
    >>> try:
    ...     while not peer.done:
    ...         while message := session.send():
    ...             nothing = peer.receive(message)
    ...         if message := peer.send():
    ...             report = session.receive(message)
    ... except (ck.SyncError, ck.DecodeError):
    ...     print("found out")
    found out
    >>> doc == {"a": 1}, session.send(), session.done
    (True, None, False)
    """

    __slots__ = ("_left", "_mouth", "_story", "_turn", "strategy")

    def __init__(self, doc: Doc, strategy: str, seed: int = 0) -> None:
        if strategy not in WAYS:
            raise ValueError(f"strategy is one of {', '.join(HOSTILE)}, not {strategy!r}")
        self.strategy = strategy
        self._mouth = Mouth(doc, strategy, seed)
        self._story = WAYS[strategy](self._mouth)
        self._turn, self._left = TURN, LIFE

    def __repr__(self) -> str:
        return f"<HostilePeer {self.strategy}: asked {LIFE - self._left} times>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.hostile_peer(self)

    @property
    def identity(self) -> Identity:
        """Who signs its changes."""
        return self._mouth.identity

    def send(self) -> bytes | None:
        """The next lie; None when it wants to hear something first, or has nothing more to say."""
        if self._left == 0:
            return None
        self._left -= 1
        message = next(self._story, None) if self._turn else None
        self._turn -= message is not None
        return message

    def receive(self, data: Buffer) -> Report:
        """Listens, and takes nothing in: the report is empty."""
        self._turn = TURN
        self._mouth.hear(bytes(data))
        return self._mouth.nothing

    @property
    def done(self) -> bool:
        """Whether it has fallen silent for good."""
        return self._left == 0
