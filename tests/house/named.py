"""What a value is called in the name of a test: the same in every process, and a line at most."""

from __future__ import annotations

import re

LONGEST = 60  # characters


def named(value: object) -> str:
    """Its repr, without the address of an object, and cut."""
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
