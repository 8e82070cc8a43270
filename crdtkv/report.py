"""What became of foreign changes: Report, and a Refusal for each that was not taken."""

from __future__ import annotations

from typing import NamedTuple

from crdtkv._core import Error, Report
from crdtkv.brief import brief

__all__ = ["Refusal", "Report"]

LONGEST = 1000  # characters of a reason


class Refusal(NamedTuple):
    """A change that was not stored, and why.

    >>> import crdtkv as ck
    >>> ck.Refusal(None, "signature does not verify", ck.SignatureError).reason
    'signature does not verify'
    """

    id: bytes | None
    reason: str
    error: type[Error]

    def __repr__(self) -> str:
        name = self.id.hex()[:8] if self.id else "no id"
        return f"<Refusal {name}: {plain(self.reason)} ({self.error.__name__})>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.refusal(self)


def plain(reason: str) -> str:
    """A reason as it is, or as repr() says it if there is in it what cannot be seen, or very much."""
    return reason if reason.isprintable() and len(reason) <= LONGEST else brief(reason)
