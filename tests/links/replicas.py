"""Replicas of one object."""

from __future__ import annotations

from typing import Any

import crdtkv as ck


def replicas(n: int, kind: Any = ck.Doc) -> list[Any]:
    """So many of them, each with a key of its own."""
    first = kind()
    return [first, *(kind(id=first.id) for _ in range(n - 1))]
