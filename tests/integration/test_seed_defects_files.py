"""The defects of the seed program that concern files, each by its number: none of them is back.

1 removal and volumes, 6 targets of volumes, 14 failed unpacks, 15 the root and what is in it,
16 commit and volumes, 17 paths, files, variables.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest

import supervisors
import tinydocker as td
from commandline import CommandLine
from programs import Program

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


@pytest.fixture(autouse=True)
def supervisors_have_left(roots):
    yield
    supervisors.await_end(roots.token)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Give a tree of the host that has to be as it was at the end."""
    tree = tmp_path / "canary"
    (tree / "sub/deeper").mkdir(parents=True)
    for name in ("one", "sub/two", "sub/deeper/three"):
        (tree / name).write_text(name)
    return tree


def content(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in sorted(tree.rglob("*")) if path.is_file()}


@pytest.fixture
def image(busybox_dir: Path, tmp_path: Path) -> Path:
    """Give an image of the test's own, as a directory."""
    shutil.copytree(busybox_dir, tmp_path / "image", symlinks=True)
    return tmp_path / "image"


# -- 1 -------------------------------------------------------------------------------------------


def test_defect_01_removing_a_container_never_touches_what_is_under_a_volume(engine, busybox_dir, canary, tmp_path):
    inner = tmp_path / "inner"
    shutil.copytree(canary, inner)
    before = content(canary)
    options = {
        "volumes": [(canary, "/v"), (inner, "/v/sub"), (canary, "/v/sub/deeper", "ro"), (canary / "one", "/file")]
    }
    for end in ("close", "force", "kill", "stop and remove"):
        container = engine.container(busybox_dir, FOREVER, auto_remove=False, **options).start()
        # It is busy in every way: a working directory, an open file, a mount of its own below.
        busy = container.popen(["sh", "-c", "cd /v/sub/deeper && exec 9< /v/one && echo busy && exec sleep 1000"])
        assert busy.stdout.readline() == "busy\n"
        if end == "force":
            container.remove(force=True)
        elif end == "kill":
            container.kill()
            container.wait()
            container.remove()
        else:
            container.stop(0)
            container.remove()
        busy.close()
        assert content(canary) == before
        assert content(inner) == before
    assert sorted(os.listdir(canary)) == ["one", "sub"]


def test_defect_01_rm_prune_and_the_tidying_of_the_next_engine_spare_what_is_mounted(
    cli: CommandLine, busybox_dir, canary
):
    before = content(canary)
    cli(
        "run",
        "-d",
        "-n",
        "web",
        "-v",
        f"{canary}:/v",
        "-v",
        f"{canary}/sub:/v/deeper",
        busybox_dir,
        *FOREVER,
        check=True,
    )
    assert cli("rm", "web").returncode == 1
    cli("rm", "-f", "web", check=True)
    cli("run", "-v", f"{canary}:/v", "-n", "again", busybox_dir, "true", check=True)
    cli("prune", check=True)
    assert content(canary) == before


def test_defect_01_a_mount_in_what_is_removed_is_left_alone(busybox_dir, canary):
    """Somebody has mounted something of the host where a container's directory is thrown away."""
    code = """
        from tinydocker.linux import mounts, process
        process.unshare(process.CLONE_NEWNS)  # what is mounted here is seen by nobody else
        mounts.keep_private()
        engine = td.Engine(); engine.open()
        other = td.Container(image, ["sleep", "1000"], engine=engine).start()
        for name in ("kept", "gone"):
            container = td.Container(image, ["sleep", "1000"], name=name, engine=engine, auto_remove=name == "gone").start()
            upper = container._made.directory.upper
            os.mkdir(upper + "/victim")
            mounts.mount(sys.argv[2], upper + "/victim", None, mounts.MS_BIND)
            try:
                container.remove(force=True) if name == "kept" else container.close()
            except OSError as err:
                say("refused", err.errno)
            else:
                say("done")
        td.Engine().open()  # sweeps
        say(other.exec(["echo", "alive"]).stdout.strip())
        other.close()
        for mount in [line.split()[4] for line in open("/proc/self/mountinfo") if "victim" in line]:
            mounts.umount(mount)
        td.Engine().open()
        engine.close()
        say(os.listdir(engine.paths.trash))
    """
    before = content(canary)
    with Program(code, busybox_dir, canary) as program:
        assert program.line() in ("refused 16", "done")
        assert program.line() in ("refused 16", "done")
        assert content(canary) == before
        assert program.line() == "alive"
        assert program.line() == "[]"
        assert program.wait() == 0
    assert content(canary) == before


