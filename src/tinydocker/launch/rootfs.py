"""The root file system of a container, as its child assembles it: the overlay, and all that is mounted in it.

Targets are resolved inside the root alone, by descriptor, whatever links the image holds.

Source: the OCI runtime specification, config.md, "Mounts", and config-linux.md; mount_setattr(2).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from ..linux import files, mounts, process

if TYPE_CHECKING:
    from .child import Start

#: Made in every /dev beside the devices; Source: the OCI runtime specification, "Default Devices" and moby.
_DEV_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)


def isolate_mounts(start: Start) -> None:
    """Let nothing that is mounted from here on be seen by the host, nor the reverse."""
    process.new_session_keyring()
    mounts.keep_private()


def mount_root(start: Start) -> None:
    """Mount the overlay, or the workspace's, and make it the place that paths resolve in."""
    target, rootfs = start.config["root"]["path"], start.order["rootfs"]
    start.at = target
    start.null_fd = _null_device()
    if "tree" in start.fds:
        mountpoint = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.attach(start.fds["tree"], mountpoint)
        os.close(mountpoint)
    else:
        mounts.mount_overlay(target, rootfs["lower"], rootfs["upper"], rootfs["work"])
    os.chdir(target)
    # A device node in an image is one its maker chose: it opens nothing here. /dev has our own.
    mounts.mount(None, ".", None, mounts.MS_REMOUNT | mounts.MS_BIND | mounts.MS_NODEV)
    start.root_fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _null_device() -> int:
    fd = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != os.makedev(1, 3):
        raise RuntimeError("/dev/null of this host is not the null device")
    return fd


def mount_file_systems(start: Start) -> None:
    """Mount what the configuration lists, in its order, on targets inside the root only."""
    for entry in start.config.get("mounts", ()):
        start.at = entry["destination"]
        _mount(start, entry)


def _mount(start: Start, entry: dict[str, Any]) -> None:
    kind, destination = entry.get("type", "bind"), entry["destination"]
    flags, data = mounts.split_options(entry.get("options", ()))
    if kind == "bind":
        tree = start.fds.get("tree:" + destination, -1)
        if tree < 0:
            tree = mounts.clone_tree(entry["source"], recursive="rbind" in entry["options"])
        target = open_target(start.root_fd, destination, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
        read_only = bool(flags & mounts.MS_RDONLY)
        try:
            (_read_only if read_only else mounts.make_private)(tree)
            mounts.attach(tree, target)
        except OSError as err:
            if err.errno != errno.ENOSYS:  # before 5.12 a mount changes only where it is attached
                raise
            _attach_then_change(start.root_fd, destination, tree, target, read_only=read_only)
        os.close(tree)
        os.close(target)
        return
    target = open_target(start.root_fd, destination, directory=True)
    where = mounts.fd_path(target)
    if kind == "cgroup":
        _mount_cgroup(where, flags)
    else:
        mounts.mount(entry.get("source", kind), where, kind, flags, data)
    os.close(target)
    if kind == "tmpfs" and destination == "/dev":
        _fill_dev(start)


def _read_only(tree: int) -> None:
    mounts.make_read_only(tree, recursive=True)


def _attach_then_change(root_fd: int, destination: str, tree: int, target: int, *, read_only: bool) -> None:
    mounts.attach(tree, target)
    fd = files.open_in_root(root_fd, destination, os.O_PATH)
    mounts.keep_private(mounts.fd_path(fd))
    if read_only:
        mounts.mount(None, mounts.fd_path(fd), None, mounts.MS_REMOUNT | mounts.MS_BIND | mounts.MS_RDONLY)
    os.close(fd)


def _mount_cgroup(where: str, flags: int) -> None:
    """Show the container its cgroup; where the kernel has only v1, an empty directory."""
    try:
        mounts.mount("cgroup", where, "cgroup2", flags)
    except OSError:
        mounts.mount("tmpfs", where, "tmpfs", flags, "size=0,mode=755")


def open_target(root_fd: int, path: str, *, directory: bool) -> int:
    """Open ``path`` inside the root, and make it and its parents where they are missing."""
    try:
        return files.open_in_root(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        pass
    parts = [p for p in path.split("/") if p]
    parent = os.dup(root_fd)
    for depth, name in enumerate(parts, 1):
        so_far = "/".join(parts[:depth])
        try:
            fd = files.open_in_root(root_fd, so_far, os.O_PATH)
        except FileNotFoundError:
            if depth < len(parts) or directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))
            fd = files.open_in_root(root_fd, so_far, os.O_PATH)
        os.close(parent)
        parent = fd
    return parent


def _fill_dev(start: Start) -> None:
    dev = files.open_in_root(start.root_fd, "dev", os.O_PATH | os.O_DIRECTORY)
    for device in start.linux.get("devices", ()):
        name = device["path"].removeprefix("/dev/")
        kind = stat.S_IFCHR if device["type"] == "c" else stat.S_IFBLK
        os.mknod(name, kind | device.get("fileMode", 0o666), os.makedev(device["major"], device["minor"]), dir_fd=dev)
    for name, meaning in _DEV_LINKS:
        os.symlink(meaning, name, dir_fd=dev)
    os.close(dev)


def hide_paths(start: Start) -> None:
    """Make the listed paths read-only, cover the masked ones, and the root itself where asked."""
    for path in start.linux.get("readonlyPaths", ()):
        start.at = path
        fd = _existing(start.root_fd, path)
        if fd >= 0:
            tree = mounts.clone_tree("", recursive=True, dir_fd=fd)
            try:
                _read_only(tree)
                mounts.attach(tree, fd)
            except OSError as err:
                if err.errno != errno.ENOSYS:
                    raise
                _attach_then_change(start.root_fd, path, tree, fd, read_only=True)
            os.close(tree)
            os.close(fd)
    for path in start.linux.get("maskedPaths", ()):
        start.at = path
        fd = _existing(start.root_fd, path)
        if fd >= 0:
            _mask(start, fd)
            os.close(fd)
    if start.config["root"].get("readonly"):
        start.at = "/"
        mounts.mount(None, ".", None, mounts.MS_REMOUNT | mounts.MS_BIND | mounts.MS_RDONLY | mounts.MS_NODEV)


def _existing(root_fd: int, path: str) -> int:
    try:
        return files.open_in_root(root_fd, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _mask(start: Start, fd: int) -> None:
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        mounts.mount("tmpfs", mounts.fd_path(fd), "tmpfs", mounts.MS_RDONLY, "size=0")
    else:
        mounts.mount(mounts.fd_path(start.null_fd), mounts.fd_path(fd), None, mounts.MS_BIND)


def change_root(start: Start) -> None:
    """Make the assembled tree the root, and let the host's go with all that was mounted in it."""
    mounts.pivot_here()
