"""Move bytes between this program's streams and a command's, at once and exactly.

A `Flow` is one direction. What its sink does not take is held, and its source is not read
meanwhile; the other directions go on. Pipes are written through an open file description of our
own, so that they can be non-blocking here without becoming so for those who share them.

Source: poll(2), pipe(7), proc_pid_fd(5).
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

_CHUNK_BYTES = 64 * 1024
_REST_MS = 200
_MOST_LAST_BYTES = 1 << 20  # more than a pipe holds


class Flow:
    """One direction: what can be read from ``source`` is written to ``sink``."""

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        record: Callable[[bytes], object] | None = None,
        close_source: Callable[[], object] | None = None,
        close_sink: Callable[[], object] | None = None,
        may_read: Callable[[], bool] | None = None,
    ) -> None:
        """``record`` sees all that was read; a closer is called at the end of the flow, each once.

        ``may_read`` is asked before each read; when it says no, the flow rests for a moment.
        """
        self.source = source
        self.sink = sink
        self.is_over = False
        self.is_refused = False  # whoever read the sink has gone
        self._record = record
        self._closers = [closer for closer in (close_source, close_sink) if closer]
        self._may_read = may_read
        self._rest = b""
        self.is_resting = False
        self._last_bytes: int | None = None

    @property
    def interest(self) -> tuple[int, int] | None:
        """The descriptor to wait for, and what for; None while there is nothing to wait for."""
        if self.is_over or self.is_resting:
            return None
        return (self.sink, select.POLLOUT) if self._rest else (self.source, select.POLLIN)

    def proceed(self) -> None:
        """Do what can be done now without waiting."""
        if self._rest:
            self._write()
            if self._last_bytes is not None:
                self._drain()
        elif self._may_read and not self._may_read():
            self.is_resting = True
        else:
            self._read()

    def finish(self) -> None:
        """Move what is in the source by now, and then be over: whose output this is has ended."""
        self._last_bytes = _MOST_LAST_BYTES
        if not self.is_over:
            os.set_blocking(self.source, False)
        self._drain()

    def _drain(self) -> None:
        while not self.is_over and not self._rest:
            self._read()

    def close(self) -> None:
        """Be over."""
        self.is_over = True
        self._rest = b""
        closers, self._closers = self._closers, []
        for closer in closers:
            try:
                closer()
            except OSError:
                pass  # its reader has gone

    def _read(self) -> None:
        if self._last_bytes is not None and self._last_bytes <= 0:
            self.close()  # what was left behind in the background goes on writing
            return
        try:
            data = os.read(self.source, _CHUNK_BYTES)
        except BlockingIOError:
            if self._last_bytes is not None:
                self.close()
            return
        except OSError:  # a terminal whose other side has gone says EIO, a closed descriptor EBADF
            data = b""
        if not data:
            self.close()
            return
        if self._last_bytes is not None:
            self._last_bytes -= len(data)
        if self._record:
            self._record(data)
        self._rest = data
        self._write()

    def _write(self) -> None:
        try:
            written = os.write(self.sink, self._rest)
        except BlockingIOError:
            return
        except OSError:  # the writer is told by a closed source, as in a shell's pipeline
            self.is_refused = True
            self.close()
            return
        self._rest = self._rest[written:]


class Pump:
    """Runs flows until one of the watched descriptors says that it is over."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self._watched: dict[int, Callable[[], object]] = {}

    def close(self) -> None:
        """End every flow."""
        for flow in self.flows:
            flow.close()

    def watch(self, fd: int, handler: Callable[[], object]) -> None:
        """Call ``handler`` whenever ``fd`` can be read."""
        self._watched[fd] = handler

    def forget(self, fd: int) -> None:
        """Watch ``fd`` no longer."""
        self._watched.pop(fd, None)

    def turn(self) -> None:
        """Wait for something to do, and do it."""
        poll = select.poll()
        waiting: dict[int, list[Flow]] = {}
        events = dict.fromkeys(self._watched, select.POLLIN)
        for flow in self.flows:
            if wanted := flow.interest:
                fd, event = wanted
                events[fd] = events.get(fd, 0) | event
                waiting.setdefault(fd, []).append(flow)
        for fd, event in events.items():
            poll.register(fd, event)
        resting = [flow for flow in self.flows if flow.is_resting]
        ready = poll.poll(_REST_MS if resting else None)
        for flow in resting:
            flow.is_resting = False
        for fd, _ in ready:
            if handler := self._watched.get(fd):
                handler()
            for flow in waiting.get(fd, ()):
                if (wanted := flow.interest) and wanted[0] == fd:
                    flow.proceed()


def own_writer(fd: int) -> tuple[int, Callable[[], None] | None]:
    """Return a descriptor that writes where ``fd`` does, non-blocking for a pipe, and how to close it if it is new."""
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd, None
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return fd, None
    return own, lambda: os.close(own)
