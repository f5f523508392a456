"""Stream a directory tree into an archive: a merged root as it is seen, or an upper directory as one layer.

The tree may belong to a running container: `walk` opens every name without following it, a file
that grows or shrinks while it is read is cut or filled up to the size in its header, and what
vanishes is passed over.

Source: OCI image specification, layer.md; GNU tar manual (PAX 1.0 sparse files); lseek(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from typing import IO

from ..errors import NotSupported
from . import tarheader
from .sink import Sink, Written, compression_of, opened, sink_into
from .tarheader import header
from .walk import Entry, is_opaque, is_whiteout, plain_xattrs, reopen, walk, xattrs

__all__ = ["Written", "pack", "pack_layer"]

Destination = str | os.PathLike[str] | IO[bytes]

_CHUNK = 1 << 20
# A map costs a block and every piece a line: small holes are cheaper as zeros.
_WORTH_A_MAP = 1 << 16
_WHITEOUT = b".wh."
_OPAQUE_MARK = b".wh..wh..opq"


def pack(
    root_fd: int,
    destination: Destination,
    *,
    compression: str | None = None,
    level: int | None = None,
    exclude: Collection[str] = (),
) -> None:
    """Write the tree below the directory ``root_fd`` (borrowed) to ``destination`` as a PAX archive.

    ``compression`` is none, gz, bz2, xz or zst; without it the destination's suffix decides.
    ``exclude`` holds absolute paths within the tree that stay out with all that they hold.
    Owners are numeric; xattrs, hard links, holes and nanoseconds are kept; sockets are left out,
    and a directory on which something is mounted is stored empty. A path gets its new content
    only when it is whole; upon failure nothing is left.
    """
    chosen = compression_of(destination, compression)
    with opened(destination) as out, sink_into(out, chosen, level) as sink:
        packer = _Packer(sink, exclude)
        packer.tree(root_fd, packer.entry)
        packer.finish()


def pack_layer(
    upper: str | os.PathLike[str],
    destination: Destination,
    *,
    compression: str | None = None,
    level: int | None = None,
    exclude: Collection[str] = (),
) -> Written:
    """Write the upper directory of an overlay to ``destination`` as one OCI layer and return its digests.

    A whiteout becomes ``.wh.name``, an opaque directory holds ``.wh..wh..opq``. A file whose own
    name begins with ``.wh.`` cannot be said in a layer: NotSupported.
    """
    chosen = compression_of(destination, compression)
    upper_fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with opened(destination) as out, sink_into(out, chosen, level, hashing=True) as sink:
            packer = _Packer(sink, exclude)
            packer.tree(upper_fd, packer.layer_entry)
            packer.finish()
        return sink.written()
    finally:
        os.close(upper_fd)


class _Packer:
    def __init__(self, sink: Sink, exclude: Collection[str]) -> None:
        self._sink = sink
        self._exclude = {path.strip("/") for path in exclude}
        self._buffer = bytearray()
        self._written = 0
        # (device, inode) of a file with further names -> its first name, how many names are to come
        self._links: dict[tuple[int, int], tuple[bytes, int]] = {}

    def tree(self, root_fd: int, handle: Callable[[Entry], None]) -> None:
        with contextlib.closing(walk(root_fd)) as entries:
            for entry in entries:
                if entry.leaving:
                    continue
                if self._exclude and entry.path in self._exclude:
                    entry.descend = False
                    continue
                handle(entry)

    def finish(self) -> None:
        self._buffer += tarheader.END
        self._written += len(self._buffer)
        # Whole records, as other tars write them.
        self._buffer += bytes(-self._written % 10240)
        self._sink.write(self._buffer)

    def layer_entry(self, entry: Entry) -> None:
        name = os.fsencode(entry.name)
        if is_whiteout(entry.stat, entry.fd):
            path = os.fsencode(entry.path)
            self._mark(path[: len(path) - len(name)] + _WHITEOUT + name, entry.stat)
            return
        if name.startswith(_WHITEOUT):
            raise NotSupported(
                f"cannot store /{entry.path} in a layer: names that begin with .wh. mean deletions there"
            )
        self.entry(entry)
        if stat.S_ISDIR(entry.stat.st_mode) and entry.path and is_opaque(entry.fd):
            self._mark(os.fsencode(entry.path) + b"/" + _OPAQUE_MARK, entry.stat)

    def entry(self, entry: Entry) -> None:
        st = entry.stat
        kind = stat.S_IFMT(st.st_mode)
        name = os.fsencode(entry.path)
        if kind == stat.S_IFDIR:
            self._plain(name + b"/" if name else b"./", tarheader.DIRECTORY, entry)
        elif kind == stat.S_IFSOCK:
            return
        elif st.st_nlink > 1 and (first := self._first_name(name, st)) is not None:
            self._plain(name, tarheader.LINK, entry, link=first)
        elif kind == stat.S_IFREG:
            self._file(name, entry)
        elif kind == stat.S_IFLNK:
            self._plain(name, tarheader.SYMLINK, entry, link=os.readlink(b"", dir_fd=entry.fd))
        elif kind == stat.S_IFIFO:
            self._plain(name, tarheader.FIFO, entry)
        else:
            self._plain(name, tarheader.CHARACTER if kind == stat.S_IFCHR else tarheader.BLOCK_DEVICE, entry)

    def _first_name(self, name: bytes, st: os.stat_result) -> bytes | None:
        key = (st.st_dev, st.st_ino)
        known = self._links.pop(key, None)
        first, left = known or (name, st.st_nlink)
        if left > 1:
            self._links[key] = (first, left - 1)
        return first if known else None

    def _mark(self, name: bytes, st: os.stat_result) -> None:
        self._add(header(name, tarheader.FILE, mode=0, uid=st.st_uid, gid=st.st_gid, mtime_ns=st.st_mtime_ns))

    def _plain(self, name: bytes, kind: bytes, entry: Entry, link: bytes = b"") -> None:
        st = entry.stat
        device = (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in (b"3", b"4") else (0, 0)
        records = [] if kind == tarheader.LINK else _xattr_records(entry.fd, readable=kind == tarheader.DIRECTORY)
        self._add(_header_of(st, name, kind, link=link, device=device, records=records))

    def _file(self, name: bytes, entry: Entry) -> None:
        size = entry.stat.st_size
        if not size:
            self._plain(name, tarheader.FILE, entry)
            return
        fd = reopen(entry.fd, os.O_RDONLY, entry.path)
        try:
            records = _xattr_records(fd, readable=True)
            pieces = _pieces(fd, entry.stat)
            if pieces is None:
                self._add(_header_of(entry.stat, name, tarheader.FILE, size=size, records=records))
                self._data(fd, 0, size)
                self._add(tarheader.padding(size))
                return
            pieces_map = tarheader.sparse_map(pieces)
            stored = sum(length for _, length in pieces)
            records += tarheader.sparse_records(name, size)
            shown = tarheader.sparse_name(name)
            self._add(_header_of(entry.stat, shown, tarheader.FILE, size=len(pieces_map) + stored, records=records))
            self._add(pieces_map)
            for offset, length in pieces:
                self._data(fd, offset, length)
            self._add(tarheader.padding(stored))
        finally:
            os.close(fd)

    def _data(self, fd: int, offset: int, size: int) -> None:
        while size:
            data = os.pread(fd, min(size, _CHUNK), offset)
            if not data:
                break
            self._add(data)
            offset += len(data)
            size -= len(data)
        while size:
            # The file shrank since its header was written.
            filler = bytes(min(size, _CHUNK))
            self._add(filler)
            size -= len(filler)

    def _add(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _CHUNK:
            full, self._buffer = self._buffer, bytearray()
            self._written += len(full)
            self._sink.write(full)


def _header_of(
    st: os.stat_result,
    name: bytes,
    kind: bytes,
    *,
    size: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    records: list[tuple[bytes, bytes]],
) -> bytes:
    return header(
        name,
        kind,
        mode=stat.S_IMODE(st.st_mode),
        uid=st.st_uid,
        gid=st.st_gid,
        size=size,
        mtime_ns=st.st_mtime_ns,
        link=link,
        device=device,
        records=records,
    )


def _xattr_records(fd: int, *, readable: bool) -> list[tuple[bytes, bytes]]:
    found = xattrs(fd, readable=readable)
    if not found:
        return []
    return [tarheader.xattr_record(name, value) for name, value in sorted(plain_xattrs(found).items())]


def _pieces(fd: int, st: os.stat_result) -> list[tuple[int, int]] | None:
    """Return the pieces of a file that hold data, ended as GNU tar ends them; None for one without holes worth it."""
    size = st.st_size
    if size - st.st_blocks * 512 < _WORTH_A_MAP:
        return None
    pieces = list(data_pieces(fd, size))
    if size - sum(length for _, length in pieces) < _WORTH_A_MAP:
        return None
    if not pieces or sum(pieces[-1]) < size:
        pieces.append((size, 0))
    return pieces


def data_pieces(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each piece of data in the first ``size`` bytes, in order."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as err:
            if err.errno == errno.ENXIO:
                return
            if err.errno in (errno.EINVAL, errno.ENOTSUP):
                yield offset, size - offset
                return
            raise
        if start >= size:
            return
        yield start, min(end, size) - start
        offset = end
