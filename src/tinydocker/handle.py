"""The handle of a container: the value that it is made from, and what is known of it once it exists."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

from . import engine as engines
from . import starting
from .errors import (
    ContainerNotFound,
    ContainerNotRunning,
    InvalidSpec,
    NotSupported,
    StateCorrupt,
    SupervisorDied,
    TinydockerError,
)
from .image import Image, as_image
from .spec.container import ContainerSpec
from .spec.fluent import Fluent
from .store.container_dir import ContainerDir
from .watching import Watch
from .workspace import Workspace

if TYPE_CHECKING:
    from .engine import Engine
    from .image import ImageLike

H = TypeVar("H", bound="Handle")


class Handle(Fluent):
    """What a container is made of, and what is known of it."""

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
    def _stored(cls: type[H], engine: Engine, directory: ContainerDir) -> H | None:
        """Return a handle of a recorded container, which another program may own; None when it is gone.

        Raises StateCorrupt for a record that cannot be read, or whose parts are not what they should be.
        """
        try:
            record = directory.record()
            handle = cls.__new__(cls)
            handle._image = Image._of_record(engine, record["image"])
            handle._spec = ContainerSpec.from_dict(record["spec"])
        except ContainerNotFound:
            if not os.path.isdir(directory.path):
                return None
            raise StateCorrupt(f"the container {directory.id} has no record") from None
        except (InvalidSpec, NotSupported, KeyError, TypeError, ValueError) as err:
            raise StateCorrupt(f"the record of container {directory.id} is damaged: {err}") from err
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

    def _with(self: H, **options: Any) -> H:
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
        if state["status"] != "running" or not state["pid"]:
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
