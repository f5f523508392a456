"""Wait for what happens to a container that another program may own: its log grows, its end is recorded.

Source: inotify(7), pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import time
from types import TracebackType

from .errors import TinydockerError
from .linux import inotify
from .store.container_dir import ContainerDir

_EVENTS = (
    inotify.IN_MODIFY
    | inotify.IN_CLOSE_WRITE
    | inotify.IN_MOVED_TO
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_MOVE_SELF
)


class Watch:
    """Wakes when something changes in a container's directory or its process ends."""

    def __init__(self, directory: ContainerDir, pidfd: int | None) -> None:
        """``pidfd`` is borrowed."""
        self._directory = directory
        self._poll = select.poll()
        self._pidfd = pidfd
        try:
            self._inotify: int | None = inotify.watch(directory.path, _EVENTS)
            self._poll.register(self._inotify, select.POLLIN)
        except FileNotFoundError:
            self._inotify = None
        if pidfd is not None:
            self._poll.register(pidfd, select.POLLIN)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inotify is not None:
            os.close(self._inotify)

    def has_ended(self) -> bool:
        """Tell whether the end is recorded, or nobody is left to record it."""
        try:
            self._directory.record()
            status = self._directory.state()["status"]
        except TinydockerError:
            return True
        return bool(status == "exited") and (self._is_recorded() or not self._directory.is_claimed())

    def _is_recorded(self) -> bool:
        return "finished" in self._directory.state()

    def wait(self, deadline: float | None = None) -> bool:
        """Wait for the next change; return False when ``deadline`` (time.monotonic) has passed."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        for fd, _ in self._poll.poll(None if left is None else left * 1000):
            if fd == self._pidfd:
                self._poll.unregister(fd)  # it stays readable; the record is still to come
                self._pidfd = None
            elif self._inotify is not None:
                inotify.drain(self._inotify)
        return deadline is None or time.monotonic() < deadline

    def wait_end(self, timeout_s: float | None) -> bool:
        """Wait for the end; return False when it has not come within ``timeout_s``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.has_ended():
            if not self.wait(deadline):
                return self.has_ended()
        return True
