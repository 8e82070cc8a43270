"""What a command ends with when it does not end well, and the exit codes."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["BadBytesError", "Exit", "FileTrouble", "Interrupted", "No", "OfflineError"]


class Exit(IntEnum):
    """The exit codes.

    >>> Exit.NO
    <Exit.NO: 1>
    """

    DONE = 0
    NO = 1  # the answer is no: an absent key, a check with findings
    USAGE = 2
    TROUBLE = 3  # with a file or the network
    BAD_BYTES = 4
    BUG = 70  # of crdtkv itself
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class No(Exception):
    """The answer is no. The message says why, in one line."""


class FileTrouble(Exception):
    """A file is not what it must be for this: it is there already, or is a folder."""


class OfflineError(Exception):
    """Nobody is there, or not in time."""


class BadBytesError(Exception):
    """What was read is damaged, or is something else."""


class Interrupted(Exception):
    """Somebody pressed Ctrl-C. Not KeyboardInterrupt, to which click adds an empty line."""
