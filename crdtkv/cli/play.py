"""To look at: demo, replay. And completion for the shell."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from crdtkv import demo as story
from crdtkv.cli.answers import BadBytesError, Exit
from crdtkv.cli.command import command, screen_of
from crdtkv.cli.replay import Figures, replayed
from crdtkv.cli.screen import Screen, clean
from crdtkv.traces import Trace, made_up, read

__all__ = ["completion", "demo", "replay"]


@command("demo")
@click.option("--seed", type=int, default=1, help="Of what is random in it (1).")
@click.pass_context
def demo(ctx: click.Context, seed: int) -> None:
    """Two honest people write offline, a third tells each another story, bytes arrive damaged; what comes of it."""
    screen = screen_of(ctx)
    outcome = story.tell(seed, (lambda line: None) if screen.json else screen.line)
    if screen.json:
        screen.value(
            {
                "ok": bool(outcome),
                "refused": outcome.refused,
                "same": outcome.same,
                "root": outcome.root.hex(),
                "liars": [liar.hex() for liar in outcome.liars],
            }
        )
    if not outcome:
        ctx.exit(Exit.NO)


@command("replay")
@click.argument("trace", type=click.Path(), required=False)
@click.option("--seed", type=int, default=1, help="Of the trace that is made up when none is given (1).")
@click.pass_context
def replay(ctx: click.Context, trace: str | None, seed: int) -> None:
    """Replay an editing trace keystroke by keystroke, and say what it took.

    TRACE is a .json.gz of the public collection editing-traces, or a folder of them (or CRDTKV_TRACES says where they
    are); without one a trace is made up.
    """
    screen = screen_of(ctx)
    trace = trace or os.environ.get("CRDTKV_TRACES") or None
    found = [made_up(seed)] if trace is None else files_of(trace)
    figures = [measured(screen, one) for one in found]
    if screen.json:
        screen.value(in_json(figures[0]) if len(figures) == 1 else list(map(in_json, figures)))
    if not all(figures):
        ctx.exit(Exit.NO)


def files_of(where: str) -> list[Trace]:
    """The trace in a file, or those in a folder."""
    path = Path(where)
    files = sorted(filter(Path.is_file, path.glob("*.json.gz"))) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(2, "no traces (*.json.gz) in this folder", where)
    return list(map(trace_in, files))


def trace_in(file: Path) -> Trace:
    """One trace. BadBytesError: it is none."""
    try:
        return read(file)
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadBytesError(f"no editing trace: {str(file)!r}") from None


def measured(screen: Screen, trace: Trace) -> Figures:
    """Replay one trace, and print what it took."""
    try:
        figures = replayed(trace, screen.steps)
    except (IndexError, ValueError, TypeError, OverflowError, AttributeError):
        raise BadBytesError(f"{trace.name}: edits that do not fit the text") from None
    if screen.json:
        return figures
    n = f"{figures.n_txns:,} transactions, {figures.n_splices:,} splices, {figures.n_characters:,} characters"
    screen.write(f"{clean(trace.name)}: {n}\n")
    for way in figures.ways:
        screen.write(f"    {way.what:45} {way.seconds * 1e3:9.1f} ms   {way.ns_each:9.0f} ns each\n")
    text = "that of the trace" if figures.right else "in another order" if figures.same_characters else "WRONG"
    screen.write(f"    {figures.saved_bytes:,} bytes saved, {figures.memory:,} bytes of memory\n")
    screen.write(f"    the text is {text}; a copy that was loaded is {'equal' if figures.agree else 'NOT EQUAL'}\n")
    return figures


def in_json(figures: Figures) -> dict[str, Any]:
    """The figures as JSON has them."""
    return {
        "name": figures.name,
        "transactions": figures.n_txns,
        "splices": figures.n_splices,
        "characters": figures.n_characters,
        "saved_bytes": figures.saved_bytes,
        "memory": figures.memory,
        "right": figures.right,
        "same_characters": figures.same_characters,
        "agree": figures.agree,
        "ways": [{"what": way.what, "seconds": way.seconds, "steps": way.n} for way in figures.ways],
    }


@command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and names: eval "$(crdtkv completion bash)"."""
    screen = screen_of(ctx)
    shells = get_completion_class(shell)
    assert shells is not None
    script = shells(ctx.find_root().command, {}, "crdtkv", "_CRDTKV_COMPLETE").source()
    screen.value(script) if screen.json else screen.write(script + "\n")
