"""Unpack an archive file into a directory: decompress, hash and extract side by side.

The work is done in threads of its own. The one that makes files gives up what it shares with
the program's other threads (unshare(2), CLONE_FS), so that its umask is its own and the
program's stays as it is; no process is forked.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable

from attrs import frozen

from ..errors import KernelError, NotSupported
from ..linux.files import open_in_root
from ..linux.process import unshare
from .archive import recognise
from .extract import Extractor
from .stream import ArchiveStream
from .tarstream import TarStream

_CLONE_FS = 0x00000200
_LARGEST_INDEX = 4 << 20


@frozen
class Unpacked:
    """What an archive turned out to hold."""

    diff_id: str  # "sha256:…" of the uncompressed tar stream, as OCI counts layers
    compression: str
    names: int  # below the root
    size: int  # bytes of the regular files, each once whatever its names


def unpack(archive_fd: int, target_fd: int, layouts: bool = False) -> Unpacked:
    """Unpack the archive file ``archive_fd`` into the empty directory ``target_fd``.

    Raises ArchiveDamaged with the reason, NotSupported, or KernelError where the host is at
    fault; the target then holds anything. Archives that hold images (``docker save``, OCI
    layout) rather than a root filesystem are refused unless ``layouts``.
    """
    compression = recognise(archive_fd)
    with ArchiveStream(archive_fd, compression) as stream:
        extractor = Extractor(target_fd, None if layouts else lambda name: _refuse_layout(target_fd, name))
        _in_own_thread(lambda: extractor.run(TarStream(stream)), stream.stop)
        return Unpacked(stream.digest(), compression, extractor.names, extractor.size)


def _in_own_thread(work: Callable[[], None], stop: Callable[[], None]) -> None:
    failure: list[BaseException] = []

    def run() -> None:
        try:
            unshare(_CLONE_FS)
            os.umask(0)
            work()
        except BaseException as err:  # noqa: BLE001 - raised again in the thread that waits
            failure.append(err)

    thread = threading.Thread(target=run, name="tinydocker-unpack", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:  # Ctrl-C
        stop()
        thread.join()
        raise
    if failure:
        raise failure[0]


def _refuse_layout(root_fd: int, name: bytes) -> None:
    """Raise NotSupported where the file just made at the top shows that this is no root filesystem.

    Source: OCI image-spec, image-layout.md; moby's image/tarexport.
    """
    if name not in (b"oci-layout", b"manifest.json"):
        return
    try:
        fd = open_in_root(root_fd, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except KernelError as err:
        if err.errno in (errno.ENOENT, errno.ELOOP):
            return
        raise
    try:
        data = os.read(fd, _LARGEST_INDEX)
    finally:
        os.close(fd)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return
    if name == b"oci-layout" and isinstance(content, dict) and "imageLayoutVersion" in content:
        raise NotSupported("it is an OCI layout, which holds images and no root filesystem: not yet supported")
    first = content[0] if isinstance(content, list) and content else None
    if name == b"manifest.json" and isinstance(first, dict) and {"Config", "Layers"} <= first.keys():
        raise NotSupported("it is an archive of `docker save`, which holds images and no root filesystem: "
                           "not yet supported")  # fmt: skip
