"""Open files below a directory that an attacker may have filled.

Source: openat2(2); include/uapi/linux/openat2.h.
"""

from __future__ import annotations

import errno
import os
import struct

from ..errors import KernelError
from ._libc import BYTES, INT, SIZE, numbered

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_AGAIN = 32

_openat2 = numbered("openat2", INT, BYTES, BYTES, SIZE)


def open_in_root(
    root_fd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
) -> int:
    """Open ``path`` as if ``root_fd`` were ``/`` and return the descriptor (close-on-exec).

    Absolute links and ``..`` stay inside; magic links of procfs are refused. A rename that
    races the look-up makes the kernel answer EAGAIN; it is asked again a few times.
    """
    name = os.fsencode(path) or b"."
    if not flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY):
        mode = 0
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    for attempt in range(_AGAIN):
        try:
            return _openat2(root_fd, name, how, len(how))
        except KernelError as err:
            if err.errno != errno.EAGAIN or attempt == _AGAIN - 1:
                raise KernelError("openat2", (root_fd, os.fsdecode(name), hex(flags)), err.errno or 0) from None
    raise AssertionError("unreachable")
