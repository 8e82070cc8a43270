"""Hypothesis strategies: values, documents and edits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from crdtkv import Datastore, Doc
from crdtkv.testing.edit import Edit, Scalar, an_edit
from crdtkv.testing.replica import replica

try:
    import hypothesis.strategies as st
    from hypothesis import note
except ImportError as error:
    raise ImportError("strategies need hypothesis: pip install crdtkv[testing]") from error

__all__ = ["documents", "edits", "values"]

AUTHORS = 3
STEPS = 12


def scalars() -> st.SearchStrategy[Scalar]:
    """Whatever is no container; no NaN, which is not even equal to itself."""
    return (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.text(max_size=8)
        | st.binary(max_size=8)
    )


def values(max_leaves: int = 8) -> st.SearchStrategy[Any]:
    """What `doc[key] = value` takes and gives back equal: scalars, and lists, dicts and sets of them, nested.

    >>> from hypothesis import given
    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> @given(testing.values())
    ... def test(value):
    ...     doc = ck.Doc()
    ...     doc["k"] = value
    ...     assert doc["k"] == value and ck.Doc.load(doc.save()) == {"k": value}
    >>> test()
    """
    return st.recursive(
        scalars() | st.sets(scalars(), max_size=4),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=max_leaves,
    )


class Draws:
    """Choices that Hypothesis makes, and makes simpler when a test fails."""

    __slots__ = ("draw",)

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw

    def below(self, n: int, /) -> int:
        result: int = self.draw(st.integers(0, n - 1))
        return result

    def scalar(self) -> Scalar:
        result: Scalar = self.draw(scalars())
        return result

    def string(self) -> str:
        result: str = self.draw(st.text(max_size=6) | st.text("ab", max_size=3))
        return result


@st.composite
def edits(draw: st.DrawFn, doc: Doc | Datastore) -> Edit:
    """An edit that is legal for the document, or datastore, as it is now: a callable that reads like Python.

    >>> from hypothesis import given, strategies as st
    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> @given(testing.documents(), st.data())
    ... def test(doc, data):
    ...     edit = data.draw(testing.edits(doc))
    ...     twin = doc.fork()
    ...     edit(doc)
    ...     edit(twin)
    ...     assert doc == twin
    >>> test()
    """
    return an_edit(doc, Draws(draw))


@st.composite
def documents(draw: st.DrawFn, max_edits: int = STEPS) -> Doc:
    """A document with content, of one author or several, who have not always heard of each other.

    Each has an id of its own. A test that fails prints how it was made.

    >>> from hypothesis import given
    >>> from crdtkv import testing
    >>> @given(testing.documents())
    ... def test(doc):
    ...     assert doc.fork() == doc and not doc.waiting
    >>> test()
    """
    number = next(draw(st.shared(st.builds(count), key="crdtkv.testing.documents")))
    authors = draw(st.integers(1, AUTHORS))
    replicas = [replica(number, i) for i in range(authors)]
    told = [f"replicas = [testing.replica({number}, i) for i in range({authors})]"]
    for _ in range(draw(st.integers(0, max_edits))):
        i = draw(st.integers(0, authors - 1))
        what = draw(st.integers(0, 5))
        if what < 4:
            edit = draw(edits(replicas[i]))
            edit(replicas[i])
            told.append(f"{edit}(replicas[{i}])")
        elif what == 4 or authors == 1:
            replicas[i].commit()
            told.append(f"replicas[{i}].commit()")
        else:
            j = draw(st.integers(0, authors - 1))
            replicas[i].merge(replicas[j])
            told.append(f"replicas[{i}].merge(replicas[{j}])")
    for i in range(1, authors):
        replicas[0].merge(replicas[i])
        told.append(f"replicas[0].merge(replicas[{i}])")
    note("\n    ".join(["documents() made this, and gave replicas[0]:", *told]))
    return replicas[0]
