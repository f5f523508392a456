"""A workspace: an image with a private writable layer, as a directory of the host."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from . import engine as engines
from .errors import InUse, InvalidSpec, NotSupported, TinydockerError
from .layer import Layer, copied
from .spec.parse import parse_size

if TYPE_CHECKING:
    from pathlib import Path

    from .engine import Engine
    from .image import Image, ImageLike
    from .image_store.diff import Change
    from .launch.client import Channel
    from .rootpath import RootPath

_ARCHIVE_NAME = re.compile(r"\.(tar|tgz|tbz2|txz|tzst)$|\.tar\.(gz|bz2|xz|zst)$")


class Workspace:
    """An image with a private writable layer; ``with`` mounts it, out of the host's sight, and removes it.

    ``image`` is what :class:`~tinydocker.Image` takes, or one. ``size`` (bytes, or text such as
    ``"100m"``) puts the layer on a tmpfs of that bound, in memory; without, it is on disk. Making
    one does no I/O. Containers that are given an open workspace run on it and change it.
    """

    def __init__(self, image: ImageLike, *, size: str | int | None = None, engine: Engine | None = None) -> None:
        from .image import as_image

        self._image = as_image(image)
        self._size_bytes = None if size is None else parse_size("size", size)
        self._engine = engine
        self._sealed: list[Layer] = []  # topmost first
        self._begun: Layer | None = None  # the written layer that it starts with, where it is a copy
        self._users = 0
        self._live: _Live | None = None

    def __repr__(self) -> str:
        state = f"open at {self.path}" if self._live else "not open"
        return f"<workspace of {self._image.source} {state}>"

    def __getstate__(self) -> dict[str, Any]:
        if self._live or self._sealed or self._begun:
            raise TypeError("an open or forked workspace cannot be pickled: it lives in this program")
        return dict(self.__dict__)

    def __enter__(self) -> Workspace:
        if self._live:
            raise TinydockerError(f"{self!r} is open already")
        engine = (self._engine or self._image._engine or engines.default()).open()
        with ExitStack() as undo:
            lowerdirs = undo.enter_context(self._image._resolved(engine)).lowerdirs
            live = _Live(engine, lowerdirs, self._begun or Layer.make(engine, self._size_bytes))
            self._begun = None
            undo.callback(live.close)
            live.mount(self._sealed)
            live.leases = undo.pop_all()
        self._live = live
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmount and remove it; what :meth:`fork` has given to others stays with them."""
        live, self._live = self._live, None
        trash_dir = (self._engine or self._image._engine or engines.default()).paths.trash
        if live and live.program == os.getpid():
            live.leases.close()
            trash_dir = live.engine.paths.trash
        if self._begun:
            self._sealed.append(self._begun)
            self._begun = None
        while self._sealed:
            self._sealed.pop().close(trash_dir)

    @property
    def path(self) -> Path:
        """Its root, as a path of the host that is good while the workspace is open.

        Absolute links in the image lead out of it when they are followed by the host:
        :attr:`root` resolves every path inside.
        """
        from .mountpath import MountPath

        return MountPath(f"/proc/{os.getpid()}/fd/{self._opened().root_fd}")

    @property
    def root(self) -> RootPath:
        """Its root as a path-like object that cannot be led out of it."""
        from .rootpath import RootPath

        return RootPath(self._borrow_root, "/", f"workspace of {self._image.source}")

    @property
    def is_open(self) -> bool:
        """Whether it is mounted, by this process."""
        return self._live is not None and self._live.program == os.getpid()

    @property
    def image(self) -> Image:
        """The image that it stands on."""
        return self._image

    def changes(self) -> list[Change]:
        """Return what differs from the image, as ``docker diff`` does, sorted by path."""
        live = self._opened()
        written = [layer.readable_upper for layer in (live.layer, *self._sealed)]
        from .image_store import diff

        steps = [diff.changes(written[n], [*written[n + 1 :], *live.lowerdirs]) for n in range(len(written))]
        return _combined(reversed(steps))

    def export(self, destination: str | os.PathLike[str] | BinaryIO, *, compression: str | None = None) -> None:
        """Write the merged tree as one archive.

        ``compression`` is none, gz, bz2, xz or zst; by default the destination's suffix says which.
        """
        from .image_store import pack

        pack.pack(self._opened().root_fd, destination, compression=compression)

    def commit(self, destination: str | os.PathLike[str], *, compression: str | None = None) -> Image:
        """Write the workspace's state as an archive and return the image that it makes.

        A name without a directory or an archive's suffix would be a tag, which this version cannot store.
        """
        path = archive_path(destination)
        self.export(path, compression=compression)
        from .image import Image

        return Image.archive(path)

    def fork(self) -> Workspace:
        """Return a second workspace, to be entered, that starts from this one's state.

        No data is copied: what has been written so far becomes a read-only layer that both stand
        on. Files that are open for writing through :attr:`path` must be closed first: writes to
        them would be seen by both. Only on an image that holds the engine's own root, such as the
        host's, must the layer be copied, as an overlay refuses layers that lie in one another;
        ``size=`` avoids that.
        """
        live = self._opened()
        if self._users:
            raise InUse(f"{self!r} has a running container: its fork would change with it; stop the container first")
        twin = Workspace(self._image, engine=live.engine)
        twin._size_bytes = self._size_bytes
        if live.layer.is_written():
            if live.layer.is_tmpfs or live.engine.paths.scaffold in live.lowerdirs:
                self._seal(live)
            else:
                twin._begun = copied(live.layer.upper, live.engine)
        twin._sealed = [layer.share() for layer in self._sealed]
        return twin

    def reset(self) -> None:
        """Throw away everything that was changed: the workspace is as its image again."""
        live = self._opened()
        if self._users:
            raise InUse(f"{self!r} has a running container: stop it first")
        sealed, self._sealed = self._sealed, []
        live.renew(Layer.make(live.engine, self._size_bytes), [])
        for layer in sealed:
            layer.close(live.engine.paths.trash)

    # -- for containers --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _used(self) -> Iterator[str]:
        """Lend the mount to a container; yield the name under which the supervisor knows it."""
        live = self._opened()
        self._users += 1
        try:
            yield live.layer.name
        finally:
            self._users -= 1

    @contextlib.contextmanager
    def _borrow_root(self) -> Iterator[int]:
        yield self._opened().root_fd

    def _opened(self) -> _Live:
        if self._live is None or not self.is_open:
            raise TinydockerError(f"the workspace of {self._image.source} is not open: enter it with `with`")
        return self._live

    def _seal(self, live: _Live) -> None:
        written = live.layer.share()
        try:
            live.renew(Layer.make(live.engine, self._size_bytes), [written, *self._sealed])
        except BaseException:
            written.close(live.engine.paths.trash)
            raise
        self._sealed.insert(0, written)


