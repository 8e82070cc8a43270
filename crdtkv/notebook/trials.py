"""Displays of what is tried out: simulated networks, what goes wrong in them, and those who lie. And of limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from crdtkv.notebook.page import Html, Page, joined, note, shows, tag, title
from crdtkv.notebook.palette import Crew
from crdtkv.notebook.table import table
from crdtkv.notebook.values import author, count, plural, ref, short, size, word

if TYPE_CHECKING:
    from crdtkv.net.limits import Limits
    from crdtkv.testing.edit import Edit
    from crdtkv.testing.faults import Faults
    from crdtkv.testing.forger import Forger
    from crdtkv.testing.hostile import HostilePeer
    from crdtkv.testing.network import Network

__all__ = ["edit", "faults", "forger", "hostile_peer", "limits", "network"]

LAST = 8  # lines of a trace
SMALL = 20_000  # operations of a replica, up to which contents are compared
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


# ---- a network


def replica_rows(hosts: list[Any], far: set[str], letters: list[str], crew: Crew) -> Iterator[tuple[object, ...]]:
    for host, letter in zip(hosts, letters, strict=True):
        figures = host.doc._glance()
        words = [word("fork", bad=True)] if figures["equivocations"] else []
        words += [word("waiting")] if figures["waiting"] else []
        words += [word("open change")] if figures.get("open_ops", 0) + figures.get("open_edits", 0) else []
        words += [word("other half")] if host.name in far else []
        proved = figures["equivocations"]
        who = author(host.doc.identity.public_key, crew)
        yield host.name, who, count(figures["changes"]), count(proved), letter, joined(words, " ")


@shows
def network(page: Page, net: Network) -> None:
    """A simulated network: who is in it, what happened, do they agree?

    >>> from crdtkv import notebook, testing
    >>> net = testing.Network(1, replicas=3).run(10).heal()
    >>> "3 replicas" in notebook.network(net)
    True
    """
    hosts = net._all
    crew = Crew(None, (host.doc.identity.public_key for host in hosts))
    people = [plural(len(net.replicas), "replica"), plural(len(net.liars), "liar"), plural(net._steps, "step")]
    page.put(title("Network", *people, net._arguments[3], name=f"seed {net.seed}"))
    is_small = all(host.doc._glance()["ops"] <= SMALL for host in hosts)
    letters = [LETTERS[n] for n in net._alike()] if is_small and len(hosts) <= len(LETTERS) else [""] * len(hosts)
    page.put(note(*verdict(letters)))
    columns = ("replica", "writes as", "#changes", "#stories caught", "shows", "")
    with page.keeping(9000):
        table(page, columns, replica_rows(hosts, net._far, letters, crew), len(hosts))
    if net.liars:
        lies = ((author(liar.identity.public_key, crew), count(liar.equivocations)) for liar in net._liars)
        table(page, ("liar", "#two stories told"), lies, len(net.liars), most=12)
    happened = [(what, count(n)) for what, n in net.counts.items() if n]
    if happened:
        table(page, ("what happened", "#"), happened, len(happened))
    if net.trace:
        rows = ([short(line, 160)] for line in net.trace[-LAST:])
        table(page, ("the last of what happened",), rows, None, most=LAST)
    page.put(tag("div", short(net.script, 1200), cls="ckv-text"))


def verdict(letters: list[str]) -> list[object]:
    """Do all show the same?"""
    n = len(set(letters))
    if "" in letters:
        return ["They are too large, or too many, to compare at a glance: assert_converged() does."]
    if n == 1:
        return [word("converged"), " All honest replicas hold and show the same; assert_converged() looks deeper."]
    return [word("not converged"), f" What they hold and show is of {n} kinds, by letter; heal() connects everybody."]


# ---- what goes wrong, and who lies


@shows
def faults(page: Page, some: Faults) -> None:
    """How likely it is that something goes wrong on the way.

    >>> from crdtkv import notebook, testing
    >>> notebook.faults(testing.Faults(drop=0.25)).count("0.25")
    1
    """
    page.put(title("Faults", "how likely, for a message or a step"))
    rates = [(field.name, getattr(some, field.name)) for field in fields(some)]
    rows = ((name, f"{rate:.4g}", share(rate)) for name, rate in rates)
    table(page, ("fault", "#", ""), rows, len(rates))


def share(rate: float) -> Html:
    return tag("span", tag("span", style=f"width:{round(100 * rate)}%"), cls="ckv-bar", aria_hidden="true")


@shows
def forger(page: Page, f: Forger) -> None:
    """An author who lies.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook, testing
    >>> "0 changes" in notebook.forger(testing.Forger(ck.Doc(), ck.Identity.generate()))
    True
    """
    page.put(title("Forger", plural(f._seq, "change"), name=author(f.identity.public_key, Crew())))
    page.put(note("lies on lane ", ref(f.lane), ", with real keys"))


@shows
def hostile_peer(page: Page, peer: HostilePeer) -> None:
    """The other end of a session, that lies.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook, testing
    >>> "flood" in notebook.hostile_peer(testing.HostilePeer(ck.Doc(), "flood"))
    True
    """
    state = "has nothing more to say" if peer.done else "goes on"
    page.put(title("HostilePeer", state, name=tag("code", peer.strategy)))
    page.put(note("signs as ", author(peer.identity.public_key, Crew())))


@shows
def edit(page: Page, e: Edit) -> None:
    """An edit that is written down.

    >>> from crdtkv import notebook, testing
    >>> "doc.clear()" in notebook.edit(testing.Edit("doc.clear()"))
    True
    """
    page.put(title("Edit", name=tag("code", short(e.code))))


# ---- limits


MEANS = {
    "links": "that a server has at once",
    "handshake": "seconds until it is known who is there",
    "ping": "seconds between pings, and for an answer",
    "stall": "seconds that a frame may wait to be taken",
    "messages": "frames a second, five times as many at once",
    "chatter": "frames a second that bring nothing, five times as many at once",
    "bytes": "a second, four times as many at once",
    "names": "objects that one link shares",
    "new_names": "of them, those that the other end brings",
}


@shows
def limits(page: Page, some: Limits) -> None:
    """What one link may cost, and what is not as usual.

    >>> from crdtkv import net, notebook
    >>> "usually 1,000" in notebook.limits(net.Limits(links=10))
    True
    """
    page.put(title("Limits", "of one link: who asks for more loses it"))
    rows = []
    for field in fields(some):
        n, default = getattr(some, field.name), getattr(type(some)(), field.name)
        usual = "" if n == default else joined(("usually ", limit(field.name, default)))
        rows.append((field.name, limit(field.name, n), MEANS[field.name], usual))
    table(page, ("limit", "#", "", " "), rows, len(rows))


def limit(name: str, n: int | float) -> str:
    if isinstance(n, float):
        return f"{n:,g}"
    return size(n) if name == "bytes" else count(n)
