"""Decompress and hash an archive in threads beside the one that reads its content.

::

    file ──(decompress)──┬──> queue ──> the reader
                         └──> queue ──(sha256)──> digest

Both queues are short, so memory is bounded by a few pieces however large the archive is.
The threads spend their time in zlib, lzma, OpenSSL and the kernel, which let others run.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from types import TracebackType

from .archive import content

_QUEUED = 6


class ArchiveStream(Iterator[bytes]):
    """The content of the archive file ``fd``, piece by piece; closed once, by its reader.

    The descriptor is borrowed and must stay open until `close`.
    """

    def __init__(self, fd: int, compression: str) -> None:
        self._fd = fd
        self._compression = compression
        self._to_reader: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._to_hash: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._sha256 = hashlib.sha256()
        self._failure: BaseException | None = None
        self._stopped = False
        self._ended = False
        self._threads = [
            threading.Thread(target=target, name=f"tinydocker-{name}", daemon=True)
            for target, name in ((self._produce, "decompress"), (self._hash, "sha256"))
        ]
        for thread in self._threads:
            thread.start()

    def __next__(self) -> bytes:
        piece = None if self._ended else self._to_reader.get()
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
            self._ended = self._to_reader.get() is None
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
            for piece in content(self._fd, self._compression):
                if self._stopped:
                    raise InterruptedError("the unpacking was stopped")
                self._to_hash.put(piece)
                self._to_reader.put(piece)
        except BaseException as err:  # noqa: BLE001 - handed to the reader, who raises it
            self._failure = err
        finally:
            self._to_hash.put(None)
            self._to_reader.put(None)

    def _hash(self) -> None:
        while (piece := self._to_hash.get()) is not None:
            self._sha256.update(piece)
