"""The supervisor: one small process per engine that clones, reaps, records and cleans up.

It is spawned by the program with a socket as descriptor 3 and the program's pid as its argument.
It has one thread and no imports beyond the standard library, so that a clone of it is cheap and
safe. It outlives its program only while something detached runs.

Source: epoll(7), pidfd_open(2), clone3(2).
"""

from __future__ import annotations

import _socket
import bisect
import errno
import gc
import json
import os
import resource
import select
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import KernelError
from ..linux import capabilities, process
from ..store import records, trash
from . import protocol
from .holding import HoldingNamespace
from .spawning import Spawner
from .task import Task

_CONTROL_FD = 3
_FEW_ENTRIES = 200


class Supervisor:
    """The loop, and what all tasks share."""

    def __init__(self, control: _socket.socket, program_pid: int, scratch: str) -> None:
        self.boot_id = records.boot_id()
        nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (nofile[1], nofile[1]))
        self.spawner = Spawner(nofile)
        self._control = control
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._tasks: set[Task] = set()
        self._mounts: dict[int, Mount] = {}
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._removers: dict[int, int] = {}
        self._holding = HoldingNamespace(scratch)
        self._program = os.pidfd_open(program_pid)
        self.watch(control.fileno(), self._on_order)
        self.watch(self._program, self._on_program_end)

    # -- the loop --------------------------------------------------------------------------------

    def watch(self, fd: int, handler: Callable[[int], object]) -> None:
        """Call ``handler(fd)`` whenever ``fd`` has something."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Watch ``fd`` no longer; to be called before it is closed."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def serve(self) -> None:
        """Work until the program is gone and nothing is left to watch or to remove."""
        while self._program >= 0 or self._tasks or self._later or self._removers:
            wait_ms = self._wait_ms()
            events = self._epoll.poll(None if wait_ms is None else wait_ms / 1000)
            for fd, _ in events:
                handler = self._handlers.get(fd)
                if handler:
                    handler(fd)
            if not events:
                self._use_idle_moment()
            if self._program < 0:
                self._take_leave()

    def _wait_ms(self) -> int | None:
        """Return how long to wait for an event before an idle moment is used; None for ever.

        While a start is on its way nothing else may take the time that its program waits for.
        """
        if any(task.is_starting for task in self._tasks):
            return None
        waits = [max(0, int((due - time.monotonic()) * 1000)) for due, _ in self._later[:1]]
        if self._program >= 0 and (idle_ms := self.spawner.wait_ms()) is not None:
            waits.append(idle_ms)
        return min(waits, default=None)

    def _use_idle_moment(self) -> None:
        if self._later and self._later[0][0] <= time.monotonic():
            self._later.pop(0)[1]()
        elif self._program >= 0:
            self.spawner.idle()

    def _on_program_end(self, _fd: int) -> None:
        """End what was attached: the program has ended or closed its engine."""
        for fd in (self._program, self._control.fileno()):
            self.forget(fd)
        os.close(self._program)
        self._program = -1
        self.spawner.close()
        for mounted in list(self._mounts.values()):
            mounted.on_channel(mounted.fd)
        for task in list(self._tasks):
            if task.attached:
                task.release()

    def _take_leave(self) -> None:
        """Tell a program that waits for it that all that was attached is gone, and whether we go too."""
        waited_for = any(task.attached for task in self._tasks) or self._later or self._removers
        if self._control.fileno() < 0 or waited_for:
            return
        try:
            protocol.send(self._control, {"staying": bool(self._tasks)})
        except OSError:
            pass  # the program has ended
        if self._tasks:
            self._control.close()

    def retire(self, task: Task) -> None:
        """Forget a task that is over."""
        self._tasks.discard(task)

    # -- orders ----------------------------------------------------------------------------------

    def _on_order(self, fd: int) -> None:
        order, fds = protocol.receive(self._control)
        if order is None:
            self._on_program_end(fd)
            return
        channel = _socket.socket(fileno=fds[0])
        named = dict(zip(order["fds"], fds[1:], strict=True))
        try:
            self._carry_out(order, channel, named)
        except Exception as err:  # noqa: BLE001 - one bad order must not end what others have started
            for descriptor in named.values():
                _close_quietly(descriptor)
            reason = str(err) or type(err).__name__
            failed = {"step": order["op"], "errno": getattr(err, "errno", 0) or 0, "path": "", "reason": reason}
            protocol.send(channel, {"failed": failed})
            channel.close()

    def _carry_out(self, order: dict[str, Any], channel: _socket.socket, fds: dict[str, int]) -> None:
        op = order["op"]
        if op in ("mount", "tmpfs"):
            self._mounts[channel.fileno()] = Mount(self, self._holding, order, channel)
        elif op == "rootfs":
            tree = self._holding.clone_root_of(fds["container"])
            protocol.send(channel, {"rootfs": True}, [tree])
            for fd in (tree, *fds.values()):
                os.close(fd)
            channel.close()
        else:
            if "workspace" in order.get("rootfs", {}):
                fds["tree"] = self._holding.clone(order["rootfs"]["workspace"])
            self._tasks.add(Task(self, order, channel, fds))
            if op == "start" and self._program >= 0 and self.spawner.is_pressed:
                self.spawner.prepare()  # beside the start that was just handed over

    def throw_away(self, path: str, trash_dir: str) -> None:
        """Take a container's directory away at once, and remove what was in it when nobody waits."""
        place = trash.discard(path, trash_dir)
        if place:
            self.later(partial(self._remove, place))

    def later(self, act: Callable[[], object], delay_s: float = 0.0) -> None:
        """Call ``act`` when nothing else is to be done, ``delay_s`` from now at the earliest, and before leaving."""
        bisect.insort(self._later, (time.monotonic() + delay_s, act), key=_due)

    def _remove(self, path: str) -> None:
        """Remove a tree; a big one is removed by a child meanwhile."""
        if _is_small(path):
            trash.remove_tree(path)
            return
        pid, pidfd = process.clone(0)
        if pid == 0:
            try:
                trash.remove_tree(path)
            finally:
                os._exit(0)
        self._removers[pidfd] = pid
        self.watch(pidfd, self._on_removed)

    def _on_removed(self, fd: int) -> None:
        self.forget(fd)
        os.waitpid(self._removers.pop(fd), 0)
        os.close(fd)

    def unmounted(self, fd: int) -> None:
        """Forget the mount whose channel was ``fd``."""
        del self._mounts[fd]


