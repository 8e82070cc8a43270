"""python -m crdtkv demo [TRACE]"""

from __future__ import annotations

import argparse
import sys

from crdtkv import demo


def main(argv: list[str] | None = None) -> int:
    """Read the command line, do what it says; the exit code."""
    parser = argparse.ArgumentParser(prog="crdtkv", description="Local-first documents that survive liars.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("demo", help="two honest replicas, a liar, and an editing trace with figures")
    command.add_argument(
        "trace", nargs="?", metavar="TRACE", help="an editing trace (.json.gz) to replay, or a folder of them"
    )
    command.add_argument("--seed", type=int, default=1, help="of what is random in the demo (default: 1)")
    args = parser.parse_args(argv)
    return demo.main(args.trace, seed=args.seed)


if __name__ == "__main__":
    sys.exit(main())
