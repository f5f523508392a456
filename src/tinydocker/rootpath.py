"""Paths inside a container's or workspace's root, from which no link leads out.

Every operation opens what it works on by openat2 with RESOLVE_IN_ROOT, or opens the directory
that holds it so and then uses the last name without following it.

Source: openat2(2), path_resolution(7), proc_pid_fd(5).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import IO, Any

from .image_store import inroot

__all__ = ["RootPath"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
Provider = Callable[[], AbstractContextManager[int]]


class RootPath:
    """A path in a root, to be used as `pathlib.Path` is; always absolute, ``/`` being the root's own.

    ``provider`` gives a context whose value is a descriptor of the root directory; it is entered
    for each operation and the descriptor is only borrowed. ``label`` says whose root it is.

    There is no ``__fspath__``, on purpose: `open`, `os` and `shutil` would take its text for a path of this
    machine, and a link in the container would choose which.

    Links are followed as in the container: absolute ones and ``..`` stay inside. A FIFO, device
    or socket is not opened unless ``allow_special`` says so: reading one may wait for ever.
    Text is UTF-8 unless said otherwise.
    """

    __slots__ = ("_label", "_path", "_provider")

    def __init__(self, provider: Provider, path: str | PurePosixPath = "/", label: str = "") -> None:
        text = str(path)
        if "\0" in text:
            raise ValueError("embedded null byte")
        self._provider = provider
        self._path = PurePosixPath("/" + text.lstrip("/"))
        self._label = label

    # The path as a value

    def __truediv__(self, other: str | PurePosixPath) -> RootPath:
        return self.joinpath(other)

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"{self._path} in {self._label}" if self._label else f"RootPath({str(self._path)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RootPath):
            return NotImplemented
        return self._key() == other._key()

    def __lt__(self, other: RootPath) -> bool:
        return self._path < other._path

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[PurePosixPath, str, Provider]:
        return self._path, self._label, self._provider

    def _with(self, path: PurePosixPath | str) -> RootPath:
        return RootPath(self._provider, path, self._label)

    def joinpath(self, *others: str | PurePosixPath) -> RootPath:
        """Return the path with ``others`` appended; an absolute one begins at the root again."""
        return self._with(self._path.joinpath(*others))

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The last part's suffix, with its dot."""
        return self._path.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, ``/`` first."""
        return self._path.parts

    @property
    def parent(self) -> RootPath:
        """The path without its last part; that of ``/`` is ``/``."""
        return self._with(self._path.parent)

    @property
    def parents(self) -> tuple[RootPath, ...]:
        """All paths above, the nearest first."""
        return tuple(self._with(path) for path in self._path.parents)

    def relative_to(self, other: RootPath | str) -> PurePosixPath:
        """Return what is to be appended to ``other`` to get this path; ValueError if it is not above."""
        return self._path.relative_to(str(other))

    def is_relative_to(self, other: RootPath | str) -> bool:
        """Say whether ``other`` is this path or above it."""
        return self._path.is_relative_to(str(other))

    def with_name(self, name: str) -> RootPath:
        """Return the path with another last part."""
        return self._with(self._path.with_name(name))

    def with_suffix(self, suffix: str) -> RootPath:
        """Return the path with another suffix."""
        return self._with(self._path.with_suffix(suffix))

    def match(self, pattern: str) -> bool:
        """Say whether the path matches a glob pattern, from the right where that is relative."""
        return self._path.match(pattern)

    def entered(self) -> AbstractContextManager[int]:
        """Give a descriptor of the root directory for a while; it is borrowed."""
        return self._provider()

    # Looking

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return what `os.stat` would, seen from inside."""
        with self._opened(os.O_PATH if follow_symlinks else os.O_PATH | os.O_NOFOLLOW) as fd:
            return os.fstat(fd)

    def lstat(self) -> os.stat_result:
        """Return the status of the path itself, a link's own."""
        return self.stat(follow_symlinks=False)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Say whether there is something of that name."""
        return self._mode(follow_symlinks) != 0

    def is_file(self) -> bool:
        """Say whether it is a regular file, or a link to one."""
        return stat.S_ISREG(self._mode())

    def is_dir(self) -> bool:
        """Say whether it is a directory, or a link to one."""
        return stat.S_ISDIR(self._mode())

    def is_symlink(self) -> bool:
        """Say whether it is a symbolic link."""
        return stat.S_ISLNK(self._mode(False))

    def is_fifo(self) -> bool:
        """Say whether it is a FIFO, or a link to one."""
        return stat.S_ISFIFO(self._mode())

    def is_socket(self) -> bool:
        """Say whether it is a socket, or a link to one."""
        return stat.S_ISSOCK(self._mode())

    def _mode(self, follow_symlinks: bool = True) -> int:
        try:
            return self.stat(follow_symlinks=follow_symlinks).st_mode
        except OSError as err:
            if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return 0
            raise

    def owner(self) -> int:
        """Return the owner's number: names are the container's affair."""
        return self.stat().st_uid

    def group(self) -> int:
        """Return the group's number."""
        return self.stat().st_gid

    def readlink(self) -> PurePosixPath:
        """Return the text of a symbolic link, as it stands."""
        with self._opened(os.O_PATH | os.O_NOFOLLOW) as fd:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                raise inroot.refusal(errno.EINVAL, str(self))
            return PurePosixPath(os.readlink("", dir_fd=fd))

    def iterdir(self) -> Iterator[RootPath]:
        """Give the paths in the directory, sorted by name; it is read at once."""
        with self._opened(_DIRECTORY) as fd:
            names = os.listdir(fd)
        return iter([self / name for name in sorted(names, key=os.fsencode)])

    def glob(self, pattern: str) -> Iterator[RootPath]:
        """Give the paths below that match ``pattern``, sorted; ``**`` enters no links to directories."""
        if not pattern:
            raise ValueError("a glob pattern cannot be empty")
        if pattern.startswith("/"):
            raise NotImplementedError("a glob pattern must be relative")
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        with self._provider() as root:
            found = set(inroot.glob(root, str(self), parts))
        return iter([self._with(path) for path in sorted(found, key=os.fsencode)])

    def rglob(self, pattern: str) -> Iterator[RootPath]:
        """Give the paths that match ``pattern`` in this directory or anywhere below."""
        return self.glob("**/" + pattern)

    # Reading and writing

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        allow_special: bool = False,
    ) -> IO[Any]:
        """Open the file as `open` would; OSError (EINVAL) for a FIFO, device or socket without ``allow_special``."""

        def opener(_: str, flags: int) -> int:
            with self._provider() as root:
                return inroot.open_file(root, str(self), flags, allow_special=allow_special)

        if "b" not in mode:
            encoding = encoding or "utf-8"
        return io.open(str(self), mode, buffering, encoding, errors, newline, opener=opener)  # noqa: UP020

    def read_bytes(self) -> bytes:
        """Return the file's content."""
        with self.open("rb") as file:
            return bytes(file.read())

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return the file's content as text."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            return str(file.read())

    def write_bytes(self, data: bytes | bytearray | memoryview) -> int:
        """Replace the file's content, or make the file; return the number of bytes."""
        with self.open("wb") as file:
            return int(file.write(data))

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Replace the file's content by text; return the number of characters."""
        with self.open("w", encoding=encoding, errors=errors, newline=newline) as file:
            return int(file.write(data))

    # Changing

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the directory, with ``parents`` also those above; FileExistsError unless ``exist_ok``."""
        try:
            with self._holder() as (fd, name):
                os.mkdir(name, mode, dir_fd=fd)
        except FileNotFoundError:
            if not parents or self.parent == self:
                raise
            self.parent.mkdir(parents=True, exist_ok=True)
            self.mkdir(mode, exist_ok=exist_ok)
        except OSError:
            if not exist_ok or not self.is_dir():
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file or link."""
        try:
            with self._holder() as (fd, name):
                os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rmdir(self) -> None:
        """Remove an empty directory."""
        with self._holder() as (fd, name):
            os.rmdir(name, dir_fd=fd)

    def rename(self, target: RootPath | str) -> RootPath:
        """Move it to ``target`` in the same root (a plain text begins at ``/``), replacing a file there."""
        other = self._same_root(target)
        with self._holder() as (fd, name), other._holder() as (other_fd, other_name):
            os.rename(name, other_name, src_dir_fd=fd, dst_dir_fd=other_fd)
        return other

    def replace(self, target: RootPath | str) -> RootPath:
        """Do what `rename` does."""
        return self.rename(target)

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Make an empty file, or set the times of what is there to now."""
        flags = os.O_WRONLY | os.O_CREAT | (0 if exist_ok else os.O_EXCL)
        with self._provider() as root:
            try:
                with inroot.opened(root, str(self), os.O_PATH) as fd:
                    if not exist_ok:
                        raise inroot.refusal(errno.EEXIST, str(self))
                    os.utime(f"/proc/self/fd/{fd}")
            except FileNotFoundError:
                os.close(inroot.open_file(root, str(self), flags, mode=mode))

    def chmod(self, mode: int) -> None:
        """Set the permission bits, of what a link leads to."""
        with self._opened(os.O_PATH) as fd:
            os.chmod(f"/proc/self/fd/{fd}", mode)

    def chown(self, uid: int = -1, gid: int = -1) -> None:
        """Set owner and group by number, of what a link leads to; -1 leaves one as it is."""
        with self._opened(os.O_PATH) as fd:
            os.chown(f"/proc/self/fd/{fd}", uid, gid)

    def symlink_to(self, target: RootPath | PurePosixPath | str) -> None:
        """Make a symbolic link with the text ``target``, which is followed inside the root only."""
        with self._holder() as (fd, name):
            os.symlink(str(target), name, dir_fd=fd)

    def hardlink_to(self, target: RootPath | str) -> None:
        """Make this a further name of the file ``target`` (a link is linked itself)."""
        other = self._same_root(target)
        with self._holder() as (fd, name), other._holder() as (other_fd, other_name):
            os.link(other_name, name, src_dir_fd=other_fd, dst_dir_fd=fd, follow_symlinks=False)

    # How

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        with self._provider() as root, inroot.opened(root, str(self), flags) as fd:
            yield fd

    @contextlib.contextmanager
    def _holder(self) -> Iterator[tuple[int, str]]:
        with self._provider() as root, inroot.holder(root, str(self)) as (fd, name):
            yield fd, name

    def _same_root(self, target: RootPath | str) -> RootPath:
        if not isinstance(target, RootPath):
            return self._with(target)
        if target._provider != self._provider:
            raise ValueError(f"{target!r} is not in the same root as {self!r}")
        return target
