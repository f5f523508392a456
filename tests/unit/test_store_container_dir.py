"""What a container's directory says of it: by both records, the lock and the boot, never by one alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinydocker.errors import ContainerNotFound, StateCorrupt
from tinydocker.store import container_dir, locks, records
from tinydocker.store.container_dir import ContainerDir

ID = "0123456789ab"
RECORD: dict[str, Any] = {
    "id": ID, "name": "web", "created": 1.5, "image": {}, "rootfs": {}, "spec": {}, "config": {}, "labels": {},
    "volumes": {}, "detach": False, "auto_remove": True,
}  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> ContainerDir:
    made, lock = ContainerDir.make(str(tmp_path), ID)
    made.write_record(RECORD, durable=False)
    made.publish()
    os.close(lock)
    return made


@pytest.fixture
def alive() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@pytest.fixture
def dead() -> int:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    return process.pid


def running(pid: int, **changes: Any) -> dict[str, Any]:
    state = {"status": "running", "pid": pid, "start_time": records.process_start_time(pid) or 1}
    return {**state, "started": 2.5, "boot_id": records.boot_id(), **changes}


def put(directory: ContainerDir, state: dict[str, Any]) -> None:
    records.write(f"{directory.path}/state.json", state, durable=False)


# -- its making ----------------------------------------------------------------------------------


def test_a_container_is_hidden_and_claimed_until_it_is_published(tmp_path):
    made, lock = ContainerDir.make(str(tmp_path), ID)
    assert made.is_hidden and made.is_claimed()
    assert container_dir.ids(str(tmp_path)) == [] and container_dir.hidden(str(tmp_path)) == [f".{ID}"]
    made.write_record(RECORD, durable=True)
    made.publish()
    assert not made.is_hidden and made.is_claimed() and made.id == ID
    assert container_dir.ids(str(tmp_path)) == [ID] and container_dir.hidden(str(tmp_path)) == []
    os.close(lock)
    assert not made.is_claimed()
    assert made.record() == {"schema": 1, **RECORD}
    assert os.stat(made.path).st_mode & 0o777 == 0o700


def test_the_same_container_is_not_made_twice(tmp_path):
    _, lock = ContainerDir.make(str(tmp_path), ID)
    with pytest.raises(FileExistsError):
        ContainerDir.make(str(tmp_path), ID)
    os.close(lock)


def test_what_is_not_ours_among_the_containers_is_not_seen(directory, tmp_path):
    for name in ("notes.txt", ".gitignore", "lost+found", ".0123456789ab.swp", "0123456789AB", "0123456789ab1", "x"):
        (tmp_path / name).touch()
    assert container_dir.ids(str(tmp_path)) == [ID]
    assert container_dir.hidden(str(tmp_path)) == []
    assert container_dir.ids(str(tmp_path / "nowhere")) == []


# -- its record ----------------------------------------------------------------------------------


def test_a_container_that_is_gone_is_not_found(tmp_path):
    with pytest.raises(ContainerNotFound, match=ID):
        ContainerDir(str(tmp_path), ID).record()


@pytest.mark.parametrize("part", RECORD)
@pytest.mark.parametrize("wrong", [None, [1], 7, "text"], ids=["null", "list", "number", "text"])
def test_a_record_whose_parts_are_missing_or_of_another_kind_is_set_aside_and_named(directory, part, wrong):
    if isinstance(wrong, type(RECORD[part])) or (part == "created" and wrong == 7):
        return
    path = f"{directory.path}/record.json"
    records.write(path, {**RECORD, part: wrong}, durable=False)
    with pytest.raises(StateCorrupt, match=rf"record\.json.*{part}"):
        directory.record()
    assert os.path.exists(f"{path}.damaged") and not os.path.exists(path)


# -- how it fares --------------------------------------------------------------------------------


def test_without_a_state_it_is_created(directory):
    assert directory.state() == {"status": "created"}


def test_a_living_process_runs(directory, alive):
    put(directory, running(alive))
    assert (directory.state()["status"], directory.state()["pid"]) == ("running", alive)


def test_an_end_is_told_as_it_was_recorded(directory, dead):
    ended = {**running(dead), "status": "exited", "returncode": -9, "finished": 3.5}
    put(directory, ended)
    assert directory.state() == {"schema": 1, **ended}


def test_a_dead_process_that_nobody_answers_for_has_ended_and_how_is_unknown(directory, dead):
    put(directory, running(dead))
    state = directory.state()
    assert state["status"] == "exited" and "returncode" not in state and state["error"]["reason"]


def test_a_dead_process_whose_end_is_about_to_be_recorded_runs_and_has_no_number_any_more(directory, dead):
    put(directory, running(dead))
    lock = locks.hold(directory.lock)
    assert (directory.state()["status"], directory.state()["pid"]) == ("running", None)
    os.close(lock)
    assert directory.state()["status"] == "exited"


def test_a_zombie_has_ended(directory):
    with subprocess.Popen(["/bin/true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        put(directory, running(process.pid))
        assert directory.state()["status"] == "exited"


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("change", [{"boot_id": "0" * 36}, {"start_time": 1}])
def test_a_process_of_another_boot_or_another_time_is_not_the_containers(directory, alive, change, claimed):
    put(directory, running(alive, **change))
    lock = locks.hold(directory.lock) if claimed else -1
    state = directory.state()
    if claimed:
        os.close(lock)
    assert state["status"] == "exited" or state["pid"] is None
    if "boot_id" in change or not claimed:
        assert state["status"] == "exited"


DAMAGE = {
    "empty": b"",
    "truncated": b'{"schema":1,"status":"runn',
    "zeroed": bytes(200),
    "garbage": b"\xff\xfe\0\x01",
    "list": b"[]",
    "no status": b'{"schema":1}',
    "unknown status": b'{"schema":1,"status":"paused?","pid":1,"start_time":1,"boot_id":"x"}',
    "no pid": b'{"schema":1,"status":"running"}',
    "text for a pid": b'{"schema":1,"status":"running","pid":"self","start_time":1,"boot_id":"x"}',
    "a list for a status": b'{"schema":1,"status":["running"]}',
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_is_an_end_of_which_nothing_is_known_however_often_one_asks(directory, content):
    Path(directory.path, "state.json").write_bytes(content)
    for _ in range(3):
        state = directory.state()
        assert state["status"] == "exited" and "returncode" not in state
        if content.strip() and b"unknown" not in content and b"paused" not in content:
            assert "state.json" in json.dumps(state["error"])
    assert directory.record()["name"] == "web", "its record is not concerned"


def test_a_state_that_is_written_again_counts_again(directory, alive):
    Path(directory.path, "state.json").write_bytes(b"damaged")
    assert directory.state()["status"] == "exited"
    put(directory, running(alive))
    assert directory.state()["status"] == "running"
