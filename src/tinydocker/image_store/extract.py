"""Make the members of a tar stream in a directory, which none of them can leave.

What an archive says is not trusted, and what it made is not trusted either:

* A member's parent is opened with openat2(RESOLVE_IN_ROOT): links in it, absolute or with
  ``..``, resolve as they would for a process whose root is the target. The member itself is made
  in that descriptor by its last name alone, with O_EXCL, and never through a link.
* ``..`` in a member's name or in a hard link's target is refused; a leading ``/`` is dropped.
* A later member replaces an earlier one, as with tar: a link is replaced and not followed, a
  directory stays if the later one is a directory too, and one that holds something is not
  replaced by anything else (refused).
* A hard link leads to what the archive made before, inside the target, and not through a link.
* Attributes and devices with which overlayfs keeps its own books (``trusted.overlay.*``,
  ``user.overlay.*``, character device 0:0) are refused: a layer must not lie about another.
* Whiteouts of image layers (``.wh.*``) are ordinary empty files here: a root filesystem is no
  layer over another; whoever unpacks such layers turns them into what the overlay understands.

Owners are numbers. Directories are closed and the extractor's own until all members are in
place; their mode, owner, attributes and time come last.

Source: openat2(2), symlink(7), capabilities(7), xattr(7), the kernel's overlayfs.rst.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable

from ..errors import KernelError
from ..linux.files import open_in_root
from .archive import ArchiveDamaged
from .later import Directories
from .memberrules import ids_of, refuse_overlay_attribute, refuse_overlay_attributes, shown, without_nul, words_of
from .plainfiles import NEW_FILE, SPECIAL_BITS, PlainFiles
from .tarstream import BLOCK_DEVICE, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Member, TarStream

_log = logging.getLogger(__name__)

_OPEN_DIRECTORIES = 48
_DIRECTORY_HERE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What only a member that cannot exist leads to; anything else that fails is the host's doing.
_MEMBERS_FAULT = frozenset(
    (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EFBIG)
)
_NOT_A_NAME = frozenset((b"", b".", b".."))


class Extractor:
    """Extract into the directory ``root_fd``, in a thread whose umask is 0.

    ``inspect`` is called with the name of each regular file made at the top, before the next
    member is read; it may raise. After `run`, ``names`` and ``size`` tell what was made: the
    number of names, and the bytes of the regular files added up over the names.
    """

    def __init__(self, root_fd: int, inspect: Callable[[bytes], None] | None = None) -> None:
        self.names = 0
        self.size = 0
        self._root_fd = root_fd
        self._inspect = inspect
        self._owner = (os.geteuid(), os.getegid())
        self._open: dict[bytes, int] = {}  # the spelling in the archive -> descriptor
        self._stale = False  # something was replaced: what lies open may have been reached through it
        self._plain = PlainFiles(self._open, self._owner)
        self._later = Directories()
        self._lost_attributes: dict[bytes, bytes] = {}  # attribute -> the first member that lost it
        self._make = {
            REGULAR: self._regular,
            DIRECTORY: self._directory,
            SYMLINK: self._symlink,
            HARDLINK: self._hardlink,
            FIFO: self._special,
            CHARACTER: self._special,
            BLOCK_DEVICE: self._special,
        }

    def run(self, tar: TarStream) -> None:
        """Make every member; raise ArchiveDamaged for what it must not or cannot contain."""
        self._own_root()
        self._tar = tar
        try:
            for member in tar:
                make = self._make.get(member.kind)
                if make is None:
                    raise ArchiveDamaged(f"{shown(member.name)} is of an unknown kind, {member.kind!r}")
                try:
                    make(member)
                except OSError as err:
                    raise self._explained(member, err) from err
                if self._stale:
                    self._close_all()
                elif len(self._open) > _OPEN_DIRECTORIES:
                    self._close_oldest()
                self._plain.make(tar)
                self.names += self._plain.names
                self.size += self._plain.size
            self._finish_directories()
        finally:
            self._close_all()
            self._later.close()
        for attribute, name in self._lost_attributes.items():
            _log.warning("the file system cannot keep %s of %s and others like it", shown(attribute), shown(name))

    def _regular(self, member: Member) -> None:
        parent, name = self._place(member.name)
        mode = member.mode
        try:
            fd = os.open(name, NEW_FILE, mode & 0o777, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name, member)
            fd = os.open(name, NEW_FILE, mode & 0o777, dir_fd=parent)
        try:
            if member.extents is not None:
                self._sparse_body(fd, member)
            elif member.size:
                self._tar.copy_body(fd, member.size)
            if (member.uid, member.gid) != self._owner:
                os.fchown(fd, *ids_of(member))
            if mode & SPECIAL_BITS:
                os.fchmod(fd, mode)
            if member.xattrs:
                self._set_xattrs(fd, member.xattrs, member.name)
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)
        self.names += 1
        self.size += member.real_size
        if self._inspect is not None and parent == self._root_fd:
            self._inspect(name)

    def _sparse_body(self, fd: int, member: Member) -> None:
        extents = member.extents or ()
        for at in range(0, len(extents), 2):
            if extents[at + 1]:
                os.lseek(fd, extents[at], os.SEEK_SET)
                self._tar.copy_body(fd, extents[at + 1])
        os.ftruncate(fd, member.real_size)

    def _directory(self, member: Member) -> None:
        words = words_of(member.name)
        if words:
            parent, name = self._place(b"/".join(words))
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
                self.names += 1
                self._expect_members_of(member.name.rstrip(b"/"), parent, name)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    self._clear(parent, name, member)
                    os.mkdir(name, 0o700, dir_fd=parent)
                    self.names += 1
        refuse_overlay_attributes(member)
        self._later.add(b"/".join(words), member.mode, *ids_of(member), member.mtime_ns, member.xattrs)

    def _expect_members_of(self, spelling: bytes, parent: int, name: bytes) -> None:
        """Open a directory just made: what it holds is likely to come next, and to spell it so."""
        if spelling not in self._open:
            self._open[spelling] = os.open(name, _DIRECTORY_HERE, dir_fd=parent)

    def _symlink(self, member: Member) -> None:
        parent, name = self._place(member.name)
        target = without_nul(member.linkname)
        try:
            os.symlink(target, name, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name, member)
            os.symlink(target, name, dir_fd=parent)
        self.names += 1
        self._attributes_by_name(parent, name, member)

    def _hardlink(self, member: Member) -> None:
        parent, name = self._place(member.name)
        head, _, source = without_nul(member.linkname).rstrip(b"/").rpartition(b"/")
        if source in _NOT_A_NAME:
            raise ArchiveDamaged(f"{shown(member.name)} is a link to {shown(member.linkname)}")
        from_fd = self._parent(head, create=False)
        found = os.lstat(source, dir_fd=from_fd)
        if stat.S_ISDIR(found.st_mode):
            raise ArchiveDamaged(f"{shown(member.name)} is a hard link to a directory")
        try:
            os.link(source, name, src_dir_fd=from_fd, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            there = os.lstat(name, dir_fd=parent)
            if (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino):
                return
            self._clear(parent, name, member)
            os.link(source, name, src_dir_fd=from_fd, dst_dir_fd=parent, follow_symlinks=False)
        self.names += 1
        self.size += found.st_size if stat.S_ISREG(found.st_mode) else 0

    def _special(self, member: Member) -> None:
        parent, name = self._place(member.name)
        kind, device = stat.S_IFIFO, 0
        if member.kind != FIFO:
            kind = stat.S_IFCHR if member.kind == CHARACTER else stat.S_IFBLK
            if not (0 <= member.major < 1 << 12 and 0 <= member.minor < 1 << 20):
                raise ArchiveDamaged(f"{shown(member.name)} is device {member.major}:{member.minor}")
            device = os.makedev(member.major, member.minor)
            if kind == stat.S_IFCHR and device == 0:
                raise ArchiveDamaged(f"{shown(member.name)} is device 0:0, overlayfs's own mark of a deleted file")
        try:
            os.mknod(name, kind | member.mode & 0o777, device, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name, member)
            os.mknod(name, kind | member.mode & 0o777, device, dir_fd=parent)
        self.names += 1
        self._attributes_by_name(parent, name, member)

    def _attributes_by_name(self, parent: int, name: bytes, member: Member) -> None:
        """Set owner, special bits, attributes and time of what cannot be opened."""
        if (member.uid, member.gid) != self._owner:
            os.chown(name, *ids_of(member), dir_fd=parent, follow_symlinks=False)
        if member.mode & SPECIAL_BITS and member.kind != SYMLINK:
            os.chmod(name, member.mode, dir_fd=parent)
        if member.xattrs:
            self._set_xattrs(b"/proc/self/fd/%d/%s" % (parent, name), member.xattrs, member.name)
        os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _set_xattrs(self, where: int | bytes, xattrs: dict[bytes, bytes], name: bytes) -> None:
        for key, value in xattrs.items():
            refuse_overlay_attribute(key, name)
            try:
                os.setxattr(where, without_nul(key), value, follow_symlinks=isinstance(where, int))
            except OSError as err:
                if err.errno != errno.ENOTSUP:
                    raise
                self._lost_attributes.setdefault(key, name)

    def _place(self, name: bytes) -> tuple[int, bytes]:
        """Return the directory of a member and its name in it."""
        head, _, tail = name.rpartition(b"/")
        if tail in _NOT_A_NAME:
            words = words_of(name)
            if not words:
                raise ArchiveDamaged(f"the name {shown(name)} stands for the root and is no directory")
            head, tail = b"/".join(words[:-1]), words[-1]
        if b"\0" in tail:
            without_nul(name)
        fd = self._open.get(head)
        return (self._parent(head) if fd is None else fd), tail

    def _parent(self, head: bytes, create: bool = True) -> int:
        fd = self._open.get(head)
        if fd is not None:
            return fd
        words = words_of(head)
        if not words:
            return self._root_fd
        path = b"/".join(words)
        try:
            fd = open_in_root(self._root_fd, path, os.O_PATH | os.O_DIRECTORY)
        except KernelError as err:
            if err.errno != errno.ENOENT or not create:
                raise
            fd = self._make_parents(words)
        self._open[head] = fd
        return fd

    def _make_parents(self, words: list[bytes]) -> int:
        """Make the directories of which the archive said nothing, and open the last."""
        fd = os.dup(self._root_fd)
        for count in range(1, len(words) + 1):
            path = b"/".join(words[:count])
            try:
                below = open_in_root(self._root_fd, path, os.O_PATH | os.O_DIRECTORY)
            except KernelError as err:
                try:
                    if err.errno != errno.ENOENT:
                        raise
                    os.mkdir(words[count - 1], 0o755, dir_fd=fd)
                    self.names += 1
                    below = open_in_root(self._root_fd, path, os.O_PATH | os.O_DIRECTORY)
                except FileExistsError:
                    raise ArchiveDamaged(f"{shown(path)} is a link to nothing and has members below it") from err
                finally:
                    os.close(fd)
                fd = below
                continue
            os.close(fd)
            fd = below
        return fd

    def _clear(self, parent: int, name: bytes, member: Member) -> None:
        """Remove what an earlier member made where the next one is to be."""
        found = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(found.st_mode):
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as err:
                if err.errno != errno.ENOTEMPTY:
                    raise
                raise ArchiveDamaged(f"{shown(member.name)} would replace a directory that holds members") from err
        else:
            os.unlink(name, dir_fd=parent)
        self.names -= 1
        self.size -= found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0
        self._stale = True

    def _own_root(self) -> None:
        """Let nothing be inherited from where the target lies; an archive may say more later."""
        os.fchown(self._root_fd, *self._owner)
        os.fchmod(self._root_fd, 0o755)
        try:
            os.removexattr(self._root_fd, "system.posix_acl_default")
        except OSError as err:
            if err.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise

    def _finish_directories(self) -> None:
        for name, mode, uid, gid, mtime_ns, xattrs in self._later:
            try:
                fd = open_in_root(self._root_fd, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except KernelError as err:
                if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    continue  # a later member replaced it
                raise
            try:
                os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)
                self._set_xattrs(fd, xattrs, name)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)

    def _close_oldest(self) -> None:
        while len(self._open) > _OPEN_DIRECTORIES // 2:
            os.close(self._open.pop(next(iter(self._open))))

    def _close_all(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._stale = False

    def _explained(self, member: Member, err: OSError) -> Exception:
        if err.errno in _MEMBERS_FAULT:
            return ArchiveDamaged(f"{shown(member.name)} cannot be made: {os.strerror(err.errno or 0)}")
        return KernelError("unpack", (shown(member.name),), err.errno or 0)
