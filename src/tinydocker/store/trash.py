"""Remove big trees without harm: never over a mount point, never through a link.

What is to go is renamed into the trash first, so that it stops to exist for everybody else in
one step, and a removal that is cut short is finished by whoever sweeps next.

Imported by the supervisor: the standard library and ``linux`` alone.

Source: openat2(2) RESOLVE_NO_XDEV, which stops at bind mounts too; unlinkat(2).
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import KernelError
from ..linux.files import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_in_root

_DEEPEST = 64
_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def discard(path: str, trash: str) -> str | None:
    """Move ``path`` into the directory ``trash`` under a fresh name; None where it is gone already."""
    place = os.path.join(trash, os.urandom(12).hex())
    try:
        os.rename(path, place)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise
        return None
    return place


def sweep(trash: str) -> None:
    """Remove everything in the directory ``trash``; others may do the same at once.

    What something is mounted in stays for the next sweep.
    """
    try:
        names = os.listdir(trash)
    except FileNotFoundError:
        return
    for name in names:
        try:
            remove_tree(os.path.join(trash, name))
        except KernelError as err:
            if err.errno != errno.EBUSY:
                raise


def remove_tree(path: str | bytes) -> None:
    """Remove ``path``, whatever it is, with all that is below it; what is gone already is fine.

    A mount point below it is left as it is, with the directories that lead there, and reported
    as KernelError (EBUSY) once everything else is gone.
    """
    parent, name = os.path.split(os.path.abspath(os.fsencode(path)))
    try:
        parent_fd = os.open(parent, _OPEN & ~os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        blocked = _remove(parent_fd, name)
    finally:
        os.close(parent_fd)
    if blocked is not None:
        where = os.fsdecode(os.path.join(parent, blocked))
        raise KernelError("unlinkat", (where,), errno.EBUSY, "something is mounted there; it was not touched")


def _remove(parent_fd: int, name: bytes) -> bytes | None:
    """Remove one entry of ``parent_fd``; return the first path that could not go."""
    if _unlinked(parent_fd, name):
        return None
    try:
        top_fd = _open_directory(parent_fd, name)
    except KernelError as err:
        if err.errno == errno.ENOENT:
            return None
        if err.errno == errno.EXDEV:
            return name
        raise
    try:
        blocked = _empty(top_fd)
    finally:
        os.close(top_fd)
    if blocked is None:
        _removed_directory(parent_fd, name)
        return None
    return os.path.join(name, blocked)


def _empty(top_fd: int) -> bytes | None:
    """Remove what is in ``top_fd``; a directory that lies too deep is first hung higher."""
    blocked: bytes | None = None
    # Each level: its descriptor, its name in the level above, the directories still to visit.
    levels = [(os.dup(top_fd), b"", _unlink_files(top_fd))]
    try:
        while levels:
            fd, name, below = levels[-1]
            if below:
                child = below.pop()
                if len(levels) > _DEEPEST and (hung := _hang_higher(fd, child, top_fd)) is not None:
                    levels[0][2].append(hung)
                    continue
                try:
                    child_fd = _open_directory(fd, child)
                except KernelError as err:
                    if err.errno == errno.ENOENT:
                        continue
                    if err.errno != errno.EXDEV:
                        raise
                    blocked = blocked or b"/".join([*(level[1] for level in levels[1:]), child])
                    continue
                levels.append((child_fd, child, []))
                levels[-1][2].extend(_unlink_files(child_fd))
                continue
            os.close(fd)
            levels.pop()
            if levels and not _removed_directory(levels[-1][0], name):
                blocked = blocked or b"/".join([*(level[1] for level in levels[1:]), name])
    finally:
        for fd, _, _ in levels:
            os.close(fd)
    return blocked


def _unlink_files(fd: int) -> list[bytes]:
    """Unlink all that is no directory in ``fd`` and return the names of the directories."""
    directories: list[bytes] = []
    try:
        with os.scandir(fd) as entries:
            names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return []  # another sweeper has just removed it
    for name, is_directory in names:
        if is_directory or not _unlinked(fd, name):
            directories.append(name)
    return directories


def _unlinked(fd: int, name: bytes) -> bool:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except (IsADirectoryError, PermissionError):
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                raise
        except FileNotFoundError:
            return True
        return False
    except OSError as err:
        if err.errno == errno.EBUSY:  # a file that is a mount point
            return False
        raise
    return True


def _open_directory(fd: int, name: bytes) -> int:
    try:
        return open_in_root(fd, name, _OPEN, resolve=_RESOLVE)
    except KernelError as err:
        if err.errno == errno.ENOTDIR:  # a file that is a mount point: treated as one
            raise KernelError("openat2", (os.fsdecode(name),), errno.EXDEV) from err
        if err.errno != errno.EACCES:
            raise
    # Not root, and a directory of ours that forbids even us: O_PATH asks for no permission.
    handle = open_in_root(fd, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=_RESOLVE)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
    return open_in_root(fd, name, _OPEN, resolve=_RESOLVE)


def _removed_directory(fd: int, name: bytes) -> bool:
    try:
        os.rmdir(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError as err:
        if err.errno in (errno.ENOTEMPTY, errno.EBUSY):
            return False
        raise
    return True


def _hang_higher(fd: int, name: bytes, top_fd: int) -> bytes | None:
    fresh = os.urandom(12).hex().encode()
    try:
        os.rename(name, fresh, src_dir_fd=fd, dst_dir_fd=top_fd)
    except OSError:
        return None
    return fresh