class Mount:
    """A workspace's mount or tmpfs, which lasts as long as the channel that ordered it."""

    def __init__(
        self, loop: Supervisor, holding: HoldingNamespace, order: dict[str, Any], channel: _socket.socket
    ) -> None:
        self._loop = loop
        self._channel = channel
        self.fd = channel.fileno()
        name: str = order["id"]
        if order["op"] == "tmpfs":
            root = holding.mount_tmpfs(name, order["bytes"])
            self._unmount = partial(holding.unmount_tmpfs, name)
        else:
            root = holding.mount(name, order)
            self._unmount = partial(holding.unmount, name)
        protocol.send(channel, {"mounted": True}, [root])
        os.close(root)
        loop.watch(self.fd, self.on_channel)

    def on_channel(self, fd: int) -> None:
        """Take it away: the program has let go of it."""
        self._loop.forget(fd)
        self._unmount()
        self._channel.close()
        self._loop.unmounted(fd)


def _due(entry: tuple[float, Callable[[], object]]) -> float:
    return entry[0]


def _is_small(path: str) -> bool:
    """Tell whether a tree has so few entries that removing it delays nobody."""
    seen, pending = 0, [path]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > _FEW_ENTRIES:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return True


def _close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # it was handed on before the failure


def main() -> None:
    """Run a supervisor: descriptor 3 is the socket, the arguments are the program's pid and a directory."""
    os.setsid()
    os.chdir("/")
    os.umask(0)
    process.close_from(_CONTROL_FD + 1)
    os.set_inheritable(_CONTROL_FD, False)
    process.set_name(b"tinydocker")
    process.prctl(process.PR_SET_DUMPABLE, 0)
    # What is made on first use is made before the first clone, once for all children.
    json.loads(json.dumps({}))
    KernelError("", (), errno.ENOENT)
    capabilities.last()
    gc.disable()
    gc.freeze()
    control = _socket.socket(fileno=_CONTROL_FD)
    try:
        Supervisor(control, int(sys.argv[1]), sys.argv[2]).serve()
    except BaseException:
        import traceback

        protocol.send(control, {"crashed": traceback.format_exc()})
        raise
