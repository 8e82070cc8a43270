"""Values: keys, ids, times, sizes and anything plain as short pieces of HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from crdtkv.notebook.page import LONGEST, Html, escape, joined, tag
from crdtkv.notebook.palette import Crew, fingerprint

__all__ = [
    "author",
    "count",
    "hlc",
    "is_size",
    "is_there",
    "key",
    "moment",
    "peer",
    "plural",
    "ref",
    "short",
    "sign",
    "size",
    "value",
    "word",
]

FIRST, LAST = -62135596800000, 253402300799999  # ms of the years 1 to 9999


def count(n: int) -> str:
    """A number, as people read it.

    >>> count(12345)
    '12,345'
    """
    return f"{n:,}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """So many of something.

    >>> plural(1, "key"), plural(2, "key")
    ('1 key', '2 keys')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def size(n_bytes: int) -> str:
    """Bytes, as people read them.

    >>> size(999), size(5 << 20)
    ('999 bytes', '5.0 MiB')
    """
    amount = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1000 or unit == "GiB":
            return f"{n_bytes:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1024
    raise AssertionError(n_bytes)


def is_there(thing: object) -> bool:
    """Is it anything but MISSING, which stands for no value?"""
    return type(thing).__name__ != "_Missing"


def is_size(name: str) -> bool:
    """Does a figure of this name count bytes?"""
    return name.removesuffix("_limit").endswith(("bytes", "memory", "bytes_in", "bytes_out")) or name in (
        "before",
        "after",
        "lane_waiting",
        "peer_waiting",
    )


def moment(ms: int | None) -> str:
    """A time that somebody claims, in UTC; nobody is bound to tell the truth.

    >>> moment(0), moment(2**62)
    ('1970-01-01 00:00:00', '4611686018427387904 ms')
    """
    if ms is None:
        return ""
    if not FIRST <= ms <= LAST:
        return f"{ms} ms"
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def hlc(time: int) -> Html:
    """A time of a store's clock: its milliseconds as a time, and its counter."""
    ms, n = time >> 16, time & 0xFFFF
    text = f"{moment(ms)}.{ms % 1000:03d}" if FIRST <= ms <= LAST else moment(ms)
    return tag("span", f"{text} +{n}" if n else text, title=f"{time}: {ms} ms, {n}", cls="ckv-w")


def ref(id: bytes | None) -> Html:
    """The id of a change: its beginning; all of it on hover."""
    return Html("") if id is None else tag("code", id.hex()[:8], title=id.hex())


def word(text: str, *, bad: bool = False) -> Html:
    """A mark: a word in a box."""
    return tag("span", text, cls="ckv-word ckv-bad" if bad else "ckv-word")


def sign(key: bytes, crew: Crew) -> Html:
    """An author's box alone."""
    return tag("span", crew.sign(key), cls=f"ckv-a ckv-i{crew.ink(key)}", title=key.hex())


def author(key: bytes | None, crew: Crew) -> Html:
    """Who: sign, fingerprint, and whether it is you."""
    if key is None:
        return Html("")
    words: list[object] = [sign(key, crew), " ", tag("code", fingerprint(key), title=key.hex())]
    if key == crew.you:
        words += [" ", tag("span", "you", cls="ckv-you")]
    return tag("span", *words, cls="ckv-w")


def peer(incarnation: bytes) -> Html:
    """Who put in a store: the name, and the beginning of the 8 random bytes behind it."""
    name, slash, draw = incarnation[:-9], incarnation[-9:-8], incarnation[-8:]
    if slash != b"/":
        name, draw = incarnation, b""
    text = short(name.decode(errors="backslashreplace"), 60)
    return tag("span", text, *([" ", tag("code", draw.hex()[:6])] if draw else []), title=short(repr(incarnation), 200))


def short(text: str, most: int = LONGEST) -> str:
    """At most so many characters; it says how many there were.

    >>> short("x" * 500, 10)
    'xxxxxxxxxx … 500 characters'
    """
    return text if len(text) <= most else f"{text[:most]} … {len(text):,} characters"


def key(k: object) -> Html:
    """A key: a str in quotation marks only where it needs them, bytes as bytes."""
    if isinstance(k, str):
        plain = k[:LONGEST].isprintable() and k and k == k.strip()
        return tag("span", short(k, 120) if plain else value(k))
    return value(k)


def value(v: Any, depth: int = 0) -> Html:
    """A plain value, or a short account of one that is long."""
    if isinstance(v, str):
        quoted = short(repr(v[: LONGEST + 1]) if len(v) <= LONGEST else repr(v[:LONGEST]), 3 * LONGEST)
        more = f" … {len(v):,} characters" if len(v) > LONGEST else ""
        return tag("span", quoted + more, cls="ckv-s")
    if isinstance(v, bytes | bytearray):
        more = f" … {len(v):,} bytes" if len(v) > 32 else ""
        return tag("code", repr(bytes(v[:32])) + more)
    if isinstance(v, bool) or v is None:
        return tag("code", repr(v))
    if isinstance(v, int):
        return (
            tag("code", short(str(v), 80)) if v.bit_length() < 4000 else tag("code", f"int of {v.bit_length():,} bits")
        )
    if isinstance(v, dict):
        return several("{", "}", ((key(k), ": ", value(x, depth + 1)) for k, x in v.items()), len(v), depth)
    if isinstance(v, list | tuple | set | frozenset):
        ends = "[]" if isinstance(v, list) else "()" if isinstance(v, tuple) else "{}"
        return several(ends[0], ends[1], ((value(x, depth + 1),) for x in v), len(v), depth)
    return tag("code", short(repr(v), 200))


def several(left: str, right: str, items: Any, n: int, depth: int) -> Html:
    """The first few items between brackets."""
    if depth >= 3:
        return joined((left, f" {n:,} " if n else "", right))
    most = (8, 4, 3)[depth]
    shown = list(islice(items, most))
    parts: list[object] = [left]
    for i, item in enumerate(shown):
        parts += [", "] if i else []
        parts += item
    if n > len(shown):
        parts.append(f", … {n:,} in all")
    return escape(joined((*parts, right)))
