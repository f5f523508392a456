"""What the peers leave on a host outside of the directories that they were given, and its removal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# an empty file system is mounted over each of them, in the peers' mount namespace alone
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
    """Keep the host as it was: give the peers directories to hide, and remove the cgroups that they leave.

    What was there at the start stays, and so does what is not empty: it is somebody else's.
    """
    made = []
    for path in DIRECTORIES:
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.mkdir(path)
            made.append(path)
    cgroups = _cgroups()
    try:
        yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        for cgroup in _cgroups() - cgroups:
            _remove_cgroup(cgroup)
