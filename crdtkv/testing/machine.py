"""ConvergenceMachine: replicas that Hypothesis drives, and what must hold of them whatever it does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from crdtkv import Datastore, Doc, Identity
from crdtkv.testing.check import check
from crdtkv.testing.converged import shown
from crdtkv.testing.edit import Chance, Edit, an_edit, literal
from crdtkv.testing.files import Files
from crdtkv.testing.host import Host
from crdtkv.testing.kv_check import absent_in, check_datastores, exchange_bodies
from crdtkv.testing.kv_host import KvHost
from crdtkv.testing.kv_liar import KvLiar
from crdtkv.testing.kv_lies import KV_LIES
from crdtkv.testing.liar import Liar
from crdtkv.testing.lies import LIES
from crdtkv.testing.replica import replica, seed_of
from crdtkv.testing.strategies import edits

try:
    import hypothesis.strategies as st
    from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
except ImportError as error:
    raise ImportError("ConvergenceMachine needs hypothesis: pip install crdtkv[testing]") from error

__all__ = ["ConvergenceMachine"]

F = TypeVar("F", bound=Callable[..., Any])

CLONES = 2
NAMED = {lie.__name__: lie for lie in (*LIES, *KV_LIES)}


def of_machine(strategy: Any) -> st.SearchStrategy[Any]:
    """A strategy that depends on the machine as it is at that moment."""
    return st.runner().flatmap(strategy)


someone = of_machine(lambda machine: st.integers(0, len(machine.everyone) - 1))
lies = of_machine(lambda machine: st.sampled_from(sorted(lie.__name__ for lie in machine._liar.lies)))


RULES = {  # what does it: which fault
    "partition": "partition",
    "crash": "crash",
    "back_up": "restore",
    "restore": "restore",
    "clone": "clone",
    "corrupt": "corrupt",
    "lie": "lie",
}


def unless_off(name: str) -> Callable[[F], F]:
    return precondition(lambda machine: RULES[name] in machine.faults)


class ConvergenceMachine(RuleBasedStateMachine):
    """Replicas of one document, or datastore, that edit, exchange, fall apart, crash, are restored, cloned and lied to.

    Runs as it is; a program that keeps its data in documents makes a subclass, with its own rules and invariants over
    `self.replicas`. At the end of each run everybody exchanges with everybody, and all must agree; nothing that was
    saved may be lost, no honest author be accused. A failing run is printed as a script of its steps.

    `size` is the number of replicas, `faults` what may go wrong: "partition", "crash", "restore", "clone", "corrupt",
    "lie"; `post` holds the bundles under way. `make(i)` gives replica i, `edits(doc)` the strategy of what the machine
    itself writes. Give documents `self.clock`, fixed ids and identities, so that a run is the same each time.

    >>> import crdtkv as ck
    >>> from crdtkv import testing
    >>> from hypothesis import settings, strategies as st
    >>> from hypothesis.stateful import invariant, rule, run_state_machine_as_test
    >>> class Shop(testing.ConvergenceMachine):
    ...     size = 2
    ...     faults = frozenset({"partition", "crash"})
    ...     def edits(self, doc):
    ...         return st.just(testing.Edit("doc.setdefault('stock', ck.Counter()).increment()"))
    ...     @rule(i=st.integers(0, 1))
    ...     def open(self, i):
    ...         self.replicas[i].setdefault("stock", ck.Counter())
    ...     @invariant()
    ...     def the_stock_is_a_counter(self):
    ...         assert all(type(doc.get("stock", None)) in (ck.Counter, type(None)) for doc in self.replicas)
    >>> TestShop = Shop.TestCase
    >>> run_state_machine_as_test(Shop, settings=settings(max_examples=5))
    """

    size: ClassVar[int] = 3
    faults: ClassVar[frozenset[str]] = frozenset({"partition", "crash", "restore", "clone", "corrupt", "lie"})

    post = Bundle("post")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Rules of faults that are off are none: their preconditions alone make failing runs hard to shorten."""
        super().__init_subclass__(**kwargs)
        for name, fault in RULES.items():
            if fault not in cls.faults:
                setattr(cls, name, None)
            elif getattr(cls, name) is None:  # a class between had it off
                setattr(cls, name, vars(ConvergenceMachine)[name])

    def __init__(self) -> None:
        super().__init__()
        self._now = 0
        self._far: frozenset[int] = frozenset()
        self._open: set[int] = set()
        self._hosts: list[Host] = []
        self._clones: list[Host] = []
        self._files = Files()
        for i in range(self.size):
            self._hosts.append(self._host(f"replica {i}", self.make(i), seed_of("machine", i)))
        first = self.replicas[0]
        if any(doc.id != first.id for doc in self.replicas):
            raise ValueError("make() must give replicas of one document: the same id=, or forks of self.replicas[0]")
        identity = Identity.from_seed(seed_of("liar"))
        chance = Chance(random.Random(0))
        kind = KvLiar if isinstance(first, Datastore) else Liar
        self._liar = kind("the liar", identity, first.id, seed_of("lies"), self.clock, chance, self._lie_about)

    def _host(self, name: str, doc: Doc | Datastore, seed: bytes) -> Host:
        return KvHost(name, doc, seed, self._files) if isinstance(doc, Datastore) else Host(name, doc, seed)

    def make(self, i: int) -> Doc | Datastore:
        """Replica i at the start: of one document, or one datastore, such as testing.datastore(0, i, self.clock).

        A datastore may live in the file of a Database that is open as long as the machine runs; after a crash it goes
        on in a copy of that file.
        """
        return replica(0, i, self.clock)

    def edits(self, doc: Any) -> st.SearchStrategy[Any]:
        """What the machine itself writes to a document: callables that get it, with a readable repr."""
        return edits(doc)

    def clock(self) -> int:
        """The time, in milliseconds; passes as the machine edits."""
        return self._now

    @property
    def replicas(self) -> list[Any]:
        """The documents of the replicas: `size` of them, in order. After a crash there is another object."""
        return [host.doc for host in self._hosts]

    @property
    def everyone(self) -> list[Host]:
        """Replicas and clones."""
        return self._hosts + self._clones

    # ---- what honest replicas do

    def _an_edit(self) -> st.SearchStrategy[tuple[int, Any]]:
        everyone = self.everyone
        return st.integers(0, len(everyone) - 1).flatmap(lambda i: st.tuples(st.just(i), self.edits(everyone[i].doc)))

    @rule(what=of_machine(lambda machine: machine._an_edit()))
    def edit(self, what: tuple[int, Any]) -> None:
        """Somebody writes something; the change stays open."""
        i, edit = what
        self._now += 1000
        self._open.add(i)
        edit(self.everyone[i].doc)

    @rule(i=someone)
    def commit(self, i: int) -> None:
        """Somebody closes the open change."""
        self._open.discard(i)
        self.everyone[i].close()

    @rule(i=someone)
    def save(self, i: int) -> None:
        """Somebody writes all to disk: a crash does not take it."""
        self._open.discard(i)
        self.everyone[i].flush()

    @rule(i=someone, redo=st.booleans())
    def undo(self, i: int, redo: bool) -> None:
        """Somebody takes back what he did last, or takes that back."""
        self._open.discard(i)
        host = self.everyone[i]
        if host.undo is not None:  # datastores have none
            host.undo.redo() if redo else host.undo.undo()
        host.close()

    @rule(i=someone, j=someone)
    def exchange(self, i: int, j: int) -> None:
        """Both get what the other has, if they hear each other."""
        if (i in self._far) == (j in self._far):
            self._open -= {i, j}
            a, b = self.everyone[i], self.everyone[j]
            a.receive(b.bundle(a.doc.heads))
            b.receive(a.bundle(b.doc.heads))

    @rule(i=someone, j=someone)
    def sync(self, i: int, j: int) -> None:
        """The same, in a session."""
        if i != j and (i in self._far) == (j in self._far):
            self._open -= {i, j}
            self.everyone[i].sync(self.everyone[j])

    @rule(target=post, i=someone, back=st.integers(0, 4))
    def send(self, i: int, back: int) -> bytes:
        """A bundle of the latest changes, or of all."""
        self._open.discard(i)
        host = self.everyone[i]
        host.close()
        changes = host.doc.changes()
        return host.bundle([changes[-back].id] if 0 < back <= len(changes) else ())

    @rule(j=someone, message=post)
    def deliver(self, j: int, message: bytes) -> None:
        """At any time, in any order, any number of times."""
        self._open.discard(j)
        self.everyone[j].receive(message)

    # ---- what goes wrong

    @unless_off("corrupt")
    @rule(j=someone, message=consumes(post), at=st.integers(0, 2**16), bit=st.integers(0, 7))
    def corrupt(self, j: int, message: bytes, at: int, bit: int) -> None:
        """A bundle arrives with one bit flipped."""
        self._open.discard(j)
        bent = bytearray(message)
        bent[at % len(bent)] ^= 1 << bit
        assert self.everyone[j].receive(bytes(bent)) == "DecodeError", "a flipped bit went unseen"

    @unless_off("partition")
    @rule(far=st.frozensets(st.integers(0, 4)))
    def partition(self, far: frozenset[int]) -> None:
        """Those hear the others no more; nobody: all hear all."""
        self._far = far

    @unless_off("crash")
    @rule(i=someone)
    def crash(self, i: int) -> None:
        """Somebody's program dies, and starts again with what is on disk."""
        self._open.discard(i)
        self.everyone[i].crash()

    @unless_off("back_up")
    @rule(i=someone)
    def back_up(self, i: int) -> None:
        """Somebody copies his disk."""
        self._open.discard(i)
        self.everyone[i].back_up()

    @unless_off("restore")
    @rule(i=someone, backup=st.integers(0, 3))
    def restore(self, i: int, backup: int) -> None:
        """Somebody goes on from one of his backups."""
        self._open.discard(i)
        host = self.everyone[i]
        host.restore(backup % len(host.backups))

    @unless_off("clone")
    @rule(i=someone)
    def clone(self, i: int) -> None:
        """A copy of the disk lives on in another machine; a third one does not."""
        if len(self._clones) < CLONES:
            self._clones.append(self.everyone[i].clone(f"clone {len(self._clones)}"))

    @unless_off("lie")
    @rule(lie=lies, seed=st.integers(0, 999))
    def lie(self, lie: str, seed: int) -> None:
        """Somebody with a key of its own denies, contradicts itself or invents; the seed decides what and to whom."""
        self._open.clear()
        self._liar.choose = Chance(random.Random(seed))
        self._liar.act(self.everyone, NAMED[lie])

    def _lie_about(self, doc: Any) -> Edit:
        edit = an_edit(doc, self._liar.choose)
        edit(doc)
        return edit

    # ---- what must hold

    @invariant()
    def all_is_well(self) -> None:
        """Equal roots are equal documents, and nobody is accused without reason.

        Of datastores: equal roots and the same bodies, as long as somebody lacks one that others have.
        """
        by_root: dict[tuple[bytes, frozenset[bytes]], tuple[tuple[bytes, ...], str]] = {}
        for i, host in enumerate(self.everyone):
            if i in self._open:  # reading its root would close its change
                continue
            doc = host.doc
            state = (doc.heads, literal(shown(doc)))
            same = by_root.setdefault((doc.root, absent_in(doc)), state) == state
            assert same, f"{host.name} differs from an equal one"
            accused = {e.author for e in doc.equivocations()}
            assert accused <= {self._liar.identity.public_key}, f"at {host.name} an honest author is accused"

    def converge(self) -> None:
        """Everybody exchanges with everybody; AssertionError unless all agree and nothing is lost."""
        self._open.clear()
        self._far = frozenset()
        before: list[bytes] = []
        while before != (before := [host.doc.root for host in self.everyone]):  # what waits at one, others may lack
            for a, b in zip(self.everyone, self.everyone[1:] + self.everyone[:1]):
                b.receive(a.bundle(b.doc.heads))
        is_kv = isinstance(self.replicas[0], Datastore)
        if is_kv:
            exchange_bodies(self.everyone)
        check(self.everyone, {self._liar.identity.public_key}, random.Random(0))
        if is_kv:
            check_datastores(self.everyone)

    def teardown(self) -> None:
        """The end of a run: all must agree."""
        try:
            self.converge()
        finally:
            self._files.close()
