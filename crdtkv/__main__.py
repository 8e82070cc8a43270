"""python -m crdtkv: the command line, if what it needs is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, do what it says; the exit code."""
    try:
        try:
            import click  # noqa: F401
            import rich  # noqa: F401
        except ModuleNotFoundError as error:
            print(f"crdtkv: the command line needs {error.name}: pip install 'crdtkv[cli]'", file=sys.stderr)
            return 3
        from crdtkv.cli.main import main as run

        return run(argv)
    except KeyboardInterrupt:  # before there was anybody to catch it
        return 130


if __name__ == "__main__":
    sys.exit(main())
