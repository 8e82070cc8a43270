"""Read by mypy --strict, never run: the testing kit as a user's editor sees it."""

from typing import assert_type

import crdtkv as ck
from crdtkv import testing

me = ck.Identity.generate()
doc = ck.Doc(me)
liar = testing.Forger(doc, me, seed=1)
assert_type(liar.doc, ck.Doc | ck.Datastore)
assert_type(liar.lane, bytes)
assert_type(liar.fork(lambda d: d.update(a=1), [None, lambda d: d.pop("a")]), tuple[bytes, ...])
assert_type(liar.chain([None], sign="last"), list[bytes])
assert_type(liar.forge(lambda d: d.clear(), signature=lambda message: b"", seq=5), bytes)
assert_type(liar.advance(liar.bomb(5)), ck.Report)
assert_type(testing.join(b"", b""), bytes)
assert_type(testing.reseal(bytearray(8)), bytes)
testing.assert_converged(doc, doc)
liar.chain([], sign="some")  # type: ignore[arg-type]
