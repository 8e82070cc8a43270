"""Table: rows while there is room, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crdtkv.notebook.page import Html, Page, joined, note, tag

__all__ = ["facts", "table"]


def table(
    page: Page,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    n_rows: int | None,
    *,
    caption: str | None = None,
    most: int = 200,
    more: str = "more",
) -> int:
    """Write a table; how many rows it has. The first cell of a row is its head.

    A column whose name begins with "#" holds numbers. `n_rows`: how many there are in all; None: nobody knows.
    """
    cells = [tag("th", c.removeprefix("#"), scope="col", cls=numeric(c)) for c in columns]
    begin = [opening(caption), tag("thead", tag("tr", *cells)), Html("<tbody>")]
    if not page.put(joined(begin)):
        return 0
    n, at_end = 0, True
    for row in rows:
        cells = []
        for i, (column, cell) in enumerate(zip(columns, row, strict=True)):
            cls = numeric(column)
            cells.append(tag("td", cell, cls=cls) if i else tag("th", cell, scope="row", cls=cls))
        if n == most or not page.put(tag("tr", *cells)):
            at_end = False
            break
        n += 1
    page.end(Html("</tbody></table>"))
    if n_rows is not None and n_rows > n:
        page.end(note(f"… and {n_rows - n:,} {more}"))
    elif n_rows is None and not at_end:
        page.end(note(f"… and {more}"))
    return n


def facts(page: Page, rows: Iterable[tuple[str, object]], *, caption: str | None = None) -> None:
    """Write a table of two columns without heads: what, and its value; a value of None is left out."""
    body = [tag("tr", tag("th", name, scope="row"), tag("td", fact)) for name, fact in rows if fact is not None]
    page.put(joined((opening(caption), tag("tbody", *body), Html("</table>"))))


def opening(caption: str | None) -> Html:
    return joined((Html('<table class="ckv-t">'), tag("caption", caption) if caption else ""))


def numeric(column: str) -> str | None:
    return "ckv-n" if column.startswith("#") else None
