"""Keep unpacked layers: directories by the digest of their content, complete or not there.

::

    layers/<digest>/        rootfs/      the tree
                            lock         shared lock = in use, exclusive = about to go
                            record.json  what it holds, and the boot that unpacked it
    layers/.partial-<x>/    the same while it is being unpacked, its lock held by the unpacker

A layer is made beside its place and renamed in. Files are not synced one by one, which would
take longer than unpacking: a layer that was unpacked during an earlier boot is compared with its
record once before it is used (names and sizes: what a loss of power takes is whole files or
their ends), and is then known to be on disk.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from attrs import define, field

from ..errors import ImageCorrupt, ImageNotFound, InUse, StateCorrupt
from ..store import locks, records, trash
from ..store.paths import Paths
from .unpack import Unpacked, unpack

_log = logging.getLogger(__name__)
_PARTIAL = ".partial-"


@define(eq=False)
class Lease:
    """Layers that nobody removes while this is open: shared locks, held by descriptors.

    ``rootfs`` are the directories of the layers, the lowest first, as in the image. The
    descriptors may be sent to another process; the layers stay as long as any copy is open.
    """

    digests: tuple[str, ...]
    rootfs: tuple[str, ...]
    _fds: list[int] = field(factory=list, repr=False)

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that hold the locks; none once closed."""
        return tuple(self._fds)

    def close(self) -> None:
        """Give the layers back; again is fine."""
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LayerStore:
    """The layers under one engine's root."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def __repr__(self) -> str:
        return f"the layers in {self._paths.layers}"

    def path(self, digest: str) -> str:
        """Return where the layer of that digest lies, or would."""
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or value.strip("0123456789abcdef"):
            raise ImageCorrupt(f"{digest!r} is not the digest of a layer")
        return os.path.join(self._paths.layers, value)

    def add(self, archive_fd: int, check: Callable[[], None]) -> tuple[Unpacked, Lease]:
        """Unpack an archive file and return what it held, with a lease on the layer it became.

        ``check`` is called when all was read, before the layer exists; it may raise.
        """
        partial, lock = self._begin()
        try:
            rootfs = os.path.join(partial, "rootfs")
            os.mkdir(rootfs, 0o700)
            rootfs_fd = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                unpacked = unpack(archive_fd, rootfs_fd)
            finally:
                os.close(rootfs_fd)
            check()
            record = {
                "digest": unpacked.diff_id,
                "names": unpacked.names,
                "size": unpacked.size,
                "boot_id": records.boot_id(),
                "settled": False,
            }
            records.write(os.path.join(partial, "record.json"), record, durable=False)
            return unpacked, self._publish(partial, lock, unpacked.diff_id)
        except BaseException:
            try:
                self._throw_away(partial)
            finally:
                os.close(lock)
            raise

    def lease(self, digests: Iterable[str]) -> Lease:
        """Hold the layers of these digests; raise ImageNotFound or ImageCorrupt where one is not whole."""
        wanted = tuple(digests)
        lease = Lease(wanted, tuple(os.path.join(self.path(digest), "rootfs") for digest in wanted))
        try:
            for digest in wanted:
                lease._fds.append(self._held(digest))
        except BaseException:
            lease.close()
            raise
        return lease

    def is_leased(self, digest: str) -> bool:
        """Whether anyone holds the layer right now."""
        return locks.is_held(os.path.join(self.path(digest), "lock"))

    def size(self, digest: str) -> int:
        """Return the bytes of the layer's files."""
        return int(self._record(digest)["size"])

    def seize(self, digest: str) -> int | None:
        """Hold the layer alone, in order to remove it; None where it is gone. Raises InUse."""
        path = self.path(digest)
        try:
            return locks.hold(os.path.join(path, "lock"))
        except FileNotFoundError:
            return None
        except BlockingIOError:
            raise InUse(f"the layer {digest} is in use: end what uses it first") from None

    def remove(self, digest: str, seized: int) -> None:
        """Remove a layer that `seize` holds, and let go of it."""
        try:
            self._throw_away(self.path(digest))
        finally:
            os.close(seized)

    def digests(self) -> list[str]:
        """Return the digests of the layers that are here."""
        return sorted(f"sha256:{name}" for name in os.listdir(self._paths.layers) if len(name) == 64)

    def sweep(self) -> list[str]:
        """Remove what unpackers left that died on the way; return the names."""
        swept = []
        for name in os.listdir(self._paths.layers):
            if not name.startswith(_PARTIAL):
                continue
            path = os.path.join(self._paths.layers, name)
            try:
                lock = locks.hold(os.path.join(path, "lock"))
            except (BlockingIOError, FileNotFoundError):
                continue  # its unpacker lives, or has just finished
            try:
                self._throw_away(path)
            finally:
                os.close(lock)
            swept.append(name)
        return swept

    def _begin(self) -> tuple[str, int]:
        while True:
            partial = os.path.join(self._paths.layers, _PARTIAL + os.urandom(8).hex())
            os.mkdir(partial, 0o700)
            try:
                return partial, locks.hold(os.path.join(partial, "lock"))
            except (BlockingIOError, FileNotFoundError):
                continue  # a sweeper was faster; the directory is on its way out

    def _publish(self, partial: str, lock: int, digest: str) -> Lease:
        """Rename the finished layer in, or take the one that another unpacker put there."""
        path = self.path(digest)
        while True:
            locks.hold(lock, exclusive=False)  # from here on a lease
            try:
                os.rename(partial, path)
            except OSError as err:
                if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return Lease((digest,), (os.path.join(path, "rootfs"),), [lock])
            try:
                lease = self.lease((digest,))
            except (ImageNotFound, ImageCorrupt):
                continue  # it was on its way out, or damaged and is now out of the way
            try:
                self._throw_away(partial)
            except BaseException:
                lease.close()
                raise
            os.close(lock)
            return lease

    def _held(self, digest: str) -> int:
        path = self.path(digest)
        try:
            lock = locks.shared(os.path.join(path, "lock"), wait=True)
        except (FileNotFoundError, NotADirectoryError):
            raise ImageNotFound(f"the layer {digest} is not in the store") from None
        try:
            record = self._record(digest)
            if not record["settled"] and record["boot_id"] != records.boot_id():
                self._compare(path, record)
        except ImageCorrupt:
            self._set_aside(path, lock)
            raise
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _record(self, digest: str) -> dict[str, Any]:
        path = self.path(digest)
        try:
            record = records.read(os.path.join(path, "record.json"))
        except FileNotFoundError:
            raise ImageCorrupt(f"the layer {digest} has no record; it was set aside") from None
        except StateCorrupt as err:
            raise ImageCorrupt(f"the layer {digest} is damaged: {err}") from err
        if record.get("digest") != digest or not {"names", "size", "settled", "boot_id"} <= record.keys():
            raise ImageCorrupt(f"the record of the layer {digest} is not its own; it was set aside")
        return record

    def _compare(self, path: str, record: dict[str, Any]) -> None:
        found = _counted(os.path.join(path, "rootfs"))
        if found != (record["names"], record["size"]):
            raise ImageCorrupt(
                f"the layer {record['digest']} lost files when the machine went down: {found[0]} names with {found[1]} "
                f"bytes where {record['names']} with {record['size']} are expected"
            )
        records.write(os.path.join(path, "record.json"), {**record, "settled": True}, durable=False)

    def _set_aside(self, path: str, lock: int) -> None:
        """Remove a damaged layer, unless somebody uses it; a new one can then take its place."""
        try:
            locks.hold(lock)
            self._throw_away(path)
        except BlockingIOError:
            _log.warning("the damaged layer %s is in use and stays", path)
        finally:
            os.close(lock)

    def _throw_away(self, path: str) -> None:
        if (thrown := trash.discard(path, self._paths.trash)) is not None:
            trash.remove_tree(thrown)


def _counted(root: str) -> tuple[int, int]:
    """Count the names below ``root`` and the bytes of its regular files, each once whatever its names."""
    names = size = 0
    linked: set[int] = set()
    todo = [os.fsencode(root)]
    while todo:
        try:
            entries = os.scandir(todo.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                names += 1
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif stat.S_ISREG((found := entry.stat(follow_symlinks=False)).st_mode):
                    if found.st_ino in linked:
                        continue
                    if found.st_nlink > 1:
                        linked.add(found.st_ino)
                    size += found.st_size
    return names, size
