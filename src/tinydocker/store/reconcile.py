"""Compare what is remembered with what is there, and remove what dead programs left.

Nothing is touched whose lock is held, and nothing outside of the engine's own root.
"""

from __future__ import annotations

import os
import signal
import time

from ..errors import TinydockerError
from . import container_dir, locks, names, records, trash
from .container_dir import ContainerDir
from .paths import Paths

_YOUNG_S = 60


def reconcile(paths: Paths, *, dry_run: bool = False) -> list[str]:
    """Remove what no living program answers for and was not to be kept; return what it is."""
    found: list[str] = []
    for container_id in container_dir.ids(paths.containers):
        directory = ContainerDir(paths.containers, container_id)
        if not directory.is_claimed() and _is_left_over(directory):
            found.append(f"container {container_id} of a program that has ended")
            if not dry_run:
                _remove_left_over(paths, directory)
    for name in container_dir.hidden(paths.containers):
        directory = ContainerDir(paths.containers, name)
        if not directory.is_claimed() and _is_abandoned(directory):
            found.append(f"container {name[1:]}, whose making was cut short")
            if not dry_run:
                trash.discard(directory.path, paths.trash)
    for name in os.listdir(paths.workspaces):
        found += _sweep_layer(paths, f"{paths.workspaces}/{name}", dry_run=dry_run)
    for name in os.listdir(paths.names):
        link = f"{paths.names}/{name}"
        target = names.holder(paths.names, name)
        if target and not os.path.isdir(f"{paths.containers}/{target}"):
            found.append(f"name {name} of a container that is gone")
            if not dry_run:
                names.release(link, target)
    if not dry_run:
        trash.sweep(paths.trash)
    return found


def _is_left_over(directory: ContainerDir) -> bool:
    """Tell whether a container that nobody answers for was to go with its program."""
    try:
        record = directory.record()
    except TinydockerError:  # a damaged record was set aside; what it described is not ours to guess
        return False
    if not record["auto_remove"]:
        return False
    return directory.state()["status"] != "running" or not record["detach"]


def _is_abandoned(directory: ContainerDir) -> bool:
    """Tell whether the making of a container was cut short; one whose lock is still to be made is young."""
    try:
        return os.path.exists(directory.lock) or time.time() - os.stat(directory.path).st_ctime > _YOUNG_S
    except FileNotFoundError:
        return False


def _remove_left_over(paths: Paths, directory: ContainerDir) -> None:
    try:
        lock = locks.hold(directory.lock)
    except (BlockingIOError, FileNotFoundError):
        return
    try:
        kill_recorded(directory.state())
        try:
            name = directory.record()["name"]
        except TinydockerError:
            name = ""
        if name:
            names.release(f"{paths.names}/{name}", directory.id)
        trash.discard(directory.path, paths.trash)
    finally:
        os.close(lock)


def kill_recorded(state: dict[str, object]) -> None:
    """Kill the process of a record, if it is still that very process."""
    pid, start_time = state.get("pid"), state.get("start_time")
    if state.get("boot_id") != records.boot_id() or not isinstance(pid, int):
        return
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if records.process_start_time(pid) == start_time:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _sweep_layer(paths: Paths, path: str, *, dry_run: bool) -> list[str]:
    """Remove a workspace's layer that nobody holds."""
    try:
        lock = locks.hold(f"{path}/lock")
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return []
    try:
        if not dry_run:
            trash.discard(path, paths.trash)
    finally:
        os.close(lock)
    return [f"workspace {os.path.basename(path)} of a program that has ended"]


def images_in_use(paths: Paths) -> set[str]:
    """Return the ids of the images that recorded containers stand on."""
    used = set()
    for container_id in container_dir.ids(paths.containers):
        try:
            used.add(ContainerDir(paths.containers, container_id).record()["image"]["id"])
        except TinydockerError:
            continue
    return used
