"""Compare what is remembered with what is there, and remove what dead programs left.

Nothing is touched whose lock is held, and nothing outside of the engine's own root.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from ..errors import TinydockerError
from . import container_dir, locks, names, records, trash
from .container_dir import ContainerDir
from .paths import Paths


def reconcile(paths: Paths, *, dry_run: bool = False) -> list[str]:
    """Remove what no living program answers for and was not to be kept; return what it is."""
    found: list[str] = []
    for container_id in container_dir.ids(paths.containers):
        directory = ContainerDir(paths.containers, container_id)
        fate = None if directory.is_claimed() else _fate(directory)
        if fate:
            found.append(f"container {container_id} of a program that has ended")
            if not dry_run:
                fate(paths, directory)
    for name in container_dir.hidden(paths.containers):
        if _swept(paths, f"{paths.containers}/{name}", dry_run=dry_run):
            found.append(f"container {name[1:]}, whose making was cut short")
    for name in filter(container_dir.is_stale_ready_layer, os.listdir(paths.ready)):
        found.append("a layer that a dead supervisor had made ready")
        if not dry_run:
            trash.remove_tree(f"{paths.ready}/{name}")
    found += [f"workspace {name} of a program that has ended" for name in sweep_workspaces(paths, dry_run=dry_run)]
    for name in os.listdir(paths.names):
        target = names.holder(paths.names, name)
        if target and container_dir.is_id(target) and not os.path.isdir(f"{paths.containers}/{target}"):
            found.append(f"name {name} of a container that is gone")
            if not dry_run:
                names.release(f"{paths.names}/{name}", target)
    if not dry_run:
        trash.sweep(paths.trash)
    return found


def sweep_workspaces(paths: Paths, *, dry_run: bool = False) -> list[str]:
    """Remove the layers of workspaces that nobody holds; return their names."""
    found = []
    for name in os.listdir(paths.workspaces):
        if container_dir.is_id(name) and _swept(paths, f"{paths.workspaces}/{name}", dry_run=dry_run):
            found.append(name)
    return found


def _fate(directory: ContainerDir) -> Callable[[Paths, ContainerDir], bool] | None:
    """Return what is to be done to a container that nobody answers for: it was to end or to go with its program."""
    try:
        record = directory.record()
    except TinydockerError:  # a damaged record was set aside; what it described is not ours to guess
        return None
    state = directory.state()
    if state["status"] == "running":
        if not state.get("attached", not record["detach"]):
            return None
        return discard if record["auto_remove"] else _end_left_over
    return discard if record["auto_remove"] else None


def _swept(paths: Paths, path: str, *, dry_run: bool) -> bool:
    """Throw a directory away whose lock is free: whoever held it has died."""
    try:
        if not os.path.exists(f"{path}/lock"):
            return not dry_run and locks.sweep_directory(path)
        lock = locks.hold(f"{path}/lock")
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return False
    try:
        if not dry_run:
            trash.discard(path, paths.trash)
    finally:
        os.close(lock)
    return True


def _end_left_over(_paths: Paths, directory: ContainerDir) -> bool:
    try:
        lock = locks.hold(directory.lock)
    except (BlockingIOError, FileNotFoundError):
        return False
    try:
        kill_recorded(directory.state())
    finally:
        os.close(lock)
    return True


def discard(paths: Paths, directory: ContainerDir) -> bool:
    """Remove a container with its names, whatever its record says; False where somebody answers for it."""
    try:
        lock = locks.hold(directory.lock)
    except (BlockingIOError, FileNotFoundError):
        return False
    try:
        kill_recorded(directory.state())
        for name in os.listdir(paths.names):
            names.release(f"{paths.names}/{name}", directory.id)
        place = trash.discard(directory.path, paths.trash)
    finally:
        os.close(lock)
    if place:
        trash.remove_tree(place)
    return True


def kill_recorded(state: dict[str, object]) -> None:
    """Kill the process of a record, if it is still that very process."""
    pid, start_time = state.get("pid"), state.get("start_time")
    if state.get("boot_id") != records.boot_id() or not isinstance(pid, int):
        return
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return
    try:
        if records.process_start_time(pid) == start_time:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def images_in_use(paths: Paths) -> set[str]:
    """Return the ids of the images that recorded containers stand on."""
    used = set()
    for container_id in container_dir.ids(paths.containers):
        try:
            used.add(ContainerDir(paths.containers, container_id).record()["image"]["id"])
        except TinydockerError:
            continue
    return used
