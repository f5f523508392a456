"""The command line: find the subcommand, load what it needs, and turn what it raises into one line and an exit code.

Only the table of subcommands is loaded at first; each lives in a module of its own subject.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import commands, messages
from .session import Session

_BROKEN_PIPE = 128 + 13
_INTERRUPTED = 128 + 2


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code; without ``argv`` it is this program's, which then ends."""
    if argv is not None:
        return _run(argv)
    code = _run(sys.argv[1:])
    # All is closed and flushed by now; the interpreter would take a while to take itself apart.
    os._exit(code)


def _run(argv: Sequence[str]) -> int:
    _keep_standard_streams()
    name, debugging = "", False
    try:
        found = commands.find(list(argv))
        name, debugging = found.name, found.general.flag("debug")
        code = _carried_out(found)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        code = _BROKEN_PIPE
    except Exception as err:  # noqa: BLE001 - the last resort: one line and a code, whatever it is
        if debugging:
            import traceback

            traceback.print_exc()
        messages.report(err)
        code = messages.exit_code(err, name)
    return code


def _carried_out(found: commands.Found) -> int:
    if found.command is None:
        print(found.help_text)
        return 0
    session = Session(found.general, found.values, found.arguments)
    try:
        return found.command.action(session)
    finally:
        session.close()


def _drop_output() -> None:
    """Let what is still buffered for a reader that has gone go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)


def _keep_standard_streams() -> None:
    """Make sure that no descriptor which is opened from now on is taken for a standard stream."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - it was closed when this program started
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
