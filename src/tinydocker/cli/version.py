"""The subcommand version."""

from __future__ import annotations

from .parser import Command
from .session import Session


def version(session: Session) -> int:
    """Print the version."""
    from .. import __version__

    print(f"tinydocker {__version__}")
    return 0


COMMANDS = {"version": Command("", version, most=0)}
