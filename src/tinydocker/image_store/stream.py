"""Decompress and hash an archive in threads beside the one that reads its content.

::

    file ──(decompress)──┬──> queue ──> the reader
                         └──> queue ──(sha256)──> digest

A plain archive is read and hashed by one thread: reading alone is too little for one.
Each piece costs a credit, which the reader and the hash give back, so memory is bounded by a
few pieces however large the archive is. The threads spend their time in zlib, lzma, OpenSSL and
the kernel, which let others run; they meet rarely, as each meeting costs the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from types import TracebackType

from .archive import content

_QUEUED = 4


class ArchiveStream(Iterator[bytes]):
    """The content of the archive file ``fd``, piece by piece; closed once, by its reader.

    The descriptor is borrowed and must stay open until `close`.
    """

    def __init__(self, fd: int, compression: str) -> None:
        self._fd = fd
        self._compression = compression
        self._to_reader: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._to_hash: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._read, self._hashed = _credits(), _credits()
        self._sha256 = hashlib.sha256()
        self._failure: BaseException | None = None
        self._stopped = False
        self._ended = False
        work = [self._produce] if compression == "tar" else [self._produce, self._hash]
        self._threads = [threading.Thread(target=each, name="tinydocker-archive", daemon=True) for each in work]
        for thread in self._threads:
            thread.start()

    def __next__(self) -> bytes:
        piece = None if self._ended else self._to_reader.get()
        if piece is not None:
            self._read.put(None)
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
            self._ended = self._to_reader.get() is None
            self._read.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> ArchiveStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _produce(self) -> None:
        try:
            alone = len(self._threads) == 1
            for piece in content(self._fd, self._compression):
                self._read.get()
                if self._stopped:
                    raise InterruptedError("the unpacking was stopped")
                self._to_reader.put(piece)
                if alone:
                    self._sha256.update(piece)
                else:
                    self._hashed.get()
                    self._to_hash.put(piece)
        except BaseException as err:  # noqa: BLE001 - handed to the reader, who raises it
            self._failure = err
        finally:
            self._to_hash.put(None)
            self._to_reader.put(None)

    def _hash(self) -> None:
        while (piece := self._to_hash.get()) is not None:
            self._sha256.update(piece)
            self._hashed.put(None)


def _credits() -> queue.SimpleQueue[None]:
    given: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(_QUEUED):
        given.put(None)
    return given
