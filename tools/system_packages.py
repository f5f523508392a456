"""Install the Debian packages that a job needs, or say which ones to install.

    python tools/system_packages.py tests

On Debian and its kin, as root, whatever is missing is installed and nothing else is touched:
no upgrade, no removal, no recommendation followed. Elsewhere, and for an ordinary user, the
command that mends it is printed and the exit code is 1. When nothing is missing it is silent.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

# group -> package -> a program by which it is recognised where there is no dpkg
PACKAGES: dict[str, dict[str, str]] = {
    "tests": {
        "busybox-static": "busybox",
        "bzip2": "bzip2",
        "tar": "tar",
        "util-linux": "unshare",
        "xz-utils": "xz",
        "zstd": "zstd",
    },
}
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "--no-upgrade", "--no-remove")


def main(groups: list[str]) -> int:
    """Install or name what the groups need; return the exit code."""
    unknown = [group for group in groups if group not in PACKAGES]
    if unknown or not groups:
        print(f"usage: system_packages.py GROUP...   groups: {', '.join(PACKAGES)}", file=sys.stderr)
        return 2
    for group in groups:
        code = provide(PACKAGES[group])
        if code:
            return code
    return 0


def provide(packages: dict[str, str]) -> int:
    """Make the packages present; return 0 when they are, else 1 after having said what to do."""
    wanted = missing(packages)
    if not wanted:
        return 0
    if not shutil.which("apt-get"):
        programs = ", ".join(packages[name] for name in wanted)
        print(f"missing programs: {programs} (Debian's packages: {' '.join(wanted)})", file=sys.stderr)
        return 1
    if os.geteuid() == 0 and install(wanted):
        return 0
    print(f"missing Debian packages; install them as root with:\n  {shlex.join([*INSTALL, *wanted])}", file=sys.stderr)
    return 1


def missing(packages: dict[str, str]) -> list[str]:
    """Return the packages that are not installed, in order."""
    if not shutil.which("dpkg-query"):
        return [name for name, program in packages.items() if not shutil.which(program)]
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    done = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8")
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name not in installed]


def install(names: list[str]) -> bool:
    """Install with apt-get, refreshing its lists only when the first try fails."""
    print(f"installing {' '.join(names)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quietly = ["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    install_them = [*INSTALL, *quietly, *names]
    for attempt in (install_them, ["apt-get", "update", *quietly], install_them):
        done = subprocess.run(attempt, env=environment, stdin=subprocess.DEVNULL)
        if attempt is install_them and done.returncode == 0:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
