"""Compare the host before and after a test: whatever a test leaves behind fails it.

A picture holds, by subject, what can be left: the parts that many processes share (mounts,
links, cgroup directories, shared memory, System V objects), the processes that descend from this
one or carry the token of the test's engine, the namespaces that they use, and what this process
itself has (open files, threads, signal handlers, credentials, umask, working directory,
environment, terminal attributes, limits). ``left_below`` looks at the engine's own directories.

Nearly all of it is compared at once. Only what the kernel ends on its own time is looked at
again, a bounded number of times: a process or thread that is already dying, the namespaces that it
takes with it, a link whose namespace is going, and shared memory, which other programs use too.
"""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import socket
import termios
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

Things = dict[str, str]  # a thing's identity -> how it reads in a report
Picture = dict[str, Things]

RECHECKS = 20
RECHECK_PAUSE_MS = 50
PF_EXITING = 0x4  # include/linux/sched.h
STATUS_FIELDS = (
    "Uid Gid Groups Umask SigBlk SigIgn SigCgt CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp"
).split()
# Signals 32 and 33 are the C library's own: it catches them as soon as there is a second thread.
# The test runner's alarm comes and goes; who else handles it is seen in Python.
MASKED_SIGNALS = 1 << 31 | 1 << 32 | 1 << (signal.SIGALRM - 1)
# What the test runner itself changes between two tests.
RUNNERS_VARIABLES = frozenset({"PYTEST_CURRENT_TEST"})
RUNNERS_MODULES = frozenset({"pytest_timeout"})  # takes its alarm back as soon as a test fails


def picture(token: str) -> Picture:
    """Take the host's picture; ``token`` is a part of path that only this test's engine has."""
    own = processes(token)
    return {
        "mounts": mounts(),
        "links": links(),
        "cgroups": cgroups(),
        "shared memory": shared_memory(),
        "processes": own,
        "namespaces": namespaces([os.getpid(), *(int(key.split(":")[0]) for key in own)]),
        "open files": open_files(),
        "threads": threads(),
        "signals": signals(),
        "this process": this_process(),
        "environment": environment(),
    }


def difference(before: Picture, token: str) -> list[str]:
    """Return a line for each difference between ``before`` and now, waiting only for what is dying."""
    lines = compare(before, picture(token))
    for _ in range(RECHECKS):
        if not lines:
            break
        final = not may_pass(before, token)
        if not final:
            _wait_a_little(token)
        lines = compare(before, picture(token))  # even when final: what was dying may be gone by now
        if final:
            break
    return lines


def compare(before: Picture, after: Picture) -> list[str]:
    """Return a line for each thing that appeared, went or changed between two pictures."""
    lines = []
    for subject in before:
        old, new = before[subject], after[subject]
        lines += [f"{subject}: appeared: {new[key]}" for key in new if key not in old]
        lines += [f"{subject}: gone: {old[key]}" for key in old if key not in new]
        lines += [f"{subject}: {old[key]} became {new[key]}" for key in new if key in old and new[key] != old[key]]
    return lines


# What many processes share


def mounts() -> Things:
    """Return the mounts of this process's namespace, with their options and propagation."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return {line.split(" ", 1)[0]: line for line in lines}


def links() -> Things:
    """Return the network links of this process's namespace."""
    return {f"{index}:{name}": name for index, name in socket.if_nameindex()}


def cgroups(word: str = "tinydocker") -> Things:
    """Return the cgroup directories that carry ``word``, in every hierarchy."""
    found: Things = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] not in ("cgroup", "cgroup2"):
            continue
        for folder, names, _ in os.walk(fields[4]):
            found.update({f"{folder}/{name}": f"{folder}/{name}" for name in names if word in f"{folder}/{name}"})
    return found


def shared_memory() -> Things:
    """Return the objects of POSIX, which are files in /dev/shm, and those of System V.

    A directory there was made by somebody who takes it for a disk.
    """
    found = {entry.path: entry.path for entry in os.scandir("/dev/shm") if not entry.is_dir(follow_symlinks=False)}
    for kind in ("msg", "sem", "shm"):
        table = Path("/proc/sysvipc", kind)
        if table.exists():
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                identity = f"{kind} {line.split()[1]}"
                found[identity] = f"System V {identity}"
    return found


# Processes


def processes(token: str) -> Things:
    """Return the processes below this one, zombies too, and those that carry ``token`` anywhere.

    A process carries it in its command line, environment, root, working directory, program, open
    files, or in the mounts of its own mount namespace. The last is what a container cannot hide.
    """
    parents: dict[int, int] = {}
    for pid in _pids():
        stat = _stat(pid)
        if stat is not None:
            parents[pid] = int(stat[3])
    ours = {pid for pid in parents if _descends(pid, parents) or _carries(pid, token)}
    ours.discard(os.getpid())
    found = {}
    for pid in sorted(ours):
        stat = _stat(pid)
        if stat is not None:
            command = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()
            state = " (zombie)" if stat[2] in "ZX" else ""
            # The command may change by execve: the process is the same.
            found[f"{pid}:{stat[21]}"] = f"{pid} {stat[1]}{state}" + (f": {command}" if command else "")
    return found


def namespaces(pids: Iterable[int]) -> Things:
    """Return the namespaces in which the processes and their threads are."""
    found: Things = {}
    for pid in pids:
        for link in _glob(f"/proc/{pid}/task"):
            for kind in _glob(f"{link}/ns"):
                if name := _readlink(kind):
                    found[name] = name
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _descends(pid: int, parents: dict[int, int]) -> bool:
    me = os.getpid()
    while pid in parents:
        pid = parents[pid]
        if pid == me:
            return True
    return False


