"""A container's files from outside: changes, commit, export, fork, put, get and root; running and ended."""

from __future__ import annotations

import os
import tarfile

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

WRITES = [
    "sh",
    "-c",
    "echo made > /made; rm /etc/group; echo more >> /etc/passwd; mkdir /dir; echo up; exec sleep 1000",
]
CHANGES = [("C", "/etc"), ("D", "/etc/group"), ("C", "/etc/passwd"), ("A", "/dir"), ("A", "/made")]


@pytest.fixture(params=["running", "ended"])
def box(request, engine, busybox_dir):
    """Give a container that has written something, while it runs and after its end."""
    with engine.container(busybox_dir, WRITES) as container:
        assert next(container.logs(follow=True)) == "up\n"
        if request.param == "ended":
            container.stop(timeout=0)
        yield container


def members(path):
    with tarfile.open(path) as archive:
        return {member.name.removeprefix("./"): member for member in archive}


def test_changes_are_those_of_docker_diff(box):
    assert sorted((change.kind, change.path) for change in box.changes()) == sorted(CHANGES)


def test_an_export_and_a_commit_hold_the_files_and_nothing_that_is_mounted(box, tmp_path, engine):
    box.export(tmp_path / "export.tar.gz")
    image = box.commit(tmp_path / "commit.tar")
    for name in ("export.tar.gz", "commit.tar"):
        found = members(tmp_path / name)
        assert {"made", "dir", "etc/passwd", "bin/busybox"} <= set(found)
        assert "etc/group" not in found
        for place in ("proc", "sys", "dev"):
            assert not [entry for entry in found if entry.startswith(place + "/")]
    assert isinstance(image, td.Image)


@pytest.mark.leaves("images")
def test_a_commit_runs_as_an_image(box, tmp_path, engine):
    image = box.commit(tmp_path / "commit.tar")
    for source in (tmp_path / "commit.tar", image):
        assert engine.run(source, ["cat", "/made"]).stdout == "made\n"


def test_a_commit_to_a_tag_is_refused(box):
    with pytest.raises(td.NotSupported, match="archive"):
        box.commit("web:2")


def test_a_fork_starts_from_the_files_and_goes_its_way(box):
    twin = box.fork().with_command(
        ["sh", "-c", "cat /made; test -e /etc/group || echo gone; echo own > /own; echo up; exec sleep 1000"]
    )
    with twin as other:
        lines = other.logs(follow=True)
        assert [next(lines) for _ in range(3)] == ["made\n", "gone\n", "up\n"]
        assert other.id != box.id and other.name != box.name
        assert not (box.root / "own").exists()
        assert (other.root / "own").read_text() == "own\n"


def test_a_fork_has_the_same_options(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"], env={"A": "1"}, hostname="h", name="web") as container:
        fork = container.fork()
        assert fork.spec == container.with_name(None).spec
        with fork as other:
            assert other.exec(["sh", "-c", "echo $A; hostname"]).stdout == "1\nh\n"


def test_put_and_get_copy_files_and_trees_both_ways(box, tmp_path):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("content")
    (tmp_path / "tree/link").symlink_to("/etc/passwd")
    box.put(tmp_path / "tree", "/srv")
    box.put(tmp_path / "tree/sub/file", "/dir")
    assert (box.root / "srv/sub/file").read_text() == "content"
    assert (box.root / "dir/file").read_text() == "content"
    (tmp_path / "out").mkdir()
    box.get("/srv", tmp_path / "out")
    box.get("/etc/passwd", tmp_path / "out/")
    assert (tmp_path / "out/srv/sub/file").read_text() == "content"
    assert os.readlink(tmp_path / "out/srv/link") == "/etc/passwd"
    assert (tmp_path / "out/passwd").read_text().endswith("more\n")
    for missing in (lambda: box.get("/no/such", tmp_path), lambda: box.put(tmp_path / "no-such", "/")):
        with pytest.raises(FileNotFoundError, match="no"):
            missing()


def test_root_reads_writes_and_stays_inside(box, tmp_path):
    root = box.root
    assert (root / "made").read_text() == "made\n"
    (root / "dir/new").write_text("new")
    assert "new" in [path.name for path in (root / "dir").iterdir()]
    assert not (root / "etc/group").exists()
    canary = tmp_path / "canary"
    canary.write_text("outside")
    (root / "escape").symlink_to(canary)
    (root / "up").symlink_to("../../../../../../.." + str(canary))
    for name in ("escape", "up"):
        with pytest.raises(FileNotFoundError):
            (root / name).read_text()
    assert canary.read_text() == "outside"


def test_root_shows_the_volumes_of_a_running_container_only(engine, busybox_dir, tmp_path):
    (tmp_path / "file").write_text("of the host")
    with engine.container(busybox_dir, ["sleep", "1000"], volumes={tmp_path: "/data"}) as container:
        assert (container.root / "data/file").read_text() == "of the host"
        container.put(tmp_path / "file", "/data/copy")
        assert (tmp_path / "copy").read_text() == "of the host"
        container.stop(timeout=0)
        assert list((container.root / "data").iterdir()) == []


def test_what_is_put_before_the_start_is_there_at_the_start(engine, busybox_dir, tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\necho from outside\n")
    (tmp_path / "script").chmod(0o755)
    container = engine.container(busybox_dir, ["/script"]).create()
    container.put(tmp_path / "script", "/script")
    with container:
        assert container.wait() == 0 and container.logs() == "from outside\n"


def test_files_of_a_container_through_another_handle(engine, busybox_dir):
    with engine.container(busybox_dir, WRITES, name="web") as container:
        assert next(container.logs(follow=True)) == "up\n"
        other = engine.get("web")
        assert sorted((c.kind, c.path) for c in other.changes()) == sorted(CHANGES)
        assert (other.root / "made").read_text() == "made\n"
        assert [row.command for row in other.top()] == ["sleep 1000"] or other.top()


def test_a_workspaces_container_through_another_handle(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws, engine.container(ws, WRITES, name="web") as container:
        assert next(container.logs(follow=True)) == "up\n"
        other = engine.get("web")
        assert (other.root / "made").read_text() == "made\n"
        assert other.exec(["cat", "/made"]).stdout == "made\n"
        for use in (other.changes, other.fork, container.fork):
            with pytest.raises(td.NotSupported, match="workspace"):
                use()
