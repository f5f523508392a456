"""The way of a container: from a specification and an image to a running process.

``make`` resolves, records and names; ``start`` orders the supervisor. Whatever fails, all that was
made is unmade again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import attrs

from .errors import ImageNotFound, InvalidSpec, NameInUse
from .launch.client import Channel
from .launch.template import split
from .linux import mounts
from .oci import etc_files, translate
from .oci.config import Config
from .oci.image_config import ImageConfig
from .spec.container import ContainerSpec
from .store import names, trash
from .store.container_dir import ContainerDir

if TYPE_CHECKING:
    from .engine import Engine

_ATTEMPTS = 16


@attrs.frozen
class Rootfs:
    """What a container stands on: layers of an image (topmost first), or a workspace's mount."""

    image: Mapping[str, Any]
    config: ImageConfig
    lowerdirs: tuple[str, ...] = ()
    workspace: str | None = None
    leases: tuple[int, ...] = ()


@attrs.define(eq=False)
class Made:
    """A container that exists on disk: its directory, its held lock, and its configuration."""

    directory: ContainerDir
    name: str
    lock: int
    record: dict[str, Any]

    def release(self) -> None:
        """Let this program's copy of the lock go."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def make(engine: Engine, spec: ContainerSpec, rootfs: Rootfs) -> Made:
    """Record a new container and give it its name; nothing is left of it when that fails."""
    container_id = os.urandom(6).hex()
    volumes = {v.target: _volume_source(engine, v.source, named=v.named) for v in spec.volumes}
    config = configure(engine, spec, rootfs.config, container_id, volumes)
    with ExitStack() as undo:
        directory, lock = ContainerDir.make(engine.paths.containers, container_id)
        undo.callback(lambda: trash.remove_tree(directory.path))
        undo.callback(os.close, lock)
        _write_etc_files(directory, spec, config)
        record = {
            "id": container_id,
            "name": "",
            "created": time.time(),
            "image": dict(rootfs.image),
            "rootfs": {"lower": list(rootfs.lowerdirs), "workspace": rootfs.workspace},
            "spec": spec.to_dict(),
            "detach": spec.detach,
            "auto_remove": spec.auto_remove,
            "labels": translate.labels(spec, rootfs.config),
            "stop_signal": translate.stop_signal(spec, rootfs.config),
            "volumes": volumes,
            "config": config.to_dict(),
        }
        name = _named(engine, directory, spec, record)
        undo.pop_all()
    return Made(directory, name, lock, record)


def _named(engine: Engine, directory: ContainerDir, spec: ContainerSpec, record: dict[str, Any]) -> str:
    """Publish the container under its name, or under one that is made up."""
    paths = engine.paths
    for attempt in range(1, _ATTEMPTS + 1):
        name = record["name"] = spec.name or names.made_up()
        directory.write_record(record, durable=not spec.auto_remove)
        if directory.is_hidden:
            directory.publish()
        try:
            names.claim(paths.names, paths.containers, name, directory.id)
            return name
        except NameInUse:
            if spec.name and spec.replace and attempt == 1:
                engine.get(name).remove(force=True)
            elif spec.name or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def configure(
    engine: Engine, spec: ContainerSpec, image: ImageConfig, container_id: str, volumes: Mapping[str, str]
) -> Config:
    """Translate the specification; ``volumes`` maps targets to resolved sources."""
    place = ContainerDir(engine.paths.containers, container_id)
    return translate.translate(
        spec,
        image,
        container_id=container_id,
        rootfs=f"{engine.paths.run_root}/rootfs",
        files=_etc_files(place),
        volumes=volumes,
        cpus=os.cpu_count() or 1,
    )


def _volume_source(engine: Engine, source: str, *, named: bool) -> str:
    if named:
        path = f"{engine.paths.volumes}/{source}"
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
            os.chmod(path, 0o755)  # whatever the program's umask
        return path
    path = os.path.abspath(source)
    if not os.path.exists(path):
        raise InvalidSpec("volumes", source, "a file or directory that exists, or the name of a volume without a '/'")
    return path


def _etc_files(directory: ContainerDir) -> dict[str, str]:
    return {f"/etc/{name}": directory.file(name) for name in ("hosts", "hostname", "resolv.conf")}


def _write_etc_files(directory: ContainerDir, spec: ContainerSpec, config: Config) -> None:
    own = spec.network != "host"
    texts = {
        "hostname": etc_files.hostname_text(config.hostname),
        "hosts": etc_files.hosts_text(config.hostname, None, spec.extra_hosts),
        "resolv.conf": etc_files.resolv_conf_text(spec.dns, _host_resolvers(), own_network=own),
    }
    for name, text in texts.items():
        fd = os.open(directory.file(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with open(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, 0o644)
            file.write(text)


def _host_resolvers() -> str:
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


@attrs.frozen
class Started:
    """An ordered start: its channel and, where they were asked for, the supervisor's answers."""

    channel: Channel
    pid: int = 0
    pidfd: int = -1
    terminal: int = -1


