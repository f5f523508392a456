"""Show tinydocker at work: the command line on a busybox archive, then the library on this machine's root.

    python tools/demo.py

Everything is kept in a temporary directory and is gone at the end.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import make_busybox

COMMAND = (
    "tinydocker run -i -v /etc:/ro_dir:ro -v /var:/rw_dir -e a=aval -e b=bval -n test_container busybox.tar.xz /bin/sh"
)
TYPED = """\
echo "I am process $$ on $(hostname), and a=$a, b=$b"
echo "the host's passwd has $(wc -l < /ro_dir/passwd) lines here"
touch /ro_dir/mark 2>/dev/null || echo "/ro_dir is read-only"
ls -d /rw_dir/lib
touch /mark && echo "the image's root can be written, in a layer of this container's own"
ps
"""
LIBRARY = """\
import tinydocker as td

with td.Container(td.Image.host(), ["sleep", "60"]) as box:
    box.exec(["sh", "-c", "echo changed > /etc/motd"], check=True)
    print("in the container:", box.exec(["cat", "/etc/motd"], check=True).stdout.strip())
    print("changed:", *(change.path for change in box.changes()))
    print("processes:", *(process.command for process in box.top()))
done = td.run("host", ["python3", "-c", "print(6 * 7)"], check=True)
print("python3 in a second one:", done.stdout.strip(), f"after {done.duration * 1000:.0f} ms")
"""


def main() -> int:
    """Run both halves; return the first exit code that is not 0."""
    if os.geteuid() != 0:
        print("the demo makes containers and needs root: run it with sudo", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tinydocker-demo-") as name:
        folder = Path(name)
        make_busybox.make_archive(folder / "busybox.tar.xz")
        environment = {
            **os.environ,
            "TINYDOCKER_ROOT": str(folder / "root"),
            "TINYDOCKER_RUN_ROOT": str(folder / "run"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return show(COMMAND, TYPED, folder, environment) or show_library(folder, environment)


def show(command: str, typed: str, folder: Path, environment: dict[str, str]) -> int:
    """Run a command line and type something into it."""
    print(f"# {command}", flush=True)
    return subprocess.run(shlex.split(command), input=typed.encode(), cwd=folder, env=environment).returncode


def show_library(folder: Path, environment: dict[str, str]) -> int:
    """Run a program that uses the library."""
    print(f"\n# python\n{LIBRARY}", flush=True)
    return subprocess.run([sys.executable, "-c", LIBRARY], cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
