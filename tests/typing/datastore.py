"""What mypy says of datastores."""

from collections.abc import Iterator
from typing import Any, assert_type

import crdtkv as ck

kv = ck.Datastore()
kv["a"] = 1
kv.put("b", [1, {"x": None}], dag="other")
assert_type(kv.delete("b"), bool)
assert_type(list(kv), list[str | bytes])
assert_type(kv.query("a", limit=3), Iterator[Any])
with kv.batch(max_bytes=1000) as b:
    assert_type(b, ck.Batch)
    b.increment("n", 5)
    assert_type(b.commit(), ck.Change | None)
n = kv.counter("n")
n += 2
assert_type(n, ck.DatastoreCounter)
assert_type(int(n), int)
assert_type(n.by_author(), ck.ByAuthor)
assert_type(n.by_author()[b""], int)
assert_type(kv.top(3), list[tuple[str | bytes, int]])
assert_type(dict(kv.counters()), dict[str | bytes, int])
assert_type(kv.conflicts("a"), ck.Conflicts)
assert_type(kv.history("a")[0].value, Any)
assert_type(kv.fork(), ck.Datastore)
assert_type(kv.apply(kv.export()).applied, tuple[bytes, ...])
assert_type(ck.sync(kv, kv.fork()), ck.SyncReport)
assert_type(kv.dags(), dict[str, tuple[bytes, ...]])
assert_type(set(kv.crowd("x")), set[str | bytes])
kv.observe(lambda event: print(event.key, event.new)).cancel()
