"""Run a program in a real pseudo-terminal and talk with it as a person would.

::

    with Terminal(["sh"]) as shell:
        shell.expect(b"$ ")
        shell.send(b"echo $((6*7))\\r")
        shell.expect(b"42")
        shell.send(CTRL_D)
        assert shell.wait() == 0
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

CTRL_C = b"\x03"
CTRL_D = b"\x04"
CTRL_BACKSLASH = b"\x1c"

# A session leader without a controlling terminal gets the first one that it opens.
_TAKE_TERMINAL = 'exec "$@" 0<>"$0" 1>&0 2>&0'


class Terminal:
    """A program that runs as the leader of a session on a terminal of its own.

    ``transcript`` is all that came out of the terminal so far. Leaving the ``with`` block kills
    the program when it still runs.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        self.transcript = b""
        self._seen = 0
        self._master, self._slave = os.openpty()
        try:
            os.set_blocking(self._master, False)
            self.resize(rows, columns)
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", _TAKE_TERMINAL, os.ttyname(self._slave), *command],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._master)
            os.close(self._slave)
            raise
        self._pidfd = os.pidfd_open(self._child.pid)

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._child.pid

    def send(self, data: bytes) -> None:
        """Type ``data``; what comes out meanwhile is taken in, so that neither side can block."""
        poller = select.poll()
        poller.register(self._master, select.POLLIN | select.POLLOUT)
        deadline = _deadline(10)
        while data:
            if not poller.poll(_left_ms(deadline)) or time.monotonic() >= deadline:
                raise AssertionError(self._report("nobody reads the terminal"))
            self._take()
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                continue

    def expect(self, text: bytes, timeout: float = 10) -> bytes:
        """Wait for ``text`` after what was expected before; return everything up to its end."""
        deadline = _deadline(timeout)
        while True:
            at = self.transcript.find(text, self._seen)
            if at >= 0:
                start, self._seen = self._seen, at + len(text)
                return self.transcript[start : self._seen]
            ended = self._pause(deadline)
            grew = self._take()
            if ended and not grew:
                raise AssertionError(self._report(f"the program ended and never wrote {text!r}"))
            if not ended and not grew and time.monotonic() >= deadline:
                raise AssertionError(self._report(f"no {text!r} within {timeout:g} s"))

    def wait(self, timeout: float = 10) -> int:
        """Wait for the program's end, taking in what it writes; return its code as `subprocess` does."""
        deadline = _deadline(timeout)
        while not self._pause(deadline):
            grew = self._take()
            if not grew and time.monotonic() >= deadline:
                raise AssertionError(self._report(f"the program did not end within {timeout:g} s"))
        while self._take():
            pass
        return self._child.wait()

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; the kernel sends SIGWINCH to what runs in its foreground."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def attributes(self) -> list[object]:
        """Return the terminal's attributes, as `termios.tcgetattr` has them."""
        return termios.tcgetattr(self._master)

    def close(self) -> None:
        """Kill the program when it still runs, and give the terminal back."""
        if self._child.poll() is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._child.wait()
        for fd in (self._pidfd, self._master, self._slave):
            os.close(fd)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pause(self, deadline: float) -> bool:
        """Wait until something can be read or the program has ended; tell whether it has ended."""
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        poller.register(self._pidfd, select.POLLIN)
        return any(fd == self._pidfd for fd, _ in poller.poll(_left_ms(deadline)))

    def _take(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return False
        self.transcript += data
        return bool(data)

    def _report(self, what: str) -> str:
        return f"{what}; the terminal shows:\n{self.transcript.decode('utf-8', 'replace')}"


def _deadline(timeout: float) -> float:
    return time.monotonic() + timeout


def _left_ms(deadline: float) -> int:
    return max(0, round((deadline - time.monotonic()) * 1000))
