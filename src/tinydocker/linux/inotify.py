"""Be told when a file changes.

Source: inotify(7).
"""

from __future__ import annotations

import os

from ._libc import BYTES, INT, UINT, wrapped

IN_MODIFY = 0x002
IN_CLOSE_WRITE = 0x008
IN_MOVED_TO = 0x080
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_MOVE_SELF = 0x800

_inotify_init1 = wrapped("inotify_init1", INT)
_inotify_add_watch = wrapped("inotify_add_watch", INT, BYTES, UINT)


def watch(path: str, mask: int) -> int:
    """Return a descriptor, non-blocking, that becomes readable when one of ``mask`` happens to ``path``."""
    fd = _inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _inotify_add_watch(fd, os.fsencode(path), mask)
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
