"""Look at the processes of a container from outside of it.

A process belongs to a container when it is in the container's pid namespace; that includes what
was executed in it, whoever is its parent. Nothing of the container is run for this.

Source: proc_pid_stat(5), proc_pid_status(5), pid_namespaces(7).
"""

from __future__ import annotations

import os
import stat as stat_module

import attrs

from .linux import files

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_PASSWD_BYTES = 1 << 20


@attrs.frozen
class Process:
    """A process of a container.

    ``pid`` and ``ppid`` are its numbers in the container (0: the parent is outside), ``host_pid`` and
    ``host_ppid`` those of the host; ``user`` is the name in the container's /etc/passwd, else the number;
    ``cpu_seconds`` is user and system time, ``rss`` in bytes, ``started`` seconds since the epoch,
    ``tty`` the kernel's device number of its terminal, 0 for none.
    """

    pid: int
    host_pid: int
    user: str
    cpu_seconds: float
    rss: int
    command: str
    ppid: int = 0
    started: float = 0.0
    tty: int = 0
    host_ppid: int = 0


def processes(init_pid: int) -> list[Process]:
    """Return the processes of the container whose init is ``init_pid`` on the host, by their pid."""
    namespace = _namespace(init_pid)
    if not namespace:
        return []
    users = _users(init_pid)
    boot = _boot_time()
    found: dict[int, tuple[Process, int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _namespace(int(entry)) == namespace:
            seen = _look(int(entry), users, boot)
            if seen:
                found[int(entry)] = seen
    inner = {host: process.pid for host, (process, _) in found.items()}
    rows = [attrs.evolve(process, ppid=inner.get(parent, 0)) for process, parent in found.values()]
    return sorted(rows, key=lambda process: process.pid)


def _namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0


def _look(host_pid: int, users: dict[int, str], boot: float) -> tuple[Process, int] | None:
    try:
        with open(f"/proc/{host_pid}/stat", "rb") as file:
            raw = file.read()
        with open(f"/proc/{host_pid}/status", "rb") as file:
            status = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        with open(f"/proc/{host_pid}/cmdline", "rb") as file:
            arguments = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = raw.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    command = arguments.rstrip(b"\0").replace(b"\0", b" ") or b"[" + name + b"]"
    uid = int(status[b"Uid"].split()[1])
    process = Process(
        pid=int(status[b"NSpid"].split()[-1]),
        host_pid=host_pid,
        user=users.get(uid, str(uid)),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        rss=int(fields[21]) * _PAGE,
        command=command.decode("utf-8", "replace"),
        started=boot + int(fields[19]) / _TICKS,
        tty=int(fields[4]),
        host_ppid=int(fields[1]),
    )
    return process, int(fields[1])


def _boot_time() -> float:
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return float(line.split()[1])
    return 0.0


def _users(init_pid: int) -> dict[int, str]:
    """Read the names of the container's users from its own file, which may be anything."""
    try:
        root = os.open(f"/proc/{init_pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        fd = files.open_in_root(root, "etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return {}
    finally:
        os.close(root)
    try:
        if not stat_module.S_ISREG(os.fstat(fd).st_mode):
            return {}
        data = os.read(fd, _MOST_PASSWD_BYTES)
    finally:
        os.close(fd)
    rows = (line.split(b":") for line in data.splitlines())
    return {int(row[2]): row[0].decode("utf-8", "replace") for row in rows if len(row) > 2 and row[2].isdigit()}
