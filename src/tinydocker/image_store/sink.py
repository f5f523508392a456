"""Where an archive goes: a file that appears only when it is whole, compressed beside the reading.

Compressors and hashes let other threads run, so they have a thread of their own, fed through a
short queue; bytes that are only written need none (measured: it makes them slower).
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import hashlib
import importlib
import lzma
import os
import queue
import stat
import threading
import zlib
from collections.abc import Iterator
from typing import IO, Any, Protocol, cast

import attrs

from ..errors import InvalidSpec, NotSupported

COMPRESSIONS = ("none", "gz", "bz2", "xz", "zst")

_BY_SUFFIX = {
    ".gz": "gz",
    ".tgz": "gz",
    ".bz2": "bz2",
    ".tbz": "bz2",
    ".tbz2": "bz2",
    ".xz": "xz",
    ".txz": "xz",
    ".zst": "zst",
    ".tzst": "zst",
}
_QUEUE_LENGTH = 4


class Compressor(Protocol):
    """What zlib, bz2, lzma and zstd have in common."""

    def compress(self, data: bytes | bytearray, /) -> bytes:
        """Take bytes and return what is ready."""

    def flush(self) -> bytes:
        """Return the rest."""


@attrs.frozen
class Written:
    """What went into an archive: its sha256 as ``digest``, that of the bare tar as ``diff_id``, its bytes."""

    digest: str
    diff_id: str
    size: int


class Sink:
    """Takes the bytes of a tar in order and hashes, compresses and writes them."""

    def __init__(self, out: IO[bytes], compressor: Compressor | None, *, hashing: bool) -> None:
        self._out = out
        self._compressor = compressor
        self._queue: queue.Queue[bytearray | None] = queue.Queue(_QUEUE_LENGTH)
        self._error: BaseException | None = None
        self._bare = hashlib.sha256() if hashing else None
        self._stored = self._bare if compressor is None or not hashing else hashlib.sha256()
        self._size = 0
        self._finished = False
        self._thread: threading.Thread | None = None
        if compressor is not None or hashing:
            self._thread = threading.Thread(target=self._run, name="tinydocker-pack", daemon=True)
            self._thread.start()

    def write(self, data: bytearray) -> None:
        """Take ``data`` over; raise what went wrong with earlier bytes."""
        if self._error is not None:
            raise self._error
        if self._thread is None:
            self._store(data)
        else:
            self._queue.put(data)

    def finish(self) -> None:
        """Wait for the last byte and raise what went wrong on the way."""
        self._finished = True
        self.stop()
        if self._error is not None:
            raise self._error

    def written(self) -> Written:
        """Return the digests of what was written; only for a finished sink that hashes."""
        assert self._stored is not None and self._bare is not None
        return Written("sha256:" + self._stored.hexdigest(), "sha256:" + self._bare.hexdigest(), self._size)

    def stop(self) -> None:
        """End the thread; harmless when it ended already."""
        if self._thread is not None and self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            # After a failure the queue is emptied all the same: the writer must not wait for ever.
            if self._error is None:
                self._guarded(data)
        if self._finished and self._error is None:
            self._guarded(None)

    def _guarded(self, data: bytearray | None) -> None:
        try:
            if data is None:
                self._store(self._compressor.flush() if self._compressor else b"")
                return
            if self._bare is not None:
                self._bare.update(data)
            self._store(self._compressor.compress(data) if self._compressor else data)
        except BaseException as err:  # noqa: BLE001 - raised again in the thread that waits for it
            self._error = err

    def _store(self, data: bytes | bytearray) -> None:
        if data:
            self._size += len(data)
            if self._stored is not None and self._stored is not self._bare:
                self._stored.update(data)
            _write_all(self._out, data)


def compression_of(destination: object, compression: str | None) -> str:
    """Return the compression to use; without a wish the destination's suffix decides."""
    if compression is None:
        if not isinstance(destination, (str, os.PathLike)):
            return "none"
        return _BY_SUFFIX.get(os.path.splitext(os.fspath(destination))[1].lower(), "none")
    if compression not in COMPRESSIONS:
        raise InvalidSpec("compression", compression, "one of " + ", ".join(COMPRESSIONS))
    return compression


def compressor(compression: str, level: int | None = None) -> Compressor | None:
    """Return a fresh compressor (None for "none"); its output depends on its input alone."""
    if compression == "gz":
        return cast(Compressor, zlib.compressobj(6 if level is None else level, zlib.DEFLATED, 31))
    if compression == "bz2":
        return bz2.BZ2Compressor(9 if level is None else level)
    if compression == "xz":
        return lzma.LZMACompressor(preset=level)
    if compression == "zst":
        return cast(Compressor, _zstd().ZstdCompressor(level=level))
    return None


@contextlib.contextmanager
def opened(destination: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a binary file for ``destination``; a path gets its new content only when the block ends well.

    The content is written beside the destination (mode 0600: it may hold secrets), synced and
    renamed. A device, a FIFO or a file object is written as it is.
    """
    if not isinstance(destination, (str, os.PathLike)):
        yield destination
        destination.flush()
        return
    path = os.path.realpath(destination)
    try:
        existing = os.stat(path)
    except FileNotFoundError:
        existing = None
    if existing is not None and stat.S_ISDIR(existing.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(destination))
    if existing is not None and not stat.S_ISREG(existing.st_mode):
        with open(path, "wb", buffering=0) as out:
            yield out
        return
    directory, name = os.path.split(path)
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        beside = f".{name[:200]}.{os.urandom(6).hex()}.part"
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
        try:
            with open(fd, "wb", buffering=0) as out:
                yield out
                os.fsync(fd)
            os.rename(beside, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=directory_fd)
            raise
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)


@contextlib.contextmanager
def sink_into(out: IO[bytes], compression: str, level: int | None, *, hashing: bool = False) -> Iterator[Sink]:
    """Give a sink that writes to ``out`` and ends the stream when the block ends well."""
    sink = Sink(out, compressor(compression, level), hashing=hashing)
    try:
        yield sink
        sink.finish()
    finally:
        sink.stop()


def _write_all(out: IO[bytes], data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        count = out.write(view)
        if count is None:
            raise BlockingIOError(errno.EAGAIN, "the destination does not wait for its reader")
        view = view[count:]


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise NotSupported("zstd needs Python 3.14 or the package backports.zstd: pip install tinydocker[zstd]")
