"""The graph of changes, what each has made, and what the refs of a body can name in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from .body import InChange, InLane, Own, Parent, Ref
from .bundle import Lane
from .effects import Effects
from .fugue import ItemId
from .wire import Header, Void


@dataclass
class Change:
    id: bytes
    lane: Lane
    raw: bytes  # the header as it travelled
    header: Header
    body: bytes
    signature: bytes | None = None
    past: frozenset[bytes] = frozenset()  # strictly
    clock: int = 0
    verdict: str = ""
    reason: str = ""
    effects: Effects = field(default_factory=Effects)

    @property
    def ancestors(self) -> tuple[bytes, ...]:
        return self.header.parents if self.header.prev is None else (self.header.prev, *self.header.parents)


class Graph:
    """Changes that are applied or void, ancestors first."""

    def __init__(self) -> None:
        self.changes: dict[bytes, Change] = {}

    def past_of(self, ids: Iterable[bytes]) -> frozenset[bytes]:
        """These changes and all behind them."""
        out: set[bytes] = set()
        for id in ids:
            out |= self.changes[id].past | {id}
        return frozenset(out)

    def chain_items(self, tip: bytes | None) -> list[ItemId]:
        """The items of a lane up to this change, by their offset."""
        chain: list[Change] = []
        while tip is not None:
            chain.append(self.changes[tip])
            tip = self.changes[tip].header.prev
        return [item for change in reversed(chain) for item in change.effects.made]

    def of_lane(self, lane_id: bytes, past: Collection[bytes]) -> list[Change]:
        return [self.changes[id] for id in past if self.changes[id].lane.id == lane_id]

    def everything(self, past: Collection[bytes] | None = None) -> Effects:
        """All effects of these changes (of all)."""
        out = Effects()
        for change in self.changes.values():
            if past is None or change.id in past:
                out.add(change.effects)
        return out


class Naming:
    """What one change can name, and the one way to name it."""

    def __init__(self, graph: Graph, lane_id: bytes, prev: bytes | None, parents: Iterable[bytes]) -> None:
        self.graph = graph
        self.lane_id = lane_id
        self.parents = list(parents)
        self.past = graph.past_of([*self.parents, prev] if prev else self.parents)
        self.own = graph.chain_items(prev)  # the change adds what it makes
        self.chains = [graph.chain_items(parent) for parent in self.parents]

    def lane_items(self, lane_id: bytes) -> list[ItemId] | None:
        """The items of a lane in the causal past; None if it forks there, or is not there."""
        changes = self.graph.of_lane(lane_id, self.past)
        seqs = [change.header.seq for change in changes]
        if not changes or len(set(seqs)) < len(seqs):
            return None
        return self.graph.chain_items(max(changes, key=lambda change: change.header.seq).id)

    def resolve(self, ref: Ref) -> ItemId:
        if isinstance(ref, Own):
            items: list[ItemId] | None = self.own[::-1]
            offset = ref.distance - 1
        else:
            offset = ref.offset
            if isinstance(ref, Parent):
                items = self.chains[ref.index]
            elif isinstance(ref, InLane):
                items = self.lane_items(ref.lane)
            else:
                items = self.graph.changes[ref.change].effects.made if ref.change in self.past else None
        if items is None or offset >= len(items):
            raise Void("names no item of the causal past")
        return items[offset]

    def name(self, item: ItemId) -> Ref:
        if item in self.own:
            return Own(len(self.own) - self.own.index(item))
        for i, chain in enumerate(self.chains):
            if item in chain:
                return Parent(i, chain.index(item))
        lane_id = self.graph.changes[item.change].lane.id
        items = self.lane_items(lane_id)
        return InChange(*item) if items is None else InLane(lane_id, items.index(item))
