"""Go through a directory tree by descriptors, where a live container may rearrange it meanwhile.

Every name is opened below the descriptor of its directory, without following, as O_PATH: what
was looked at is what is read, whatever the name points to a moment later. No device or FIFO is
ever opened.

Source: open(2) (O_PATH, O_NOFOLLOW), proc_pid_fd(5), Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator

from ..errors import KernelError
from ..linux.files import RESOLVE_NO_XDEV, open_in_root

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PATH_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_OVERLAY_PREFIXES = ("trusted.overlay.", "user.overlay.")
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_WHITEOUT = ("trusted.overlay.whiteout", "user.overlay.whiteout")


class Descent:
    """A chain of open directories from a root down, of which only the last ``keep`` stay open.

    A tree may be deeper than a process may have files open. A directory that was closed is
    found again as ``..`` of the one below it and must be the same inode.
    """

    def __init__(self, root_fd: int, keep: int = 16) -> None:
        self._keep = keep
        self._fds = [root_fd]
        self._ids: list[tuple[int, int]] = [(0, 0)]

    @property
    def fd(self) -> int:
        """The descriptor of the lowest directory; it belongs to this object."""
        return self._fds[-1]

    def __len__(self) -> int:
        return len(self._fds)

    def push(self, fd: int) -> None:
        """Go down into ``fd``, which is a directory in the lowest one; the descriptor is taken over."""
        self._fds.append(fd)
        self._ids.append((0, 0))
        oldest = len(self._fds) - 1 - self._keep
        if oldest >= 0 and self._fds[oldest] >= 0:
            self._ids[oldest] = _identity(self._fds[oldest])
            os.close(self._fds[oldest])
            self._fds[oldest] = -1

    def pop(self) -> None:
        """Go up to the directory that holds the lowest one."""
        if self._fds[-2] < 0:
            above = os.open("..", DIRECTORY_FLAGS, dir_fd=self._fds[-1])
            self._fds[-2] = above
            if _identity(above) != self._ids[-2]:
                raise OSError(errno.ESTALE, "a directory was moved while it was being read")
        os.close(self._fds.pop())
        self._ids.pop()

    def close(self) -> None:
        """Close every directory that is open."""
        while self._fds:
            fd = self._fds.pop()
            if fd >= 0:
                os.close(fd)


class Entry:
    """One thing in the tree. Its descriptor is valid until the walk goes on.

    ``path`` is relative to the root ("" is the root itself), ``fd`` an O_PATH descriptor, for a
    directory one that can be listed. A directory comes twice: before what it holds, and, with
    ``leaving`` set, after. Setting ``descend`` to False keeps the walk out of it (it is then
    not left either).
    """

    __slots__ = ("descend", "fd", "leaving", "name", "path", "stat")

    def __init__(self, path: str, name: str, fd: int, st: os.stat_result, leaving: bool = False) -> None:
        self.path = path
        self.name = name
        self.fd = fd
        self.stat = st
        self.leaving = leaving
        self.descend = True


def walk(root_fd: int, *, one_mount: bool = True) -> Generator[Entry, None, None]:
    """Yield everything below ``root_fd`` (borrowed, of any kind of open), in the order of the names' bytes.

    With ``one_mount`` a directory on which something is mounted comes as an empty one. What
    vanishes meanwhile is passed over. Use it within ``contextlib.closing``.
    """
    top = os.open(".", DIRECTORY_FLAGS, dir_fd=root_fd)
    descent = Descent(top)
    try:
        root = Entry("", "", top, os.fstat(top))
        device = root.stat.st_dev
        yield root
        if not root.descend:
            return
        levels = [(root, _names(top))]
        while levels:
            holder, names = levels[-1]
            if not names:
                holder.fd = descent.fd
                holder.leaving = True
                yield holder
                levels.pop()
                if levels:
                    descent.pop()
                continue
            name = names.pop()
            fd = _present(name, descent.fd)
            if fd is None:
                continue
            entry = Entry(f"{holder.path}/{name}" if holder.path else name, name, fd, os.fstat(fd))
            if not stat.S_ISDIR(entry.stat.st_mode):
                try:
                    yield entry
                finally:
                    os.close(fd)
                continue
            try:
                entry.fd = os.open(".", DIRECTORY_FLAGS, dir_fd=fd)
            finally:
                os.close(fd)
            descent.push(entry.fd)
            yield entry
            if entry.descend and not (one_mount and (entry.stat.st_dev != device or _is_mount_point(entry.fd))):
                levels.append((entry, _names(entry.fd)))
                continue
            if entry.descend:
                entry.leaving = True
                yield entry
            descent.pop()
    finally:
        descent.close()


def reopen(fd: int, flags: int, path: str) -> int:
    """Open again, with other ``flags``, exactly what the O_PATH descriptor ``fd`` refers to.

    ``path`` is what an error names. It does not wait: a file that somebody holds a lease on is an error.
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as err:
        err.filename = path
        raise


def xattrs(fd: int, *, readable: bool = False) -> dict[str, bytes]:
    """Return the extended attributes of what ``fd`` refers to.

    An O_PATH descriptor has to be asked by way of procfs; one that is ``readable`` answers faster.
    """
    where: int | str = fd if readable else f"/proc/self/fd/{fd}"
    try:
        names = os.listxattr(where)
    except OSError as err:
        if err.errno in (errno.ENOTSUP, errno.EPERM):
            return {}
        raise
    found = {}
    for name in names:
        try:
            found[name] = os.getxattr(where, name)
        except OSError as err:
            if err.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise
    return found


def plain_xattrs(found: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out what belongs to the overlay or to this host's policy and not to the file."""
    return {k: v for k, v in found.items() if not k.startswith(_OVERLAY_PREFIXES) and k != "security.selinux"}


def is_whiteout(st: os.stat_result, fd: int) -> bool:
    """Say whether an entry of an upper directory stands for "there is nothing here".

    It is a character device 0:0 or, on kernels from 6.8 on, an empty file with an attribute.
    """
    if stat.S_ISCHR(st.st_mode):
        return st.st_rdev == 0
    if not stat.S_ISREG(st.st_mode) or st.st_size:
        return False
    return any(_xattr(fd, name) is not None for name in _WHITEOUT)


def is_opaque(fd: int) -> bool:
    """Say whether a directory of an upper directory hides what lies below it."""
    return any(_xattr(fd, name) == b"y" for name in _OPAQUE)


def _xattr(fd: int, name: str) -> bytes | None:
    try:
        return os.getxattr(f"/proc/self/fd/{fd}", name)
    except OSError as err:
        if err.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
            return None
        raise


def _present(name: str, directory_fd: int) -> int | None:
    try:
        return os.open(name, PATH_FLAGS, dir_fd=directory_fd)
    except FileNotFoundError:
        return None


def _names(fd: int) -> list[str]:
    # The last is taken first.
    return sorted(os.listdir(fd), key=os.fsencode, reverse=True)


def _identity(fd: int) -> tuple[int, int]:
    st = os.fstat(fd)
    return st.st_dev, st.st_ino


def _is_mount_point(fd: int) -> bool:
    # The way up from the root of a mount leaves the mount: true for a bind mount of the same device too.
    try:
        os.close(open_in_root(fd, "..", os.O_PATH, resolve=RESOLVE_NO_XDEV))
    except KernelError as err:
        if err.errno == errno.EXDEV:
            return True
        if err.errno != errno.ENOENT:
            raise
    return False
