"""Say what an upper directory adds to, changes in and deletes from the layers below it.

Layers are searched as the overlay searches them: from the top down, a whiteout ends the search,
an opaque directory too. Every name is looked up below a descriptor and never followed.

Source: Documentation/filesystems/overlayfs.rst; the output follows ``docker diff``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import attrs

from .walk import DIRECTORY_FLAGS, PATH_FLAGS, Descent, is_opaque, is_whiteout, plain_xattrs, reopen, xattrs

_CHUNK = 1 << 18

Kind = Literal["A", "C", "D"]
Layer = str | os.PathLike[str] | int


@attrs.frozen(order=True)
class Change:
    """One path that differs: "A" added, "C" changed, "D" deleted.

    ``path`` is absolute within the root; bytes that are not text are surrogates, as from `os.fsdecode`.
    """

    kind: Kind
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


def changes(
    upper: Layer,
    lowers: Sequence[Layer],
    *,
    placeholders: Collection[str] = (),
) -> list[Change]:
    """Return what ``upper`` changes over ``lowers`` (topmost first), sorted by path.

    A directory is changed when something below it is, or when its own mode, owner or xattrs are;
    a file that was merely copied up is not. Of a deleted directory only itself is told.
    A layer is a path or a directory descriptor (borrowed): for a root of this host that has file
    systems mounted on it, that of a clone without them.
    ``placeholders`` are absolute paths that the engine made to mount on: one that is still an
    empty file or directory is not told.
    """
    found = list(iter_changes(upper, lowers, placeholders=placeholders))
    found.sort(key=lambda change: os.fsencode(change.path))
    return found


def iter_changes(
    upper: Layer,
    lowers: Sequence[Layer],
    *,
    placeholders: Collection[str] = (),
) -> Iterator[Change]:
    """Yield the same as `changes`, unsorted: a directory may come after what it holds."""
    with contextlib.ExitStack() as stack:
        # Every layer below keeps few directories open: there may be hundreds of layers.
        keep = 8 if len(lowers) <= 16 else 1
        below = []
        for path in lowers:
            below.append(Descent(_opened(path), keep))
            stack.callback(below[-1].close)
        here = Descent(_opened(upper))
        stack.callback(here.close)
        yield from _Comparison(here, below, {p.rstrip("/") for p in placeholders}).run()


@attrs.define(eq=False)
class _Level:
    """A directory of the upper one, and those of the layers that it is merged with or stands for."""

    path: str
    names: list[str]
    merged: list[Descent]
    hidden: bool
    told: bool
    kind: Kind


class _Comparison:
    def __init__(self, here: Descent, below: list[Descent], placeholders: set[str]) -> None:
        self._here = here
        self._below = below
        self._placeholders = placeholders
        self._levels: list[_Level] = []

    def run(self) -> Iterator[Change]:
        # The merging ends below an opaque root.
        merged = []
        for descent in self._below:
            merged.append(descent)
            if is_opaque(descent.fd):
                break
        yield from self._enter("", merged, is_opaque(self._here.fd), told=True)
        while self._levels:
            level = self._levels[-1]
            if level.names:
                yield from self._name(level, level.names.pop())
                continue
            self._levels.pop()
            if self._levels:
                self._here.pop()
                for descent in level.merged:
                    descent.pop()

    def _enter(self, path: str, merged: list[Descent], hidden: bool, told: bool, kind: Kind = "C") -> Iterator[Change]:
        """Take up a directory; where it hides what is below it, say what is gone for good."""
        names = os.listdir(self._here.fd)
        self._levels.append(_Level(path, names, merged, hidden, told, kind))
        if not hidden or not merged:
            return
        kept = set(names)
        for name in sorted(_visible_names(merged) - kept, key=os.fsencode):
            yield from self._told(Change("D", f"{path}/{name}"))

    def _name(self, level: _Level, name: str) -> Iterator[Change]:
        path = f"{level.path}/{name}"
        try:
            fd = os.open(name, PATH_FLAGS, dir_fd=self._here.fd)
        except FileNotFoundError:
            return
        try:
            st = os.fstat(fd)
            lower_fd, merged = _lookup(level.merged, name)
            try:
                kind = self._kind(path, st, fd, lower_fd)
            finally:
                if lower_fd is not None:
                    os.close(lower_fd)
            # A place to mount on is told only when something was put into it.
            told = kind is not None and not (kind == "A" and path in self._placeholders and _is_bare(st))
            if told and kind is not None:
                yield from self._told(Change(kind, path))
            if not stat.S_ISDIR(st.st_mode):
                return
            self._here.push(os.open(".", DIRECTORY_FLAGS, dir_fd=fd))
            for descent in merged:
                descent.push(os.open(name, DIRECTORY_FLAGS, dir_fd=descent.fd))
            hidden = level.hidden or is_opaque(self._here.fd)
            yield from self._enter(path, merged, hidden, told, kind or "C")
        finally:
            os.close(fd)

    def _kind(self, path: str, st: os.stat_result, fd: int, lower_fd: int | None) -> Kind | None:
        if is_whiteout(st, fd):
            return None if lower_fd is None else "D"
        if lower_fd is None:
            return "A"
        return "C" if _differs(path, fd, st, lower_fd) else None

    def _told(self, change: Change) -> Iterator[Change]:
        """Yield a change, and before it every directory above that was not told yet."""
        for level in self._levels:
            if not level.told:
                level.told = True
                yield Change(level.kind, level.path)
        yield change


def _lookup(merged: list[Descent], name: str) -> tuple[int | None, list[Descent]]:
    """Find ``name`` in the layers: a descriptor of the topmost, and the layers whose directories are merged there."""
    found: int | None = None
    holders: list[Descent] = []
    for descent in merged:
        try:
            fd = os.open(name, PATH_FLAGS, dir_fd=descent.fd)
        except FileNotFoundError:
            continue
        try:
            st = os.fstat(fd)
            if is_whiteout(st, fd):
                break
            directory = stat.S_ISDIR(st.st_mode)
            if directory:
                holders.append(descent)
            ends = not directory or is_opaque(fd)
            if found is None:
                found, fd = fd, -1
            if ends:
                break
        finally:
            if fd >= 0:
                os.close(fd)
    return found, holders


def _visible_names(merged: list[Descent]) -> set[str]:
    """Return the names that the layers show together in a directory."""
    shown: set[str] = set()
    decided: set[str] = set()
    for descent in merged:
        for name in os.listdir(descent.fd):
            if name in decided:
                continue
            decided.add(name)
            fd = os.open(name, PATH_FLAGS, dir_fd=descent.fd)
            try:
                if not is_whiteout(os.fstat(fd), fd):
                    shown.add(name)
            finally:
                os.close(fd)
    return shown


def _differs(path: str, fd: int, st: os.stat_result, lower_fd: int) -> bool:
    below = os.fstat(lower_fd)
    if (st.st_mode, st.st_uid, st.st_gid) != (below.st_mode, below.st_uid, below.st_gid):
        return True
    if plain_xattrs(xattrs(fd)) != plain_xattrs(xattrs(lower_fd)):
        return True
    if stat.S_ISDIR(st.st_mode):
        return False
    if st.st_mtime_ns != below.st_mtime_ns:
        return True
    if stat.S_ISLNK(st.st_mode):
        return os.readlink("", dir_fd=fd) != os.readlink("", dir_fd=lower_fd)
    if stat.S_ISREG(st.st_mode):
        return st.st_size != below.st_size or not _same_content(path, fd, lower_fd, st.st_size)
    return st.st_rdev != below.st_rdev


def _same_content(path: str, fd: int, lower_fd: int, size: int) -> bool:
    # Only a file that was opened for writing and not written gets here, or one that hides its change.
    if not size:
        return True
    with contextlib.ExitStack() as stack:
        one = reopen(fd, os.O_RDONLY, path)
        stack.callback(os.close, one)
        other = reopen(lower_fd, os.O_RDONLY, path)
        stack.callback(os.close, other)
        offset = 0
        while offset < size:
            piece = os.pread(one, _CHUNK, offset)
            if piece != os.pread(other, _CHUNK, offset):
                return False
            if not piece:
                break
            offset += len(piece)
    return True


def _is_bare(st: os.stat_result) -> bool:
    return stat.S_ISDIR(st.st_mode) or (stat.S_ISREG(st.st_mode) and not st.st_size)


def _opened(layer: Layer) -> int:
    if isinstance(layer, int):
        return os.open(".", DIRECTORY_FLAGS, dir_fd=layer)
    try:
        return os.open(layer, DIRECTORY_FLAGS)
    except OSError as err:
        if err.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(layer)) from err
        raise
