"""Where a root file system comes from: a directory, an archive, this machine, nothing, or the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

import attrs

from . import engine as engines
from .errors import ImageNotFound, InvalidSpec, NotSupported, TinydockerError
from .oci.image_config import ImageConfig

if TYPE_CHECKING:
    from .engine import Engine
    from .image_store.catalogue import Catalogue
    from .image_store.imagerecord import ImageRecord

ImageLike = Union[str, "os.PathLike[str]", "Image"]

_HOST = "host"


@attrs.frozen
class Resolved:
    """An image that is ready to be stood on: its layers, topmost first, and who it is."""

    record: dict[str, Any]
    config: ImageConfig
    lowerdirs: tuple[str, ...]
    leases: tuple[int, ...] = ()


class Image:
    """A root file system to start containers on; making one does no I/O.

    ``source`` is the word ``"host"`` (this machine's own root, read-only below each container's
    private layer), the path of a directory (used in place and never written) or of a rootfs archive
    (.tar, .gz, .bz2, .xz, .zst, told by content; unpacked once), or the name of an image in the store.
    Text with a separator in it, or that exists, is a path; the constructors :meth:`directory`,
    :meth:`archive` and :meth:`reference` say which is meant. ``with`` unpacks it and keeps its
    layers from being removed meanwhile.
    """

    def __init__(self, source: str | os.PathLike[str], *, engine: Engine | None = None) -> None:
        text = os.fsdecode(source)
        if not text or "\0" in text:
            raise InvalidSpec("image", source, "a path, an image's name, or 'host'")
        self._kind = "host" if text == _HOST and isinstance(source, str) else "guess"
        self._source = text
        self._is_path = not isinstance(source, str)
        self._engine = engine
        self._open: ExitStack | None = None
        self._resolution: Resolved | None = None

    @classmethod
    def _of_kind(cls, kind: str, source: str | os.PathLike[str], engine: Engine | None = None) -> Image:
        made = cls(source, engine=engine)
        made._kind = kind
        return made

    @classmethod
    def host(cls) -> Image:
        """Return this machine's own root; other mounts of the host, such as a separate /home, are empty in it."""
        return cls._of_kind("host", _HOST)

    @classmethod
    def scratch(cls) -> Image:
        """Return an image of nothing but the mount points that every container has."""
        return cls._of_kind("scratch", "scratch")

    @classmethod
    def directory(cls, path: str | os.PathLike[str]) -> Image:
        """Return the directory ``path`` as an image, used in place and never written."""
        return cls._of_kind("directory", path)

    @classmethod
    def archive(cls, path: str | os.PathLike[str]) -> Image:
        """Return the rootfs archive ``path`` as an image, unpacked once by content."""
        return cls._of_kind("archive", path)

    @classmethod
    def reference(cls, name: str) -> Image:
        """Return the image of that id, beginning of an id or tag in the store."""
        return cls._of_kind("reference", name)

    @classmethod
    def from_dockerfile(cls, path: str | os.PathLike[str]) -> Image:
        """Not in this version: images are not built here yet."""
        raise NotSupported("building from a Dockerfile is not in this version")

    @classmethod
    def _stored(cls, engine: Engine) -> list[Image]:
        from .image_store.catalogue import Catalogue

        return [cls._of_stored(engine, record) for record in reversed(Catalogue(engine.paths).images())]

    @classmethod
    def _of_stored(cls, engine: Engine, record: ImageRecord) -> Image:
        image = cls._of_kind("reference", record.id, engine)
        image._is_path = False
        return image

    @classmethod
    def _of_record(cls, engine: Engine, recorded: Mapping[str, Any]) -> Image:
        """Return the image that a container's record names."""
        kind = recorded["kind"]
        if kind == "archive":
            return cls._of_kind("reference", recorded["id"], engine)
        return cls._of_kind(kind, recorded["source"], engine)

    def __repr__(self) -> str:
        what = {"host": "this machine's root", "scratch": "nothing", "guess": "whatever is named"}
        said = what.get(self._kind, f"the {self._kind}")
        return f"<image from {said}>" if self._kind in ("host", "scratch") else f"<image from {said} {self._source!r}>"

    def __getstate__(self) -> dict[str, Any]:
        if self._open:
            raise TypeError(f"{self!r} is open and cannot be pickled; pickle it before it is entered")
        return dict(self.__dict__)

    def __enter__(self) -> Image:
        if self._open:
            raise TinydockerError(f"{self!r} is open already")
        engine = (self._engine or engines.default()).open()
        with ExitStack() as undo:
            self._resolution = undo.enter_context(self._resolved(engine))
            self._open = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._open, self._resolution = self._open, None, None
        if opened:
            opened.close()

    # -- what is known of it ---------------------------------------------------------------------

    @property
    def source(self) -> str:
        """What it was made from, as it was given."""
        return self._source

    @property
    def id(self) -> str:
        """Its digest in the store; a directory, the host and scratch have none and give ``""``. Unpacks an archive."""
        return str(self._look().record["id"])

    @property
    def layers(self) -> list[str]:
        """The digests of its layers, lowest first; empty for a directory, the host and scratch."""
        return list(self._look().record["layers"])

    @property
    def config(self) -> dict[str, Any]:
        """What it says about its containers, in the OCI image specification's names."""
        return self._look().config.to_dict()

    @property
    def tags(self) -> list[str]:
        """The names that it has in the store."""
        return list(self._look().record.get("tags", ()))

    @property
    def created(self) -> float | None:
        """When it was put into the store, in seconds since the epoch; None where it is not kept there."""
        when = self._look().record.get("created")
        return None if when is None else float(when)

    @property
    def sources(self) -> list[str]:
        """Every path that it was made from."""
        return list(self._look().record.get("sources", ()))

    @property
    def size(self) -> int:
        """The bytes that its layers' files take in the store; 0 where it is not kept there."""
        return int(self._look().record.get("size", 0))

    def remove(self) -> None:
        """Remove it from the store; InUse while a container or a lease holds one of its layers.

        A directory or the host is not kept in the store: ImageNotFound. The archive stays.
        """
        engine = (self._engine or engines.default()).open()
        from .image_store.catalogue import Catalogue

        catalogue = Catalogue(engine.paths)
        kind = self._true_kind()
        if kind not in ("archive", "reference"):
            raise ImageNotFound(f"{self!r} is not kept in the store")
        wanted = os.path.abspath(self._source) if kind == "archive" else self._source
        catalogue.remove(catalogue.find(wanted))

    def pull(self) -> None:
        """Not in this version: registries are not spoken to yet."""
        raise NotSupported("pulling from a registry is not in this version")

    def push(self, name: str) -> None:
        """Not in this version: registries are not spoken to yet."""
        raise NotSupported("pushing to a registry is not in this version")

    def save(self, path: str | os.PathLike[str], format: str = "docker") -> None:
        """Not in this version: use :meth:`Container.export` or :meth:`Workspace.export`."""
        raise NotSupported("saving an image is not in this version: export a container or workspace instead")

    # -- for containers and workspaces -----------------------------------------------------------

    def _look(self) -> Resolved:
        if self._resolution:
            return self._resolution
        with self._resolved((self._engine or engines.default()).open()) as resolved:
            return resolved

    def _true_kind(self) -> str:
        if self._kind != "guess":
            return self._kind
        if os.path.isdir(self._source):
            return "directory"
        if self._is_path or os.sep in self._source or os.path.exists(self._source):
            return "archive"
        return "reference"

    @contextmanager
    def _resolved(self, engine: Engine) -> Iterator[Resolved]:
        """Make the image ready and keep its layers until the context ends."""
        kind = self._true_kind()
        scaffold = engine.paths.scaffold
        record: dict[str, Any] = {"kind": kind, "source": self._source, "id": "", "layers": []}
        if kind == "scratch":
            yield Resolved(record, ImageConfig(), (scaffold,))
            return
        if kind in ("directory", "host"):
            path = "/" if kind == "host" else os.path.abspath(self._source)
            if not os.path.isdir(path):
                raise ImageNotFound(f"there is no directory {self._source!r} to use as an image")
            record["source"] = _HOST if kind == "host" else path
            # An overlay refuses layers of which one lies in another; what holds the engine's root is a whole system.
            lowest = () if _holds(path, scaffold) else (scaffold,)
            yield Resolved(record, ImageConfig(), (path, *lowest))
            return
        from .image_store.catalogue import Catalogue

        catalogue = Catalogue(engine.paths)
        if kind == "archive":
            stored, lease = catalogue.open_archive(self._source)
        else:
            stored = self._find(catalogue)
            lease = catalogue.lease(stored)
        with lease:
            yield Resolved(
                {
                    **record,
                    "kind": "archive",
                    "source": stored.source,
                    "id": stored.id,
                    "layers": list(stored.layers),
                    "tags": list(stored.tags),
                    "sources": list(stored.sources),
                    "created": stored.created,
                    "size": stored.size,
                },
                ImageConfig.from_dict(stored.config.get("config")),
                (*reversed(lease.rootfs), scaffold),
                lease.fds,
            )

    def _find(self, catalogue: Catalogue) -> ImageRecord:
        try:
            return catalogue.find(self._source)
        except ImageNotFound:
            raise ImageNotFound(
                f"there is no file, directory or stored image {self._source!r} (tinydocker images lists what is "
                "stored; pulling from a registry is not in this version)"
            ) from None


def as_image(source: ImageLike) -> Image:
    """Return ``source`` as an image."""
    if isinstance(source, Image):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Image(source)
    raise InvalidSpec("image", source, "a path, an image's name, 'host', an Image or a Workspace")


def _holds(directory: str, path: str) -> bool:
    outer = os.path.realpath(directory)
    return os.path.commonpath((outer, os.path.realpath(path))) == outer
