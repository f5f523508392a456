"""Walk the members of a tar stream, with as little work for each as the format allows.

ustar, GNU (long names, base-256 numbers, sparse files) and PAX (all of it, with the xattrs of
SCHILY.xattr and the sparse formats 0.0, 0.1 and 1.0). The end must be there: two blocks of
zeros, then nothing but zeros. Names are bytes. No member is checked for malice here: where it
may go is the extractor's business.

Source: POSIX pax(1); the GNU tar manual; star(5) for SCHILY.*.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator

from .archive import ArchiveDamaged
from .tarfields import (
    BLOCK,
    ZERO_BLOCK,
    NotAHeader,
    check_count,
    check_extents,
    check_sum,
    comma_extents,
    decimal,
    nanoseconds,
    number,
    old_gnu_extents,
    pax_records,
    text,
)

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_HAVE_NO_BODY = frozenset((HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_KIND_MEANT = {b"\0": REGULAR, b"7": REGULAR, b"S": REGULAR, b"D": DIRECTORY}

_LONGEST_HEADER = 8 << 20
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_OWNERS_REMEMBERED = 1024
_Records = list[tuple[bytes, bytes]]


class Member:
    """One member: what its headers say. Its body, if any, is read from the walker."""

    __slots__ = (
        "extents", "gid", "kind", "linkname", "major", "minor", "mode", "mtime_ns", "name", "real_size", "size", "uid",
        "xattrs",
    )  # fmt: skip

    kind: bytes
    name: bytes
    linkname: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int  # bytes in the archive
    real_size: int  # bytes in the file
    major: int
    minor: int
    xattrs: dict[bytes, bytes] | None
    extents: array[int] | None  # offset, length, offset, length…


class TarStream(Iterator[Member]):
    """Iterate over the members of the tar stream that ``pieces`` yields.

    The body of the member returned last is read with `copy_body` or `read_body`, or skipped.
    """

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._view = memoryview(b"")  # the piece at hand; good until the next one is asked for
        self._at = 0
        self._before = 0  # bytes in front of it
        self._body = 0  # unread bytes of the current member, and the padding behind them
        self._padding = 0
        self._globals: _Records = []
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self._any = False

    def __next__(self) -> Member:
        name = linkname = None
        records: _Records | None = None
        while True:
            if self._body or self._padding:
                self._skip(self._body + self._padding)
                self._body = self._padding = 0
            block = self._block()
            if block[0] == 0 and block == ZERO_BLOCK:
                if name is not None or linkname is not None or records is not None:
                    raise ArchiveDamaged("an extended header belongs to no member")
                self._finish()
                raise StopIteration
            kind = block[156:157]
            self._check(block)
            if kind in b"xX":
                records = pax_records(self._extension(block))
            elif kind == b"L":
                name = text(self._extension(block))
            elif kind == b"K":
                linkname = text(self._extension(block))
            elif kind == b"g":
                self._take_globals(pax_records(self._extension(block)))
            elif kind == b"V":
                self._begin_body(number(block[124:136]))
            else:
                return self._member(kind, block, name, linkname, records)

    def window(self) -> tuple[memoryview, int]:
        """Return the piece at hand and where in it the next header begins, which may be its end.

        Whoever walks members there himself says with `advance` how far he came. Nothing is
        offered where headers have to be seen in the light of a global one.
        """
        if self._body or self._padding:
            self._skip(self._body + self._padding)
            self._body = self._padding = 0
        return (self._view[: self._at] if self._globals else self._view), self._at

    def advance(self, at: int) -> None:
        """Go on at ``at`` of the window, where a header begins or the window ends."""
        self._at = at

    @property
    def position(self) -> int:
        """The number of bytes of the uncompressed stream that were read."""
        return self._before + self._at

    def read_body(self, count: int) -> bytes:
        """Read ``count`` bytes of the current member's body."""
        if count > self._body:
            raise ArchiveDamaged("a member is shorter than its own header says")
        self._body -= count
        parts = [bytes(piece) for piece in self._take(count)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def copy_body(self, fd: int, count: int) -> None:
        """Write ``count`` bytes of the current member's body to ``fd``, at its position."""
        self._body -= count
        at = self._at
        end = at + count
        if end <= len(self._view):
            self._at = end
            pieces: Iterator[memoryview] = iter((self._view[at:end],))
        else:
            pieces = self._take(count)
        for piece in pieces:
            while piece:
                piece = piece[os.write(fd, piece) :]

    def _member(
        self, kind: bytes, block: bytes, name: bytes | None, linkname: bytes | None, records: _Records | None
    ) -> Member:
        member = Member()
        if name is None:
            name = text(block[:100])
            if block[257:263] == b"ustar\0" and block[345]:
                name = text(block[345:500]) + b"/" + name
        member.name = name
        member.linkname = text(block[157:257]) if linkname is None else linkname
        owner = block[100:124]
        known = self._owners.get(owner)
        if known is None:
            known = number(owner[:8]) & 0o7777, number(owner[8:16]), number(owner[16:])
            if len(self._owners) < _OWNERS_REMEMBERED:
                self._owners[owner] = known
        member.mode, member.uid, member.gid = known
        try:  # eleven digits and a terminator, as nearly all write it
            member.mtime_ns = int(block[136:147], 8) * 1_000_000_000
            member.size = int(block[124:135], 8)
        except ValueError:
            member.mtime_ns = number(block[136:148]) * 1_000_000_000
            member.size = number(block[124:136])
        member.xattrs = member.extents = None
        if kind in b"34":
            member.major, member.minor = number(block[329:337]), number(block[337:345])
        member.kind = _KIND_MEANT.get(kind, kind)
        sparse: _Records = []
        if records is not None or self._globals:
            sparse = self._apply(member, self._with_globals(records or []))
        if member.kind == REGULAR and member.name[-1:] == b"/":
            member.kind = DIRECTORY  # as archives from before POSIX say it
        elif kind in _HAVE_NO_BODY:
            member.size = 0
        self._begin_body(member.size)
        member.real_size = member.size
        if kind == b"S":
            self._old_sparse(member, block)
        elif sparse and member.kind == REGULAR:
            self._pax_sparse(member, sparse)
        return member

    def _apply(self, member: Member, records: _Records) -> _Records:
        """Let extended records override the header; return those that describe a sparse file."""
        sparse: _Records = []
        for key, value in records:
            if key.startswith(_XATTR):
                if member.xattrs is None:
                    member.xattrs = {}
                member.xattrs[key[len(_XATTR) :]] = value
            elif not value:
                continue  # "as the header has it"
            elif key == b"path":
                member.name = value
            elif key == b"linkpath":
                member.linkname = value
            elif key == b"mtime":
                member.mtime_ns = nanoseconds(value)
            elif key == b"size":
                member.size = decimal(value, "size")
            elif key == b"uid":
                member.uid = decimal(value, "owner")
            elif key == b"gid":
                member.gid = decimal(value, "group")
            elif key.startswith(_SPARSE):
                sparse.append((key[len(_SPARSE) :], value))
        for key, value in sparse:
            if key == b"name":
                member.name = value
        return sparse

    def _take_globals(self, records: _Records) -> None:
        merged = dict(self._globals) | dict(records)
        for key in merged:
            if key in (b"path", b"linkpath", b"size") or key.startswith(_SPARSE):
                raise ArchiveDamaged(f"a global header gives every member the same {key.decode('ascii', 'replace')}")
        if sum(map(len, merged.values())) > _LONGEST_HEADER:
            raise ArchiveDamaged("the global headers are too long")
        self._globals = list(merged.items())

    def _with_globals(self, records: _Records) -> _Records:
        if not self._globals:
            return records
        own = {key for key, _ in records}
        return [(key, value) for key, value in self._globals if key not in own] + records

    def _old_sparse(self, member: Member, block: bytes) -> None:
        extents = array("q")
        old_gnu_extents(block[386:482], extents)
        more = block[482]
        member.real_size = number(block[483:495])
        while more:  # these blocks follow the header and are not counted in its size
            block = self._block()
            old_gnu_extents(block[:504], extents)
            more = block[504]
        check_extents(extents, member.real_size, self._body)
        member.extents = extents

    def _pax_sparse(self, member: Member, records: _Records) -> None:
        said = dict(records)
        real_size = said.get(b"realsize", said.get(b"size"))
        if real_size is None:
            return
        member.real_size = decimal(real_size, "size")
        if said.get(b"major") == b"1":
            extents = self._sparse_1_0()
        elif b"map" in said:
            extents = comma_extents(said[b"map"])
        else:  # 0.0: the same two keys again and again
            words = [value for key, value in records if key in (b"offset", b"numbytes")]
            extents = comma_extents(b",".join(words))
        check_extents(extents, member.real_size, self._body)
        member.extents = extents

    def _sparse_1_0(self) -> array[int]:
        """Read the map that precedes the data: decimal lines, padded to whole blocks."""
        lines: list[bytes] = []
        rest = b""
        wanted = 1
        while len(lines) < wanted:
            block = self.read_body(BLOCK)
            *whole, rest = (rest + block).split(b"\n")
            lines += whole
            if lines and wanted == 1:
                count = decimal(lines[0], "sparse map's length")
                check_count(count)
                wanted = 1 + 2 * count
            if len(rest) > BLOCK:
                raise ArchiveDamaged("a sparse map is malformed")
        return comma_extents(b",".join(lines[1:wanted]))

    def _check(self, block: bytes) -> None:
        try:
            check_sum(block)
        except NotAHeader as err:
            if not self._any:
                raise ArchiveDamaged("it is not an archive: it does not begin with a tar header") from err
            raise ArchiveDamaged(f"{err} (at byte {self.position - BLOCK} of the tar data)") from None
        self._any = True

    def _begin_body(self, size: int) -> None:
        if size < 0:
            raise ArchiveDamaged("a member has a negative size")
        self._body = size
        self._padding = -size % BLOCK

    def _extension(self, block: bytes) -> bytes:
        size = number(block[124:136])
        if not 0 <= size <= _LONGEST_HEADER:
            raise ArchiveDamaged(f"an extended header of {size} bytes is longer than {_LONGEST_HEADER}")
        self._begin_body(size)
        return self.read_body(size)

    def _block(self) -> bytes:
        at = self._at
        block = bytes(self._view[at : at + BLOCK])
        self._at = at + len(block)
        while len(block) < BLOCK:
            if not self._more():
                if not self._any:
                    raise ArchiveDamaged("it is not an archive: it does not begin with a tar header")
                raise ArchiveDamaged("it is truncated: the end of the archive is missing")
            self._at = min(BLOCK - len(block), len(self._view))
            block += self._view[: self._at]
        return block

    def _take(self, count: int) -> Iterator[memoryview]:
        """Yield the next ``count`` bytes as they come."""
        while count:
            here = min(count, len(self._view) - self._at)
            if here:
                at = self._at
                self._at = at + here
                count -= here
                yield self._view[at : at + here]
            elif not self._more():
                raise ArchiveDamaged("it is truncated: it ends within a member")

    def _skip(self, count: int) -> None:
        at = self._at + count
        if at <= len(self._view):
            self._at = at
            return
        for _ in self._take(count):
            pass

    def _more(self) -> bool:
        """Take the next piece, once the one at hand is used up."""
        used = len(self._view)
        self._view = memoryview(b"")
        piece = next(self._pieces, None)
        self._before += used
        self._at = 0
        if piece is None:
            return False
        self._view = memoryview(piece)
        return True

    def _finish(self) -> None:
        """Read on to the end of the stream, where nothing but zeros may be left."""
        if self._block() != ZERO_BLOCK:
            raise ArchiveDamaged("a single block of zeros lies between its members")
        if not self._any:
            raise ArchiveDamaged("it holds no members")
        while True:
            if bytes(self._view[self._at :]).strip(b"\0"):
                raise ArchiveDamaged("something follows the end of the archive")
            self._at = len(self._view)
            if not self._more():
                return
