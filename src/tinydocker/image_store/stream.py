"""Read, decompress and hash an archive in threads beside the one that walks its content.

::

    plain       file ──(read, sha256)──> queue ──> the walker

    compressed  file ──(decompress)──┬──> queue ──> the walker
                                     └──> queue ──(sha256)──> digest

Each piece costs a credit, which the walker and the hash give back, so memory is bounded by a few
pieces however large the archive is. A plain archive is read into the same few buffers again and
again: fresh memory for each piece would cost more than reading does. What is hashed and what is
walked are the same bytes in memory; a file that is changed meanwhile cannot become a layer that
its digest does not describe, nor can one that is cut short end the program, as if it were mapped.

The threads spend their time in zlib, lzma, OpenSSL and the kernel, which let others run; they
meet rarely, as each meeting costs the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import queue
import threading
from collections.abc import Iterator
from types import TracebackType

from .archive import PIECE, decompressed, rewind

_QUEUED = 4
_Piece = bytes | memoryview


class ArchiveStream(Iterator[_Piece]):
    """The content of the archive file ``fd``, piece by piece; closed once, by its reader.

    A piece is good until the next one is asked for. The descriptor is borrowed and must stay
    open until `close`.
    """

    def __init__(self, fd: int, compression: str) -> None:
        self._fd = fd
        self._compression = compression
        self._to_walker: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._to_hash: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._walked, self._hashed = _credits(), _credits()
        self._lent = False  # the walker has a piece
        self._sha256 = hashlib.sha256()
        self._failure: BaseException | None = None
        self._stopped = False
        self._ended = False
        work = [self._read_and_hash] if compression == "tar" else [self._decompress, self._hash]
        self._threads = [threading.Thread(target=each, name="tinydocker-archive", daemon=True) for each in work]
        for thread in self._threads:
            thread.start()

    def __next__(self) -> _Piece:
        if self._lent:
            self._walked.put(None)
        piece = None if self._ended else self._to_walker.get()
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
        return f"sha256:{self._sha256.hexdigest()}"

    def close(self) -> None:
        """Wait for the threads to end, whether or not all was read."""
        self._stopped = self._stopped or not self._ended
        while not self._ended:
            self._walked.put(None)
            self._ended = self._to_walker.get() is None
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> ArchiveStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_and_hash(self) -> None:
        try:
            rewind(self._fd)
            for buffer in itertools.cycle([memoryview(bytearray(PIECE)) for _ in range(_QUEUED)]):
                self._wait_for(self._walked)
                piece = buffer[: os.readv(self._fd, [buffer])]
                if not piece:
                    break
                self._to_walker.put(piece)
                self._sha256.update(piece)
        except BaseException as err:  # noqa: BLE001 - handed to the reader, who raises it
            self._failure = err
        finally:
            self._to_walker.put(None)

    def _decompress(self) -> None:
        try:
            for piece in decompressed(self._fd, self._compression):
                self._wait_for(self._walked)
                self._wait_for(self._hashed)
                self._to_walker.put(piece)
                self._to_hash.put(piece)
        except BaseException as err:  # noqa: BLE001 - handed to the reader, who raises it
            self._failure = err
        finally:
            self._to_hash.put(None)
            self._to_walker.put(None)

    def _hash(self) -> None:
        while (piece := self._to_hash.get()) is not None:
            self._sha256.update(piece)
            self._hashed.put(None)

    def _wait_for(self, credit: queue.SimpleQueue[None]) -> None:
        credit.get()
        if self._stopped:
            raise InterruptedError("the unpacking was stopped")


def _credits() -> queue.SimpleQueue[None]:
    given: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(_QUEUED):
        given.put(None)
    return given
