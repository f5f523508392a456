"""The supervisor: one small process per engine that clones, reaps, records and cleans up.

It is spawned by the program with a socket as descriptor 3 and the program's pid as its argument.
It has one thread and no imports beyond the standard library, so that a clone of it is cheap and
safe. It outlives its program only while something detached runs.

Source: pidfd_open(2), prctl(2).
"""

from __future__ import annotations

import _socket
import errno
import gc
import json
import os
import resource
import sys
from functools import partial
from typing import Any

from ..errors import KernelError
from ..linux import capabilities, process
from . import protocol
from .holding import HoldingNamespace
from .loop import Loop
from .removal import Removal
from .spawning import Child, Spawner
from .task import Task

_CONTROL_FD = 3
_MOST_PUT_OFF = 16  # under steady load no moment is idle, and what was put off must not pile up


class Supervisor:
    """What was ordered and still lasts, and the program that it is done for."""

    def __init__(self, control: _socket.socket, program_pid: int, scratch: str) -> None:
        nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (nofile[1], nofile[1]))
        self._loop = Loop()
        self._removal = Removal(self._loop)
        self._spawner = Spawner(nofile)
        self._holding = HoldingNamespace(scratch)
        self._tasks: set[Task] = set()
        self._mounts: dict[int, Mount] = {}
        self._control = control
        self._program = os.pidfd_open(program_pid)
        self._loop.watch(control.fileno(), self._on_order)
        self._loop.watch(self._program, self._on_program_end)

    def serve(self) -> None:
        """Work until the program is gone and nothing is left to watch or to remove."""
        while self._program >= 0 or self._tasks or self._loop.put_off_count or self._removal.is_busy:
            idle = not self._loop.turn(self._wait_ms())
            while self._loop.put_off_count > _MOST_PUT_OFF and self._loop.do_put_off():
                pass
            if idle and not self._loop.do_put_off() and self._program >= 0:
                self._spawner.idle()
            if self._program < 0:
                self._take_leave()

    def _wait_ms(self) -> int | None:
        """Return how long to wait for an event before an idle moment is used; None for ever.

        While a start is on its way nothing else may take the time that its program waits for.
        """
        if any(task.is_starting for task in self._tasks):
            return None
        waits = [self._loop.put_off_ms(), self._spawner.wait_ms() if self._program >= 0 else None]
        return min((wait for wait in waits if wait is not None), default=None)

    def _on_program_end(self, _fd: int) -> None:
        """End what was attached: the program has ended or closed its engine."""
        for fd in (self._program, self._control.fileno()):
            self._loop.forget(fd)
        os.close(self._program)
        self._program = -1
        self._spawner.close()
        for mounted in list(self._mounts.values()):
            mounted.end()
        for task in list(self._tasks):
            if task.attached:
                task.release()

    def _take_leave(self) -> None:
        """Tell a program that waits for it that all that was attached is gone, and whether we go too."""
        at_work = any(task.attached for task in self._tasks) or self._loop.put_off_count or self._removal.is_busy
        if self._control.fileno() < 0 or at_work:
            return
        try:
            protocol.send(self._control, {"staying": bool(self._tasks)})
        except OSError:
            pass  # the program has ended
        if self._tasks:
            self._control.close()

    # -- orders ----------------------------------------------------------------------------------

    def _on_order(self, fd: int) -> None:
        order, fds = protocol.receive(self._control)
        if order is None:
            self._on_program_end(fd)
            return
        if not fds:  # the kernel had no number free, and so there is nobody to answer
            return
        channel = _socket.socket(fileno=fds[0])
        named = dict(zip(order["fds"], fds[1:], strict=False))
        try:
            if len(named) < len(order["fds"]):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
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
        if op == "start":
            self._start(order, channel, fds)
        elif op == "exec":
            self._adopt(self._spawner.for_exec(fds["container"]), order, channel, fds)
        elif op == "rootfs":
            tree = self._holding.clone_root_of(fds["container"])
            protocol.send(channel, {"rootfs": True}, [tree])
            for fd in (tree, *fds.values()):
                os.close(fd)
            channel.close()
        else:
            self._mounts[channel.fileno()] = Mount(
                self._loop, self._holding, self._removal, order, channel, self._mounts
            )

    def _start(self, order: dict[str, Any], channel: _socket.socket, fds: dict[str, int]) -> None:
        rootfs = order["rootfs"]
        if "workspace" in rootfs:
            tree = self._holding.clone(rootfs["workspace"])
            try:
                child = self._spawner.for_start_on(tree, order["template"])
            finally:
                os.close(tree)
        else:
            child = self._spawner.for_start(order["template"], rootfs, order["directory"], order["layers"])
        self._adopt(child, order, channel, fds)
        if self._program >= 0 and self._spawner.is_pressed:
            self._spawner.prepare()  # beside the start that was just handed over

    def _on_over(self, task: Task) -> None:
        """Forget a task; where one container has ended the next may soon be started."""
        self._tasks.discard(task)
        if task.is_container and self._program >= 0:
            self._spawner.prepare()

    def _adopt(self, child: Child, order: dict[str, Any], channel: _socket.socket, fds: dict[str, int]) -> None:
        try:
            task = Task(self._loop, self._removal, child, order, channel, fds, self._on_over)
        except BaseException:
            child.end()
            raise
        self._tasks.add(task)


class Mount:
    """A workspace's mount or tmpfs, which lasts as long as the channel that ordered it."""

    def __init__(
        self,
        loop: Loop,
        holding: HoldingNamespace,
        removal: Removal,
        order: dict[str, Any],
        channel: _socket.socket,
        mounted: dict[int, Mount],
    ) -> None:
        self._loop = loop
        self._removal = removal
        self._channel = channel
        self._mounted = mounted
        self.fd = channel.fileno()
        self._directories: list[str] = order.get(
            "directories", []
        )  # to go unless the program says that it will see to it
        self._trash: str = order.get("trash", "")
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

    def on_channel(self, _fd: int) -> None:
        """Hear that the program will see to the directories, or that it has let go."""
        if protocol.is_pending(self._channel):
            protocol.receive(self._channel)
            self._directories = []
        else:
            self.end()

    def end(self) -> None:
        """Unmount it, and throw away the layers of a program that was cut short."""
        self._loop.forget(self.fd)
        self._unmount()
        for directory in self._directories:
            self._removal.throw_away(directory, self._trash)
        self._channel.close()
        del self._mounted[self.fd]


def _close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # it was handed on before the failure


def main() -> None:
    """Run a supervisor: descriptor 3 is the socket, the arguments are the program's pid and a directory."""
    os.chdir("/")
    os.umask(0)
    process.close_from(_CONTROL_FD + 1)
    os.set_inheritable(_CONTROL_FD, False)
    process.set_name(b"tinydocker")
    process.prctl(process.PR_SET_DUMPABLE, 0)
    # What is made on first use is made before the first clone, once for all children.
    json.loads(json.dumps({}))
    KernelError("", (), errno.ENOENT)
    capabilities.last(), capabilities.held()
    gc.disable()
    gc.freeze()
    control = _socket.socket(fileno=_CONTROL_FD)
    try:
        Supervisor(control, int(sys.argv[1]), sys.argv[2]).serve()
        os._exit(0)  # the interpreter's own end takes milliseconds, and somebody may be waiting
    except BaseException:
        import traceback

        protocol.send(control, {"crashed": traceback.format_exc()})
        raise
