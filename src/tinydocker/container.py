"""A container: a specification that can be started, and the handle of what was started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, overload

from . import content, execution
from .errors import ContainerNotRunning, NotSupported
from .image import Image
from .launch.logs import LogWriter
from .launch.terminal import resize
from .lifecycle import Lifecycle
from .process import PIPE, ContainerProcess
from .store import locks
from .workspace import Workspace, archive_path, forked_from

if TYPE_CHECKING:
    from datetime import datetime

    from . import logreader, starting
    from .completed import Completed
    from .image_store.diff import Change
    from .inspection import Process
    from .rootpath import RootPath


class Container(Lifecycle):
    """A command in a container on ``image``; ``with`` creates, starts and, at its end, removes it.

    ``image`` is what :class:`~tinydocker.Image` takes, an Image, or a :class:`~tinydocker.Workspace`.
    ``command`` is a sequence, or text that is split as a shell would; without, it is the image's.
    The options are listed in the reference, and each has a twin ``with_<option>`` that returns a
    changed copy. Making a container does no I/O and needs no privilege; InvalidSpec, NotSupported
    and TypeError tell at once what is wrong with an option.
    """

    @classmethod
    def host(cls, command: Any = None, **options: Any) -> Container:
        """Return a container on this machine's own root, read-only below a private layer."""
        return cls(Image.host(), command, **options)

    # -- in it -----------------------------------------------------------------------------------

    def exec(
        self,
        command: Any,
        *,
        env: Any = None,
        user: Any = None,
        workdir: Any = None,
        input: str | bytes | None = None,
        text: bool = True,
        timeout: float | None = None,
        check: bool = False,
        tty: bool = False,
    ) -> Completed:
        """Execute a command in the running container and wait for its end; see :func:`tinydocker.run`.

        Environment, user and directory are the container's unless given. When ``timeout`` seconds
        have passed, the command and all that it has started are killed. Raises CommandNotFound and
        CommandNotExecutable.
        """
        stdin = PIPE if input is not None else None
        options = {"env": env, "user": user, "workdir": workdir, "tty": tty, "text": text}
        return self.popen(command, stdin=stdin, **options).complete(input, timeout, check)

    def popen(
        self,
        command: Any,
        *,
        stdin: Any = None,
        stdout: Any = PIPE,
        stderr: Any = PIPE,
        env: Any = None,
        user: Any = None,
        workdir: Any = None,
        tty: bool = False,
        size: tuple[int, int] | None = None,
        text: bool = True,
        detach: bool = False,
    ) -> ContainerProcess:
        """Start a command in the running container; streams are given as to subprocess.Popen, None is the null device.

        With ``tty`` its streams are a terminal, of ``size`` (rows, columns). With ``detach`` it is
        not ended when this program ends.
        """
        if tty:
            stdin = stdout = stderr = None
        with self._pidfd() as pidfd:
            return execution.execute(
                self._opened_engine(),
                self._record(),
                pidfd,
                command,
                execution.Streams.open(stdin, stdout, stderr),
                env=env,
                user=user,
                workdir=workdir,
                tty=tty,
                size=size,
                text=text,
                detach=detach,
            )

    @property
    def stdin(self) -> IO[bytes] | None:
        """Its standard input with ``stdin=True`` or ``tty=True``, unbuffered; None otherwise."""
        return self._stdin

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal its size."""
        if self._started and self._started.terminal >= 0:
            resize(self._started.terminal, rows, columns)

    @overload
    def logs(
        self,
        *,
        tail: int | None = ...,
        since: float | datetime | None = ...,
        timestamps: bool = ...,
        follow: Literal[False] = ...,
    ) -> str: ...

    @overload
    def logs(
        self,
        *,
        tail: int | None = ...,
        since: float | datetime | None = ...,
        timestamps: bool = ...,
        follow: Literal[True],
    ) -> Iterator[str]: ...

    def logs(
        self,
        *,
        tail: int | None = None,
        since: float | datetime | None = None,
        timestamps: bool = False,
        follow: bool = False,
    ) -> str | Iterator[str]:
        """Return what it has said, both streams in the order in which they were read.

        ``tail`` keeps that many lines; ``since`` is a datetime or seconds since the epoch;
        ``timestamps`` puts the time before each line. With ``follow`` it is an iterator of lines
        that goes on until the container has ended.
        """
        moment = since if since is None or isinstance(since, (int, float)) else since.timestamp()
        lines = self.log_lines(tail=tail, since=moment, follow=follow)
        shown = (line.shown(timestamps) for line in lines)
        return shown if follow else "".join(shown)

    def log_lines(
        self, *, tail: int | None = None, since: float | None = None, follow: bool = False
    ) -> Iterator[logreader.Line]:
        """Yield what it has said line by line, each with its time, its stream and its bytes; see :meth:`logs`."""
        from . import logreader

        directory = self._existing().directory
        try:
            with self._pidfd() as pidfd:
                yield from logreader.read(directory, pidfd, tail=tail, since=since, follow=follow)
        except ContainerNotRunning:
            yield from logreader.read(directory, None, tail=tail, since=since, follow=follow)

    def open_log(self) -> LogWriter:
        """Return its log for writing, for a caller of :meth:`start_process` that wants what it reads kept there."""
        log, directory = self._spec.log, self._existing().directory
        lock = locks.hold(directory.log_lock)
        try:
            return LogWriter(directory.log, log.max_size, log.max_files, lock=lock)
        except BaseException:
            os.close(lock)
            raise

    def top(self) -> list[Process]:
        """Return its processes, those of exec included."""
        from . import inspection

        return inspection.processes(self.pid)

    # -- its files -------------------------------------------------------------------------------

    @property
    def root(self) -> RootPath:
        """Its root as a path-like object, volumes included while it runs, that cannot be led out of it."""
        from .rootpath import RootPath

        return RootPath(self._lend_root, "/", f"container {self.name}")

    def changes(self) -> list[Change]:
        """Return what differs from its image, as ``docker diff`` does, sorted by path."""
        if isinstance(self._image, Workspace):
            return self._image.changes()
        from .image_store import diff

        made = self._with_own_layer()
        if not os.path.isdir(made.directory.upper):
            return []  # it was never started
        return diff.changes(made.directory.upper, made.record["rootfs"]["lower"])

    def export(self, destination: str | os.PathLike[str] | BinaryIO, *, compression: str | None = None) -> None:
        """Write its files as one archive, without what is in volumes, /proc, /sys and /dev.

        ``compression`` is none, gz, bz2, xz or zst; by default the destination's suffix says which.
        """
        from .image_store import pack

        with self._lend_bare_root() as root:
            pack.pack(root, destination, compression=compression)

    def commit(self, destination: str | os.PathLike[str], *, compression: str | None = None) -> Image:
        """Write its files as an archive and return the image that it makes; see :meth:`Workspace.commit`."""
        path = archive_path(destination)
        self.export(path, compression=compression)
        return Image.archive(path)

    def fork(self) -> Container:
        """Return a second container, to be entered, that starts from a copy of this one's files as they are now.

        It has the same options and no name. Files that are being written meanwhile may be half-written in it.
        """
        made, image = self._with_own_layer(), self._image
        assert isinstance(image, Image)
        twin = self._with(name=None)
        if self.status == "created":
            made.directory.make_layer()
        twin._image = forked_from(image, made.directory.upper, self._opened_engine())
        return twin

    def put(self, source: str | os.PathLike[str], target: str, *, archive: bool = False) -> None:
        """Copy a file or directory of the host into it, as ``docker cp`` does."""
        from . import transfer

        transfer.put(self.root, source, target, archive=archive)

    def get(self, source: str, target: str | os.PathLike[str], *, archive: bool = False) -> None:
        """Copy a file or directory out of it to the host, as ``docker cp`` does."""
        from . import transfer

        transfer.get(self.root, source, target, archive=archive)

    @contextmanager
    def _lend_root(self) -> Iterator[int]:
        if self.status == "running":
            with self._pidfd() as pidfd, content.running_root(self.pid, pidfd) as root:
                yield root
        else:
            with self._lend_bare_root() as root:
                yield root

    @contextmanager
    def _lend_bare_root(self) -> Iterator[int]:
        made, engine = self._existing(), self._opened_engine()
        if self.status == "running":
            with self._pidfd() as pidfd, content.bare_root(engine, made, pidfd) as root:
                yield root
        elif isinstance(self._image, Workspace):
            with self._image._borrow_root() as root:
                yield root
        else:
            with content.bare_root(engine, self._with_own_layer(), None) as root:
                yield root

    def _with_own_layer(self) -> starting.Made:
        """Return what it is on disk; NotSupported where its files are a workspace's, which another handle has."""
        made = self._existing()
        if made.record["rootfs"]["workspace"]:
            raise NotSupported(f"{self!r} runs on a workspace: ask the workspace, with the container stopped")
        return made

    # -- what is known of it ---------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id: 12 hexadecimal digits."""
        return self._existing().directory.id

    @property
    def name(self) -> str:
        """Its name: the one given, or one that was made up."""
        return self._made.name if self._made else self._spec.name or ""

    @property
    def image(self) -> Image | Workspace:
        """What it stands on."""
        return self._image

    @property
    def spec(self) -> Any:
        """Its specification, a frozen :class:`~tinydocker.ContainerSpec`."""
        return self._spec

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, those of its image included."""
        return dict(self._record()["labels"]) if self._made else dict(self._spec.labels)

    @property
    def created(self) -> float | None:
        """When it was created, in seconds since the epoch; None before."""
        return float(self._record()["created"]) if self._made else None

    @property
    def started(self) -> float | None:
        """When it was last started, in seconds since the epoch; None before."""
        return self._state().get("started") if self._made else None

    @property
    def finished(self) -> float | None:
        """When it ended, in seconds since the epoch; None before."""
        return self._state().get("finished") if self._made else None

    def inspect(self) -> dict[str, Any]:
        """Return all that is recorded of it, its OCI runtime configuration included, as JSON knows it."""
        made = self._existing()
        return {**made.directory.record(), "state": made.directory.state(), "directory": made.directory.path}

    # -- what later versions will do -------------------------------------------------------------

    def pause(self) -> None:
        """Not in this version: freezing needs cgroups."""
        raise NotSupported("pause is not in this version: it comes with cgroups")

    def unpause(self) -> None:
        """Not in this version: freezing needs cgroups."""
        raise NotSupported("unpause is not in this version: it comes with cgroups")

    def update(self, **limits: Any) -> None:
        """Not in this version: limits need cgroups."""
        raise NotSupported("update is not in this version: limits come with cgroups")

    def stats(self, stream: bool = False, interval: float = 1) -> Any:
        """Not in this version: figures need cgroups."""
        raise NotSupported("stats is not in this version: figures come with cgroups")

    def wait_for(self, **condition: Any) -> None:
        """Not in this version."""
        raise NotSupported("wait_for is not in this version: follow the log with logs(follow=True)")

    def host_port(self, port: int | str) -> int:
        """Not in this version: it has no published ports."""
        raise NotSupported("host_port is not in this version: published ports come with networks")
