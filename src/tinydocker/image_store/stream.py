"""Read, decompress and hash an archive beside the thread that walks its content.

::

    file ──(read, decompress: a thread)──┬──> queue ──> the walker: another thread
                                         └──> queue ──(sha256: whichever of the two waits)

Each piece costs a credit, which comes back when it is walked, and one that comes back when it is
hashed, so memory is bounded by a few pieces however large the archive is. The pieces are hashed
one after another by the thread that would otherwise wait for the other: where unpacking is slow
that is the reader, where decompressing is slow the walker, so two cores are busy to the end, and
no third thread competes with them for the interpreter's lock.

What is hashed and what is walked are the same bytes in memory: a file that is changed meanwhile
cannot become a layer that its digest does not describe, and one that is cut short meanwhile
cannot end the program, as it could if it were mapped.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from .archive import content

_PIECES = 3
_Piece = bytes | memoryview
_T = TypeVar("_T")


class ArchiveStream(Iterator[_Piece]):
    """The content of the archive file ``fd``, piece by piece; closed once, by its reader.

    A piece is good until the next one is asked for. The descriptor is borrowed and must stay
    open until `close`.
    """

    def __init__(self, fd: int, compression: str) -> None:
        self._fd = fd
        self._compression = compression
        self._to_walker: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._walked, self._hashed = _credits(), _credits()
        self._lent = False  # the walker has a piece
        self._unhashed: deque[_Piece] = deque()
        self._hashing = threading.Lock()
        self._sha256 = hashlib.sha256()
        self._failure: BaseException | None = None
        self._stopped = False
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="tinydocker-archive", daemon=True)
        self._thread.start()

    def __next__(self) -> _Piece:
        if self._lent:
            self._walked.put(None)
        piece = None if self._ended else self._taken(self._to_walker)
        self._lent = piece is not None
        if piece is not None:
            return piece
        self._ended = True
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def stop(self) -> None:
        """Make the stream end early; may be called from any thread."""
        self._stopped = True

    def digest(self) -> str:
        """Return "sha256:…" of the whole content, which the reader has read to its end."""
        self.close()
        if self._failure is not None:
            raise self._failure
        while self._hash_one():
            pass
        return f"sha256:{self._sha256.hexdigest()}"

    def close(self) -> None:
        """Wait for the thread to end, whether or not all was read."""
        self._stopped = self._stopped or not self._ended
        while not self._ended:
            self._walked.put(None)
            self._ended = self._taken(self._to_walker) is None
        self._thread.join()

    def __enter__(self) -> ArchiveStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        try:
            pieces = content(self._fd, self._compression, _PIECES)
            while True:
                self._taken(self._walked)
                self._taken(self._hashed)
                if self._stopped:
                    raise InterruptedError("the unpacking was stopped")
                piece = next(pieces, None)
                if piece is None:
                    break
                self._unhashed.append(piece)
                self._to_walker.put(piece)
        except BaseException as err:  # noqa: BLE001 - handed to the reader, who raises it
            self._failure = err
        finally:
            self._to_walker.put(None)
        while self._failure is None and self._hash_one():
            pass

    def _taken(self, source: queue.SimpleQueue[_T]) -> _T:
        """Take from a queue that the other thread fills, and hash while there is nothing in it."""
        while True:
            try:
                return source.get_nowait()
            except queue.Empty:
                if not self._hash_one():
                    return source.get()

    def _hash_one(self) -> bool:
        """Hash the next piece; return False if there is none or the other thread is at it."""
        if not self._hashing.acquire(blocking=False):
            return False
        try:
            if not self._unhashed:
                return False
            self._sha256.update(self._unhashed.popleft())
        finally:
            self._hashing.release()
        self._hashed.put(None)
        return True


def _credits() -> queue.SimpleQueue[None]:
    given: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(_PIECES):
        given.put(None)
    return given
