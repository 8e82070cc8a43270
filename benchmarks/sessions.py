"""What sessions cost, in bytes, rounds and time: `make sessions`.

    python benchmarks/sessions.py [--history N] [--page]

Bytes are exact; times are medians of the clock in one process, with y-py in turns beside it where it is installed, and
signing and verifying by themselves, through PyNaCl where that is. --page writes the tables into docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator

from tables import markdown, put

import crdtkv as ck
from crdtkv.session import messages

Row = list[str]


def median(work: Callable[[], object], n: int = 2000) -> float:
    """Microseconds."""
    taken = []
    for _ in range(n):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def meet(a: ck.Doc, b: ck.Doc) -> tuple[int, int, int, int]:
    """Rounds, bytes, hashes sent in search of forks, signatures that were looked at."""
    left, right = a.session(), b.session()
    rounds = n_bytes = 0
    before = a.stats()["verified"] + b.stats()["verified"]
    while True:
        spoken = 0
        for speaker, listener in ((left, right), (right, left)):
            for message in messages(speaker):
                listener.receive(message)
                spoken += len(message)
        if not spoken:
            break
        rounds += 1
        n_bytes += spoken
    assert left.done and right.done and a.root == b.root
    hashes = left.stats()["hashes"] + right.stats()["hashes"]
    return rounds, n_bytes, hashes, a.stats()["verified"] + b.stats()["verified"] - before


# ---- bytes


def long_history(n: int) -> Iterator[Row]:
    """k changes are missing of a document of n."""
    a = ck.Doc()
    text = a["t"] = ck.Text()
    for i in range(n):
        text.insert(i, "x")
        a.commit()
    b = ck.Doc.load(a.save())
    rounds, n_bytes, _, _ = meet(a, b)
    yield ["nothing", "", str(rounds), f"{n_bytes}", "", "<= 128 in 1"]
    for k in (1, 10, 100, 1000, 10000):
        for _ in range(k):
            text.insert(len(text), "y")
            a.commit()
        bundle = len(a.export(b.heads))
        rounds, n_bytes, _, checks = meet(b, a)
        yield [
            f"{k:,} changes",
            f"{bundle:,}",
            str(rounds),
            f"{n_bytes:,}",
            str(checks),
            f"<= {200 + 1.2 * bundle:,.0f} in 3",
        ]


def many_lanes() -> Iterator[Row]:
    """One of n lanes has a change more."""
    for n in (30, 300, 3000):
        a = ck.Doc()
        a["n"] = 0
        a.commit()
        for i in range(n):
            other = a.fork()
            other["n"] = i
            a.merge(other)
        b = ck.Doc.load(a.save())
        other["n"] = "more"
        a.merge(other)
        bundle = len(a.export(b.heads))
        rounds, n_bytes, _, checks = meet(b, a)
        yield [
            f"one of {n:,} lanes",
            f"{bundle:,}",
            str(rounds),
            f"{n_bytes:,}",
            str(checks),
            "<= 4,000" if n == 300 else "",
        ]


def forks() -> Iterator[Row]:
    """A lane tells two stories of `depth` changes behind a common prefix."""
    for prefix, depth in ((100_000, 1), (100_000, 1000), (100_000, 50_000)):
        base = ck.Doc()
        for i in range(prefix):
            base["n"] = i
            base.commit()
        lane, stories = base.changes()[0].lane, []
        for tale in ("one", "two"):
            story = base.fork()
            story._go_on_with_lane(lane)
            for i in range(depth):
                story[tale] = i
                story.commit()
            stories.append(story)
        missing = sum(len(story.export(base.heads)) for story in stories)
        rounds, n_bytes, hashes, checks = meet(*stories)
        assert len(stories[0].equivocations()) == 1
        yield [
            f"a fork, {depth:,} changes behind {prefix:,}; {hashes} hashes",
            f"{missing:,}",
            str(rounds),
            f"{n_bytes:,}",
            str(checks),
            "<= 20 hashes",
        ]


# ---- time


class Live:
    """A replica types, another one follows."""

    def __init__(self) -> None:
        self.a = ck.Doc()
        self.text = self.a["t"] = ck.Text()
        b = self.a.fork(ck.Identity.generate())
        self.left, self.right = self.a.session(), b.session()
        self.n_bytes = self.n_messages = 0
        self.times: list[list[float]] = [[], []]
        self.settle()

    def settle(self) -> None:
        while not (self.left.done and self.right.done):
            for speaker, listener in ((self.left, self.right), (self.right, self.left)):
                for message in messages(speaker):
                    listener.receive(message)

    def type(self, n: int) -> None:
        """n keystrokes and a message."""
        clock = time.perf_counter
        began = clock()
        for _ in range(n):
            self.text.insert(len(self.text), "x")
        message = self.left.send()
        assert message
        sent = clock()
        self.right.receive(message)
        answer = self.right.send()
        received = clock()
        assert answer
        self.left.receive(answer)
        self.n_bytes += len(message) + len(answer)
        self.n_messages += 1
        self.times[0].append((sent - began) / n)
        self.times[1].append((received - sent) / n)


class LiveYPy:
    """The same with y-py: unsigned deltas."""

    def __init__(self) -> None:
        import y_py

        self.y = y_py
        self.a, self.b = y_py.YDoc(), y_py.YDoc()
        self.text, self.copy = self.a.get_text("t"), self.b.get_text("t")
        self.n_bytes = self.n_messages = 0
        self.times: list[list[float]] = [[], []]

    def type(self, n: int) -> None:
        clock = time.perf_counter
        began = clock()
        vector = self.y.encode_state_vector(self.a)
        with self.a.begin_transaction() as txn:
            for _ in range(n):
                self.text.extend(txn, "x")
        delta = self.y.encode_state_as_update(self.a, vector)
        sent = clock()
        self.y.apply_update(self.b, delta)
        received = clock()
        self.n_bytes += len(delta)
        self.n_messages += 1
        self.times[0].append((sent - began) / n)
        self.times[1].append((received - sent) / n)


def live(batches: tuple[int, ...] = (1, 5, 10, 20), n: int = 1500) -> Iterator[Row]:
    kinds: dict[str, type[Live] | type[LiveYPy]] = {"crdtkv, signed": Live}
    if importlib.util.find_spec("y_py"):
        kinds["y-py"] = LiveYPy
    for batch in batches:
        ends = {name: kind() for name, kind in kinds.items()}
        for _ in range(n):
            for end in ends.values():
                end.type(batch)
        for name, end in ends.items():
            out, back = (statistics.median(taken) * 1e6 for taken in end.times)
            size = end.n_bytes / end.n_messages
            yield [f"{batch} a message, {name}", f"{out:.1f}", f"{back:.1f}", f"{out + back:.1f}", f"{size:.0f}"]
    if importlib.util.find_spec("nacl"):
        from nacl import bindings

        public, secret = bindings.crypto_sign_seed_keypair(bytes(32))
        signed = bindings.crypto_sign(bytes(113), secret)
        sign = median(lambda: bindings.crypto_sign(bytes(113), secret))
        verify = median(lambda: bindings.crypto_sign_open(signed, public))
        yield ["a signature, by itself", f"{sign:.1f}", f"{verify:.1f}", f"{sign + verify:.1f}", "64"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    n_bytes = markdown(
        [
            ["missing", "bundle", "rounds", "bytes, both ways", "signatures verified", "target"],
            *long_history(args.history),
            *many_lanes(),
            *forks(),
        ]
    )
    times = markdown(
        [
            [
                "keystrokes",
                "write and send, us each",
                "receive and answer, us each",
                "both",
                "bytes a message and its answer",
            ],
            *live(),
        ]
    )
    print(f"of a history of {args.history:,} changes:\n\n{n_bytes}\n\n{times}")
    if args.page:
        put("sessions", f"Of a history of {args.history:,} changes in the first rows:\n\n{n_bytes}")
        put("live", times)


if __name__ == "__main__":
    main()
