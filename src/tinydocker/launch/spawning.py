"""Clone the supervisor's children, one of them ahead of need.

A program that has started one container soon starts another like it. A child that was cloned and
has prepared itself while nobody waited takes half of a start's time away. It is let go when no
start has asked for it for a while.
"""

from __future__ import annotations

import _socket
import json
import os
import select
import signal
import time
from typing import Any

from ..linux import process
from ..store import container_dir, trash
from . import child, protocol
from .start import Start

_IDLE_MS = 5
_KEPT_S = 30.0
_PRESSED_S = 0.008


class Child:
    """A process that waits for its order on ``report``."""

    __slots__ = ("layer", "mount_namespace", "pid", "pidfd", "report")

    def __init__(self, pid: int, pidfd: int, report: _socket.socket, mount_namespace: int = -1) -> None:
        """``mount_namespace`` keeps it from being taken apart while the process's end is waited for."""
        self.pid = pid
        self.pidfd = pidfd
        self.report = report
        self.mount_namespace = mount_namespace
        self.layer = ""  # the layer that was made for it ahead of need, until its container gets it

    def is_alive(self) -> bool:
        """Tell whether it has not ended; what it has reported is still to be read."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return not poll.poll(0)

    def end(self) -> None:
        """Kill and reap it, and remove what was made for it."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for fd in (self.pidfd, self.mount_namespace):
            if fd >= 0:
                os.close(fd)
        self.report.close()
        if self.layer:
            trash.remove_tree(self.layer)


class Spawner:
    """Makes children; keeps one ready for the kind of start that came last, on the same image."""

    def __init__(self, nofile: tuple[int, int]) -> None:
        """``nofile`` is the limit of open files that commands inherit."""
        self._nofile = nofile
        self._host_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._ready: Child | None = None
        self._template = ""
        self._parsed: dict[str, Any] = {}
        self._rootfs: dict[str, Any] = {}
        self._layers = ""
        self._until = 0.0
        self._last_start = 0.0
        self.is_pressed = False  # starts follow each other so fast that there is no idle moment between them

    def for_start(self, template: str, rootfs: dict[str, Any], directory: str, layers: str) -> Child:
        """Return a child in new namespaces, on the container's layer over ``rootfs``: the one that is ready if it fits.

        ``rootfs`` has the ``lower`` directories and their ``inodes``, ``directory`` is the
        container's. One that was never started gets the layer of the child that is ready, as soon
        as that says that it has mounted it, or a new one. ``layers`` is where layers are made
        ahead of need.
        """
        ready, self._ready = self._ready, None
        fits = self._adopt_template(template) and rootfs == self._rootfs
        self._rootfs, self._layers = rootfs, layers
        layer = f"{directory}/layer"
        if ready is not None:
            if fits and ready.is_alive() and not os.path.exists(layer):
                return ready
            ready.end()
        container_dir.make_layer(layer)
        return self._clone(self._parsed, child.START, self._root(layer))

    def for_start_on(self, tree: int, template: str) -> Child:
        """Return a child in new namespaces, on the detached mount ``tree`` of a workspace."""
        self._adopt_template(template)
        return self._clone(self._parsed, child.START, {"tree": tree})

    def _adopt_template(self, template: str) -> bool:
        """Make ``template`` the kind of start that came last; tell whether the one before was of that kind."""
        now = time.monotonic()
        self.is_pressed, self._last_start = now - self._last_start < _PRESSED_S, now
        if template == self._template:
            return True
        self._template, self._parsed = template, _known_to_this_kernel(json.loads(template))
        return False

    def _root(self, layer: str) -> dict[str, Any]:
        return {"lower": self._rootfs["lower"], "upper": f"{layer}/upper", "work": f"{layer}/work"}

    def for_exec(self, container: int) -> Child:
        """Return a child in the pid namespace of the container whose init the pidfd ``container`` stands for."""
        process.enter(container, process.CLONE_NEWPID)
        try:
            return self._clone({}, child.EXEC, {})
        finally:
            process.enter(self._host_pids, process.CLONE_NEWPID)

    def wait_ms(self) -> int | None:
        """Return how long the loop may wait before :meth:`idle` has something to do; None for ever."""
        if self._ready is not None:
            return max(0, int((self._until - time.monotonic()) * 1000))
        return _IDLE_MS if self._template and self._rootfs else None

    def idle(self) -> None:
        """Use a moment in which nothing happens: get a child ready, or let one go that nobody has asked for."""
        if self._ready is None:
            self.prepare()
        elif time.monotonic() >= self._until:
            self.close()

    def prepare(self) -> None:
        """Get a child ready for the kind of start that came last, if there was one."""
        if self._ready is not None or not self._template or not self._rootfs:
            return
        layer = container_dir.ready_layer(self._layers)
        try:
            container_dir.make_layer(layer)
            self._ready = self._clone(self._parsed, child.START, self._root(layer))
            self._ready.layer = layer
        except OSError:  # such as a full disk: the next start says so itself
            self._template = ""
            trash.remove_tree(layer)
        self._until = time.monotonic() + _KEPT_S

    def close(self) -> None:
        """Let the child that is ready go."""
        self._template = ""
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.end()

    def _clone(self, template: dict[str, Any], steps: child.Steps, root: dict[str, Any]) -> Child:
        flags = 0
        for namespace in template["linux"]["namespaces"] if template else ():
            flags |= process.CLONE_FLAG[namespace["type"]]
        ours, theirs = protocol.pair()
        try:
            pid, pidfd = process.clone(flags)
            if pid == 0:
                child.run(Start(theirs, template, root, self._nofile), steps)
            namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) if template else -1
            return Child(pid, pidfd, ours, namespace)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()


def _known_to_this_kernel(template: dict[str, Any]) -> dict[str, Any]:
    """Leave out the paths to be hidden that this kernel does not have, once for all starts."""
    linux = dict(template["linux"])
    for part in ("maskedPaths", "readonlyPaths"):
        linux[part] = [path for path in linux.get(part, ()) if os.path.lexists(path)]
    return {**template, "linux": linux}
