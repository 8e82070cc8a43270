"""The model and the core in lockstep: one store that is both, and says so when they part.

Its messages are the core's bytes, as the wire reader of the oracle understands them; its answers are those on which
both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import crdtkv as ck
from oracle import spans
from oracle.spans import Spans
from oracle.store import GONE, Dot, Drift, Key, Op, Report, Store, advance_request, by_peer, merge_opsets
from oracle.store_session import Misfit, Session
from oracle.store_wire import (
    Kept,
    read_diff,
    read_op,
    read_opset,
    read_request,
    read_save,
    write_diff,
    write_op,
    write_opset,
    write_request,
    write_save,
)
from oracle.wire import Broken

Rows = dict[Any, Any]


def same(model: Any, core: Any, what: str) -> None:
    """Equal, types and all: 1 is not True, and -0.0 not 0.0."""
    assert repr(model) == repr(core), f"{what}:\nmodel {model!r}\ncore  {core!r}"


def understood(model: Any, message: bytes, read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> bytes:
    """A message of the core's, which says what the model would say, in the one form that it has."""
    same(model, read(message), read.__name__)
    assert write(model) == message, f"{write.__name__} writes other bytes: {write(model).hex()}\n{message.hex()}"
    return message


class Pair:
    def __init__(self, model: Store, core: ck.Store) -> None:
        self.model = model
        self.core = core
        self.incarnation = model.incarnation
        self.heard = dict(core)  # as its events tell
        core.observe(self.hear)
        self.agree()

    def hear(self, event: Any) -> None:
        same(self.heard.get(event.key, ck.MISSING), event.old, f"event of {event.key!r}: old")
        if event.new is ck.MISSING:
            del self.heard[event.key]
        else:
            self.heard[event.key] = event.new

    # Reading

    def entries(self) -> dict[Key, tuple[Any, Dot]]:
        return self.model.entries()

    def conflicts(self, key: Key) -> dict[Dot, Any]:
        expected = self.model.conflicts(key)
        found = {Dot(entry.hlc, entry.peer): entry.value for entry in self.core.conflicts(key)}
        same(expected, found, f"conflicts of {key!r}")
        return expected

    def agree(self) -> None:
        """All that can be seen of both."""
        model, core = self.model, self.core
        entries = {key: (entry.value, Dot(entry.hlc, entry.peer)) for key, entry in core.entries().items()}
        same(model.entries(), entries, "entries")
        content = model.content()
        same(list(content.items()), list(core.items()), "items")
        assert len(core) == len(content)
        same(content, dict(sorted(self.heard.items(), key=lambda item: list(content).index(item[0]))), "events")
        for key in content:
            self.conflicts(key)
        same(model.clock, core.clock.last, "the clock")
        same(model.next_hlc(), core.clock.now(), "what the next put would get")
        understood(model.request_diff(), core.request_diff(), read_request, write_request)
        self.stats()

    def stats(self) -> None:
        stats = self.core.stats()
        live = [spans.of(rows) for rows in self.model.live.values()]
        values = sum(map(len, self.model.live.values()))
        expected = {
            "keys": len(self.core),
            "values": values,
            "hidden": values - len(self.core),
            "peers": len(self.model.bookmark),
            "runs": sum(map(len, live)),
        }
        same(expected, {name: stats[name] for name in expected}, "stats")
        assert bool(stats["waiting"]) == bool(self.model.waiting or self.model.pending), "what waits"
        assert bool(stats["waiting_bytes"]) == bool(stats["waiting"])
        assert self.core.index_size() == len(self.core.request_diff())

    # Writing

    def put(self, key: Key, value: Any) -> None:
        self.model.put(key, value)
        self.core[key] = value
        self.agree()

    def insert_with_op(self, key: Key, value: Any) -> bytes:
        op = understood(self.model.insert_with_op(key, value), self.core.insert_with_op(key, value), read_op, write_op)
        self.agree()
        return op

    def remove(self, key: Key) -> None:
        self.both_or_none(lambda: self.model.remove(key), lambda: self.core.__delitem__(key))
        self.agree()

    def remove_with_op(self, key: Key) -> bytes:
        op, message = self.both_or_none(lambda: self.model.remove_with_op(key), lambda: self.core.remove_with_op(key))
        self.agree()
        return understood(op, message, read_op, write_op)

    def both_or_none(self, model: Callable[[], Any], core: Callable[[], Any]) -> tuple[Any, Any]:
        try:
            done = model()
        except KeyError:
            try:
                core()
            except KeyError:
                raise
            raise AssertionError("the core removed what is not there") from None
        return done, core()

    def write(self, txn: ck.Transaction, writes: Mapping[Key, Any]) -> None:
        """A transaction reads its own writes; nobody else does."""
        content = self.model.content()
        before = dict(self.core)
        for n, (key, value) in enumerate(writes.items()):
            if n % 2:  # written over before the transaction ends
                txn[key] = "not this"
            if value is not GONE:
                txn[key] = content[key] = value
            elif key in txn:
                del txn[key]
                content.pop(key, None)
        same(sorted(content.items(), key=repr), sorted(txn.items(), key=repr), "what a transaction sees")
        same(before, dict(self.core), "what others see of an open transaction")

    def commit(self, writes: Mapping[Key, Any]) -> None:
        txn = self.core.begin()
        self.write(txn, writes)
        txn.commit()
        self.model.commit(writes)
        self.agree()

    def commit_with_ops(self, writes: Mapping[Key, Any]) -> list[bytes]:
        txn = self.core.begin()
        self.write(txn, writes)
        messages = txn.commit_with_ops()
        ops = self.model.commit_with_ops(writes)
        assert len(ops) == len(messages)
        self.agree()
        return [understood(op, message, read_op, write_op) for op, message in zip(ops, messages)]

    def abort(self, writes: Mapping[Key, Any]) -> None:
        txn = self.core.begin()
        self.write(txn, writes)
        txn.abort()
        self.agree()

    # Exchange

    def request_diff(self) -> bytes:
        return self.core.request_diff()

    def build_diff(self, request: bytes) -> bytes:
        diff = self.core.build_diff(request)
        return understood(self.model.build_diff(read_request(request)), diff, read_diff, write_diff)

    def integrate_diff(self, diff: bytes) -> Report:
        return self.take(lambda: self.model.integrate_diff(read_diff(diff)), lambda: self.core.integrate_diff(diff))

    def integrate_op(self, op: bytes) -> Report:
        return self.take(lambda: self.model.integrate_op(read_op(op)), lambda: self.core.integrate_op(op))

    def integrate_ops(self, ops: list[bytes]) -> Report:
        return self.take(
            lambda: self.model.integrate_ops(map(read_op, ops)), lambda: self.core.integrate_ops(ops), len(ops) > 1
        )

    def integrate_opset(self, opset: bytes) -> Report:
        return self.take(
            lambda: self.model.integrate_opset(read_opset(opset)), lambda: self.core.integrate_opset(opset)
        )

    def take(self, model: Callable[[], Report], core: Callable[[], ck.Report], several: bool = False) -> Report:
        before = self.model.entries()
        waited = len(self.model.waiting), self.model.pending
        try:
            ours = model()
        except Drift:
            try:
                core()
            except ck.ClockDriftError:
                self.agree()
                raise Drift from None
            raise AssertionError("the core takes what is of the future") from None
        theirs = core()
        self.agree()
        released = several or waited != (len(self.model.waiting), self.model.pending)
        after = self.model.entries()
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed <= set(theirs.applied), f"keys that changed: {changed}, but {theirs.applied}"
        assert len(theirs.applied) == len(set(theirs.applied))
        if not released:  # else a key may have come and gone
            assert changed == set(theirs.applied), f"keys that changed: {changed}, but {theirs.applied}"
        same(sorted(set(ours.refused)), sorted({refusal.id for refusal in theirs.refused}), "refused")
        same(sorted(ours.waiting), sorted(theirs.waiting), "waiting")
        assert bool(theirs) == bool(theirs.applied)
        return ours

    def opset(self) -> bytes:
        """Of what it superseded the core may tell in fewer runs, over dots that are dead anyway."""
        opset, message = self.model.opset(), self.core.opset()
        told = read_opset(message)
        for peer, piece in told.items():
            if peer in opset and piece.dead != opset[peer].dead:
                self.says_nothing_false(peer, opset[peer].dead, piece.dead)
                opset[peer] = opset[peer]._replace(dead=piece.dead)
        return understood(opset, message, read_opset, write_opset)

    def says_nothing_false(self, peer: bytes, exact: Spans, wider: Spans) -> None:
        assert not spans.minus(exact, wider), f"killed and not told: {spans.minus(exact, wider)}"
        assert wider[-1][1] <= self.model.bookmark[peer] + 1, "dead, and never seen"
        live = spans.of(self.model.live.get(peer, ()))
        assert spans.minus(wider, live) == wider, "dead, and alive"


