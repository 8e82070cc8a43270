"""The tree of errors. What Python has a name for keeps it: KeyError, IndexError, TypeError, OverflowError, MemoryError.

::

    Error
        DecodeError (also a ValueError)
        SignatureError
        UnauthorizedError
        StaleHandleError
        ForkError
        LimitError
        StoreError (also an OSError)
            MissingFileError (also a FileNotFoundError)
        ClockDriftError
        SyncError
"""

from crdtkv._core import (
    ClockDriftError,
    DecodeError,
    Error,
    ForkError,
    LimitError,
    SignatureError,
    StaleHandleError,
    StoreError,
    SyncError,
    UnauthorizedError,
)

__all__ = [
    "ClockDriftError",
    "DecodeError",
    "Error",
    "ForkError",
    "LimitError",
    "MissingFileError",
    "SignatureError",
    "StaleHandleError",
    "StoreError",
    "SyncError",
    "UnauthorizedError",
]


class MissingFileError(StoreError, FileNotFoundError):
    """There is no such file, or no such folder.

    >>> import crdtkv as ck
    >>> try:
    ...     ck.Database("no such folder/app.db")
    ... except FileNotFoundError as error:
    ...     print(type(error))
    <class 'crdtkv.errors.MissingFileError'>
    """
