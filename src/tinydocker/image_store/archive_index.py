"""Know an archive file again without reading it.

::

    archives/<key>.json -> ../images/<id>/record.json
    archives/<key>.lock     held by the one that unpacks the file

The key is the file's device, inode, size and two times. A key whose image is gone leads nowhere
and is as good as none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from ..store import locks
from ..store.paths import Paths

# A file can change without its times changing only within one tick of the kernel's clock.
_TICK_NS = 20_000_000
_TRIES = 5


@frozen
class FileState:
    """A file, and the state that its content is in."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    steady: bool  # whether any change from now on changes the times

    @property
    def key(self) -> str:
        """The name of this file in this state."""
        parts = (self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns)
        return "-".join(f"{part:x}" for part in parts)

    def same_content(self, later: FileState) -> bool:
        """Whether the content can still be the same (a rename changes the other time only)."""
        return (self.size, self.mtime_ns) == (later.size, later.mtime_ns)


def state_of(fd: int) -> FileState:
    """Return the state of the file ``fd``; one that was changed just now is given one tick first."""
    tries = 0
    while True:
        tries += 1
        found = os.fstat(fd)
        age_ns = time.time_ns() - found.st_ctime_ns
        if not 0 <= age_ns < _TICK_NS or tries == _TRIES:
            break
        time.sleep((_TICK_NS - age_ns) / 1e9)
    steady = age_ns >= _TICK_NS
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, steady)


class ArchiveIndex:
    """Which image each archive file led to."""

    def __init__(self, paths: Paths) -> None:
        self._directory = paths.archives

    def image_id(self, state: FileState) -> str | None:
        """Return the id of the image made from this file, if that is known."""
        try:
            return self._meant(f"{state.key}.json")
        except OSError:
            return None

    def remember(self, state: FileState, image_id: str) -> None:
        """Know the file again, from now on."""
        beside = os.path.join(self._directory, f".{os.urandom(8).hex()}")
        os.symlink(f"../images/{image_id}/record.json", beside)
        os.rename(beside, os.path.join(self._directory, f"{state.key}.json"))

    def forget(self, image_id: str) -> None:
        """Forget every file that led to the image."""
        for name in os.listdir(self._directory):
            try:
                if self._meant(name) == image_id:
                    self._unlink(name)
            except OSError:
                continue  # not a link: a lock

    @contextmanager
    def alone(self, state: FileState) -> Iterator[None]:
        """Let one at a time, of all processes, unpack the file; the others wait here."""
        name = f"{state.key}.lock"
        lock = locks.hold(os.path.join(self._directory, name), wait=True)
        try:
            yield
        finally:
            self._unlink(name)
            os.close(lock)

    def sweep(self) -> list[str]:
        """Remove keys that lead nowhere and locks that nobody holds; return their names."""
        swept = []
        for name in os.listdir(self._directory):
            path = os.path.join(self._directory, name)
            if name.endswith(".lock"):
                try:
                    lock = locks.hold(path)
                except BlockingIOError:
                    continue
                self._unlink(name)
                os.close(lock)
            elif not name.startswith(".") and not os.path.exists(path):
                self._unlink(name)
            else:
                continue
            swept.append(name)
        return swept

    def _meant(self, name: str) -> str:
        return os.path.basename(os.path.dirname(os.readlink(os.path.join(self._directory, name))))

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self._directory, name))
        except FileNotFoundError:
            return
