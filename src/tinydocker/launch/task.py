"""One task: a container's init or a command executed in a container, from its order to its recorded end.

    clone ──▶ report: ready, then closed ──▶ started ──▶ its process ends ──▶ reaped, logged, recorded,
      └─────▶ report: failed, or closed too early ──▶ reaped ──▶ failed            torn down ──▶ ended

A task belongs to the supervisor's loop, which calls ``on_report``, ``on_output``, ``on_exit`` and
``on_channel`` when the descriptor of that name has something.
"""

from __future__ import annotations

import _socket
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import TinydockerError
from ..store import names, records, trash
from . import kill, logs, protocol
from .loop import Loop
from .removal import Removal
from .spawning import Child

_CHUNK_BYTES = 256 * 1024
_RECORD_AFTER_S = 0.005


class Task:
    """What the supervisor knows of one process that it has cloned."""

    def __init__(
        self,
        loop: Loop,
        removal: Removal,
        child: Child,
        order: dict[str, Any],
        channel: _socket.socket,
        fds: dict[str, int],
        on_over: Callable[[Task], object],
    ) -> None:
        self.order = order
        self.is_container = order["op"] == "start"
        self.attached: bool = order["attached"]
        self.directory: str = order.get("directory", "")
        self.released = False  # the program has let go
        self.ended = False
        self.began = time.monotonic_ns()
        self.pid, self.pidfd, self._report = child.pid, child.pidfd, child.report
        self._mount_namespace = child.mount_namespace
        self._child = child
        self._loop = loop
        self._removal = removal
        self._channel = channel
        self._fds = fds
        self._on_over = on_over
        self._state: dict[str, Any] = {}
        self._log = self._open_log(order.get("log"))
        self._outputs: dict[int, bytes] = {}
        self._verdict = -1
        self._failure: dict[str, Any] | None = None
        self._ready = self._started = False
        self._mark = 0
        self._hand_over()
        loop.watch(self._report.fileno(), self.on_report)
        loop.watch(self.pidfd, self.on_exit)
        loop.watch(channel.fileno(), self.on_channel)

    @property
    def is_starting(self) -> bool:
        """Whether its command does not run yet."""
        return not self._started and not self.ended

    # -- the start -------------------------------------------------------------------------------

    def _open_log(self, log: dict[str, Any] | None) -> logs.LogWriter | None:
        return logs.LogWriter(log["path"], log["max_bytes"], log["max_files"]) if log else None

    def _hand_over(self) -> None:
        """Give the child its order and its descriptors, and keep what is the supervisor's."""
        theirs = {name: self._fds.pop(name) for name in list(self._fds) if _is_for_child(name)}
        if self._log and not self.order["terminal"]:
            for name in ("stdout", "stderr"):
                reading, theirs[name] = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(reading, False)
                self._outputs[reading] = name.encode()
                self._loop.watch(reading, self.on_output)
        if self.order.get("init"):
            self._verdict, theirs["verdict"] = os.pipe2(os.O_CLOEXEC)
        try:
            message = {"config": self.order["config"], "attached": self.attached}
            protocol.send(self._report, {**message, "fds": list(theirs)}, list(theirs.values()))
        except BrokenPipeError:
            pass  # it has ended, and what it has reported says why
        finally:
            for fd in theirs.values():
                os.close(fd)

    def on_report(self, fd: int) -> None:
        """Hear from the child how far it has come."""
        try:
            message, fds = protocol.receive(self._report)
        except ConnectionResetError:  # it ended before it had read its order; what it said is still there
            message, fds = protocol.receive(self._report)
        if message is None:
            self._loop.forget(fd)
            self._report.close()
            if self._ready and self._failure is None:
                self._announce()
        elif "terminal" in message:
            self._take_terminal(fds[0])
        elif "prepared" in message:
            self._take_layer()
        elif "ready" in message:
            self._ready = True
            self._mark = message["mark"]
        else:
            self._failure = message["failed"]

    def _take_layer(self) -> None:
        """Give the container the layer that the child has mounted, if that was made ahead of need."""
        layer, self._child.layer = self._child.layer, ""
        if not layer:
            return
        try:
            os.rename(layer, f"{self.directory}/layer")
        except OSError as err:
            trash.remove_tree(layer)
            self._failure = {"step": "take the layer", "errno": err.errno, "path": self.directory, "reason": ""}
            self.kill()

    def _take_terminal(self, master: int) -> None:
        if self._log:
            os.set_blocking(master, False)
            self._outputs[master] = b"stdout"
            self._loop.watch(master, self.on_output)
        self._fds["terminal"] = master

    def _announce(self) -> None:
        started = time.time()
        if self.is_container and self.order["announced"]:
            if not self._record_running(started):
                self.kill()
                return
        elif self.is_container:  # its program asks nothing before the end, and most have ended by then
            self._loop.later(partial(self._record_running, started), _RECORD_AFTER_S)
        self._started = True
        fds = [self.pidfd]
        if "terminal" in self._fds:
            fds.append(self._fds["terminal"])
        if self.order.get("announced", True):
            self._answer({"started": {"pid": self.pid}}, fds)
        if "terminal" in self._fds and not self._log:
            os.close(self._fds.pop("terminal"))

    def _record_running(self, started: float) -> bool:
        if self.ended:
            return True
        running = {"status": "running", "pid": self.pid, "start_time": records.process_start_time(self.pid)}
        return self._record({**running, "started": started, "attached": self.attached})

    def _record(self, state: dict[str, Any]) -> bool:
        """Record how it fares; what cannot be recorded is told to its program, and ends nobody else."""
        if not self.is_container:
            return True
        self._state.update(state, boot_id=records.boot_id())
        path = f"{self.directory}/state.json"
        try:
            records.write(path, self._state, durable=self.order["durable"])
        except OSError as err:
            self._failure = {"step": "write the record", "errno": err.errno or 0, "path": path, "reason": ""}
            state["record_lost"] = f"{path}: {err.strerror}"
            return False
        return True

    # -- while it runs ---------------------------------------------------------------------------

    def on_output(self, fd: int) -> bool:
        """Move what was written into the log; return whether there may be more."""
        assert self._log is not None
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose last slave was closed says EIO
            data = b""
        if data:
            self._log.write(self._outputs[fd], data)
            return True
        self._close_output(fd)
        return False

    def _close_output(self, fd: int) -> None:
        self._loop.forget(fd)
        del self._outputs[fd]
        if self._fds.get("terminal") == fd:
            del self._fds["terminal"]
        os.close(fd)

    def on_channel(self, fd: int) -> None:
        """Do what the program asks of a task, or end what it has let go of.

        It may ask to ``kill`` a command with all that it has started, or to ``keep`` an ended
        container, whose lock it then gets back. Our end stays open until all is done: the program
        may be waiting for that.
        """
        message = protocol.receive(self._channel)[0] if protocol.is_pending(self._channel) else None
        if message is not None and "kill" in message:
            self.kill()
        elif message is not None and self.ended:
            self.order["remove"] = "never"
            self._answer({"kept": True}, [self._fds["lock"]])
        else:
            self._loop.forget(fd)
            self.release()

    def release(self) -> None:
        """End what was attached, and remove what was to last as long as the program held it."""
        if self.released:
            return
        self.released = True
        if self.ended:
            self._dissolve({}, remove=self.order.get("remove") == "at_close")
        elif self.attached:
            self.kill()

    def kill(self) -> None:
        """Kill the process and all that it started: of a container's init, the kernel does it."""
        if self._mark:
            kill.kill_marked(self._mark)
        if self.ended:
            return
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    # -- the end ---------------------------------------------------------------------------------

    def on_exit(self, fd: int) -> None:
        """Reap, then drain, record, tear down and tell, in this order."""
        while self._report.fileno() >= 0:
            self.on_report(self._report.fileno())
        _, status, usage = os.wait4(self.pid, 0)
        self._loop.forget(fd)
        os.close(fd)
        self.ended = True
        for output in list(self._outputs):
            while self.on_output(output):
                pass
            if output in self._outputs:
                self._close_output(output)
        if self._started:
            self._end(self._true_status(status), usage.ru_utime + usage.ru_stime)
        else:
            self._undo(status)

    def _true_status(self, status: int) -> int:
        if self._verdict < 0:
            return status
        said = os.read(self._verdict, 16)
        return int(said) if said else status

    def _end(self, status: int, cpu_seconds: float) -> None:
        ended = {
            "status": "exited",
            "returncode": os.waitstatus_to_exitcode(status),
            "finished": time.time(),
            "duration": (time.monotonic_ns() - self.began) / 1e9,
            "cpu_seconds": cpu_seconds,
        }
        if self._log and self._log.lost:
            ended["log_lost"] = str(self._log.lost)
        self._close_log()
        remove = self.order.get("remove", "never")
        if remove == "at_close" and not self.released:
            self._record(ended)
            self._answer({"ended": ended}, [])  # and wait for the program to let go
            return
        if remove == "never" or not self.attached:
            self._record(ended)
        self._dissolve({"ended": ended}, remove=remove != "never")

    def _undo(self, status: int) -> None:
        failure = self._failure or {
            "step": "start",
            "errno": 0,
            "path": "",
            "reason": f"the process ended before the command was executed (wait status {status})",
        }
        self._close_log()
        if self._child.layer:
            trash.remove_tree(self._child.layer)
        remove = self.order.get("undo", "remove") == "remove"
        if not remove:
            self._record({"status": "exited", "returncode": 125, "finished": time.time(), "error": failure})
        self._dissolve({"failed": failure}, remove=remove)

    def _release_later_name(self) -> None:
        """Release the name that the container was given after its start, if it was."""
        try:
            name = records.read(f"{self.directory}/record.json")["name"]
        except (OSError, TinydockerError):
            return  # it was replaced, or is damaged: reconciliation sees to the rest
        names.release(f"{os.path.dirname(self.order['name_link'])}/{name}", self.order["id"])

    def _close_log(self) -> None:
        if self._log:
            self._log.close()
            self._log = None

    def _dissolve(self, last: protocol.Message, *, remove: bool) -> None:
        """Give back all that was held, with ``remove`` the directory and the name too; then say ``last``."""
        if remove and self.directory:
            if not names.release(self.order["name_link"], self.order["id"]):
                self._release_later_name()
            self._removal.throw_away(self.directory, self.order["trash"])
        for held in self._fds.values():
            os.close(held)
        self._fds.clear()
        if self._verdict >= 0:
            os.close(self._verdict)
        if last:
            self._answer(last, [])
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        if self._mount_namespace >= 0:
            self._loop.later(partial(os.close, self._mount_namespace))
        self._on_over(self)

    def _answer(self, message: protocol.Message, fds: list[int]) -> None:
        try:
            protocol.send(self._channel, message, fds)
        except OSError:
            pass  # the program is gone, or has let go


def _is_for_child(name: str) -> bool:
    return name in ("stdin", "stdout", "stderr", "container") or name.startswith("tree:")
