"""Frame: rows as a pandas.DataFrame, for whoever has pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["frame"]


IDS = frozenset(("id", "author", "lane", "prev", "parents", "change"))  # columns of keys and ids


def frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """A DataFrame with these columns. Ids become hex, and `time` (ms) a time in UTC where it is one.

    ImportError: there is no pandas.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas: pip install crdtkv[pandas]") from error
    cells = [[plain(row[column]) if column in IDS else row[column] for column in columns] for row in rows]
    table = pandas.DataFrame(cells, columns=list(columns))
    if "time" in table:
        table["time"] = pandas.to_datetime(table["time"], unit="ms", utc=True, errors="coerce")
    return table


def plain(value: Any) -> Any:
    """A key or an id as hex; a tuple of them, too."""
    if isinstance(value, bytes):
        return value.hex()
    return tuple(part.hex() for part in value) if isinstance(value, tuple) else value
