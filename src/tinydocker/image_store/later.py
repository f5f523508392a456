"""Remember what is to be done to each directory once its members are in place.

Kept in memory while it is little and in an unnamed file beyond that, so an archive of nothing
but directories cannot fill the memory of the program that unpacks it.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator

_IN_MEMORY = 4 << 20
_HEAD = struct.Struct("<IIIIqII")  # name's length, mode, owner, group, seconds, nanoseconds, attributes
_PAIR = struct.Struct("<II")

Directory = tuple[bytes, int, int, int, int, dict[bytes, bytes]]


class Directories:
    """A list of (name, mode, uid, gid, mtime_ns, xattrs) that is written once and read once."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by close()

    def add(
        self, name: bytes, mode: int, uid: int, gid: int, mtime_ns: int, xattrs: dict[bytes, bytes] | None = None
    ) -> None:
        """Remember one more."""
        pairs = xattrs or {}
        head = _HEAD.pack(len(name), mode, uid, gid, *divmod(mtime_ns, 1_000_000_000), len(pairs))
        self._file.write(head + name)
        for key, value in pairs.items():
            self._file.write(_PAIR.pack(len(key), len(value)) + key + value)

    def __iter__(self) -> Iterator[Directory]:
        read = self._file.read
        self._file.seek(0)
        while head := read(_HEAD.size):
            length, mode, uid, gid, seconds, nanos, count = _HEAD.unpack(head)
            name = read(length)
            xattrs = {}
            for _ in range(count):
                key_length, value_length = _PAIR.unpack(read(_PAIR.size))
                key = read(key_length)
                xattrs[key] = read(value_length)
            yield name, mode, uid, gid, seconds * 1_000_000_000 + nanos, xattrs

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
