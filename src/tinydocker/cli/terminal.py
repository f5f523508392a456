"""The caller's terminal: whether there is one, its size, and raw mode that is always given back.

Source: termios(3), ioctl_tty(2).
"""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from .parser import UsageError

_NO_TERMINAL_SIZE = (24, 80)


def demand_terminal() -> None:
    """Raise UsageError unless standard input is a terminal."""
    if not os.isatty(0):
        raise UsageError("the input device is not a TTY: leave -t out, or start this from a terminal")


def size() -> tuple[int, int]:
    """Return the rows and columns of the caller's terminal."""
    for fd in (0, 1, 2):
        try:
            found = os.get_terminal_size(fd)
        except OSError:
            continue
        if found.lines and found.columns:
            return found.lines, found.columns
    return _NO_TERMINAL_SIZE


def in_background() -> bool:
    """Tell whether a read from the terminal on standard input would stop this process."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False


class Raw:
    """Raw mode of the terminal on standard input: every byte is passed on as it is typed."""

    def __init__(self) -> None:
        self._before = termios.tcgetattr(0)

    def enter(self) -> None:
        """Set raw mode; also after something else has changed it, as a shell does while this was stopped."""
        tty.setraw(0, termios.TCSANOW)

    def leave(self) -> None:
        """Give back what was before."""
        try:
            termios.tcsetattr(0, termios.TCSANOW, self._before)
        except termios.error:
            pass  # the terminal has hung up


@contextmanager
def raw() -> Iterator[Raw]:
    """Keep the terminal in raw mode for a while."""
    mode = Raw()
    mode.enter()
    try:
        yield mode
    finally:
        mode.leave()
