"""The ground that one run works on: a temporary directory with a busybox root file system in it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import Factory, define

from benchmarks import spawn
from benchmarks.runner import Runner

DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var")


@define(eq=False)
class Ground:
    """Where everything that a run makes lies; ids drawn from it are unique within the run."""

    path: Path
    rootfs: Path
    archive: Path
    runner: Runner
    _numbers: Iterator[int] = Factory(itertools.count)

    def fresh(self, stem: str) -> Path:
        """Return a path below the ground that does not exist yet."""
        return self.path / f"{stem}-{next(self._numbers)}"

    def number(self) -> int:
        """Return a number that was not given out before."""
        return next(self._numbers)


@contextmanager
def ground(parent: str) -> Iterator[Ground]:
    """Make the temporary directory below *parent* and start the runner; remove both at the end."""
    path = Path(tempfile.mkdtemp(prefix="tdb-", dir=parent))
    runner = Runner()
    try:
        rootfs = make_rootfs(path / "rootfs")
        archive = path / "busybox.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(rootfs, arcname=".")
        yield Ground(path, rootfs, archive, runner)
    finally:
        runner.close()
        shutil.rmtree(path, ignore_errors=True)


def make_rootfs(path: Path) -> Path:
    """Lay a root file system with a static busybox, a link for each of its commands, and the usual directories.

    Raises:
        FileNotFoundError: when there is no static busybox on this machine.
    """
    busybox = spawn.find("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox is missing: apt-get install busybox-static")
    for name in DIRECTORIES:
        (path / name).mkdir(parents=True)
    shutil.copy2(busybox, path / "bin/busybox")
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in set(listed) - {"busybox"}:
        (path / "bin" / name).symlink_to("busybox")
    (path / "tmp").chmod(0o1777)
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (path / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for name in ("hosts", "hostname", "resolv.conf"):
        (path / "etc" / name).touch()
    (path / "etc/os-release").write_text('ID=busybox\nNAME="busybox"\n')
    os.sync()
    return path
