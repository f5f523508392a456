"""The errors of tinydocker, drawn once.

::

    TinydockerError
    ├── InvalidSpec          (ValueError)     an option or its value is not accepted; nothing was created
    ├── NotSupported                          this version or this host cannot do it
    ├── InUse                                 something still uses what was to be removed or changed
    │   └── NameInUse                         a container of that name exists
    ├── ImageNotFound        (LookupError)
    ├── ContainerNotFound    (LookupError)
    ├── VolumeNotFound       (LookupError)
    ├── ImageCorrupt                          an archive or a stored layer is not what it should be
    ├── StateCorrupt                          a record on disk cannot be read
    ├── ContainerNotRunning                   the operation needs a running container
    ├── ContainerRunning                      the operation needs a container that does not run
    ├── ContainerFailed                       a checked command ended with a code other than 0
    ├── ContainerTimeout     (TimeoutError)   a time-out passed; its processes were killed
    ├── StartFailed                           a step of a start failed; everything was undone
    │   ├── CommandNotFound                   127
    │   └── CommandNotExecutable              126
    ├── SupervisorDied                        the process that owns the containers is gone
    └── KernelError          (OSError)        a system call failed: its name, arguments and errno

This module imports nothing of the package, so every layer may raise its errors.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "CommandNotExecutable",
    "CommandNotFound",
    "ContainerFailed",
    "ContainerNotFound",
    "ContainerNotRunning",
    "ContainerRunning",
    "ContainerTimeout",
    "ImageCorrupt",
    "ImageNotFound",
    "InUse",
    "InvalidSpec",
    "KernelError",
    "NameInUse",
    "NotSupported",
    "StartFailed",
    "StateCorrupt",
    "SupervisorDied",
    "TinydockerError",
    "VolumeNotFound",
]


class TinydockerError(Exception):
    """Any error that tinydocker raises on purpose."""


class InvalidSpec(TinydockerError, ValueError):
    """An option has a value that is not accepted; raised before anything is created."""

    def __init__(self, option: str, value: object, accepted: str) -> None:
        super().__init__(option, value, accepted)
        self.option = option
        self.value = value
        self.accepted = accepted

    def __str__(self) -> str:
        return f"{self.option}={self.value!r} is not accepted: expected {self.accepted}"


class NotSupported(TinydockerError):
    """This version of tinydocker, or this host, cannot do what was asked."""


class InUse(TinydockerError):
    """Something still uses what was to be removed or changed."""


class NameInUse(InUse):
    """A container of that name exists already."""


class ImageNotFound(TinydockerError, LookupError):
    """There is no such image, here or in the store."""


class ContainerNotFound(TinydockerError, LookupError):
    """There is no container of that name or id."""


class VolumeNotFound(TinydockerError, LookupError):
    """There is no volume of that name."""


class ImageCorrupt(TinydockerError):
    """An archive or a stored layer is truncated, damaged, empty or of no known kind."""


class StateCorrupt(TinydockerError):
    """A record on disk cannot be read; it was set aside and nothing else is affected."""


class ContainerNotRunning(TinydockerError):
    """The operation needs a running container."""


class ContainerRunning(TinydockerError):
    """The operation needs a container that does not run."""


class ContainerFailed(TinydockerError):
    """A command that was to be checked ended with a code other than 0.

    ``completed`` carries everything that is known of it.
    """

    def __init__(self, completed: Any) -> None:
        super().__init__(completed)
        self.completed = completed

    @property
    def returncode(self) -> int:
        """The code it ended with; negative for a signal."""
        return int(self.completed.returncode)

    def __str__(self) -> str:
        how = f"code {self.returncode}" if self.returncode >= 0 else f"signal {-self.returncode}"
        text = f"{self.completed.args!r} ended with {how}"
        tail = self.completed.stderr
        if isinstance(tail, bytes):
            tail = tail.decode("utf-8", "replace")
        return f"{text}: {tail.strip()[-500:]}" if tail and tail.strip() else text


class ContainerTimeout(TinydockerError, TimeoutError):
    """A time-out passed before the command ended; every process of it was killed.

    ``stdout`` and ``stderr`` are the output so far, of the type that was asked for.
    """

    def __init__(self, what: object, timeout_s: float, stdout: Any = None, stderr: Any = None) -> None:
        super().__init__(what, timeout_s)
        self.what = what
        self.timeout = timeout_s
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        return f"{self.what} did not end within {self.timeout:g} s"


class StartFailed(TinydockerError):
    """A step of a start failed; nothing of the start was left behind.

    ``step`` is the step's name, ``errno`` the kernel's reason (0 where there is none)
    and ``path`` what it was tried on.
    """

    returncode = 125

    def __init__(self, step: str, errno: int, path: str, reason: str = "") -> None:
        super().__init__(step, errno, path, reason)
        self.step = step
        self.errno = errno
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        why = self.reason or (os.strerror(self.errno) if self.errno else "failed")
        return f"cannot {self.step} {self.path}: {why}" if self.path else f"cannot {self.step}: {why}"


class CommandNotFound(StartFailed):
    """The command does not exist in the container (exit code 127)."""

    returncode = 127

    def __str__(self) -> str:
        return f"{self.path}: command not found" + (f" ({self.reason})" if self.reason else "")


class CommandNotExecutable(StartFailed):
    """The command exists in the container and cannot be executed (exit code 126)."""

    returncode = 126

    def __str__(self) -> str:
        why = self.reason or os.strerror(self.errno)
        return f"{self.path}: cannot be executed: {why}"


class SupervisorDied(TinydockerError):
    """The supervisor process ended while it was needed; its attached containers ended with it."""


class KernelError(TinydockerError, OSError):
    """A system call failed.

    ``syscall`` and ``arguments`` say what was tried; ``errno`` is the kernel's answer. As with
    OSError, an errno that Python has a class for makes an instance of that class too: one with
    ENOENT is a FileNotFoundError.
    """

    def __new__(cls, syscall: str, arguments: tuple[object, ...], errno: int, hint: str = "") -> KernelError:
        """Make an instance of the class that Python has for ``errno`` too."""
        known = type(OSError(errno, ""))
        made = cls if known is OSError or issubclass(cls, known) else _both(cls, known)
        return super().__new__(made, errno, os.strerror(errno))

    def __init__(self, syscall: str, arguments: tuple[object, ...], errno: int, hint: str = "") -> None:
        OSError.__init__(self, errno, os.strerror(errno))
        self.syscall = syscall
        self.arguments = arguments
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return (KernelError, (self.syscall, self.arguments, self.errno, self.hint))

    def __str__(self) -> str:
        shown = ", ".join(repr(a) for a in self.arguments)
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.syscall}({shown}): {os.strerror(self.errno or 0)}{hint}"


def _both(cls: type[KernelError], known: type[OSError]) -> type[KernelError]:
    if known not in _combined:
        _combined[known] = type(cls.__name__, (cls, known), {"__module__": cls.__module__, "__doc__": cls.__doc__})
    return _combined[known]


_combined: dict[type[OSError], type[KernelError]] = {}
