"""docs/cli.md does what it says: its `$ crdtkv ...` lines are run, and what comes out is what stands there."""

import doctest
import os
import re
import socket
import subprocess
import sys

import pytest

from crdtkv.cli.main import COMMANDS
from house.shell import ROOT, environment

PAGE = ROOT / "docs" / "cli.md"
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.M | re.S)
COMMAND = re.compile(r"^\$ (.*(?:\\\n.*)*)\n", re.M)  # may go on after a backslash


def split(block):
    """(command, what must come out) for each command of a block."""
    pieces = COMMAND.split(block)
    assert pieces[0] == "", "a block begins with a command"
    return list(zip(pieces[1::2], pieces[2::2]))


def script(commands):
    """All commands in one shell, with a mark behind the output of each; what ends in & has to speak before the next."""
    lines = ["exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for number, command in enumerate(commands):
        if command.endswith("&"):
            lines += [
                f"{command[:-1]} >said.{number} &",
                f"until [ -s said.{number} ]; do sleep 0.05; done; cat said.{number}",
            ]
        else:
            lines += [command]
        lines += ["code=$?; printf '\\001'; (exit $code)"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder, with `crdtkv` on the path, in which the page goes on from block to block."""
    folder = tmp_path_factory.mktemp("page")
    bin = tmp_path_factory.mktemp("bin")
    (bin / "crdtkv").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m crdtkv "$@"\n')
    (bin / "crdtkv").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = environment(PATH=f"{bin}{os.pathsep}{os.environ['PATH']}", TZ="UTC", LC_ALL="C.UTF-8")
    for name in ("COLUMNS", "CRDTKV_TRACES"):
        env.pop(name, None)
    return folder, env, str(port)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(place, number):
    """They build on each other: run all of them."""
    folder, env, port = place
    commands = split(BLOCKS[number].replace("8765", port))
    ended = subprocess.run(
        ["bash", "-c", script([command for command, _ in commands])],
        capture_output=True,
        text=True,
        cwd=folder,
        env=env,
        timeout=120,
        check=False,
    )
    outputs = ended.stdout.split("\x01")
    assert len(outputs) == len(commands) + 1, ended
    check = doctest.OutputChecker().check_output
    for (command, expected), got in zip(commands, outputs):
        got = "\n".join(line.rstrip() for line in got.split("\n"))  # a last column may be empty
        got = got if got.endswith("\n") or not got else got + "\n"
        assert check(expected, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), f"$ {command}\n{got}"


def test_every_command_is_shown():
    text = PAGE.read_text()
    for name in COMMANDS:
        assert f"crdtkv {name}" in text, name
    assert len(BLOCKS) > 10
