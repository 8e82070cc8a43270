"""Frame: rows as a pandas.DataFrame, for whoever has pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

__all__ = ["frame"]


def frame(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> Any:
    """A DataFrame with these columns; `time` (ms) is a time in UTC where it is one. Keys and ids are bytes, as always.

    A column of one type gets that of pandas or NumPy; another one keeps the objects as they are: 1, 1.0, True and None
    stay apart, and no int becomes a float because something else is missing. ImportError: there is no pandas.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas: pip install crdtkv[pandas]") from error
    cells: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(columns)
    table = pandas.DataFrame(
        {name: pandas.Series(column, dtype=kind(column)) for name, column in zip(columns, cells, strict=True)}
    )
    if "time" in table:
        table["time"] = pandas.to_datetime(table["time"], unit="ms", utc=True, errors="coerce")
    return table


def kind(column: Sequence[Any]) -> type[object] | None:
    """The dtype of a column; None: pandas finds out.

    >>> kind([1, 2]), kind([1, 2.5])
    (None, <class 'object'>)
    """
    return None if len(set(map(type, column))) == 1 else object
