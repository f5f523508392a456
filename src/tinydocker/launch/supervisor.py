"""The supervisor: one small process per engine that clones, reaps, records and cleans up.

It is spawned by the program with a socket as descriptor 3 and the program's pid as its argument.
It has one thread and no imports beyond the standard library, so that a clone of it is cheap and
safe. It outlives its program only while something detached runs.

Source: epoll(7), pidfd_open(2), clone3(2).
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import resource
import select
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ..linux import process
from ..store import records, trash
from . import protocol
from .holding import HoldingNamespace
from .task import Task

_CONTROL_FD = 3
_FEW_ENTRIES = 200


class Supervisor:
    """The loop, and what all tasks share."""

    def __init__(self, control: _socket.socket, program_pid: int, scratch: str) -> None:
        self.boot_id = records.boot_id()
        self.null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile[1], self.nofile[1]))
        self._control = control
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._tasks: set[Task] = set()
        self._mounts: dict[int, Mount] = {}
        self._holding = HoldingNamespace(scratch)
        self._host_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
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
        """Work until the program is gone and nothing detached is left."""
        while self._program >= 0 or self._tasks:
            for fd, _ in self._epoll.poll():
                handler = self._handlers.get(fd)
                if handler:
                    handler(fd)
            if self._program < 0:
                self._take_leave()

    def _on_program_end(self, _fd: int) -> None:
        """End what was attached: the program has ended or closed its engine."""
        for fd in (self._program, self._control.fileno()):
            self.forget(fd)
        os.close(self._program)
        self._program = -1
        for mounted in list(self._mounts.values()):
            mounted.on_channel(mounted.fd)
        for task in list(self._tasks):
            if task.attached:
                task.release()

    def _take_leave(self) -> None:
        """Tell a program that waits for it that all that was attached is gone, and whether we go too."""
        if self._control.fileno() < 0 or any(task.attached for task in self._tasks):
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
        except Exception as err:
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

    def clone(self, order: dict[str, Any], fds: dict[str, int]) -> tuple[int, int]:
        """Clone this process for ``order``: into new namespaces, or into a running container's pids."""
        if order["op"] == "start":
            flags = 0
            for namespace in order["config"]["linux"]["namespaces"]:
                flags |= process.CLONE_FLAG[namespace["type"]]
            return process.clone(flags)
        process.enter(fds["container"], process.CLONE_NEWPID)
        pid = 1
        try:
            pid, pidfd = process.clone(0)
        finally:
            if pid:
                process.enter(self._host_pids, process.CLONE_NEWPID)
        return pid, pidfd

    def remove_tree(self, path: str, then: Callable[[], None]) -> None:
        """Remove a container's directory and call ``then``; a big one is removed by a child meanwhile."""
        if _is_small(path):
            trash.remove_tree(path)
            then()
            return
        pid, pidfd = process.clone(0)
        if pid == 0:
            try:
                trash.remove_tree(path)
            finally:
                os._exit(0)

        def on_removed(fd: int) -> None:
            os.waitpid(pid, 0)
            self.forget(fd)
            os.close(fd)
            then()

        self.watch(pidfd, on_removed)

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
    json.loads(json.dumps({}))  # what is loaded on first use is loaded before the first clone
    gc.disable()
    gc.freeze()
    control = _socket.socket(fileno=_CONTROL_FD)
    Supervisor(control, int(sys.argv[1]), sys.argv[2]).serve()
