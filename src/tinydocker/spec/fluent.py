"""The ``with_…`` methods: each option as a method that returns a changed copy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .container import ContainerSpec
    from .logs import LogConfig

F = TypeVar("F", bound="Fluent")
Path = str | os.PathLike[str]


class Fluent:
    """Give an object that holds a `ContainerSpec` as ``_spec`` one method for each option.

    Methods in the singular (``with_env``, ``with_label``, ``with_volume``, ``with_cap_add`` and the
    like) add to what is there, the others replace it. No method changes the object or does I/O;
    None sets an option back to its default. All raise `InvalidSpec` and `NotSupported` at once.
    """

    __slots__ = ()

    _spec: ContainerSpec

    def _with(self: F, **options: Any) -> F:
        """Return a copy of the object with ``options`` replaced; the owner says how."""
        raise NotImplementedError

    def with_command(self: F, command: str | Path | Sequence[Path] | None) -> F:
        """Run ``command``: a list, or text that is split as a shell would; None is the image's."""
        return self._with(command=command)

    def with_entrypoint(self: F, entrypoint: str | Path | Sequence[Path] | None) -> F:
        """Put ``entrypoint`` before the command; an empty list clears the image's, None keeps it."""
        return self._with(entrypoint=entrypoint)

    def with_name(self: F, name: str | None) -> F:
        """Call the container ``name``; None lets the engine make one up."""
        return self._with(name=name)

    def with_env(self: F, mapping: Mapping[str, str] | Sequence[str] = (), /, **variables: str) -> F:
        """Add environment variables, given as a mapping, as ``NAME=value`` texts or as keywords."""
        from .pairs import parse_env

        added = (*parse_env("env", mapping), *parse_env("env", variables))
        return self._with(env={**dict(self._spec.env), **dict(added)})

    def with_workdir(self: F, workdir: Path | None) -> F:
        """Start in the directory ``workdir`` of the container, an absolute path."""
        return self._with(workdir=workdir)

    def with_user(self: F, user: str | int | None) -> F:
        """Run as ``user``: ``name``, ``name:group``, ``uid`` or ``uid:gid``."""
        return self._with(user=user)

    def with_hostname(self: F, hostname: str | None) -> F:
        """Let the container know itself as ``hostname``, at most 64 characters."""
        return self._with(hostname=hostname)

    def with_label(self: F, mapping: Mapping[str, str] | Sequence[str] = (), /, **labels: str) -> F:
        """Add labels, given as a mapping, as ``name=value`` texts or as keywords."""
        from .pairs import parse_labels

        added = (*parse_labels("labels", mapping), *parse_labels("labels", labels))
        return self._with(labels={**dict(self._spec.labels), **dict(added)})

    def with_memory(self: F, memory: int | str | None) -> F:
        """Limit memory to so many bytes, or to text such as ``64m``."""
        return self._with(memory=memory)

    def with_memory_swap(self: F, memory_swap: int | str | None) -> F:
        """Limit memory and swap together to so many bytes, or to text such as ``64m``."""
        return self._with(memory_swap=memory_swap)

    def with_memory_high(self: F, memory_high: int | str | None) -> F:
        """Slow the container down above so many bytes of memory, or text such as ``64m``."""
        return self._with(memory_high=memory_high)

    def with_cpus(self: F, cpus: float | None) -> F:
        """Limit CPU time to that of ``cpus`` CPUs; 0.5 is half of one."""
        return self._with(cpus=cpus)

    def with_cpu_shares(self: F, cpu_shares: int | None) -> F:
        """Weigh the container's share of a busy CPU against the usual 1024."""
        return self._with(cpu_shares=cpu_shares)

    def with_cpuset(self: F, cpuset: str | None) -> F:
        """Run on these CPUs only, such as ``0-1,3``."""
        return self._with(cpuset=cpuset)

    def with_pids(self: F, pids: int | None) -> F:
        """Limit the number of processes and threads."""
        return self._with(pids=pids)

    def with_cgroup(self: F, cgroup: object) -> F:
        """Run in a control group that may be shared with others."""
        return self._with(cgroup=cgroup)

    def with_shm_size(self: F, shm_size: int | str | None) -> F:
        """Give /dev/shm so many bytes, or text such as ``64m``."""
        return self._with(shm_size=shm_size)

    def with_ulimit(self: F, name: str, soft: int | str, hard: int | str | None = None) -> F:
        """Add the resource limit ``name`` (such as ``nofile``); -1 or ``unlimited`` is none."""
        limits: dict[str, object] = {limit.name: (limit.soft, limit.hard) for limit in self._spec.ulimits}
        return self._with(ulimits={**limits, name: soft if hard is None else (soft, hard)})

    def with_umask(self: F, umask: int | str | None) -> F:
        """Start with the file mode creation mask ``umask``, from 0 to 0o777."""
        return self._with(umask=umask)

    def with_oom_score_adj(self: F, oom_score_adj: int | None) -> F:
        """Make the kernel spare (-1000) or choose (1000) the container when memory is short."""
        return self._with(oom_score_adj=oom_score_adj)

    def with_volume(self: F, source: Path, target: Path, read_only: bool = False) -> F:
        """Add the host's file or directory, or the named volume, ``source`` at ``target``."""
        from .parse import parse_bool

        mode = "ro" if parse_bool("read_only", read_only) else "rw"
        return self._with(volumes=(*self._spec.volumes, (source, target, mode)))

    def with_tmpfs(self: F, target: Path, options: str = "") -> F:
        """Add an empty file system in memory at ``target``; options such as ``size=16m,mode=1777``."""
        from .mounts import parse_tmpfs

        return self._with(tmpfs=(*self._spec.tmpfs, *parse_tmpfs("tmpfs", {target: options})))

    def with_device(self: F, device: Path) -> F:
        """Add a device of the host, such as /dev/fuse."""
        return self._with(devices=[device])

    def with_read_only(self: F, read_only: bool = True) -> F:
        """Make the root filesystem read-only."""
        return self._with(read_only=read_only)

    def with_network(self: F, network: object) -> F:
        """Connect to ``network``; ``none`` is a loopback of the container's own, ``host`` the host's network."""
        return self._with(network=network)

    def with_alias(self: F, *aliases: str) -> F:
        """Add names under which others on the network find the container."""
        return self._with(aliases=aliases)

    def with_ip(self: F, ip: str | None) -> F:
        """Take this address on the network."""
        return self._with(ip=ip)

    def with_dns(self: F, *addresses: str) -> F:
        """Add addresses of name servers."""
        return self._with(dns=(*self._spec.dns, *addresses))

    def with_extra_host(self: F, name: str, address: str) -> F:
        """Add a line to /etc/hosts."""
        return self._with(extra_hosts=(*self._spec.extra_hosts, (name, address)))

    def with_port(self: F, container: int | str, host: int | tuple[str, int] | None = None) -> F:
        """Publish the port ``container`` on the port ``host``, or (address, port); None is a free one."""
        return self._with(ports={container: host})

    def with_cap_add(self: F, *capabilities: str) -> F:
        """Add capabilities, such as ``NET_ADMIN``, or ``ALL``."""
        return self._with(cap_add=(*self._spec.cap_add, *capabilities))

    def with_cap_drop(self: F, *capabilities: str) -> F:
        """Drop capabilities, such as ``CHOWN``, or ``ALL``."""
        return self._with(cap_drop=(*self._spec.cap_drop, *capabilities))

    def with_seccomp(self: F, seccomp: object) -> F:
        """Filter system calls by a profile; ``unconfined`` is none, which is all that this version has."""
        return self._with(seccomp=seccomp)

    def with_no_new_privileges(self: F, no_new_privileges: bool = True) -> F:
        """Keep set-user-id programs from giving privileges."""
        return self._with(no_new_privileges=no_new_privileges)

    def with_userns(self: F, userns: str | None) -> F:
        """Map the container's users to others of the host; ``host`` does not."""
        return self._with(userns=userns)

    def with_privileged(self: F, privileged: bool = True) -> F:
        """Take all confinement away."""
        return self._with(privileged=privileged)

    def with_sysctl(self: F, name: str, value: str | int) -> F:
        """Set a kernel setting of the container's own namespaces, such as ``net.core.somaxconn``."""
        return self._with(sysctls={**dict(self._spec.sysctls), name: value})

    def with_init(self: F, init: bool = True) -> F:
        """Put a process before the command that passes signals on and reaps orphans."""
        return self._with(init=init)

    def with_tty(self: F, tty: bool = True) -> F:
        """Give the command a terminal of its own."""
        return self._with(tty=tty)

    def with_stdin(self: F, stdin: bool = True) -> F:
        """Keep standard input open."""
        return self._with(stdin=stdin)

    def with_restart(self: F, restart: str | None) -> F:
        """Start again after an end, as the policy ``restart`` says."""
        return self._with(restart=restart)

    def with_healthcheck(self: F, healthcheck: object) -> F:
        """Tell by a command whether the container is healthy."""
        return self._with(healthcheck=healthcheck)

    def with_stop_signal(self: F, stop_signal: int | str | None) -> F:
        """Ask the command to end with this signal, a name or number; None is the image's, else TERM."""
        return self._with(stop_signal=stop_signal)

    def with_stop_timeout(self: F, stop_timeout: float | str | None) -> F:
        """Wait so many seconds for the command to end before killing it."""
        return self._with(stop_timeout=stop_timeout)

    def with_detach(self: F, detach: bool = True) -> F:
        """Let the container outlive the program."""
        return self._with(detach=detach)

    def with_auto_remove(self: F, auto_remove: bool | None = True) -> F:
        """Remove the container at its end; None does so unless it is detached."""
        return self._with(auto_remove=auto_remove)

    def with_replace(self: F, replace: bool = True) -> F:
        """Take the name over from a container that has it, ended or running."""
        return self._with(replace=replace)

    def with_log(self: F, log: LogConfig | Mapping[str, Any] | None) -> F:
        """Keep so much of the output."""
        return self._with(log=log)
