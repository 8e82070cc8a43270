"""Graph: the hash graph of a document or datastore, for looking at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload

from crdtkv import _core

__all__ = ["Graph", "Node"]


class Node(NamedTuple):
    """One change in a Graph. `prev` and `parents` are ids of changes before it, in the picture or not."""

    id: bytes
    author: bytes
    lane: bytes
    dag: str | None
    seq: int
    prev: bytes | None
    parents: tuple[bytes, ...]
    n_ops: int
    is_head: bool
    is_fork: bool
    void: str | None


def quoted(text: str) -> str:
    """As DOT writes a string; nothing in it can end it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Graph(Sequence[Node]):
    """The newest changes of a hash graph, parents before children: a sequence of Node.

    Made by Doc.graph() and Datastore.graph().

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> graph = doc.graph()
    >>> len(graph), graph[0].seq, graph[0].is_head
    (1, 0, True)
    """

    __slots__ = ("_n_left_out", "_nodes")

    def __init__(self, changes: Sequence[_core.Change], heads: Iterable[bytes], limit: int) -> None:
        if limit < 1:
            raise ValueError("limit must be at least 1")
        shown = changes[-limit:]
        self._n_left_out = len(changes) - len(shown)
        heads = set(heads)
        twins: dict[tuple[bytes, bytes | None], int] = {}
        for c in changes:
            twins[c.lane, c.prev] = twins.get((c.lane, c.prev), 0) + 1
        self._nodes = [
            Node(
                c.id,
                c.author,
                c.lane,
                c.dag,
                c.seq,
                c.prev,
                tuple(c.parents),
                c.n_ops,
                c.id in heads,
                twins[c.lane, c.prev] > 1,
                c.void,
            )
            for c in shown
        ]

    @property
    def n_left_out(self) -> int:
        """How many older changes there are."""
        return self._n_left_out

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> list[Node]: ...
    def __getitem__(self, index: int | slice) -> Node | list[Node]:
        return self._nodes[index]

    def __repr__(self) -> str:
        more = f", {self.n_left_out} older ones left out" if self.n_left_out else ""
        lanes = len({node.lane for node in self})
        return f"<Graph: {len(self)} changes in {lanes} lanes{more}>"

    def to_dot(self) -> str:
        """The graph in Graphviz's language: a row for each lane, forks and void changes marked in words.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> print(doc.graph().to_dot().splitlines()[0])
        digraph crdtkv {
        """
        lines = ["digraph crdtkv {", "  rankdir=LR; node [shape=box, fontname=monospace];"]
        lanes: dict[bytes, list[Node]] = {}
        for node in self:
            lanes.setdefault(node.lane, []).append(node)
        for number, (lane, nodes) in enumerate(lanes.items()):
            name = f"{nodes[0].dag} " if nodes[0].dag else ""
            title = f"{name}lane {lane.hex()[:8]} of {nodes[0].author.hex()[:8]}"
            lines.append(f"  subgraph cluster_{number} {{ label={quoted(title)};")
            for node in nodes:
                words = [node.id.hex()[:8], f"{node.seq}: {node.n_ops} ops"]
                words += ["head"] * node.is_head + ["fork"] * node.is_fork + ["void"] * (node.void is not None)
                style = ", style=dashed" if node.void is not None else ", peripheries=2" if node.is_fork else ""
                lines.append(f"    {quoted(node.id.hex())} [label={quoted(chr(10).join(words))}{style}];")
            lines.append("  }")
        here = {node.id for node in self}
        for node in self:
            if node.prev is not None and node.prev in here:
                lines.append(f"  {quoted(node.prev.hex())} -> {quoted(node.id.hex())};")
            lines += [
                f"  {quoted(p.hex())} -> {quoted(node.id.hex())} [style=dotted];" for p in node.parents if p in here
            ]
        return "\n".join([*lines, "}", ""])
