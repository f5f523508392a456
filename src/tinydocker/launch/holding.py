"""The namespace in which workspaces are mounted, so that no mount of ours is ever in the host's.

It holds a small tmpfs and the workspaces, nothing of the host, and exists as long as the supervisor
has its descriptor: when the supervisor ends, however it ends, every workspace is unmounted. The
descriptors of the workspaces' roots serve the user's program as paths, and a container that runs
on a workspace gets a copy of its mount.

Source: mount_namespaces(7), setns(2), open_tree(2).
"""

from __future__ import annotations

import os
from typing import Any

from ..linux import mounts, process


class HoldingNamespace:
    """Mounts overlays out of the host's sight; for a process of one thread."""

    def __init__(self, scratch: str) -> None:
        """``scratch`` is an empty directory of the host that serves as a mount point."""
        self._scratch = scratch
        self._host = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._namespace = -1

    def mount(self, name: str, order: dict[str, Any]) -> int:
        """Mount the overlay of ``order`` as ``name`` and return a descriptor of its root."""
        layers = {t["path"]: self.clone(_tmpfs_name(t["name"])) for t in order["tmpfs"]}
        tree = self._detached_overlay(layers, order["lower"], order["upper"], order["work"])
        try:
            return self._keep(name, tree)
        finally:
            os.close(tree)

    def mount_tmpfs(self, name: str, size_bytes: int) -> int:
        """Mount a tmpfs for the writable layer ``name`` and return a descriptor of its upper directory."""
        process.enter(self._made(), process.CLONE_NEWNS)
        try:
            place = f"{self._scratch}/{_tmpfs_name(name)}"
            os.mkdir(place, 0o700)
            mounts.mount("tmpfs", place, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, f"size={size_bytes},mode=700")
            os.mkdir(f"{place}/upper", 0o755)
            os.mkdir(f"{place}/work", 0o755)
            return os.open(f"{place}/upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            process.enter(self._host, process.CLONE_NEWNS)

    def unmount_tmpfs(self, name: str) -> None:
        """Take the tmpfs of ``name`` away; overlays that stand on it keep it until they go."""
        self.unmount(_tmpfs_name(name))

    def _keep(self, name: str, tree: int) -> int:
        process.enter(self._made(), process.CLONE_NEWNS)
        try:
            place = f"{self._scratch}/{name}"
            os.mkdir(place, 0o700)
            target = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            mounts.attach(tree, target)
            os.close(target)
            return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            process.enter(self._host, process.CLONE_NEWNS)

    def clone(self, name: str) -> int:
        """Return a detached copy of the mount ``name``."""
        process.enter(self._made(), process.CLONE_NEWNS)
        try:
            return mounts.clone_tree(f"{self._scratch}/{name}", recursive=False)
        finally:
            process.enter(self._host, process.CLONE_NEWNS)

    def clone_root_of(self, container: int) -> int:
        """Return a detached copy of a running container's root, without what is mounted in it."""
        process.enter(container, process.CLONE_NEWNS)
        try:
            return mounts.clone_tree("/", recursive=False)
        finally:
            process.enter(self._host, process.CLONE_NEWNS)

    def unmount(self, name: str) -> None:
        """Take ``name`` away; it ends when nothing has a file of it open."""
        process.enter(self._namespace, process.CLONE_NEWNS)
        try:
            mounts.umount(f"{self._scratch}/{name}")
            os.rmdir(f"{self._scratch}/{name}")
        finally:
            process.enter(self._host, process.CLONE_NEWNS)

    def _made(self) -> int:
        if self._namespace >= 0:
            return self._namespace
        process.unshare(process.CLONE_NEWNS)
        try:
            mounts.keep_private()
            mounts.mount("tmpfs", self._scratch, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "size=1m,mode=700")
            os.makedirs(self._scratch + self._scratch, 0o700)
            namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            os.chdir(self._scratch)
            mounts.pivot_here()
            self._namespace = namespace
        finally:
            process.enter(self._host, process.CLONE_NEWNS)
        return self._namespace

    def _detached_overlay(self, layers: dict[str, int], lowerdirs: list[str], upperdir: str, workdir: str) -> int:
        """Return an overlay that is mounted nowhere: made in a copy of the host's namespace that is left at once."""
        process.unshare(process.CLONE_NEWNS)
        try:
            mounts.keep_private()
            for place, tree in layers.items():
                target = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                mounts.attach(tree, target)
                os.close(target)
                os.close(tree)
            mounts.mount_overlay(self._scratch, lowerdirs, upperdir, workdir)
            return mounts.clone_tree(self._scratch, recursive=False)
        finally:
            process.enter(self._host, process.CLONE_NEWNS)


def _tmpfs_name(name: str) -> str:
    return f"{name}.tmpfs"
