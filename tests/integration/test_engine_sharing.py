"""Engines: private roots, several at once, closing, reopening, listing and pruning."""

from __future__ import annotations

import os

import pytest

import tinydocker as td
from programs import Awaited

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]


def test_the_default_engine_is_where_the_variables_say(roots, busybox_dir):
    with td.Container(busybox_dir, FOREVER, name="web") as web:
        assert os.listdir(roots.root / "containers") == [web.id]
        assert td.get("web").id == web.id
        assert [c.id for c in td.containers()] == [web.id]
        assert td.images() == []
        assert td.prune() == []


def test_two_engines_do_not_see_each_other(roots, busybox_dir, tmp_path):
    with (
        td.Engine(tmp_path / "a", tmp_path / "ar") as one,
        td.Engine(tmp_path / "b", tmp_path / "br") as two,
        one.container(busybox_dir, FOREVER, name="web") as first,
        two.container(busybox_dir, FOREVER, name="web") as second,
    ):
        assert first.id != second.id
        assert [c.id for c in one.containers()] == [first.id]
        assert [c.id for c in two.containers()] == [second.id]
        one.close()
        assert (first.status, second.status) == ("removed", "running")


def test_two_engines_on_one_root_share_everything(engine, busybox_dir, roots):
    with td.Engine(roots.root, roots.run_root) as other, engine.container(busybox_dir, FOREVER, name="web") as web:
        assert other.get("web").exec(["echo", "x"]).stdout == "x\n"
        with pytest.raises(td.NameInUse):
            other.container(busybox_dir, FOREVER, name="web").start()
        other.close()
        assert web.status == "running"


def test_closing_ends_what_is_attached_and_the_engine_opens_again(engine, busybox_dir, roots):
    container = engine.container(busybox_dir, FOREVER, name="web").start()
    workspace = engine.workspace(busybox_dir).__enter__()
    with Awaited(container.pid) as init:
        engine.close()
        assert init.has_ended()
    assert container.status == "removed"
    container.close()
    workspace.close()
    engine.close()
    assert os.listdir(roots.root / "containers") == os.listdir(roots.root / "workspaces") == []
    assert engine.run(busybox_dir, ["echo", "again"]).stdout == "again\n"


def test_an_engine_makes_nothing_before_it_is_used(tmp_path, roots):
    engine = td.Engine(tmp_path / "a", tmp_path / "b")
    engine.close()
    assert not (tmp_path / "a").exists()
    assert repr(engine) == f"<engine at {tmp_path}/a>"


def test_containers_are_listed_newest_first_and_filtered(engine, busybox_dir):
    with (
        engine.container(busybox_dir, FOREVER, name="web-one", labels={"job": "7", "tier": "a"}) as one,
        engine.container(busybox_dir, ["true"], name="web-two", labels={"job": "7"}) as two,
        engine.container(busybox_dir, FOREVER, name="db", labels={"job": "8"}) as db,
    ):
        created = engine.container(busybox_dir, FOREVER, name="new").create()
        two.wait()

        def found(*args, **filters):
            return [c.name for c in engine.containers(*args, **filters)]

        assert found() == ["db", "web-one"]
        assert found(all=True) == ["new", "db", "web-two", "web-one"] == found(True)
        assert found(status="exited") == ["web-two"] and found(status="created") == ["new"]
        assert found(status="running") == ["db", "web-one"]
        assert found(all=True, label="job=7") == ["web-two", "web-one"]
        assert found(label="job") == ["db", "web-one"] and found(label="tier=b") == []
        assert found(name="web") == ["web-one"] and found(all=True, name="web", label="job=7", status="exited") == [
            "web-two"
        ]
        with pytest.raises(td.InvalidSpec, match="status"):
            engine.containers(status="paused?")
        created.close()
        assert one.status == db.status == "running"


@pytest.mark.leaves("volumes")
def test_prune_removes_what_nothing_uses_and_nothing_else(engine, busybox_dir, busybox):
    ended = engine.container(busybox_dir, ["true"], name="ended", auto_remove=False).start()
    ended.wait()
    ended.close()
    engine.run(busybox, ["true"], volumes={"cache": "/cache"})
    with engine.container(busybox_dir, FOREVER, name="web") as web, engine.container(busybox_dir, ["true"]) as mine:
        mine.wait()
        dry = engine.prune(dry_run=True)
        assert len(dry) == 2 and "ended" in dry[0] and str(busybox) in dry[1]
        assert engine.get("ended").status == "exited" and len(engine.images()) == 1
        assert engine.prune() == dry
        assert engine.prune() == []
        with pytest.raises(td.ContainerNotFound):
            engine.get("ended")
        assert (web.status, mine.status) == ("running", "exited"), "what somebody holds stays"
    assert engine.images() == []


@pytest.mark.leaves("images")
def test_prune_keeps_the_image_of_a_container_that_is_kept(engine, busybox):
    with engine.container(busybox, FOREVER):
        assert engine.prune() == []
        assert len(engine.images()) == 1


def test_one_damaged_record_blocks_nothing_else(engine, busybox_dir, roots):
    kept = [engine.container(busybox_dir, ["true"], name=f"c{n}", auto_remove=False).create() for n in range(5)]
    for container in kept:
        container.close()
    victim = roots.root / "containers" / kept[2].id
    (victim / "record.json").write_bytes(b"\0\0\0")
    assert sorted(c.name for c in engine.containers(all=True)) == ["c0", "c1", "c3", "c4"]
    with pytest.raises(td.TinydockerError):
        engine.get("c2")
    for number in (0, 1, 3, 4):
        engine.get(f"c{number}").remove()
    import shutil

    shutil.rmtree(victim)
    engine.prune()
    assert roots.names() == []


def test_engines_make_containers_images_and_workspaces_of_theirs(engine, busybox_dir):
    assert engine.container(busybox_dir, ["true"])._engine is engine
    with engine.workspace(busybox_dir) as ws, td.Container(ws, ["true"], engine=engine) as container:
        assert container.wait() == 0
    with td.Container(engine.image(busybox_dir), ["true"]) as container:
        assert engine.get(container.id).id == container.id
