"""Weight: how many bytes of a file are whose, and how many are air."""

from __future__ import annotations

from crdtkv import _core

__all__ = ["has_air", "sizes"]

SMALL = 1 << 19  # bytes of a file that is not worth packing
BULKY = {  # table -> about how long a row is
    "record": "length(data) + 16",
    "change": "length(header) + ifnull(length(signature), 0) + ifnull(length(body), 0) + 24",
    "cover": "length(headers) + length(signature) + 16",
    "sheaf": "length(data) + 24",
    "run": "length(directory) + 32",
    "block": "length(data) + 16",
}
BLOCK = 8192  # bytes that a block of an index fills, a page; how many there are its rows' ids say, without reading them
BLOCKS = """SELECT ifnull(sum((SELECT max(b.id) FROM block b WHERE b.id < (r.id + 1) << 32) - (r.id << 32) + 1), 0)
    FROM run r"""
GLANCE = 32 << 20  # bytes of a file whose objects may be weighed for a display
OWNED = {  # table -> the object and the bytes of its rows
    "record": "object, sum({columns}) FROM record",
    "change": "dag.object, sum({columns}) FROM change JOIN dag ON dag.id = change.id >> 32",
    "sheaf": "dag.object, sum({columns}) FROM sheaf JOIN dag ON dag.id = sheaf.id >> 32",
    "block": "run.object, sum({columns}) FROM block JOIN run ON run.id = block.id >> 32",
}


def sizes(file: _core.File) -> dict[int, int] | None:
    """About how many bytes the objects have, by number; those with none are left out. None: too long to read now."""
    if file.size() > GLANCE:
        return None
    sums: dict[int, int] = {}
    for table, owner in OWNED.items():
        for of, n in file.run(f"SELECT {owner.format(columns=BULKY[table])} GROUP BY 1"):
            sums[of] = sums.get(of, 0) + n
    return sums


def has_air(file: _core.File) -> bool:
    """Would the file be less than half as long with full pages? Rows that shrink leave room in pages that stay."""
    rows = sum(
        n
        for table, columns in BULKY.items()
        if table != "block"
        for (n,) in file.run(f"SELECT ifnull(sum({columns}), 0) FROM {table}")
    )
    ((blocks,),) = file.run(BLOCKS)
    return file.size() > SMALL and file.size() > 2 * (rows + blocks * BLOCK)
