"""The init of a container with ``init=True``: it forwards signals and reaps orphans.

Source: pid_namespaces(7), "The namespace init process"; sigwaitinfo(2).
"""

from __future__ import annotations

import os
import signal

from ..linux import process

_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}


def block_all() -> None:
    """Hold every signal back, so that none is lost between the fork and the loop."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())


def run(command_pid: int, verdict_fd: int) -> None:
    """Serve as process 1 until ``command_pid`` has ended; write its wait status to ``verdict_fd``; never return.

    All signals must be blocked.
    """
    process.set_name(b"init")
    os.dup2(verdict_fd, 0)
    process.close_from(1)
    while True:
        info = signal.sigwaitinfo(signal.valid_signals())
        if info.si_signo != signal.SIGCHLD:
            if info.si_signo not in _KEPT:
                os.kill(command_pid, info.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                os._exit(1)
            if pid == 0:
                break
            if pid == command_pid:
                os.write(0, b"%d" % status)
                os._exit(os.waitstatus_to_exitcode(status) % 256)
