"""Options that the interface has and this version does not carry out yet: the one table of them.

Each may be given its neutral value, which asks for nothing. Any other is refused: an option is
never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import NotSupported

_NOTHING: tuple[object, ...] = ((), [], {})

# option: (what it is, the values beside None that ask for nothing this version lacks)
LATER: Mapping[str, tuple[str, tuple[object, ...]]] = {
    "memory": ("a limit on memory", ()),
    "memory_swap": ("a limit on memory and swap together", ()),
    "memory_high": ("a mark of memory use above which the container is slowed", ()),
    "cpus": ("a limit on CPU time", ()),
    "cpu_shares": ("a share of the CPU under load", ()),
    "cpuset": ("a choice of CPUs", ()),
    "pids": ("a limit on the number of processes", ()),
    "cgroup": ("a control group of one's own", ()),
    "devices": ("access to devices", _NOTHING),
    "network": ("a network other than 'none' and 'host'", ("none", "host")),
    "aliases": ("further names on a network", _NOTHING),
    "ip": ("a fixed address on a network", ()),
    "ports": ("published ports", _NOTHING),
    "restart": ("a restart policy", ("no",)),
    "healthcheck": ("a health check", ()),
    "seccomp": ("a filter of system calls", ("unconfined",)),
    "userns": ("a user namespace", ("host",)),
    "privileged": ("a container without confinement", (False,)),
}


def refuse_later(option: str, value: object) -> None:
    """Raise `NotSupported` if ``option`` with ``value`` asks for what this version does not have."""
    if value is None or option not in LATER:
        return
    what, neutral = LATER[option]
    if not any(type(value) is type(n) and value == n for n in neutral):
        raise NotSupported(f"{option}={value!r}: {what} is not in this version of tinydocker yet")
