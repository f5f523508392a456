"""Make processes, and what a process sets on itself before it runs a command.

Source: clone3(2), pidfd_open(2), waitid(2), prctl(2), close_range(2), setns(2), keyctl(2).
"""

from __future__ import annotations

import ctypes
import os
import struct

from ..errors import KernelError
from ._libc import BYTES, INT, SIZE, UINT, ULONG, numbered, wrapped

CLONE_PIDFD = 0x00001000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

#: The names of namespaces in an OCI runtime configuration.
CLONE_FLAG = {
    "mount": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
}

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_KEYCTL_JOIN_SESSION_KEYRING = 1
_SIGCHLD = 17

_clone3 = numbered("clone3", BYTES, SIZE, keep_lock=True)
_prctl = wrapped("prctl", INT, ULONG, ULONG, ULONG, ULONG)
_prctl_text = wrapped("prctl", INT, BYTES, ULONG, ULONG, ULONG)
_setns = wrapped("setns", INT, INT)
_unshare = wrapped("unshare", INT)
_close_range = numbered("close_range", UINT, UINT, UINT)
_keyctl = numbered("keyctl", INT, BYTES)
_sethostname = wrapped("sethostname", BYTES, SIZE)


def clone(flags: int) -> tuple[int, int]:
    """Make a child as fork does, in new namespaces; return (pid, pidfd), or (0, -1) in the child.

    The child goes on in this function's caller. It may only make system calls and execute:
    nothing may be imported, no other thread exists any more.
    """
    pidfd = ctypes.c_int(-1)
    arguments = struct.pack("=8Q", flags | CLONE_PIDFD, ctypes.addressof(pidfd), 0, 0, _SIGCHLD, 0, 0, 0)
    pid = _clone3(arguments, len(arguments))
    return pid, pidfd.value if pid else -1


def prctl(option: int, *arguments: int) -> int:
    """Change something of the calling process; see prctl(2). Missing arguments are 0."""
    return _prctl(option, *(*arguments, 0, 0, 0, 0)[:4])


def set_name(name: bytes) -> None:
    """Set the process's short name, of 15 bytes at most, as ps and top show it."""
    _prctl_text(PR_SET_NAME, name[:15], 0, 0, 0)


def enter(fd: int, flags: int) -> None:
    """Join the namespace ``fd``, or those of ``flags`` of the process that the pidfd ``fd`` stands for."""
    _setns(fd, flags)


def unshare(flags: int) -> None:
    """Leave the namespaces of ``flags`` for new ones."""
    _unshare(flags)


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` up."""
    try:
        _close_range(first, 0xFFFFFFFF, 0)
    except KernelError:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def new_session_keyring() -> None:
    """Leave the caller's session keyring for an empty one, where the kernel has keyrings."""
    try:
        _keyctl(_KEYCTL_JOIN_SESSION_KEYRING, None)
    except KernelError:
        return


def set_hostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    encoded = name.encode()
    _sethostname(encoded, len(encoded))
