"""Replicas whose every byte follows from numbers."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from crdtkv import Datastore, Doc, Identity

__all__ = ["Clock", "datastore", "replica", "seed_of"]

Clock = Callable[[], int]


def seed_of(*what: object) -> bytes:
    """32 bytes that follow from numbers and words, the same on every machine.

    >>> seed_of(1, "lane") == seed_of(1, "lane") != seed_of(2, "lane")
    True
    """
    return blake2b(repr(what).encode(), digest_size=32).digest()


def replica(document: int, i: int, clock: Clock = lambda: 0) -> Doc:
    """An empty replica: equal numbers give the same author and document, and what it writes has the same ids.

    Of two replicas with equal numbers only one may write: together they would look like one author who lies.

    >>> from crdtkv import testing
    >>> a, b = testing.replica(0, 0), testing.replica(0, 1)
    >>> a.id == b.id, a.identity == b.identity
    (True, False)
    """
    doc = Doc(Identity.from_seed(seed_of("author", i)), id=seed_of("document", document), clock=clock)
    doc._seed(seed_of("lanes", document, i))
    return doc


def datastore(number: int, i: int, clock: Clock = lambda: 0) -> Datastore:
    """The same, of a datastore.

    >>> from crdtkv import testing
    >>> testing.datastore(0, 0).id == testing.datastore(0, 1).id
    True
    """
    kv = Datastore(Identity.from_seed(seed_of("author", i)), id=seed_of("datastore", number), clock=clock)
    kv._seed(seed_of("lanes of a datastore", number, i))
    return kv
