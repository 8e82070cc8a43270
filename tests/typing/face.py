"""Read by mypy --strict, never run: what a user's editor will say."""

from typing import Any, assert_type

import crdtkv as ck

me = ck.Identity.generate()
assert_type(me, ck.Identity)
assert_type(me.public_key, bytes)
assert_type(ck.Identity.load("me.key", password="x"), ck.Identity)

doc = ck.Doc(me, clock=lambda: 5)
assert_type(doc.id, bytes)
assert_type(doc.heads, tuple[bytes, ...])
assert_type(doc.commit("x"), ck.Change | None)
assert_type(doc.fork(), ck.Doc)
assert_type(ck.Doc.load(doc.save()), ck.Doc)
assert_type(doc.changes(since=doc.heads), ck.ChangeList)
assert_type(doc.changes()[0].parents, tuple[bytes, ...])
assert_type(doc.apply(doc.export()), ck.Report)
assert_type(doc.merge(doc).applied, tuple[bytes, ...])
assert_type(doc.at(doc.heads), ck.View)
assert_type(doc.diff((), doc.heads), ck.PatchList)
assert_type(doc.equivocations(), ck.EquivocationList)
assert_type(doc.equivocations()[0], ck.Equivocation)
assert_type(doc.equivocations()[0].proof, bytes)
assert_type(ck.verify_equivocation(b""), bytes)
assert_type(doc.stats(), ck.Stats)
assert_type(doc.stats()["changes"], int)
assert_type(doc.graph(), ck.Graph)
assert_type(doc.timeline(limit=5), ck.Timeline)

text = ck.Text("hello")
assert_type(text[0], str)
assert_type(text + "x", str)
assert_type("x" + text, str)
assert_type(text.blame(), ck.Blame)
assert_type(text.blame()[0], tuple[int, int, bytes, bytes])
text.splices([(0, 0, "x")])
text += "y"
doc["t"] = text
doc.update({"a": 1}, b=2)
text.insert(0, 5)  # type: ignore[arg-type]
text.nope()  # type: ignore[attr-defined]
with doc.change("x", origin="y"):
    doc["a"] = 1

store = ck.Store("phone", clock=lambda: 5, max_drift=None)
assert_type(store.peer_id, str | bytes)
assert_type(store.incarnation, bytes | None)
assert_type(store.copy(), ck.Store)
assert_type(ck.Store.load(store.save(), b"laptop"), ck.Store)
assert_type(store["a":"m"], dict[str | bytes, Any])
assert_type(list(store), list[str | bytes])
assert_type(store.popitem(), tuple[str | bytes, Any])
assert_type(store.entries()["x"].hlc, int)
assert_type(store.conflicts(b"x"), ck.StoreConflicts)
assert_type(store.conflicts(b"x")[0], ck.StoreEntry)
assert_type(store.build_diff(store.request_diff()), bytes)
assert_type(store.integrate_diff(b"").applied, tuple[str | bytes, ...])
assert_type(store.integrate_ops([b"", bytearray()]).waiting, tuple[bytes, ...])
assert_type(ck.Store.merge_opsets(store.opset(), b""), bytes)
assert_type(store.clock.now(), int)
with store.transaction() as t:
    assert_type(t, ck.Transaction)
    t["x"] = 1
    t.update(y=2)
assert_type(store.begin().commit_with_ops(), list[bytes])
assert_type(store.observe(lambda event: print(event.key, event.old), prefix="x"), ck.Subscription)
store |= {b"x": 1}
store[5] = 1  # type: ignore[index]
store.nope()  # type: ignore[attr-defined]
assert_type(store.session(), ck.StoreSession)
assert_type(store.session().receive(b"").applied, tuple[str | bytes, ...])
assert_type(ck.sync(store, ck.Store()), ck.SyncReport)
ck.sync(store, doc)  # type: ignore[call-overload]
