"""Call the kernel, by number where libc has no wrapper, with the types of the arguments said once.

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
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
_BY_MACHINE = {
    "x86_64": {"pivot_root": 155, "capset": 126, "keyctl": 250},
    "aarch64": {"pivot_root": 41, "capset": 91, "keyctl": 219},
}
_machine = os.uname().machine
_NUMBERS: dict[str, int] = {**_SAME_EVERYWHERE, **_BY_MACHINE.get(_machine, {})}

# One handle that lets other threads run during a call, one that keeps the interpreter lock:
# the child of clone3 must find it held, as its one thread is the only one there is.
_libc = ctypes.CDLL(None, use_errno=True)
_libc_keeping_lock = ctypes.PyDLL(None, use_errno=True)

INT = ctypes.c_int
UINT = ctypes.c_uint
LONG = ctypes.c_long
ULONG = ctypes.c_ulong
SIZE = ctypes.c_size_t
#: Bytes that the kernel reads: a C string or a structure; None is NULL.
BYTES = ctypes.c_char_p


class Call:
    """A function of the kernel: called with Python values, it returns the result or raises KernelError."""

    __slots__ = ("_function", "_leading", "name")

    def __init__(self, name: str, function: Any, leading: tuple[int, ...] = ()) -> None:
        self.name = name
        self._function = function
        self._leading = leading

    def __call__(self, *arguments: Any) -> int:
        result: int = self._function(*self._leading, *arguments)
        if result < 0:
            shown = tuple(os.fsdecode(a) if isinstance(a, bytes) else a for a in arguments)
            raise KernelError(self.name, shown, ctypes.get_errno())
        return result


def wrapped(name: str, *types: Any) -> Call:
    """Return libc's wrapper of a system call."""
    function = _libc[name]
    function.argtypes, function.restype = types, ctypes.c_int
    return Call(name, function)


def numbered(name: str, *types: Any, keep_lock: bool = False) -> Call:
    """Return a system call that is made by number; ``keep_lock`` keeps the interpreter lock meanwhile.

    On an architecture whose number is not known, calling it raises NotSupported.
    """
    function = (_libc_keeping_lock if keep_lock else _libc)["syscall"]
    function.argtypes, function.restype = (ctypes.c_long, *types), ctypes.c_long
    if name not in _NUMBERS:
        return Call(name, _unknown, (0,))
    return Call(name, function, (_NUMBERS[name],))


def _unknown(*_arguments: Any) -> int:
    raise NotSupported(f"this kernel call has no known number on {_machine} (known: x86_64, aarch64)")
