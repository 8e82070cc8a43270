"""The libraries under one face, so that each case is written once: a document with one text.

type(edits, each)    one call for every (position, n_deleted, text), in one transaction or, with `each`, in one each
save() / load(data)  bytes, and a document from them
delta(before)        what has come since version() gave `before`;  apply(data) takes it in
record()             makes typed(edits) possible: one transaction, and the bytes of it for the others
mark()               names this version;  at(mark) is the text then (not y-py: it has none);  diff(a, b) between two
observe(callback)    calls back with each transaction
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

Edits = Iterable[tuple[int, int, str]]


class Crdtkv:
    def __init__(self, doc: Any = None) -> None:
        import crdtkv

        if doc is None:
            doc = crdtkv.Doc()
            doc["text"] = crdtkv.Text()
            doc.commit()
        self.doc, self.text = doc, doc.get("text")

    def type(self, edits: Edits, each: bool) -> None:
        splice, commit = self.text.splice, self.doc.commit
        if each:
            for pos, n_del, s in edits:
                splice(pos, n_del, s)
                commit()
        else:
            for pos, n_del, s in edits:
                splice(pos, n_del, s)

    def close(self) -> None:
        self.doc.commit()

    def save(self) -> bytes:
        return self.doc.save()

    @staticmethod
    def load(data: bytes) -> Crdtkv:
        import crdtkv

        return Crdtkv(crdtkv.Doc.load(data))

    def replica(self, n: int) -> Crdtkv:
        return Crdtkv(self.doc.fork())

    def version(self) -> Any:
        return self.doc.heads

    def delta(self, before: Any) -> bytes:
        return self.doc.export(before)

    def record(self) -> None:
        pass

    def typed(self, edits: Edits) -> bytes:
        before = self.doc.heads
        self.type(edits, False)
        return self.doc.export(before)

    def apply(self, data: bytes) -> None:
        report = self.doc.apply(data)
        if report.refused or report.waiting:
            sys.exit(f"an honest bundle is not taken: {report} {report.refused[:1]}")

    def mark(self) -> Any:
        return self.doc.heads

    def at(self, mark: Any) -> str:
        return str(self.doc.at(mark)["text"])

    def diff(self, a: Any, b: Any) -> Any:
        return self.doc.diff(a, b)

    def observe(self, callback: Any) -> Any:
        return self.doc.observe(callback)

    def __str__(self) -> str:
        return str(self.text)


class Loro:
    def __init__(self, doc: Any = None, peer: int = 1) -> None:
        import loro

        self.loro, self.doc = loro, doc or loro.LoroDoc()
        self.doc.peer_id = peer
        self.text = self.doc.get_text("text")

    def type(self, edits: Edits, each: bool) -> None:
        insert, delete, commit = self.text.insert, self.text.delete, self.doc.commit
        for pos, n_del, s in edits:
            if n_del:
                delete(pos, n_del)
            if s:
                insert(pos, s)
            if each:
                commit()

    def close(self) -> None:
        self.doc.commit()

    def save(self) -> bytes:
        return self.doc.export(self.loro.ExportMode.Snapshot())

    def save_updates(self) -> bytes:
        return self.doc.export(self.loro.ExportMode.Updates(type(self)().version()))

    @staticmethod
    def load(data: bytes) -> Loro:
        new = Loro(peer=9)
        new.doc.import_(data)
        return new

    def replica(self, n: int) -> Loro:
        new = Loro(peer=n + 2)
        new.doc.import_(self.save())
        return new

    def version(self) -> Any:
        return self.doc.oplog_vv

    def delta(self, before: Any) -> bytes:
        self.doc.commit()
        return self.doc.export(self.loro.ExportMode.Updates(before))

    def record(self) -> None:
        pass

    def typed(self, edits: Edits) -> bytes:
        before = self.doc.oplog_vv
        self.type(edits, False)
        return self.delta(before)

    def apply(self, data: bytes) -> None:
        self.doc.import_(data)

    def mark(self) -> Any:
        self.doc.commit()
        return self.doc.oplog_frontiers

    def at(self, mark: Any) -> str:
        self.doc.checkout(mark)
        return self.text.to_string()

    def diff(self, a: Any, b: Any) -> Any:
        return self.doc.diff(a, b)

    def observe(self, callback: Any) -> Any:
        return self.doc.subscribe_root(callback)

    def __str__(self) -> str:
        return self.text.to_string()


class Pycrdt:
    def __init__(self, client: int = 1, keep: bool = False) -> None:
        import pycrdt

        self.doc = pycrdt.Doc(client_id=client, skip_gc=keep)
        self.text = self.doc.get("text", type=pycrdt.Text)

    def type(self, edits: Edits, each: bool) -> None:
        text = self.text
        if each:
            for pos, n_del, s in edits:
                if n_del:
                    del text[pos : pos + n_del]
                if s:
                    text.insert(pos, s)
        else:
            with self.doc.transaction():
                self.type(edits, True)

    def close(self) -> None:
        pass

    def save(self) -> bytes:
        return self.doc.get_update()

    @staticmethod
    def load(data: bytes) -> Pycrdt:
        new = Pycrdt(9)
        new.doc.apply_update(data)
        return new

    def replica(self, n: int) -> Pycrdt:
        new = Pycrdt(n + 2)
        new.doc.apply_update(self.save())
        return new

    def version(self) -> Any:
        return self.doc.get_state()

    def delta(self, before: Any) -> bytes:
        return self.doc.get_update(before)

    def record(self) -> None:  # a delta by state vector would carry all deletions there ever were
        self.sent: list[bytes] = []
        self.watch = self.doc.observe(lambda event: self.sent.append(event.update))

    def typed(self, edits: Edits) -> bytes:
        self.sent.clear()
        self.type(edits, False)
        return self.sent[-1]

    def apply(self, data: bytes) -> None:
        self.doc.apply_update(data)

    def mark(self) -> Any:
        import pycrdt

        return pycrdt.Snapshot.from_doc(self.doc)

    def at(self, mark: Any) -> str:
        import pycrdt

        return str(pycrdt.Doc.from_snapshot(mark, self.doc).get("text", type=pycrdt.Text))

    def observe(self, callback: Any) -> Any:
        return self.text.observe(callback)

    def __str__(self) -> str:
        return str(self.text)


class YPy:
    def __init__(self, client: int = 1) -> None:
        import y_py

        self.y, self.doc = y_py, y_py.YDoc(client)
        self.text = self.doc.get_text("text")

    def type(self, edits: Edits, each: bool) -> None:
        text, begin = self.text, self.doc.begin_transaction
        if each:
            for pos, n_del, s in edits:
                with begin() as txn:
                    if n_del:
                        text.delete_range(txn, pos, n_del)
                    if s:
                        text.insert(txn, pos, s)
            return
        with begin() as txn:
            for pos, n_del, s in edits:
                if n_del:
                    text.delete_range(txn, pos, n_del)
                if s:
                    text.insert(txn, pos, s)

    def close(self) -> None:
        pass

    def save(self) -> bytes:
        return self.y.encode_state_as_update(self.doc)

    @staticmethod
    def load(data: bytes) -> YPy:
        new = YPy(9)
        new.y.apply_update(new.doc, data)
        return new

    def replica(self, n: int) -> YPy:
        new = YPy(n + 2)
        new.apply(self.save())
        return new

    def version(self) -> Any:
        return self.y.encode_state_vector(self.doc)

    def delta(self, before: Any) -> bytes:
        return self.y.encode_state_as_update(self.doc, before)

    def record(self) -> None:  # a delta by state vector would carry all deletions there ever were
        self.sent: list[bytes] = []
        self.watch = self.doc.observe_after_transaction(lambda event: self.sent.append(event.get_update()))

    def typed(self, edits: Edits) -> bytes:
        self.sent.clear()
        self.type(edits, False)
        return self.sent[-1]

    def apply(self, data: bytes) -> None:
        self.y.apply_update(self.doc, data)

    def observe(self, callback: Any) -> Any:
        return self.text.observe(callback)

    def __str__(self) -> str:
        return str(self.text)


LIBRARIES: dict[str, tuple[str, Any]] = {  # name -> (module, class)
    "crdtkv": ("crdtkv", Crdtkv),
    "loro": ("loro", Loro),
    "pycrdt": ("pycrdt", Pycrdt),
    "y-py": ("y_py", YPy),
}
PEERS = [name for name in LIBRARIES if name != "crdtkv"]
