"""main: the command line as a whole. Commands are imported when they are called; errors become one line and a code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

import crdtkv
from crdtkv.cli.answers import BadBytesError, Exit, FileTrouble, Interrupted, No, OfflineError
from crdtkv.cli.screen import tell
from crdtkv.errors import DecodeError, Error, LimitError, MissingFileError, SignatureError, StoreError

__all__ = ["app", "main"]

COMMANDS = {  # in the order of --help: name -> module and what it is called there
    "init": ("files", "init"),
    "ls": ("files", "ls"),
    "get": ("keys", "get"),
    "put": ("keys", "put"),
    "del": ("keys", "delete"),
    "query": ("keys", "query"),
    "count": ("keys", "count"),
    "show": ("files", "show"),
    "log": ("history", "log"),
    "graph": ("history", "graph"),
    "diff": ("history", "diff"),
    "blame": ("history", "blame"),
    "check": ("files", "check"),
    "verify": ("files", "verify"),
    "stats": ("files", "stats"),
    "compact": ("files", "compact"),
    "backup": ("bundles", "backup"),
    "export": ("bundles", "export"),
    "import": ("bundles", "import_"),
    "serve": ("live", "serve"),
    "sync": ("live", "sync"),
    "nats": ("live", "nats"),
    "demo": ("play", "demo"),
    "replay": ("play", "replay"),
    "completion": ("play", "completion"),
}


class App(click.Group):
    """The group of all commands, each imported when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which one learns them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(f"crdtkv.cli.{module}"), name)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, to the last byte of what it prints."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            raise Interrupted from None
        except BrokenPipeError:
            raise Gone from None
        except Exception as error:
            if was_interrupted(error):
                raise Interrupted from None
            raise


def was_interrupted(error: BaseException | None) -> bool:
    """Did it come of Ctrl-C? A file that was being opened cannot be closed as it should, and says so."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


class Gone(Exception):
    """Whoever read our output has gone. Not BrokenPipeError, of which click makes an exit code that means something."""


@click.group(
    cls=App,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value; may also stand after the command.")
@click.version_option(crdtkv.__version__, message="%(prog)s %(version)s")
@click.pass_context
def app(ctx: click.Context, as_json: bool) -> None:
    """Look into crdtkv files, change them, and keep them in sync.

    Exit codes: 0 done, 1 the answer is no, 2 usage, 3 file or network, 4 bad bytes.
    """
    if ctx.invoked_subcommand is None:
        if not as_json:
            click.echo(ctx.get_help())
        raise click.UsageError("no command given")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, do what it says; the exit code. Never raises."""
    prepare_streams()
    try:
        code = ended(argv)
        sys.stdout.flush()
        return code
    except (BrokenPipeError, Gone):
        give_up_stdout()
        return Exit.BROKEN_PIPE
    except OSError as error:  # the disk is full where stdout goes
        give_up_stdout()
        return said(*verdict(error))


def ended(argv: Sequence[str] | None) -> int:
    """Run the command; what is to be said of how it ended is said."""
    try:
        code = app.main(None if argv is None else list(argv), prog_name="crdtkv", standalone_mode=False)
        return code if isinstance(code, int) else Exit.DONE
    except Gone:
        raise
    except SystemExit as end:  # click has completed a line for the shell; or made this of a pipe that is broken
        if end.code:
            raise Gone from None
        return Exit.DONE
    except No as answer:
        return said(str(answer), Exit.NO)
    except (Interrupted, click.Abort, KeyboardInterrupt):
        return said("interrupted", Exit.INTERRUPTED)
    except Exception as error:
        return said(*verdict(error))


def give_up_stdout() -> None:
    """What is still in its buffer goes nowhere, quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def prepare_streams() -> None:
    """Whatever is written can be: to a terminal that knows ASCII only, and to nobody (`>&-`)."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115 -- until the process ends
        elif name == "stdin":
            continue
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def said(message: str, code: Exit) -> Exit:
    """Says why, in one line; what was typed may make it long."""
    sys.stdout.flush()
    tell(message)
    return code


HINTS = {
    errno.ENOENT: "is the path right?",
    errno.EEXIST: "choose another path",
    errno.EACCES: "look who may open it: `ls -l`",
    errno.EPERM: "look who may open it: `ls -l`",
    errno.EROFS: "copy it to where you may write",
    errno.ENOSPC: "make room, and do it again",
    errno.EADDRINUSE: "choose another --port, or end who has it",
    errno.EADDRNOTAVAIL: "choose a --host of this machine",
}


def with_hint(said: str, hint: str | None) -> str:
    """What helps, where nothing that is said does already.

    >>> with_hint("no such file: x.gz", HINTS[errno.ENOENT])
    'no such file: x.gz; is the path right?'
    """
    return said if hint is None or "`" in said or "; " in said else f"{said}; {hint}"


def verdict(error: Exception) -> tuple[str, Exit]:
    """What to say of an error, and the exit code."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "crdtkv"
        return f"{error.format_message().rstrip('.')}. Try `{where} --help`.", Exit.USAGE
    if isinstance(error, StoreError) and error.pid is not None:
        return f"{error.filename}: process {error.pid} has it open for writing: wait for it, or end it", Exit.TROUBLE
    if isinstance(error, StoreError) and error.errno is None:
        return with_hint(str(error), "`crdtkv check` looks for more damage"), Exit.BAD_BYTES
    if isinstance(error, DecodeError | SignatureError | BadBytesError):
        return with_hint(str(error), "get it again from where it came, if it is what was meant"), Exit.BAD_BYTES
    if isinstance(error, MissingFileError):
        return with_hint(f"{error.strerror}: {error.filename}", "`crdtkv init` makes a new one"), Exit.TROUBLE
    if isinstance(error, OSError):
        said = error.strerror or str(error)
        return with_hint(
            f"{said}: {error.filename}" if error.filename else said, HINTS.get(error.errno or 0)
        ), Exit.TROUBLE
    if isinstance(error, LimitError):
        return f"{error}. Try `crdtkv --help`.", Exit.USAGE
    if isinstance(error, FileTrouble | OfflineError | Error):
        return str(error), Exit.TROUBLE
    if isinstance(error, ImportError) and not (error.name or "").startswith("crdtkv"):  # an extra is not installed
        return str(error), Exit.TROUBLE
    if isinstance(error, MemoryError):
        return os.strerror(errno.ENOMEM), Exit.TROUBLE
    if os.environ.get("CRDTKV_TRACEBACK"):
        raise error
    return f"a bug of crdtkv: {type(error).__name__}: {error}. CRDTKV_TRACEBACK=1 shows where", Exit.BUG
