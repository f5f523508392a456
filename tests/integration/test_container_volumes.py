"""Volumes: what of the host is seen in a container, where, and what is never touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")


@pytest.fixture
def say(engine, busybox_dir):
    def run(script, image=busybox_dir, **options):
        done = engine.run(image, ["sh", "-c", script], **options)
        assert done.returncode == 0, done
        return done.stdout

    return run


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("of the host\n")
    return folder


@pytest.fixture
def image(busybox_dir, tmp_path):
    """Give a copy of the image that may be changed."""
    return shutil.copytree(busybox_dir, tmp_path / "image", symlinks=True)


@pytest.fixture
def canary():
    """Give a directory of the host that nothing may be seen in, at a path that an image can have too."""
    with tempfile.TemporaryDirectory(prefix="canary-", dir="/var/tmp") as folder:
        yield folder
        assert os.listdir(folder) == []


def test_a_directory_is_shared_both_ways(say, data):
    assert say("cat /data/file; echo new > /data/new", volumes={str(data): "/data"}) == "of the host\n"
    assert (data / "new").read_text() == "new\n"


def test_a_read_only_volume_cannot_be_written_nor_remounted(say, data):
    script = "echo x > /data/new || echo refused; mount -o remount,rw /data 2>/dev/null || echo kept; rm /data/file || echo still"
    assert say(f"({script}) 2>/dev/null", volumes={str(data): ("/data", "ro")}) == "refused\nkept\nstill\n"
    assert os.listdir(data) == ["file"]


def test_a_single_file_can_be_a_volume(say, data):
    volumes = [(data / "file", "/etc/motd", "ro"), (data / "file", "/new/place")]
    assert (
        say("cat /etc/motd; echo more >> /new/place; cat /etc/motd", volumes=volumes)
        == "of the host\nof the host\nmore\n"
    )


def test_a_volume_may_be_given_as_mapping_list_text_path_and_method(say, data, engine, busybox_dir):
    for volumes in (
        {data: "/d"},
        {str(data): ("/d", "rw")},
        [f"{data}:/d"],
        [f"{data}:/d:ro"],
        [(data, "/d")],
        [(data, "/d", "ro")],
    ):
        assert say("cat /d/file", volumes=volumes) == "of the host\n"
    with engine.container(busybox_dir, ["cat", "/d/file"]).with_volume(data, "/d", read_only=True) as container:
        container.wait()
        assert container.logs() == "of the host\n"


def test_a_relative_source_is_relative_to_the_program(say, data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(data.parent)
        assert say("cat /d/file", volumes={"./data": "/d"}) == "of the host\n"


def test_a_source_may_have_any_characters(say, tmp_path):
    odd = tmp_path / "a:b,c\\d e\n'\""
    odd.mkdir()
    (odd / "file").write_text("odd\n")
    assert say("cat /d/file", volumes={odd: "/d"}) == "odd\n"


def test_volumes_may_lie_in_one_another_in_any_order(say, tmp_path):
    for name in ("outer", "inner", "deep"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    volumes = [(tmp_path / "deep", "/v/in/deep"), (tmp_path / "inner", "/v/in", "ro"), (tmp_path / "outer", "/v")]
    (tmp_path / "outer/in").mkdir()
    (tmp_path / "inner/deep").mkdir()
    script = "ls /v /v/in /v/in/deep | xargs; touch /v/in/x 2>/dev/null || echo ro; touch /v/in/deep/y"
    assert say(script, volumes=volumes) == "/v: in outer /v/in: deep inner /v/in/deep: deep\nro\n"
    assert sorted(os.listdir(tmp_path / "deep")) == ["deep", "y"]
    assert os.listdir(tmp_path / "outer/in") == [], "only mounts were below it"


def test_a_tmpfs_may_lie_in_a_volume(say, data):
    (data / "t").mkdir()
    assert say("echo x > /d/t/x; cat /d/t/x", volumes={data: "/d"}, tmpfs=["/d/t"]) == "x\n"
    assert os.listdir(data / "t") == []


@pytest.mark.leaves("volumes")
def test_a_named_volume_is_made_on_first_use_and_keeps_its_content(say, roots):
    assert say("echo kept > /cache/x; ls -ld /cache | cut -c1-10", volumes={"cache": "/cache"}) == "drwxr-xr-x\n"
    assert say("cat /c/x", volumes={"cache": ("/c", "ro")}) == "kept\n"
    assert os.listdir(roots.root / "volumes") == ["cache"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "-x", "", "a b", ".x"])
def test_a_named_volume_cannot_leave_its_directory(busybox_dir, name):
    try:
        volumes = td.Container(busybox_dir, ["true"], volumes={name: "/x"}).spec.volumes
    except td.InvalidSpec:
        return
    assert not volumes[0].named, "text with a separator is a path"


def test_a_target_is_made_where_it_is_missing_and_the_image_stays_as_it_was(say, data, busybox_dir):
    assert say("cat /a/b/c/file", volumes={data: "/a/b/c"}) == "of the host\n"
    assert not (busybox_dir / "a").exists()


def test_an_absolute_link_in_the_image_leads_inside_of_the_image(say, image, data, canary):
    (image / "link").symlink_to(canary)
    (image / f".{canary}").mkdir(parents=True)
    assert say(f"cat {canary}/file", image=image, volumes={data: "/link"}) == "of the host\n"


@pytest.mark.parametrize("target", ["../../../../../../../../tmp", "/../../../../tmp", "tmp"])
def test_dots_in_a_link_stop_at_the_root_of_the_container(say, image, data, target):
    (image / "link").symlink_to(target)
    assert say("cat /tmp/file", image=image, volumes={data: "/link"}) == "of the host\n"


def test_a_target_below_a_link_out_of_the_image_stays_inside(say, image, data, canary):
    (image / "link").symlink_to(canary)
    (image / f".{canary}").mkdir(parents=True)
    assert say("cat /link/below/file", image=image, volumes={data: "/link/below"}) == "of the host\n"


def test_a_dangling_link_as_a_target_is_an_error_and_makes_nothing(engine, image, data, tmp_path, roots):
    (image / "link").symlink_to(tmp_path / "not-there")
    with pytest.raises(td.StartFailed, match="/link"):
        engine.run(image, ["true"], volumes={data: "/link"})
    assert not (tmp_path / "not-there").exists()
    assert os.listdir(roots.root / "containers") == []


def test_a_source_that_is_missing_is_named_and_never_made(engine, busybox_dir, tmp_path, roots):
    missing = tmp_path / "missing"
    with pytest.raises(td.InvalidSpec, match="missing"):
        engine.run(busybox_dir, ["true"], volumes={missing: "/x"})
    assert not missing.exists()
    assert os.listdir(roots.root / "containers") == []


def test_removing_a_container_never_removes_what_is_in_its_volumes(engine, busybox_dir, data, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/x").touch()
    volumes = {data: "/d", tmp_path / "inner": "/d/inner", data / "file": "/f"}
    (data / "inner").mkdir()
    container = engine.container(busybox_dir, ["sleep", "1000"], volumes=volumes).start()
    with open(data / "file"):  # busy while it goes
        container.remove(force=True)
    assert (data / "file").read_text() == "of the host\n"
    assert os.listdir(tmp_path / "inner") == ["x"]


def test_what_is_mounted_below_a_source_comes_along_and_cannot_come_back_out(engine, busybox_dir, data):
    before = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, check=True).stdout
    script = "mount -t tmpfs x /d/m 2>/dev/null && touch /d/m/y; ls /d/m"
    (data / "m").mkdir()
    done = engine.run(busybox_dir, ["sh", "-c", script], volumes={data: "/d"}, cap_add=["SYS_ADMIN"])
    assert done.stdout == "y\n"
    assert subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, check=True).stdout == before
    assert os.listdir(data / "m") == []


def test_the_content_of_volumes_is_in_no_change_commit_or_export(engine, busybox_dir, data, tmp_path):
    (data / "secret").write_text("secret")
    command = ["sh", "-c", "echo x > /data/another-secret; echo y > /kept; echo ready; exec sleep 1000"]
    with engine.container(busybox_dir, command, volumes={data: "/data"}) as container:
        assert next(container.logs(follow=True)) == "ready\n"
        assert [change.path for change in container.changes()] == ["/data", "/kept"]
        container.export(tmp_path / "running.tar")
        container.stop(timeout=0)
    names = subprocess.run(["tar", "-tf", tmp_path / "running.tar"], capture_output=True, text=True, check=True).stdout
    assert "kept" in names and "secret" not in names


@pytest.mark.parametrize("target", ["/", "relative", "/a/../b", "/proc", "/proc/self", "/dev", ""])
def test_targets_that_cannot_be_are_refused_at_once(busybox_dir, target):
    with pytest.raises(td.InvalidSpec, match="volumes"):
        td.Container(busybox_dir, ["true"], volumes={"/tmp": target})


def test_two_mounts_on_one_target_are_refused_at_once(busybox_dir):
    with pytest.raises(td.InvalidSpec):
        td.Container(busybox_dir, ["true"], volumes=["/tmp:/x", "/var:/x"])
    with pytest.raises(td.InvalidSpec):
        td.Container(busybox_dir, ["true"], volumes=["/tmp:/x"], tmpfs=["/x"])


def test_a_volume_may_take_the_place_of_one_of_our_own_files(say, data):
    assert say("cat /etc/hosts", volumes={data / "file": "/etc/hosts"}) == "of the host\n"
    assert say("ls /etc", volumes={data: "/etc"}) == "file\n"
    assert os.listdir(data) == ["file"], "nothing of ours was made in it"


def test_a_source_that_is_a_link_is_what_it_leads_to(say, data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    assert say("cat /d/file", volumes={tmp_path / "link": "/d"}) == "of the host\n"
