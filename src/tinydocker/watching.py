"""Wait for what happens to a container that another program may own: its log grows, its end is recorded.

Source: inotify(7), pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .errors import TinydockerError
from .linux import inotify
from .store import records
from .store.container_dir import ContainerDir

_EVENTS = (
    inotify.IN_MODIFY
    | inotify.IN_CLOSE_WRITE
    | inotify.IN_MOVED_TO
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_MOVE_SELF
)
_RECHECK_S = 0.02


class Watch:
    """Wakes when something changes in a container's directory or its process ends."""

    def __init__(self, directory: ContainerDir, pidfd: int | None) -> None:
        """``pidfd`` is borrowed."""
        self._directory = directory
        self._poll = select.poll()
        self._pidfd = pidfd
        self._own_pidfd: int | None = None
        self._is_over = False  # the process has ended; its record, or the release of a lock, is still to come
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
        for fd in (self._inotify, self._own_pidfd):
            if fd is not None:
                os.close(fd)

    def has_ended(self) -> bool:
        """Tell whether the end is recorded, or nobody is left to record it."""
        try:
            self._directory.record()
            state = self._directory.state()
        except TinydockerError:
            return True
        self._is_over = state["status"] == "exited" or (state["status"] == "running" and not self._watches(state))
        return bool(state["status"] == "exited") and ("finished" in state or not self._directory.is_claimed())

    def _watches(self, state: Mapping[str, Any]) -> bool:
        """Tell whether the end of the process would wake; one that was started after this watch is taken on."""
        if self._pidfd is not None:
            return True
        if not state["pid"]:
            return False
        try:
            pidfd = os.pidfd_open(state["pid"])
        except ProcessLookupError:
            return False
        if self._own_pidfd is not None or records.process_start_time(state["pid"]) != state["start_time"]:
            os.close(pidfd)
            return False
        self._pidfd = self._own_pidfd = pidfd
        self._poll.register(pidfd, select.POLLIN)
        return True

    def wait(self, deadline: float | None = None) -> bool:
        """Wait for the next change; return False when ``deadline`` (time.monotonic) has passed."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._is_over:  # nothing tells that a lock was let go
            left = _RECHECK_S if left is None else min(left, _RECHECK_S)
        for fd, _ in self._poll.poll(None if left is None else left * 1000):
            if fd == self._pidfd:
                self._poll.unregister(fd)  # it stays readable; the record is still to come
                self._pidfd = None
                self._is_over = True
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
