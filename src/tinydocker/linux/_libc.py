"""Call the kernel by number through libc's ``syscall``.

Numbers from 424 up are the same on every architecture; the few older ones that libc wraps
nowhere are listed for x86-64 and aarch64.

Source: syscalls(2), arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from ..errors import KernelError, NotSupported

_SAME_EVERYWHERE = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
_BY_MACHINE = {
    "x86_64": {"pivot_root": 155, "capset": 126, "keyctl": 250, "execveat": 322},
    "aarch64": {"pivot_root": 41, "capset": 91, "keyctl": 219, "execveat": 281},
}
_machine = os.uname().machine
NUMBERS: dict[str, int] = {**_SAME_EVERYWHERE, **_BY_MACHINE.get(_machine, {})}

# One handle that lets other threads run during a call, one that keeps the interpreter lock:
# the child of clone3 must find it held, as its one thread is the only one there is.
_libc = ctypes.CDLL(None, use_errno=True)
_libc_keeping_lock = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = _libc_keeping_lock.syscall.restype = ctypes.c_long


def _widened(arguments: tuple[Any, ...]) -> list[Any]:
    # A variadic C call takes a Python int as 32 bits; the kernel reads registers of 64.
    return [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]


def syscall(name: str, *arguments: Any, keep_lock: bool = False) -> int:
    """Make the system call ``name`` and return its result.

    Arguments are integers, ``bytes`` (passed as a C string), ``None`` (NULL) or ctypes objects.
    ``keep_lock`` keeps the interpreter lock during the call.
    """
    number = NUMBERS.get(name)
    if number is None:
        raise NotSupported(f"the system call {name} is not known for {_machine} (known: x86_64, aarch64)")
    function = (_libc_keeping_lock if keep_lock else _libc).syscall
    result = int(function(ctypes.c_long(number), *_widened(arguments)))
    if result < 0:
        raise KernelError(name, _shown(arguments), ctypes.get_errno())
    return result


def call(name: str, *arguments: Any) -> int:
    """Call libc's wrapper ``name`` and return its result; raise KernelError where it says -1."""
    result = int(getattr(_libc, name)(*_widened(arguments)))
    if result < 0:
        raise KernelError(name, _shown(arguments), ctypes.get_errno())
    return result


def _shown(arguments: tuple[Any, ...]) -> tuple[object, ...]:
    return tuple(os.fsdecode(a) if isinstance(a, bytes) else a for a in arguments if not hasattr(a, "_b_needsfree_"))
