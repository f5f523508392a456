"""How a command ended: the twin of subprocess.CompletedProcess."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import attrs

from .errors import ContainerFailed


@attrs.frozen
class Usage:
    """What a command used.

    ``cpu_seconds`` is user and system time of the command and of all that it waited for, the
    making of the process included (about 2 ms). ``memory_peak`` is in bytes, and None where no
    cgroup measured it.
    """

    cpu_seconds: float
    memory_peak: int | None = None


class Completed(subprocess.CompletedProcess[Any]):
    """A command that has ended: a CompletedProcess with ``duration`` (s), ``usage`` and ``oom_killed`` beside.

    ``returncode`` is negative for a signal. ``stdout`` and ``stderr`` are never None.
    """

    def __init__(
        self,
        args: Sequence[str],
        returncode: int,
        stdout: Any,
        stderr: Any,
        duration: float,
        usage: Usage,
        oom_killed: bool = False,
    ) -> None:
        super().__init__(args, returncode, stdout, stderr)
        self.duration = duration
        self.usage = usage
        self.oom_killed = oom_killed

    def check_returncode(self) -> None:
        """Raise ContainerFailed where the return code is not 0."""
        if self.returncode:
            raise ContainerFailed(self)
