"""The demo: two people write offline, a third lies to them, and they agree all the same."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

from crdtkv.doc import Doc
from crdtkv.equivocation import verify_equivocation
from crdtkv.errors import DecodeError
from crdtkv.identity import Identity
from crdtkv.text import Text

__all__ = ["Outcome", "tell"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the story ended; bool(): as it should.

    >>> import crdtkv.demo
    >>> outcome = crdtkv.demo.tell(1, say=lambda line: None)
    >>> bool(outcome), outcome.refused, len(outcome.liars)
    (True, 8, 1)
    """

    fooled: bool  # the two saw different stories for a while
    refused: int  # damaged bundles
    harmless: bool  # these left no trace
    same: bool  # in the end both have the same content and root
    root: bytes
    liars: tuple[bytes, ...]  # public keys, each convicted by a proof
    proven: bool  # the liar, nobody else, the same at both

    def __bool__(self) -> bool:
        return self.fooled and self.refused == N_DAMAGED and self.harmless and self.same and self.proven


NOON = 1_750_000_000_000  # ms; every change is one later
N_DAMAGED = 8  # four bundles for each of two people


def seeded(doc: Doc, rng: random.Random) -> Doc:
    """The document, which draws what is random in it from here: so that one seed tells one story to the last digit."""
    doc._seed(rng.randbytes(32))
    return doc


def two_stories(doc: Doc, liar: Identity, rng: random.Random) -> tuple[bytes, bytes]:
    """Two bundles in which `liar` says two different things as its next change of one lane."""
    one = seeded(doc.fork(liar), rng)
    one["plan"].insert(len(one["plan"]), " Bring games.")
    one.commit("honest so far")
    lane = one.changes()[-1].lane
    two = seeded(one.fork(), rng)
    two._go_on_with_lane(lane)  # no honest replica does that: here is the lie
    for story, word in ((one, "Mallory pays."), (two, "Mallory pays nothing.")):
        story["mallory"] = word
        story.commit("the same number twice")
    return one.export(doc.heads), two.export(doc.heads)


def tell(seed: int, say: Callable[[str], object] = print) -> Outcome:
    """Ada and Ben edit offline, Mallory lies, bytes arrive in a bad order; `say` hears of it line by line.

    All of it follows from the seed.
    """
    rng = random.Random(seed)
    ada, ben, mallory = (Identity.from_seed(rng.randbytes(32)) for _ in range(3))
    at_ada = seeded(Doc(ada, id=rng.randbytes(32), clock=itertools.count(NOON).__next__), rng)
    at_ada["plan"] = Text("We meet at noon.")
    at_ada.commit("start")
    at_ben = seeded(at_ada.fork(ben), rng)
    say("Ada starts a document, Ben and Mallory get copies. All go offline and write.")
    stories = two_stories(at_ada, mallory, rng)
    at_ada["plan"].update("We meet at noon, by the river.")
    at_ada.commit("where")
    at_ben["plan"].update("Friday: We meet at noon.")
    at_ben["bring"] = "bread"
    at_ben.commit("when")
    show(at_ada, at_ben, say)

    say("Mallory signs two different changes with one number. Ada hears one story, Ben the other.")
    post = [at_ada.export(), at_ben.export(at_ada.heads), *stories]
    at_ada.apply(stories[0])
    at_ben.apply(stories[1])
    show(at_ada, at_ben, say)
    fooled = at_ada["mallory"] != at_ben["mallory"]

    say("All bytes reach both, twice and in a bad order; some were damaged on the way.")
    refused, harmless = 0, True
    for doc in (at_ada, at_ben):
        bundles = post * 2 + [damaged(bundle, rng) for bundle in post]
        rng.shuffle(bundles)
        for bundle in bundles:
            before = len(doc.changes()), doc.root, doc.waiting
            try:
                doc.apply(bundle)
            except DecodeError:
                refused += 1
                harmless = harmless and before == (len(doc.changes()), doc.root, doc.waiting)
    say(f"    {refused} damaged bundles were refused and left {'no trace' if harmless else 'TRACES'}")
    show(at_ada, at_ben, say)
    same = at_ada == at_ben and at_ada.root == at_ben.root and not at_ada.waiting and not at_ben.waiting
    say(f"    {'the same content and the same root' if same else 'NOT THE SAME'}: {at_ada.root.hex()[:16]}")

    say("The lie is on record, the same at both, and convinces anybody who was not there.")
    caught = at_ada.equivocations()
    liars = []
    for e in caught:
        author = verify_equivocation(e.proof)
        liars.append(author)
        say(f"    {len(e.proof)} bytes convict {author.hex()[:16]} of two stories as number {e.seq} of one lane")
    proven = liars == [mallory.public_key] and caught == at_ben.equivocations()
    if not proven:
        say("    THE LIE IS NOT PROVEN")
    return Outcome(fooled, refused, harmless, same, at_ada.root, tuple(liars), proven)


def show(at_ada: Doc, at_ben: Doc, say: Callable[[str], object]) -> None:
    """What each of the two sees."""
    for name, doc in (("Ada", at_ada), ("Ben", at_ben)):
        rest = ", ".join(f"{key}: {value}" for key, value in doc.to_py().items() if key != "plan")
        say(f"    {name} sees  {str(doc['plan'])!r}{f'  ({rest})' if rest else ''}")


def damaged(bundle: bytes, rng: random.Random) -> bytes:
    """The bundle with one bit flipped."""
    out = bytearray(bundle)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)
