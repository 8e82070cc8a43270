"""Graph: the hash graph of a document or datastore, for looking at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol, overload

from crdtkv import _core

__all__ = ["Graph", "Node", "WaitingNode"]


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


class WaitingNode(NamedTuple):
    """A change that is not in the graph yet, because something that it builds on is not here."""

    id: bytes
    author: bytes
    lane: bytes
    seq: int
    prev: bytes | None
    parents: tuple[bytes, ...]


class Source(Protocol):
    """What a graph is made of: a Doc or a Datastore."""

    @property
    def heads(self) -> tuple[bytes, ...]: ...
    @property
    def missing(self) -> tuple[bytes, ...]: ...
    @property
    def identity(self) -> Any: ...
    def _glance(self) -> dict[str, int]: ...
    def _newest(self, n: int, /) -> list[_core.Change]: ...
    def _letters(self, n: int, /) -> list[_core._Letter]: ...


def quoted(text: str) -> str:
    """As DOT writes a string; nothing in it can end it, be taken for an entity of HTML, or not be seen."""
    seen = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    for character, written in (("&", "&amp;"), ("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        seen = seen.replace(character, written)
    return f'"{seen}"'


class Graph(Sequence[Node]):
    """The newest changes of a hash graph, parents before children: a sequence of Node. In a notebook, a picture.

    Made by Doc.graph() and Datastore.graph(). Reads no more than it shows.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> doc["x"] = 1
    >>> graph = doc.graph()
    >>> len(graph), graph[0].seq, graph[0].is_head
    (1, 0, True)
    """

    __slots__ = ("_missing", "_n_left_out", "_nodes", "_waiting", "_you")

    def __init__(self, source: Source, limit: int) -> None:
        if limit < 1:
            raise ValueError("limit must be at least 1")
        heads: Iterable[bytes] = set(source.heads)  # closes the open change
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
                c._has_twin,
                c.void,
            )
            for c in source._newest(limit)
        ]
        self._waiting = tuple(WaitingNode(*row[:6]) for row in source._letters(limit) if not row[6])
        self._missing = source.missing if self._waiting else ()
        self._n_left_out = max(0, source._glance()["changes"] - len(self._nodes))
        self._you: bytes = source.identity.public_key

    @property
    def n_left_out(self) -> int:
        """How many older changes there are."""
        return self._n_left_out

    @property
    def waiting(self) -> tuple[WaitingNode, ...]:
        """Changes that wait for others, in no order; as many as `limit` at most."""
        return self._waiting

    @property
    def missing(self) -> tuple[bytes, ...]:
        """The ids that they wait for."""
        return self._missing

    @property
    def you(self) -> bytes:
        """The public key of whoever asked for the graph."""
        return self._you

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
        more += f", {len(self.waiting)} waiting" if self.waiting else ""
        lanes = len({node.lane for node in self})
        return f"<Graph: {len(self)} changes in {lanes} lanes{more}>"

    # ---- as something else

    def to_dot(self) -> str:
        """The graph in Graphviz's language: a row for each lane; forks, void and waiting changes marked in words.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> doc["x"] = 1
        >>> print(doc.graph().to_dot().splitlines()[0])
        digraph crdtkv {
        """
        lines = ["digraph crdtkv {", "  rankdir=LR; node [shape=box, fontname=monospace];"]
        lanes: dict[bytes, list[Node | WaitingNode]] = {}
        for node in (*self, *self.waiting):
            lanes.setdefault(node.lane, []).append(node)
        for number, (lane, nodes) in enumerate(lanes.items()):
            dag = getattr(nodes[0], "dag", None)
            title = f"{f'{dag} ' if dag else ''}lane {lane.hex()[:8]} of {nodes[0].author.hex()[:8]}"
            lines.append(f"  subgraph cluster_{number} {{ label={quoted(title)};")
            lines += [f"    {dot_of(node)}" for node in nodes]
            lines.append("  }")
        here = {node.id for node in (*self, *self.waiting)}
        for node in (*self, *self.waiting):
            if node.prev is not None and node.prev in here:
                lines.append(f"  {quoted(node.prev.hex())} -> {quoted(node.id.hex())};")
            lines += [
                f"  {quoted(p.hex())} -> {quoted(node.id.hex())} [style=dotted];" for p in node.parents if p in here
            ]
        return "\n".join([*lines, "}", ""])

    def to_networkx(self) -> Any:
        """A networkx.DiGraph: ids with the fields of Node, edges from what came before. Needs crdtkv[networkx].

        An edge says whether it is a `prev`. What is left out of this graph is not in that one.
        """
        try:
            networkx = import_module("networkx")
        except ImportError as error:
            raise ImportError("to_networkx() needs networkx: pip install crdtkv[networkx]") from error
        graph = networkx.DiGraph()
        for node in self:
            graph.add_node(node.id, waiting=False, **{k: v for k, v in node._asdict().items() if k != "id"})
        for letter in self.waiting:
            graph.add_node(letter.id, waiting=True, **{k: v for k, v in letter._asdict().items() if k != "id"})
        for node in (*self, *self.waiting):
            before = [(node.prev, True), *((parent, False) for parent in node.parents)]
            graph.add_edges_from((id, node.id, {"prev": is_prev}) for id, is_prev in before if id and id in graph)
        return graph

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each change. Needs crdtkv[pandas]."""
        from crdtkv.notebook.frame import frame

        return frame(self, Node._fields)

    # ---- in a notebook

    def _repr_svg_(self) -> str:
        from crdtkv import notebook

        return notebook.graph_svg(self)

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.graph(self)


def dot_of(node: Node | WaitingNode) -> str:
    """A line of DOT that makes a node."""
    words = [node.id.hex()[:8]]
    if isinstance(node, WaitingNode):
        words += [f"{node.seq}", "waiting"]
        return f"{quoted(node.id.hex())} [label={quoted(chr(10).join(words))}, style=dotted];"
    words += [f"{node.seq}: {node.n_ops} ops"]
    words += ["head"] * node.is_head + ["fork"] * node.is_fork + ["void"] * (node.void is not None)
    style = ", style=dashed" if node.void is not None else ", peripheries=2" if node.is_fork else ""
    return f"{quoted(node.id.hex())} [label={quoted(chr(10).join(words))}{style}];"
