"""Workspaces: a private layer over an image, as a path, forked and committed."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


def paths(workspace):
    return [(change.kind, change.path) for change in workspace.changes()]


def test_what_is_written_through_the_path_is_seen_in_a_container_and_back(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "etc/motd").write_text("hi\n")
        with engine.container(ws, ["sh", "-c", "cat /etc/motd; echo back > /from-inside"]) as container:
            assert container.wait() == 0 and container.logs() == "hi\n"
        assert (ws.path / "from-inside").read_text() == "back\n"
        assert (ws.root / "etc/motd").read_text() == "hi\n"
        with engine.container(ws, ["cat", "/from-inside"]) as container:
            assert container.wait() == 0 and container.logs() == "back\n"
    assert not (busybox_dir / "from-inside").exists() and not (busybox_dir / "etc/motd").exists()


def test_a_workspace_that_was_not_entered_is_entered_and_owned_by_its_container(engine, busybox_dir, roots):
    ws = engine.workspace(busybox_dir)
    with engine.container(ws, FOREVER):
        assert ws.is_open
    assert not ws.is_open
    assert os.listdir(roots.root / "workspaces") == []


def test_changes_tell_what_was_added_changed_and_deleted(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws:
        assert paths(ws) == []
        (ws.path / "new").mkdir()
        (ws.path / "new/file").touch()
        (ws.path / "etc/passwd").write_text("changed")
        (ws.path / "etc/group").unlink()
        (ws.path / "gone").touch()
        (ws.path / "gone").unlink()
        expected = [("C", "/etc"), ("D", "/etc/group"), ("C", "/etc/passwd"), ("A", "/new"), ("A", "/new/file")]
        assert paths(ws) == expected
        with ws.fork() as twin:
            assert paths(ws) == paths(twin) == expected
            (twin.path / "etc/group").touch()
            (twin.path / "new/file").unlink()
            assert paths(twin) == [("C", "/etc"), ("C", "/etc/group"), ("C", "/etc/passwd"), ("A", "/new")]
            assert paths(ws) == expected


def test_a_fork_starts_from_the_state_and_the_two_go_their_ways(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "shared").write_text("one")
        twin = ws.fork()
        (ws.path / "shared").write_text("two")
        with twin:
            assert (twin.path / "shared").read_text() == "one"
            (twin.path / "own").touch()
            assert not (ws.path / "own").exists()
            with engine.container(twin, ["cat", "/shared"]) as container:
                assert container.wait() == 0 and container.logs() == "one"
        assert (ws.path / "shared").read_text() == "two"


def test_a_fork_outlives_what_it_was_forked_from(engine, busybox_dir, roots):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "kept").write_text("kept")
        twin = ws.fork()
    with twin:
        assert (twin.path / "kept").read_text() == "kept"
        grandchild = twin.fork()
    with grandchild:
        assert (grandchild.path / "kept").read_text() == "kept"
    assert os.listdir(roots.root / "workspaces") == []


def test_a_fork_that_is_never_entered_leaves_nothing_once_it_is_closed(engine, busybox_dir, roots):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "x").touch()
        twin = ws.fork()
    assert len(os.listdir(roots.root / "workspaces")) == 1
    twin.close()
    assert os.listdir(roots.root / "workspaces") == []


def test_the_path_stays_the_same_after_a_fork(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws:
        path = ws.path
        (path / "x").write_text("1")
        ws.fork().close()
        assert ws.path == path and (path / "x").read_text() == "1"
        (path / "x").write_text("2")
        ws.reset()
        assert ws.path == path and not (path / "x").exists()


def test_reset_throws_everything_away(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "x").touch()
        twin = ws.fork()
        (ws.path / "y").touch()
        ws.reset()
        assert paths(ws) == []
        with twin:
            assert paths(twin) == [("A", "/x")]


def test_130_sealed_layers_stand_on_one_another(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws:
        for number in range(130):
            (ws.path / f"layer-{number}").touch()
            ws.fork().close()
        assert sum(name.startswith("layer-") for name in os.listdir(ws.path)) == 130
        with engine.container(ws, ["sh", "-c", "ls -d /layer-* | wc -l"]) as container:
            assert container.wait() == 0 and container.logs() == "130\n"
        assert len(ws.changes()) == 130


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "a b\n:,\\'\"ä", "a\\:b"])
def test_paths_may_have_any_characters(tmp_path, busybox_dir, name):
    import shutil

    image = tmp_path / name / "image"
    image.mkdir(parents=True)
    for part in ("bin", "etc"):
        shutil.copytree(busybox_dir / part, image / part, symlinks=True)
    with td.Engine(tmp_path / name / "root", tmp_path / name / "run") as engine:
        with engine.workspace(image) as ws:
            (ws.path / "x").write_text("1")
            with ws.fork() as twin, engine.container(twin, ["cat", "/x"]) as container:
                assert container.wait() == 0 and container.logs() == "1"
        assert engine.run(image, ["cat", "/etc/passwd"]).stdout.startswith("root:")


@pytest.mark.parametrize("size", ["2m", 2 << 20])
def test_a_size_bounds_the_layer_in_memory(engine, busybox_dir, size):
    with engine.workspace(busybox_dir, size=size) as ws:
        with pytest.raises(OSError) as caught, open(ws.path / "big", "wb") as file:
            file.write(b"x" * (3 << 20))
        assert caught.value.errno == errno.ENOSPC
        (ws.path / "big").unlink()
        (ws.path / "small").write_text("x" * 100_000)
        with engine.container(
            ws, ["sh", "-c", "dd if=/dev/zero of=/big bs=64k count=64 2>&1 | grep -c 'No space'; rm /big"]
        ) as container:
            container.wait()
            assert container.logs() == "1\n"
        assert paths(ws) == [("A", "/small")]
        twin = ws.fork()
        with twin:
            assert paths(twin) == [("A", "/small")]
            (twin.path / "more").write_text("x" * 100_000)
            twin.reset()
            assert paths(twin) == []


def test_a_commit_is_an_image_and_an_export_one_archive(engine, busybox_dir, tmp_path):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "made").write_text("made\n")
        (ws.path / "etc/group").unlink()
        image = ws.commit(tmp_path / "made.tar")
        ws.export(tmp_path / "made.tar.gz")
    assert isinstance(image, td.Image)
    names = [
        subprocess.run(["tar", "-tf", tmp_path / f"made.{end}"], capture_output=True, text=True, check=True).stdout
        for end in ("tar", "tar.gz")
    ]
    for listed in names:
        entries = {line.removeprefix("./") for line in listed.splitlines()}
        assert "made" in entries and "etc/group" not in entries and "etc/passwd" in entries


@pytest.mark.leaves("images")
def test_a_committed_archive_runs(engine, busybox_dir, tmp_path):
    with engine.workspace(busybox_dir) as ws:
        (ws.path / "made").write_text("made\n")
        image = ws.commit(tmp_path / "made.tar")
    assert engine.run(tmp_path / "made.tar", ["cat", "/made"]).stdout == "made\n"
    assert repr(image) == f"<image from the archive {str(tmp_path / 'made.tar')!r}>"


def test_committing_to_a_tag_is_refused_with_what_would_do(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws, pytest.raises(td.NotSupported, match="archive"):
        ws.commit("motd:1")


def test_a_workspace_is_entered_once_and_used_while_it_is_open(engine, busybox_dir):
    ws = engine.workspace(busybox_dir)
    for use in (lambda: ws.path, ws.changes, ws.fork, ws.reset, lambda: ws.export("x.tar")):
        with pytest.raises(td.TinydockerError, match="not open"):
            use()
    with ws:
        with pytest.raises(td.TinydockerError, match="open already"), ws:
            pass
        (ws.path / "x").touch()
    with pytest.raises(td.TinydockerError, match="not open"):
        _ = ws.path
    with ws:
        assert paths(ws) == [], "entered again it is fresh"


def test_what_would_change_under_a_running_container_is_refused(engine, busybox_dir):
    with engine.workspace(busybox_dir) as ws, engine.container(ws, FOREVER) as container:
        for use in (ws.fork, ws.reset):
            with pytest.raises(td.InUse):
                use()
        assert container.exec(["touch", "/seen"]).returncode == 0
        assert paths(ws) == [("A", "/seen")] == [(c.kind, c.path) for c in container.changes()]
        container.remove(force=True)
        ws.fork().close()


def test_two_containers_on_one_workspace_see_each_other(engine, busybox_dir):
    with (
        engine.workspace(busybox_dir) as ws,
        engine.container(ws, FOREVER) as one,
        engine.container(ws, FOREVER) as two,
    ):
        one.exec(["sh", "-c", "echo x > /shared"], check=True)
        assert two.exec(["cat", "/shared"]).stdout == "x\n"


def test_a_detached_container_on_a_workspace_is_refused(busybox_dir):
    with pytest.raises(td.InvalidSpec, match="detach"):
        td.Container(td.Workspace(busybox_dir), ["true"], detach=True)


@pytest.mark.needs(tool="python3")
def test_a_workspace_of_the_host_keeps_the_host_as_it_is(engine):
    with engine.workspace("host") as ws:
        (ws.path / "tinydocker-test").write_text("x")
        with engine.container(ws, ["python3", "-c", "print(open('/tinydocker-test').read())"]) as container:
            assert container.wait() == 0 and container.logs() == "x\n"
    assert not os.path.exists("/tinydocker-test")
