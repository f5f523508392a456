"""Remember images: what they are made of, where they came from, what they are called.

::

    images/<id>/      record.json   one image; without it there is none
                      lock          held while the record is changed or removed

A layer exists before the record of the image that has it, and is leased until then.
"""

from __future__ import annotations

import logging
import os
import stat
import time

from attrs import evolve

from ..errors import ImageCorrupt, ImageNotFound, InUse, InvalidSpec, KernelError, NotSupported, StateCorrupt
from ..store import locks, records, trash
from ..store.paths import Paths
from .archive import ArchiveDamaged
from .archive_index import ArchiveIndex, FileState, state_of
from .imagerecord import ImageRecord, image_id, root_filesystem_config
from .layers import LayerStore, Lease

_log = logging.getLogger(__name__)
_SHORTEST_PREFIX = 4


class Catalogue:
    """The images under one engine's root; any number of processes may use it at once."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._index = ArchiveIndex(paths)
        self.layers = LayerStore(paths)

    def __repr__(self) -> str:
        return f"the images in {self._paths.images}"

    def open_archive(self, path: str | os.PathLike[str]) -> tuple[ImageRecord, Lease]:
        """Return the image in the rootfs archive at ``path`` with a lease on its layers.

        The archive is unpacked unless that was done before, by whomever; who asks while another
        unpacks the same file waits. Raises ImageNotFound, ImageCorrupt with the file and the
        reason, or NotSupported; nothing is left behind then.
        """
        source = os.path.abspath(os.fspath(path))
        fd = _opened(source)
        try:
            state = state_of(fd)
            if known := self._known(state):
                return known
            with self._index.alone(state):
                return self._known(state) or self._import(fd, source, state)
        finally:
            os.close(fd)

    def import_archive(self, path: str | os.PathLike[str]) -> ImageRecord:
        """Return the image in the rootfs archive at ``path``, unpacked; see `open_archive`."""
        record, lease = self.open_archive(path)
        lease.close()
        return record

    def lease(self, image: ImageRecord) -> Lease:
        """Hold the layers of an image."""
        return self.layers.lease(image.layers)

    def images(self) -> list[ImageRecord]:
        """Return every image, the oldest first; a damaged record is set aside and logged."""
        found = []
        for name in os.listdir(self._paths.images):
            try:
                found.append(self._read(name))
            except FileNotFoundError:
                continue  # half made, or just removed
            except StateCorrupt as err:
                _log.warning("%s", err)
        return sorted(found, key=lambda image: (image.created, image.id))

    def find(self, reference: str) -> ImageRecord:
        """Return the image of that id, of an id that begins so, of that tag, or made from that file.

        Raises ImageNotFound, and InvalidSpec where more than one image is meant.
        """
        hex_part = reference.removeprefix("sha256:")
        if len(hex_part) == 64 and _is_hex(hex_part):
            try:
                return self._read(hex_part)
            except FileNotFoundError:
                raise ImageNotFound(f"there is no image {reference}") from None
        images = self.images()
        ways = [
            [image for image in images if reference in image.tags],
            [image for image in images if os.path.abspath(reference) in image.sources] if "/" in reference else [],
            [image for image in images if reference in map(os.path.basename, image.sources)],
        ]
        if len(hex_part) >= _SHORTEST_PREFIX and _is_hex(hex_part):
            ways.append([image for image in images if image.id.startswith(hex_part)])
        for meant in ways:
            if len(meant) > 1:
                ids = ", ".join(image.id[:12] for image in meant)
                raise InvalidSpec("image", reference, f"something that only one image is called, this is: {ids}")
            if meant:
                return meant[0]
        raise ImageNotFound(f"there is no image {reference!r} in the store")

    def tag(self, image: ImageRecord, *tags: str) -> ImageRecord:
        """Call an image by further names, which other images then lose."""
        for other in self.images():
            if other.id != image.id and set(other.tags) & set(tags):
                self._change(other.id, drop=tags)
        return self._change(image.id, add=tags)

    def remove(self, image: ImageRecord) -> None:
        """Remove an image and the layers that no other image has.

        Raises InUse while a layer is leased or a container or workspace refers to the image,
        and ImageNotFound where it is gone.
        """
        directory = os.path.join(self._paths.images, image.id)
        try:
            lock = locks.hold(os.path.join(directory, "lock"), wait=True)
        except FileNotFoundError:
            raise ImageNotFound(f"there is no image {image.id}") from None
        seized: dict[str, int] = {}
        try:
            for digest in dict.fromkeys(image.layers):
                if digest not in self._layers_of_others(image) and (held := self.layers.seize(digest)) is not None:
                    seized[digest] = held
            # Whoever refers to an image holds its layers first: now no reference can be added.
            if user := self._referrer(image):
                raise InUse(f"the image {image.id[:12]} is in use by {user}: remove that first")
            for digest in seized.keys() & self._layers_of_others(image):
                os.close(seized.pop(digest))
            self._index.forget(image.id)
            thrown = trash.discard(directory, self._paths.trash)
            while seized:
                self.layers.remove(*seized.popitem())
            if thrown:
                trash.remove_tree(thrown)
        finally:
            for fd in (lock, *seized.values()):
                os.close(fd)

    def size(self, image: ImageRecord) -> int:
        """Return the bytes of the files in an image's layers."""
        return sum(map(self.layers.size, image.layers))

    def sweep(self) -> list[str]:
        """Remove what died half way: unfinished layers, images without a record, stale keys, trash.

        Returns the names of what was removed.
        """
        swept = self.layers.sweep() + self._index.sweep()
        for name in os.listdir(self._paths.images):
            directory = os.path.join(self._paths.images, name)
            if os.path.exists(os.path.join(directory, "record.json")):
                continue
            try:
                lock = locks.hold(os.path.join(directory, "lock"))
            except (BlockingIOError, FileNotFoundError):
                continue  # its maker is at work, or it is gone
            try:
                if not os.path.exists(os.path.join(directory, "record.json")):
                    trash.discard(directory, self._paths.trash)
                    swept.append(name)
            finally:
                os.close(lock)
        trash.sweep(self._paths.trash)
        return swept

    def _import(self, fd: int, source: str, state: FileState) -> tuple[ImageRecord, Lease]:
        def check() -> None:
            if not state.same_content(state_of(fd)):
                raise ArchiveDamaged("it was changed while it was read")

        try:
            unpacked, lease = self.layers.add(fd, check)
        except ArchiveDamaged as err:
            raise ImageCorrupt(f"{source}: {err}") from err
        except NotSupported as err:
            raise NotSupported(f"{source}: {err}") from err
        except KernelError as err:
            raise KernelError(err.syscall, (source, *err.arguments), err.errno or 0, err.hint) from err
        try:
            config = root_filesystem_config([unpacked.diff_id])
            image = ImageRecord(
                id=image_id(config),
                kind="archive",
                source=source,
                layers=(unpacked.diff_id,),
                config=config,
                created=time.time(),
                size=unpacked.size,
                sources=(source,),
            )
            image = self._change(image.id, image)
            if state.steady and state_of(fd).ctime_ns == state.ctime_ns:
                self._index.remember(state, image.id)
        except BaseException:
            lease.close()
            raise
        return image, lease

    def _known(self, state: FileState) -> tuple[ImageRecord, Lease] | None:
        known = self._index.image_id(state)
        if known is None:
            return None
        try:
            image = self._read(known)
            return image, self.lease(image)
        except FileNotFoundError:
            return None
        except (StateCorrupt, ImageNotFound, ImageCorrupt) as err:
            _log.warning("%s: the archive is unpacked again", err)
            return None

    def _read(self, name: str) -> ImageRecord:
        path = os.path.join(self._paths.images, name, "record.json")
        try:
            image = ImageRecord.from_dict(records.read(path))
            if image.id != name:
                raise ValueError("it is another image's")
        except ValueError as err:
            raise records.set_aside(path, str(err)) from err
        return image

    def _change(
        self, image_id: str, new: ImageRecord | None = None, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()
    ) -> ImageRecord:
        """Make or change an image's record, alone."""
        directory = os.path.join(self._paths.images, image_id)
        lock = self._locked(directory, make=new is not None)
        try:
            try:
                image = self._read(image_id)
            except (FileNotFoundError, StateCorrupt):
                if new is None:
                    raise
                changed = image = new
            else:
                sources = (*image.sources, *(new.sources if new else ()))
                tags = (*(tag for tag in image.tags if tag not in drop), *add)
                changed = evolve(image, sources=tuple(dict.fromkeys(sources)), tags=tuple(dict.fromkeys(tags)))
                if changed == image:
                    return image
            records.write(os.path.join(directory, "record.json"), changed.to_dict())
            return changed
        finally:
            os.close(lock)

    def _locked(self, directory: str, make: bool) -> int:
        while True:
            if make:
                os.makedirs(directory, 0o700, exist_ok=True)
            try:
                return locks.hold(os.path.join(directory, "lock"), wait=True)
            except FileNotFoundError:  # a sweeper was faster
                if not make:
                    raise ImageNotFound(f"there is no image {os.path.basename(directory)}") from None

    def _layers_of_others(self, image: ImageRecord) -> set[str]:
        return {digest for other in self.images() if other.id != image.id for digest in other.layers}

    def _referrer(self, image: ImageRecord) -> str:
        for kind, directory in (("container", self._paths.containers), ("workspace", self._paths.workspaces)):
            for name in os.listdir(directory):
                try:
                    used = records.read(os.path.join(directory, name, "record.json")).get("image")
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except StateCorrupt as err:
                    _log.warning("%s", err)
                    continue
                if not isinstance(used, dict):
                    continue
                if used.get("id") == image.id or ("id" not in used and set(used.get("layers", ())) & set(image.layers)):
                    return f"the {kind} {name}"
        return ""


def _opened(source: str) -> int:
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageNotFound(f"{source}: there is no such file") from None
    except OSError as err:
        raise KernelError("open", (source,), err.errno or 0) from err
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ImageCorrupt(f"{source}: it is not a regular file")
    return fd


def _is_hex(value: str) -> bool:
    return not value.strip("0123456789abcdef")
