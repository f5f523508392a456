"""A pseudo-terminal out of the container's own devpts.

Source: pts(4), ioctl_tty(2), TIOCGPTPEER.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from ..linux import files

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_pair(root_fd: int, rows: int, columns: int) -> tuple[int, int]:
    """Return (master, slave) of a new terminal of ``rows`` by ``columns`` from /dev/pts of the rootfs."""
    master = files.open_in_root(root_fd, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    resize(master, rows, columns)
    return master, slave


def resize(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal ``fd`` its size, which sends SIGWINCH to what runs in it."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def make_controlling(slave: int) -> None:
    """Make ``slave`` the controlling terminal of the calling session leader."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
