"""Turn a specification and what its image says into a runtime configuration: the whole decision, no I/O.

The rules are Docker's: what the options say replaces what the image says, variables and labels are
merged, and an entrypoint from the options makes the image's command irrelevant.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidSpec
from ..spec.capabilities import CAPABILITIES, resulting_capabilities
from ..spec.command import clean_path
from ..spec.container import ContainerSpec
from ..spec.parse import parse_signal
from ..spec.ulimits import UNLIMITED
from ..spec.users import numeric_ids, parse_user
from . import defaults
from .config import RLIM_INFINITY, Capabilities, Config, Linux, Mount, Process, Rlimit, Root, User
from .image_config import ImageConfig

__all__ = [
    "CAPABILITIES",
    "arguments",
    "environment",
    "hostname",
    "labels",
    "stop_signal",
    "translate",
    "user",
    "user_of",
    "workdir",
]

SIGTERM = 15
# Whoever overlooks ``username`` must not end up as root.
_NOBODY = 65534


def translate(
    spec: ContainerSpec,
    image: ImageConfig,
    *,
    container_id: str,
    rootfs: str,
    files: Mapping[str, str],
    volumes: Mapping[str, str],
    cpus: int = 0,
) -> Config:
    """Return the configuration that a launcher carries out.

    ``rootfs`` is the path of the root filesystem, ``files`` maps paths inside (/etc/hosts and the
    like) to files of the host, ``volumes`` maps each volume's target to its resolved absolute path on
    the host, ``cpus`` is the number of CPUs whose thermal figures are masked.

    Raises `InvalidSpec` where neither the options nor the image name a command, and for a user or a
    stop signal of the image that cannot be.
    """
    own_network = spec.network != "host"
    name = hostname(spec, container_id)
    held = resulting_capabilities(defaults.CAPABILITIES, spec.cap_add, spec.cap_drop)
    namespaces = (*defaults.NAMESPACES, defaults.NETWORK_NAMESPACE) if own_network else defaults.NAMESPACES
    sysctls = {**(defaults.NETWORK_SYSCTLS if own_network else {}), **dict(spec.sysctls)}
    return Config(
        process=Process(
            args=arguments(spec, image),
            env=environment(spec, image, name),
            cwd=workdir(spec, image),
            user=user(spec, image),
            terminal=spec.tty,
            capabilities=Capabilities(bounding=held, effective=held, permitted=held),
            rlimits=_rlimits(spec),
            no_new_privileges=spec.no_new_privileges,
            oom_score_adj=spec.oom_score_adj,
        ),
        root=Root(rootfs, spec.read_only),
        hostname=name,
        mounts=_mounts(spec, files, volumes),
        linux=Linux(
            namespaces=namespaces,
            sysctl=tuple(sysctls.items()),
            masked_paths=defaults.MASKED_PATHS + defaults.thermal_throttle_paths(cpus),
            readonly_paths=defaults.READONLY_PATHS,
            devices=defaults.DEVICES,
        ),
    )


def arguments(spec: ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    """Return the entrypoint and the command behind it; raise `InvalidSpec` where there is neither."""
    if spec.entrypoint is None:
        found = image.entrypoint + (image.cmd if spec.command is None else spec.command)
    else:
        found = spec.entrypoint + (spec.command or ())
    if not found or not found[0]:
        raise InvalidSpec("command", spec.command, "a command, as the image does not name one")
    return found


def environment(spec: ContainerSpec, image: ImageConfig, name: str) -> tuple[tuple[str, str], ...]:
    """Return the variables: PATH, HOSTNAME (``name``) and, with a terminal, TERM; the image's; the options'.

    HOME is left out unless given: it depends on the user's entry in the container's own files.
    """
    found = {"PATH": defaults.PATH, "HOSTNAME": name}
    if spec.tty:
        found["TERM"] = "xterm"
    return tuple({**found, **dict(image.env), **dict(spec.env)}.items())


def hostname(spec: ContainerSpec, container_id: str) -> str:
    """Return the name that the container has for itself; with the host's network too it is its own."""
    return container_id[:12] if spec.hostname is None else spec.hostname


def workdir(spec: ContainerSpec, image: ImageConfig) -> str:
    """Return the directory to start in; a relative one of the image counts from the root."""
    return spec.workdir or clean_path("/" + image.workdir)


def labels(spec: ContainerSpec, image: ImageConfig) -> dict[str, str]:
    """Return the image's labels and the options' over them."""
    return {**dict(image.labels), **dict(spec.labels)}


def stop_signal(spec: ContainerSpec, image: ImageConfig) -> int:
    """Return the number of the signal that asks the command to end."""
    if spec.stop_signal is not None:
        return spec.stop_signal
    return parse_signal("stop_signal", image.stop_signal) if image.stop_signal else SIGTERM


def user(spec: ContainerSpec, image: ImageConfig) -> User:
    """Return who the command runs as; root where neither says."""
    if spec.user is not None:
        return user_of(spec.user, spec.umask)
    return user_of(parse_user("user", image.user), spec.umask) if image.user else User(umask=spec.umask)


def user_of(text: str, umask: int) -> User:
    """Return the user that ``text`` (as `parse_user` gave it) names.

    Numbers for both user and group stand as they are. Anything else goes into ``username`` for the
    launcher to look up, a uid alone for its group; where it finds no entry for a uid, the group is 0.
    """
    uid, gid = numeric_ids(text)
    if uid is not None and gid is not None:
        return User(uid, gid, umask)
    fallback_gid = 0 if uid is not None and ":" not in text else _NOBODY
    return User(_NOBODY if uid is None else uid, fallback_gid if gid is None else gid, umask, username=text)


def _rlimits(spec: ContainerSpec) -> tuple[Rlimit, ...]:
    return tuple(
        Rlimit(f"RLIMIT_{limit.name.upper()}", _rlimit_number(limit.soft), _rlimit_number(limit.hard))
        for limit in spec.ulimits
    )


def _rlimit_number(number: int) -> int:
    return RLIM_INFINITY if number == UNLIMITED else number


def _mounts(spec: ContainerSpec, files: Mapping[str, str], volumes: Mapping[str, str]) -> tuple[Mount, ...]:
    chosen = [Mount(mount.target, "tmpfs", "tmpfs", mount.options) for mount in spec.tmpfs]
    for volume in spec.volumes:
        mode = "ro" if volume.read_only else "rw"
        chosen.append(Mount(volume.target, "bind", volumes[volume.target], ("rbind", "rprivate", mode)))
    mode = "ro" if spec.read_only else "rw"
    provided = [Mount(target, "bind", source, ("rbind", "rprivate", mode)) for target, source in files.items()]
    # What the user mounts hides what lies at and below it, and nothing of ours is made inside it.
    taken = tuple(mount.destination for mount in chosen)
    standing = [m for m in (*defaults.mounts(spec.shm_size_bytes), *provided) if not _is_hidden(m.destination, taken)]
    # A mount comes after the one that it lies in.
    return (*standing, *sorted(chosen, key=lambda mount: (mount.destination.count("/"), mount.destination)))


def _is_hidden(destination: str, taken: tuple[str, ...]) -> bool:
    return any(destination == target or destination.startswith(target + "/") for target in taken)
