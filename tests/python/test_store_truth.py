"""live = all puts - all that were superseded: reckoned by one who sees every write, whatever way the messages went.

A write supersedes what its author's `conflicts(key)` listed at that moment, no more and no less: that is the model.
"""

import random

import pytest

import crdtkv as ck
from house.stores import NOON, Clock, assert_equal, assert_sound, meet, pull, store, whole


class World:
    """Stores, what they wrote, and what is on its way."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.seed = seed
        n = self.rng.randrange(2, 5)
        self.stores = [store(name, NOON + self.rng.randrange(-99, 99)) for name in "abcd"[:n]]
        self.puts, self.dead = {}, set()
        self.seen = [set() for _ in self.stores]  # dots that were live there once
        self.wire = [[] for _ in self.stores]  # what may still come to each: (kind, bytes)
        self.said = []  # messages of sessions
        self.n_loads = 0

    def key(self):
        return self.rng.choice(["x", "y", b"x", "z", "k1", "k2"])

    def dots(self, s, key):
        return {(e.hlc, e.peer) for e in s.conflicts(key)}

    def wrote(self, s, key, before, value):
        """One write, told by what was there before and is now."""
        self.dead |= before
        now = self.dots(s, key)
        if value is None:
            assert now == set()
            return
        (dot,) = now
        assert dot not in self.puts and dot[0] == s.clock.last and dot[1] == s.incarnation
        self.puts[dot] = (key, value)

    def put(self, i, value, with_op):
        s, key = self.stores[i], self.key()
        before = self.dots(s, key)
        if with_op:
            self.send(i, "op", s.insert_with_op(key, value))
        else:
            s[key] = value
        self.wrote(s, key, before, value)

    def remove(self, i, with_op):
        s, key = self.stores[i], self.key()
        if key in s:
            before = self.dots(s, key)
            if with_op:
                self.send(i, "op", s.remove_with_op(key))
            else:
                del s[key]
            self.wrote(s, key, before, None)

    def transact(self, i, value):
        s = self.stores[i]
        keys = [self.key() for _ in range(self.rng.randrange(1, 5))]
        before = {key: self.dots(s, key) for key in keys}
        t, last = s.begin(), {}
        for n, key in enumerate(keys):
            last.pop(key, None)
            if self.rng.random() < 0.6:
                t[key] = last[key] = [value, n]
            else:
                t.pop(key, None)
                last[key] = None
        end = self.rng.choice(["commit", "ops", "abort"])
        if end == "abort":
            t.abort()
            assert all(self.dots(s, key) == before[key] for key in keys)
            return
        if end == "commit":
            t.commit()
        else:
            for op in t.commit_with_ops():
                self.send(i, "op", op)
        first = s.clock.last - sum(v is not None for v in last.values())
        for key, v in last.items():
            self.dead |= before[key]
            assert s.get(key) == v
            if v is not None:
                first += 1
                assert self.dots(s, key) == {(first, s.incarnation)}
                self.puts[first, s.incarnation] = (key, v)

    def send(self, i, kind, message):
        """To each of the others: perhaps not, perhaps twice."""
        for j in range(len(self.stores)):
            if j != i or self.rng.random() < 0.1:
                self.wire[j] += [(kind, message)] * self.rng.choice([0, 1, 1, 1, 2])

    def receive(self, j):
        if self.wire[j]:
            kind, message = self.wire[j].pop(self.rng.randrange(len(self.wire[j])))
            s = self.stores[j]
            if kind == "op" and self.rng.random() < 0.5:
                more = [m for k, m in self.wire[j] if k == "op"][:3]
                s.integrate_ops([message, *more])
            elif kind == "op":
                s.integrate_op(message)
            elif kind == "opset":
                more = [m for k, m in self.wire[j] if k == "opset"][: self.rng.randrange(3)]
                s.integrate_opset(ck.Store.merge_opsets(message, *more))
            else:
                s.integrate_diff(message)

    def clone(self, i):
        """A disk put back while its owner lives on elsewhere, or a mere restart."""
        self.n_loads += 1
        s = self.stores[i]
        again = ck.Store.load(
            s.save(), clock=Clock(NOON + self.rng.randrange(-99, 99)), incarnation=b"%08d" % self.n_loads
        )
        assert whole(again) == whole(s) and again.request_diff() == s.request_diff()
        if self.rng.random() < 0.5 and len(self.stores) < 6:
            self.stores.append(again)
            self.seen.append(set(self.seen[i]))
            self.wire.append(list(self.wire[i]))
        else:
            self.stores[i] = again

    def talk(self, i, j):
        """A session that breaks off anywhere, in which messages get lost, come twice or are of another session."""
        left, right = self.stores[i].session(), self.stores[j].session()
        faults = self.rng.random() < 0.3
        try:
            for _ in range(self.rng.randrange(1, 12)):
                speaker, listener = self.rng.choice([(left, right), (right, left)])
                message = speaker.send()
                if message is None:
                    continue
                self.said.append(message)
                if faults and self.rng.random() < 0.2:
                    message = self.rng.choice(self.said)
                if not faults or self.rng.random() < 0.9:
                    listener.receive(message)
        except ck.SyncError:
            assert faults
        if left.done and right.done and not faults:
            assert_equal(self.stores[i], self.stores[j])

    def step(self, value):
        i = self.rng.randrange(len(self.stores))
        j = self.rng.randrange(len(self.stores))
        kind = self.rng.random()
        if kind < 0.16:
            self.put(i, value, self.rng.random() < 0.7)
        elif kind < 0.26:
            self.remove(i, self.rng.random() < 0.7)
        elif kind < 0.34:
            self.transact(i, value)
        elif kind < 0.42:
            self.send(i, "opset", self.stores[i].opset())
        elif kind < 0.48 and i != j:
            pull(self.stores[i], self.stores[j])
        elif kind < 0.54:
            self.send(i, "diff", self.stores[i].build_diff(self.stores[j].request_diff()))
        elif kind < 0.57:
            self.clone(i)
        elif kind < 0.60 and i != j:
            self.talk(i, j)
        else:
            self.receive(i)
        self.check()

    def check(self):
        for s, seen in zip(self.stores, self.seen):
            live = {(hlc, peer): (key, value) for key, rows in whole(s).items() for value, peer, hlc in rows}
            assert live.items() <= self.puts.items()
            assert self.live().keys() & seen <= live.keys(), "lost what nobody superseded"
            gone = seen - live.keys()
            assert gone <= self.dead
            seen |= live.keys()

    def live(self):
        return {dot: put for dot, put in self.puts.items() if dot not in self.dead}

    def finish(self):
        meet(*self.stores)
        self.check()
        for s in self.stores:
            found = {(hlc, peer): (key, value) for key, rows in whole(s).items() for value, peer, hlc in rows}
            assert found == self.live()
        assert_equal(*self.stores)
        for j, wire in enumerate(self.wire):
            for kind, message in wire:
                {
                    "op": self.stores[j].integrate_op,
                    "opset": self.stores[j].integrate_opset,
                    "diff": self.stores[j].integrate_diff,
                }[kind](message)
        assert_equal(*self.stores)
        self.check()


def run(seed, steps=70):
    world = World(seed)
    for value in range(steps):
        world.step(value)
    world.finish()
    return world


@pytest.mark.parametrize("seed", range(120))
def test_what_is_live_is_what_nobody_superseded(seed):
    assert_sound(run(seed).stores[0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(120, 3000))
def test_what_is_live_is_what_nobody_superseded_in_long_schedules(seed):
    run(seed, 150)
