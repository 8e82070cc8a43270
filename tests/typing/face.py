"""Read by mypy --strict, never run: what a user's editor will say."""

from typing import assert_type

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
assert_type(doc.equivocations(), list[ck.Equivocation])
assert_type(doc.equivocations()[0].proof, bytes)
assert_type(ck.verify_equivocation(b""), bytes)
assert_type(doc.stats(), dict[str, int])

text = ck.Text("hello")
assert_type(text[0], str)
assert_type(text + "x", str)
assert_type("x" + text, str)
assert_type(text.blame(), list[tuple[int, int, bytes, bytes]])
text.splices([(0, 0, "x")])
text += "y"
doc["t"] = text
doc.update({"a": 1}, b=2)
text.insert(0, 5)  # type: ignore[arg-type]
text.nope()  # type: ignore[attr-defined]
with doc.change("x", origin="y"):
    doc["a"] = 1
