"""End a command with all that it has started, by the mark that they share.

A command that was executed in a running container has a cgroup namespace of its own (see
``child.join``), which its descendants inherit, however they detach themselves. Processes are held
by pidfd between the look and the kill, so a reused pid is never hit.

Source: cgroup_namespaces(7), pidfd_open(2).
"""

from __future__ import annotations

import os
import signal

_EMPTY_ROUNDS = 3
_MOST_ROUNDS = 1000  # a process that the kernel cannot end now ends when it can


def mark_of(pid: int) -> int:
    """Return the mark of ``pid``: the number of its cgroup namespace; 0 when it has ended."""
    try:
        return os.stat(f"/proc/{pid}/ns/cgroup").st_ino
    except OSError:
        return 0


def kill_marked(mark: int) -> None:
    """Kill every process that bears ``mark``, those included that are born meanwhile.

    A look at all processes is not one moment: a process may end by itself just after it was
    passed by and leave a child that had not been born when the look began. So it is over only
    after several looks that found nothing.
    """
    empty = 0
    for _ in range(_MOST_ROUNDS):
        empty = 0 if _kill_round(mark) else empty + 1
        if empty == _EMPTY_ROUNDS:
            return


def _kill_round(mark: int) -> int:
    killed = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or mark_of(int(entry)) != mark:
            continue
        try:
            pidfd = os.pidfd_open(int(entry))
        except OSError:
            continue
        try:
            if mark_of(int(entry)) == mark:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                killed += 1
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
    return killed
