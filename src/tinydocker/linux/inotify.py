"""Be told when a file changes.

Source: inotify(7).
"""

from __future__ import annotations

import os

from ._libc import call

IN_MODIFY = 0x002
IN_CLOSE_WRITE = 0x008
IN_MOVED_TO = 0x080
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_MOVE_SELF = 0x800

_IN_CLOEXEC = os.O_CLOEXEC
_IN_NONBLOCK = os.O_NONBLOCK


def watch(path: str, mask: int) -> int:
    """Return a descriptor, non-blocking, that becomes readable when one of ``mask`` happens to ``path``."""
    fd = call("inotify_init1", _IN_CLOEXEC | _IN_NONBLOCK)
    try:
        call("inotify_add_watch", fd, os.fsencode(path), mask)
    except BaseException:
        os.close(fd)
        raise
    return fd


def drain(fd: int) -> None:
    """Forget what has been reported so far."""
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
