"""Patch: one step from one version of a document to another."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple, final

from crdtkv.brief import briefly
from crdtkv.listing import Listing

__all__ = ["MISSING", "Patch", "PatchList", "mirror"]


@final
class _Missing:
    """The type of MISSING."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"

    def __copy__(self) -> _Missing:
        return self

    def __deepcopy__(self, memo: object) -> _Missing:
        return self


MISSING: Final = _Missing()
"""Stands for a value that is not there, where None would be one."""


@briefly
class Patch(NamedTuple):
    """One step. `path` leads to the container; `old` and `new` are plain values, MISSING where there is none.

    =========  ==============  ============  ====================================================
    container  kind            position
    =========  ==============  ============  ====================================================
    map        set, remove     the key
    list       insert, remove  index         `new` or `old`: a list of values
    list       set, move       index         move: `new` is the index after the item was taken out
    text       insert, remove  index         `new` or `old`: a str
    text       mark            (start, end)  the names that changed: dicts
    set        add, discard    None          `new` or `old`: the member
    counter    count           None          totals
    =========  ==============  ============  ====================================================

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> doc.diff((), doc.heads)
    [Patch(path=(), kind='set', position='x', old=MISSING, new=1)]
    """

    path: tuple[str | int, ...]
    kind: str
    position: str | int | tuple[int, int] | None
    old: Any = MISSING
    new: Any = MISSING

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.patch(self)


FIELDS = ("path", "kind", "position", "old", "new")


class PatchList(Listing[Patch]):
    """A list of patches, in order of application. Doc.diff() makes it.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> mirror({}, doc.diff((), doc.heads))
    {'x': 1}
    """

    __slots__ = ()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each patch. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(map(attrgetter(*FIELDS), self), FIELDS)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.patches(self)


def mirror(plain: Any, patches: Iterable[Patch]) -> Any:
    """What a plain value (dict, list, set, str, int) becomes by patches; the value given stays as it is.

    Marks leave no trace in a str.

    >>> mirror({"x": [1, 2]}, [Patch(("x",), "insert", 0, new=[0])])
    {'x': [0, 1, 2]}
    """
    box = [_copy(plain)]
    for patch in patches:
        holder: Any = box
        step: Any = 0
        for deeper in patch.path:
            holder, step = holder[step], deeper
        holder[step] = _follow(holder[step], patch)
    return box[0]


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    return set(value) if isinstance(value, set) else value


def _follow(value: Any, patch: Patch) -> Any:
    at: Any = patch.position
    if isinstance(value, dict):
        if patch.kind == "set":
            value[at] = _copy(patch.new)
        else:
            del value[at]
    elif isinstance(value, list):
        if patch.kind == "insert":
            value[at:at] = _copy(patch.new)
        elif patch.kind == "remove":
            del value[at : at + len(patch.old)]
        elif patch.kind == "set":
            value[at] = _copy(patch.new)
        else:
            value.insert(patch.new, value.pop(at))
    elif isinstance(value, set):
        if patch.old is not MISSING:
            is_nan = patch.old != patch.old  # there is one at most, and set.remove() does not find it
            value.remove(next(member for member in value if member != member) if is_nan else patch.old)
        if patch.new is not MISSING:
            value.add(patch.new)
    elif isinstance(value, str):
        if patch.kind == "insert":
            return value[:at] + patch.new + value[at:]
        if patch.kind == "remove":
            return value[:at] + value[at + len(patch.old) :]
    else:
        return patch.new
    return value
