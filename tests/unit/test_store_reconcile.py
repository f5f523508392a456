"""Reconciliation: what dead programs left goes; what lives, was kept or is not ours stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinydocker.store import locks, names, records
from tinydocker.store.container_dir import ContainerDir
from tinydocker.store.paths import Paths
from tinydocker.store.reconcile import images_in_use, kill_recorded, reconcile

RECORD: dict[str, Any] = {
    "created": 1.5, "image": {"id": "f" * 64}, "rootfs": {}, "spec": {}, "config": {}, "labels": {}, "volumes": {},
    "detach": False, "auto_remove": True,
}  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root", tmp_path / "run").ensure()


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that has nothing to do with any container, and see that it ends by itself."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.communicate(b"\n")
        assert process.returncode == 0, "it was killed"


def make(paths: Paths, number: int = 1, **changes: Any) -> tuple[ContainerDir, int]:
    directory, lock = ContainerDir.make(paths.containers, f"{number:012x}")
    identity = f"{number:012x}"
    directory.write_record({**RECORD, "id": identity, "name": f"c{number}", **changes}, durable=False)
    directory.publish()
    names.claim(paths.names, paths.containers, f"c{number}", identity)
    return directory, lock


def put_state(directory: ContainerDir, pid: int, **changes: Any) -> None:
    state = {
        "status": "running",
        "pid": pid,
        "start_time": records.process_start_time(pid),
        "boot_id": records.boot_id(),
    }
    records.write(f"{directory.path}/state.json", {**state, **changes}, durable=False)


def below(paths: Paths) -> list[str]:
    return sorted(
        str(Path(folder, name).relative_to(paths.root)) for folder, _, files in os.walk(paths.root) for name in files
    )


def test_a_container_of_a_dead_program_goes_with_its_name(paths):
    directory, lock = make(paths)
    os.close(lock)
    assert reconcile(paths, dry_run=True) and os.path.isdir(directory.path), "looking changes nothing"
    assert len(reconcile(paths)) == 1
    assert os.listdir(paths.containers) == os.listdir(paths.trash) == []
    assert names.holder(paths.names, "c1") is None
    assert reconcile(paths) == []


def test_what_somebody_answers_for_stays(paths):
    directory, lock = make(paths)
    assert reconcile(paths) == []
    assert os.path.isdir(directory.path) and names.holder(paths.names, "c1") == directory.id
    os.close(lock)


def test_what_was_to_be_kept_stays(paths, innocent):
    kept, lock = make(paths, 1, auto_remove=False)
    os.close(lock)
    detached, lock = make(paths, 2, detach=True)
    put_state(detached, innocent.pid)
    os.close(lock)
    assert reconcile(paths) == []
    assert os.path.isdir(kept.path) and os.path.isdir(detached.path)


def test_a_detached_container_that_has_ended_and_was_to_go_at_its_end_goes(paths):
    directory, lock = make(paths, detach=True)
    records.write(f"{directory.path}/state.json", {"status": "exited", "returncode": 0}, durable=False)
    os.close(lock)
    assert len(reconcile(paths)) == 1 and not os.path.exists(directory.path)


@pytest.mark.parametrize("auto_remove", [True, False])
@pytest.mark.parametrize("override", [{}, {"attached": True}])
def test_an_attached_container_that_outlived_its_supervisor_is_ended(paths, auto_remove, override):
    directory, lock = make(paths, auto_remove=auto_remove, detach=bool(override))
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as init:
        put_state(directory, init.pid, **override)
        os.close(lock)
        assert len(reconcile(paths)) == 1
        init.wait()
        assert init.returncode == -signal.SIGKILL
    assert os.path.isdir(directory.path) is not auto_remove
    assert reconcile(paths) == []


@pytest.mark.parametrize("change", [{"boot_id": "0" * 36}, {"start_time": 1}])
def test_a_process_that_has_the_number_of_a_dead_one_gets_no_signal(paths, innocent, change):
    for number, auto_remove in enumerate((True, False), 1):
        directory, lock = make(paths, number, auto_remove=auto_remove)
        put_state(directory, innocent.pid, **change)
        os.close(lock)
    kill_recorded(directory.state())
    reconcile(paths)
    assert innocent.poll() is None


@pytest.mark.parametrize("pid", ["self", None, -1, 0, 1 << 40, [1], True])
def test_a_record_with_an_impossible_number_ends_nobody(paths, innocent, pid):
    kill_recorded({"boot_id": records.boot_id(), "pid": pid, "start_time": records.process_start_time(os.getpid())})
    assert innocent.poll() is None


def test_what_was_cut_short_while_it_was_made_goes_and_what_is_being_made_stays(paths):
    for number in (1, 2):
        _, lock = ContainerDir.make(paths.containers, f"{number:012x}")
        if number == 1:
            os.close(lock)
    for number in (3, 4):  # no lock was made yet
        os.mkdir(f"{paths.containers}/.{number:012x}")
    Path(f"{paths.containers}/.{4:012x}/lock.abcdef").touch()
    assert len(reconcile(paths)) == 3
    assert os.listdir(paths.containers) == [f".{2:012x}"]
    os.close(lock)


def test_a_workspace_that_nobody_holds_goes_and_others_stay(paths):
    held = []
    for number in (1, 2):
        os.mkdir(f"{paths.workspaces}/{number:012x}")
        held.append(locks.hold(f"{paths.workspaces}/{number:012x}/lock"))
    os.close(held[0])
    assert len(reconcile(paths, dry_run=True)) == len(reconcile(paths)) == 1
    assert os.listdir(paths.workspaces) == [f"{2:012x}"]
    os.close(held[1])


def test_a_name_whose_container_is_gone_goes(paths):
    names.claim(paths.names, paths.containers, "ghost", "0" * 12)
    assert reconcile(paths) == ["name ghost of a container that is gone"]
    assert names.holder(paths.names, "ghost") is None


def test_what_a_removal_left_in_the_trash_goes(paths):
    Path(paths.trash, "x").mkdir()
    Path(paths.trash, "x/y").touch()
    reconcile(paths, dry_run=True)
    assert os.listdir(paths.trash) == ["x"]
    reconcile(paths)
    assert os.listdir(paths.trash) == []


def test_foreign_things_of_like_names_are_not_touched(paths, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").touch()
    for folder in (paths.containers, paths.workspaces, paths.names, paths.volumes):
        for name in ("notes.txt", ".gitignore", "0123456789abc", ".0123456789ab.swp"):
            Path(folder, name).write_text("mine")
        Path(folder, "directory").mkdir()
        Path(folder, "directory/lock").touch()
        Path(folder, "directory/record.json").write_text("{}")
        Path(folder, "link").symlink_to(outside)
    Path(paths.containers, "0123456789ab").touch()  # even where it looks like one of ours
    Path(paths.workspaces, "0123456789ab").touch()
    sibling = Path(f"{paths.root}2")
    sibling.mkdir()
    (sibling / "0123456789ab").touch()
    before = below(paths)
    for _ in range(2):
        assert reconcile(paths) == []
    assert below(paths) == before
    assert (outside / "canary").exists() and (sibling / "0123456789ab").exists()
    assert os.readlink(f"{paths.names}/link") == str(outside)


def test_one_damaged_record_among_healthy_ones_stops_nothing(paths):
    for number in range(1, 6):
        directory, lock = make(paths, number)
        os.close(lock)
        if number == 3:
            Path(directory.path, "record.json").write_bytes(b'{"schema":1,"auto_re')
    assert len(reconcile(paths)) == 4
    assert os.listdir(paths.containers) == [f"{3:012x}"], "what it was is not known, so it is not removed unasked"


def test_images_of_recorded_containers_are_in_use(paths):
    for number, image in enumerate(("a" * 64, "b" * 64), 1):
        _, lock = make(paths, number, image={"id": image}, auto_remove=False)
        os.close(lock)
    directory, lock = make(paths, 3)
    os.close(lock)
    Path(directory.path, "record.json").write_text("damaged")
    assert images_in_use(paths) == {"a" * 64, "b" * 64}


def test_programs_that_tidy_up_at_once_disturb_neither_each_other_nor_what_is_being_made(paths):
    code = """
import os, sys
from tinydocker.store import locks
from tinydocker.store.container_dir import ContainerDir
from tinydocker.store.paths import Paths
from tinydocker.store.reconcile import reconcile
paths = Paths(*sys.argv[1:3])
for n in range(150):
    if int(sys.argv[3]) < 2:
        reconcile(paths)
        continue
    made, lock = ContainerDir.make(paths.containers, f"{sys.argv[3]}{n:011x}")
    assert os.path.isdir(made.path + "/etc")
    layer = f"{paths.workspaces}/{sys.argv[3]}{n:011x}"
    lease = locks.make_directory(layer)
    os.mkdir(layer + "/layer")
    os.close(lock); os.close(lease)
"""
    command = [sys.executable, "-c", code, paths.root, paths.run_root]
    programs = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE, text=True) for number in range(4)]
    said = [program.communicate()[1] for program in programs]
    assert said == [""] * 4
    reconcile(paths)
    assert os.listdir(paths.containers) == os.listdir(paths.workspaces) == os.listdir(paths.trash) == []
