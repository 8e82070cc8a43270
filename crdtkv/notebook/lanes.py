"""Graph as SVG: a row for each lane, time from left to right, and what is not as it should be told in words.

A change stands as far right as the longest way that leads to it, so what stands in one column knows nothing of each
other. A lane that forks gets a row for each prong. Shapes tell what words repeat: a circle is a change, a diamond one
of a fork, a crossed square is void, a dashed circle waits, a dotted one is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from crdtkv.notebook.page import Html, joined, tag
from crdtkv.notebook.palette import INKS, WARNING, Crew, fingerprint
from crdtkv.notebook.values import plural

if TYPE_CHECKING:
    from crdtkv.graph import Graph, Node, WaitingNode

__all__ = ["LIMIT", "svg"]

LIMIT = 512 << 10  # bytes
DX, DY, LEFT, TOP, R = 54, 64, 236, 26, 13
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
STANDALONE = """svg{color:#1b1f24;background:#fff}
@media (prefers-color-scheme:dark){svg{color:#e4e6ea;background:#15171a}}"""
FAINT = "rgba(128,128,128,.35)"
LANES = 120  # rows that are drawn; the rest is counted
SPOTS = 800  # changes that are drawn


class Row:
    """A prong of a lane: `tip` is its last change, `end` the rightmost column that is taken."""

    __slots__ = ("author", "dag", "end", "is_first", "lane", "number", "tip")

    def __init__(self, lane: bytes, author: bytes, dag: str | None, is_first: bool) -> None:
        self.lane, self.author, self.dag, self.is_first = lane, author, dag, is_first
        self.end, self.tip, self.number = -1, b"", 0


NOWHERE = Row(b"", b"", None, True)


class Spot:
    """A change on the picture."""

    __slots__ = ("about", "column", "is_head", "is_waiting", "marks", "node", "row")

    def __init__(self, node: Node | WaitingNode, about: str, marks: tuple[str, ...], is_head: bool) -> None:
        self.node, self.about, self.marks, self.is_head = node, about, marks, is_head
        self.is_waiting = "waiting" in marks
        self.column, self.row = 0, NOWHERE

    def before(self) -> tuple[bytes, ...]:
        """What it builds on."""
        return self.node.parents if self.node.prev is None else (self.node.prev, *self.node.parents)


class Plan(NamedTuple):
    """Where everything stands."""

    spots: list[Spot]
    rows: list[Row]
    absent: dict[bytes, tuple[int, int]]  # id -> column, row
    n_hidden: int  # rows that are not drawn
    columns: int


def spots_of(graph: Graph) -> list[Spot]:
    """Changes first, then what waits for changes."""
    out = []
    for node in graph[-SPOTS:]:
        marks = ["fork"] * node.is_fork + ["void"] * (node.void is not None)
        about = f"{node.id.hex()[:16]}\nby {fingerprint(node.author)}, seq {node.seq}, {plural(node.n_ops, 'op')}"
        about += f"\nvoid: {node.void}" if node.void is not None else ""
        out.append(Spot(node, about, tuple(marks), node.is_head))
    for letter in graph.waiting[:SPOTS]:
        about = f"{letter.id.hex()[:16]}\nby {fingerprint(letter.author)}, seq {letter.seq}"
        out.append(Spot(letter, f"{about}\nnot applied: what it builds on is not here", ("waiting",), False))
    return out


def in_order(spots: list[Spot]) -> list[Spot]:
    """What waits comes in no order: here each stands behind those of the others that it builds on."""
    placed, rest = [s for s in spots if not s.is_waiting], [s for s in spots if s.is_waiting]
    ids = {s.node.id for s in rest}
    ahead = {s.node.id: ids.intersection(s.before()) for s in rest}
    behind: dict[bytes, list[Spot]] = {}
    for s in rest:
        for id in ahead[s.node.id]:
            behind.setdefault(id, []).append(s)
    ready = [s for s in rest if not ahead[s.node.id]]
    while ready:
        ready.sort(key=lambda s: (s.node.seq, s.node.id))
        placed += ready
        released = []
        for s in ready:
            for later in behind.get(s.node.id, ()):
                ahead[later.node.id].discard(s.node.id)
                if not ahead[later.node.id]:
                    released.append(later)
        ready = released
    return placed


def plan(graph: Graph) -> Plan:
    """Columns by the longest way, rows by lane and prong."""
    spots = in_order(spots_of(graph))
    missing = set(graph.missing)
    start = 1 if graph.n_left_out else 0  # room for an edge that comes from before the picture
    column: dict[bytes, int] = {}
    lanes: dict[bytes, list[Row]] = {}
    for spot in spots:
        spot.column = max((column[id] + 1 for id in spot.before() if id in column), default=start)
        if missing.intersection(spot.before()):
            spot.column = max(spot.column, start + 1)
        prongs = lanes.setdefault(spot.node.lane, [])
        row = next((row for row in prongs if row.tip == spot.node.prev and row.end < spot.column), None)
        if row is None and spot.is_waiting and prongs:  # behind what is here of its lane, and what is missing
            row = prongs[0]
            spot.column = max(spot.column, row.end + 2)
        if row is None:
            row = Row(spot.node.lane, spot.node.author, getattr(spot.node, "dag", None), not prongs)
            prongs.append(row)
        column[spot.node.id] = row.end = spot.column
        row.tip, spot.row = spot.node.id, row
    rows = [row for prongs in lanes.values() for row in prongs]
    for number, row in enumerate(rows):
        row.number = number
    shown = [spot for spot in spots if spot.row.number < LANES]
    taken = {(spot.column, spot.row.number) for spot in shown}
    absent: dict[bytes, tuple[int, int]] = {}
    for spot in shown:
        place = spot.column - 1, spot.row.number
        for id in sorted(missing.intersection(spot.before())):
            if id not in absent and place not in taken:
                absent[id] = place
                taken.add(place)
    return Plan(shown, rows[:LANES], absent, len(rows[LANES:]), 1 + max((s.column for s in shown), default=0))


# ---- drawing


def at(column: int, row: int) -> tuple[int, int]:
    return LEFT + column * DX, TOP + row * DY + DY // 2


def text(x: float, y: float, words: object, size: int = 11, **attributes: object) -> Html:
    return tag("text", words, x=x, y=y, font_size=size, fill="currentColor", **attributes)


def author_box(author: bytes, crew: Crew, y: int) -> tuple[Html, int]:
    """An author's sign in the author's colour, in the middle of a row; and where it ends."""
    sign = crew.sign(author)
    wide = max(26, 8 * len(sign) + 8)
    box = tag("rect", x=6, y=y - 10, width=wide, height=20, rx=4, fill=INKS[crew.ink(author)])
    style = {"font_size": 11, "font_weight": 600, "fill": "#fff", "text_anchor": "middle", "font_family": MONO}
    return joined((box, tag("text", sign, x=6 + wide / 2, y=y + 4, **style))), 14 + wide


def label(row: Row, crew: Crew, y: int, n_prong: int) -> Html:
    """What stands left of a row: sign, fingerprint, you, lane."""
    if not row.is_first:
        return text(40, y + 4, f"same lane, prong {n_prong}", 10, opacity=".8")
    box, x = author_box(row.author, crew, y)
    you = " · you" if row.author == crew.you else ""
    dag = f" · {row.dag[:24]}" if row.dag is not None else ""
    name = text(x, y - 1, f"{fingerprint(row.author)}{you}", 11, font_family=MONO)
    return joined((box, name, text(x, y + 12, f"lane {row.lane.hex()[:8]}{dag}", 10, opacity=".8")))


def shape(spot: Spot, x: int, y: int, crew: Crew) -> Html:
    """A change, with its number, its marks below and whether it is a head above."""
    ink, d = INKS[crew.ink(spot.node.author)], R + 4
    is_filled = False
    if spot.is_waiting:
        body = tag("circle", cx=x, cy=y, r=R, fill="none", stroke=ink, stroke_width=2, stroke_dasharray="4 3")
    elif "void" in spot.marks:
        n = R - 1
        box = tag("rect", x=x - n, y=y - n, width=2 * n, height=2 * n, fill="none", stroke=ink, stroke_width=2)
        body = joined((box, tag("path", d=f"M{x - n} {y - n}L{x + n} {y + n}", stroke=ink, stroke_width=1)))
    elif "fork" in spot.marks:
        is_filled = True
        corners = f"M{x} {y - d}L{x + d} {y}L{x} {y + d}L{x - d} {y}Z"
        body = tag("path", d=corners, fill=ink, stroke=WARNING, stroke_width=3)
    else:
        is_filled = True
        body = tag("circle", cx=x, cy=y, r=R, fill=ink)
    ring = tag("circle", cx=x, cy=y, r=d, fill="none", stroke="currentColor", stroke_width=1.5)
    number = tag(
        "text",
        spot.node.seq,
        x=x,
        y=y + 4,
        font_size=11 if spot.node.seq < 1000 else 7,
        font_weight=600,
        text_anchor="middle",
        fill="#fff" if is_filled else "currentColor",
    )
    words = [
        text(x, y + R + 13 + 10 * i, mark, 9, text_anchor="middle", font_weight=700)
        for i, mark in enumerate(spot.marks)
    ]
    words += [text(x, y - R - 8, "head", 9, text_anchor="middle")] if spot.is_head else []
    is_ringed = spot.is_head and not spot.marks
    return tag("g", tag("title", spot.about), body, *([ring] if is_ringed else []), number, *words)


def edge(x0: int, y0: int, x1: int, y1: int, *, ink: str, wide: float, dotted: bool = False) -> Html:
    """A line from one change to a later one."""
    bend = min(DX, max(24, (x1 - x0) // 2))
    d = f"M{x0 + R} {y0}"
    d += f"H{x1 - R}" if y0 == y1 else f"C{x0 + R + bend} {y0} {x1 - R - bend} {y1} {x1 - R} {y1}"
    dash, cap = ("1 4", "round") if dotted else (None, None)
    return tag("path", d=d, fill="none", stroke=ink, stroke_width=wide, stroke_dasharray=dash, stroke_linecap=cap)


def edges(p: Plan, crew: Crew) -> list[Html]:
    places = {spot.node.id: at(spot.column, spot.row.number) for spot in p.spots}
    places |= {id: at(*place) for id, place in p.absent.items()}
    out = []
    for spot in p.spots:
        x1, y1 = at(spot.column, spot.row.number)
        for id, is_prev in ((spot.node.prev, True), *((parent, False) for parent in spot.node.parents)):
            if id is None:
                continue
            ink, wide = (INKS[crew.ink(spot.node.author)], 2.5) if is_prev else ("currentColor", 1.0)
            if id in places:
                x0, y0 = places[id]
                out.append(edge(x0, y0, x1, y1, ink=ink, wide=wide, dotted=id in p.absent))
            elif is_prev:  # it is older than what is shown
                out.append(edge(x1 - DX + 2 * R, y1, x1, y1, ink=ink, wide=2, dotted=True))
    return out


def summary(graph: Graph) -> str:
    """The picture in words, for who cannot see it."""
    nodes: list[Node | WaitingNode] = [*graph, *graph.waiting]
    n_lanes, n_authors = len({node.lane for node in nodes}), len({node.author for node in nodes})
    words = [f"{plural(len(graph), 'change')} in {plural(n_lanes, 'lane')} by {plural(n_authors, 'author')}"]
    if graph.n_left_out:
        words.append(f"{plural(graph.n_left_out, 'older one')} left out")
    if liars := sorted({node.author for node in graph if node.is_fork}):
        words.append(f"{plural(len(liars), 'author')} told two stories: {', '.join(map(fingerprint, liars[:4]))}")
    if graph.waiting:
        words.append(f"{plural(len(graph.waiting), 'change')} not applied yet")
    return "; ".join(words)


def svg(graph: Graph, *, standalone: bool) -> str:
    """The picture. `standalone`: with a background and colours of its own; else it takes those of the page."""
    p = plan(graph)
    crew = Crew(graph.you, (row.author for row in p.rows))
    right = LEFT + p.columns * DX + 20
    height = TOP + max(1, len(p.rows)) * DY + 26
    prongs: dict[bytes, int] = {}
    back: list[Html] = []
    for i, row in enumerate(p.rows):
        prongs[row.lane] = prongs.get(row.lane, 0) + 1
        back.append(label(row, crew, at(0, i)[1], prongs[row.lane]))
        if i:
            back.append(tag("path", d=f"M0 {TOP + i * DY}H{right}", stroke=FAINT, stroke_width=1))
    back += [missing_mark(id, *at(*place)) for id, place in p.absent.items()]
    shapes = [shape(spot, *at(spot.column, spot.row.number), crew) for spot in p.spots]
    if not shapes:
        shapes = [text(6, TOP + 20, "no changes yet", 12, opacity=".8")]
    lines = edges(p, crew)
    kept = fitting((*back, *shapes, *lines), LIMIT - 8192)
    front, behind = kept[: len(back) + len(shapes)], kept[len(back) + len(shapes) :]
    left_out = len(graph) + len(graph.waiting) - len(p.spots)
    words = [summary(graph)]
    words += [f"{p.n_hidden} more rows are not drawn"] if p.n_hidden else []
    words += [f"{plural(left_out, 'change')} of them without room in the picture"] if left_out else []
    words += ["some lines left out"] if len(kept) < len(back) + len(shapes) + len(lines) else []
    about = "; ".join(words)
    width = max(right, 7 * len(about) + 12)
    return drawing("Hash graph", about, [tag("g", *behind, *front)], width, height, standalone=standalone)


def drawing(what: str, about: str, inside: Iterable[Html], width: int, height: int, *, standalone: bool) -> Html:
    """A picture as SVG, which says in words what it shows: above it, and to who does not see it."""
    return tag(
        "svg",
        tag("title", what),
        tag("desc", about),
        *([tag("style", Html(STANDALONE))] if standalone else []),
        text(6, 16, about, 12),
        *inside,
        role="img",
        aria_label=f"{what}: {about}",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        font_family=FONT,
        xmlns="http://www.w3.org/2000/svg" if standalone else None,
    )


def missing_mark(id: bytes, x: int, y: int) -> Html:
    """A change that others wait for."""
    dots = {"fill": "none", "stroke": "currentColor", "stroke_width": 1.5, "stroke_dasharray": "1 3"}
    return tag(
        "g",
        tag("title", f"{id.hex()[:16]}: not here"),
        tag("circle", cx=x, cy=y, r=R - 2, **dots),
        text(x, y + 4, "?", 12, text_anchor="middle"),
        text(x, y + R + 13, "missing", 9, text_anchor="middle"),
    )


def fitting(parts: Iterable[Html], room: int) -> list[Html]:
    """As many of the first ones as there is room for."""
    out = []
    for part in parts:
        room -= len(part.encode())
        if room < 0:
            break
        out.append(part)
    return out
