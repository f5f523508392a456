"""The blocks of the public contract that this version delivers, nearly word for word."""

from __future__ import annotations

import os
import subprocess

import pytest

import tinydocker as td

pytestmark = [pytest.mark.needs("root", "overlay", "busybox"), pytest.mark.leaves("images", "volumes")]


@pytest.fixture
def here(roots, busybox, tmp_path, monkeypatch):
    """Be in a directory that holds busybox.tar.xz and a rootfs."""
    (tmp_path / "busybox.tar.xz").symlink_to(busybox)
    (tmp_path / "rootfs").mkdir()
    subprocess.run(["tar", "-xpf", busybox, "-C", tmp_path / "rootfs"], check=True)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        yield tmp_path


@pytest.mark.needs(tool="python3")
def test_one_shot(here):
    done = td.run("busybox.tar.xz", ["echo", "hi"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")
    done = td.run("host", ["python3", "-c", "print(6*7)"], network="none", timeout=60, check=True)
    assert done.stdout == "42\n"
    image = "busybox.tar.xz"
    done = td.run(image, ["cat"], input="abc")
    assert done.stdout == "abc"
    assert done.oom_killed is False and done.duration > 0
    assert (done.usage.memory_peak, done.usage.cpu_seconds >= 0) == (None, True)


def test_image(here):
    for image in (
        td.Image("rootfs/"),
        td.Image("busybox.tar.xz"),
        td.Image.directory("rootfs"),
        td.Image.archive("busybox.tar.xz"),
    ):
        assert td.run(image, ["echo", "ran"]).stdout == "ran\n"
    assert td.run(td.Image.host(), ["echo", "ran"]).stdout == "ran\n"
    with td.Image("busybox.tar.xz") as image:
        assert image.id and image.layers and image.size and image.config is not None and image.tags == []
        assert [stored.id for stored in td.images()] == [image.id]
    image.remove()
    assert td.images() == []


def test_workspace(here):
    with td.Workspace("busybox.tar.xz", size="100m") as ws:
        (ws.path / "etc" / "motd").write_text("hi\n")
        with td.Container(ws, ["cat", "/etc/motd"]) as c:
            assert c.wait() == 0 and c.logs() == "hi\n"
        assert ws.changes() == [td.Change(kind="C", path="/etc"), td.Change(kind="A", path="/etc/motd")]
        ws.export("rootfs.tar.xz")
        twin = ws.fork()
        with twin:
            assert (twin.path / "etc" / "motd").read_text() == "hi\n"
    assert td.run("rootfs.tar.xz", ["cat", "/etc/motd"]).stdout == "hi\n"


def test_container_with_every_option_of_this_version(here):
    (here / "srv").mkdir()
    (here / "srv/file").write_text("served\n")
    c = td.Container(
        "busybox.tar.xz", ["sh", "-c", "trap exit TERM; echo up; sleep 1000 & wait"], name="web",
        env={"A": "1"}, workdir="/", user="1000:1000", hostname="web", labels={"job": "7"},
        shm_size="16m", ulimits={"nofile": 1024}, oom_score_adj=500,
        volumes={str(here / "srv"): ("/data", "ro"), "cache": "/cache"}, tmpfs={"/tmp": "size=16m"}, read_only=True,
        network="none", dns=["10.77.0.1"], extra_hosts={"db": "10.0.0.1"},
        cap_drop=["ALL"], cap_add=["CHOWN"], no_new_privileges=True, privileged=False,
        sysctls={"net.core.somaxconn": "1024"}, init=True, tty=False, stdin=False, entrypoint=None,
        stop_signal="TERM", stop_timeout=10, detach=False, auto_remove=True, log=td.LogConfig(max_size="10m", max_files=3),
    )  # fmt: skip
    with c:
        for line in c.logs(follow=True):
            assert line == "up\n"
            break
        said = c.exec(["sh", "-c", "echo $A; id -u; hostname; cat /data/file; ulimit -n; pwd"], check=True).stdout
        assert said == "1\n1000\nweb\nserved\n1024\n/\n"
        p = c.popen(["sh"], stdin=td.PIPE)
        assert p.communicate("echo from a shell\n")[0] == "from a shell\n"
        p.close()
        assert c.logs(tail=10, since=None, timestamps=False) == "up\n"
        assert (c.top()[0].pid, c.top()[0].user) == (1, "app")
        assert "web" in (c.root / "etc" / "hosts").read_text()
        c.get("/etc/passwd", str(here))
        assert (here / "passwd").exists()
        assert (c.status, c.name, c.labels, len(c.id)) == ("running", "web", {"job": "7"}, 12)
        assert c.created <= c.started and c.finished is None and c.returncode is None and c.pid > 1
        assert c.inspect()["name"] == "web"
        assert td.get("web").id == c.id
        assert [found.id for found in td.containers(all=True, label="job=7", name="web", status="running")] == [c.id]
        c.rename("w2")
        assert td.get("w2").id == c.id
        c.kill("CONT")
        assert c.stop(timeout=60) in (0, 143)
    assert td.containers(all=True) == [] and td.prune() != []


def test_the_life_of_a_container_step_by_step(here):
    c = td.Container("rootfs", ["sleep", "1000"])
    c.create()
    c.start()
    assert (
        c.exec(["ps"], env={}, user=None, workdir=None, input=None, timeout=None, check=False, tty=False).returncode
        == 0
    )
    c.put("srv" if os.path.isdir("srv") else "busybox.tar.xz", "/home")
    c.restart(timeout=0)
    c.commit("web.tar")
    c.export("rootfs.tar")
    with c.fork() as twin:
        assert twin.status == "running"
    assert [(change.kind, change.path) for change in c.changes()] == [("C", "/home"), ("A", "/home/busybox.tar.xz")]
    with pytest.raises(td.ContainerTimeout):
        c.wait(timeout=0)
    c.remove(force=True)
    assert td.run("web.tar", ["ls", "/home"]).stdout == "app\nbusybox.tar.xz\n"


def test_a_spec_reads_as_a_sentence(here):
    (here / "srv").mkdir()
    base = (
        td.Container("busybox.tar.xz")
        .with_env(A="1")
        .with_volume(here / "srv", "/data", read_only=True)
        .with_network("none")
    )
    with (
        base.with_command(["sleep", "1000"]).with_name("one") as one,
        base.with_command(["env"]).with_name("two") as two,
    ):
        assert two.wait() == 0 and "A=1" in two.logs()
        assert one.exec(["touch", "/data/x"]).returncode == 1


def test_replace_and_detach(here):
    for _ in range(2):  # a notebook cell run twice
        job = td.Container("rootfs", ["sleep", "1000"], name="job", detach=True, replace=True).start()
    assert len(td.containers()) == 1
    job.remove(force=True)


def test_an_engine_of_ones_own(here, tmp_path):
    eng = td.Engine(root=tmp_path / "var", run_root=tmp_path / "run")
    with eng.container("rootfs", ["sleep", "1000"]) as container:
        assert [c.id for c in eng.containers()] == [container.id] and td.containers() == []
    assert eng.image("rootfs").source == "rootfs"
    assert eng.prune() == []
    eng.close()


def test_errors_are_one_tree():
    for name in td.errors.__all__:
        assert issubclass(getattr(td, name), td.TinydockerError)
    for error, base in (
        (td.ImageNotFound, LookupError), (td.ContainerNotFound, LookupError), (td.InvalidSpec, ValueError),
        (td.ContainerTimeout, TimeoutError), (td.KernelError, OSError), (td.NameInUse, td.InUse),
    ):  # fmt: skip
        assert issubclass(error, base)
    with pytest.raises(td.InvalidSpec) as caught:
        td.Container("x", ["y"], umask="9")
    assert caught.value.option == "umask" and "'9'" in str(caught.value) and "expected" in str(caught.value)


def test_what_comes_later_says_so(here):
    with td.Container("rootfs", ["sleep", "1000"]) as c:
        for use in (
            c.pause,
            c.unpause,
            lambda: c.update(memory="1m"),
            c.stats,
            lambda: c.wait_for(log="x"),
            lambda: c.host_port(80),
        ):
            with pytest.raises(td.NotSupported):
                use()
