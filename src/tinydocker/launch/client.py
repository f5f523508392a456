"""The program's side of the supervisor: start it, order, and hear the answers.

The program is never forked: the supervisor is made by posix_spawn, whose cost does not depend on
the program's size or threads. Orders may come from any thread.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import CommandNotExecutable, CommandNotFound, StartFailed, SupervisorDied
from . import protocol

_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tinydocker.launch.supervisor import main; main()"
_PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SHUT_WR = 1
_NOT_FOUND = 2
_NOT_A_DIRECTORY = 20

_unreaped: list[int] = []


class Channel:
    """The program's end of what it has ordered."""

    def __init__(self, sock: Any, client: Client, control: Any) -> None:
        self._sock = sock
        self._client = client
        self._control = control
        self._program = os.getpid()
        self._report: dict[str, Any] | None = None

    def fileno(self) -> int:
        """Return the descriptor, which becomes readable with the next answer."""
        return int(self._sock.fileno())

    def answer(self) -> tuple[protocol.Message, list[int]]:
        """Wait for the next answer and take it; raise what it reports as failed."""
        try:
            message, fds = protocol.receive(self._sock)
        except ConnectionError:
            message, fds = None, []
        if message is None:
            raise self._client.died(self._control)
        if "failed" in message:
            raise _as_error(message["failed"])
        return message, fds

    def ended(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """Wait at most ``timeout_s`` for the end and return its report, or None; any thread, any number of times."""
        if self._sock.fileno() < 0:
            return self._report
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if poll.poll(None if left is None else left * 1000):
                break
            if left is not None and left <= 0:
                return None
        try:
            message, _ = protocol.receive(self._sock, peek=True)
        except ConnectionError:
            message = None
        if message is None:
            raise self._client.died(self._control)
        if "failed" in message:
            raise _as_error(message["failed"])
        report: dict[str, Any] = message["ended"]
        return report

    def close(self) -> None:
        """Let go, and wait until what is attached to this channel has ended and is removed."""
        if self._program != os.getpid():
            self._sock.close()  # what was ordered belongs to the program that this one was forked from
        elif self._sock.fileno() >= 0:
            self._report = _hear_out(self._sock).get("ended")
            self._sock.close()

    def keep(self) -> int:
        """Keep an ended container from going with this channel; return its lock, or -1 where it is held no more."""
        try:
            protocol.send(self._sock, {"keep": True})
            while True:
                message, fds = protocol.receive(self._sock)
                if message is None or "kept" in message:
                    return fds[0] if fds else -1
        except OSError:
            return -1

    def kill(self) -> None:
        """Kill what was ordered with all that it has started, even what outlives it."""
        if self._program == os.getpid():
            with suppress(OSError):
                protocol.send(self._sock, {"kill": True})

    def close_keeping(self) -> None:
        """Let go of a mount whose layers the program keeps, or removes itself, and wait until it is gone."""
        if self._program == os.getpid():
            with suppress(OSError):
                protocol.send(self._sock, {"keep": True})
        self.close()

    def forget(self) -> None:
        """Close this descriptor only: copies of it keep what was ordered."""
        self._sock.close()


def _hear_out(sock: Any) -> protocol.Message:
    """Say that nothing more will be ordered, wait for the other side to close, and return its last message."""
    last: protocol.Message = {}
    try:
        sock.shutdown(_SHUT_WR)
        while True:
            message, fds = protocol.receive(sock)
            for fd in fds:
                os.close(fd)
            if message is None:
                return last
            last = message
    except OSError:
        return last


def _as_error(failed: dict[str, Any]) -> StartFailed:
    kind: type[StartFailed] = StartFailed
    if failed["step"] == "execute":
        missing = failed["errno"] in (0, _NOT_FOUND, _NOT_A_DIRECTORY)
        kind = CommandNotFound if missing else CommandNotExecutable
    return kind(failed["step"], failed["errno"], failed["path"], failed["reason"])


class Client:
    """One supervisor process, spawned when it is first needed."""

    def __init__(self, scratch: str) -> None:
        """``scratch`` is an empty directory that serves containers as a mount point in their own namespaces."""
        self._scratch = scratch
        self._lock = threading.Lock()
        self._control: Any = None
        self._program = 0
        self.pid = 0

    def order(self, message: Mapping[str, Any], fds: Mapping[str, int]) -> Channel:
        """Send an order with the named descriptors and return its channel."""
        control = self._running()
        ours, theirs = protocol.pair()
        try:
            protocol.send(control, {**message, "fds": list(fds)}, [theirs.fileno(), *fds.values()])
        except (BrokenPipeError, ConnectionResetError) as err:
            ours.close()
            raise self.died(control) from err
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Channel(ours, self, control)

    def prepare(self) -> None:
        """Spawn the supervisor now, so that the first start does not wait for it."""
        self._running()

    def close(self) -> None:
        """Let the supervisor go, and wait until what was attached is gone; with nothing detached it ends too."""
        with self._lock:
            control, self._control = self._control, None
        if control is None:
            return
        if self._program != os.getpid():
            control.close()
            return
        staying = _hear_out(control).get("staying", False)
        control.close()
        if staying:
            _unreaped.append(self.pid)
            return
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # the program waits for all children itself
        _reap()

    def died(self, control: Any) -> SupervisorDied:
        """Return the error for the supervisor at ``control``, which is gone; the next order starts another."""
        words = ""
        with self._lock:
            if self._control is control and self._program == os.getpid():
                self._control = None
                words = _hear_out(control).get("crashed", "")
                control.close()
                with suppress(ChildProcessError):  # the program waits for all children itself
                    os.waitpid(self.pid, 0)
        reason = "the supervisor has ended, and with it the containers that were attached to it"
        return SupervisorDied(f"{reason}:\n{words}" if words else reason)

    def _running(self) -> Any:
        with self._lock:
            if self._control is not None and self._program == os.getpid():
                return self._control
            self._control, theirs = protocol.pair()
            try:
                self.pid = self._spawn(theirs.fileno())
            except BaseException:
                self._control.close()
                self._control = None
                raise
            finally:
                theirs.close()
            self._program = os.getpid()
            return self._control

    def _spawn(self, control: int) -> int:
        _reap()
        if not sys.executable:
            raise SupervisorDied("this interpreter does not know its own executable (sys.executable is empty)")
        arguments = [sys.executable, "-I", "-S", "-c", _BOOT, _PACKAGE_ROOT, str(os.getpid()), self._scratch]
        return os.posix_spawn(
            sys.executable,
            arguments,
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, control, 3),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )


def _reap() -> None:
    for pid in list(_unreaped):
        try:
            gone, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            gone = pid
        if gone:
            _unreaped.remove(pid)
