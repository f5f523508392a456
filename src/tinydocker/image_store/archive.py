"""Recognise an archive by its content and read what it holds, decompressed.

Everything that is wrong with the bytes of the file is `ArchiveDamaged`, with the reason.

Source: RFC 1952 (gzip), the .xz file format, RFC 8878 (zstd); bzip2(1).
"""

from __future__ import annotations

import bz2
import importlib
import itertools
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..errors import NotSupported

# What is read from a compressed file at once, and the pieces its content is handed on in: large
# enough that threads seldom meet, small enough that a few of them are little memory.
_INPUT = 512 << 10
_OUTPUT = 2 << 20
# xz -9 needs 65 MiB. A stream that asks for more than this is an attack, or needs to be told to.
_XZ_MEMORY = 512 << 20

_GZIP, _BZIP2, _XZ = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16))
_FOREIGN = {
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"LZIP": "an lzip file",
    b"\x1f\x9d": "a file of compress(1)",
    b"\x5d\x00\x00": "an lzma file of the old kind",
    b"\x89LZO": "an lzop file",
    b"PK\x03\x04": "a zip file",
    b"7z\xbc\xaf\x27\x1c": "a 7z file",
    b"hsqs": "a squashfs image",
}


class ArchiveDamaged(Exception):
    """An archive is not what it should be; the message is the reason."""


class _Decoder(Protocol):
    """What bz2, lzma and zstd agree on."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more data."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to ``max_length`` bytes of content."""


class _GzipDecoder:
    """One gzip member, with the interface that the other decoders have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._waiting = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the member."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to ``max_length`` bytes of content."""
        out = self._inner.decompress(self._waiting + data if self._waiting else data, max_length)
        self._waiting = self._inner.unconsumed_tail
        self.needs_input = not self._waiting and len(out) < max_length
        return out


def recognise(fd: int) -> str:
    """Return the compression of the file ``fd``: "tar" (none), "gzip", "bzip2", "xz" or "zstd".

    The name of the file plays no part, and its position is left alone.
    """
    head = os.pread(fd, 512, 0)
    if not head:
        raise ArchiveDamaged("the file is empty")
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_BZIP2) and head[3:4].isdigit():
        return "bzip2"
    if head.startswith(_XZ):
        return "xz"
    if head.startswith((_ZSTD, *_ZSTD_SKIPPABLE)):
        return "zstd"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise NotSupported(f"it is {what}: repack it as a tar file, plain or with gzip, bzip2, xz or zstd")
    return "tar"


def content(fd: int, compression: str, buffers: int) -> Iterator[bytes | memoryview]:
    """Read the file ``fd`` from its start and yield its content, decompressed, piece by piece.

    A piece stays as it is until ``buffers`` - 1 more were taken and another one is asked for.
    Streams of several members or frames are read to their end; checksums are those of the
    format. Raises ArchiveDamaged, and NotSupported where the decoder is not installed.
    """
    os.lseek(fd, 0, os.SEEK_SET)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    if compression == "tar":
        yield from _plain(fd, buffers)
        return
    make, magics, errors = _FORMATS[compression]()
    yield from _decoded(fd, compression, make, magics, errors)


def _plain(fd: int, buffers: int) -> Iterator[memoryview]:
    """Read into the same memory again and again: fresh memory would cost more than reading does."""
    for buffer in itertools.cycle([memoryview(bytearray(_OUTPUT)) for _ in range(buffers)]):
        if not (count := os.readv(fd, [buffer])):
            return
        yield buffer[:count]


def _gzip() -> _Format:
    return _GzipDecoder, (_GZIP,), (zlib.error,)


def _bzip2() -> _Format:
    return bz2.BZ2Decompressor, (_BZIP2,), (OSError, ValueError)


def _xz() -> _Format:
    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), (_XZ,), (lzma.LZMAError,)


def _zstd() -> _Format:
    for module in ("compression.zstd", "backports.zstd"):  # of Python 3.14, and of before
        try:
            zstd: Any = importlib.import_module(module)
            break
        except ImportError:
            continue
    else:
        raise NotSupported("it is compressed with zstd, which this Python cannot read: pip install tinydocker[zstd]")
    return zstd.ZstdDecompressor, (_ZSTD, *_ZSTD_SKIPPABLE), (zstd.ZstdError,)


_Format = tuple[Callable[[], _Decoder], tuple[bytes, ...], tuple[type[Exception], ...]]
_FORMATS: dict[str, Callable[[], _Format]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd}


def _decoded(
    fd: int, name: str, make: Callable[[], _Decoder], magics: tuple[bytes, ...], errors: tuple[type[Exception], ...]
) -> Iterator[bytes]:
    data = os.read(fd, _INPUT)
    while True:
        decoder = make()
        while not decoder.eof:
            if decoder.needs_input and not data and not (data := os.read(fd, _INPUT)):
                raise ArchiveDamaged(f"the {name} data is truncated")
            try:
                piece = decoder.decompress(data, _OUTPUT)
            except errors as err:
                raise ArchiveDamaged(f"the {name} data is damaged: {err}") from err
            data = b""
            if piece:
                yield piece
        data = _next_stream(fd, decoder.unused_data)
        if not data:
            return
        if not data.startswith(magics):
            raise ArchiveDamaged(f"something that is not {name} follows the {name} data")


def _next_stream(fd: int, rest: bytes) -> bytes:
    """Return what follows the end of a stream, without the zeros that may pad it."""
    while True:
        rest = rest.lstrip(b"\0")
        if len(rest) >= 6:
            return rest
        more = os.read(fd, _INPUT)
        if not more:
            return rest
        rest += more
