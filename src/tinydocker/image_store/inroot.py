"""Use path names below the descriptor of a root that someone hostile may rearrange meanwhile.

Paths are texts as the container sees them. Errors are those that `os` would raise, naming the
path. A special file is told from a regular one before it is opened.

Source: openat2(2) (RESOLVE_IN_ROOT), open(2) (O_PATH), path_resolution(7).
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import stat
from collections.abc import Iterator

from ..errors import KernelError
from ..linux.files import open_in_root
from .walk import reopen

_MOST_LINKS = 40
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_MAKING = os.O_CREAT | os.O_EXCL


def open_path(root_fd: int, path: str, flags: int) -> int:
    """Open ``path``, following links inside the root (the last one too, without O_NOFOLLOW)."""
    try:
        return open_in_root(root_fd, path, flags)
    except KernelError as err:
        raise refusal(err.errno or 0, path) from err


def refusal(number: int, path: str, why: str = "") -> OSError:
    """Return the error that ``number`` stands for, as the class that Python has for it."""
    return OSError(number, why or os.strerror(number), path)


@contextlib.contextmanager
def opened(root_fd: int, path: str, flags: int) -> Iterator[int]:
    """Give a descriptor as `open_path` does, and close it."""
    fd = open_path(root_fd, path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def holder(root_fd: int, path: str) -> Iterator[tuple[int, str]]:
    """Give the directory that holds ``path``, and the name in it, for calls that follow no link.

    A path that ends in no name (``/``, ``..``) is refused: its name would lead out of the directory.
    """
    directory, _, name = path.rpartition("/")
    if name in ("", ".", ".."):
        raise refusal(errno.EBUSY if not path.strip("/") else errno.EINVAL, path)
    try:
        fd = open_path(root_fd, directory or "/", os.O_PATH | os.O_DIRECTORY)
    except OSError as err:
        err.filename = path
        raise
    try:
        yield fd, name
    except OSError as err:
        if err.filename == name:
            err.filename = path
        raise
    finally:
        os.close(fd)


def open_file(root_fd: int, path: str, flags: int, *, mode: int = 0o666, allow_special: bool = False) -> int:
    """Open a regular file, or make it where ``flags`` say so; OSError (EINVAL) for a FIFO, device or socket.

    A link that leads nowhere is followed one step at a time, so that what is made is made new.
    """
    for _ in range(_MOST_LINKS):
        try:
            seen = open_path(root_fd, path, os.O_PATH | flags & os.O_NOFOLLOW)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            with holder(root_fd, path) as (fd, name):
                try:
                    return os.open(name, flags | _MAKING | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)
                except FileExistsError:
                    if flags & os.O_EXCL:
                        raise
                    path = _next(fd, name, path)
            continue
        try:
            if flags & _MAKING == _MAKING:
                raise refusal(errno.EEXIST, path)
            return _reopened(seen, path, flags & ~(_MAKING | os.O_NOFOLLOW), allow_special)
        finally:
            os.close(seen)
    raise refusal(errno.ELOOP, path)


def final(root_fd: int, path: str) -> str:
    """Return a path to the same thing whose last part is no link (or nothing): where to replace a file."""
    for _ in range(_MOST_LINKS):
        try:
            with opened(root_fd, path, os.O_PATH | os.O_NOFOLLOW) as fd:
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    return path
                path = os.path.join(os.path.dirname(path), os.readlink("", dir_fd=fd))
        except FileNotFoundError:
            return path
    raise refusal(errno.ELOOP, path)


def glob(root_fd: int, base: str, parts: list[str]) -> Iterator[str]:
    """Yield the paths below ``base`` that match the pattern's parts; ``**`` is any depth of real directories."""
    if not parts:
        yield base
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        while rest and rest[0] == "**":
            rest = rest[1:]
        for directory in _directories(root_fd, base):
            yield from glob(root_fd, directory, rest)
        return
    for name in _matching(root_fd, base, first):
        yield from glob(root_fd, os.path.join(base, name), rest)


def _matching(root_fd: int, directory: str, pattern: str) -> list[str]:
    if not any(c in pattern for c in "*?["):
        return [pattern] if _kind(root_fd, os.path.join(directory, pattern)) else []
    return [name for name in _listed(root_fd, directory) if fnmatch.fnmatchcase(name, pattern)]


def _directories(root_fd: int, base: str) -> Iterator[str]:
    ahead = [base]
    while ahead:
        directory = ahead.pop()
        yield directory
        for name in _listed(root_fd, directory):
            below = os.path.join(directory, name)
            if _kind(root_fd, below) == stat.S_IFDIR:
                ahead.append(below)


def _listed(root_fd: int, directory: str) -> list[str]:
    try:
        with opened(root_fd, directory, _DIRECTORY) as fd:
            return os.listdir(fd)
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG):
            return []
        raise


def _kind(root_fd: int, path: str) -> int:
    try:
        with opened(root_fd, path, os.O_PATH | os.O_NOFOLLOW) as fd:
            return stat.S_IFMT(os.fstat(fd).st_mode)
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG):
            return 0
        raise


def _next(directory_fd: int, name: str, path: str) -> str:
    try:
        return os.path.join(os.path.dirname(path), os.readlink(name, dir_fd=directory_fd))
    except OSError as err:
        # It is no link any more: somebody made the file meanwhile.
        if err.errno in (errno.EINVAL, errno.ENOENT):
            return path
        raise


def _reopened(seen: int, path: str, flags: int, allow_special: bool) -> int:
    mode = os.fstat(seen).st_mode
    if stat.S_ISDIR(mode):
        raise refusal(errno.EISDIR, path)
    if stat.S_ISREG(mode):
        fd = reopen(seen, flags, path)
        os.set_blocking(fd, True)
        return fd
    if stat.S_ISLNK(mode):
        raise refusal(errno.ELOOP, path)
    if not allow_special:
        raise refusal(errno.EINVAL, path, "is a FIFO, a device or a socket, no regular file")
    return os.open(f"/proc/self/fd/{seen}", flags | os.O_CLOEXEC | os.O_NOCTTY)
