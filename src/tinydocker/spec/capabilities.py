"""The kernel's capabilities, and how options change the default set.

Source: include/uapi/linux/capability.h, capabilities(7).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import InvalidSpec
from .parse import parse_items

# The position is the number that the kernel knows it by.
CAPABILITIES: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
ALL = "ALL"
_KNOWN = frozenset(CAPABILITIES)


def _accepted() -> str:
    return "ALL, or capabilities out of " + " ".join(name.removeprefix("CAP_") for name in CAPABILITIES)


def parse_capabilities(option: str, value: object) -> tuple[str, ...]:
    """Return capabilities by their full names in the kernel's order, ``ALL`` first.

    ``CHOWN``, ``CAP_CHOWN`` and ``chown`` are the same; one text stands for a list of one.
    """
    if isinstance(value, Mapping):
        raise InvalidSpec(option, value, _accepted())
    found = set()
    for item in parse_items(option, value, _accepted()):
        name = item.upper() if isinstance(item, str) and item.isascii() else ""
        if name != ALL:
            name = "CAP_" + name.removeprefix("CAP_")
            if name not in _KNOWN:
                raise InvalidSpec(option, item, _accepted())
        found.add(name)
    return tuple(name for name in (ALL, *CAPABILITIES) if name in found)


def resulting_capabilities(default: Collection[str], add: Collection[str], drop: Collection[str]) -> tuple[str, ...]:
    """Return the set that ``add`` and ``drop`` make out of ``default``, in the kernel's order.

    Dropping ``ALL`` leaves what is added by name; adding ``ALL`` leaves all but what is dropped
    by name; a capability that is both added and dropped by name is dropped.
    """
    kept: set[str] = set() if ALL in drop else set(default)
    kept |= _KNOWN if ALL in add else set(add)
    return tuple(name for name in CAPABILITIES if name in kept and name not in drop)
