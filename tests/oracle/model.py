"""Replica: what a set of changes means. Slow, and a function of the set alone.

A change that is authenticated is put into `waiting`. When its ancestors are here it is judged, once and for all, by its
causal past: applied, void, later or refused. All else (heads, root, text, values) is computed when asked.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Any

from .body import TEXT, parse_body
from .bundle import APART, IN_HEADER, LEFT_OUT, OMITTED, REFERRED, Chain, Item, Lane, read_bundle, write_bundle
from .effects import Scalar, Value
from .fugue import ItemId
from .graph import Change, Graph
from .judge import Judge
from .proof import Proof, Side, write_proof
from .view import Plain, View
from .wire import (
    INLINE,
    Header,
    Later,
    Refused,
    Void,
    body_hash_of,
    check_header,
    digest,
    is_valid_key,
    lane_id_of,
    parse_header,
    signature_holds,
    signed_message,
)

APPLIED, VOID = "applied", "void"
MAX_RUN, MAX_RUN_BYTES = 1024, 256 * 1024


@dataclass
class Report:
    applied: list[bytes] = field(default_factory=list)
    void: list[bytes] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    later: list[bytes] = field(default_factory=list)
    refused: list[tuple[bytes, str]] = field(default_factory=list)
    known: list[bytes] = field(default_factory=list)
    omitted: list[bytes] = field(default_factory=list)  # authentic, the body is not here


@dataclass(frozen=True)
class Equivocation:
    author: bytes
    lane: bytes
    seq: int
    a: bytes
    b: bytes
    proof: bytes


class Replica(Graph):
    """One document as one peer sees it."""

    type = 1  # of headers

    def __init__(self, doc_id: bytes) -> None:
        super().__init__()
        self.doc_id = doc_id
        self.waiting: dict[bytes, Change] = {}
        self.later: dict[bytes, Change] = {}
        self.covers: dict[bytes, list[Item]] = {}  # behind a change without a signature: the headers to the next one

    # Taking changes in

    def apply(self, data: bytes) -> Report:
        """Take a bundle in. `Malformed` leaves everything as it was."""
        bundle = read_bundle(data, self.doc_id, self.type)
        report = Report()
        waited = set(self.waiting)
        here = {*self.changes, *self.waiting, *self.later}
        for chain in bundle.chains:
            self.admit(chain, report)
        self.release(report)
        report.known = [id for id in report.known if id in here]
        report.refused = [(id, reason) for id, reason in report.refused if not self.find(id)]
        report.waiting = [id for id in self.waiting if id not in waited]
        return report

    def find(self, id: bytes) -> Change | None:
        return self.changes.get(id) or self.waiting.get(id) or self.later.get(id)

    def admit(self, chain: Chain, report: Report) -> None:
        """Authenticate a chain: what a signature covers goes to `waiting`, the rest is refused."""
        lane = chain.lane
        reason = self.wrong_with_lane(lane)
        headers: list[Header] = []
        reasons: list[str] = []
        for item in chain.items:
            try:
                header = parse_header(item.header)
            except Refused as refusal:
                reason = reason or str(refusal)
                break
            if headers and (header.seq != headers[-1].seq + 1 or header.prev != chain.items[len(headers) - 1].id):
                reason = reason or "does not follow the change before it"
                break
            headers.append(header)
            reasons.append(reason or wrong_with(item, header, self.type))
        covered = [] if self.wrong_with_lane(lane) else self.covered(chain.items[: len(headers)], headers, lane)
        for k, item in enumerate(chain.items):
            known = self.find(item.id)
            if known:
                if k >= len(headers) or not self.attach(item, report, k in covered):
                    report.known.append(item.id)
                if item.signature and k < len(headers) and self.holds(item, headers[k], lane):
                    known.signature = item.signature
            elif k >= len(headers):
                report.refused.append((item.id, reason))
            elif reasons[k] and item.body_form != OMITTED:
                report.refused.append((item.id, reasons[k]))
            elif k not in covered:
                report.refused.append((item.id, "no signature that holds"))
            elif item.body_form == OMITTED:
                report.omitted.append(item.id)
            else:
                header = headers[k]
                body = self.body_of(item, header)
                signature = item.signature if item.signature and self.holds(item, header, lane) else None
                self.waiting[item.id] = Change(item.id, lane, item.header, header, body, signature)
                if signature is None:
                    self.covers[item.id] = self.cover(chain.items[k + 1 :], headers[k + 1 :], lane)

    def attach(self, item: Item, report: Report, is_covered: bool) -> bool:
        """The body of a change that is here without it, if this brings one."""
        return False

    def body_of(self, item: Item, header: Header) -> bytes:
        return header.body_ref if item.body is None else item.body

    def wrong_with_lane(self, lane: Lane) -> str:
        if lane.form == REFERRED:
            return "the lane has no opening here"
        if lane.id != lane_id_of(self.doc_id, lane.key, lane.nonce):
            return "lane_id is not that of the opening"
        return "" if is_valid_key(lane.key) else "the author key is no valid point"

    def holds(self, item: Item, header: Header, lane: Lane) -> bool:
        if item.signature is None or header.seq > 0xFFFFFFFF:
            return False
        return signature_holds(lane.key, signed_message(self.doc_id, lane.id, header.seq, item.id), item.signature)

    def cover(self, items: list[Item], headers: list[Header], lane: Lane) -> list[Item]:
        """Without bodies, up to the first with a signature that holds."""
        out = []
        for item, header in zip(items, headers, strict=False):
            holds = self.holds(item, header, lane)
            out.append(Item(item.lane_id, item.header, OMITTED, None, item.signature if holds else None))
            if holds:
                return out
        raise AssertionError("this change is covered")

    def covered(self, items: list[Item], headers: list[Header], lane: Lane) -> set[int]:
        """Places at or before a signature that holds, in a run that is not too long."""
        out: set[int] = set()
        run: list[int] = []
        for k, item in enumerate(items):
            run.append(k)
            if item.id in self.changes:
                run = []
            elif self.holds(item, headers[k], lane):
                if len(run) <= MAX_RUN and sum(headers[j].body_len for j in run[:-1]) <= MAX_RUN_BYTES:
                    out.update(run)
                run = []
        return out

    def release(self, report: Report) -> None:
        """Judge what has all its ancestors, until nothing moves."""
        moved = True
        while moved:
            moved = False
            for change in list(self.waiting.values()):
                reason = self.wrong_with_ancestors(change)
                if reason:
                    report.refused.append((change.id, reason))
                elif all(id in self.changes for id in change.ancestors):
                    self.judge(change, report)
                else:
                    continue
                del self.waiting[change.id]
                moved = True

    def wrong_with_ancestors(self, change: Change) -> str:
        prev = self.changes.get(change.header.prev or b"")
        if prev and (prev.lane.id != change.lane.id or prev.header.seq + 1 != change.header.seq):
            return "prev is of another lane, or not one less"
        if any(id in self.changes and self.changes[id].lane.id == change.lane.id for id in change.header.parents):
            return "a parent of the own lane"
        return ""

    def judge(self, change: Change, report: Report) -> None:
        change.past = self.past_of(change.ancestors)
        change.clock = 1 + max((self.changes[id].clock for id in change.ancestors), default=0)
        try:
            body = parse_body(change.body, len(change.header.parents))
            change.effects = Judge(self, change).effects(body)
        except Later as later:
            change.reason = str(later)
            self.later[change.id] = change
            report.later.append(change.id)
            return
        except Void as void:
            change.verdict, change.reason = VOID, str(void)
            report.void.append(change.id)
        else:
            change.verdict = APPLIED
            report.applied.append(change.id)
        self.changes[change.id] = change

    # The graph

    @property
    def heads(self) -> tuple[bytes, ...]:
        named = {id for change in self.changes.values() for id in change.ancestors}
        return tuple(sorted(set(self.changes) - named))

    @property
    def missing(self) -> tuple[bytes, ...]:
        """What the waiting changes name and is neither here nor waiting. What is for a later version is not here."""
        named = {id for change in self.waiting.values() for id in change.ancestors}
        return tuple(sorted(named - {*self.changes, *self.waiting}))

    @property
    def root(self) -> bytes:
        went_on = {change.header.prev for change in self.changes.values()}
        tips = [change for change in self.changes.values() if change.id not in went_on]
        entries = sorted(tip.lane.id + (tip.header.seq + 1).to_bytes(4, "little") + tip.id for tip in tips)
        buckets = []
        for b in range(256):
            here = b"".join(entry for entry in entries if entry[0] == b)
            buckets.append(digest(b"crdtkv-bucket-v1", here) if here else bytes(32))
        return digest(b"crdtkv-root-v1", self.doc_id + b"".join(buckets))

    def equivocations(self) -> list[Equivocation]:
        """One for each (lane, seq) at which a lane parts, by the two smallest siblings there."""
        siblings: dict[tuple[bytes, int, bytes], list[bytes]] = {}
        for change in self.changes.values():
            siblings.setdefault((change.lane.id, change.header.seq, change.header.prev or b""), []).append(change.id)
        found: dict[tuple[bytes, int], list[bytes]] = {}
        for (lane, seq, _), ids in siblings.items():
            if len(ids) > 1 and ((lane, seq) not in found or min(ids) < found[lane, seq][0]):
                found[lane, seq] = sorted(ids)
        out = []
        for (lane, seq), (a, b, *_) in sorted(found.items()):
            opening = self.changes[a].lane
            sides = self.path_to_signature(a), self.path_to_signature(b)
            proof = Proof(self.doc_id, opening.key, opening.nonce, seq, sides)
            out.append(Equivocation(opening.key, lane, seq, a, b, write_proof(proof)))
        return out

    def path_to_signature(self, id: bytes) -> Side:
        """Headers from this change on, breadth first, to the nearest signed one."""
        kept = (self.changes, self.waiting, self.later)
        every = sorted((change for part in kept for change in part.values()), key=lambda change: change.id)
        todo = [[self.changes[id]]]
        for path in todo:
            tip = path[-1]
            if tip.signature:
                return Side(tuple(change.raw for change in path), tip.signature)
            if tip.id in self.covers:
                *_, last = behind = self.covers[tip.id]
                assert last.signature
                return Side((*(change.raw for change in path), *(item.header for item in behind)), last.signature)
            todo += [[*path, change] for change in every if change.header.prev == tip.id]
        raise AssertionError("a change without a signature at or behind it")

    def export(self, ids: Collection[bytes] | None = None, codec: int = 0) -> bytes:
        """These changes (all that are applied or void) as a bundle of raw chains."""
        chains: list[Chain] = []
        slices: list[tuple[int, int]] = []
        for change in [*self.changes.values(), *(self.later.values() if ids else [])]:
            if ids is not None and change.id not in ids:
                continue
            own = [k for k, chain in enumerate(chains) if chain.items[-1].id == change.header.prev]
            k = own[0] if own else len(chains)
            if not own:
                chains.append(Chain(change.lane))
            form, body = (IN_HEADER, None) if len(change.body) <= INLINE else (APART, change.body)
            chains[k].items.append(Item(change.lane.id, change.raw, form, body, change.signature))
            slices.append((k, 1))
        for k, chain in enumerate(chains):
            last = chain.items[-1]
            if last.signature is None:
                behind = self.covers[last.id]
                chain.items += behind
                slices.append((k, len(behind)))
        return write_bundle(self.doc_id, chains, slices, None, codec)

    # What the changes say

    def view(self, version: Collection[bytes] | None = None) -> View:
        """The content as of these changes, ancestors among them (as of all)."""
        return View(self.everything(version))

    def texts(self) -> list[ItemId]:
        """Every Text ever made, shown or not, by the order of operations."""
        return self.view().containers(TEXT)

    def text(self, container: ItemId, version: Collection[bytes] | None = None) -> str:
        return self.view(version).text(container)

    def spans(self, container: ItemId, version: Collection[bytes] | None = None) -> list[tuple[str, dict[str, Scalar]]]:
        return self.view(version).spans(container)

    def values(self, key: str) -> list[Value]:
        """What a key of the root holds, in ascending order; the last is shown."""
        return self.view().values(None, key)

    def registers(
        self, container: ItemId | None = None, version: Collection[bytes] | None = None
    ) -> dict[Hashable, list[Plain]]:
        """All that each key, member or element of a container holds, in ascending order; the last is shown."""
        view = self.view(version)
        return {name: [view.plain(value) for value in held] for name, held in view.registers(container).items()}

    def to_py(self, version: Collection[bytes] | None = None) -> dict[str, Any]:
        content = self.view(version).to_py()
        assert isinstance(content, dict)
        return content


def wrong_with(item: Item, header: Header, type: int = 1) -> str:
    """The rules on header and body that one change alone can break."""
    try:
        check_header(header, type)
    except Refused as refusal:
        return str(refusal)
    if item.body_form == IN_HEADER and header.body_len > INLINE:
        return "the header has no body"
    if item.body_form in (APART, LEFT_OUT) and header.body_len <= INLINE:
        return "the body stands in the header"
    if item.body is not None and (len(item.body) != header.body_len or body_hash_of(item.body) != header.body_ref):
        return "not this body"
    return ""
