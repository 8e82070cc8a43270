"""The testing kit: authors who lie with real keys, and what to ask of replicas that met them.

>>> import crdtkv as ck
>>> from crdtkv import testing
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

from crdtkv.testing.converged import assert_converged
from crdtkv.testing.forger import Forger
from crdtkv.testing.wire import join, reseal

__all__ = ["Forger", "assert_converged", "join", "reseal"]
