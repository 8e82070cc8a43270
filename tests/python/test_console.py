"""What pages show of a shell is so: their `$ ...` lines are run, and what comes out is what stands there."""

import doctest
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from crdtkv.cli.main import COMMANDS
from house.nats_server import PROGRAM, free_port
from house.pages import PAGES, ROOT, blocks, commands
from house.shell import environment

BLOCKS = [block for page in PAGES for block in blocks(page, "console")]
MODULES = ("crdtkv", "uvicorn")  # of Python, which are commands, too
PORTS = ("4222", "8000", "8765")  # on which something listens in pages


def script(lines):
    """All commands in one shell, with a mark behind the output of each; what ends in & has to speak before the next."""
    out = ["exec 2>&1", "rm -f said.*", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, command in enumerate(lines):
        if command.endswith("&"):
            out += [
                f"{command[:-1]} >said.{number} 2>&1 &",
                f"until [ -s said.{number} ]; do sleep 0.05; done; cat said.{number}",
            ]
        else:
            out += [command]
        out += ["code=$?; printf '\\001'; (exit $code)"]
    return "\n".join(out)


class Places:
    """A folder for each page, with its programs in it, in which the page goes on from block to block."""

    def __init__(self, new_folder):
        self.new_folder, self.bin, self.folders = new_folder, new_folder("bin"), {}
        for name, call in {"python": "", **{module: f"-m {module}" for module in MODULES}}.items():
            (self.bin / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
            (self.bin / name).chmod(0o755)
        if PROGRAM is not None:
            (self.bin / "nats-server").symlink_to(PROGRAM)
        self.ports = {port: str(free_port()) for port in PORTS}
        self.done = set()  # blocks

    def here(self, text):
        """The same, with ports that are free here."""
        for port, free in self.ports.items():
            text = text.replace(port, free)
        return text

    def of(self, page):
        if page not in self.folders:
            folder = self.folders[page] = self.new_folder("page")
            for block in blocks(page, "python"):
                if block.program is not None:
                    (folder / block.program).write_text(self.here(block.text))
        return self.folders[page]

    def run(self, block):
        """Its commands with what they should say, and what they say. What stands before it on the page comes first."""
        for other in BLOCKS:
            if other.page == block.page and other.line < block.line and other not in self.done and lacks(other) is None:
                self.run(other)
        self.done.add(block)
        shown = [(self.here(command), self.here(expected)) for command, expected in commands(block)]
        env = environment(PATH=f"{self.bin}{os.pathsep}{os.environ['PATH']}", TZ="UTC", LC_ALL="C.UTF-8")
        for name in ("COLUMNS", "CRDTKV_TRACES"):
            env.pop(name, None)
        how = {"capture_output": True, "text": True, "cwd": self.of(block.page), "env": env, "timeout": 120}
        lines = script(command for command, _ in shown)
        return shown, subprocess.run(["timeout", "100", "bash", "-c", lines], check=False, **how)  # ends all of them


def lacks(block):
    """Which program it takes that is not here."""
    if "nats-server" in block.text and PROGRAM is None:
        return "nats-server"
    return next((name for name in MODULES if f"$ {name} " in block.text and find_spec(name) is None), None)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return Places(tmp_path_factory.mktemp)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_block(places, block):
    """Those of a page build on each other."""
    if (program := lacks(block)) is not None:
        pytest.skip(f"there is no {program}")
    shown, ended = places.run(block)
    outputs = ended.stdout.split("\x01")
    assert len(outputs) == len(shown) + 1, ended
    check = doctest.OutputChecker().check_output
    for (command, expected), got in zip(shown, outputs):
        got = "\n".join(line.rstrip() for line in got.split("\n"))  # a last column may be empty
        got = got if got.endswith("\n") or not got else got + "\n"
        assert check(expected, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), f"$ {command}\n{got}"


def test_every_program_of_a_page_is_started_there():
    programs = [block for page in PAGES for block in blocks(page, "python") if block.program is not None]
    assert len(programs) > 2
    for block in programs:
        started = " ".join(command for shown in blocks(block.page, "console") for command, _ in commands(shown))
        name = block.program.removesuffix(".py")
        assert f"python {name}.py" in started or f" {name}:app" in started, block.place


def test_every_command_of_the_command_line_is_shown():
    page = ROOT / "docs" / "cli.md"
    text = page.read_text()
    for name in COMMANDS:
        assert f"crdtkv {name}" in text, name
    assert sum(block.page == page for block in BLOCKS) > 10
