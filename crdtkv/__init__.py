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

from crdtkv._core import Change
from crdtkv.doc import ChangeList, Doc, Subscription
from crdtkv.equivocation import Equivocation, verify_equivocation
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
from crdtkv.identity import Identity
from crdtkv.patch import MISSING, Patch
from crdtkv.report import Refusal, Report
from crdtkv.text import Text
from crdtkv.view import View

__all__ = [
    "MISSING",
    "Change",
    "ChangeList",
    "ClockDriftError",
    "DecodeError",
    "Doc",
    "Equivocation",
    "Error",
    "ForkError",
    "Identity",
    "LimitError",
    "Patch",
    "Refusal",
    "Report",
    "SignatureError",
    "StaleHandleError",
    "StoreError",
    "Subscription",
    "SyncError",
    "Text",
    "UnauthorizedError",
    "View",
    "verify_equivocation",
]

__version__ = "0.1.0"
