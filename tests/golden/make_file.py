"""Writes file_v<n>.db.gz and file_v<n>.txt, unless they are there: a file of this version, and what it says.

Files of older versions stay what they are: each version must open them. The one of this version is for the next.

    .venv/bin/python tests/golden/make_file.py
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crdtkv as ck  # noqa: E402
from crdtkv.openfile import SCHEMA  # noqa: E402
from house.datastores import LONG, identity  # noqa: E402

FOLDER = Path(__file__).resolve().parent


def describe(path: Path) -> str:
    """What a file says, a line each."""
    with ck.Database(path, identity(1)) as db:
        kv, doc = db.datastore("kv"), db.doc("doc")
        lines = [f"doc {doc.to_py()!r} {doc.root.hex()}", f"store {dict(db.store('store'))!r}", f"root {kv.root.hex()}"]
        lines += [f"{key!r} {value!r}" for key, value in kv.query()]
        lines += [f"count {name!r} {int(kv.counter(name))}" for name in kv.counters()]
        lines += [f"{c.id.hex()} {c.seq} {c.time} {c.message!r} {c.n_ops} {c.void}" for c in kv.changes()]
        assert kv.check() == [] and db.check() == []
    return "".join(line + "\n" for line in lines)


def write(path: Path) -> None:
    """All three kinds; lone puts and batches, most of which compaction drops; a body that somebody left out."""
    times = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))
    clock = times.__next__
    with ck.Database(path, identity(1)) as db:
        doc = db.doc("doc")
        doc["text"] = ck.Text("as it was")
        doc.commit()
        db.store("store")["k"] = [1, "two"]
        kv = db.datastore("kv", clock=clock)
        other = ck.Datastore(identity(2), id=kv.id, clock=clock)
        for n in range(120):
            kv[f"k{n % 5}"] = f"{n} {LONG}" if n % 4 else n
            kv.commit(f"lone {n}" if n % 10 == 0 else None)
            if n % 30 == 7:
                ck.sync(kv, other)
                other[f"k{n % 3}"] = f"his {n} {LONG}"
                other.commit()
        with kv.batch(message="a batch") as b:
            for n in range(40):
                b.put(f"b{n}", LONG)
                b.increment("n", n)
        kv.put("k1", "in another DAG", dag="feed")
        kv.commit()
        kv.delete("k2")
        ck.sync(kv, other)
        kv.compact()
        third = ck.Datastore(identity(3), id=kv.id, clock=clock)
        third["his"] = LONG
        third["gone"] = LONG
        third.commit()
        third["gone"] = "short"
        third["his"] = LONG
        third.commit()
        third.compact()
        kv.apply(third.export())
        kv.commit()


def main() -> None:
    file, text = FOLDER / f"file_v{SCHEMA}.db.gz", FOLDER / f"file_v{SCHEMA}.txt"
    if file.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        write(path)
        text.write_text(describe(path))
        file.write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
