"""Page: HTML that is escaped because it cannot be made in another way, and bounded because its writer stops.

    Html           text that is markup already; escape() and tag() make it, everything else is data and is escaped
    Page           a writer with so many bytes of room; what does not fit is not begun
    @shows         a display that never raises: what cannot be read becomes a short box that says why

Names of classes begin with "ckv-"; there is no script, and nothing refers to anything outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from crdtkv.notebook.palette import CSS

__all__ = ["LIMIT", "Html", "Page", "escape", "joined", "note", "shows", "tag", "title"]

LIMIT = 64 << 10  # bytes of UTF-8, of a whole display
RESERVE = 4 << 10  # of these for closing tags and for "... and 12,345 more"
LONGEST = 400  # characters of one text from data; what is longer is cut

_T = TypeVar("_T")


class Html(str):
    """Markup: everything from data in it is escaped."""

    __slots__ = ()


# Characters that XML forbids, that a reader cannot see, or that turn what stands beside them around. They are shown.
_INVISIBLE = (*range(0x7F, 0xA0), 0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070))
_INVISIBLE += (0xFEFF, *range(0xFFF9, 0xFFFC), 0xFFFE, 0xFFFF, *range(0xE0000, 0xE0080))
_SHOWN = {c: f"‹U+{c:04X}›" for c in _INVISIBLE}
_SHOWN |= {c: chr(0x2400 + c) for c in range(32) if c not in (9, 10)}
_SHOWN |= dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_SHOWN |= {plane << 16 | c: "\N{REPLACEMENT CHARACTER}" for plane in range(1, 17) for c in (0xFFFE, 0xFFFF)}
_SHOWN |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#39;"}


def escape(text: object) -> Html:
    """Text as it may stand in HTML, in an attribute and in SVG. Html stays as it is.

    >>> escape('<b title="x">\\x00')
    '&lt;b title=&quot;x&quot;&gt;␀'
    """
    return text if isinstance(text, Html) else Html(str(text).translate(_SHOWN))


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Parts, escaped, one after the other."""
    return Html(between.join(escape(part) for part in parts))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. `cls` is its class; an attribute that is None or False is left out, True stands for its name.

    >>> tag("td", "a < b", cls="n", title=None)
    '<td class="n">a &lt; b</td>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            key = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
            words.append(f'{key}="{escape(key if value is True else value)}"')
    return Html(f"<{' '.join(words)}>{joined(children)}</{name}>")


class Page:
    """The inside of a display, piece by piece, while there is room."""

    __slots__ = ("_parts", "room")

    def __init__(self, limit: int = LIMIT) -> None:
        self._parts: list[str] = []
        self.room = limit - RESERVE - len(CSS)

    def put(self, piece: Html) -> bool:
        """Add a whole piece if there is room for it: is there?"""
        n_bytes = len(piece.encode())
        if n_bytes > self.room:
            return False
        self.room -= n_bytes
        self._parts.append(piece)
        return True

    def end(self, piece: Html) -> None:
        """Add what was reserved for: an end, or a short note."""
        self.room -= len(piece.encode())
        self._parts.append(piece)

    @contextmanager
    def keeping(self, n_bytes: int) -> Iterator[None]:
        """Room for what comes after the block."""
        self.room -= n_bytes
        yield
        self.room += n_bytes

    def html(self) -> str:
        """All of it, with its style."""
        return f'<div class="ckv"><style>{CSS}</style>{"".join(self._parts)}</div>'


def title(kind: str, *facts: object, name: object = None) -> Html:
    """The line a display begins with: what it is, and facts about it; what is None is left out."""
    head = tag("b", kind) if name is None else joined((tag("b", kind), " ", name))
    shown = [tag("span", fact, cls="ckv-fact") for fact in facts if fact is not None]
    return tag("div", head, *shown, cls="ckv-title")


def note(*words: object, cls: str = "ckv-note") -> Html:
    """A line in small print."""
    return tag("div", *words, cls=cls)


def shows(display: Callable[[Page, _T], object]) -> Callable[[_T], str]:
    """A function that writes to a page, as one that returns its HTML and never raises."""

    def shown(thing: _T) -> str:
        page = Page()
        try:
            display(page, thing)
            return page.html()
        except Exception as error:  # a stale handle, a closed file, memory: a display says so and the notebook goes on
            page = Page()
            what, why = type(thing).__name__, f"{type(error).__name__}: {error}"[:LONGEST]
            page.put(title(what))
            page.put(note("It cannot be shown. ", why, cls="ckv-note ckv-warn"))
            return page.html()

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):  # its signature is another one: no wraps()
        setattr(shown, name, getattr(display, name))
    return shown
