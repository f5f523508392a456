"""The root file system of a container, as its child assembles it: the overlay, and all that is mounted in it.

Targets are resolved inside the root alone, by descriptor, whatever links the image holds.

Source: the OCI runtime specification, config.md, "Mounts", and config-linux.md; mount_setattr(2).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from ..linux import files, mounts
from .start import Start

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
    mounts.keep_private()


def stage_file_systems(start: Start) -> None:
    """Mount the kernel's file systems on a stage of their own, as the root is not known yet."""
    start.at = start.template["root"]
    mounts.mount("tmpfs", start.at, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "size=64k,mode=700")
    start.stage_fd = os.open(start.at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for entry in start.template["mounts"]:
        start.at = entry["destination"]
        _mount(start.stage_fd, entry, -1)
        if start.at == "/dev":
            _fill_dev(start.stage_fd, start.template["linux"].get("devices", ()))


def mount_root(start: Start) -> None:
    """Mount the overlay, or the workspace's, over the stage and make it the place that paths resolve in."""
    start.at = target = start.template["root"]
    root = start.root
    if "tree" in root:
        mountpoint = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.attach(root["tree"], mountpoint)
        os.close(mountpoint)
    else:
        mounts.mount_overlay(target, root["lower"], root["upper"], root["work"])
    os.chdir(target)
    start.root_fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def take_staged(start: Start) -> None:
    """Move the staged file systems, with what is mounted in them, into the root."""
    for entry in start.template["mounts"]:
        if entry["destination"].count("/") == 1:
            start.at = entry["destination"]
            staged = files.open_in_root(start.stage_fd, start.at, os.O_PATH)
            target = open_target(start.root_fd, start.at, directory=True)
            mounts.attach(staged, target)
            os.close(staged)
            os.close(target)


def mount_rest(start: Start) -> None:
    """Mount the files for /etc, the volumes and what else is this container's own, in their order."""
    for entry in start.config.get("mounts", ()):
        start.at = entry["destination"]
        _mount(start.root_fd, entry, start.fds.get("tree:" + start.at, -1))


def _mount(root_fd: int, entry: dict[str, Any], tree: int) -> None:
    kind, destination = entry.get("type", "bind"), entry["destination"]
    flags, data = mounts.split_options(entry.get("options", ()))
    if kind == "bind":
        if tree < 0:
            tree = mounts.clone_tree(entry["source"], recursive="rbind" in entry["options"])
        target = open_target(root_fd, destination, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
        _attach(tree, target, read_only=bool(flags & mounts.MS_RDONLY))
        os.close(target)
        return
    target = open_target(root_fd, destination, directory=True)
    where = mounts.fd_path(target)
    if kind == "cgroup":
        _mount_cgroup(where, flags)
    else:
        mounts.mount(entry.get("source", kind), where, kind, flags, data)
    os.close(target)


def _attach(tree: int, target: int, *, read_only: bool) -> None:
    """Attach a detached tree, cut off from the host's mounts, and close it."""
    try:
        (_read_only if read_only else mounts.make_private)(tree)
        mounts.attach(tree, target)
    except OSError as err:
        if err.errno != errno.ENOSYS:  # before 5.12 a mount changes only where it is attached
            raise
        mounts.attach(tree, target)
        _change(mounts.fd_path(tree), read_only=read_only)
    os.close(tree)


def _read_only(tree: int) -> None:
    mounts.make_read_only(tree, recursive=True)


def _change(attached: str, *, read_only: bool) -> None:
    mounts.keep_private(attached)
    if read_only:
        mounts.mount(None, attached, None, mounts.MS_REMOUNT | mounts.MS_BIND | mounts.MS_RDONLY)


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
        above, _, name = path.strip("/").rpartition("/")
    parent = open_target(root_fd, above, directory=True)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError:
        raise RuntimeError(f"{name} is a link in the image to something that does not exist") from None
    finally:
        os.close(parent)
    return files.open_in_root(root_fd, path, os.O_PATH)


def _fill_dev(root_fd: int, devices: list[dict[str, Any]]) -> None:
    dev = files.open_in_root(root_fd, "dev", os.O_PATH | os.O_DIRECTORY)
    for device in devices:
        name = device["path"].removeprefix("/dev/")
        kind = stat.S_IFCHR if device["type"] == "c" else stat.S_IFBLK
        os.mknod(name, kind | device.get("fileMode", 0o666), os.makedev(device["major"], device["minor"]), dir_fd=dev)
    for name, meaning in _DEV_LINKS:
        os.symlink(meaning, name, dir_fd=dev)
    os.close(dev)


def hide_paths(start: Start) -> None:
    """Make the listed paths of the staged file systems read-only, and cover the masked ones."""
    linux = start.template["linux"]
    for path in linux.get("readonlyPaths", ()):
        start.at = path
        fd = _existing(start.stage_fd, path)
        if fd >= 0:
            _attach(mounts.clone_tree("", recursive=True, dir_fd=fd), fd, read_only=True)
            os.close(fd)
    for path in linux.get("maskedPaths", ()):
        start.at = path
        fd = _existing(start.stage_fd, path)
        if fd >= 0:
            _mask(start, fd)
            os.close(fd)


def protect_root(start: Start) -> None:
    """Make the root itself read-only where that is asked for."""
    start.at = "/"
    if start.config["root"].get("readonly"):
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
