"""Copy files between this machine and a root, as ``docker cp`` does.

Both sides may be changed by somebody hostile meanwhile. What is read is opened by O_PATH below
its directory's descriptor, and what is written is made under a new name there and renamed over
the old: no link that is met on the way is followed, on either side. Only the two paths that the
caller gave are resolved, the one in the root inside of it.

Source: docker-cp(1) for who lands where; openat2(2), rename(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager

from .image_store import inroot
from .image_store.copy import copy_data, directory_below
from .image_store.walk import DIRECTORY_FLAGS, PATH_FLAGS, Descent, Entry, plain_xattrs, reopen, walk, xattrs
from .rootpath import Provider, RootPath

__all__ = ["get", "put"]


def put(
    root: RootPath | Provider,
    source: str | os.PathLike[str],
    target: str,
    *,
    archive: bool = False,
    follow_links: bool = False,
) -> None:
    """Copy ``source``, a path of this machine, to ``target`` in the root.

    A directory goes into a directory that exists and is made where there is none; of ``dir/.``
    the contents are copied; a file replaces a file. A trailing slash wants a directory. Modes,
    times, links and user xattrs are kept. Files belong to root, without setuid and setgid bits,
    unless ``archive`` keeps owners, those bits and all xattrs. A link is copied as one unless
    ``follow_links``. Devices and sockets are left out. Directories that exist stay as they are.

    Raises FileNotFoundError, naming it, for a source or a target's directory that does not exist.
    """
    text = os.fspath(source)
    follow = follow_links or _wants_directory(text)
    fd = os.open(text, PATH_FLAGS & ~os.O_NOFOLLOW if follow else PATH_FLAGS)
    try:
        base = "" if _is_contents(text) else os.path.basename(os.path.abspath(text))
        with _entered(root) as root_fd:
            _Transfer(archive, (0, 0)).run(fd, text, base, root_fd, "/" + target.lstrip("/"))
    finally:
        os.close(fd)


def get(
    root: RootPath | Provider,
    source: str,
    target: str | os.PathLike[str],
    *,
    archive: bool = False,
    follow_links: bool = False,
) -> None:
    """Copy ``source`` in the root to ``target``, a path of this machine; the rules are those of `put`.

    Files belong to the caller unless ``archive``. Below ``target`` no link is followed.
    """
    path = "/" + source.lstrip("/")
    text = os.fspath(target)
    follow = follow_links or _wants_directory(path)
    place = os.path.realpath(text) + ("/" if _wants_directory(text) else "")
    owner = (os.geteuid(), os.getegid())
    with contextlib.ExitStack() as stack:
        root_fd = stack.enter_context(_entered(root))
        fd = stack.enter_context(inroot.opened(root_fd, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW)))
        host_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, host_fd)
        base = "" if _is_contents(path) else os.path.basename(path.rstrip("/"))
        _Transfer(archive, owner).run(fd, path, "" if base == ".." else base, host_fd, place)


def _entered(root: RootPath | Provider) -> AbstractContextManager[int]:
    return root.entered() if isinstance(root, RootPath) else root()


def _wants_directory(path: str) -> bool:
    return path.endswith("/") or _is_contents(path)


def _is_contents(path: str) -> bool:
    return os.path.basename(path) == "."


class _Transfer:
    def __init__(self, archive: bool, owner: tuple[int, int]) -> None:
        self._archive = archive
        self._owner = owner
        self._links: dict[tuple[int, int], str] = {}

    def run(self, fd: int, source: str, base: str, root_fd: int, target: str) -> None:
        """Copy what ``fd`` refers to, to ``target`` below ``root_fd``; ``base`` is its name, "" for contents only."""
        st = os.fstat(fd)
        directory = stat.S_ISDIR(st.st_mode)
        if _wants_directory(source) and not directory:
            raise inroot.refusal(errno.ENOTDIR, source)
        if stat.S_ISSOCK(st.st_mode) or stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            raise inroot.refusal(errno.EINVAL, source, "is a device or a socket: these are not copied")
        with _place(root_fd, target, base, directory) as (holder_fd, name):
            if directory:
                self._tree(fd, source, holder_fd, name)
            else:
                self._replace(Entry(name, name, fd, st), holder_fd, holder_fd)

    def _tree(self, fd: int, source: str, holder_fd: int, name: str) -> None:
        made = [False]
        if name:
            top, made[0] = _directory(name, holder_fd)
        else:
            top = os.open(".", DIRECTORY_FLAGS, dir_fd=holder_fd)
        here = Descent(top)
        top_fd = os.dup(top)
        into = os.fstat(top)
        try:
            with contextlib.closing(walk(fd, one_mount=False)) as entries:
                for entry in entries:
                    if not stat.S_ISDIR(entry.stat.st_mode):
                        self._replace(entry, here.fd, top_fd)
                    elif entry.leaving:
                        if made.pop():
                            self._finish(entry, here.fd)
                        if entry.path:
                            here.pop()
                    elif (entry.stat.st_dev, entry.stat.st_ino) == (into.st_dev, into.st_ino):
                        raise inroot.refusal(errno.EINVAL, source, "cannot copy a directory into itself")
                    elif entry.path:
                        below, new = _directory(entry.name, here.fd)
                        here.push(below)
                        made.append(new)
        finally:
            here.close()
            os.close(top_fd)

    def _replace(self, entry: Entry, directory_fd: int, top_fd: int) -> None:
        """Make a copy under a new name and move it to its place, over a file that is there."""
        beside = f".tinydocker-{os.urandom(8).hex()}"
        try:
            if not self._linked(entry, beside, directory_fd, top_fd) and not self._made(entry, beside, directory_fd):
                return
            try:
                os.rename(beside, entry.name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
            except IsADirectoryError:
                why = "cannot replace a directory by something else"
                raise inroot.refusal(errno.EISDIR, entry.path, why) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=directory_fd)

    def _made(self, entry: Entry, name: str, directory_fd: int) -> bool:
        kind = stat.S_IFMT(entry.stat.st_mode)
        if kind == stat.S_IFREG:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=directory_fd)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink("", dir_fd=entry.fd), name, dir_fd=directory_fd)
            fd = os.open(name, PATH_FLAGS, dir_fd=directory_fd)
        elif kind == stat.S_IFIFO:
            os.mkfifo(name, 0o600, dir_fd=directory_fd)
            fd = os.open(name, PATH_FLAGS, dir_fd=directory_fd)
        else:
            return False
        try:
            if kind == stat.S_IFREG and entry.stat.st_size:
                source = reopen(entry.fd, os.O_RDONLY, entry.path)
                try:
                    copy_data(source, fd, entry.stat.st_size)
                finally:
                    os.close(source)
            self._finish(entry, fd)
        finally:
            os.close(fd)
        return True

    def _linked(self, entry: Entry, name: str, directory_fd: int, top_fd: int) -> bool:
        """Make ``name`` a further name of a copy that was made before; False where that cannot be done."""
        if entry.stat.st_nlink < 2:
            return False
        first = self._links.setdefault((entry.stat.st_dev, entry.stat.st_ino), entry.path)
        if first == entry.path:
            return False
        directory, last = os.path.split(first)
        try:
            holder_fd = directory_below(top_fd, directory)
            try:
                os.link(last, name, src_dir_fd=holder_fd, dst_dir_fd=directory_fd, follow_symlinks=False)
            finally:
                os.close(holder_fd)
        except OSError:
            return False
        return True

    def _finish(self, entry: Entry, fd: int) -> None:
        st = entry.stat
        where = f"/proc/self/fd/{fd}"
        uid, gid = (st.st_uid, st.st_gid) if self._archive else self._owner
        now = os.fstat(fd)
        if (now.st_uid, now.st_gid) != (uid, gid):
            os.chown(where, uid, gid)
        if not stat.S_ISLNK(st.st_mode):
            # A bit that lends the owner's rights goes along with the owner only.
            os.chmod(where, stat.S_IMODE(st.st_mode) & (0o7777 if self._archive else 0o1777))
        for name, value in plain_xattrs(xattrs(entry.fd)).items():
            if self._archive or name.startswith("user."):
                with _where_supported():
                    os.setxattr(where, name, value)
        os.utime(where, ns=(st.st_atime_ns, st.st_mtime_ns))


@contextlib.contextmanager
def _place(root_fd: int, target: str, base: str, directory: bool) -> Iterator[tuple[int, str]]:
    """Give the directory to write to, and the name to make there; "" for the directory itself."""
    fd = -1
    with contextlib.suppress(FileNotFoundError):
        fd = inroot.open_path(root_fd, target, os.O_PATH)
    if fd < 0:
        if _wants_directory(target) and not directory:
            raise inroot.refusal(errno.ENOENT, target, "no such directory")
        # Of a missing "dir/." or "dir/" only the name is to be made.
        named = os.path.normpath(target) if _wants_directory(target) else target
        with inroot.holder(root_fd, inroot.final(root_fd, named)) as place:
            yield place
        return
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            yield fd, base
            return
    finally:
        os.close(fd)
    if directory:
        raise inroot.refusal(errno.ENOTDIR, target, "cannot copy a directory over something else")
    with inroot.holder(root_fd, inroot.final(root_fd, target)) as place:
        yield place


def _directory(name: str, directory_fd: int) -> tuple[int, bool]:
    """Open a real directory, or make it; say whether it is new."""
    made = True
    try:
        os.mkdir(name, 0o700, dir_fd=directory_fd)
    except FileExistsError:
        made = False
    try:
        return os.open(name, DIRECTORY_FLAGS, dir_fd=directory_fd), made
    except NotADirectoryError:
        raise inroot.refusal(errno.ENOTDIR, name, "cannot replace something else by a directory") from None


@contextlib.contextmanager
def _where_supported() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        if err.errno != errno.ENOTSUP:
            raise
