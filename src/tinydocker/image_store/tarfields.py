"""Read the fields of tar headers, PAX records and sparse maps. Pure: bytes in, values out.

Source: POSIX pax(1), "ustar Interchange Format" and "pax Extended Header"; the GNU tar manual,
"Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

from array import array
from zlib import adler32

from .archive import ArchiveDamaged

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
_ADLER = 65521
_TIMES = frozenset((b"atime=", b"ctime=", b"mtime="))
_MOST_EXTENTS = 4 << 20


class NotAHeader(ArchiveDamaged):
    """A block has no valid header checksum."""


def number(field: bytes) -> int:
    """Read an octal number, or one of GNU's in base 256."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        return value - (1 << 8 * len(field)) if first == 0xFF else value - (0x80 << 8 * (len(field) - 1))
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise ArchiveDamaged(f"{field!r} is not a number")
    return int(digits or b"0", 8)


def text(field: bytes) -> bytes:
    """Read a string that ends with NUL or with the field."""
    return field.partition(b"\0")[0]


def check_sum(block: bytes) -> None:
    """Compare the header's checksum: the sum of its bytes, the checksum itself read as spaces.

    The lower half of Adler-32 is that sum modulo 65521, at a fraction of the price of adding up
    512 numbers; the sum itself is below twice that.
    """
    try:
        stated = number(block[148:156])
    except ArchiveDamaged:
        raise NotAHeader("a header has no checksum") from None
    if ((adler32(block) & 0xFFFF) - (adler32(block[148:156]) & 0xFFFF) - stated + 256) % _ADLER == 0:
        return
    rest = block[:148] + b" " * 8 + block[156:]
    if stated not in (sum(rest), sum(byte - 256 if byte > 127 else byte for byte in rest)):
        raise NotAHeader("a header has a wrong checksum")


def pax_records(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split the body of an extended header into its (key, value) pairs, in their order."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > 0 else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                break
            raise ArchiveDamaged("an extended header is malformed")
        end = at + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or data[end - 1] != 0x0A or not equals or not key:
            raise ArchiveDamaged("an extended header is malformed")
        found.append((key, value))
        at = end
    return found


def only_times(data: bytes) -> int | None:
    """Return the mtime in an extended header's body that says nothing but times, None if it says not that.

    Raises ValueError or ArchiveDamaged where it says more, or is not written as usual.
    """
    mtime_ns = None
    *lines, rest = data.split(b"\n")
    if rest:
        raise ValueError("the last record is not at its end")
    for line in lines:
        digits, _, pair = line.partition(b" ")
        key = pair[:6]
        if digits != b"%d" % (len(line) + 1) or key not in _TIMES:
            raise ValueError("a record is of another kind")
        if key == b"mtime=":
            mtime_ns = nanoseconds(pair[6:])
    return mtime_ns


def decimal(value: bytes, what: str) -> int:
    """Read a whole decimal number."""
    sign, digits = (-1, value[1:]) if value[:1] == b"-" else (1, value)
    if not digits.isdigit() or len(digits) > 20:
        raise ArchiveDamaged(f"the {what} {value[:40]!r} is not a number")
    return sign * int(digits)


def nanoseconds(value: bytes) -> int:
    """Read seconds with a decimal fraction as nanoseconds, rounding towards the past."""
    whole, _, fraction = value.partition(b".")
    if fraction and not fraction.isdigit():
        raise ArchiveDamaged(f"the time {value[:40]!r} is not a number")
    negative = whole[:1] == b"-"
    seconds = decimal(whole, "time")
    nanos = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    if not negative:
        return seconds * 1_000_000_000 + nanos
    return seconds * 1_000_000_000 - nanos - bool(fraction[9:].strip(b"0"))


def old_gnu_extents(field: bytes, extents: array[int]) -> None:
    """Add the (offset, length) pairs of a header of the old GNU kind, 24 bytes each."""
    for at in range(0, len(field) - 23, 24):
        if field[at] == 0:
            return
        extents.append(_place(number(field[at : at + 12])))
        extents.append(_place(number(field[at + 12 : at + 24])))
        check_count(len(extents) // 2)


def comma_extents(value: bytes) -> array[int]:
    """Read the map of PAX sparse 0.1: offset,length,offset,length…"""
    words = value.split(b",") if value else []
    check_count(len(words) // 2)
    extents = array("q", (_place(decimal(word, "sparse map's entry")) for word in words))
    if len(extents) % 2:
        raise ArchiveDamaged("a sparse map has an odd number of entries")
    return extents


def check_count(count: int) -> None:
    """Refuse a sparse map that would fill memory."""
    if not 0 <= count <= _MOST_EXTENTS:
        raise ArchiveDamaged(f"a sparse map has {count} entries, more than {_MOST_EXTENTS}")


def check_extents(extents: array[int], real_size: int, stored: int) -> None:
    """Check that a map's pieces lie in order within the file and add up to what is stored."""
    end = total = 0
    for at in range(0, len(extents), 2):
        offset, length = extents[at], extents[at + 1]
        if offset < end:
            raise ArchiveDamaged("a sparse map overlaps itself")
        end = offset + length
        total += length
    if end > real_size or total != stored:
        raise ArchiveDamaged("a sparse map does not fit its file")


def _place(value: int) -> int:
    if not 0 <= value < 1 << 62:
        raise ArchiveDamaged("a sparse map points outside of any file")
    return value
