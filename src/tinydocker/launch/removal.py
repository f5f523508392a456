"""Remove what containers leave, without anybody waiting for it."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

from ..linux import process
from ..store import trash
from .loop import Loop

_FEW_ENTRIES = 200
_FIRST_OWN_FD = 3


class Removal:
    """Takes directories away at once and removes what is in them in idle moments, big ones in a child."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._children: dict[int, int] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a child is still removing something."""
        return bool(self._children)

    def throw_away(self, path: str, trash_dir: str) -> None:
        """Move ``path`` into the trash, and remove it when nothing else is to be done.

        What cannot go, as something is mounted in it, stays for whoever sweeps next.
        """
        with suppress(OSError):
            place = trash.discard(path, trash_dir)
            if place:
                self._loop.later(partial(self._remove, place))

    def _remove(self, path: str) -> None:
        with suppress(OSError):
            if _is_small(path):
                trash.remove_tree(path)
            else:
                self._remove_in_child(path)

    def _remove_in_child(self, path: str) -> None:
        pid, pidfd = process.clone(0)
        if pid == 0:
            try:
                process.close_from(_FIRST_OWN_FD)  # programs wait for the closing of some
                trash.remove_tree(path)
            finally:
                os._exit(0)
        self._children[pidfd] = pid
        self._loop.watch(pidfd, self._on_removed)

    def _on_removed(self, fd: int) -> None:
        self._loop.forget(fd)
        os.waitpid(self._children.pop(fd), 0)
        os.close(fd)


def _is_small(path: str) -> bool:
    """Tell whether a tree has so few entries that removing it delays nobody."""
    seen, pending = 0, [path]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > _FEW_ENTRIES:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return True
