"""Container logs: append-only files of whole lines, written by one, read by any number.

A line on disk is ``TIME STREAM TAG TEXT``: the time in RFC 3339 with nanoseconds, ``stdout`` or
``stderr``, and ``F`` for a full line or ``P`` for a part of one that had not ended when it was
written. When a file has grown to its bound it becomes ``log.1``, that one ``log.2``, and so on.
Readers take no lock: a writer only appends, and closes the file when its container has ended,
which readers are told by the kernel.

Source: the log format of Kubernetes' container runtime interface; inotify(7).
"""

from __future__ import annotations

import os
import time

_MOST_PENDING = 16 * 1024  # a line longer than this is written in parts

STREAMS = (b"stdout", b"stderr")


class LogWriter:
    """Appends what a container says to ``path``, ``max_bytes`` a file and ``max_files`` files at most."""

    def __init__(self, path: str, max_bytes: int, max_files: int, *, lock: int = -1) -> None:
        """``lock`` is closed with the log: followers go on while it is held, though the container has ended."""
        self._lock = lock
        self._path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._pending: dict[bytes, bytes] = {}
        self._second = -1
        self._second_text = ""
        self._lost: OSError | None = None
        self._fd = -1
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: bytes, data: bytes) -> None:
        """Record ``data`` that came from ``stream``: whole lines at once, an unended rest with the next."""
        data = self._pending.pop(stream, b"") + data
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            prefix = self._prefix(stream, b"F")
            self._append(prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n")
        if len(rest) > _MOST_PENDING:
            self._append(self._prefix(stream, b"P") + rest + b"\n")
        elif rest:
            self._pending[stream] = rest

    def close(self) -> None:
        """Write what had not ended in a newline, and close the file, which ends those who follow it."""
        for stream, rest in self._pending.items():
            self._append(self._prefix(stream, b"P") + rest + b"\n")
        self._pending.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._lock >= 0:
            os.close(self._lock)

    @property
    def lost(self) -> OSError | None:
        """Why something could not be written, if anything could not."""
        return self._lost

    def _prefix(self, stream: bytes, tag: bytes) -> bytes:
        now = time.time_ns()
        second, rest = divmod(now, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return b"%s.%09dZ %s %s " % (self._second_text.encode(), rest, stream, tag)

    def _append(self, data: bytes) -> None:
        """Append whole lines, each to the current file where it fits and else to the next."""
        try:
            if self._fd < 0:
                self._open()
            begin = 0
            while begin < len(data):
                end = self._end_of_fitting(data, begin)
                if end == begin:
                    self._rotate()
                    continue
                self._put(data[begin:end])
                begin = end
        except OSError as err:
            self._lost = err

    def _end_of_fitting(self, data: bytes, begin: int) -> int:
        """Return where the lines end that the current file has room for; an empty one has for any."""
        most = begin + self._max_bytes - self._size
        if len(data) <= most:
            return len(data)
        end = data.rfind(b"\n", begin, max(begin, most)) + 1
        if end or self._size:
            return end or begin
        return data.index(b"\n", begin) + 1

    def _put(self, lines: bytes) -> None:
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self._take_back()
            raise
        self._size += len(lines)

    def _take_back(self) -> None:
        """Cut off the part of a line that was written: it would be taken for a whole one."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            pass  # what could not be written is told already

    def _rotate(self) -> None:
        for number in range(self._max_files - 1, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            if os.path.exists(older):
                os.replace(older, f"{self._path}.{number}")
        if self._max_files == 1:
            os.unlink(self._path)
        fd, self._fd = self._fd, -1
        os.close(fd)
        self._open()
