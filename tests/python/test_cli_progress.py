"""Who waits at a terminal sees how far it is, on stderr; a pipe sees nothing of it."""

import re

import pytest

import crdtkv as ck
from crdtkv.cli.bundles import size_of
from house.shell import ESCAPES, done, on_a_terminal, process


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("progress") / "app.db"
    with ck.Database(path) as db:
        for n in range(8):
            db.datastore(f"part{n}").update({f"k{i}": "x" * 100 for i in range(200)})
    return str(path)


@pytest.mark.parametrize(
    "command, doing",
    [
        ("check {}", "checking"),
        ("verify {}", "verifying"),
        ("compact {}", "compacting"),
        ("backup {} {}.copy", "copying"),
    ],
)
def test_a_bar_is_drawn_where_it_is_known_how_much_there_is(file, command, doing):
    seen, code = on_a_terminal(*command.format(file, file).split())
    assert code == 0
    parts = [int(n) for n in re.findall(rf"{doing}.*?(\d+)%", ESCAPES.sub("", seen))]
    assert parts and parts == sorted(parts) and parts[-1] <= 100, seen
    if doing != "copying":  # a small file is copied before anybody looks how far it is
        assert parts[-1] == 100
    last = ESCAPES.sub("", seen.rpartition("\r")[2]).rstrip("\n").splitlines()[-1]
    assert doing not in last and last.strip(), "the bar is gone when it is done"


def test_a_pulse_is_drawn_where_nobody_knows(file):
    seen, code = on_a_terminal("export", file, "part1", f"{file}.bundle")
    assert code == 0 and "exporting" in seen and "%" not in seen
    done("init", f"{file}.other")
    seen, code = on_a_terminal("import", f"{file}.other", "part1", f"{file}.bundle")
    assert code == 0 and re.search(r"importing [\d,]+ bytes", ESCAPES.sub("", seen))


@pytest.mark.parametrize("command", ["check {}", "verify {}", "compact {}", "backup {} {}.pipe"])
def test_a_pipe_sees_nothing_of_it(file, command):
    result = process(*command.format(file, file).split())
    assert result.code == 0 and result.stderr == b"" and b"\x1b" not in result.stdout


def test_a_copy_grows_beside_its_place(tmp_path):
    """What the bar of `backup` looks at."""
    seen = []
    with ck.Database(tmp_path / "app.db") as db:
        db.datastore("kv").update({f"k{n}": "x" * 1000 for n in range(2000)})
        db.commit()
        target = tmp_path / "copy.db"
        (tmp_path / "copy.db-new").write_bytes(b"left by one that was killed")
        db.backup(target)
        seen.append(sorted(path.name for path in tmp_path.glob("copy*")))
    assert seen == [["copy.db"]] and size_of(str(target)) > 2_000_000 and size_of(f"{target}-new") == 0
