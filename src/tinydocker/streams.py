"""Feed a process and read what it says, all at once, without a deadlock.

Source: the contract of subprocess.Popen.communicate.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping

_CHUNK_BYTES = 64 * 1024


class Exchange:
    """What is still to be written to one descriptor and what has been read from others.

    It can be interrupted by its deadline and taken up again: nothing is lost in between. The
    descriptors are closed as they come to their end.
    """

    def __init__(self, writing: int | None, data: bytes, reading: Mapping[str, int]) -> None:
        self._writing = writing
        self._rest = memoryview(data)
        self._reading = {fd: name for name, fd in reading.items()}
        self._chunks: dict[str, list[bytes]] = {name: [] for name in reading}
        self._poll = select.poll()
        for fd in self._reading:
            self._poll.register(fd, select.POLLIN)
        if writing is not None:
            os.set_blocking(writing, False)
            self._poll.register(writing, select.POLLOUT)

    def output(self, name: str) -> bytes:
        """Return what has been read from ``name`` so far."""
        return b"".join(self._chunks.get(name, ()))

    def proceed(self, deadline: float | None) -> bool:
        """Go on until every stream has ended; return False when ``deadline`` (time.monotonic) comes first."""
        while self._reading or self._writing is not None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            for fd, _ in self._poll.poll(None if left is None else max(1, left * 1000)):
                if fd == self._writing:
                    self._write(fd)
                else:
                    self._read(fd)
        return True

    def close(self) -> None:
        """Close what has not come to its end."""
        for fd in (*self._reading, *(() if self._writing is None else (self._writing,))):
            os.close(fd)
        self._reading = {}
        self._writing = None

    def _write(self, fd: int) -> None:
        try:
            self._rest = self._rest[os.write(fd, self._rest[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the command does not read what is left, as `head` does not
            self._rest = self._rest[:0]
        if not self._rest:
            self._poll.unregister(fd)
            os.close(fd)
            self._writing = None

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except OSError:  # a terminal without a slave says EIO
            data = b""
        if data:
            self._chunks[self._reading[fd]].append(data)
        else:
            self._poll.unregister(fd)
            del self._reading[fd]
            os.close(fd)
