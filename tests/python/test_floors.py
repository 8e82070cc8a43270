"""The house rules of csrc/, one test each; `make floors` runs the same checks alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from house import floors

Rule = Callable[[Path], list[str]]


@pytest.mark.parametrize("rule", floors.RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    wrong = rule(floors.ROOT / "csrc")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("rule", "file", "line", "says"),
    [
        (floors.stairs, "base/a.h", '#include "ds/b.h"', "climbs"),
        (floors.stairs, "ds/a.c", '#include "crypto/b.h"', "climbs"),
        (floors.stairs, "ds/a.c", '#include "b.h"', "no file of a room"),
        (floors.stairs, "py/a.c", '#include "ds/b.h"', "sees replica/crdtkv.h only"),
        (floors.doors, "base/a.c", "  #  include <zstd.h>", "only through base/squeeze.c"),
        (floors.doors, "base/squeeze.h", "#include <zstd.h>", "only through base/squeeze.c"),
        (floors.doors, "doc/a.c", "#include <sodium.h>", "only through crypto/"),
        (floors.doors, "doc/a.c", '#include "Python.h"', "only through py/"),
        (floors.doors, "doc/a.c", "#include <ds/b.h>", "quotes"),
        (floors.cycles, "ds/b.h", '#include "ds/b.h"', "circle"),
        (floors.rooms, "attic/a.c", "", "not a room"),
        (floors.rooms, "log/a.h", "", "without a C file"),
        (floors.rooms, "a.c", "", "not in a room"),
        (floors.alone, "ds/a.h", "size_t n;", "does not compile alone"),
        (floors.alone, "ds/a.h", "static int unused;", "does not compile alone"),
    ],
)
def test_the_checker_sees(tmp_path: Path, rule: Rule, file: str, line: str, says: str) -> None:
    for name, text in {"ds/b.h": "", "crypto/b.h": "", file: f"{line}\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert any(says in problem for problem in rule(tmp_path))


def test_the_checker_lets_through_what_is_right(tmp_path: Path) -> None:
    files = {
        "base/a.h": "#ifndef A\n#define A\n#include <stddef.h>\n#endif\n",
        "base/squeeze.c": '#include "base/a.h"\n#include <zstd.h>\n',
        "ds/bits.c": '#include "base/a.h"\n#include <roaring/roaring64.h>\n',
        "ds/tree.h": "/* template: a tree of T */\nT first;\n",
        "replica/crdtkv.h": '#ifndef R\n#define R\n#include "base/a.h"\n#endif\n',
        "replica/r.c": '#include "replica/crdtkv.h"\n#include "ds/tree.h"\n',
        "py/m.c": '#include <Python.h>\n#include "replica/crdtkv.h"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [problem for rule in floors.RULES for problem in rule(tmp_path)] == []
