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

from .tarfields import ADLER, BLOCK, CHECKSUM_AS_SPACES
from .tarstream import TarStream

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_FIELDS = struct.Struct("100s 24s 12s 12s 8s x 100x 6s 82x 155s 12x")  # the kind is looked at before
_KIND = 156
_REGULAR = (0x30, 0)
_NOT_A_NAME = frozenset((b"", b".", b".."))
_OWNERS_REMEMBERED = 1024

# The permission bits to create with, all of them if some cannot be given then, and the owner
# unless it is the extractor's own.
_Access = tuple[int, int | None, tuple[int, int] | None]


class PlainFiles:
    """Makes plain files in ``directories``: open descriptors by their spelling in the archive.

    ``owner`` is whom new files belong to. ``names`` and ``size`` add up what was made.
    """

    def __init__(self, directories: Mapping[bytes, int], owner: tuple[int, int]) -> None:
        self.names = 0
        self.size = 0
        self._directories = directories
        self._owner = owner
        self._access: dict[bytes, _Access | None] = {}

    def make(self, tar: TarStream) -> None:
        """Make as many of the next members as are plain; OSError's ``filename`` is a member's name."""
        buffer, view, at = tar.window()
        end = len(buffer) - BLOCK
        directories, access = self._directories, self._access
        try:
            while at <= end and buffer[at + _KIND] in _REGULAR:
                block = buffer[at : at + BLOCK]
                name, owner, size_field, time_field, checksum, magic, prefix = _FIELDS.unpack(block)
                try:
                    stated, size, mtime = int(checksum[:6], 8), int(size_field[:11], 8), int(time_field[:11], 8)
                except ValueError:
                    return
                body = at + BLOCK
                after = body + size + (-size % BLOCK)
                if (
                    (adler32(block) - (adler32(checksum) & 0xFFFF) - stated + CHECKSUM_AS_SPACES & 0xFFFF)
                    or size < 0
                    or after > end + BLOCK
                ):
                    return
                at = after
        finally:
            tar.advance(at)
