"""Displays of documents, of what they hold, and of what belongs to them."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Any

from crdtkv import _core
from crdtkv.notebook.page import Html, Page, joined, note, shows, tag, title
from crdtkv.notebook.palette import Crew
from crdtkv.notebook.past import change_table
from crdtkv.notebook.table import facts, table
from crdtkv.notebook.tree import MOST, kind_of, some_of, tree
from crdtkv.notebook.values import author, count, is_size, plural, ref, size, value, word
from crdtkv.notebook.words import legend, text

if TYPE_CHECKING:
    from crdtkv.doc import Doc
    from crdtkv.figures import Blame, ByAuthor, Figures
    from crdtkv.identity import Identity
    from crdtkv.undo import UndoStack
    from crdtkv.view import View

__all__ = ["blame", "by_author", "container", "cursor", "doc", "identity", "keys", "stats", "undo_stack", "view"]

CHARS = 16 << 10  # of a text; more does not fit
FEW = 100  # of keys, values, items
RECENT = 5  # changes below a document
MOST_PARTS = 200  # of a counter
CONTEXT = 24  # characters on either side of a cursor


# ---- a document


def lies(page: Page, figures: dict[str, int]) -> None:
    """Write what is not as it should be, if something is."""
    if n := figures["equivocations"]:
        words = f" in {plural(n, 'place')}: an author told two stories; equivocations() has the proof"
        page.put(note(word("fork", bad=True), words, cls="ckv-note ckv-warn"))
    if n := figures["waiting"]:
        page.put(note(word("waiting"), f" {plural(n, 'change')} for others that are not here"))
    if n := figures["void"]:
        page.put(note(word("void"), f" {plural(n, 'change')}, signed and kept, without effect"))


def opened(page: Page, n_ops: int) -> None:
    """Write that there is an open change, if there is one."""
    if n_ops:
        words = f"+ {plural(n_ops, 'op')} in an open change, which nobody else has seen"
        page.put(note(words, cls="ckv-note ckv-open"))


@shows
def doc(page: Page, d: Doc) -> None:
    """A document: what is not as it should be, its content, its newest changes.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "Picnic" in notebook.doc(doc)
    True
    """
    figures = d._glance()
    crew = Crew(d.identity.public_key)
    counts = [plural(figures[name], one) for name, one in (("changes", "change"), ("lanes", "lane"), ("heads", "head"))]
    page.put(title("Doc", plural(len(d), "key"), *counts, name=tag("code", d.id.hex()[:16])))
    page.put(note("writing as ", author(crew.you, crew)))
    opened(page, figures["open_ops"])
    lies(page, figures)
    recent = d._newest(RECENT)
    items, n_items = some_of(d, MOST)
    if items:
        with page.keeping(8000 if recent else 0):
            tree(page, items, n_items, "Map")
    if recent:
        change_table(page, recent, figures["changes"], crew, "Newest changes")


@shows
def view(page: Page, v: View) -> None:
    """A version of a document.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "Picnic" in notebook.view(doc.at(doc.heads))
    True
    """
    heads = joined(map(ref, v.heads[:8]), " ") if v.heads else "the beginning"
    items, n_items = some_of(v._root, MOST)
    counted = f"more than {MOST} keys" if n_items is None else plural(n_items, "key")
    page.put(title("View", counted, name=joined(("at ", heads))))
    if items:
        tree(page, items, n_items, "Map")


# ---- containers


@shows
def container(page: Page, c: Any) -> None:
    """A Map, List, Set, Text or Counter.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> "bread" in notebook.container(ck.List(["bread", "rope"]))
    True
    """
    kind, holds = kind_of(c) or (type(c).__name__, "")
    where = "in a document" if c._doc is not None else None
    if isinstance(c, _core.Counter):
        page.put(title(kind, where, name=tag("code", count(int(c)))))
    elif isinstance(c, _core.Text):
        page.put(title(kind, plural(len(c), holds), where))
        runs = c._look(CHARS)
        crew = Crew(c._doc.identity.public_key if c._doc is not None else None, (by for _, _, by, _ in runs if by))
        text(page, c[:CHARS], runs, len(c), crew)
        if runs:
            page.end(legend(crew, (by for _, _, by, _ in runs if by)))
    else:
        items, n_items = some_of(c, MOST)
        counted = f"more than {MOST} {holds}s" if n_items is None else plural(n_items, holds)
        page.put(title(kind, counted, where))
        if items:
            tree(page, items, n_items, kind)


@shows
def keys(page: Page, some: Any) -> None:
    """The keys, values or items of a mapping.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "title" in notebook.keys(doc.keys())
    True
    """
    mapping = getattr(some, "_mapping", None)
    n: int | None = None
    if isinstance(mapping, _core.Map | _core.Doc):  # going over it would read it all
        pairs, _ = some_of(mapping, FEW)
        found: list[Any] = list(pairs)
        if not isinstance(some, ItemsView):
            found = [k if isinstance(some, KeysView) else v for k, v in pairs]
    else:
        found = list(islice(iter(some), FEW + 1))
    if not isinstance(getattr(some, "_of", None), _core.Datastore):
        n = len(some)
    elif len(found) <= FEW:  # to count more takes long
        n = len(found)
    counted = f"more than {FEW} entries" if n is None else plural(n, "entry", "entries")
    page.put(title(type(some).__name__.removeprefix("Ordered"), counted))
    is_items = isinstance(some, ItemsView)
    rows = (tuple(map(value, item)) if is_items else (value(item),) for item in found)
    table(page, ("key", "value") if is_items else ("value",), rows, n, most=FEW)


@shows
def blame(page: Page, runs: Blame) -> None:
    """A text in the colours of its authors.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["plan"] = ck.Text("by the river")
    >>> "by the river" in notebook.blame(doc["plan"].blame())
    True
    """
    known = dict.fromkeys(by for _, _, by, _ in islice(runs, CHARS))  # of a text that is too long, those who are shown
    authors = list(known)
    crew = Crew(runs._you, authors)
    n_chars = runs[-1][1] if runs else 0
    page.put(title("Blame", plural(n_chars, "character"), plural(len(authors), "author"), plural(len(runs), "run")))
    if runs:
        page.put(legend(crew, authors))
        text(page, getattr(runs, "_words", ""), runs, n_chars, crew)


@shows
def cursor(page: Page, c: _core.Cursor) -> None:
    """A place in a text or list, and what is beside it.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["plan"] = ck.Text("by the river")
    >>> "at 2 of 12 characters" in notebook.cursor(doc["plan"].cursor(2))
    True
    """
    index, of = c.index, c.container
    page.put(title("Cursor", name=f"at {index:,} of {plural(len(of), (kind_of(of) or ('', 'item'))[1])}"))
    if isinstance(of, _core.Text):
        left, right = of[max(0, index - CONTEXT) : index], of[index : index + CONTEXT]
        page.put(tag("div", left, tag("b", "│", title="the cursor"), right, cls="ckv-text"))


# ---- what belongs to a document


@shows
def identity(page: Page, me: Identity) -> None:
    """Whose key it is; never the secret one.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> me = ck.Identity.generate()
    >>> me.public_key.hex() in notebook.identity(me)
    True
    """
    page.put(title("Identity", name=author(me.public_key, Crew())))
    facts(page, (("public key", tag("code", me.public_key.hex())), ("secret key", "it is there, and shows nowhere")))


@shows
def undo_stack(page: Page, stack: UndoStack) -> None:
    """How much can be undone and redone.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> undo = doc.undo_stack()
    >>> doc["title"] = "Picnic"
    >>> doc.commit() is not None, "1 to undo" in notebook.undo_stack(undo)
    (True, True)
    """
    done, undone, is_open = stack._counts()
    page.put(title("UndoStack", f"{done:,} to undo", "and an open change" if is_open else None, f"{undone:,} to redo"))


@shows
def stats(page: Page, figures: Figures[Any]) -> None:
    """Figures; what is bounded with a bar.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "waiting" in notebook.stats(doc.stats())
    True
    """
    page.put(title("Stats"))
    figure_table(page, figures)


def figure_table(page: Page, figures: Figures[Any]) -> None:
    """Write figures, and beside what is bounded its bound."""
    limits = {limited(name, figures): limit for name, limit in figures.items() if name.endswith("_limit")}
    rows = []
    for name, figure in figures.items():
        if name.endswith("_limit"):
            continue
        shown: object = value(figure)
        if isinstance(figure, int) and not isinstance(figure, bool):
            shown = size(figure) if is_size(name) else count(figure)
        rows.append((name.replace("_", " "), shown, bar(figure, limits[name], is_size(name)) if name in limits else ""))
    table(page, ("figure", "#", ""), rows, len(rows))


def limited(limit: str, figures: Figures[Any]) -> str:
    """What a figure of this name, `x_limit`, is the limit of: `x_bytes` or `x`."""
    name = limit.removesuffix("_limit")
    return f"{name}_bytes" if f"{name}_bytes" in figures else name


def bar(figure: int, limit: int, in_bytes: bool) -> Html:
    """How much of a limit is taken."""
    share = min(100.0, 100 * figure / limit) if limit else 0.0
    of = size(limit) if in_bytes else count(limit)
    inside = tag("span", style=f"width:{share:.0f}%")
    return joined((tag("span", inside, cls="ckv-bar", role="img", aria_label=f"{share:.0f}% of {of}"), f" of {of}"))


@shows
def by_author(page: Page, parts: ByAuthor) -> None:
    """Who counted how much.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> kv = ck.Datastore()
    >>> kv.counter("views").increment(7)
    >>> "by 1 author" in notebook.by_author(kv.counter("views").by_author())
    True
    """
    total = sum(parts.values())
    page.put(title(count(total), f"by {plural(len(parts), 'author')}"))
    part_table(page, parts, Crew(parts._you))


def part_table(page: Page, parts: dict[bytes, int], crew: Crew) -> None:
    """Write who counted how much, the greatest part first."""
    most = max((abs(n) for n in parts.values()), default=0)
    rows = nsmallest(MOST_PARTS, parts.items(), key=lambda part: (-part[1], part[0]))
    shown = ((author(by, crew), count(n) if n.bit_length() < 4000 else value(n), part_bar(n, most)) for by, n in rows)
    table(page, ("author", "#counted", ""), shown, len(parts), most=MOST_PARTS)


def part_bar(n: int, most: int) -> Html:
    share = round(100 * abs(n) / most) if most else 0
    return tag("span", tag("span", style=f"width:{share}%"), cls="ckv-bar", aria_hidden="true")
