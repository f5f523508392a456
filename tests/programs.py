"""A Python program of its own that uses the test's engine, and talks with the test by lines.

::

    with Program(\"\"\"
        container = td.Container(image, ["sleep", "1000"]).start()
        say(container.pid)
        hear()
    \"\"\", busybox_dir) as program:
        pid = int(program.line())
        program.kill()

The program has ``td``, ``os``, ``sys``, ``image`` (the first argument), ``say`` and ``hear``.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

PREAMBLE = """
import os, sys
import tinydocker as td
image = sys.argv[1] if len(sys.argv) > 1 else ""
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline().rstrip("\\n")
"""
PATIENCE_S = 60  # until a test that waits in vain gives up; nothing is ever measured by it


class Program:
    """A running program; leaving the ``with`` block ends it and reaps it."""

    def __init__(self, code: str, *arguments: str | os.PathLike[str], options: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *options, "-c", PREAMBLE + textwrap.dedent(code), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """Wait for the next line that the program says, and return it."""
        assert self._process.stdout is not None
        poller = select.poll()
        poller.register(self._process.stdout, select.POLLIN)
        line = ""
        while not line.endswith("\n"):
            assert poller.poll(PATIENCE_S * 1000), f"the program says nothing after {line!r}"
            read = os.read(self._process.stdout.fileno(), 1).decode("latin-1")
            assert read, f"the program ended with {self._process.wait()} after {line!r}"
            line += read
        return line.rstrip("\n")

    def say(self, text: str = "") -> None:
        """Send the program a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def supervisor(self) -> Awaited:
        """Return the only child of the program: the engine's supervisor."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        assert len(children) == 1, f"the program has the children {children}"
        return Awaited(int(children[0]))

    def kill(self) -> None:
        """Kill the program as the kernel would for want of memory."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait for the program's end and return its code."""
        return self._process.wait(PATIENCE_S)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(PATIENCE_S)


class Awaited:
    """A process that is waited for by a descriptor, so that a reused number cannot deceive."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def has_ended(self) -> bool:
        """Tell whether it has ended by now."""
        return bool(self._poll(0))

    def kill(self) -> None:
        """Kill it."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> None:
        """Wait for its end."""
        assert self._poll(PATIENCE_S * 1000), f"process {self.pid} does not end"

    def _poll(self, milliseconds: int) -> bool:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(milliseconds))

    def __enter__(self) -> Awaited:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._pidfd)
