"""The project's own tools: the busybox archive, and the packages that are installed or named."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import make_busybox

SYSTEM_PACKAGES = Path(__file__).parents[2] / "tools/system_packages.py"


@pytest.mark.needs("busybox")
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_the_archive_is_a_root_filesystem(tmp_path: Path, suffix: str) -> None:
    path = make_busybox.make_archive(tmp_path / f"busybox{suffix}")
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive}
    assert members["tmp"].mode == 0o1777
    assert members["bin/busybox"].isreg()
    assert members["bin/sh"].islnk() and members["bin/sh"].linkname == "bin/busybox"
    assert {"etc/passwd", "etc/group", "home", "root", "sbin", "usr/bin", "usr/sbin", "var"} <= members.keys()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.needs("busybox")
def test_the_archive_is_the_same_every_time(tmp_path: Path) -> None:
    first = make_busybox.make_archive(tmp_path / "1.tar.xz")
    second = make_busybox.make_archive(tmp_path / "2.tar.xz")
    assert first.read_bytes() == second.read_bytes()


def test_a_failure_leaves_no_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_busybox.make_archive(tmp_path / "busybox.tar", tmp_path / "none")
    assert os.listdir(tmp_path) == []


class Debian:
    """A directory with a dpkg-query and an apt-get that are small scripts, and what they were told."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.installed = folder / "installed"
        self.fail = folder / "fail"
        for path in (self.calls, self.installed):
            path.touch()
            path.chmod(0o666)
        folder.chmod(0o755)
        self.program("dpkg-query", f'/usr/bin/sed "s/$/ installed/" {self.installed}')
        self.program(
            "apt-get", f'echo "$@" >> {self.calls}; test ! -e {self.fail} || {{ /bin/rm {self.fail}; exit 100; }}'
        )

    def program(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def run(self, *groups: str, as_nobody: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the tool; as nobody it is in a user namespace that maps no user, and may read all that we may."""
        nobody = ["/usr/bin/unshare", "--user", "--"] if as_nobody else []
        return subprocess.run(
            [*nobody, sys.executable, "-S", SYSTEM_PACKAGES, *groups],
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    def told(self) -> list[str]:
        return self.calls.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


TESTS_PACKAGES = ["busybox-static", "bzip2", "tar", "util-linux", "xz-utils", "zstd"]


def test_nothing_is_done_or_said_when_all_is_there(debian: Debian) -> None:
    debian.installed.write_text("\n".join(TESTS_PACKAGES) + "\n", encoding="utf-8")
    done = debian.run("tests")
    assert (done.returncode, done.stdout, done.stderr, debian.told()) == (0, "", "", [])


@pytest.mark.needs("root")
def test_root_installs_what_is_missing_and_nothing_else(debian: Debian) -> None:
    debian.installed.write_text("\n".join(TESTS_PACKAGES[1:]) + "\n", encoding="utf-8")
    assert debian.run("tests").returncode == 0
    (call,) = debian.told()
    assert call.startswith("install -y --no-install-recommends --no-upgrade --no-remove ")
    assert call.endswith(" busybox-static")
    assert "zstd" not in call


@pytest.mark.needs("root")
def test_the_lists_are_refreshed_only_after_a_failure(debian: Debian) -> None:
    debian.fail.touch()
    assert debian.run("tests").returncode == 0
    assert [call.split()[0] for call in debian.told()] == ["install", "update", "install"]


@pytest.mark.needs("userns")
def test_somebody_else_is_told_the_command(debian: Debian) -> None:
    done = debian.run("tests", as_nobody=True)
    assert done.returncode == 1
    assert (
        f"apt-get install -y --no-install-recommends --no-upgrade --no-remove {' '.join(TESTS_PACKAGES)}" in done.stderr
    )
    assert debian.told() == []


def test_where_there_is_no_debian_the_programs_are_named(debian: Debian) -> None:
    (debian.bin / "dpkg-query").unlink()
    (debian.bin / "apt-get").unlink()
    debian.program("tar", ":")
    done = debian.run("tests")
    assert done.returncode == 1
    assert "missing programs: busybox, bzip2, unshare, xz, zstd" in done.stderr


def test_an_unknown_group_is_refused(debian: Debian) -> None:
    assert debian.run("everything").returncode == 2
