"""What is said when something went wrong: one line on standard error, and the exit code that goes with it."""

from __future__ import annotations

import os
import sys

from ..errors import NotSupported, StartFailed, TinydockerError
from .parser import UsageError

OURS = 125
# Of these everything that goes wrong before the command runs is 125, to be told from the command's own codes.
_RUNNING = ("run", "exec")


def report(err: Exception) -> None:
    """Print an error as one line of this program."""
    line = " ".join(_message(err).split("\n")).strip()
    try:
        print(f"tinydocker: {line}", file=sys.stderr, flush=True)
    except (OSError, AttributeError):
        pass  # nobody is there to be told


def exit_code(err: Exception, name: str) -> int:
    """Return the exit code of the subcommand ``name`` that ends with ``err``, as Docker's."""
    if isinstance(err, StartFailed):
        return err.returncode
    expected = isinstance(err, (TinydockerError, OSError))
    if not expected or name in _RUNNING or isinstance(err, (UsageError, NotSupported)):
        return OURS
    return 1


def _message(err: Exception) -> str:
    if isinstance(err, UsageError):
        return f"{err} (see tinydocker {err.command + ' ' if err.command else ''}--help)"
    if isinstance(err, TinydockerError):
        return str(err)
    if isinstance(err, OSError):
        reason = err.strerror or str(err)
        return f"{os.fsdecode(err.filename)}: {reason}" if isinstance(err.filename, (str, bytes)) else reason
    return f"internal error: {type(err).__name__}: {err} (tinydocker --debug … shows where)"
