"""What the peers leave on a host outside of the directories that they were given, and its removal."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
DIRECTORIES = ("/etc/cni", "/etc/docker", "/opt/containerd", "/var/cache/containers", "/var/lib/containers")
PARENTS = ("docker", "libpod_parent", "payload", "supervisor", "tdb-*")  # docker's, podman's, nspawn's, crun's of ours


def _cgroups() -> set[Path]:
    if not CGROUPS.is_dir():
        return set()
    hierarchies = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())]
    return {found for hierarchy in hierarchies for name in PARENTS for found in hierarchy.glob(name) if found.is_dir()}


def _remove_cgroup(path: Path) -> None:
    for directory, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):  # busy: its process is another's
            os.rmdir(directory)


@contextmanager
def removed() -> Iterator[None]:
    """Remove at the end what peers are known to leave behind, where it was not there at the start."""
    directories = [path for path in DIRECTORIES if not os.path.exists(path)]
    cgroups = _cgroups()
    try:
        yield
    finally:
        for path in directories:
            shutil.rmtree(path, ignore_errors=True)
        for cgroup in _cgroups() - cgroups:
            _remove_cgroup(cgroup)
