"""What JSON has no word for, in JSON; and the other way round for values that are typed in.

| Python | JSON |
| --- | --- |
| bytes | {"bytes": "AAE="}, base64 |
| NaN, infinities | {"float": "nan"}, "inf", "-inf" |
| set | a list, in one order everywhere |
| a key that is bytes, where JSON wants a string | the JSON text of {"bytes": ...} |

Ids (of changes, lanes, authors) are strings of hex digits. All of it is ASCII: no terminal and no encoding can be hurt.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from crdtkv.patch import MISSING

__all__ = ["dumps", "in_json", "key_text", "listed", "parse", "parse_pairs"]


def in_json(value: Any) -> Any:
    """A plain value as json.dumps() takes it.

    >>> in_json({"a": b"\\x00\\x01", "b": {2, 1}, "c": float("nan")})
    {'a': {'bytes': 'AAE='}, 'b': [1, 2], 'c': {'float': 'nan'}}
    """
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else key_text(key): in_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(map(in_json, value), key=lambda member: (type(member).__name__, json.dumps(member)))
    if value is MISSING:
        return None
    return value


def key_text(key: str | bytes) -> str:
    """A key where only a string can stand. A str key could look like a bytes key: `query` tells them apart."""
    return key if isinstance(key, str) else json.dumps(in_json(key))


def dumps(value: Any, *, ascii_only: bool = True) -> str:
    """A plain value as JSON text, on one line.

    >>> dumps({"name": "Zoë", "data": b"\\x1b"})
    '{"name": "Zo\\\\u00eb", "data": {"bytes": "Gw=="}}'
    """
    return json.dumps(in_json(value), ensure_ascii=ascii_only, allow_nan=False)


def listed(values: Iterable[Any]) -> Iterator[str]:
    """The JSON text of a list in pieces, as its values come: so a long one needs no memory.

    >>> "".join(listed([1, "two"]))
    '[1, "two"]'
    """
    yield "["
    for number, value in enumerate(values):
        yield (", " if number else "") + dumps(value)
    yield "]"


def parse(text: str) -> Any:
    """What is typed as a value: JSON if it parses, else the text itself. ValueError: JSON with a number beyond bounds.

    >>> parse("[1, 2]"), parse("hello"), parse("NaN"), parse('"7"'), parse("7")
    ([1, 2], 'hello', 'NaN', '7', 7)
    """
    try:
        return TYPED.decode(text)
    except json.JSONDecodeError:
        return text
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def parse_pairs(text: str) -> dict[Any, Any]:
    """Keys and values: JSON, pairs or lists of pairs, one after the other. ValueError: something else is among them.

    Bytes and floats that JSON does not know stand there as in_json() writes them.

    >>> parse_pairs('[["a", 1], ["b", {"bytes": "AAE="}]]')
    {'a': 1, 'b': b'\\x00\\x01'}
    >>> parse_pairs('["a", 1] [{"bytes": "AAE="}, [2]]')
    {'a': 1, b'\\x00\\x01': [2]}
    """
    pairs: dict[Any, Any] = {}
    at = after_space(text, 0)
    while at < len(text):
        try:
            value, end = WRITTEN.raw_decode(text, at)
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
        for pair in value if isinstance(value, list) and not is_pair(value) else [value]:
            if not is_pair(pair):
                raise ValueError(f"line {text.count(chr(10), 0, at) + 1}: not a pair of a key and its value")
            pairs[pair[0]] = pair[1]
        at = after_space(text, end)
    return pairs


def after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    assert found is not None
    return found.end()


def is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | bytes)


def meant(value: dict[str, Any]) -> Any:
    """What in_json() wrote as an object of one field."""
    match value:
        case {"bytes": str(text), **rest} if not rest:
            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                return value
        case {"float": "nan" | "inf" | "-inf" as text, **rest} if not rest:
            return float(text)
    return value


def constant(name: str) -> NoReturn:
    raise json.JSONDecodeError("JSON has no such number", name, 0)


SPACE = re.compile(r"[ \t\r\n]*")
TYPED = json.JSONDecoder(parse_constant=constant)
WRITTEN = json.JSONDecoder(parse_constant=constant, object_hook=meant)