def _carries(pid: int, token: str) -> bool:
    needle = token.encode()
    if needle in _read(f"/proc/{pid}/cmdline") or needle in _read(f"/proc/{pid}/environ"):
        return True
    if any(token in _readlink(f"/proc/{pid}/{name}") for name in ("root", "cwd", "exe")):
        return True
    if any(token in _readlink(entry) for entry in _glob(f"/proc/{pid}/fd")):
        return True
    if _readlink(f"/proc/{pid}/ns/mnt") == _readlink("/proc/self/ns/mnt"):
        return False
    return needle in _read(f"/proc/{pid}/mountinfo")


# This process


def open_files() -> Things:
    """Return this process's descriptors and what each of them is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        target = _readlink(f"/proc/self/fd/{name}")
        if target and target != f"/proc/{os.getpid()}/fd":
            found[f"{name} {target}"] = f"{name} -> {target}"
    return found


def threads() -> Things:
    """Return this process's threads."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    own = [int(tid) for tid in os.listdir("/proc/self/task")]
    return {str(tid): f"{tid} {names.get(tid, '(unknown to Python)')}" for tid in own}


def signals() -> Things:
    """Return what this process does with each signal, and where it is told of them."""
    found = {}
    for number in sorted(signal.valid_signals()):
        handler = signal.getsignal(number)
        if getattr(handler, "__module__", "") in RUNNERS_MODULES:
            handler = signal.SIG_DFL
        found[str(number)] = f"handler of signal {int(number)}: {handler!r}"
    if threading.current_thread() is threading.main_thread():
        fd = signal.set_wakeup_fd(-1)
        if fd != -1:
            signal.set_wakeup_fd(fd)
        found["wakeup"] = f"wake-up descriptor {fd}"
    return found


def this_process() -> Things:
    """Return credentials, masks, limits, working directory and terminal attributes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = {name: f"{name} {value}" for name, value in re.findall(r"^(\w+):\s*(.*)$", status, re.MULTILINE)}
    found = {name: found[name] for name in STATUS_FIELDS if name in found}
    caught = int(found["SigCgt"].split()[1], 16) & ~MASKED_SIGNALS
    found["SigCgt"] = f"SigCgt {caught:016x}"
    found["cwd"] = f"working directory {_readlink('/proc/self/cwd')}"
    found["root"] = f"root {_readlink('/proc/self/root')}"
    found["name"] = f"name {_read('/proc/self/comm').decode().strip()}"
    found["oom_score_adj"] = f"oom_score_adj {_read('/proc/self/oom_score_adj').decode().strip()}"
    for limit in (name for name in dir(resource) if name.startswith("RLIMIT_")):
        found[limit] = f"{limit} {resource.getrlimit(getattr(resource, limit))}"
    for fd in range(3):
        try:
            found[f"terminal {fd}"] = f"terminal attributes of {fd} {termios.tcgetattr(fd)}"
        except termios.error:
            continue
    return found


def environment() -> Things:
    """Return the environment's variables, without those that the test runner sets for each test."""
    return {name: f"{name}={value!r}" for name, value in os.environ.items() if name not in RUNNERS_VARIABLES}


# What may still be on its way


def may_pass(before: Picture, token: str) -> bool:
    """Tell whether anything new since ``before`` is on its way out, or may be."""
    new = [key for key in processes(token) if key not in before["processes"]]
    pids = [pid for pid in (int(key.split(":")[0]) for key in new) if is_dying(pid)]
    known = {thread.native_id for thread in threading.enumerate()}
    tids = [int(tid) for tid in threads() if tid not in before["threads"] and int(tid) not in known]
    # A link goes after its namespace, and other programs' shared memory comes and goes.
    passing = links().keys() - before["links"].keys() | shared_memory().keys() - before["shared memory"].keys()
    return bool(pids or passing or any(is_dying(tid) for tid in tids))


def is_dying(pid: int) -> bool:
    """Tell whether a process is certain to end: exiting, killed, or a zombie of somebody else."""
    stat = _stat(pid)
    if stat is None:
        return True
    if stat[2] in "ZX":
        return int(stat[3]) != os.getpid()
    killed = re.search(rb"^ShdPnd:\s*([0-9a-f]+)$", _read(f"/proc/{pid}/status"), re.MULTILINE)
    return bool(int(stat[8]) & PF_EXITING) or bool(killed and int(killed[1], 16) >> (signal.SIGKILL - 1) & 1)


def _wait_a_little(token: str) -> None:
    """Wait for the end of one of the processes, or for a moment where nothing tells of the end."""
    poller = select.poll()
    pidfds = []
    try:
        for key in processes(token):
            pid = int(key.split(":")[0])
            stat = _stat(pid)
            if stat is not None and stat[2] not in "ZX" and is_dying(pid):
                try:
                    pidfds.append(os.pidfd_open(pid))
                except ProcessLookupError:
                    return
                poller.register(pidfds[-1], select.POLLIN)
        poller.poll(RECHECK_PAUSE_MS)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


# Reading /proc, where everything may go while one looks


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat, the name as one of them, counted from 0; None when it is gone."""
    text = _read(f"/proc/{pid}/stat").decode("utf-8", "replace")
    if not text:
        return None
    start, end = text.index("("), text.rindex(")")
    return [text[: start - 1], text[start + 1 : end], *text[end + 2 :].split()]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _readlink(path: str | Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _glob(folder: str) -> Iterator[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        yield f"{folder}/{name}"
