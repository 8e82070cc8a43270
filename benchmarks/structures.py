"""The libraries under a second face, for maps, lists and versions; "Python" is what the language itself has.

map(nested) / list()  a container of a new document: an object that set_all, append_all, insert_all know
nest(plain, keyed)    flat dicts, in a list or by their names, as the library's own containers
plain()               the document in Python's types, the quickest way there is
close() / forms()     ends the transaction;  every format it can be saved in, by name
load(data)            a document from them;  get(key) and plain() read it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from libraries import Loro, Pycrdt, YPy

Plain = dict[str, Any]


class PythonItself:
    def __init__(self, root: Any = None) -> None:
        self.root: Any = {} if root is None else root

    def map(self, nested: bool) -> Any:
        if nested:
            self.root["map"] = {}
        return self.root["map"] if nested else self.root

    def list(self) -> Any:
        self.root["list"] = []
        return self.root["list"]

    def set_all(self, at: Any, pairs: Iterable[tuple[str, Any]]) -> None:
        for key, value in pairs:
            at[key] = value

    def append_all(self, at: Any, values: Iterable[Any]) -> None:
        append = at.append
        for value in values:
            append(value)

    def insert_all(self, at: Any, pairs: Iterable[tuple[int, Any]]) -> None:
        insert = at.insert
        for index, value in pairs:
            insert(index, value)

    def nest(self, plain: list[Plain], keyed: bool) -> None:
        self.root = {flat["name"]: dict(flat) for flat in plain} if keyed else {"list": [dict(flat) for flat in plain]}

    def plain(self) -> Any:
        return self.root

    def close(self) -> None:
        pass

    def forms(self) -> dict[str, Callable[[], bytes]]:
        return {"JSON": lambda: json.dumps(self.root, separators=(",", ":")).encode()}

    @staticmethod
    def load(data: bytes) -> PythonItself:
        return PythonItself(json.loads(data))

    def get(self, key: str, nested: bool) -> Any:
        return self.root["map"][key] if nested else self.root[key]


class CrdtkvItself(PythonItself):
    def __init__(self, root: Any = None) -> None:
        import crdtkv

        super().__init__(crdtkv.Doc() if root is None else root)

    def map(self, nested: bool) -> Any:
        at = super().map(nested)
        self.root.commit()
        return at

    def nest(self, plain: list[Plain], keyed: bool) -> None:
        self.root.update({flat["name"]: flat for flat in plain} if keyed else {"list": plain})

    def plain(self) -> Any:
        return self.root.to_py()

    def close(self) -> None:
        self.root.commit()

    def forms(self) -> dict[str, Callable[[], bytes]]:
        return {"bundle": self.root.save}

    @staticmethod
    def load(data: bytes) -> CrdtkvItself:
        import crdtkv

        return CrdtkvItself(crdtkv.Doc.load(data))


class LoroItself(Loro):
    def map(self, nested: bool) -> Any:
        root = self.doc.get_map("root")
        return root.insert_container("map", self.loro.LoroMap()) if nested else root

    def list(self) -> Any:
        return self.doc.get_list("list")

    def set_all(self, at: Any, pairs: Iterable[tuple[str, Any]]) -> None:
        insert = at.insert
        for key, value in pairs:
            insert(key, value)

    def append_all(self, at: Any, values: Iterable[Any]) -> None:
        push = at.push
        for value in values:
            push(value)

    def insert_all(self, at: Any, pairs: Iterable[tuple[int, Any]]) -> None:
        insert = at.insert
        for index, value in pairs:
            insert(index, value)

    def nest(self, plain: list[Plain], keyed: bool) -> None:
        push, put, make = self.list().push_container, self.map(False).insert_container, self.loro.LoroMap
        for flat in plain:
            insert = (put(flat["name"], make()) if keyed else push(make())).insert
            for key, value in flat.items():
                insert(key, value)

    def plain(self) -> Any:
        found = self.doc.get_deep_value()
        return found.get("root") or {"list": found.get("list")}

    def forms(self) -> dict[str, Callable[[], bytes]]:
        modes, export = self.loro.ExportMode, self.doc.export
        return {
            "snapshot": lambda: export(modes.Snapshot()),
            "updates": lambda: export(modes.Updates(self.loro.LoroDoc().oplog_vv)),
            "state only": lambda: export(modes.StateOnly(None)),
        }

    @staticmethod
    def load(data: bytes) -> LoroItself:
        new = LoroItself(peer=9)
        new.doc.import_(data)
        return new

    def get(self, key: str, nested: bool) -> Any:
        at = self.doc.get_map("root")
        return (at.get("map").container if nested else at).get(key).value


class PycrdtItself(Pycrdt):
    def map(self, nested: bool) -> Any:
        import pycrdt

        root = self.doc.get("root", type=pycrdt.Map)
        if nested:
            root["map"] = pycrdt.Map()
        return root["map"] if nested else root

    def list(self) -> Any:
        import pycrdt

        return self.doc.get("list", type=pycrdt.Array)

    def set_all(self, at: Any, pairs: Iterable[tuple[str, Any]]) -> None:
        with self.doc.transaction():
            for key, value in pairs:
                at[key] = value

    def append_all(self, at: Any, values: Iterable[Any]) -> None:
        append = at.append
        with self.doc.transaction():
            for value in values:
                append(value)

    def insert_all(self, at: Any, pairs: Iterable[tuple[int, Any]]) -> None:
        insert = at.insert
        with self.doc.transaction():
            for index, value in pairs:
                insert(index, value)

    def nest(self, plain: list[Plain], keyed: bool) -> None:
        import pycrdt

        with self.doc.transaction():
            if keyed:
                self.map(False).update({flat["name"]: pycrdt.Map(flat) for flat in plain})
            else:
                self.list().extend([pycrdt.Map(flat) for flat in plain])

    def plain(self) -> Any:
        return json.loads(str(self.map(False))) or {"list": json.loads(str(self.list()))}  # to_py() of an Array: n * n

    def forms(self) -> dict[str, Callable[[], bytes]]:
        return {"update": self.doc.get_update}

    @staticmethod
    def load(data: bytes) -> PycrdtItself:
        new = PycrdtItself(9)
        new.doc.apply_update(data)
        return new

    def get(self, key: str, nested: bool) -> Any:
        import pycrdt

        at = self.doc.get("root", type=pycrdt.Map)
        return (at["map"] if nested else at)[key]


class YPyItself(YPy):
    def map(self, nested: bool) -> Any:
        root = self.doc.get_map("root")
        if nested:
            with self.doc.begin_transaction() as txn:
                root.set(txn, "map", self.y.YMap({}))
        return root["map"] if nested else root

    def list(self) -> Any:
        return self.doc.get_array("list")

    def set_all(self, at: Any, pairs: Iterable[tuple[str, Any]]) -> None:
        with self.doc.begin_transaction() as txn:
            for key, value in pairs:
                at.set(txn, key, value)

    def append_all(self, at: Any, values: Iterable[Any]) -> None:
        with self.doc.begin_transaction() as txn:
            for value in values:
                at.append(txn, value)

    def insert_all(self, at: Any, pairs: Iterable[tuple[int, Any]]) -> None:
        with self.doc.begin_transaction() as txn:
            for index, value in pairs:
                at.insert(txn, index, value)

    def nest(self, plain: list[Plain], keyed: bool) -> None:
        make, array, root = self.y.YMap, self.list(), self.map(False)
        with self.doc.begin_transaction() as txn:
            if keyed:
                root.update(txn, {flat["name"]: make(flat) for flat in plain})
            else:
                array.extend(txn, [make(flat) for flat in plain])

    def plain(self) -> Any:
        root = json.loads(self.doc.get_map("root").to_json())
        return root or {"list": json.loads(self.list().to_json())}

    def forms(self) -> dict[str, Callable[[], bytes]]:
        return {"update": lambda: self.y.encode_state_as_update(self.doc)}

    @staticmethod
    def load(data: bytes) -> YPyItself:
        new = YPyItself(9)
        new.apply(data)
        return new

    def get(self, key: str, nested: bool) -> Any:
        at = self.doc.get_map("root")
        return (at["map"] if nested else at)[key]


ITSELF: dict[str, Any] = {
    "crdtkv": CrdtkvItself,
    "Python": PythonItself,
    "loro": LoroItself,
    "pycrdt": PycrdtItself,
    "y-py": YPyItself,
}
