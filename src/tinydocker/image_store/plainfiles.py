"""Make runs of plain files, which are nearly all that an archive holds, with little work for each.

A shortcut and nothing more: it looks at a header that has not been walked yet and makes the file
if that is as simple as can be: regular, without extended headers, described by ordinary octal
numbers, its body at hand, its directory open, its name not taken. At anything else it stops and
leaves the header untouched to the walker and the extractor, which know all the rules, so what
is made, and what is refused with which words, is the same without it.

What is read from one header and comes again in the next ones, owners, times, checksums, is
remembered by the bytes of its field.

Source: POSIX pax(1), "ustar Interchange Format"; open(2), O_CREAT and O_EXCL.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from zlib import adler32

from .archive import ArchiveDamaged
from .tarfields import BLOCK, number
from .tarstream import TarStream

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX

_FIELDS = struct.Struct("100s 24s 11sx 11sx 8s")  # name, mode and owners, size, time, checksum
_KIND, _PREFIX = 156, 345
_REGULAR = (0x30, 0)
_CHECKSUM_AS_SPACES = 8 * 0x20
_REMEMBERED = 4096
_NO_OWNER = 0xFFFFFFFF


class PlainFiles:
    """Makes plain files in ``directories``: descriptors by their spelling in the archive.

    ``owner`` is whom new files belong to. ``names`` and ``size`` tell what the last `make` made.
    """

    def __init__(self, directories: Mapping[bytes, int], owner: tuple[int, int]) -> None:
        self.names = 0
        self.size = 0
        self._directories = directories
        self._owner = owner
        # The mode to create with; the mode to set if that is not all of it; whom to give it to.
        self._accesses: dict[bytes, tuple[int, int | None, tuple[int, int] | None]] = {}
        self._times: dict[bytes, tuple[int, int]] = {}
        self._sums: dict[bytes, int] = {}  # Adler-32's lower half for a header with that checksum

    def make(self, tar: TarStream) -> None:
        """Make as many of the next members as are plain and lie in what is read."""
        view, at = tar.window()
        end = len(view)
        last = end - BLOCK
        names = total = 0
        unpack, open_, write, utime, close, sum_of = _FIELDS.unpack_from, os.open, os.write, os.utime, os.close, adler32
        directories, accesses, times, sums = self._directories, self._accesses, self._times, self._sums
        while at <= last and view[at + _KIND] in _REGULAR and not view[at + _PREFIX]:
            name, owners, size_field, time, checksum = unpack(view, at)
            body = at + BLOCK
            try:
                if sum_of(view[at:body]) & 0xFFFF != sums[checksum]:
                    break
                create_mode, mode, owner = accesses[owners]
                when = times[time]
                size = int(size_field, 8)
            except KeyError:
                if self._learn(owners, time, checksum):
                    continue
                break
            except ValueError:
                break
            end_of_body = body + size
            after = end_of_body + (-size % BLOCK)
            name = name.rstrip(b"\0")
            head, _, tail = name.rpartition(b"/")
            if size < 0 or after > end or 0 in name or head not in directories:
                break
            parent = directories[head]
            try:  # the kernel makes nothing new that is called "", "." or ".."
                fd = open_(tail, NEW_FILE, create_mode, dir_fd=parent)
            except OSError:
                break
            try:
                if size and write(fd, view[body:end_of_body]) != size:
                    raise OSError("the disk is full")
                if owner is not None:
                    os.fchown(fd, *owner)
                if mode is not None:
                    os.fchmod(fd, mode)
                utime(fd, when)
            except (OSError, OverflowError):  # the extractor will meet it too, and say so
                os.unlink(tail, dir_fd=parent)
                break
            finally:
                close(fd)
            names += 1
            total += size
            at = after
        tar.advance(at)
        self.names, self.size = names, total

    def _learn(self, owners: bytes, time: bytes, checksum: bytes) -> bool:
        """Read the fields of a header that are new; return whether they are as most are."""
        try:
            mode, uid, gid = number(owners[:8]) & 0o7777, number(owners[8:16]), number(owners[16:])
            seconds, stated = int(time, 8), int(checksum[:6], 8)
        except (ArchiveDamaged, ValueError):
            return False
        if not (0 <= uid < _NO_OWNER and 0 <= gid < _NO_OWNER):
            return False
        for memory in (self._accesses, self._times, self._sums):
            if len(memory) >= _REMEMBERED:
                memory.clear()
        owner = None if (uid, gid) == self._owner else (uid, gid)
        self._accesses[owners] = mode & 0o777, mode if mode & SPECIAL_BITS else None, owner
        self._times[time] = seconds, seconds
        # One and the sum of the bytes, unless these are so many and high that they exceed 65520.
        self._sums[checksum] = stated - _CHECKSUM_AS_SPACES + (adler32(checksum) & 0xFFFF)
        return True
