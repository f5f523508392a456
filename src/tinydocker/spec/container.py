"""The specification of a container: a value that says what is to run, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ..errors import InvalidSpec
from .capabilities import ALL
from .logs import LogConfig
from .mounts import TmpfsMount, VolumeMount, duplicate_target
from .options import FIELD_READERS, read_options
from .pairs import Pairs
from .sysctls import NETWORK_PREFIX
from .ulimits import Ulimit

_LOG_DEFAULT = LogConfig()


@attrs.frozen(repr=False)
class ContainerSpec:
    """What is to run in a container; frozen, hashable, and built by `from_options`.

    Sizes are bytes and times seconds. Mappings are held as tuples of pairs. None means the image's
    (``command``, ``entrypoint``, ``workdir``, ``user``, ``stop_signal``) or the engine's (``name``,
    ``hostname``) choice; an ``entrypoint`` of ``()`` clears the image's.
    """

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    name: str | None = None
    env: Pairs = ()
    workdir: str | None = None
    user: str | None = None
    hostname: str | None = None
    labels: Pairs = ()
    shm_size_bytes: int = 64 << 20
    ulimits: tuple[Ulimit, ...] = ()
    umask: int = 0o022
    oom_score_adj: int | None = None
    volumes: tuple[VolumeMount, ...] = ()
    tmpfs: tuple[TmpfsMount, ...] = ()
    read_only: bool = False
    network: str = "none"
    dns: tuple[str, ...] = ()
    extra_hosts: Pairs = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = True
    sysctls: Pairs = ()
    init: bool = False
    tty: bool = False
    stdin: bool = False
    stop_signal: int | None = None
    stop_timeout_s: float = 10.0
    detach: bool = False
    auto_remove_given: bool | None = None
    replace: bool = False
    log: LogConfig = _LOG_DEFAULT

    @classmethod
    def from_options(cls, **options: object) -> ContainerSpec:
        """Build a specification from a container's options, in the forms in which users give them.

        None stands for an option's default. ``seccomp`` is accepted as None and ``"unconfined"``,
        which both mean that system calls are not filtered: this version has no filter yet.

        Raises `TypeError` for an unknown option, `InvalidSpec` for a value that is not accepted,
        `NotSupported` for what this version does not have.
        """
        return cls(**read_options(options, _DEFAULTS))

    def with_options(self, **options: object) -> ContainerSpec:
        """Return a copy in which ``options`` replace what they were; see `from_options`."""
        return attrs.evolve(self, **read_options(options, _DEFAULTS))

    @property
    def auto_remove(self) -> bool:
        """Whether the container is removed at its end: as given, else unless it is detached."""
        return not self.detach if self.auto_remove_given is None else self.auto_remove_given

    @property
    def env_dict(self) -> dict[str, str]:
        """The environment variables that the options set."""
        return dict(self.env)

    @property
    def labels_dict(self) -> dict[str, str]:
        """The labels that the options set."""
        return dict(self.labels)

    @property
    def sysctls_dict(self) -> dict[str, str]:
        """The kernel settings that the options set."""
        return dict(self.sysctls)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as JSON knows it; `from_dict` gives an equal specification back."""
        found = {field: getattr(self, field) for field in _DEFAULTS}
        for field in ("command", "entrypoint"):
            found[field] = None if found[field] is None else list(found[field])
        for field in ("env", "labels", "sysctls"):
            found[field] = dict(found[field])
        for field in ("dns", "cap_add", "cap_drop"):
            found[field] = list(found[field])
        found["extra_hosts"] = [list(pair) for pair in self.extra_hosts]
        found["ulimits"] = {limit.name: [limit.soft, limit.hard] for limit in self.ulimits}
        found["volumes"] = [[v.source, v.target, "ro" if v.read_only else "rw"] for v in self.volumes]
        found["tmpfs"] = {mount.target: ",".join(mount.options) for mount in self.tmpfs}
        found["log"] = {"max_size": self.log.max_size, "max_files": self.log.max_files}
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContainerSpec:
        """Rebuild a specification from `to_dict`; a missing field has its default.

        Every value is read as strictly as an option. Raises `InvalidSpec` for an unknown field too.
        """
        fields: dict[str, Any] = {}
        for field, value in data.items():
            if field not in _DEFAULTS:
                raise InvalidSpec(field, value, "a field of ContainerSpec")
            if value is not None:
                fields[field] = FIELD_READERS[field](field, value)
        if fields.get("network", "none") not in ("none", "host"):
            raise InvalidSpec("network", fields["network"], "'none' or 'host'")
        return cls(**fields)

    def __attrs_post_init__(self) -> None:
        shared = duplicate_target(self.volumes + self.tmpfs)
        if shared is not None:
            raise InvalidSpec("tmpfs", shared, "targets that no volume has")
        if self.detach and self.stdin:
            raise InvalidSpec("stdin", True, "False with detach=True, where nobody is left to type")
        if ALL in self.cap_add and ALL in self.cap_drop:
            raise InvalidSpec("cap_drop", ALL, "ALL in cap_add or in cap_drop, not in both")
        if self.network == "host":
            for name, setting in self.sysctls:
                if name.startswith(NETWORK_PREFIX):
                    accepted = "no net.* settings with network='host', as they would change the host's"
                    raise InvalidSpec("sysctls", {name: setting}, accepted)

    def __repr__(self) -> str:
        changed = ((f, getattr(self, f)) for f in _DEFAULTS)
        return "ContainerSpec(" + ", ".join(f"{f}={v!r}" for f, v in changed if v != _DEFAULTS[f]) + ")"


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in attrs.fields(ContainerSpec)}
