"""What a type checker makes of a database."""

from pathlib import Path
from typing import assert_type

import crdtkv as ck

db = ck.Database(Path("app.db"), durability="normal", read_only=False, compliance=True)
assert_type(db.doc("notes", id=None), ck.Doc)
assert_type(db.datastore("stats"), ck.Datastore)
assert_type(db.store("settings", id=b"laptop", max_drift=None), ck.Store)
assert_type(db.add("notes", ck.Doc()), ck.Doc)
assert_type(db.add("stats", ck.Datastore()), ck.Datastore)
assert_type(db.names(), ck.Names)
names: dict[str, str] = db.names()
assert_type(db.check(), list[str])
assert_type(db.salvage("notes"), list[str])
assert_type(db.path, str)
assert_type(db.identity, ck.Identity)
assert_type(db.close(), None)
with ck.Database("app.db") as other:
    assert_type(other, ck.Database)
ck.Database("app.db", durability="fast")  # type: ignore[arg-type]
db.add("no", {})  # type: ignore[type-var]
db.doc(b"no")  # type: ignore[arg-type]
try:
    ck.Database("app.db")
except ck.StoreError as error:
    assert_type(error.pid, int | None)
