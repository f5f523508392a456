"""The supervisor's loop: descriptors that are watched, and work for idle moments.

Source: epoll(7).
"""

from __future__ import annotations

import bisect
import select
import time
from collections.abc import Callable

Act = Callable[[], object]


class Loop:
    """Calls a handler when its descriptor has something, and what was put off when nothing else is to be done."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._fresh: set[int] = set()
        self._later: list[tuple[float, Act]] = []

    def watch(self, fd: int, handler: Callable[[int], object]) -> None:
        """Call ``handler(fd)`` whenever ``fd`` has something."""
        self._handlers[fd] = handler
        self._fresh.add(fd)
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Watch ``fd`` no longer; to be called before it is closed."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def later(self, act: Act, delay_s: float = 0.0) -> None:
        """Call ``act`` when nothing else is to be done, ``delay_s`` from now at the earliest."""
        bisect.insort(self._later, (time.monotonic() + delay_s, act), key=_due)

    @property
    def put_off_count(self) -> int:
        """How much waits for an idle moment."""
        return len(self._later)

    def put_off_ms(self) -> int | None:
        """Return how long it is until something that was put off is due; None where nothing was."""
        return max(0, int((self._later[0][0] - time.monotonic()) * 1000)) if self._later else None

    def turn(self, wait_ms: int | None) -> bool:
        """Wait, ``wait_ms`` at most, and handle what happens; return False where nothing did.

        A number that was closed and given out again since the wait is left for the next turn:
        what was reported is about the old descriptor.
        """
        self._fresh.clear()
        events = self._epoll.poll(None if wait_ms is None else wait_ms / 1000)
        for fd, _ in events:
            handler = self._handlers.get(fd)
            if handler and fd not in self._fresh:
                handler(fd)
        return bool(events)

    def do_put_off(self) -> bool:
        """Do one thing that was put off and is due; return False where none is."""
        if not self._later or self._later[0][0] > time.monotonic():
            return False
        self._later.pop(0)[1]()
        return True


def _due(entry: tuple[float, Act]) -> float:
    return entry[0]