def order(
    engine: Engine,
    made: Made,
    spec: ContainerSpec,
    *,
    streams: Mapping[str, int],
    leases: tuple[int, ...],
    logged: bool,
    remove: str,
    first: bool,
    announced: bool = True,
    size: tuple[int, int] | None = None,
) -> Channel:
    """Order the start and return its channel; ``streams`` are the child's ends.

    With ``announced`` an answer tells when the command runs, or why not; without, only the end is told.
    ``remove`` says who removes it: the supervisor ``at_end`` or ``at_close`` of the channel, or
    ``never``. A ``first`` start that fails leaves nothing. ``size`` is that of its terminal (rows, columns).
    """
    directory = made.directory
    with ExitStack() as ours:
        fds = {"lock": made.lock, **streams, **{f"lease{n}": fd for n, fd in enumerate(leases)}}
        for target, source in made.record["volumes"].items():
            fds[f"tree:{target}"] = ours.enter_context(_tree(source))
        for target, source in _etc_files(directory).items():
            if target not in made.record["volumes"]:
                fds[f"tree:{target}"] = ours.enter_context(_tree(source))
        log = {
            "path": directory.log,
            "max_bytes": spec.log.max_size,
            "max_files": spec.log.max_files,
        }
        template, rest = split(with_console_size(made.record["config"], size))
        order = {
            "op": "start",
            "id": directory.id,
            "directory": directory.path,
            "trash": engine.paths.trash,
            "layers": engine.paths.ready,
            "name_link": f"{engine.paths.names}/{made.name}",
            "template": template,
            "config": rest,
            "terminal": spec.tty,
            "init": spec.init,
            "rootfs": _rootfs(made),
            "attached": not spec.detach,
            "remove": remove,
            "undo": "remove" if first else "record",
            "announced": announced,
            "durable": not spec.auto_remove,
            "log": log if logged else None,
        }
        return engine._order(order, fds)


def with_console_size(config: dict[str, Any], size: tuple[int, int] | None) -> dict[str, Any]:
    """Return the configuration with a terminal of ``size`` (rows, columns), where one is given."""
    if size is None:
        return config
    rows, columns = size
    return {**config, "process": {**config["process"], "consoleSize": {"height": rows, "width": columns}}}


def await_start(channel: Channel) -> Started:
    """Wait until the command of an ordered start runs."""
    try:
        message, received = channel.answer()
    except BaseException:
        channel.close()
        raise
    started = message["started"]
    terminal = received[1] if len(received) > 1 else -1
    return Started(channel, started["pid"], received[0], terminal)


def _rootfs(made: Made) -> dict[str, Any]:
    workspace = made.record["rootfs"]["workspace"]
    if workspace:
        return {"workspace": workspace}
    if os.path.isdir(made.directory.work):
        made.directory.make_layer()
    lower = made.record["rootfs"]["lower"]
    # A directory that was replaced under its name is another one: nothing that was mounted ahead of need may serve.
    return {"lower": lower, "inodes": [_inode(path) for path in lower]}


def _inode(path: str) -> list[int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise ImageNotFound(f"the image's directory {path} is gone") from None
    return [found.st_dev, found.st_ino]


@contextmanager
def _tree(source: str) -> Iterator[int]:
    """Lend a detached copy of the mount tree at ``source``: what is mounted is what was opened now."""
    try:
        fd = mounts.clone_tree(source, recursive=True)
    except FileNotFoundError:
        raise InvalidSpec("volumes", source, "a file or directory that exists") from None
    try:
        yield fd
    finally:
        os.close(fd)
