"""Copy an upper directory so faithfully that an overlay cannot tell the copy from the original.

The original may be in use by a running container. Data is shared where the file system can
(FICLONE), else copied within the kernel, holes left as holes.

Source: ioctl_ficlone(2), copy_file_range(2), lseek(2), overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat

from .walk import DIRECTORY_FLAGS, Descent, Entry, reopen, walk, xattrs

_FICLONE = 0x40049409
_CHUNK = 1 << 20
_MOST_AT_ONCE = 1 << 30
_CANNOT = (
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOTTY,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
)
# Names one mounted overlay; a copy gets its own.
_NOT_COPIED = ("trusted.overlay.uuid", "user.overlay.uuid")


def copy_layer(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy the directory ``source`` to ``target``, which does not exist or is empty.

    Whiteouts, opaque marks and all other xattrs, hard links, holes, devices, owners, modes and
    times are kept. Upon failure ``target`` is empty again, or gone when it was made here.
    """
    source_fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made = _made(target)
        target_fd = os.open(target, DIRECTORY_FLAGS)
        try:
            if os.listdir(target_fd):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), os.fspath(target))
            try:
                _Copy(target_fd).run(source_fd)
            except BaseException:
                _emptied(target_fd)
                if made:
                    os.rmdir(target)
                raise
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def copy_data(source_fd: int, target_fd: int, size: int) -> None:
    """Copy the first ``size`` bytes of a file into an empty one, sharing or leaving holes where it can be done."""
    if not size:
        return
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
        # A file that is appended to is shared with what came since its size was taken.
        os.ftruncate(target_fd, size)
        return
    except OSError as err:
        if err.errno not in _CANNOT:
            raise
    os.ftruncate(target_fd, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source_fd, offset, os.SEEK_DATA)
            end = min(os.lseek(source_fd, start, os.SEEK_HOLE), size)
        except OSError as err:
            if err.errno == errno.ENXIO:
                return
            if err.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            start, end = offset, size
        if start < end:
            _copy_range(source_fd, target_fd, start, end)
        offset = max(end, start)


def _copy_range(source_fd: int, target_fd: int, offset: int, end: int) -> None:
    in_kernel = True
    while offset < end:
        count = min(end - offset, _MOST_AT_ONCE)
        if in_kernel:
            try:
                done = os.copy_file_range(source_fd, target_fd, count, offset, offset)
            except OSError as err:
                if err.errno not in _CANNOT:
                    raise
                in_kernel = False
                continue
            # Some file systems answer 0 where they mean "not me".
            in_kernel = done > 0
        else:
            data = os.pread(source_fd, min(count, _CHUNK), offset)
            done = os.pwrite(target_fd, data, offset) if data else 0
            if not data:
                return
        offset += done


class _Copy:
    def __init__(self, target_fd: int) -> None:
        self._target = target_fd
        self._links: dict[tuple[int, int], tuple[str, int]] = {}

    def run(self, source_fd: int) -> None:
        here = Descent(os.dup(self._target))
        try:
            with contextlib.closing(walk(source_fd)) as entries:
                for entry in entries:
                    self._one(entry, here)
        finally:
            here.close()

    def _one(self, entry: Entry, here: Descent) -> None:
        st = entry.stat
        if stat.S_ISDIR(st.st_mode):
            if not entry.leaving:
                if entry.path:
                    os.mkdir(entry.name, 0o700, dir_fd=here.fd)
                    here.push(os.open(entry.name, DIRECTORY_FLAGS, dir_fd=here.fd))
                return
            _finish(entry, here.fd)
            if entry.path:
                here.pop()
        elif st.st_nlink > 1 and self._linked(entry, here):
            return
        elif stat.S_ISREG(st.st_mode):
            self._file(entry, here)
        else:
            if stat.S_ISLNK(st.st_mode):
                os.symlink(os.readlink("", dir_fd=entry.fd), entry.name, dir_fd=here.fd)
            else:
                os.mknod(entry.name, stat.S_IFMT(st.st_mode) | 0o600, st.st_rdev, dir_fd=here.fd)
            fd = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here.fd)
            try:
                _finish(entry, fd)
            finally:
                os.close(fd)

    def _file(self, entry: Entry, here: Descent) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(entry.name, flags, 0o600, dir_fd=here.fd)
        try:
            if entry.stat.st_size:
                source = reopen(entry.fd, os.O_RDONLY, entry.path)
                try:
                    copy_data(source, target, entry.stat.st_size)
                finally:
                    os.close(source)
            _finish(entry, target)
        finally:
            os.close(target)

    def _linked(self, entry: Entry, here: Descent) -> bool:
        key = (entry.stat.st_dev, entry.stat.st_ino)
        known = self._links.pop(key, None)
        first, left = known or (entry.path, entry.stat.st_nlink)
        if left > 1:
            self._links[key] = (first, left - 1)
        if known is None:
            return False
        directory, name = os.path.split(first)
        holder = directory_below(self._target, directory)
        try:
            os.link(name, entry.name, src_dir_fd=holder, dst_dir_fd=here.fd, follow_symlinks=False)
        finally:
            os.close(holder)
        return True


def _finish(entry: Entry, fd: int) -> None:
    """Give the copy ``fd`` the original's owner, mode, xattrs and times, in the order in which none undoes another."""
    st = entry.stat
    where = f"/proc/self/fd/{fd}"
    os.chown(where, st.st_uid, st.st_gid)
    if not stat.S_ISLNK(st.st_mode):
        os.chmod(where, stat.S_IMODE(st.st_mode))
    for name, value in xattrs(entry.fd).items():
        if name not in _NOT_COPIED:
            os.setxattr(where, name, value)
    os.utime(where, ns=(st.st_atime_ns, st.st_mtime_ns))


def directory_below(root_fd: int, path: str) -> int:
    """Open the directory ``path`` below ``root_fd``, however deep, following no link."""
    fd = os.dup(root_fd)
    for part in path.split("/") if path else ():
        below = os.open(part, DIRECTORY_FLAGS, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def _made(target: str | os.PathLike[str]) -> bool:
    try:
        os.mkdir(target, 0o700)
    except FileExistsError:
        return False
    return True


def _emptied(fd: int) -> None:
    for name in os.listdir(fd):
        if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            shutil.rmtree(f"/proc/self/fd/{fd}/{name}")
        else:
            os.unlink(name, dir_fd=fd)
