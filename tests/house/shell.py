"""The command line for tests: in this process, where it is quick, or in one of its own, where that matters."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from crdtkv.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\]8;[^\x1b]*\x1b\\")


@dataclass(frozen=True)
class Result:
    """What came of a command."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def json(self) -> Any:
        """stdout, which must be one JSON value on one line."""
        assert self.out.endswith("\n") and self.out.count("\n") == 1, self.out
        return json.loads(self.out)


def run(*args: object, stdin: bytes = b"") -> Result:
    """crdtkv ARGS in this process."""
    out, err = io.BytesIO(), io.BytesIO()
    streams: dict[str, Any] = {
        "stdin": io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"),
        "stdout": io.TextIOWrapper(out, encoding="utf-8"),
        "stderr": io.TextIOWrapper(err, encoding="utf-8"),
    }
    with mock.patch.multiple(sys, **streams):
        code = main([str(arg) for arg in args])
        sys.stdout.flush()
        sys.stderr.flush()
        return Result(code, out.getvalue(), err.getvalue())


def done(*args: object, stdin: bytes = b"") -> Result:
    """The same, which must succeed without a word on stderr."""
    result = run(*args, stdin=stdin)
    assert (result.code, result.err) == (0, ""), result
    return result


def said_no(code: int, *args: object, stdin: bytes = b"") -> str:
    """What a command that must end with this code says on stderr: one line."""
    result = run(*args, stdin=stdin)
    assert result.code == code, result
    assert result.err.startswith("crdtkv: ") and result.err.endswith("\n") and result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    return result.err


def environment(**more: str) -> dict[str, str]:
    """What a process of its own finds."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path} | more


def process(*args: object, stdin: bytes = b"", **more: str) -> Result:
    """python -m crdtkv ARGS, with environment variables."""
    command = [sys.executable, "-m", "crdtkv", *map(os.fspath, map(str, args))]
    ended = subprocess.run(command, input=stdin, capture_output=True, env=environment(**more), check=False)
    return Result(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def staying(*args: object, stop: signal.Signals = signal.SIGTERM, code: int = 0, warns: str = "") -> Iterator[Any]:
    """python -m crdtkv ARGS --json, which stays until it is told to end; what it says of itself. It must end well.

    `warns`: what is in the one line that it warns with.
    """
    command = [sys.executable, "-m", "crdtkv", *map(str, args), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as stays:
        try:
            assert stays.stdout is not None and stays.stderr is not None
            line = stays.stdout.readline()
            assert line, stays.stderr.read()
            yield json.loads(line)
            stays.send_signal(stop)
            assert stays.wait(60) == code
            assert stays.stdout.read() == b""
            said = stays.stderr.read().decode()
            if warns:
                assert warns in said and said.count("\n") == 1
            else:
                assert said == ("crdtkv: interrupted\n" if stop == signal.SIGINT else "")
        finally:
            stays.kill()


def on_a_terminal(*args: str, **more: str) -> tuple[str, int]:
    """What a person would get to see, escapes included; and the exit code."""
    leader, follower = pty.openpty()
    env = environment(**({"TERM": "xterm-256color", "COLUMNS": "100"} | more))
    with subprocess.Popen(
        [sys.executable, "-m", "crdtkv", *args], stdin=follower, stdout=follower, stderr=follower, env=env
    ) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
        os.close(leader)
        process.wait(60)
    return seen.decode().replace("\r\n", "\n"), process.returncode
