"""Tree: nested content, whose branches open and close without a script. Reads no more of a container than it shows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from crdtkv import _core
from crdtkv.notebook.page import LONGEST, Html, Page, joined, note, tag
from crdtkv.notebook.values import key, plural, value

__all__ = ["MOST", "kind_of", "some_of", "tree"]

MOST = 100  # items of one container
DEEPEST = 8  # what is deeper is counted only
SHORT = 6  # items, at most, that stand on one line

KINDS: tuple[tuple[type, str, str], ...] = (  # (type, its name, what it holds)
    (_core.Map, "Map", "key"),
    (_core.List, "List", "item"),
    (_core.Set, "Set", "member"),
    (_core.Text, "Text", "character"),
    (_core.Counter, "Counter", ""),
    (dict, "dict", "key"),
    (list, "list", "item"),
    (tuple, "tuple", "item"),
    (set, "set", "member"),
    (frozenset, "frozenset", "member"),
)

Items = list[tuple[object, Any]]


def kind_of(thing: object) -> tuple[str, str] | None:
    """What a container is called, and what it holds; None: it is none."""
    for of, name, holds in KINDS:
        if isinstance(thing, of):
            return name, holds
    return None


def some_of(thing: Any, most: int) -> tuple[Items, int | None]:
    """Some keys and values of a container, the first ones unless it is large, and how many there are.

    None: more than `most`. To count what a large one held in the past takes long.
    """
    if isinstance(thing, _core.Map | _core.List | _core.Set | _core.Doc):
        is_live = isinstance(thing, _core.Doc) or thing._doc is not None
        if is_live or is_of_the_past(thing):
            items: Items = thing._some(most + 1)
            n = len(thing) if is_live else len(items) if len(items) <= most else None
            return [(index if isinstance(thing, _core.List) else k, v) for index, (k, v) in enumerate(items[:most])], n
        thing = thing.to_py()  # detached: it is plain already
    if isinstance(thing, dict):
        return list(islice(thing.items(), most)), len(thing)
    if isinstance(thing, list | tuple):
        return list(enumerate(islice(thing, most))), len(thing)
    return [(None, member) for member in islice(thing, most)], len(thing)


def is_of_the_past(handle: Any) -> bool:
    """Is it of a View, and not simply in no document yet?"""
    try:
        handle._some(0)
    except TypeError:
        return False
    return True


def tree(page: Page, items: Iterable[tuple[object, Any]], n_items: int | None, kind: str, depth: int = 0) -> None:
    """Write keys and values as a list; long values are cut, large containers closed, what does not fit is counted."""
    if not page.put(Html('<ul class="ckv-tree">')):
        return
    n = 0
    for name, thing in items:
        if not branch(page, label_of(name, kind), thing, depth):
            break
        n += 1
    page.end(Html("</ul>"))
    if n_items is None or n_items > n:
        page.end(note("… and more" if n_items is None else f"… and {n_items - n:,} more"))


def label_of(name: object, kind: str) -> Html:
    """What stands before a value: a key, an index, or nothing."""
    if name is None:
        return Html("")
    is_index = kind in ("List", "list", "tuple")
    return tag("span", tag("span", name, cls="ckv-kind") if is_index else key(name), cls="ckv-k")


def branch(page: Page, label: Html, thing: Any, depth: int) -> bool:
    """One line, or a branch with lines of its own. False: there is no room for it."""
    kind = kind_of(thing)
    if kind is None:
        return page.put(tag("li", label, value(thing)))
    try:
        return limb(page, label, thing, kind, depth)
    except _core.StaleHandleError:  # deleted between two looks
        return page.put(tag("li", label, tag("span", f"{kind[0]}, deleted", cls="ckv-kind")))


def limb(page: Page, label: Html, thing: Any, kind: tuple[str, str], depth: int) -> bool:
    """The same of a container."""
    if isinstance(thing, _core.Counter):
        return page.put(tag("li", label, value(int(thing)), " ", tag("span", kind[0], cls="ckv-kind")))
    if isinstance(thing, _core.Text):
        words, n_chars = thing[:LONGEST], len(thing)
        about = tag("span", f"{kind[0]}, {plural(n_chars, kind[1])}", cls="ckv-kind")
        return page.put(
            tag("li", label, tag("span", words, cls="ckv-s"), " … " if n_chars > len(words) else " ", about)
        )
    items, n_items = some_of(thing, MOST)
    counted = f"more than {MOST} {kind[1]}s" if n_items is None else plural(n_items, kind[1])
    about = tag("span", f"{kind[0]}, {counted}", cls="ckv-kind")
    if n_items == 0 or depth >= DEEPEST:
        return page.put(tag("li", label, about))
    if kind[1] != "key" and n_items is not None and n_items <= SHORT and all(is_short(v) for _, v in items):
        ends = "[]" if kind[1] == "item" else "{}"
        line = joined((value(v) for _, v in items), ", ")
        return page.put(tag("li", label, ends[0], line, ends[1]))
    opened = " open" if depth < 2 and n_items is not None and n_items <= 20 else ""
    if not page.put(joined((Html(f"<li><details{opened}>"), tag("summary", label, about)))):
        return False
    tree(page, items, n_items, kind[0], depth + 1)
    page.end(Html("</details></li>"))
    return True


def is_short(thing: object) -> bool:
    """A scalar that is not long."""
    return kind_of(thing) is None and (not isinstance(thing, str | bytes) or len(thing) < 16)
