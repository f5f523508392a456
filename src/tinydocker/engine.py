"""An engine: where containers, images and volumes are kept, and the supervisor that runs them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .errors import ContainerNotFound, InUse, InvalidSpec, NotSupported, StateCorrupt
from .launch.client import Channel, Client
from .store import container_dir, names, reconcile
from .store.container_dir import ContainerDir
from .store.paths import Paths

if TYPE_CHECKING:
    from .completed import Completed
    from .container import Container
    from .image import Image, ImageLike
    from .workspace import Workspace

DEFAULT_ROOT = "/var/lib/tinydocker"
DEFAULT_RUN_ROOT = "/run/tinydocker"

_SCAFFOLD_DIRECTORIES = (("dev", 0o755), ("proc", 0o555), ("sys", 0o555), ("etc", 0o755), ("tmp", 0o1777))
_SCAFFOLD_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")


class Engine:
    """Containers, images, volumes and workspaces below ``root``, run by one supervisor per program.

    ``root`` and ``run_root`` are directories, made on first use; by default they are those of
    TINYDOCKER_ROOT and TINYDOCKER_RUN_ROOT, else /var/lib/tinydocker and /run/tinydocker. Any
    number of programs may share a root. Making an engine does no I/O and needs no privilege.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, run_root: str | os.PathLike[str] | None = None
    ) -> None:
        environ = os.environ
        self.paths = Paths(
            root or environ.get("TINYDOCKER_ROOT") or DEFAULT_ROOT,
            run_root or environ.get("TINYDOCKER_RUN_ROOT") or DEFAULT_RUN_ROOT,
        )
        self._client = Client(f"{self.paths.run_root}/rootfs")
        self._lock = threading.Lock()
        self._opened = False
        # A program that ends without closing its engine leaves no supervisor behind for a moment.
        weakref.finalize(self, self._client.close)

    def __repr__(self) -> str:
        return f"<engine at {self.paths.root}>"

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Engine], tuple[str, str]]:
        return (Engine, (self.paths.root, self.paths.run_root))

    # -- making things ---------------------------------------------------------------------------

    def container(self, image: ImageLike, command: Any = None, **options: Any) -> Container:
        """Return a container of this engine; see :class:`~tinydocker.Container`."""
        from .container import Container

        return Container(image, command, engine=self, **options)

    def image(self, source: str | os.PathLike[str]) -> Image:
        """Return an image of this engine; see :class:`~tinydocker.Image`."""
        from .image import Image

        return Image(source, engine=self)

    def workspace(self, image: ImageLike, **options: Any) -> Workspace:
        """Return a workspace of this engine; see :class:`~tinydocker.Workspace`."""
        from .workspace import Workspace

        return Workspace(image, engine=self, **options)

    def run(self, image: ImageLike, command: Any = None, **options: Any) -> Completed:
        """Run a command and wait for its end; see :func:`tinydocker.run`."""
        from .one_shot import run

        return run(image, command, engine=self, **options)

    # -- finding things --------------------------------------------------------------------------

    def containers(
        self, all: bool = False, *, label: str | None = None, name: str | None = None, status: str | None = None
    ) -> list[Container]:
        """Return the running containers, or every one with ``all``, newest first.

        ``label`` is ``key`` or ``key=value``; ``name`` a part of the name; ``status`` one of
        created, running, exited, and implies ``all``.
        """
        if status not in (None, "created", "running", "exited"):
            raise InvalidSpec("status", status, "one of created, running, exited")
        found = []
        for container in map(self._readable, self._directories()):
            if container is None:
                continue
            now = container.status
            if status is not None and now != status or status is None and not all and now != "running":
                continue
            if name is not None and name not in container.name:
                continue
            if label is not None and not _has_label(container.labels, label):
                continue
            found.append(container)
        return sorted(found, key=lambda c: c.created or 0, reverse=True)

    def get(self, name: str) -> Container:
        """Return the container of that name, id or beginning of an id.

        Raises ContainerNotFound where there is none and StateCorrupt where its record is damaged.
        """
        from .container import Container

        directory = self._directory(name)
        try:
            container = Container._stored(self, directory)
        except StateCorrupt as err:
            raise StateCorrupt(f"{err} (tinydocker rm -f {directory.id} removes the container)") from err
        if container is None:
            raise _no_container(name)
        return container

    def remove(self, name: str, force: bool = False) -> None:
        """Remove the container of that name, id or beginning of an id; see :meth:`Container.remove`.

        With ``force`` one whose record is damaged can be removed as well.
        """
        try:
            self.get(name).remove(force=force)
        except StateCorrupt:
            directory = self._directory(name)
            if not force:
                raise
            if not reconcile.discard(self.paths, directory):
                raise InUse(
                    f"the container {directory.id} belongs to another program, which has not let it go"
                ) from None

    def _directory(self, name: str) -> ContainerDir:
        self.open()
        wanted = names.holder(self.paths.names, name) if "/" not in name else None
        if wanted is None:
            ids = [i for i in container_dir.ids(self.paths.containers) if name and i.startswith(name)]
            if len(ids) > 1:
                raise InvalidSpec("name", name, f"a name or the beginning of one id, not of {len(ids)}")
            if not ids:
                raise _no_container(name)
            wanted = ids[0]
        return ContainerDir(self.paths.containers, wanted)

    def images(self) -> list[Image]:
        """Return the images in the store, newest first."""
        from .image import Image

        self.open()
        return Image._stored(self)

    def prune(self, dry_run: bool = False) -> list[str]:
        """Remove ended containers, images that nothing uses, and what dead programs left; return what they are.

        With ``dry_run`` nothing is removed.
        """
        from .image_store.catalogue import Catalogue

        self.open()
        removed = []
        for container in self.containers(all=True):
            if container.status != "running" and not container._existing().directory.is_claimed():
                removed.append(f"container {container.name}")
                if not dry_run:
                    container.remove()
        used = reconcile.images_in_use(self.paths)
        for image in self.images():
            if image.id not in used:
                removed.append(f"image {image.id[:12]} ({', '.join(image.sources)})")
                if not dry_run:
                    image.remove()
        if not dry_run:
            Catalogue(self.paths).sweep()
        return removed + reconcile.reconcile(self.paths, dry_run=dry_run)

    # -- its life --------------------------------------------------------------------------------

    def open(self) -> Engine:
        """Make the directories and tidy up after dead programs, once; called by whatever needs it."""
        with self._lock:
            if not self._opened:
                if os.geteuid() != 0:
                    raise NotSupported("containers need root in this version: run the program as root, or with sudo")
                self.paths.ensure()
                os.makedirs(f"{self.paths.run_root}/rootfs", 0o700, exist_ok=True)
                _make_scaffold(self.paths.scaffold)
                reconcile.reconcile(self.paths)
                self._opened = True
        return self

    def prepare(self) -> None:
        """Start the supervisor now, so that the first container does not wait the 15 ms that it takes."""
        self._client.prepare()

    def close(self) -> None:
        """End and remove what is attached to this engine, and let its supervisor go.

        Detached containers run on. Closing twice is allowed, and a closed engine opens again when it is used.
        """
        self._client.close()

    def _readable(self, directory: ContainerDir) -> Container | None:
        """Return a container, unless it is gone or its record is damaged: one bad record hides no other."""
        from .container import Container

        try:
            return Container._stored(self, directory)
        except StateCorrupt:
            return None

    def _order(self, message: Mapping[str, Any], fds: Mapping[str, int]) -> Channel:
        return self._client.order(message, fds)

    def _directories(self) -> Sequence[ContainerDir]:
        self.open()
        return [ContainerDir(self.paths.containers, i) for i in container_dir.ids(self.paths.containers)]


def _no_container(name: str) -> ContainerNotFound:
    return ContainerNotFound(f"there is no container {name!r} (tinydocker ps -a lists them)")


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _make_scaffold(path: str) -> None:
    """Make the lowest layer of every container: the mount points that an image may lack."""
    for name, mode in _SCAFFOLD_DIRECTORIES:
        directory = f"{path}/{name}"
        if not os.path.isdir(directory):
            os.makedirs(directory, exist_ok=True)
            os.chmod(directory, mode)
    for name in _SCAFFOLD_FILES:
        if not os.path.exists(f"{path}/{name}"):
            os.close(os.open(f"{path}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            os.chmod(f"{path}/{name}", 0o644)
    os.chmod(path, 0o755)


_default: Engine | None = None
_default_lock = threading.Lock()


def default() -> Engine:
    """Return the engine that is used where none is named."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Engine()
        return _default
