"""Identity: the key pair of an author, and the file it is kept in."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Self

from crdtkv import _core

__all__ = ["Identity"]


class Identity(_core.Identity):
    """The key pair of an author. Two of the same key are equal; the secret shows nowhere.

    >>> import crdtkv as ck
    >>> me = ck.Identity.from_seed(b"32 bytes that nobody else knows!")
    >>> me
    <Identity ...>
    >>> len(me.public_key)
    32
    """

    __slots__ = ("__weakref__",)

    def save(
        self, path: str | os.PathLike[str], password: str | bytes | None = None, *, overwrite: bool = True
    ) -> None:
        """Write the key to a file that only its owner may read (0600), whole or not at all.

        With a password it is encrypted under a key that argon2id makes of it, slowly and in much memory, on purpose.

        **A file that is there is replaced, and if it held the only copy of another key, that key is lost for good.**
        Where that might be, say `overwrite=False`: then FileExistsError, and the file stays as it is.

        >>> import crdtkv as ck, tempfile, os
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "me.key")
        ...     me = ck.Identity.generate()
        ...     me.save(path)
        ...     ck.Identity.load(path) == me
        True
        """
        path = os.fspath(path)
        content = self._seal(password)
        try:
            _write(path, content, _replace if overwrite else _add)
        finally:
            content[:] = bytes(len(content))

    @classmethod
    def load(cls, path: str | os.PathLike[str], password: str | bytes | None = None) -> Self:
        """The identity in a file that save() wrote.

        DecodeError: not a key file, or not the password. OSError: the file cannot be read.
        """
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
        return cls._unseal(content, password)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.identity(self)


_LONGEST = 4096  # bytes; a key file has about a hundred


def _replace(beside: str, path: str) -> None:
    os.replace(beside, path)


def _add(beside: str, path: str) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        why = "a file is there already; it stays as it is, for it may hold the only copy of a key"
        raise FileExistsError(errno.EEXIST, why, path) from None
    os.unlink(beside)


def _write(path: str, content: bytearray, place: Callable[[str, str], None]) -> None:
    """Write beside, flush to the disk, give it its name: a reader sees the old file or the new one."""
    beside = f"{path}.{os.urandom(4).hex()}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            rest.release()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        place(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
