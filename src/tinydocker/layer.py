"""The writable layers of workspaces: directories of their own, or tmpfs that the supervisor keeps."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import attrs

from .store import locks, trash

if TYPE_CHECKING:
    from .engine import Engine


@attrs.define(eq=False)
class Layer:
    """One writable layer, leased while somebody in this program holds it: a directory, or the supervisor's tmpfs."""

    directory: str
    _lease: int
    _tmpfs: tuple[int, int] | None = None  # its channel, which keeps it, and its upper directory
    _holders: int = 1
    _guard: threading.Lock = attrs.field(factory=threading.Lock)
    _program: int = attrs.field(factory=os.getpid)

    @classmethod
    def make(cls, engine: Engine, tmpfs_bytes: int | None = None) -> Layer:
        """Make an empty layer."""
        directory = f"{engine.paths.workspaces}/{os.urandom(6).hex()}"
        layer = cls(directory, locks.make_directory(directory))
        try:
            os.mkdir(layer.place, 0o700)
            if tmpfs_bytes is None:
                for path in (layer.upper, layer.work):
                    os.mkdir(path)
                    os.chmod(path, 0o755)
            else:
                layer._tmpfs = _order_tmpfs(engine, layer.name, tmpfs_bytes)
        except BaseException:
            layer.close(engine.paths.trash)
            raise
        return layer

    @property
    def name(self) -> str:
        """Its name among the workspaces."""
        return os.path.basename(self.directory)

    @property
    def place(self) -> str:
        """Where its two directories are; of a tmpfs, where the supervisor mounts it out of the host's sight."""
        return f"{self.directory}/layer"

    @property
    def upper(self) -> str:
        """Its upper directory."""
        return f"{self.place}/upper"

    @property
    def work(self) -> str:
        """Its work directory."""
        return f"{self.place}/work"

    @property
    def readable_upper(self) -> str | int:
        """Its upper directory, as what this program can read: a path, or a tmpfs's descriptor."""
        return self._tmpfs[1] if self._tmpfs else self.upper

    @property
    def is_tmpfs(self) -> bool:
        """Whether it is kept in memory."""
        return self._tmpfs is not None

    def is_written(self) -> bool:
        """Tell whether anything has been changed in it."""
        with os.scandir(self.readable_upper) as entries:
            return next(entries, None) is not None

    def share(self) -> Layer:
        """Return the layer for one more holder, who closes it too."""
        with self._guard:
            self._holders += 1
        return self

    def close(self, trash_dir: str) -> None:
        """Let go; the last holder removes the layer."""
        with self._guard:
            self._holders -= 1
            if self._holders:
                return
        for fd in self._tmpfs or ():
            os.close(fd)
        if self._program == os.getpid():  # a child that was forked meanwhile has but a copy
            place = trash.discard(self.directory, trash_dir)
            if place:
                trash.remove_tree(place)
        os.close(self._lease)


def _order_tmpfs(engine: Engine, name: str, size_bytes: int) -> tuple[int, int]:
    channel = engine._order({"op": "tmpfs", "id": name, "bytes": size_bytes}, {})
    try:
        _, (upper,) = channel.answer()
        return os.dup(channel.fileno()), upper
    finally:
        channel.forget()


def copied(upper: str, engine: Engine) -> Layer:
    """Return a layer with a copy of the directory ``upper``."""
    from .image_store.copy import copy_layer

    layer = Layer.make(engine)
    try:
        copy_layer(upper, layer.upper)
    except BaseException:
        layer.close(engine.paths.trash)
        raise
    return layer