def _combined(steps: Iterable[list[Change]]) -> list[Change]:
    """Return what a sequence of changes, the oldest first, amounts to."""
    found: dict[str, Literal["A", "C", "D"]] = {}
    for step in steps:
        for change in step:
            before = found.get(change.path)
            if change.kind != "D":
                kept = change.kind == "C" and before == "A"
                found[change.path] = "A" if kept or (change.kind == "A" and before != "D") else "C"
                continue
            for path in [p for p in found if p.startswith(change.path + "/")]:
                del found[path]
            if before == "A":
                del found[change.path]
            else:
                found[change.path] = "D"
    from .image_store.diff import Change

    return [Change(found[path], path) for path in sorted(found)]


def forked_from(image: Image, upper: str, engine: Engine) -> Workspace:
    """Return a workspace, to be entered, that starts from a copy of the layer ``upper`` over ``image``."""
    twin = Workspace(image, engine=engine)
    twin._begun = copied(upper, engine.open())
    return twin


def archive_path(destination: str | os.PathLike[str]) -> Path:
    """Return ``destination`` as an archive's path; NotSupported where it is a tag."""
    if isinstance(destination, str) and "/" not in destination and not _ARCHIVE_NAME.search(destination):
        if not destination:
            raise InvalidSpec("destination", destination, "an archive's path, such as 'rootfs.tar.xz'")
        raise NotSupported(
            f"commit to the tag {destination!r} is not in this version: "
            f"commit to an archive, such as {destination + '.tar'!r}"
        )
    from pathlib import Path

    return Path(destination)


class _Live:
    """What an open workspace has: its mount, its written layer and what it stands on."""

    def __init__(self, engine: Engine, lowerdirs: tuple[str, ...], layer: Layer) -> None:
        self.engine = engine
        self.program = os.getpid()
        self.lowerdirs = lowerdirs
        self.layer = layer
        self.leases = ExitStack()
        self.root_fd = -1
        self._channel: Channel | None = None

    def mount(self, sealed: list[Layer]) -> None:
        """Have the supervisor mount the layer over ``sealed``; the root's descriptor keeps its number."""
        layers = [self.layer, *sealed]
        order = {
            "op": "mount",
            "id": self.layer.name,
            "lower": [*(layer.upper for layer in sealed), *self.lowerdirs],
            "upper": self.layer.upper,
            "work": self.layer.work,
            "tmpfs": [{"name": layer.name, "path": layer.place} for layer in layers if layer.is_tmpfs],
            "directories": [layer.directory for layer in layers],
            "trash": self.engine.paths.trash,
        }
        channel = self.engine._order(order, {})
        try:
            _, (root,) = channel.answer()
        except BaseException:
            channel.close()
            raise
        if self._channel:
            self._channel.close_keeping()
            os.dup2(root, self.root_fd, inheritable=False)
            os.close(root)
        else:
            self.root_fd = root
        self._channel = channel

    def renew(self, layer: Layer, sealed: list[Layer]) -> None:
        """Put the empty ``layer`` in the place of the written one."""
        old, self.layer = self.layer, layer
        try:
            self.mount(sealed)
        except BaseException:
            self.layer = old
            layer.close(self.engine.paths.trash)
            raise
        old.close(self.engine.paths.trash)

    def close(self) -> None:
        """Let the mount and the layer go."""
        if self._channel:
            self._channel.close_keeping()
            os.close(self.root_fd)
        self.layer.close(self.engine.paths.trash)
