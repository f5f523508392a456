"""Make runs of plain files, which are nearly all that an archive holds, with little work for each.

A shortcut and nothing more: it looks at a header that has not been walked yet and makes the file
if that is as simple as can be: regular, described by ordinary octal numbers and at most an
extended header that tells its times, its body at hand, its directory open, its name not taken.
At anything else it stops and leaves the header untouched to the walker and the extractor, which
know all the rules, so what is made, and what is refused with which words, is the same without it.

What is read from one header and comes again in the next ones, owners and checksums, is remembered
by the bytes of its field.

Source: POSIX pax(1), "ustar Interchange Format"; open(2), O_CREAT and O_EXCL.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from zlib import adler32

from .archive import ArchiveDamaged
from .tarfields import BLOCK, number, only_times
from .tarstream import TarStream

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX

# Name, mode and owners, size, time, checksum, kind, the prefix's first byte.
_FIELDS = struct.Struct("100s 24s 11sx 11sx 8s B 188x B 166x")
_REGULAR, _EXTENDED = (0x30, 0), 0x78
_CHECKSUM_AS_SPACES = 8 * 0x20
_REMEMBERED = 16384
_NO_OWNER = 0xFFFFFFFF


# The mode to create with; the mode to set if that is not all of it; whom to give the file to.
_Access = tuple[int, int | None, tuple[int, int] | None]


class PlainFiles:
    """Makes plain files in ``directories``: descriptors by their spelling in the archive.

    ``owner`` is whom new files belong to. ``names`` and ``size`` tell what the last `make` made.
    """

    def __init__(self, directories: Mapping[bytes, int], owner: tuple[int, int]) -> None:
        self.names = 0
        self.size = 0
        self._directories = directories
        self._owner = owner
        self._accesses: dict[bytes, _Access] = {}
        self._sums: dict[bytes, int] = {}  # Adler-32's lower half for a header with that checksum

    def make(self, tar: TarStream) -> None:
        """Make as many of the next members as are plain and lie in what is read."""
        view, at = tar.window()
        end = len(view)
        names = total = 0
        unpack, sum_of, open_ = _FIELDS.unpack_from, adler32, os.open
        directories, accesses, sums = self._directories, self._accesses, self._sums
        while at + BLOCK <= end:
            header, mtime_ns = at, None
            name, owners, size_field, time, checksum, kind, prefix = unpack(view, at)
            if kind == _EXTENDED:
                header, mtime_ns = self._dated(view, at, size_field, checksum)
                name, owners, size_field, time, checksum, kind, prefix = unpack(view, header)
            if kind not in _REGULAR or prefix:
                break
            body = header + BLOCK
            try:
                size, seconds = int(size_field, 8), int(time, 8)
                access = accesses[owners] if owners in accesses else self._access(owners)
                stated = sums[checksum] if checksum in sums else self._sum(checksum)
            except (ValueError, ArchiveDamaged):
                break
            if sum_of(view[header:body]) & 0xFFFF != stated:
                break
            after = body + size + (-size % BLOCK)
            name = name.rstrip(b"\0")
            head, _, tail = name.rpartition(b"/")
            if size < 0 or after > end or 0 in name or head not in directories:
                break
            try:  # the kernel makes nothing new that is called "", "." or ".."
                fd = open_(tail, NEW_FILE, access[0], dir_fd=directories[head])
            except OSError:
                break
            if not _filled(fd, view[body : body + size], access, seconds, mtime_ns):
                os.unlink(tail, dir_fd=directories[head])
                break
            names, total, at = names + 1, total + size, after
        tar.advance(at)
        self.names, self.size = names, total

    def _dated(self, view: memoryview, at: int, size_field: bytes, checksum: bytes) -> tuple[int, int | None]:
        """Return where the header behind an extended one begins, and the time that is all this says.

        It is the extended header itself again if that says more.
        """
        body = at + BLOCK
        after = body + BLOCK
        try:
            size = int(size_field, 8)
            stated = self._sums[checksum] if checksum in self._sums else self._sum(checksum)
            if adler32(view[at:body]) & 0xFFFF != stated or not 0 < size <= BLOCK or after + BLOCK > len(view):
                return at, None
            return after, only_times(bytes(view[body : body + size]))
        except (ValueError, ArchiveDamaged):
            return at, None

    def _access(self, field: bytes) -> _Access:
        """Read the fields of mode, owner and group; raise ValueError where the extractor has something to say."""
        mode, uid, gid = number(field[:8]) & 0o7777, number(field[8:16]), number(field[16:])
        if not (0 <= uid < _NO_OWNER and 0 <= gid < _NO_OWNER):
            raise ValueError("nobody has such a number")
        owner = None if (uid, gid) == self._owner else (uid, gid)
        access = mode & 0o777, mode if mode & SPECIAL_BITS else None, owner
        if len(self._accesses) < _REMEMBERED:
            self._accesses[field] = access
        return access

    def _sum(self, field: bytes) -> int:
        """Return the lower half of the Adler-32 of a header with that checksum.

        That is one and the sum of the bytes, unless these are so many and high that they exceed
        65520, which the walker understands.
        """
        stated = int(field[:6], 8) if field[6:] == b"\0 " else number(field)
        stated += (adler32(field) & 0xFFFF) - _CHECKSUM_AS_SPACES
        if len(self._sums) < _REMEMBERED:
            self._sums[field] = stated
        return stated


def _filled(fd: int, body: memoryview, access: _Access, seconds: int, mtime_ns: int | None) -> bool:
    """Write and close a file just made; return False if anything failed: the extractor will meet it and say so."""
    _, mode, owner = access
    try:
        if body and os.write(fd, body) != len(body):
            return False
        if owner is not None:
            os.fchown(fd, *owner)
        if mode is not None:
            os.fchmod(fd, mode)
        if mtime_ns is None:
            os.utime(fd, (seconds, seconds))
        else:
            os.utime(fd, ns=(mtime_ns, mtime_ns))
    except (OSError, OverflowError):
        return False
    finally:
        os.close(fd)
    return True
