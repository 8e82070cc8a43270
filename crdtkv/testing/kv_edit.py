"""Edits of a datastore, one line of Python each."""

from __future__ import annotations

from collections.abc import Sequence

from crdtkv.testing.edit import DAGS, KEYS, NAMES, Choice, Edit, literal, opaque, pick

__all__ = ["DAGS", "a_batch", "a_write"]

AMOUNTS = (1, 7, 0, 2**63 - 1)


def a_key(choose: Choice) -> str:
    """Few of them, so that replicas meet."""
    name = pick(choose, KEYS)
    return literal(name.encode() if not choose.below(4) else name)


def a_count(choose: Choice) -> str:
    return f"({pick(choose, NAMES)!r}).{pick(choose, ('increment', 'decrement'))}({pick(choose, AMOUNTS)})"


def a_write(choose: Choice, dags: Sequence[str]) -> Edit:
    """One line about `doc`, a datastore, that is legal whatever is in it. Writes to these DAGs, the first is "default".

    >>> import random
    >>> import crdtkv as ck
    >>> from crdtkv.testing.edit import Chance
    >>> kv, choose = ck.Datastore(), Chance(random.Random(4))
    >>> for _ in range(100):
    ...     a_write(choose, DAGS)(kv)
    """
    kind = choose.below(12)
    if kind < 3:
        return Edit(f"doc[{a_key(choose)}] = {opaque(choose)}")
    if kind < 6:
        return Edit(f"doc.put({a_key(choose)}, {opaque(choose)}, dag={pick(choose, dags)!r})")
    if kind < 8:
        return Edit(f"doc.delete({a_key(choose)}, dag={pick(choose, dags)!r})")
    if kind < 10:
        return Edit(f"doc.counter{a_count(choose)}")
    if kind == 10:
        return Edit(f"doc.update({{{a_key(choose)}: {opaque(choose)}, 'z': {opaque(choose)}}})")
    return Edit(f"doc.pop({a_key(choose)}, None)" if choose.below(6) else "doc.clear()")


def a_batch(choose: Choice, dags: Sequence[str]) -> list[Edit]:
    """A few lines about `doc`, a batch."""
    edits = []
    for _ in range(1 + choose.below(5)):
        kind = choose.below(6)
        if kind < 3:
            line = f"put({a_key(choose)}, {opaque(choose)}, dag={pick(choose, dags)!r})"
        elif kind == 3:
            line = f"delete({a_key(choose)}, dag={pick(choose, dags)!r})"
        else:
            count = pick(choose, ("increment", "decrement"))
            line = f"{count}({pick(choose, NAMES)!r}, {pick(choose, AMOUNTS)})"
        edits.append(Edit(f"doc.{line}"))
    return edits
