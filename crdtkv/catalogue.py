"""Catalogue: the table of a database's file that says which objects are in it. docs/file.md, "object".

A row says number, name, kind and uid, and a stamp in the table `meta` proves it whole. One that is lost leaves its
stamp behind. Numbers are never given twice, so that nothing of a deleted object is ever taken for that of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from crdtkv import _core
from crdtkv.errors import LimitError, StoreError
from crdtkv.identity import Identity
from crdtkv.ordered import Key

__all__ = ["Catalogue", "Row", "peer_of", "uid_of_peer"]

LONGEST_NAME = 255  # bytes

ROWS = (
    "SELECT object.id, name, kind, uid, "
    "(SELECT value FROM meta WHERE key = 'object/' || object.id) AS stamp FROM object"
)
LOST = (
    "SELECT number FROM (SELECT CAST(substr(key, 8) AS INTEGER) AS number FROM meta WHERE key GLOB 'object/*') "
    "WHERE number NOT IN (SELECT id FROM object) ORDER BY number"
)
COUNT = (
    "INSERT INTO meta(key, value) VALUES ('objects', 1) "
    "ON CONFLICT(key) DO UPDATE SET value = value + 1 RETURNING value"
)


class Row(NamedTuple):
    """What the catalogue says of an object."""

    number: int
    name: str
    kind: str
    uid: bytes  # of a document or datastore its id, of a store the name of its peer

    @property
    def stamp(self) -> bytes:
        from hashlib import blake2b  # it loads all of OpenSSL

        return blake2b(repr(tuple(self)).encode(), digest_size=16, person=b"crdtkv-object-v1").digest()


class Catalogue:
    """Which objects a file has. Not locked: whoever shares it between threads locks it."""

    __slots__ = ("_file", "_is_sound", "n_erased")

    def __init__(self, file: _core.File) -> None:
        self._file = file
        self._is_sound = False  # every row was found to be whole, so that a name that is not there is free
        self.n_erased = 0  # rows, since it was opened

    def rows(self) -> list[Row]:
        """All objects, by name. StoreError: something is damaged."""
        self._must_be_sound()
        return self.whole()

    def whole(self) -> list[Row]:
        """Those that are not damaged."""
        rows = self._file.run(f"{ROWS} ORDER BY name")
        return [row for *said, stamp in rows if (row := Row(*said)).stamp == stamp]

    def find(self, name: str) -> Row | None:
        """The object of a name. StoreError: it is damaged, or so may be the row that had this name."""
        for *said, stamp in self._file.run(f"{ROWS} WHERE name = ?", checked(name)):
            row = Row(*said)
            if row.stamp != stamp:
                raise StoreError(f"table object, row {row.number}: damaged")
            return row
        self._must_be_sound()
        return None

    def damage(self) -> Iterator[str]:
        """What is wrong, a line each."""
        for *said, stamp in self._file.run(f"{ROWS} ORDER BY object.id"):
            if Row(*said).stamp != stamp:
                yield f"table object, row {said[0]}: damaged"
        for (number,) in self._file.run(LOST):
            yield f"table object, row {number}: lost"

    def refresh(self) -> None:
        """Others have written."""
        self._is_sound = False

    def must_be_writable(self) -> None:
        """StoreError: it is open for reading, or the device has failed."""
        with writing(self._file):
            pass

    def enter(self, name: str, kind: str, uid: bytes) -> Row:
        """A new row for a name that is free."""
        with writing(self._file) as file:
            ((number,),) = file.run(COUNT)
            row = Row(number, checked(name), kind, uid)
            file.run("INSERT INTO object(id, name, kind, uid) VALUES (?, ?, ?, ?)", *row)
            file.run("INSERT INTO meta(key, value) VALUES (?, ?)", f"object/{number}", row.stamp)
            file.run("INSERT INTO record(object, kind, data) VALUES (?, 5, ?)", number, bytes(16))  # no rows yet
            return row

    def erase(self, row: Row) -> None:
        """Forget an object and its record."""
        with writing(self._file) as file:
            file.run("DELETE FROM record WHERE object = ?", row.number)
            file.run("DELETE FROM object WHERE id = ?", row.number)
            file.run("DELETE FROM meta WHERE key = ?", f"object/{row.number}")
        self.n_erased += 1

    def is_sealed_by(self, identity: Identity, *, or_seal: bool) -> bool:
        """Was this file made, or checked, by whoever has this key? Of another one every signature is verified again.

        `or_seal`: a file that is still empty gets the seal.
        """
        for (seal,) in self._file.run("SELECT value FROM meta WHERE key = ?", _seal_key(identity)):
            return bool(seal == self._seal(identity))
        if not or_seal or self._file.run("SELECT 1 FROM meta WHERE key = 'objects'"):
            return False
        self.seal(identity)
        return True

    def seal(self, identity: Identity) -> None:
        with writing(self._file) as file:
            file.run("DELETE FROM meta WHERE key = ?", _seal_key(identity))
            file.run("INSERT INTO meta(key, value) VALUES (?, ?)", _seal_key(identity), self._seal(identity))

    def _seal(self, identity: Identity) -> bytes:
        rows = self._file.run("SELECT value FROM meta WHERE key = 'file id'")
        return identity._sign(b"crdtkv-seal-v1" + b"".join(id for (id,) in rows if isinstance(id, bytes)))

    def _must_be_sound(self) -> None:
        if not self._is_sound:
            for line in self.damage():
                raise StoreError(line)
            self._is_sound = True


def _seal_key(identity: Identity) -> str:
    return f"seal/{identity.public_key.hex()}"


@contextmanager
def writing(file: _core.File) -> Iterator[_core.File]:
    """A transaction."""
    if file.read_only:
        raise StoreError("the database is open for reading only")
    file.begin()
    try:
        yield file
    except BaseException:
        file.rollback()
        raise
    file.commit()


def checked(name: str) -> str:
    """A name, if it is one."""
    if not isinstance(name, str):
        raise TypeError(f"a name must be str, not {type(name).__name__}")
    if len(name.encode()) > LONGEST_NAME:
        raise LimitError(f"a name has at most {LONGEST_NAME} bytes")
    return name


def uid_of_peer(peer_id: Key) -> bytes:
    """The name of a store's peer, as the catalogue has it."""
    return b"str:" + peer_id.encode() if isinstance(peer_id, str) else b"bytes:" + bytes(peer_id)


def peer_of(uid: bytes) -> Key:
    """The name of a store's peer. Of a row that is whole."""
    kind, _, name = uid.partition(b":")
    return name.decode() if kind == b"str" else name
