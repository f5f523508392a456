"""Make a root filesystem archive from the statically linked busybox of this machine.

    python tools/make_busybox.py busybox.tar.xz

The archive holds busybox once, a hard link to it for every applet, the customary directories
and the files that name users and groups. It is the same, byte for byte, whenever the same
busybox is put in. The compression follows the name: .tar, .tar.gz, .tar.bz2 or .tar.xz.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Literal

DIRECTORIES = {
    "bin": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "home/app": 0o755,
    "root": 0o700,
    "sbin": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/tmp": 0o1777,
}
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = """\
root:x:0:
daemon:x:1:
tty:x:5:
users:x:100:app
www-data:x:33:
app:x:1000:
nogroup:x:65534:
"""
APP_ID = 1000

Compression = Literal["w", "w:gz", "w:bz2", "w:xz"]
MODES: dict[str, Compression] = {".tar": "w", ".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}


def make_archive(path: Path, busybox: Path = Path("/bin/busybox")) -> Path:
    """Write the archive beside ``path``, then move it there; return ``path``."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with tarfile.open(partial, MODES[path.suffix], format=tarfile.GNU_FORMAT) as archive:
            for member, content in members(busybox):
                archive.addfile(member, io.BytesIO(content))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def members(busybox: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return what goes into the archive, in order."""
    found = [(directory(name, mode), b"") for name, mode in DIRECTORIES.items()]
    found.append(regular("bin/busybox", busybox.read_bytes(), 0o755))
    found.append(regular("etc/passwd", PASSWD.encode(), 0o644))
    found.append(regular("etc/group", GROUP.encode(), 0o644))
    found.extend((link(name, "bin/busybox"), b"") for name in applets(busybox))
    return found


def applets(busybox: Path) -> list[str]:
    """Return the path of every applet, relative to the root, busybox itself left out."""
    done = subprocess.run([busybox, "--list-full"], stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    known = {name for name in done.stdout.split() if str(Path(name).parent) in DIRECTORIES}
    return sorted(known - {"bin/busybox"})


def directory(name: str, mode: int) -> tarfile.TarInfo:
    """Return the member for a directory."""
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = mode
    if name == "home/app":
        member.uid = member.gid = APP_ID
    return member


def regular(name: str, content: bytes, mode: int) -> tuple[tarfile.TarInfo, bytes]:
    """Return the member and content of a regular file."""
    member = tarfile.TarInfo(name)
    member.mode = mode
    member.size = len(content)
    return member, content


def link(name: str, target: str) -> tarfile.TarInfo:
    """Return the member for a hard link."""
    member = tarfile.TarInfo(name)
    member.type = tarfile.LNKTYPE
    member.linkname = target
    member.mode = 0o755
    return member


def main(arguments: list[str]) -> int:
    """Make the archive that the command line names."""
    if len(arguments) != 1 or Path(arguments[0]).suffix not in MODES:
        print(f"usage: make_busybox.py NAME, which ends in one of {' '.join(MODES)}", file=sys.stderr)
        return 2
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        print("there is no /bin/busybox: install Debian's busybox-static", file=sys.stderr)
        return 1
    make_archive(Path(arguments[0]), busybox)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