# -- 6 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/link", "/link/below", "/dots", "/dots/below", "/../../x"])
def test_defect_06_targets_resolve_inside_of_the_container_alone(engine, image, canary, tmp_path, target):
    (image / "link").symlink_to(canary)
    (image / f".{canary}/sub").mkdir(parents=True)
    (image / "dots").symlink_to("../" * 20 + f"{canary}/sub"[1:])
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine").write_text("mine")
    before = (content(canary), sorted(os.listdir(tmp_path)))
    try:
        done = engine.run(image, ["sh", "-c", f"cat {target}/mine"], volumes={tmp_path / "data": target})
        assert done.stdout == "mine"
    except td.InvalidSpec:
        assert ".." in target
    assert (content(canary), sorted(os.listdir(tmp_path))) == before


# -- 14 ------------------------------------------------------------------------------------------


@pytest.mark.leaves("images")
def test_defect_14_a_failed_unpack_is_never_an_image(cli: CommandLine, engine, busybox, tmp_path):
    whole = busybox.read_bytes()
    damaged = tmp_path / "image.tar.xz"
    for data in (whole[: len(whole) // 2], whole[:-8], whole[:5000] + bytes(64) + whole[5064:], b"", b"not an archive"):
        damaged.write_bytes(data)
        for _ in range(2):  # the second must not find what the first has left
            with pytest.raises(td.ImageCorrupt, match=r"image\.tar\.xz"):
                engine.run(damaged, ["true"])
        done = cli("run", damaged, "true")
        assert done.returncode == 125 and "image.tar.xz" in done.stderr
        assert cli("images", "-q").stdout == ""
    damaged.write_bytes(whole)
    assert engine.run(damaged, ["echo", "whole"]).stdout == "whole\n"


def test_defect_14_a_missing_image_does_not_succeed(cli: CommandLine, engine, tmp_path):
    for name in ("nowhere.tar", str(tmp_path / "nowhere"), str(tmp_path / "nowhere.tar.xz")):
        with pytest.raises(td.ImageNotFound, match="nowhere"):
            engine.run(name, ["true"])
        done = cli("run", "-n", "web", name, "true")
        assert done.returncode == 125 and "nowhere" in done.stderr
    assert cli("ps", "-aq").stdout == ""


# -- 15 ------------------------------------------------------------------------------------------


def test_defect_15_other_users_can_use_the_root(engine, busybox_dir):
    script = (
        "ls / >/dev/null && cat /etc/passwd >/dev/null && touch /tmp/mine && echo x > /dev/null && stat -c %a / /tmp"
    )
    for user in ("1000:1000", "nobody", "app"):
        done = engine.run(busybox_dir, ["sh", "-c", script], user=user)
        assert (done.returncode, done.stdout) == (0, "755\n1777\n"), done.stderr


def test_defect_15_there_are_dev_proc_sys_tmp_a_host_name_and_name_service_files(engine, busybox_dir, tmp_path):
    checks = "test -c /dev/null && test -r /proc/self/status && test -d /sys/kernel && test -d /tmp && test -w /tmp"
    names = 'hostname; cat /etc/hostname; grep -c "127.0.0.1.*localhost" /etc/hosts; test -f /etc/resolv.conf && echo "$PATH"'
    bare = tmp_path / "bare"  # an image that lacks them all
    (bare / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", bare / "bin/busybox")
    os.symlink("busybox", bare / "bin/sh")
    for program in ("test", "hostname", "cat", "grep"):
        os.symlink("busybox", bare / "bin" / program)
    for root in (busybox_dir, bare):
        done = engine.run(root, ["sh", "-c", f"{checks} && {names}"], hostname="web")
        assert done.stdout.splitlines()[:3] == ["web", "web", "1"], done.stderr
        assert "/bin" in done.stdout.splitlines()[3].split(":")
    assert sorted(os.listdir(bare)) == ["bin"]


# -- 16 ------------------------------------------------------------------------------------------


@pytest.mark.leaves("volumes")
def test_defect_16_commit_holds_nothing_of_volumes_or_of_the_kernel(cli: CommandLine, busybox_dir, canary, tmp_path):
    words = b"words of the volumes alone"
    (canary / "secret").write_bytes(words)
    volumes = [
        "-v",
        f"{canary}:/v",
        "-v",
        f"{canary}/secret:/etc/motd",
        "-v",
        f"{canary}/sub:/made/here",
        "-v",
        "store:/named",
    ]
    script = "echo kept > /kept; cp /v/secret /named/x; echo t > /tmp/t; echo up; exec sleep 1000"
    cli("run", "-d", "-n", "web", *volumes, "--tmpfs", "/scratch", busybox_dir, "sh", "-c", script, check=True)
    while cli("logs", "web").stdout != "up\n":
        pass
    cli("exec", "web", "sh", "-c", "cp /v/secret /scratch/s; cp /v/secret /dev/shm/d", check=True)
    for state in ("running", "exited"):
        archive = tmp_path / f"{state}.tar"
        cli("commit", "web", archive, check=True)
        assert words not in archive.read_bytes()
        with tarfile.open(archive) as tar:
            members = {member.name.strip("./"): member for member in tar}
        assert "kept" in members and "tmp/t" in members
        below = [name for name in members if re.match(r"(v|named|made/here|scratch|proc|sys|dev)/.", name)]
        assert below == []
        if state == "running":
            cli("stop", "-t", "0", "web", check=True)
    cli("rm", "web", check=True)


# -- 17 ------------------------------------------------------------------------------------------

ODD = "a:b,c\\d e\"'$;\n=é"


def test_defect_17_any_path_serves_as_image_volume_and_root(busybox_dir, tmp_path):
    base = tmp_path / ODD
    base.mkdir()
    shutil.copytree(busybox_dir, base / "image", symlinks=True)
    (base / "data").mkdir()
    (base / "data/file").write_text("known")
    with td.Engine(root=base / "root", run_root=base / "run") as engine:
        volumes = [(base / "data", "/d"), (base / "data/file", "/etc/motd")]
        done = engine.run(base / "image", ["sh", "-c", "cat /d/file /etc/motd; echo new > /written"], volumes=volumes)
        assert (done.returncode, done.stdout) == (0, "knownknown")
        with engine.workspace(base / "image") as space, space.fork() as twin:
            (twin.path / "file").write_text("x")
            assert [change.path for change in twin.changes()] == ["/file"]
    assert not (base / "image/written").exists()


def test_defect_17_a_file_can_be_a_volume(cli: CommandLine, busybox_dir, canary):
    line = ["-v", f"{canary}/one:/etc/motd:ro", "-v", f"{canary}/sub/two:/new/place"]
    done = cli(
        "run", "--rm", *line, busybox_dir, "sh", "-c", "cat /etc/motd; echo more >> /new/place; echo x > /etc/motd"
    )
    assert done.stdout == "one" and "Read-only" in done.stderr
    assert (canary / "sub/two").read_text() == "sub/twomore\n" and (canary / "one").read_text() == "one"


def test_defect_17_variables_lose_nothing_and_a_bare_name_is_the_callers(cli: CommandLine, busybox_dir, monkeypatch):
    monkeypatch.setenv("FOO", "of the caller")
    monkeypatch.delenv("NOT_SET", raising=False)
    long = "x" * 100_000  # no fixed buffer anywhere
    options = [
        word for pair in ("FOO", "NOT_SET", "A=", "B=b=c", "C=two\nlines", f"LONG={long}") for word in ("-e", pair)
    ]
    script = 'printf "%s|" "$FOO" "${NOT_SET-unset}" "${A-unset}" "$B" "$C"; echo ${#LONG}'
    done = cli("run", "--rm", *options, busybox_dir, "sh", "-c", script)
    assert done.stdout == "of the caller|unset||b=c|two\nlines|100000\n", done.stderr
    for bad in ("=x", ""):
        refused = cli("run", "--rm", "-e", bad, busybox_dir, "true")
        assert refused.returncode == 125 and refused.stderr.count("\n") == 1


def test_defect_17_nothing_has_a_fixed_length(engine, busybox_dir, tmp_path):
    deep = tmp_path
    for _ in range(8):
        deep /= "d" * 200
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    many = {f"/v/{number}": "" for number in range(60)}
    words = [str(number) for number in range(5000)]
    done = engine.run(
        busybox_dir,
        ["sh", "-c", "cat /deep/file; ls /v | wc -l; echo $#", "sh", *words],
        volumes={deep: "/deep"},
        tmpfs=many,
    )
    assert done.stdout.split() == ["deep60", "5000"], done.stderr
