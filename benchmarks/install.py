"""Install the peers from Debian, without starting a service.

``python -m benchmarks.install`` as root on Debian; elsewhere, or as an ordinary user, it says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = {
    "bwrap": "bubblewrap",
    "crun": "crun",
    "runc": "runc",
    "podman": "podman",
    "dockerd": "docker.io",
    "systemd-nspawn": "systemd-container",
    "busybox": "busybox-static",
    "zstd": "zstd",
    "xz": "xz-utils",
    "nsenter": "util-linux",
}
POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """Return the packages whose program is not on this machine."""
    return [package for program, package in PROGRAMS.items() if not shutil.which(program, path=SYSTEM_PATH)]


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services, as Debian's invoke-rc.d lets an administrator do.

    A policy that is there already is left as it is.
    """
    try:
        policy = os.open(POLICY, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
    except FileExistsError:
        yield
        return
    try:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _apt(*words: str) -> bool:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return not subprocess.run(["apt-get", "--quiet", "--yes", *words], env=env, check=False).returncode


def install(packages: Sequence[str]) -> None:
    """Install together what can be had together, else one by one, so that one that is missing stops no other."""
    with no_service_starts():
        _apt("update")
        options = ("install", "--no-install-recommends")
        if not _apt(*options, *packages):
            for package in packages:
                _apt(*options, package)


def main() -> int:
    """Install what is missing; a peer that cannot be had is no failure, the table lists it as absent."""
    packages = missing()
    if packages and (os.geteuid() or not shutil.which("apt-get")):
        print(f"to measure beside the peers, install: {' '.join(packages)}", file=sys.stderr)
        return 0
    if packages:
        install(packages)
    if remaining := missing():
        print(f"not to be had here: {' '.join(remaining)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
