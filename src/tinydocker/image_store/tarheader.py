"""Encode the headers of a tar archive: ustar blocks, with a PAX header where ustar is too narrow.

Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; the GNU tar
manual, "Storing Sparse Files, PAX Format 1.0"; ``SCHILY.xattr`` as star and GNU tar write it.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

_USTAR = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_MAX_OCTAL_7 = 0o7777777
_MAX_OCTAL_11 = 0o77777777777


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime_ns: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    records: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """Return the blocks that stand before an entry's data.

    ``size`` is what follows in bytes, ``mode`` the permission bits, ``records`` further PAX
    records. Owners are numbers only.
    """
    seconds, fraction = divmod(mtime_ns, 1_000_000_000)
    pax = b""
    if fraction or not 0 <= seconds <= _MAX_OCTAL_11:
        pax += record(b"mtime", decimal_seconds(mtime_ns))
        seconds = min(max(seconds, 0), _MAX_OCTAL_11)
    if len(name) > 100 or not name.isascii():
        pax += record(b"path", name)
    if len(link) > 100 or not link.isascii():
        pax += record(b"linkpath", link)
    if uid > _MAX_OCTAL_7:
        pax += record(b"uid", b"%d" % uid)
        uid = 0
    if gid > _MAX_OCTAL_7:
        pax += record(b"gid", b"%d" % gid)
        gid = 0
    stored = size
    if size > _MAX_OCTAL_11:
        pax += record(b"size", b"%d" % size)
        stored = 0
    for key, value in records:
        pax += record(key, value)
    block = _block(name, kind, mode, uid, gid, stored, seconds, link, device)
    if not pax:
        return block
    return _pax_block(len(pax)) + pax + padding(len(pax)) + block


def record(key: bytes, value: bytes) -> bytes:
    """Return one PAX record, whose length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def xattr_record(name: str, value: bytes) -> tuple[bytes, bytes]:
    """Return key and value for an extended attribute; ``=`` ends a key, so it is escaped as GNU tar does."""
    key = name.encode("utf-8", "surrogateescape").replace(b"%", b"%25").replace(b"=", b"%3D")
    return b"SCHILY.xattr." + key, value


def padding(size: int) -> bytes:
    """Return the zero bytes that fill up the last block of ``size`` bytes."""
    return bytes(-size % BLOCK)


def decimal_seconds(time_ns: int) -> bytes:
    """Return nanoseconds as decimal seconds, exactly."""
    seconds, fraction = divmod(abs(time_ns), 1_000_000_000)
    return b"%b%d.%09d" % (b"-" if time_ns < 0 else b"", seconds, fraction)


def sparse_map(extents: list[tuple[int, int]]) -> bytes:
    """Return the map of a sparse file, (offset, length) of each piece of data, filled up to whole blocks."""
    text = b"%d\n" % len(extents) + b"".join(b"%d\n%d\n" % extent for extent in extents)
    return text + padding(len(text))


def sparse_records(name: bytes, size: int) -> list[tuple[bytes, bytes]]:
    """Return the PAX records that make an entry a sparse file of ``size`` bytes."""
    return [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", name),
        (b"GNU.sparse.realsize", b"%d" % size),
    ]


def sparse_name(name: bytes) -> bytes:
    """Return the name that a reader without knowledge of sparse files shall see."""
    directory, slash, last = name.rpartition(b"/")
    return directory + slash + b"GNUSparseFile.0/" + last


def _block(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    block = _USTAR.pack(
        name,
        b"%07o" % mode,
        b"%07o" % uid,
        b"%07o" % gid,
        b"%011o" % size,
        b"%011o" % seconds,
        b"        ",
        kind,
        link,
        b"ustar\x0000",
        b"",
        b"",
        b"%07o" % device[0],
        b"%07o" % device[1],
        b"",
        b"",
    )
    return b"%b%06o\x00 %b" % (block[:148], sum(block), block[156:])


@functools.lru_cache(maxsize=256)
def _pax_block(size: int) -> bytes:
    return _block(b"PaxHeaders/0", b"x", 0o644, 0, 0, size, 0, b"", (0, 0))
