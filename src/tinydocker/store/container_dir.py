"""A container on disk: its directory, what is recorded in it, and what follows from that.

::

    containers/<id>/
    ├── record.json    what it is; written by the program before anything is made
    ├── state.json     how it fares; written by the supervisor at the start and at the end
    ├── lock           held while a program or a supervisor answers for the container
    ├── log, log.1 …   what it said
    ├── etc/           its hosts, hostname and resolv.conf
    └── layer/         its writable layer: upper/ and work/; made by its first start

Status follows from the two records, the lock and the boot, never from one alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ..errors import ContainerNotFound, StateCorrupt
from . import locks, records, trash

_ID = re.compile(r"[0-9a-f]{12}")
_PARTS_OF_RECORD: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "name": str,
    "created": (int, float),
    "image": dict,
    "rootfs": dict,
    "spec": dict,
    "config": dict,
    "labels": dict,
    "volumes": dict,
    "detach": bool,
    "auto_remove": bool,
}
_PARTS_OF_STATE = {"pid": int, "start_time": int, "boot_id": str}


class ContainerDir:
    """The directory of one container."""

    def __init__(self, containers: str, container_id: str) -> None:
        self.id = container_id
        self.path = f"{containers}/{container_id}"

    @property
    def lock(self) -> str:
        """The lock that is held while somebody answers for the container."""
        return f"{self.path}/lock"

    @property
    def log(self) -> str:
        """The current log file."""
        return f"{self.path}/log"

    @property
    def log_lock(self) -> str:
        """Held by a program that writes the log itself, for as long as it may write more."""
        return f"{self.path}/log.lock"

    @property
    def upper(self) -> str:
        """The upper directory of its overlay."""
        return f"{self.path}/layer/upper"

    @property
    def work(self) -> str:
        """The work directory of its overlay."""
        return f"{self.path}/layer/work"

    def file(self, name: str) -> str:
        """Return the path of one of its files for /etc."""
        return f"{self.path}/etc/{name}"

    @classmethod
    def make(cls, containers: str, container_id: str) -> tuple[ContainerDir, int]:
        """Create the directory of a new container, hidden until :meth:`publish`; return it with its held lock."""
        made = cls(containers, f".{container_id}")
        lock = locks.make_directory(made.path)
        os.mkdir(f"{made.path}/etc", 0o755)
        return made, lock

    @property
    def is_hidden(self) -> bool:
        """Whether it has not been published yet."""
        return self.id.startswith(".")

    def publish(self) -> None:
        """Give the directory its name, all at once, now that its record is complete."""
        containers, hidden = os.path.split(self.path)
        visible = f"{containers}/{hidden[1:]}"
        os.rename(self.path, visible)
        self.id, self.path = hidden[1:], visible

    def make_layer(self) -> None:
        """Make the writable layer, or make the one that is there ready to be mounted again."""
        if os.path.isdir(self.work):
            trash.remove_tree(f"{self.work}/work/incompat")  # the mark that a volatile mount leaves
        else:
            make_layer(f"{self.path}/layer")

    def write_record(self, record: dict[str, Any], *, durable: bool) -> None:
        """Write what the container is."""
        records.write(f"{self.path}/record.json", record, durable=durable)

    def record(self) -> dict[str, Any]:
        """Return what the container is; ContainerNotFound where it is gone."""
        path = f"{self.path}/record.json"
        try:
            record = records.read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerNotFound(f"there is no container {self.id}") from None
        return _checked(path, record, _PARTS_OF_RECORD)

    def state(self) -> dict[str, Any]:
        """Return how the container fares, with its true ``status``.

        ``created``, ``running`` or ``exited``; a container whose supervisor vanished before it
        could record the end has no return code. One that runs has a ``pid``, except for the moment
        between its end and the record of it.
        """
        path = f"{self.path}/state.json"
        try:
            state = records.read(path)
            if state.get("status") != "exited":
                _checked(path, state, _PARTS_OF_STATE)
        except FileNotFoundError:
            if not os.path.lexists(records.aside(path)):
                return {"status": "created"}
            state = {"error": {"step": "read the record", "reason": f"it is damaged: {records.aside(path)}"}}
        except StateCorrupt as err:
            state = {"error": {"step": "read the record", "reason": str(err)}}
        if state.get("status") not in ("running", "exited"):
            return {"status": "exited", "error": state.get("error")}
        if state["status"] == "running" and not self._is_alive(state):
            if state["boot_id"] == records.boot_id() and self.is_claimed():
                return {**state, "pid": None}  # it has ended, and its supervisor is about to record how
            state = {**state, "status": "exited", "error": {"step": "watch", "reason": "its supervisor vanished"}}
        return state

    def _is_alive(self, state: dict[str, Any]) -> bool:
        if state["boot_id"] != records.boot_id():
            return False
        pid = state["pid"]
        return records.process_start_time(pid) == state["start_time"] and not records.is_zombie(pid)

    def is_claimed(self) -> bool:
        """Tell whether a living program or supervisor answers for the container."""
        return locks.is_held(self.lock)


def _checked(path: str, record: dict[str, Any], parts: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Return ``record``, or set it aside where one of its parts is missing or of another kind."""
    for name, kind in parts.items():
        if not isinstance(record.get(name), kind):
            raise records.set_aside(path, f"{name} is {record.get(name)!r:.40}")
    return record


def is_id(name: str) -> bool:
    """Tell whether ``name`` can be an id of ours."""
    return _ID.fullmatch(name) is not None


def ids(containers: str) -> list[str]:
    """Return the ids of all containers, in no order; what else lies there is not ours."""
    try:
        return [name for name in os.listdir(containers) if is_id(name)]
    except FileNotFoundError:
        return []


def make_layer(path: str) -> None:
    """Make an empty writable layer at ``path``; what was begun is completed."""
    for name in ("", "upper", "work"):
        try:
            os.mkdir(os.path.join(path, name), 0o755)
        except FileExistsError:
            continue
    os.chmod(os.path.join(path, "upper"), 0o755)  # whatever the program's umask: it is the mode of the root


def ready_layer(layers: str) -> str:
    """Return the path of a layer that this process makes ahead of need; its name tells whose it is."""
    pid = os.getpid()
    return f"{layers}/{pid}-{records.process_start_time(pid)}-{os.urandom(4).hex()}"


def is_stale_ready_layer(name: str) -> bool:
    """Tell whether the layer ``name`` was made ahead of need by a process that has ended."""
    pid, _, rest = name.partition("-")
    if not pid.isdigit() or records.is_zombie(int(pid)):
        return True
    return str(records.process_start_time(int(pid))) != rest.partition("-")[0]


def hidden(containers: str) -> list[str]:
    """Return the names of the directories that were never published."""
    return [name for name in os.listdir(containers) if name.startswith(".") and is_id(name[1:])]
