"""Palette: the look of displays, and how authors are told apart.

An author has a colour and a sign, the first letters of the fingerprint in a box of that colour, so that colour is never
needed. Both follow from the key, so that an author looks the same in every display. Where two would look alike, the one
who is seen later gets the colour that is least in use, for as long as the process lives; and one letter pair more.

The colours are of one lightness, chosen so that white on them has a contrast of 5, and they themselves of more than 3
against both a white and a black page (WCAG 2.1: 4.5 for text, 3 for what is drawn). Behind text stands a veil of them,
through which the page shows: so displays fit a light page, a dark one and paper, whoever decides which, without asking.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CSS", "INKS", "VEIL", "WARNING", "Crew", "fingerprint"]

INKS = ("#1d6fcc", "#c04915", "#17804b", "#8b52cd", "#94670c", "#107a8f", "#c63188", "#61708c")
VEIL = 0.17  # how much of a colour lies behind text
WARNING = "#c8323c"


def fingerprint(key: bytes) -> str:
    """A public key as people compare it: as repr() of an Identity shows it."""
    return key.hex()[:16]


class Crew:
    """Authors of one display, each with a colour (0 to 7) and a sign; `you` is the key of whoever looks.

    An author keeps his colour as long as the process lives, so which one it is depends on who was shown before.

    >>> crew = Crew()
    >>> 0 <= crew.ink(b"\\x08" * 32) < len(INKS), crew.sign(b"\\x08" * 32)
    (True, '08')
    """

    __slots__ = ("_signs", "_taken", "you")

    def __init__(self, you: bytes | None = None, authors: Iterable[bytes] = ()) -> None:
        self.you = you
        self._signs: dict[bytes, str] = {}
        self._taken: set[str] = set()
        for author in (*(() if you is None else (you,)), *authors):
            self.ink(author)
            self.sign(author)

    def ink(self, author: bytes) -> int:
        """The number of the author's colour."""
        first = author[0] % len(INKS) if author else 0
        if author in _SEEN or len(_SEEN) >= MOST_SEEN:
            return _SEEN.get(author, first)
        least = min(_USED)
        turns = ((first + turn) % len(INKS) for turn in range(len(INKS)))
        ink = _SEEN.setdefault(author, next(ink for ink in turns if _USED[ink] == least))
        _USED[ink] += 1
        return ink

    def sign(self, author: bytes) -> str:
        """The author's sign."""
        if author not in self._signs:
            text = author.hex() or "--"
            sign = next((text[:n] for n in range(2, 65, 2) if text[:n] not in self._taken), text)
            self._signs[author] = sign
            self._taken.add(sign)
        return self._signs[author]


MOST_SEEN = 1000
_SEEN: dict[bytes, int] = {}  # the colours of authors that were shown; who comes later may share one
_USED = [0] * len(INKS)  # how many of them have each


def veil(ink: str) -> str:
    red, green, blue = (int(ink[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{VEIL})"


_RULES = """
.ckv{font:13px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:inherit;max-width:100%;
  overflow-x:auto;font-variant-numeric:tabular-nums;padding:2px 1px;text-align:left;print-color-adjust:exact;
  -webkit-print-color-adjust:exact}
.ckv.ckv code,.ckv.ckv .ckv-m{font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
  background:none;color:inherit;padding:0;border:0}
.ckv-title{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 14px;margin:0 0 6px}
.ckv-title>b{font-size:14px}
.ckv-fact{opacity:.85}
.ckv-note{font-size:12px;margin:4px 0}
.ckv-h{font-weight:600;margin:10px 0 2px}
.ckv .ckv-warn{border-left:4px solid #c8323c;padding:2px 0 2px 8px}
.ckv .ckv-open{border-left:4px solid #94670c;padding:2px 0 2px 8px}
.ckv table.ckv-t{border-collapse:collapse;margin:2px 0 8px;border:0;font-size:13px;color:inherit;table-layout:auto;
  max-width:100%}
.ckv table.ckv-t caption{caption-side:top;text-align:left;font-weight:600;padding:2px 0;color:inherit}
.ckv table.ckv-t tr,.ckv table.ckv-t tr:nth-child(odd),.ckv table.ckv-t tr:hover{background:none}
.ckv table.ckv-t th,.ckv table.ckv-t td{text-align:left;vertical-align:top;padding:3px 18px 3px 0;border:0;
  border-bottom:1px solid rgba(128,128,128,.3);max-width:44em;white-space:pre-wrap;overflow-wrap:anywhere;
  font-weight:400}
.ckv table.ckv-t thead th{font-size:12px;font-weight:600;opacity:.8;white-space:nowrap;border-bottom-width:2px}
.ckv table.ckv-t .ckv-n{text-align:right;white-space:nowrap}
.ckv table.ckv-t .ckv-w{white-space:nowrap}
.ckv-a{display:inline-block;min-width:22px;padding:0 4px;border-radius:4px;color:#fff;text-align:center;
  font:600 11px/17px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.ckv-you{font-size:11px;border:1px solid;border-radius:8px;padding:0 5px;opacity:.85}
.ckv-word{font-size:11px;border:1px solid;border-radius:3px;padding:0 4px;white-space:nowrap}
.ckv-word.ckv-bad{border-color:#c8323c;border-width:2px;font-weight:600}
.ckv.ckv ul.ckv-tree{margin:0;padding:0;list-style:none;border-left:1px solid rgba(128,128,128,.35)}
.ckv.ckv ul.ckv-tree>li{margin:0;padding:1px 0 1px 12px;list-style:none;overflow-wrap:anywhere}
.ckv-tree summary{cursor:pointer}
.ckv-k{font-weight:600;white-space:pre-wrap}
.ckv-k::after{content:"  ";white-space:pre}
.ckv-kind{opacity:.75;font-style:italic}
.ckv-s{white-space:pre-wrap}
.ckv-text{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid rgba(128,128,128,.35);border-radius:4px;
  padding:6px 8px;margin:2px 0;max-height:32em;overflow-y:auto;line-height:1.7}
.ckv-text .ckv-a{margin:0 3px 0 1px;vertical-align:1px;min-width:0;padding:0 3px;font-size:9px;line-height:13px}
.ckv ins,.ckv del{color:inherit;padding:0 2px;border-radius:2px}
.ckv ins{background:rgba(23,128,75,.2);text-decoration:underline 2px #17804b;text-underline-offset:3px}
.ckv del{background:rgba(200,50,60,.2);text-decoration:line-through 2px #c8323c}
.ckv-bar{display:inline-block;width:90px;height:9px;border:1px solid rgba(128,128,128,.7);border-radius:3px;
  vertical-align:middle;overflow:hidden}
.ckv-bar>span{display:block;height:100%;background:#61708c}
.ckv-graph{overflow-x:auto;max-width:100%}
.ckv svg{max-width:none;height:auto;display:block}
@media print{.ckv,.ckv-text,.ckv-graph{overflow:visible;max-height:none}.ckv svg{max-width:100%}
  .ckv table.ckv-t tr{break-inside:avoid}}
"""

CSS = "".join(line.strip() for line in _RULES.strip().splitlines()) + "".join(
    f".ckv-i{i}{{background:{ink}}}.ckv-b{i}{{background:{veil(ink)};border-bottom:2px solid {ink}}}"
    for i, ink in enumerate(INKS)
)
