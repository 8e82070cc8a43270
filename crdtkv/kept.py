"""Kept: what a database keeps by name, whatever kind it is of."""

from __future__ import annotations

from typing import TypeAlias

from crdtkv.catalogue import uid_of_peer
from crdtkv.datastore import Datastore
from crdtkv.doc import Doc
from crdtkv.store import Store

__all__ = ["KINDS", "Kept", "is_bound", "kind_of", "let_go", "uid_of"]

Kept: TypeAlias = Doc | Datastore | Store

KINDS: dict[str, type[Kept]] = {"doc": Doc, "datastore": Datastore, "store": Store}


def kind_of(of: type) -> str:
    for kind, known in KINDS.items():
        if issubclass(of, known):
            return kind
    raise TypeError(f"a database keeps Doc, Datastore and Store, not {of.__name__}")


def uid_of(kept: Kept) -> bytes:
    return uid_of_peer(kept.peer_id) if isinstance(kept, Store) else kept.id


def is_bound(kept: Kept) -> bool:
    return kept._file is not None if isinstance(kept, Datastore) else kept._is_bound


def let_go(kept: Kept) -> None:
    """The file has nothing to do with it any more; what was not committed is lost. Waits for a block of others."""
    if not isinstance(kept, Datastore):
        kept._unbind()
        return
    try:
        kept._close()
    except Exception:  # the index could not be written out: the record has it all
        kept._drop()
