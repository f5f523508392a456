"""The life of a container: a value, then created, running, exited, gone."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from . import content, execution, starting
from . import engine as engines
from .errors import (
    ContainerNotRunning,
    ContainerRunning,
    ContainerTimeout,
    InUse,
    InvalidSpec,
    SupervisorDied,
    TinydockerError,
)
from .image import Image, as_image
from .process import ContainerProcess
from .spec.container import ContainerSpec
from .spec.fluent import Fluent
from .spec.parse import parse_duration, parse_name, parse_signal
from .store import locks, names, trash
from .store.container_dir import ContainerDir
from .watching import Watch
from .workspace import Workspace

if TYPE_CHECKING:
    from .engine import Engine
    from .image import ImageLike

C = TypeVar("C", bound="Lifecycle")
_LETTING_GO_S = 1.0


class Lifecycle(Fluent):
    """What a container is made of, and every change of its state."""

    def __init__(
        self, image: ImageLike | Workspace, command: Any = None, *, engine: Engine | None = None, **options: Any
    ) -> None:
        self._image: Image | Workspace = image if isinstance(image, Workspace) else as_image(image)
        self._spec = ContainerSpec.from_options(command=command, **options)
        self._engine = engine
        if self._spec.detach and isinstance(self._image, Workspace):
            raise InvalidSpec("detach", True, "False on a workspace, which ends with this program")
        self._reset()

    @classmethod
    def _stored(cls: type[C], engine: Engine, directory: ContainerDir) -> C | None:
        """Return a handle of a recorded container, which another program may own; None when it is gone."""
        try:
            record = directory.record()
            handle = cls.__new__(cls)
            handle._image = Image._of_record(engine, record["image"])
            handle._spec = ContainerSpec.from_dict(record["spec"])
        except TinydockerError:
            return None
        handle._engine = engine
        handle._reset()
        handle._made = starting.Made(directory, record["name"], -1, record)
        return handle

    def _reset(self) -> None:
        self._made: starting.Made | None = None
        self._started: starting.Started | None = None
        self._rootfs: starting.Rootfs | None = None
        self._held = ExitStack()
        self._stdin: IO[bytes] | None = None
        self._owner = 0
        self._entered = False
        self._last_code: int | None = None

    def _with(self: C, **options: Any) -> C:
        copy = type(self).__new__(type(self))
        copy._image, copy._engine = self._image, self._engine
        copy._spec = self._spec.with_options(**options)
        copy._reset()
        return copy

    def __getstate__(self) -> dict[str, Any]:
        if self._made:
            raise TypeError(f"{self!r} exists already and cannot be pickled; pickle it before it is entered")
        return {"_image": self._image, "_spec": self._spec, "_engine": self._engine}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __repr__(self) -> str:
        command = " ".join(self._spec.command or ()) or "the image's command"
        what = f"{command!r} on {getattr(self._image, 'source', self._image)}"
        if self._made is None:
            return f"<container of {what}, not created>"
        return f"<container {self._made.name} ({self._made.directory.id}) of {what}>"

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
        streams = execution.Streams.open(
            subprocess.PIPE if self._spec.stdin and not self._spec.tty else None, None, None
        )
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
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        text: bool = False,
    ) -> ContainerProcess:
        """Start it with the command's streams in the caller's hands, and not in the log.

        Streams are given as to subprocess.Popen, where None is the null device. With ``tty`` the
        process's stdin and stdout are the terminal. Closing the process ends the container.
        """
        return self._start_process(stdin, stdout, stderr, text)

    def _start_process(
        self, stdin: Any, stdout: Any, stderr: Any, text: bool, *, one_shot: bool = False
    ) -> ContainerProcess:
        if self._spec.tty:
            stdin = stdout = stderr = None
        streams = execution.Streams.open(stdin, stdout, stderr)
        try:
            self._launch(streams.theirs, logged=False, one_shot=one_shot)
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

    def _launch(self, streams: Mapping[str, int], *, logged: bool, one_shot: bool = False) -> None:
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

    def _let_go(self) -> None:
        """Give up what this handle holds; what was to go with it is gone when this returns."""
        self._heard_code(0)
        started, self._started = self._started, None
        if self._stdin:
            self._stdin.close()
        if started:
            _close_started(started, waiting=not self._spec.detach)
        if self._made:
            self._made.release()
        self._owner = 0
        self._held.close()

    # -- what is known of it ---------------------------------------------------------------------

    @property
    def status(self) -> str:
        """``created``, ``running`` or ``exited``; ``removed`` when it is gone, ``defined`` before it is created."""
        if self._made is None:
            return "defined"
        return str(self._state()["status"]) if os.path.isdir(self._made.directory.path) else "removed"

    @property
    def returncode(self) -> int | None:
        """How it ended: None while it has not, or where nobody could record it; negative for a signal."""
        if self._made is None:
            return None
        code = self._state().get("returncode")
        return self._heard_code(0) if code is None else int(code)

    def _heard_code(self, timeout_s: float | None) -> int | None:
        """Return what the supervisor has told this handle of the end, which a removed container's record cannot."""
        if self._started:
            try:
                report = self._started.channel.ended(timeout_s)
            except SupervisorDied:
                report = None
            self._last_code = int(report["returncode"]) if report else self._last_code
        return self._last_code

    @property
    def pid(self) -> int:
        """The number of its init on the host; ContainerNotRunning where it does not run."""
        return int(self._running_state()["pid"])

    @contextmanager
    def _pidfd(self) -> Iterator[int]:
        """Lend a descriptor of the running init."""
        self._existing()
        state = self._running_state()
        try:
            pidfd = os.pidfd_open(state["pid"])
        except ProcessLookupError:
            raise ContainerNotRunning(f"{self!r} has ended") from None
        try:
            if self._running_state()["start_time"] != state["start_time"]:
                raise ContainerNotRunning(f"{self!r} has ended")
            yield pidfd
        finally:
            os.close(pidfd)

    def _running_state(self) -> dict[str, Any]:
        state = self._state() if self._made else {"status": "defined"}
        if state["status"] != "running":
            raise ContainerNotRunning(f"{self!r} does not run ({self.status}): start it first")
        return state

    def _wait_end(self, timeout_s: float | None) -> bool:
        made = self._existing()
        try:
            with self._pidfd() as pidfd, Watch(made.directory, pidfd) as watch:
                return watch.wait_end(timeout_s)
        except ContainerNotRunning:
            with Watch(made.directory, None) as watch:
                return watch.wait_end(timeout_s)

    def _opened_engine(self) -> Engine:
        return (self._engine or getattr(self._image, "_engine", None) or engines.default()).open()

    def _existing(self) -> starting.Made:
        if self._made is None:
            raise TinydockerError(f"{self!r} does not exist yet: create() or start() it, or enter it with `with`")
        return self._made

    def _record(self) -> dict[str, Any]:
        return self._existing().record

    def _state(self) -> dict[str, Any]:
        return self._existing().directory.state()


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
