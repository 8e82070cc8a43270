"""What all commands have in common: --json after the command, negative numbers as values, arguments of a few types."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from crdtkv.cli.answers import No
from crdtkv.cli.screen import Screen
from crdtkv.errors import DecodeError, LimitError

__all__ = [
    "ANY_NAME",
    "COUNT",
    "FILE",
    "HOST",
    "KEY",
    "NAME",
    "SECONDS",
    "TEXT",
    "Command",
    "CountType",
    "arguments",
    "command",
    "hexed",
    "host_of",
    "screen_of",
]

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    ParamType = click.ParamType[str]
else:
    ParamType = click.ParamType  # generic only in later versions of click

NEGATIVE = re.compile(r"-\.?\d")
MOST = sys.maxsize // 2  # more is as good as all


class Command(click.Command):
    """A command. -5 is a value and no option, and --json may stand anywhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--json", "as_json"], is_flag=True, expose_value=False, help="Print one JSON value.")
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with arguments that look like negative numbers put behind a "--"."""
        if "--" not in args and any(map(NEGATIVE.match, args)):
            args = self._options_first(args)
        return super().parse_args(ctx, args)

    def _options_first(self, args: list[str]) -> list[str]:
        takes_value = {
            name
            for param in self.params
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        }
        options, rest, words = list[str](), list[str](), iter(args)
        for word in words:
            if not word.startswith("-") or word == "-" or NEGATIVE.match(word):
                rest.append(word)
            else:
                options.append(word)
                if word in takes_value:
                    options += [value for value in [next(words, None)] if value is not None]
        return [*options, "--", *rest]

    def invoke(self, ctx: click.Context) -> Any:
        """Runs it with a Screen, which knows of --json wherever it stood."""
        source = ctx.get_parameter_source("as_json")
        given = source is not None and source is not click.core.ParameterSource.DEFAULT
        ctx.obj = screen = Screen(bool(given or ctx.find_root().params.get("as_json")))
        try:
            return super().invoke(ctx)
        except No:
            if screen.json and not screen.has_spoken:
                screen.value(None)
            raise


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a command of a function, whose docstring is its help."""
    return click.command(name, cls=Command)


def screen_of(ctx: click.Context) -> Screen:
    """The screen of a command that runs."""
    screen: Screen = ctx.find_object(Screen) or Screen()
    return screen


# ---- types of arguments


class Utf8(ParamType):
    """A word that is text."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, unless it was not UTF-8."""
        try:
            return os.fsencode(value).decode()  # what was typed, also where Python takes the locale for ASCII
        except UnicodeError:
            self.fail("this is not UTF-8; keys that are bytes are given in hex, with --hex", param, ctx)


def is_plain(word: str) -> bool:
    """Does it mean itself in any shell, and no option?

    >>> [is_plain(word) for word in ("notes/2026-11", "größe", "a b", "$(rm x)", "`rm`", "*", "-f", "")]
    [True, True, False, False, False, False, False, False]
    """
    return word[:1] not in ("", "-") and all(c.isalnum() or c in "@%+=:,./-_" for c in word)


class NameType(Utf8):
    """The name of an object in a file, which the shell can complete."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names in the FILE that stands before it.

        Only those in which a shell reads nothing else: bash puts what is offered on the line as it is, and others may
        have chosen the name.
        """
        from click.shell_completion import CompletionItem

        from crdtkv.cli.target import reading

        try:
            with reading(ctx.params["file"]) as db:  # others chose the names: bash would run $(...) at the next return
                names = [name for name in db.names() if name.startswith(incomplete) and is_plain(name)]
                return list(map(CompletionItem, names))
        except Exception:  # the line is not finished, the file may be anything: then there is nothing to offer
            return []


class CountType(click.IntRange):
    """How many: a number as large as one likes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the greatest that is of use."""
        return min(super().convert(value, param, ctx), MOST)


class SecondsType(click.FloatRange):
    """How long: more than nothing, and a number, which NaN is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The seconds."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class HostType(Utf8):
    """The name of a machine, or its address."""

    name = "host"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if one can ask for it."""
        host = super().convert(value, param, ctx)
        try:
            return host_of(host)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def host_of(host: str) -> str:
    """The name of a machine as it was given. ValueError: none can have it."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"no machine can have this name: {host!r}") from None
    return host


TEXT = Utf8()
HOST = HostType()
SECONDS = SecondsType(min=0, min_open=True)
COUNT = CountType(min=0)
FILE = click.argument("file", type=click.Path())
NAME = click.argument("name", type=NameType())
ANY_NAME = click.argument("name", type=NameType(), required=False)
KEY = click.argument("key", type=TEXT)


def hexed(key: str, is_hex: bool) -> str | bytes:
    """A key as it was meant: bytes if it was given in hex."""
    if not is_hex:
        return key
    try:
        return bytes.fromhex(key.removeprefix("0x"))
    except ValueError:
        raise click.UsageError(f"not hex digits: {key!r}") from None


@contextmanager
def arguments() -> Iterator[None]:
    """What is wrong here is wrong with what was typed, unless it is damage of what was read."""
    try:
        yield
    except DecodeError:
        raise
    except (TypeError, ValueError, OverflowError, LimitError) as error:
        if isinstance(error, click.ClickException):
            raise
        raise click.UsageError(str(error)) from None
