"""Read a container's log, from any program, while it is written or long after."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from .errors import InvalidSpec
from .store import locks
from .store.container_dir import ContainerDir
from .watching import Watch

_MOST_FILES = 1000


class Line:
    """One line of a log: ``time`` (RFC 3339, nanoseconds), ``stream``, and ``data`` without its newline."""

    __slots__ = ("data", "is_full", "stream", "time")

    def __init__(self, raw: bytes) -> None:
        when, stream, tag, text = raw.split(b" ", 3)
        self.time = when.decode()
        self.stream = stream.decode()
        self.is_full = tag == b"F"
        self.data = text

    @property
    def text(self) -> str:
        """What was said, without its newline."""
        return self.data.decode("utf-8", "replace")

    def shown(self, timestamps: bool) -> str:
        """Return the text with its newline where it had one, behind its time if asked."""
        end = "\n" if self.is_full else ""
        return f"{self.time} {self.text}{end}" if timestamps else f"{self.text}{end}"

    def raw(self, timestamps: bool) -> bytes:
        """Return the bytes as they were said, behind their time if asked."""
        end = b"\n" if self.is_full else b""
        return (self.time.encode() + b" " if timestamps else b"") + self.data + end


def read(
    directory: ContainerDir, pidfd: int | None, *, tail: int | None, since: float | None, follow: bool
) -> Iterator[Line]:
    """Yield the log's lines, oldest first: the last ``tail`` of those there are, then with ``follow`` what comes.

    ``since`` is a time in seconds since the epoch. A follower ends when the container has ended.
    """
    if tail is not None and tail < 0:
        raise InvalidSpec("tail", tail, "a number of lines, 0 or more")
    with Watch(directory, pidfd) as watch:
        source = _Files(directory.log)
        try:
            past: deque[bytes] | list[bytes] = deque(source.lines(), tail) if tail is not None else []
            for raw in past if tail is not None else source.lines():
                if _is_wanted(line := Line(raw), since):
                    yield line
            while follow:
                ended = watch.has_ended() and not locks.is_held(directory.log_lock)
                for raw in source.lines():
                    if _is_wanted(line := Line(raw), since):
                        yield line
                if ended:
                    return
                watch.wait()
        finally:
            source.close()


def _is_wanted(line: Line, since: float | None) -> bool:
    return since is None or _seconds(line.time) >= since


def _seconds(when: str) -> float:
    import datetime

    whole, _, fraction = when.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


class _Files:
    """The files of a log as one stream of whole lines, across rotation.

    A rotation renames ``log.1`` to ``log.2``, then ``log`` to ``log.1``, then makes a new ``log``:
    the oldest moves first, so the number of a file only grows, and of two neighbours the older
    moves before the younger. Both is relied upon below.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        """Yield the whole lines that are there and have not been yielded."""
        while self._file or self._open_oldest():
            yield from self._of_current()
            following = self._following()
            if following is None:
                return
            yield from self._of_current()  # what was written between the last read and the rotation
            self.close()
            self._file, self._rest = following, b""

    def close(self) -> None:
        """Close the file in hand."""
        if self._file:
            self._file.close()

    def _of_current(self) -> Iterator[bytes]:
        assert self._file
        while data := self._file.read(1 << 16):
            *whole, self._rest = (self._rest + data).split(b"\n")
            yield from whole

    def _numbered(self, number: int) -> str:
        return f"{self._path}.{number}" if number else self._path

    def _opened(self, number: int) -> BinaryIO | None:
        try:
            return open(self._numbered(number), "rb", buffering=0)
        except FileNotFoundError:
            return None

    def _open_oldest(self) -> bool:
        """Open the oldest file; False where there is none."""
        self._file = self._oldest()
        return self._file is not None

    def _oldest(self) -> BinaryIO | None:
        folder, name = os.path.split(self._path)
        while True:
            try:
                tails = [entry[len(name) + 1 :] for entry in os.listdir(folder) if entry.startswith(f"{name}.")]
            except FileNotFoundError:
                return None
            number = max((int(tail) for tail in tails if tail.isdigit()), default=0)
            found = self._opened(number)
            if found is None and number == 0:
                return None
            if found and not os.path.exists(self._numbered(number + 1)):
                return found
            if found:  # a rotation has just moved what was meant
                found.close()

    def _following(self) -> BinaryIO | None:
        """Open the file that follows the one in hand, or return None while that one is the newest."""
        assert self._file
        mine = os.fstat(self._file.fileno()).st_ino
        while True:
            number = self._number_of(mine)
            if number is None:
                return self._oldest()  # rotated away: what is left is younger
            found = self._opened(number - 1) if number else None
            if found is None:  # the newest; or its follower is being moved, which another event will tell
                return None
            if self._inode(number) == mine:
                return found
            found.close()

    def _number_of(self, inode: int) -> int | None:
        for number in range(_MOST_FILES + 1):
            if self._inode(number) == inode:
                return number
        return None

    def _inode(self, number: int) -> int | None:
        try:
            return os.stat(self._numbered(number)).st_ino
        except FileNotFoundError:
            return None
