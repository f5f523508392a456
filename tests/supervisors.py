"""Wait for supervisors to leave: one does so a moment after the program that it served has ended."""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

_MOST_MS = 20_000


def await_end(token: str) -> None:
    """Wait until every supervisor of the engine whose directories bear ``token`` has ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or not _serves(entry, token):
            continue
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(int(entry.name))
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                if _serves(entry, token) and not poll.poll(_MOST_MS):
                    raise AssertionError(f"the supervisor {entry.name} has not left")
            finally:
                os.close(pidfd)


def _serves(entry: Path, token: str) -> bool:
    try:
        command = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return b"launch.supervisor" in command and token.encode() in command
