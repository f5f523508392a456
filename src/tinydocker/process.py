"""Commands in containers, as objects that read like those of subprocess."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from .errors import ContainerTimeout
from .launch.client import Channel
from .launch.terminal import resize
from .streams import Exchange

if TYPE_CHECKING:
    from .completed import Completed

#: What may be given for a stream; the numbers are subprocess's, which most programs of the command line never load.
PIPE = -1
STDOUT = -2
DEVNULL = -3


class ContainerProcess:
    """A command that runs in a container; the twin of subprocess.Popen.

    ``stdin``, ``stdout`` and ``stderr`` are files where pipes were asked for, else None; with a
    terminal ``stdin`` and ``stdout`` are its two directions. Leaving a ``with`` block waits, as
    Popen's does; closing it ends the command and all that it has started.
    """

    def __init__(
        self,
        args: Sequence[str],
        channel: Channel,
        pid: int,
        pidfd: int,
        *,
        text: bool,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        terminal: int | None = None,
        detached: bool = False,
    ) -> None:
        self.args = list(args)
        self.pid = pid
        self.returncode: int | None = None
        self._channel = channel
        self._is_detached = detached
        self._pidfd = pidfd
        self._text = text
        self._report: dict[str, Any] = {}
        self._exchange: Exchange | None = None
        self._owner = os.getpid()
        self._terminal = terminal
        if terminal is not None:
            stdin, stdout = os.dup(terminal), terminal
        self.stdin: IO[Any] | None = _file(stdin, "wb", text)
        self.stdout: IO[Any] | None = _file(stdout, "rb", text)
        self.stderr: IO[Any] | None = _file(stderr, "rb", text)

    def __repr__(self) -> str:
        how = "runs" if self.returncode is None else f"ended with {self.returncode}"
        return f"<process {self.pid} {' '.join(self.args)!r} {how}>"

    def __enter__(self) -> ContainerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            _close(stream)
        if kind is not None:
            self.close()
        else:
            self.wait()
            self.close()

    def fileno(self) -> int:
        """Return a descriptor that can be read once it has ended, for select, poll and event loops."""
        return self._channel.fileno()

    def poll(self) -> int | None:
        """Return the return code, or None while it runs."""
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, at most ``timeout`` seconds, and return the return code.

        Raises ContainerTimeout when the time has passed; the command then still runs.
        """
        code = self._await(timeout)
        if code is None:
            raise ContainerTimeout(self.args, timeout or 0)
        return code

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Send ``input``, read both streams to their ends and wait; return (stdout, stderr).

        After a ContainerTimeout the command still runs and a second call goes on where the
        first stopped, as subprocess does.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        exchange = self._begin_exchange(input)
        done = exchange.proceed(deadline)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not done or self._await(left) is None:
            raise ContainerTimeout(self.args, timeout or 0, *self._outputs())
        return self._outputs()

    def complete(self, input: Any = None, timeout: float | None = None, check: bool = False) -> Completed:
        """Communicate, let go, and return the Completed; on a time-out kill it with all that it has started."""
        try:
            stdout, stderr = self.communicate(input, timeout)
        except ContainerTimeout as err:
            self._channel.kill()
            self.close()
            self._drain()
            err.stdout, err.stderr = self._outputs()
            raise
        except BaseException:
            self.close()
            raise
        completed = self._completed(stdout, stderr)
        self.close()
        if check:
            completed.check_returncode()
        return completed

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command; nothing happens when it has ended."""
        if self._pidfd < 0 or self.poll() is not None:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, sig)
        except ProcessLookupError:
            pass

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the command alone; :meth:`close` ends all that it has started too."""
        self.send_signal(signal.SIGKILL)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the command's terminal its size."""
        if self._terminal is not None:
            resize(self._terminal, rows, columns)

    def close(self) -> None:
        """Let go: what still runs is killed with all that it has started, unless it was detached.

        In a process that was forked from the owner it runs on.
        """
        if self._is_detached or self._owner != os.getpid():
            self._channel.forget()
        else:
            self._channel.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._exchange:
            return
        for stream in (self.stdin, self.stdout, self.stderr):
            _close(stream)

    def _await(self, timeout: float | None) -> int | None:
        # Without a lock: a thread that waits must not keep another from killing, and all hear the same.
        if self.returncode is None:
            report = self._channel.ended(timeout)
            if report is not None:
                self._report = report
                self.returncode = report["returncode"]
        return self.returncode

    def _begin_exchange(self, input: Any) -> Exchange:
        if self._exchange is None:
            data = input or b""
            if isinstance(data, str):
                data = data.encode("utf-8", "surrogateescape")
            writing = _take(self.stdin)
            reading = {name: fd for name in ("stdout", "stderr") if (fd := _take(getattr(self, name))) is not None}
            self._exchange = Exchange(writing, bytes(data), reading)
        return self._exchange

    def _drain(self) -> None:
        # Every process that could hold the pipes is being killed, so their ends come at once.
        if self._exchange:
            self._exchange.proceed(time.monotonic() + 1)
            self._exchange.close()

    def _outputs(self) -> tuple[Any, Any]:
        exchange = self._exchange
        raw = [exchange.output(name) if exchange else b"" for name in ("stdout", "stderr")]
        if not self._text:
            return raw[0], raw[1]
        return _decoded(raw[0]), _decoded(raw[1])

    def _completed(self, stdout: Any, stderr: Any) -> Completed:
        from .completed import Completed, Usage

        report = self._report
        return Completed(
            self.args,
            report["returncode"],
            stdout,
            stderr,
            report["duration"],
            Usage(report["cpu_seconds"]),
            report.get("oom_killed", False),
        )


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _file(fd: int | None, mode: str, text: bool) -> IO[Any] | None:
    if fd is None:
        return None
    raw = os.fdopen(fd, mode, buffering=-1)
    if not text:
        return raw
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)


def _take(stream: IO[Any] | None) -> int | None:
    """Take the descriptor of a file over, as the exchange reads and writes it itself."""
    if stream is None or stream.closed:
        return None
    try:
        stream.flush()
    except (OSError, ValueError):
        pass
    fd = os.dup(stream.fileno())
    stream.close()
    return fd


def _close(stream: IO[Any] | None) -> None:
    if stream is not None:
        try:
            stream.close()
        except OSError:  # what was not flushed has no reader any more
            pass