class PairSession:
    """One end of a session, of both."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.model = Session(pair.model)
        self.core = pair.core.session()

    def send(self) -> bytes | None:
        expected, message = self.model.send(), self.core.send()
        assert expected == message, f"a session says\nmodel {expected!r}\ncore  {message!r}"
        return message

    def receive(self, message: bytes) -> None:
        refused = None
        try:
            self.model.receive(message)
        except (Misfit, Broken, Drift) as error:
            refused = error
        try:
            self.core.receive(message)
            assert refused is None, f"the core takes what is {refused!r}"
        except (ck.SyncError, ck.DecodeError, ck.ClockDriftError) as error:
            assert refused is not None, f"the core refuses: {error!r}"
        self.pair.agree()
        if refused is not None:
            raise refused

    def done(self) -> bool:
        assert self.model.done() == self.core.done, "are they done?"
        return self.model.done()


class PairWorld:
    def new(self, incarnation: bytes, clock: Callable[[], int]) -> Pair:
        name = incarnation[:-9].decode()
        return Pair(Store(incarnation, clock), ck.Store(name, clock=clock, incarnation=incarnation))

    def save(self, pair: Pair) -> tuple[Store, bytes]:
        model, core = pair.model, pair.core
        message = core.save()
        save = read_save(message)
        same(core.peer_id, save.name, "the name in a save")
        same(model.clock, save.clock, "the clock in a save")
        killed = dict(by_peer(model.killed))
        parts = {
            peer: Kept(
                end, model.mine.get(peer, (0, 0)), killed.get(peer, ()), dict(sorted(model.live.get(peer, {}).items()))
            )
            for peer, end in sorted(model.bookmark.items())
        }
        for peer, part in save.parts.items():
            if peer in parts and part.killed != parts[peer].killed:
                pair.says_nothing_false(peer, parts[peer].killed, part.killed)
                parts[peer] = parts[peer]._replace(killed=part.killed)
        same(parts, save.parts, "parts of a save")
        ops = [op for op in save.waiting if isinstance(op, Op)]
        same(sorted(map(repr, model.waiting)), sorted(map(repr, ops)), "ops in a save")
        assert core.save() == message == write_save(save) == ck.Store.load(message).save()
        return model.copy(model.incarnation, model.now_ms), message

    def load(self, save: tuple[Store, bytes], incarnation: bytes, clock: Callable[[], int]) -> Pair:
        name = incarnation[:-9].decode()
        core = ck.Store.load(save[1], name, clock=clock, incarnation=incarnation)
        return Pair(save[0].copy(incarnation, clock), core)

    def merge(self, *opsets: bytes) -> bytes:
        return understood(
            merge_opsets(*map(read_opset, opsets)), ck.Store.merge_opsets(*opsets), read_opset, write_opset
        )

    def session(self, pair: Pair) -> PairSession:
        return PairSession(pair)

    def advance(self, request: bytes, diff: bytes) -> bytes:
        model = advance_request(read_request(request), read_diff(diff))
        return understood(model, ck.Store.advance_request(request, diff), read_request, write_request)

    def waits(self, pair: Pair) -> bool:
        return bool(pair.model.waiting or pair.model.pending)

    def bookmarks(self, pair: Pair) -> dict[bytes, int]:
        return pair.model.bookmark
