"""Edit: one edit as a line of Python, and how to think of one that fits a document."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, Protocol, TypeVar

import crdtkv
from crdtkv import Counter, Datastore, Doc, List, Map, Set, Text

__all__ = ["Chance", "Choice", "Edit", "an_edit", "literal"]

T = TypeVar("T")
Scalar = bool | int | float | str | bytes | None

KEYS = ("a", "b", "c", "ä", "")
MARKS = ("bold", "link")
EXPAND = ("after", "before", "both", "none")
NUMBERS = (0, 1, -1, 7, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 0.1, 1e300, math.inf, -math.inf, True, False)
WORDS = ("", "a", "b", "ab", "ba", "hello", "ä", "😀", "e\u0301", "\0", "x" * 40)
BYTES = (b"", b"a", b"\0\xff")
CONTAINERS = (  # an empty one of each kind
    "ck.Text()",
    "[]",
    "{}",
    "set()",
    "ck.Counter()",
)
NAMES = ("n", b"n", "m")  # of counters
DAGS = ("default", "default", "default", "other", "third")
DEEP = 3  # how far below the root edits go
MANY = 12  # items or characters from which removing is as likely as adding


class Edit:
    """One edit, written down: `code`, a line of Python about `doc` and `ck`. Calling it does it.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> doc = ck.Doc()
    >>> edit = testing.Edit("doc['n'] = ck.Counter(5)")
    >>> edit(doc)
    >>> doc, edit
    (<Doc ...: 1 keys, 0 changes>, Edit("doc['n'] = ck.Counter(5)"))
    """

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __call__(self, doc: Any) -> None:
        exec(_compiled(self.code), {"doc": doc, "ck": crdtkv})

    def __repr__(self) -> str:
        return f"Edit({self.code!r})"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.edit(self)

    def __eq__(self, other: object) -> bool:
        return self.code == other.code if isinstance(other, Edit) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.code)


@lru_cache(8192)
def _compiled(code: str) -> CodeType:
    return compile(code, "<edit>", "exec")


def literal(value: Any) -> str:
    """A value as Python that gives it back, infinities too.

    >>> literal({"a": [float("inf"), {1}, set()]})
    "{'a': [float('inf'), {1}, set()]}"
    """
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, set) and value:
        return "{" + ", ".join(sorted(map(literal, value))) + "}"
    return repr(value)


# ---- what decides


class Choice(Protocol):
    """What decides where there is a choice: a random number generator, or Hypothesis."""

    def below(self, n: int, /) -> int:
        """A number from 0 to n - 1; 0 is the simplest."""
        ...

    def scalar(self) -> Scalar:
        """A value that is no container; no NaN."""
        ...

    def string(self) -> str:
        """Characters to insert; may be empty."""
        ...


class Chance:
    """Choices of a random number generator. Small alphabets, so that replicas meet.

    >>> import random
    >>> Chance(random.Random(1)).below(1)
    0
    """

    __slots__ = ("rng",)

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def below(self, n: int, /) -> int:
        return int(self.rng.random() * n)

    def scalar(self) -> Scalar:
        kind = self.below(8)
        if kind < 4:
            return pick(self, NUMBERS)
        return pick(self, BYTES) if kind == 4 else None if kind == 5 else pick(self, WORDS)

    def string(self) -> str:
        return pick(self, WORDS)


def pick(choose: Choice, of: Sequence[T]) -> T:
    return of[choose.below(len(of))]


# ---- what an edit may be


def an_edit(doc: Mapping[Any, Any], choose: Choice) -> Edit:
    """An edit that is legal for the document or datastore as it is now, somewhere in it.

    >>> import random
    >>> import crdtkv as ck
    >>> doc, choose = ck.Doc(), Chance(random.Random(4))
    >>> for _ in range(100):
    ...     an_edit(doc, choose)(doc)
    """
    place: Any = doc
    path = "doc"
    for _ in range(DEEP):
        if isinstance(place, Map | Doc) and len(place):
            keys: Sequence[Any] = list(place)
        elif isinstance(place, List) and len(place):
            keys = range(len(place))
        else:
            break
        key: Any = pick(choose, keys)
        inner = place[key]
        if not isinstance(inner, Map | List | Text | Set | Counter) or not choose.below(6):
            break
        place, path = inner, f"{path}[{key!r}]"
    for kind, edits in EDITS.items():
        if isinstance(place, kind):
            return Edit(path + edits(place, choose))
    raise TypeError(f"no edits of a {type(place).__name__} are known")


def content(choose: Choice) -> str:
    """A value: mostly a scalar, else a small container."""
    kind = choose.below(16)
    if kind < 8:
        return literal(choose.scalar())
    if kind == 8:
        return f"ck.Text({choose.string()!r})"
    if kind == 9:
        return f"ck.Counter({literal(pick(choose, (0, 1, -5)))})"
    if kind == 10:
        return f"{{'a': {literal(choose.scalar())}, 'b': {pick(choose, CONTAINERS)}}}"
    if kind == 11:
        return literal({choose.scalar(), choose.scalar()})
    if kind == 12:
        return literal([choose.scalar(), choose.scalar(), [choose.scalar()]])
    return pick(choose, CONTAINERS)


def of_map(place: Mapping[str, Any], choose: Choice) -> str:
    key = pick(choose, KEYS)
    kind = choose.below(9)
    if kind < 3:
        return f"[{key!r}] = {content(choose)}"
    if kind < 5:
        which = choose.below(len(CONTAINERS))  # the same kind has the same key everywhere: replicas share it
        shared = "tlmsn"[which]
        if shared not in place:
            return f".setdefault({shared!r}, {CONTAINERS[which]})"
    elif kind < 7 and len(place):
        return f".pop({pick(choose, list(place))!r})"
    elif kind == 7 and not choose.below(8):
        return ".clear()"
    return f".update({literal_pair(key, choose)})"


def literal_pair(key: str, choose: Choice) -> str:
    other = pick(choose, KEYS)
    both = f", {other!r}: {content(choose)}" if other != key else ""
    return f"{{{key!r}: {content(choose)}{both}}}"


def opaque(choose: Choice) -> str:
    """A value of a datastore; some are long enough to stand apart from their headers."""
    kind = choose.below(8)
    if kind < 4:
        return literal(choose.scalar())
    if kind < 6:
        return f"['long' * 12, {literal(choose.scalar())}]"
    return literal([choose.scalar(), {"a": [choose.scalar()]}] if kind == 6 else {"a": choose.scalar(), "b": {}})


def of_datastore(place: Datastore, choose: Choice) -> str:
    name = pick(choose, KEYS)
    key = literal(name.encode() if not choose.below(4) else name)
    kind = choose.below(12)
    if kind < 3:
        return f"[{key}] = {opaque(choose)}"
    if kind < 5:
        return f".put({key}, {opaque(choose)}, dag={pick(choose, DAGS)!r})"
    if kind < 7:
        return f".delete({key}, dag={pick(choose, DAGS)!r})"
    if kind < 9:
        count = pick(choose, ("increment", "decrement"))
        return f".counter({pick(choose, NAMES)!r}).{count}({pick(choose, (1, 7, 0, 2**63 - 1))})"
    if kind == 9:
        return f".update({{{key}: {opaque(choose)}, 'z': {opaque(choose)}}})"
    if kind == 10:
        return ".compact()" if not choose.below(3) else f".setdefault({key}, {opaque(choose)})"
    return f".pop({key}, None)" if choose.below(8) else ".clear()"


def of_list(place: List, choose: Choice) -> str:
    n = len(place)
    kind = choose.below(9)
    if kind < 2 or not n:
        return f".insert({choose.below(n + 1)}, {content(choose)})"
    at = choose.below(n)
    if kind < 4:
        return f".move({at}, {choose.below(n)})"
    if kind == 4:
        return f"[{at}] = {content(choose)}"
    if kind == 5 or n > MANY:
        return f".pop({at})"
    if kind == 6:
        return f"[{at}:{min(n, at + 2)}] = [{literal(choose.scalar())}, {literal(choose.scalar())}, {content(choose)}]"
    if kind == 7:
        return f".extend([{content(choose)}, {literal(choose.scalar())}])"
    return ".reverse()" if not choose.below(4) else f".append({literal(choose.scalar())})"


def of_text(place: Text, choose: Choice) -> str:
    n = len(place)
    kind = choose.below(8)
    start = choose.below(n + 1)
    end = start + choose.below(min(n - start, MANY) + 1)
    if kind < 3:
        return f".insert({start}, {choose.string()!r})"
    if kind == 3 or n > 4 * MANY:
        return f".delete({start}, {end - start})"
    if kind == 4:
        return f".splice({start}, {end - start}, {choose.string()!r})"
    if kind == 5 or start == end:
        return f".update({str(place)[::-1]!r})"
    name = pick(choose, MARKS)
    if kind == 6:
        return f".mark({start}, {end}, {name!r}, {literal(choose.scalar())}, {pick(choose, EXPAND)!r})"
    return f".unmark({start}, {end}, {name!r})"


def of_set(place: Set, choose: Choice) -> str:
    kind = choose.below(4)
    if kind < 2:
        return f".add({literal(choose.scalar())})"
    if kind == 2 and len(place):
        return f".remove({literal(pick(choose, list(place)))})"
    return f".discard({literal(choose.scalar())})"


def of_counter(place: Counter, choose: Choice) -> str:
    return f".{pick(choose, ('increment', 'decrement'))}({pick(choose, (1, 7, 0, 2**63 - 1))})"


EDITS: dict[type, Callable[[Any, Choice], str]] = {
    Datastore: of_datastore,
    Doc: of_map,
    Map: of_map,
    List: of_list,
    Text: of_text,
    Set: of_set,
    Counter: of_counter,
}
