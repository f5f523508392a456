"""A start that fails half-way leaves nothing: no directory, name, process, lease or descriptor."""

from __future__ import annotations

import os
import shutil

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

TRUE = ["true"]


def failing(tmp_path):
    """Return for each way to fail the options, the error and a word of its message."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    return {
        "a command that is missing": ({"command": ["no-such"]}, td.CommandNotFound, "no-such"),
        "a command that cannot be executed": ({"command": ["/etc/passwd"]}, td.CommandNotExecutable, "/etc/passwd"),
        "an unknown user": ({"user": "ghost"}, td.StartFailed, "ghost"),
        "a working directory through a file": ({"workdir": "/etc/passwd/x"}, td.StartFailed, "/etc/passwd/x"),
        "a working directory that is a file": ({"workdir": "/etc/passwd"}, td.StartFailed, "/etc/passwd"),
        "a volume that is not there": ({"volumes": {tmp_path / "vanished": "/x"}}, td.InvalidSpec, "vanished"),
        "a folder on a file": ({"volumes": {tmp_path / "folder": "/etc/passwd"}}, td.StartFailed, "/etc/passwd"),
        "a file on a folder": ({"volumes": {tmp_path / "file": "/tmp"}}, td.StartFailed, "/tmp"),
        "a target through a file": ({"volumes": {tmp_path / "folder": "/etc/passwd/x"}}, td.StartFailed, "/etc/passwd/x"),
        "a tmpfs on a file": ({"tmpfs": ["/etc/passwd"]}, td.StartFailed, "/etc/passwd"),
        "a sysctl that does not exist": ({"sysctls": {"net.no.such": "1"}}, td.StartFailed, "net.no.such"),
        "a sysctl that is refused": ({"sysctls": {"net.core.somaxconn": "many"}}, td.StartFailed, "net.core.somaxconn"),
    }  # fmt: skip


WAYS = [
    "a command that is missing", "a command that cannot be executed", "an unknown user",
    "a working directory through a file", "a working directory that is a file", "a volume that is not there",
    "a folder on a file", "a file on a folder", "a target through a file", "a tmpfs on a file",
    "a sysctl that does not exist", "a sysctl that is refused",
]  # fmt: skip


@pytest.mark.parametrize("attached", [True, False], ids=["attached", "detached"])
@pytest.mark.parametrize("way", WAYS)
def test_a_failing_start_says_why_and_leaves_nothing(engine, busybox_dir, roots, tmp_path, way, attached):
    options, error, word = failing(tmp_path)[way]
    container = engine.container(busybox_dir, **{"command": TRUE, **options}, name="web", detach=not attached)
    before = None
    for _ in range(2):
        with pytest.raises(error, match=word):
            container.start()
        assert container.status == "defined"
        assert os.listdir(roots.root / "containers") == []
        assert roots.names() == []
        now = sorted(
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if fd.isdigit() and os.path.lexists(f"/proc/self/fd/{fd}")
        )
        now = [name for name in now if not name.endswith("/fd")]
        assert before in (None, now)
        before = now
    with engine.container(busybox_dir, TRUE, name="web") as again:
        assert again.wait() == 0


def test_a_source_that_vanishes_between_create_and_start_leaves_nothing(engine, busybox_dir, roots, tmp_path):
    (tmp_path / "source").mkdir()
    container = engine.container(busybox_dir, TRUE, name="web", volumes={tmp_path / "source": "/x"}).create()
    (tmp_path / "source").rmdir()
    with pytest.raises(td.InvalidSpec, match="source"):
        container.start()
    assert os.listdir(roots.root / "containers") == []


def test_a_kept_container_whose_next_start_fails_stays_as_it_was(engine, busybox_dir, tmp_path):
    (tmp_path / "source").mkdir()
    container = engine.container(
        busybox_dir, ["sh", "-c", "echo x > /kept"], auto_remove=False, volumes={tmp_path / "source": "/x"}
    )
    assert container.start().wait() == 0
    (tmp_path / "source").rmdir()
    with pytest.raises(td.InvalidSpec):
        container.start()
    assert (container.root / "kept").read_text() == "x\n"
    (tmp_path / "source").mkdir()
    assert container.start().wait() == 0
    container.remove()


def test_an_image_that_is_missing_is_named(engine, roots):
    for image in ("no-such-image", "no/such/archive.tar", td.Image.directory("/no/such/folder")):
        with pytest.raises(td.ImageNotFound, match="no"):
            engine.run(image, TRUE)
    assert os.listdir(roots.root / "containers") == []


def test_a_failed_start_gives_its_leases_back(engine, busybox, roots):
    image = engine.image(str(busybox))
    with pytest.raises(td.StartFailed):
        engine.run(image, TRUE, user="ghost")
    image.remove()
    assert engine.images() == []


def test_a_failing_exec_leaves_the_container_as_it_is(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"]) as container:
        before = sorted(os.listdir("/proc/self/fd"))
        for options in (
            {"command": ["no-such"]},
            {"command": TRUE, "user": "ghost"},
            {"command": TRUE, "workdir": "/etc/passwd"},
        ):
            command = options.pop("command")
            with pytest.raises(td.StartFailed):
                container.exec(command, **options)
            assert len(container.top()) == 1
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_an_image_that_vanishes_while_a_container_is_created_is_an_error(engine, busybox_dir, tmp_path, roots):
    image = shutil.copytree(busybox_dir, tmp_path / "image", symlinks=True)
    container = engine.container(image, TRUE).create()
    shutil.rmtree(image)
    with pytest.raises(td.TinydockerError):
        container.start()
    assert os.listdir(roots.root / "containers") == []
