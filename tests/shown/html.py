"""Is it HTML that opens and closes what it should, runs nothing, and asks nobody for anything?"""

from __future__ import annotations

import re
from html.parser import HTMLParser

ELEMENTS = set(
    [
        "div",
        "span",
        "style",
        "b",
        "code",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "details",
        "summary",
        "ins",
        "del",
    ]
)
SVG = set(["svg", "title", "desc", "style", "g", "text", "path", "rect", "circle"])
ATTRIBUTES = set(["class", "title", "scope", "role", "aria-label", "aria-hidden", "style", "open"])
DRAWN = set(
    [
        "x",
        "y",
        "cx",
        "cy",
        "r",
        "rx",
        "width",
        "height",
        "viewbox",
        "d",
        "fill",
        "stroke",
        "stroke-width",
        "stroke-dasharray",
        "stroke-linecap",
        "font-size",
        "font-weight",
        "font-family",
        "text-anchor",
        "opacity",
        "role",
        "aria-label",
        "xmlns",
    ]
)
WIDTH = re.compile(r"width:\d+%")


class Checker(HTMLParser):
    """Collects what is wrong, the text, and the text of headers."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        drawn = "svg" in self.stack or tag == "svg"
        if tag not in (SVG if drawn else ELEMENTS):
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name not in (DRAWN if drawn else ATTRIBUTES):
                self.wrong.append(f"{tag} {name}=")
            if name == "style" and not WIDTH.fullmatch(value or ""):
                self.wrong.append(f"style={value}")
            self.values.append(value or "")
        if tag == "th" and "scope" not in dict(attrs):
            self.wrong.append("<th> without a scope")
        if tag == "svg" and not {"role", "aria-label"} <= set(dict(attrs)):
            self.wrong.append("<svg> without words")
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        (self.styles if self.stack and self.stack[-1] == "style" else self.text).append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"<!{decl}>")

    unknown_decl = handle_decl

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"<?{data}>")


def checked(html: str, limit: int = 64 << 10) -> str:
    """The text of a display, that is sound."""
    assert isinstance(html, str) and len(html.encode()) <= limit, len(html.encode())
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.wrong, checker.wrong[:5]
    assert not checker.stack, checker.stack
    styles = "".join(checker.styles).lower()
    for word in ("url(", "@import", "http:", "https:", "expression(", "javascript:", "</"):
        assert word not in styles, word
    assert "�" not in html or "\N{REPLACEMENT CHARACTER}" in "".join(checker.text + checker.values)
    return "".join(checker.text)
