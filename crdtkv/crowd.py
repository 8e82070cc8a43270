"""Crowd: who did it, as a set in a datastore, beside a counter of how often."""

from __future__ import annotations

from collections.abc import Iterator, MutableSet
from typing import TYPE_CHECKING

from crdtkv.errors import StaleHandleError
from crdtkv.ordered import Key, order

if TYPE_CHECKING:
    from crdtkv.datastore import Datastore

__all__ = ["Crowd"]


class Crowd(MutableSet[Key]):
    """A set of str and bytes in a datastore: who liked, visited, signed up. Datastore.crowd() makes it.

    Its members are keys of the datastore, with the value True: `crowd/`, the length of the name in bytes, `:`, the
    name, `/` and the member; `key()` tells, so that a batch can write it. So a member that one adds while another
    discards it stays. The length counts them one by one.

    >>> import crdtkv as ck
    >>> kv = ck.Datastore()
    >>> fans = kv.crowd("likes/42")
    >>> fans.add("ada")
    >>> with kv.batch() as b:                       # both or none
    ...     b.put(fans.key("ben"), True)
    ...     b.increment("likes/42")
    >>> sorted(fans), "cleo" in fans, fans
    (['ada', 'ben'], False, <Crowd 'likes/42': 2 members>)
    """

    __slots__ = ("_name", "_of", "_prefix")

    def __init__(self, of: Datastore, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a crowd is a str, not {type(name).__name__}")
        self._of = of
        self._name = name
        self._prefix = f"crowd/{len(name.encode())}:{name}/"

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def key(self, member: Key, /) -> Key:
        """The key of the datastore that stands for a member."""
        if isinstance(member, str):
            return self._prefix + member
        return self._prefix.encode() + order(member)[0]

    def add(self, value: Key, /) -> None:
        """Add a member. One that is there is added once more: it survives who discards it at the same time."""
        self._of[self.key(value)] = True

    def discard(self, value: Key, /) -> None:
        """Remove a member, if it is there."""
        self._of.delete(self.key(value))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str | bytes) and self.key(value) in self._of

    def __iter__(self) -> Iterator[Key]:
        n_bytes = len(self._prefix.encode())
        for key in self._of.query(self._prefix, keys_only=True):
            yield key[n_bytes:] if isinstance(key, bytes) else key[len(self._prefix) :]

    def __len__(self) -> int:
        return self._of._count(self._prefix, None, None)

    @classmethod
    def _from_iterable(cls, it: object) -> set[Key]:  # type: ignore[override]
        return set(it)  # type: ignore[call-overload, no-any-return]  # what &, | and ^ give

    def __repr__(self) -> str:
        try:
            n = len(self)
        except StaleHandleError:
            return f"<Crowd {self.name!r}: closed>"
        return f"<Crowd {self.name!r}: {n} members>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.crowd(self)
