"""What a container stands on, and the way to its files: running, ended, or on a workspace."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .errors import ContainerNotRunning
from .starting import Made, Rootfs
from .store import locks
from .workspace import Workspace

if TYPE_CHECKING:
    from .engine import Engine
    from .image import Image


def enter_rootfs(engine: Engine, image: Image | Workspace, held: ExitStack) -> Rootfs:
    """Make ``image`` ready to be stood on until ``held`` is closed; a workspace that is not open is opened for it."""
    if isinstance(image, Workspace):
        if not image.is_open:
            held.enter_context(image)
        name = held.enter_context(image._used())
        base = image.image
        resolved = held.enter_context(base._resolved(engine))
        return Rootfs({**resolved.record, "workspace": name}, resolved.config, workspace=name)
    resolved = held.enter_context(image._resolved(engine))
    return Rootfs(resolved.record, resolved.config, resolved.lowerdirs, leases=resolved.leases)


@contextmanager
def running_root(init_pid: int, pidfd: int) -> Iterator[int]:
    """Lend the root of a running container as its processes see it, volumes included."""
    try:
        fd = os.open(f"/proc/{init_pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        raise ContainerNotRunning("the container has just ended") from err
    try:
        # The number may have been another process's when it was opened; not while this one lives.
        signal.pidfd_send_signal(pidfd, 0)
        yield fd
    except ProcessLookupError as err:
        raise ContainerNotRunning("the container has just ended") from err
    finally:
        os.close(fd)


@contextmanager
def bare_root(engine: Engine, made: Made, pidfd: int | None) -> Iterator[int]:
    """Lend the container's own tree, without what is mounted in it: no volume, no /proc, /sys or /dev."""
    if pidfd is not None:
        channel = engine._order({"op": "rootfs"}, {"container": pidfd})
        try:
            _, (tree,) = channel.answer()
        finally:
            channel.close()
        try:
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
        finally:
            os.close(tree)
        try:
            yield fd
        finally:
            os.close(fd)
        return
    with _mounted(engine, made) as fd:
        yield fd


@contextmanager
def _mounted(engine: Engine, made: Made) -> Iterator[int]:
    """Mount the layer of a container that does not run, out of the host's sight, for a while."""
    directory = made.directory
    mutex = locks.hold(f"{directory.path}/mount.lock", wait=True)
    try:
        directory.make_layer()
        order: dict[str, Any] = {
            "op": "mount",
            "id": directory.id,
            "lower": made.record["rootfs"]["lower"],
            "upper": directory.upper,
            "work": directory.work,
            "tmpfs": [],
            "directories": [],
        }
        channel = engine._order(order, {})
        try:
            _, (root,) = channel.answer()
            try:
                yield root
            finally:
                os.close(root)
        finally:
            channel.close()
    finally:
        os.close(mutex)
