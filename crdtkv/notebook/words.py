"""Words: text in the colours of its authors, and what became of text from one version to another."""

from __future__ import annotations

from collections.abc import Iterable

from crdtkv.notebook.page import Html, Page, joined, note, tag
from crdtkv.notebook.palette import Crew, fingerprint
from crdtkv.notebook.values import author, sign, word

__all__ = ["legend", "text"]

Run = tuple[int, int, bytes | None, bytes | None]  # start, end, author, change


def text(page: Page, words: str, runs: Iterable[Run], n_chars: int, crew: Crew) -> None:
    """Write a text with who wrote what: a veil of the author's colour behind it, a sign wherever the author changes.

    `words` is its beginning; runs beyond it are not shown. The author of what no change holds yet is None.
    """
    page.put(Html('<div class="ckv-text">'))
    shown, last, is_first = 0, None, True
    for start, end, by, change in runs:
        if start >= len(words):
            break
        lead: list[object] = []
        if is_first or by != last:
            lead.append(word("open change") if by is None else sign(by, crew))
        part = words[start:end]
        cls = None if by is None else f"ckv-b{crew.ink(by)}"
        about = "open change" if change is None or by is None else f"change {change.hex()[:8]} by {fingerprint(by)}"
        if not page.put(joined((*lead, tag("span", part, cls=cls, title=about)))):
            part = part[: max(0, (page.room - 400) // 12)]  # 12: the longest that one character may become
            if part and page.put(tag("span", part, cls=cls, title=about)):
                shown = start + len(part)
            break
        shown, last, is_first = min(end, len(words)), by, False
    else:
        if not shown and words:  # nobody's: a text that is in no document
            part = words[: max(0, (page.room - 400) // 12)]
            page.put(tag("span", part))
            shown = len(part)
    page.end(Html("</div>"))
    if n_chars > shown:
        page.end(note(f"… and {n_chars - shown:,} more characters"))


def legend(crew: Crew, authors: Iterable[bytes], most: int = 12) -> Html:
    """Who is who, on one line."""
    known = list(dict.fromkeys(authors))
    parts: list[object] = []
    for by in known[:most]:
        parts += [author(by, crew), "   "]
    if len(known) > most:
        parts.append(f"and {len(known) - most:,} more")
    return tag("div", *parts, cls="ckv-note ckv-s")
