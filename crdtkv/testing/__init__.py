"""The testing kit: replicas on a bad network, authors who lie with real keys, and what to ask of those that met them.

    Network, Faults                     replicas of documents or datastores, liars, faults and time, decided by a seed
    ConvergenceMachine                  a Hypothesis state machine, to which a program adds its own rules
    values(), documents(), edits(doc)   Hypothesis strategies
    Forger, join, reseal                messages that no honest program writes
    replica, datastore                  replicas whose every byte follows from numbers
    assert_converged                    do replicas agree, and if not, where and since when?

Machine and strategies need Hypothesis: `pip install crdtkv[testing]`. docs/tutorial-testing.md is the manual.

>>> import crdtkv as ck
>>> from crdtkv import testing
>>> testing.Network(1).run(100).heal().assert_converged()
>>> doc = ck.Doc()
>>> doc["t"] = ck.Text("hello")
>>> liar = testing.Forger(doc, ck.Identity.generate())
>>> yes, no = liar.fork(lambda d: d.update(vote="yes"), lambda d: d.update(vote="no"))
>>> one, two = doc.fork(), doc.fork()
>>> for bundle in (yes, no):
...     report = one.apply(bundle)
>>> for bundle in (no, yes):
...     report = two.apply(bundle)
>>> testing.assert_converged(one, two)
>>> [e.author == liar.identity.public_key for e in one.equivocations()]
[True]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crdtkv.testing.converged import assert_converged
from crdtkv.testing.edit import Edit
from crdtkv.testing.faults import Faults
from crdtkv.testing.forger import Forger
from crdtkv.testing.hostile import HOSTILE, HostilePeer
from crdtkv.testing.network import Network
from crdtkv.testing.replica import datastore, replica
from crdtkv.testing.wire import join, reseal

if TYPE_CHECKING:
    from crdtkv.testing.machine import ConvergenceMachine
    from crdtkv.testing.strategies import documents, edits, values

__all__ = [
    "HOSTILE",
    "ConvergenceMachine",
    "Edit",
    "Faults",
    "Forger",
    "HostilePeer",
    "Network",
    "assert_converged",
    "datastore",
    "documents",
    "edits",
    "join",
    "replica",
    "reseal",
    "values",
]

NEED_HYPOTHESIS = {
    "ConvergenceMachine": "machine",
    "documents": "strategies",
    "edits": "strategies",
    "values": "strategies",
}


def __getattr__(name: str) -> Any:
    """What needs Hypothesis is imported when it is asked for: the rest works without."""
    if name not in NEED_HYPOTHESIS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{NEED_HYPOTHESIS[name]}"), name)
