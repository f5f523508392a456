"""The OCI runtime configuration (``config.json``), as far as it is used here.

Source: https://github.com/opencontainers/runtime-spec, config.md and config-linux.md.
``process.user.username`` is read on Windows alone in the specification; here it asks the launcher
to look the user up in the container's own files. Until then the ids beside it are those of nobody.
"""

from __future__ import annotations

from typing import Any

import attrs

from ..spec.pairs import Pairs

# The lowest that covers what is used: crun up to 1.8 takes no other than 1.0.
OCI_VERSION = "1.0.2"
RLIM_INFINITY = 2**64 - 1


@attrs.frozen
class User:
    """Who the process runs as; ``username`` is ``name[:group]`` where something must be looked up."""

    uid: int = 0
    gid: int = 0
    umask: int = 0o022
    additional_gids: tuple[int, ...] = ()
    username: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the user as the specification writes it."""
        found: dict[str, Any] = {"uid": self.uid, "gid": self.gid, "umask": self.umask}
        if self.additional_gids:
            found["additionalGids"] = list(self.additional_gids)
        if self.username is not None:
            found["username"] = self.username
        return found


@attrs.frozen
class Capabilities:
    """The five sets of capabilities(7), by full names."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all five sets: an empty one is a statement, not an omission."""
        return {name: list(getattr(self, name)) for name in _SETS}


_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


@attrs.frozen
class Rlimit:
    """A resource limit; `RLIM_INFINITY` is none."""

    type: str
    soft: int
    hard: int


@attrs.frozen
class Process:
    """What is executed, and with which rights."""

    args: tuple[str, ...]
    env: Pairs = ()
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    capabilities: Capabilities = Capabilities()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = True
    oom_score_adj: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the process as the specification writes it."""
        found: dict[str, Any] = {
            "terminal": self.terminal,
            "user": self.user.to_dict(),
            "args": list(self.args),
            "env": [f"{name}={text}" for name, text in self.env],
            "cwd": self.cwd,
            "capabilities": self.capabilities.to_dict(),
            "noNewPrivileges": self.no_new_privileges,
        }
        if self.rlimits:
            found["rlimits"] = [{"type": r.type, "soft": r.soft, "hard": r.hard} for r in self.rlimits]
        if self.oom_score_adj is not None:
            found["oomScoreAdj"] = self.oom_score_adj
        return found


@attrs.frozen
class Root:
    """The root filesystem."""

    path: str
    readonly: bool = False


@attrs.frozen
class Mount:
    """One mount inside the container; ``options`` as mount(8) writes them."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the mount as the specification writes it."""
        found: dict[str, Any] = {"destination": self.destination, "type": self.type, "source": self.source}
        if self.options:
            found["options"] = list(self.options)
        return found


@attrs.frozen
class Namespace:
    """A namespace of the container's own, or the one that ``path`` names."""

    type: str
    path: str | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the namespace as the specification writes it."""
        return {"type": self.type} if self.path is None else {"type": self.type, "path": self.path}


@attrs.frozen
class Device:
    """A device node to make."""

    path: str
    type: str
    major: int
    minor: int
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the device as the specification writes it."""
        return {
            "path": self.path, "type": self.type, "major": self.major, "minor": self.minor,
            "fileMode": self.file_mode, "uid": self.uid, "gid": self.gid,
        }  # fmt: skip


@attrs.frozen
class Linux:
    """What the specification holds for Linux alone."""

    namespaces: tuple[Namespace, ...] = ()
    sysctl: Pairs = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    rootfs_propagation: str = "private"

    def to_dict(self) -> dict[str, Any]:
        """Return the section as the specification writes it, without what is empty."""
        found = {
            "namespaces": [namespace.to_dict() for namespace in self.namespaces],
            "sysctl": dict(self.sysctl),
            "maskedPaths": list(self.masked_paths),
            "readonlyPaths": list(self.readonly_paths),
            "devices": [device.to_dict() for device in self.devices],
            "rootfsPropagation": self.rootfs_propagation,
        }
        return {key: value for key, value in found.items() if value}


@attrs.frozen
class Config:
    """A whole configuration."""

    process: Process
    root: Root
    hostname: str
    mounts: tuple[Mount, ...] = ()
    linux: Linux = Linux()
    annotations: Pairs = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON data, with the specification's names."""
        found: dict[str, Any] = {
            "ociVersion": OCI_VERSION,
            "process": self.process.to_dict(),
            "root": {"path": self.root.path, "readonly": self.root.readonly},
            "hostname": self.hostname,
            "mounts": [mount.to_dict() for mount in self.mounts],
            "linux": self.linux.to_dict(),
        }
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found
