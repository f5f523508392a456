"""The life of a container: a value, then created, running, exited, gone."""

from __future__ import annotations

import os
import signal as signals
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, TypeVar

from . import content, execution, starting
from .errors import ContainerNotRunning, ContainerRunning, ContainerTimeout, InUse, TinydockerError
from .handle import Handle
from .process import PIPE, ContainerProcess
from .spec.parse import parse_duration, parse_name, parse_signal
from .store import locks, names, trash
from .store.container_dir import ContainerDir

C = TypeVar("C", bound="Lifecycle")
_LETTING_GO_S = 1.0


class Lifecycle(Handle):
    """Every change of a container's state."""

    def __enter__(self: C) -> C:
        if self._entered or (self._made and self._owner != os.getpid()):
            raise TinydockerError(f"{self!r} is entered already, or belongs to another: enter a with_ copy of it")
        if self._started is None:
            self.start()
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_owner", 0):
            return
        try:
            if self._owner == os.getpid() and not self._spec.detach:
                warnings.warn(f"{self!r} was never closed: use `with`, or call remove()", ResourceWarning, stacklevel=2)
        finally:
            if self._started:
                _close_started(self._started, waiting=False)

    # -- its life --------------------------------------------------------------------------------

    def create(self: C) -> C:
        """Record the container and take its name, without starting it; return itself."""
        if self._made:
            raise TinydockerError(f"{self!r} exists already")
        engine = self._opened_engine()
        with ExitStack() as undo:
            self._rootfs = content.enter_rootfs(engine, self._image, undo)
            self._made = starting.make(engine, self._spec, self._rootfs)
            self._held = undo.pop_all()
        self._owner = os.getpid()
        return self

    def start(self: C, *, detach: bool | None = None) -> C:
        """Start it, created first if need be; return itself once the command runs.

        Its output goes to the log. ``detach`` overrides the option of that name for this handle.
        Raises CommandNotFound, CommandNotExecutable or StartFailed, and then nothing is left of a
        first start.
        """
        if detach is not None:
            self._spec = self._spec.with_options(detach=detach, auto_remove=self._spec.auto_remove)
        streams = execution.Streams.open(PIPE if self._spec.stdin and not self._spec.tty else None, None, None)
        try:
            self._launch(streams.theirs, logged=True)
        except BaseException:
            streams.close()
            raise
        streams.close_theirs()
        terminal = self._started.terminal if self._started else -1
        if terminal >= 0:
            self._stdin = os.fdopen(os.dup(terminal), "wb", buffering=0)
        elif "stdin" in streams.ours:
            self._stdin = os.fdopen(streams.ours["stdin"], "wb", buffering=0)
        return self

    def start_process(
        self,
        *,
        stdin: Any = None,
        stdout: Any = PIPE,
        stderr: Any = PIPE,
        text: bool = False,
        size: tuple[int, int] | None = None,
    ) -> ContainerProcess:
        """Start it with the command's streams in the caller's hands, and not in the log.

        Streams are given as to subprocess.Popen, where None is the null device. With ``tty`` the
        process's stdin and stdout are the terminal, of ``size`` (rows, columns). Closing the
        process ends the container.
        """
        return self._start_process(stdin, stdout, stderr, text, size=size)

    def _start_process(
        self,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        text: bool,
        *,
        size: tuple[int, int] | None = None,
        one_shot: bool = False,
    ) -> ContainerProcess:
        if self._spec.tty:
            stdin = stdout = stderr = None
        streams = execution.Streams.open(stdin, stdout, stderr)
        try:
            self._launch(streams.theirs, logged=False, size=size, one_shot=one_shot)
        except BaseException:
            streams.close()
            raise
        streams.close_theirs()
        started = self._started
        assert started and self._made
        terminal = os.dup(started.terminal) if started.terminal >= 0 else None
        arguments = self._made.record["config"]["process"]["args"]
        pidfd = os.dup(started.pidfd) if started.pidfd >= 0 else -1
        return ContainerProcess(
            arguments, started.channel, started.pid, pidfd, text=text, terminal=terminal, detached=False, **streams.ours
        )

    def _launch(
        self,
        streams: Mapping[str, int],
        *,
        logged: bool,
        size: tuple[int, int] | None = None,
        one_shot: bool = False,
    ) -> None:
        first = self._made is None or self._state()["status"] == "created"
        if self._made is None:
            self.create()
        elif self._state()["status"] == "running":
            raise ContainerRunning(f"{self!r} runs already")
        made, engine = self._made, self._opened_engine()
        assert made
        with ExitStack() as borrowed:
            rootfs = self._rootfs or content.enter_rootfs(engine, self._image, borrowed)
            self._leave_previous(made)
            if made.lock < 0:
                made.lock = _claimed(made.directory, self)
            remove = "never"
            if self._spec.auto_remove:
                remove = "at_end" if one_shot or self._spec.detach else "at_close"
            # Who only waits for the end hears of a failed start then, and of a successful one not at all.
            announced = not one_shot or self._spec.tty
            try:
                channel = starting.order(
                    engine,
                    made,
                    self._spec,
                    streams=streams,
                    logged=logged,
                    remove=remove,
                    first=first,
                    leases=rootfs.leases,
                    announced=announced,
                    size=size,
                )
                self._started = starting.await_start(channel) if announced else starting.Started(channel)
            except BaseException:
                if first:
                    self._forget_failed()
                raise
            finally:
                made.release()

    def _leave_previous(self, made: starting.Made) -> None:
        """Let go of the last run, which has ended, and keep what it left: its lock never comes free meanwhile."""
        previous, self._started = self._started, None
        self._last_code = None
        if self._stdin:
            self._stdin.close()
            self._stdin = None
        if previous:
            made.lock = previous.channel.keep()
            _close_started(previous)

    def _forget_failed(self) -> None:
        """Undo the making of a container whose first start failed: nothing is left of what the supervisor never saw."""
        if self._made:
            self._discard(self._made)
        self._held.close()
        self._reset()

    def stop(self, timeout: float | None = None) -> int | None:
        """Send the stop signal, kill everything after ``timeout`` seconds (the option's 10), and return the code.

        Returns as soon as it has ended. A container that does not run is left as it is.
        """
        seconds = self._spec.stop_timeout_s if timeout is None else parse_duration("timeout", timeout)
        if self.status == "running":
            with suppress(ContainerNotRunning):  # it ends of its own accord just now
                self.kill(self._record()["stop_signal"])
            if not self._wait_end(seconds):
                self._end_now()
        return self.returncode

    def _end_now(self) -> None:
        with suppress(ContainerNotRunning):
            self.kill()
        self._wait_end(None)

    def kill(self, signal: str | int = "KILL") -> None:
        """Send ``signal`` to the container's init; ContainerNotRunning where it does not run."""
        number = parse_signal("signal", signal)
        with self._pidfd() as pidfd:
            try:
                signals.pidfd_send_signal(pidfd, number)
            except ProcessLookupError:
                raise ContainerNotRunning(f"{self!r} has ended") from None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, at most ``timeout`` seconds, and return the return code (negative for a signal).

        Raises ContainerTimeout; the container then still runs. A container whose supervisor was
        killed has no code: TinydockerError.
        """
        self._record()
        if not self._wait_end(timeout):
            raise ContainerTimeout(self, timeout or 0)
        code = self.returncode
        if code is None:
            code = self._heard_code(None)
        if code is None:
            raise TinydockerError(
                f"{self!r} has ended, and how is recorded nowhere: its supervisor died or it was removed"
            )
        return code

    def restart(self: C, timeout: float | None = None) -> C:
        """Stop it and start it again, with the same files; return itself."""
        self.stop(timeout)
        return self.start()

    def rename(self, name: str) -> None:
        """Give it another name."""
        engine, made = self._opened_engine(), self._existing()
        name = parse_name("name", name)
        names.claim(engine.paths.names, engine.paths.containers, name, made.directory.id)
        old, made.record["name"] = made.name, name
        made.directory.write_record(made.record, durable=not self._spec.auto_remove)
        made.name = name
        names.release(f"{engine.paths.names}/{old}", made.directory.id)

    def remove(self, force: bool = False) -> None:
        """Remove it and all that it has; a running one only with ``force``, which kills it."""
        made = self._existing()
        if self.status == "running":
            if not force:
                raise ContainerRunning(f"{self!r} runs: stop it first, or remove it with force=True")
            self._end_now()
        self._let_go()
        self._discard(made)

    def _discard(self, made: starting.Made) -> None:
        paths = self._opened_engine().paths
        names.release(f"{paths.names}/{made.name}", made.directory.id)
        place = trash.discard(made.directory.path, paths.trash)
        if place:
            trash.remove_tree(place)

    def close(self) -> None:
        """Do what leaving ``with`` does: end it and remove it, or with ``auto_remove=False`` stop it.

        A detached container runs on. In a process that was forked from the owner nothing happens.
        """
        if self._made is None or self._owner != os.getpid():
            return
        if not self._spec.detach:
            if not self._spec.auto_remove:
                self.stop()
            elif self._started is None:
                self.remove()
                return
        self._let_go()

    def _goes_with_program(self) -> bool:
        return self._spec.auto_remove and not self._spec.detach

    def _let_go(self) -> None:
        """Give up what this handle holds; what was to go with it is gone when this returns."""
        self._heard_code(0)
        started, self._started = self._started, None
        if self._stdin:
            self._stdin.close()
        if started:
            _close_started(started, waiting=not self._spec.detach)
            if self._made and self._goes_with_program() and os.path.isdir(self._made.directory.path):
                if self._state()["status"] == "running":
                    self._end_now()  # its supervisor died and could not
                self._discard(self._made)
        if self._made:
            self._made.release()
        self._owner = 0
        self._held.close()


def _claimed(directory: ContainerDir, container: Lifecycle) -> int:
    """Take the lock; whoever has just recorded the end of the last run is about to let it go."""
    deadline = time.monotonic() + _LETTING_GO_S
    while True:
        try:
            return locks.hold(directory.lock)
        except BlockingIOError:
            if container.status != "exited" or time.monotonic() > deadline:
                raise InUse(f"{container!r} belongs to another program, which has not let it go") from None
        time.sleep(0.001)


def _close_started(started: starting.Started, *, waiting: bool = True) -> None:
    """Let go of a start, ``waiting`` until what goes with it is gone; a detached container never does."""
    if waiting:
        started.channel.close()
    else:
        started.channel.forget()
    for fd in (started.pidfd, started.terminal):
        if fd >= 0:
            os.close(fd)
