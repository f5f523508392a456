"""Make runs of plain files, which are nearly all that an archive holds, with little work for each.

A shortcut and nothing more: it looks at a header that has not been walked yet and makes the file
if that is as simple as can be: regular, without extended headers, described by ordinary octal
numbers, its body at hand, its directory open, its name not taken. At anything else it stops and
leaves the header untouched to the walker and the extractor, which know all the rules, so what
is made, and what is refused with which words, is the same without it.

Source: POSIX pax(1), "ustar Interchange Format".
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
NOT_A_NAME = frozenset((b"", b".", b".."))

_FIELDS = struct.Struct("100s 24s 12s 12s 8s")  # name, mode and owners, size, time, checksum
_KIND, _PREFIX = 156, 345
_REGULAR = (0x30, 0)
_CHECKSUM_AS_SPACES = 8 * 0x20
_ACCESSES_REMEMBERED = 1024
_NO_OWNER = 0xFFFFFFFF

# The mode to create with; all of the mode if some of it cannot be given then; who is to own the
# file unless it is whoever made it.
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
        self._accesses: dict[bytes, _Access | None] = {}

    def make(self, tar: TarStream) -> None:
        """Make as many of the next members as are plain and lie in what is read."""
        view, at = tar.window()
        names = total = 0
        last = len(view) - BLOCK
        fields, directories, accesses = _FIELDS.unpack_from, self._directories, self._accesses
        while at <= last and view[at + _KIND] in _REGULAR and not view[at + _PREFIX]:
            name, owners, size_field, time_field, checksum = fields(view, at)
            try:
                stated, size, seconds = int(checksum[:6], 8), int(size_field[:11], 8), int(time_field[:11], 8)
            except ValueError:
                break
            body = at + BLOCK
            # The lower half of Adler-32 is the sum of the bytes and one, unless they are many and high.
            total_sum = (adler32(view[at:body]) & 0xFFFF) - (adler32(checksum) & 0xFFFF)
            after = body + size + (-size % BLOCK)
            if total_sum + _CHECKSUM_AS_SPACES != stated or size < 0 or after > last + BLOCK:
                break
            head, _, tail = name[: name.find(0)].rpartition(b"/") if 0 in name else name.rpartition(b"/")
            parent = directories.get(head)
            access = accesses[owners] if owners in accesses else self._access(owners)
            if parent is None or access is None or tail in NOT_A_NAME:
                break
            if not _made(parent, tail, view[body : body + size], access, seconds):
                break
            names += 1
            total += size
            at = after
        tar.advance(at)
        self.names, self.size = names, total

    def _access(self, field: bytes) -> _Access | None:
        """Read the fields of mode, owner and group; None where the extractor has something to say."""
        try:
            mode, uid, gid = number(field[:8]) & 0o7777, number(field[8:16]), number(field[16:])
        except ArchiveDamaged:
            return None
        if not (0 <= uid < _NO_OWNER and 0 <= gid < _NO_OWNER):
            return None
        owner = (uid, gid)
        access = mode & 0o777, mode if mode & SPECIAL_BITS else None, None if owner == self._owner else owner
        if len(self._accesses) < _ACCESSES_REMEMBERED:
            self._accesses[field] = access
        return access


def _made(parent: int, name: bytes, body: memoryview, access: _Access, seconds: int) -> bool:
    """Make one file; nothing is there if that failed, for whatever reason."""
    create_mode, mode, owner = access
    try:
        fd = os.open(name, NEW_FILE, create_mode, dir_fd=parent)
    except OSError:
        return False
    try:
        while body:
            body = body[os.write(fd, body) :]
        if owner is not None:
            os.fchown(fd, *owner)
        if mode is not None:
            os.fchmod(fd, mode)
        os.utime(fd, (seconds, seconds))
    except (OSError, OverflowError):
        os.unlink(name, dir_fd=parent)
        return False
    finally:
        os.close(fd)
    return True
