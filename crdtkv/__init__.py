"""crdtkv: local-first documents whose replicas need not trust each other.

>>> import crdtkv as ck
>>> ada, ben = ck.Identity.generate(), ck.Identity.generate()
>>> doc = ck.Doc(ada)
>>> doc["body"] = ck.Text("hello")
>>> other = doc.fork(ben)                       # anywhere, offline
>>> other["body"] += " world"
>>> doc["body"].insert(0, "oh, ")
>>> bool(doc.apply(other.export(doc.heads)))    # bytes, over anything
True
>>> str(doc["body"])
'oh, hello world'
"""

from typing import TYPE_CHECKING

from crdtkv._core import Batch, Change, Cursor, DatastoreCounter
from crdtkv.counter import Counter
from crdtkv.crowd import Crowd
from crdtkv.database import Database, Names
from crdtkv.datastore import Counters, Datastore
from crdtkv.doc import Doc
from crdtkv.entry import Conflicts, Entry, History
from crdtkv.equivocation import Equivocation, EquivocationList, verify_equivocation
from crdtkv.errors import (
    ClockDriftError,
    DecodeError,
    Error,
    ForkError,
    LimitError,
    SignatureError,
    StaleHandleError,
    StoreError,
    SyncError,
    UnauthorizedError,
)
from crdtkv.event import Event, KeyEvent, Subscription
from crdtkv.figures import Blame, ByAuthor, Stats
from crdtkv.graph import Graph
from crdtkv.identity import Identity
from crdtkv.list import List
from crdtkv.map import Map
from crdtkv.patch import MISSING, Patch, PatchList
from crdtkv.replica import ChangeList
from crdtkv.report import Refusal, Report
from crdtkv.session import Session, StoreSession, SyncReport, sync
from crdtkv.set import Set
from crdtkv.store import Entries, Store, StoreConflicts, StoreEntry, Transaction
from crdtkv.text import Text
from crdtkv.timeline import Timeline
from crdtkv.undo import UndoStack
from crdtkv.view import View

if TYPE_CHECKING:
    from crdtkv import net as net
    from crdtkv import testing as testing
else:

    def __getattr__(name):
        """ck.net and ck.testing: rooms of their own, that are opened when somebody wants in."""
        if name in ("net", "testing"):
            from importlib import import_module

            return import_module(f"crdtkv.{name}")
        raise AttributeError(f"module 'crdtkv' has no attribute {name!r}")


__all__ = [
    "MISSING",
    "Batch",
    "Blame",
    "ByAuthor",
    "Change",
    "ChangeList",
    "ClockDriftError",
    "Conflicts",
    "Counter",
    "Counters",
    "Crowd",
    "Cursor",
    "Database",
    "Datastore",
    "DatastoreCounter",
    "DecodeError",
    "Doc",
    "Entries",
    "Entry",
    "Equivocation",
    "EquivocationList",
    "Error",
    "Event",
    "ForkError",
    "Graph",
    "History",
    "Identity",
    "KeyEvent",
    "LimitError",
    "List",
    "Map",
    "Names",
    "Patch",
    "PatchList",
    "Refusal",
    "Report",
    "Session",
    "Set",
    "SignatureError",
    "StaleHandleError",
    "Stats",
    "Store",
    "StoreConflicts",
    "StoreEntry",
    "StoreError",
    "StoreSession",
    "Subscription",
    "SyncError",
    "SyncReport",
    "Text",
    "Timeline",
    "Transaction",
    "UnauthorizedError",
    "UndoStack",
    "View",
    "sync",
    "verify_equivocation",
]

__version__ = "0.1.0"
