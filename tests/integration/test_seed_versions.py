"""What each version of the seed program gives, as far as this issue goes: 1, 3 to 12 (limits and networks come later)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import supervisors
from commandline import CommandLine

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]
UP = ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"]


@pytest.fixture(autouse=True)
def supervisors_have_left(roots):
    yield
    supervisors.await_end(roots.token)


@pytest.fixture
def image(busybox_dir: Path, tmp_path: Path) -> Path:
    """Give an image of the test's own, as a directory."""
    shutil.copytree(busybox_dir, tmp_path / "image", symlinks=True)
    return tmp_path / "image"


def detached(cli: CommandLine, image: Path, command: list[str], name: str, *options: str) -> None:
    """Start a container in the background that says ``up``, and wait for that."""
    cli("run", "-d", "-n", name, *options, image, *command, check=True)
    with subprocess.Popen(cli.command("logs", "-f", name), stdout=subprocess.PIPE, env=cli.environment) as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"up\n"
        follower.kill()


def test_version_01_a_command_in_namespaces_of_its_own(cli: CommandLine, busybox_dir):
    kinds = ("mnt", "pid", "uts", "ipc", "net", "cgroup")
    script = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds) + "; echo $$"
    *inside, pid = cli("run", "--rm", busybox_dir, "sh", "-c", script, check=True).stdout.split()
    assert pid == "1"
    assert not {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds} & set(inside)


def test_version_03_and_04_the_image_stays_as_it_was(engine, image):
    def state() -> list[tuple[str, int, int, int]]:
        return [
            (str(path), (found := path.lstat()).st_mtime_ns, found.st_mode, found.st_size)
            for path in sorted(image.rglob("*"))
        ]

    before = state()
    script = "echo new > /new; rm -r /etc/passwd /bin/cat; echo x >> /etc/group; chmod 777 /etc; mkdir -p /a/b"
    assert engine.run(image, ["sh", "-c", script]).returncode == 0
    assert engine.run(image, ["sh", "-c", "test -e /new || cat /etc/passwd"]).stdout.startswith("root:")
    assert state() == before


@pytest.mark.leaves("images")
def test_version_04_an_archive_is_unpacked_once_and_shared(cli: CommandLine, busybox, tmp_path, roots):
    copy = tmp_path / "elsewhere.tar.xz"
    shutil.copy(busybox, copy)
    for archive in (busybox, copy, busybox):
        cli("run", "-d", archive, *FOREVER, check=True)
    assert len([name for name in os.listdir(roots.root / "layers") if not name.startswith(".")]) == 1
    for name in cli("ps", "-q").stdout.split():
        cli("rm", "-f", name, check=True)


def test_version_05_several_volumes_each_its_own_way(cli: CommandLine, busybox_dir, tmp_path):
    options = []
    for name, mode in (("a", ""), ("b", ":rw"), ("c", ":ro")):
        (tmp_path / name).mkdir()
        options += ["-v", f"{tmp_path / name}:/{name}{mode}"]
    done = cli(
        "run",
        "--rm",
        *options,
        busybox_dir,
        "sh",
        "-c",
        "for v in a b c; do echo $v > /$v/new || echo refused $v; done",
    )
    assert done.stdout == "refused c\n"
    assert [os.listdir(tmp_path / name) for name in "abc"] == [["new"], ["new"], []]


def test_version_06_what_was_committed_runs_as_an_image(cli: CommandLine, busybox_dir, tmp_path):
    archive = tmp_path / "saved.tar"
    assert (
        cli(
            "run", "-n", "web", busybox_dir, "sh", "-c", "echo state > /kept; rm /etc/motd; chmod 4755 /bin/busybox"
        ).returncode
        == 0
    )
    cli("commit", "web", archive, check=True)
    cli("rm", "web", check=True)
    done = cli("run", "--rm", archive, "sh", "-c", "cat /kept; test -e /etc/motd || echo gone; stat -c %a /bin/busybox")
    assert done.stdout == "state\ngone\n4755\n", done.stderr
    cli("prune", check=True)


def test_version_07_and_08_ps_and_top_have_its_columns_and_show_what_exec_has_started(cli: CommandLine, busybox_dir):
    detached(cli, busybox_dir, UP, "web")
    cli("run", "-n", "ended", busybox_dir, "true", check=True)
    cli("exec", "-d", "web", "sleep", "4321", check=True)
    header, *rows = cli("ps", check=True).stdout.splitlines()
    assert header.split() == ["CONTAINER_ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"]
    assert [row.split()[-1] for row in rows] == ["web"]
    assert {row.split()[-1] for row in cli("ps", "-a", check=True).stdout.splitlines()[1:]} == {"web", "ended"}
    header, *rows = cli("top", "web", check=True).stdout.splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert any(row.endswith("sleep 4321") for row in rows)
    cli("rm", "-f", "web", "ended", check=True)


def test_version_09_and_11_exec_runs_inside_with_its_variables(cli: CommandLine, busybox_dir):
    detached(cli, busybox_dir, UP, "web", "-e", "A=run")
    done = cli("exec", "-e", "B=exec", "web", "sh", "-c", "echo $A $B; cat /proc/1/cmdline | tr '\\0' ' '; exit 6")
    assert (done.returncode, done.stdout.splitlines()[0]) == (6, "run exec")
    assert "trap" in done.stdout
    cli("rm", "-f", "web", check=True)


def test_version_10_stop_takes_several_names_and_a_name_is_checked_before_the_run(
    cli: CommandLine, busybox_dir, tmp_path
):
    (tmp_path / "out").mkdir()
    for name in ("one", "two"):
        detached(cli, busybox_dir, UP, name)
    refused = cli("run", "-n", "one", "-v", f"{tmp_path}/out:/out", busybox_dir, "touch", "/out/ran")
    assert refused.returncode == 125 and "one" in refused.stderr and os.listdir(tmp_path / "out") == []
    assert cli("stop", "one", "two").stdout == "one\ntwo\n"
    assert cli("rm", "one", "two").stdout == "one\ntwo\n"


def test_version_12_the_end_of_what_runs_in_the_background_is_recorded_though_nobody_waits(
    cli: CommandLine, busybox_dir
):
    assert cli("run", "-d", "-i", busybox_dir, "true").returncode == 125
    script = "echo out; echo err >&2; exit 9"
    cli("run", "-d", "-n", "job", busybox_dir, "sh", "-c", script, check=True)
    supervisors.await_end(cli.roots.token)  # nobody has asked; it has left because all was done
    assert "Exited (9)" in cli("ps", "-a").stdout
    done = cli("logs", "job")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    cli("rm", "job", check=True)
