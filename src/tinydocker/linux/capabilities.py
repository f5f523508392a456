"""Give up capabilities.

Source: capabilities(7), capset(2).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable

from ._libc import BYTES, numbered
from .process import PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAPBSET_DROP, prctl

_VERSION_3 = 0x20080522

_capset = numbered("capset", BYTES, BYTES)

#: Names without their prefix, at the index that is their number; Source: include/uapi/linux/capability.h.
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
).split()


def mask_of(names: Iterable[str]) -> int:
    """Return the bit set of the capabilities ``names``, with or without ``CAP_``."""
    mask = 0
    for name in names:
        mask |= 1 << NAMES.index(name.removeprefix("CAP_"))
    return mask


@functools.cache
def last() -> int:
    """Return the number of the last capability that this kernel has."""
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        return int(file.read())


@functools.cache
def held() -> int:
    """Return the set that this process was permitted when it was first asked."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapPrm:"):
                return int(line.split()[1], 16)
    return 0


def drop_bounding(keep: int) -> None:
    """Take every capability that is not in ``keep`` out of the bounding set, for good."""
    for number in range(last() + 1):
        if not keep >> number & 1:
            prctl(PR_CAPBSET_DROP, number)


def clear_ambient() -> None:
    """Empty the ambient set."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def set_thread(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's three sets."""
    header = struct.pack("=Ii", _VERSION_3, 0)
    low, high = (
        struct.pack("=III", *(s >> shift & 0xFFFFFFFF for s in (effective, permitted, inheritable)))
        for shift in (0, 32)
    )
    _capset(header, low + high)
