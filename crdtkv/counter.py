"""Counter: a number that many count at once."""

from __future__ import annotations

from crdtkv import _core

__all__ = ["Counter"]


class Counter(_core.Counter):
    """A number that many count at once: the exact sum of everybody's increments, of any size.

    Reads like an int and is changed by +=, -=, increment() and decrement(). `doc["stars"] = doc["stars"] + 1` would put
    an int in its place, and of two who say that at once one would not count. A new one is detached: it holds an int
    until it is stored in a document, of whose content it then is the handle. Not hashable.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["stars"] = ck.Counter(3)
    >>> other = doc.fork()
    >>> doc["stars"] += 1
    >>> other["stars"] += 2
    >>> bool(doc.merge(other)), doc["stars"] == 6, doc["stars"] + 1
    (True, True, 7)
    """

    __slots__ = ()

    __trunc__ = __floor__ = __ceil__ = _core.Counter.__int__  # math's own way is through float, which is not exact

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.container(self)
