"""Text: characters that many can edit at once. All of it is in C."""

from __future__ import annotations

from collections.abc import Sequence

from crdtkv._core import Text

__all__ = ["Text"]

Sequence.register(Text)  # pyright: ignore[reportAttributeAccessIssue]
