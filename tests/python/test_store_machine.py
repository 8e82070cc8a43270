"""Stores that do whatever Hypothesis thinks of, each in lockstep with the model of the oracle."""

import math

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from oracle.store import GONE
from property.store_pair import PairWorld
from property.store_schedules import Schedule

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
keys = st.sampled_from(["", "a", "ä", b"", b"a", b"\xff", "a\x00"]) | text | st.binary(max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | text
    | st.binary(max_size=9)
    | st.sampled_from([0.0, -0.0, math.nan, 1, 1.0, True])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
writes = st.dictionaries(keys, values | st.just(GONE), min_size=1, max_size=4)
which = st.integers(0, 7)


class Stores(RuleBasedStateMachine):
    """Three stores and more. The schedule keeps the log of puts and of what they superseded; each store is a pair of
    model and core, which compares all that can be seen after each step."""

    requests, diffs, ops, sets, saves = (Bundle(name) for name in ("requests", "diffs", "ops", "sets", "saves"))

    def __init__(self):
        super().__init__()
        self.schedule = Schedule(PairWorld(), 3)

    @rule(who=which, key=keys, value=values)
    def put(self, who, key, value):
        self.schedule.put_key(self.schedule.pick(who), key, value, op=False)

    @rule(who=which, key=keys)
    def remove(self, who, key):
        self.schedule.remove_key(self.schedule.pick(who), key, op=False)

    @rule(who=which, what=which)
    def remove_what_is_there(self, who, what):
        host = self.schedule.pick(who)
        if there := list(host.store.entries()):
            self.schedule.remove_key(host, there[what % len(there)], op=False)

    @rule(who=which, writes=writes)
    def transaction(self, who, writes):
        self.schedule.commit_writes(self.schedule.pick(who), writes, op=False)

    @rule(who=which, writes=writes)
    def abort(self, who, writes):
        host = self.schedule.pick(who)
        before = repr(host.store.entries())
        host.store.abort(writes)
        assert repr(host.store.entries()) == before

    @rule(ms=st.integers(0, 10**7))
    def wait(self, ms):
        self.schedule.time += ms

    @rule(who=which, minutes=st.integers(-30, 30))
    def skew(self, who, minutes):
        self.schedule.pick(who).ahead[0] = minutes * 60_000

    @rule(who=which, whom=which)
    def pull(self, who, whom):
        self.schedule.pull(self.schedule.pick(who), 0, whom)

    @rule(target=requests, who=which)
    def request(self, who):
        return self.schedule.pick(who).store.request_diff()

    @rule(target=diffs, who=which, request=requests)
    def build(self, who, request):
        return self.schedule.pick(who).store.build_diff(request)

    @rule(who=which, diff=diffs)
    def take(self, who, diff):
        with self.schedule.drift():
            self.schedule.pick(who).store.integrate_diff(diff)

    @rule(target=ops, who=which, key=keys, value=values)
    def put_op(self, who, key, value):
        self.schedule.put_key(self.schedule.pick(who), key, value, op=True)
        return self.schedule.ops[-1]

    @rule(target=ops, who=which, writes=writes)
    def transaction_ops(self, who, writes):
        before = len(self.schedule.ops)
        self.schedule.commit_writes(self.schedule.pick(who), writes, op=True)
        return multiple(*self.schedule.ops[before:])

    @rule(who=which, some=st.lists(ops, max_size=3))
    def hear(self, who, some):
        with self.schedule.drift():
            self.schedule.pick(who).store.integrate_ops(some)

    @rule(target=sets, who=which)
    def opset(self, who):
        self.schedule.sets.append(self.schedule.pick(who).store.opset())
        return self.schedule.sets[-1]

    @rule(target=sets, some=st.lists(sets, max_size=3))
    def merge(self, some):
        return self.schedule.world.merge(*some)

    @rule(who=which, opset=sets)
    def take_set(self, who, opset):
        with self.schedule.drift():
            self.schedule.pick(who).store.integrate_opset(opset)

    @rule(target=saves, who=which)
    def save(self, who):
        host = self.schedule.pick(who)
        return host.name, self.schedule.world.save(host.store), list(host.did)

    @rule(save=saves)
    def load(self, save):
        if len(self.schedule.hosts) < 6:
            self.schedule.hosts.append(self.schedule.begin(save))

    @invariant()
    def figures_add_up(self):
        for host in self.schedule.hosts:
            stats = host.store.core.stats()
            assert all(number >= 0 for number in stats.values())
            parts = ("tree_bytes", "index_bytes", "cell_bytes", "waiting_bytes")
            assert stats["memory"] == sum(stats[name] for name in parts)
            assert stats["cell_bytes"] >= stats["key_bytes"] + stats["value_bytes"]
            assert (stats["values"] == 0) == (stats["value_bytes"] == 0)

    def teardown(self):
        self.schedule.finish(seed=0)


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
