"""Mount, bind, move and detach.

Source: mount(2), umount2(2), pivot_root(2); open_tree(2), move_mount(2), mount_setattr(2) and the
kernel's Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from ._libc import BYTES, INT, SIZE, UINT, ULONG, numbered, wrapped

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_RELATIME = 0x200000
MS_STRICTATIME = 0x1000000
MNT_DETACH = 0x2

OPEN_TREE_CLONE = 0x1
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1

_mount = wrapped("mount", BYTES, BYTES, BYTES, ULONG, BYTES)
_umount2 = wrapped("umount2", BYTES, INT)
_open_tree = numbered("open_tree", INT, BYTES, UINT)
_move_mount = numbered("move_mount", INT, BYTES, INT, BYTES, UINT)
_mount_setattr = numbered("mount_setattr", INT, BYTES, UINT, BYTES, SIZE)
_pivot_root = numbered("pivot_root", BYTES, BYTES)

#: The words of a mount's options that are flags of the mount; all others are data for the file system.
FLAG_OF_OPTION = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
}
_WORDS_WITHOUT_FLAG = frozenset({"rw", "suid", "dev", "exec", "bind", "rbind", "private", "rprivate"})


def split_options(options: Sequence[str]) -> tuple[int, str]:
    """Sort the options of a mount into (flags, data for the file system)."""
    flags = 0
    data = []
    for option in options:
        if option in FLAG_OF_OPTION:
            flags |= FLAG_OF_OPTION[option]
        elif option not in _WORDS_WITHOUT_FLAG:
            data.append(option)
    return flags, ",".join(data)


def mount(source: str | None, target: str, fstype: str | None, flags: int = 0, data: str = "") -> None:
    """Mount ``source`` on ``target``; see mount(2)."""
    _mount(
        os.fsencode(source) if source is not None else None,
        os.fsencode(target),
        fstype.encode() if fstype is not None else None,
        flags,
        os.fsencode(data) if data else None,
    )


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Take the mount on ``target`` away; by default it leaves the tree at once and ends with its last user."""
    _umount2(os.fsencode(target), flags)


def fd_path(fd: int) -> str:
    """Return the name under which procfs knows this process's descriptor ``fd``."""
    return f"/proc/self/fd/{fd}"


def keep_private(target: str = "/") -> None:
    """Let no mount or unmount at or below ``target`` travel in or out of this namespace."""
    mount(None, target, None, MS_REC | MS_PRIVATE)


def mount_overlay(target: str, lowerdirs: Sequence[str], upperdir: str, workdir: str) -> None:
    """Mount an overlay of ``lowerdirs`` (topmost first) under ``upperdir`` on ``target``.

    Each directory is opened and then named by its descriptor's number, relative to
    /proc/self/fd: names with ``:``, ``,`` or a backslash need no escaping and the kernel's page of
    options holds all of the 500 layers that an overlay may have. It is mounted ``volatile``,
    so that its unmount does not sync the file system below, and ``nodev``. The working directory of the process
    is /proc/self/fd afterwards.
    """
    opened: list[int] = []
    try:
        for path in (*lowerdirs, upperdir, workdir):
            opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        *lower, upper, work = opened
        os.chdir("/proc/self/fd")
        # A device node in an image is one its maker chose: it opens nothing.
        mount(
            "overlay",
            target,
            "overlay",
            MS_NODEV,
            f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
            ",volatile,redirect_dir=off,metacopy=off,index=off",
        )
    finally:
        for fd in opened:
            os.close(fd)


def clone_tree(path: str, *, recursive: bool, dir_fd: int = AT_FDCWD) -> int:
    """Return a descriptor of a detached copy of the mount at ``path``, with those below it if ``recursive``."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    if not path:
        flags |= AT_EMPTY_PATH
    return _open_tree(dir_fd, os.fsencode(path), flags)


def attach(tree_fd: int, target_fd: int) -> None:
    """Attach the detached mount ``tree_fd`` on the file or directory ``target_fd``."""
    _move_mount(tree_fd, b"", target_fd, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def make_read_only(tree_fd: int, *, recursive: bool) -> None:
    """Make the mount ``tree_fd`` read-only, and those below it if ``recursive`` (Linux 5.12).

    Before 5.12 a detached mount cannot be changed: the caller remounts after it is attached.
    """
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(tree_fd, b"", flags, attributes, len(attributes))


def make_private(tree_fd: int) -> None:
    """Make the detached mounts ``tree_fd`` private, so that no later mount of the host appears in them (Linux 5.12)."""
    attributes = struct.pack("=QQQQ", 0, 0, MS_PRIVATE, 0)
    _mount_setattr(tree_fd, b"", AT_EMPTY_PATH | AT_RECURSIVE, attributes, len(attributes))


def pivot_here() -> None:
    """Make the working directory, a mount, the root, and let the old root go.

    The old root is stacked on the new one and detached, so no directory is needed for it.
    Source: pivot_root(2), NOTES, ``pivot_root(".", ".")``.
    """
    _pivot_root(b".", b".")
    umount(".")
    os.chdir("/")
