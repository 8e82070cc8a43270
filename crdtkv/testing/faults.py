"""Faults: how often what goes wrong in a Network."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Self

__all__ = ["Faults"]

WILDEST = {  # how far a swarm goes; beyond, hardly anything arrives
    "drop": 0.4,
    "duplicate": 0.4,
    "reorder": 0.8,
    "corrupt": 0.2,
    "partition": 0.1,
    "crash": 0.1,
    "restore": 0.05,
    "clone": 0.05,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How likely each fault is: the first four for a message, the others for a step. All between 0 and 1.

    drop, duplicate     the message is lost, or arrives once more later
    reorder             another one overtakes it
    corrupt             bits flip, or its end is missing
    partition           the replicas fall into two halves that do not hear each other, or find together again
    crash               a replica loses what is not on its disk
    restore             a replica goes back to an old backup
    clone               the disk of a replica is copied, and the copy lives on beside it

    >>> from crdtkv import testing
    >>> testing.Faults(drop=0.5).drop
    0.5
    >>> testing.Faults(drop=2)
    Traceback (most recent call last):
    ValueError: drop is a probability, not 2
    """

    drop: float = 0.1
    duplicate: float = 0.1
    reorder: float = 0.2
    corrupt: float = 0.01
    partition: float = 0.03
    crash: float = 0.03
    restore: float = 0.01
    clone: float = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= (rate := getattr(self, field.name)) <= 1:
                raise ValueError(f"{field.name} is a probability, not {rate}")

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.faults(self)

    @classmethod
    def swarm(cls, rng: random.Random) -> Self:
        """Each fault is off in some runs, rare in others and frequent in few: together they reach more states.

        >>> import random
        >>> Faults.swarm(random.Random(1)) == Faults.swarm(random.Random(1))
        True
        """
        return cls(**{name: rate(rng, most) for name, most in WILDEST.items()})


def rate(rng: random.Random, most: float) -> float:
    """Off in a quarter of all runs; the others tend to be low."""
    on, share = rng.random() >= 0.25, rng.random()
    return round(most * share * share, 4) if on else 0.0
