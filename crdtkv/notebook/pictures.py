"""Displays that are pictures: the hash graph, and a timeline."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crdtkv.notebook.lanes import FAINT, MONO, author_box, drawing, svg, text
from crdtkv.notebook.page import Html, Page, note, shows, tag, title
from crdtkv.notebook.palette import CSS, INKS, Crew, fingerprint
from crdtkv.notebook.values import moment, plural

if TYPE_CHECKING:
    from crdtkv.graph import Graph
    from crdtkv.timeline import Timeline

__all__ = ["graph", "graph_svg", "timeline", "timeline_svg"]

WIDE = 560  # of the axis
BINS = 140  # bars of a row
MOST_BARS = 280  # that there is room for in a page: of many authors each has fewer
AUTHORS = 40  # rows


def graph_svg(g: Graph) -> str:
    """A graph as a picture of its own.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> notebook.graph_svg(doc.graph())
    '<svg ...'
    """
    return svg(g, standalone=True)


def graph(g: Graph) -> str:
    """A graph as a part of a page, whose colours it takes.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "<svg" in notebook.graph(doc.graph())
    True
    """
    return f'<div class="ckv"><style>{CSS}</style><div class="ckv-graph">{svg(g, standalone=False)}</div></div>'


def axis(times: list[int]) -> tuple[int, int]:
    """From when to when the axis goes. Nine in ten are on it: a clock that is wrong by a century moves nobody else."""
    cut = len(times) // 20
    first, last = times[cut], times[len(times) - 1 - cut]
    return first, max(last, first + 1)


def timeline_picture(t: Timeline, *, standalone: bool, most_bars: int = AUTHORS * BINS) -> str:
    """A row for each author, a bar for each of many short times; the height is how many changes."""
    rows = [author for author, _ in Counter(m.author for m in t).most_common(AUTHORS)]
    bins = min(BINS, max(1, most_bars // max(1, len(rows))))
    crew = Crew(t.you, rows)
    first, last = axis([m.time for m in t]) if t else (0, 1)
    tops: dict[tuple[bytes, int], int] = Counter()
    for m in t:
        place = min(max((m.time - first) * (bins - 1) // (last - first), 0), bins - 1)
        tops[m.author, place] += 1
    most = max(tops.values(), default=1)
    left, high, x_step = 236, 34, WIDE / bins
    out: list[Html] = []
    for i, author in enumerate(rows):
        y = 30 + high * (i + 1)
        box, x = author_box(author, crew, y - 12)
        you = " · you" if author == t.you else ""
        out += [box, text(x, y - 8, fingerprint(author) + you, 11, font_family=MONO)]
        out.append(tag("path", d=f"M{left} {y}H{left + WIDE}", stroke=FAINT, stroke_width=1))
        for place in range(bins):
            if n := tops.get((author, place)):
                tall = max(3, round((high - 8) * n / most))
                when = moment(first + place * (last - first) // bins)
                about = tag("title", f"{plural(n, 'change')} at about {when}")
                size = {"width": round(x_step - 0.6, 1), "height": tall, "fill": INKS[crew.ink(author)]}
                out.append(tag("rect", about, x=round(left + place * x_step, 1), y=y - tall, **size))
    n_rows = max(1, len(rows))
    words = f"{plural(len(t), 'change')} by {plural(len({m.author for m in t}), 'author')}, at the times they claim"
    words += f"; {plural(t.n_left_out, 'older one')} left out" if t.n_left_out else ""
    height, width = 30 + high * n_rows + 28, left + WIDE + 20
    foot = [
        text(x, height - 10, moment(when), text_anchor=anchor)
        for when, x, anchor in ((first, left, "start"), (last, left + WIDE, "end"))
        if t
    ]
    return drawing("Timeline", words, [*out, *foot], width, height, standalone=standalone)


def timeline_svg(t: Timeline) -> str:
    """A timeline as a picture of its own.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> notebook.timeline_svg(doc.timeline())
    '<svg ...'
    """
    return timeline_picture(t, standalone=True)


@shows
def timeline(page: Page, t: Timeline) -> None:
    """Who wrote when, by their own account.

    >>> import crdtkv as ck
    >>> from crdtkv import notebook
    >>> doc = ck.Doc()
    >>> doc["title"] = "Picnic"
    >>> "1 change by 1 author" in notebook.timeline(doc.timeline())
    True
    """
    for most_bars in (MOST_BARS, MOST_BARS // 2):
        picture = timeline_picture(t, standalone=False, most_bars=most_bars)
        if page.put(Html(f'<div class="ckv-graph">{picture}</div>')):
            return
    page.put(title("Timeline"))
    page.put(note("Too many authors for a picture: see to_pandas()"))
