"""Start a peer's program and wait for its end, at a cost that this program's size does not change.

``posix_spawn`` shares the memory of the caller until the exec, so that a benchmark which holds
gigabytes starts a peer as fast as a shell does.  The end is awaited through a pidfd, never by
``waitpid(-1)``: tinydocker's own supervisor is a child of this process too.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence

ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C"}


class Failed(Exception):
    """A peer could not be started, took too long, or ended with an exit code other than 0."""


def find(program: str) -> str | None:
    """Return where a program is: in BENCHMARKS_PATH, among Debian's, or elsewhere, /usr/local included."""
    paths = (os.environ.get("BENCHMARKS_PATH"), ENVIRONMENT["PATH"], os.environ.get("PATH"))
    return next((found for path in paths if path and (found := shutil.which(program, path=path))), None)


_MEMFD = os.memfd_create("complaints", os.MFD_CLOEXEC)
_COMPLAINTS = os.open(f"/proc/self/fd/{_MEMFD}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)


def complaints() -> str:
    """Return what the peers wrote to standard error since the last call, shortened to its end."""
    text = os.pread(_MEMFD, 1 << 20, 0).decode(errors="replace")
    os.ftruncate(_MEMFD, 0)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:]


def _split(argv: Sequence[str]) -> tuple[Mapping[str, str], list[str]]:
    """Take the environment from the front of a command, written there as in a shell: K=V words."""
    count = next(index for index, word in enumerate(argv) if "=" not in word)
    return {**ENVIRONMENT, **dict(word.split("=", 1) for word in argv[:count])}, list(argv[count:])


def _name(argv: Sequence[str]) -> str:
    return os.path.basename(_split(argv)[1][0])


def start(argv: Sequence[str]) -> int:
    """Start a program with its output thrown away and return its pid."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, _COMPLAINTS, 2),
    ]
    env, words = _split(argv)
    try:
        return os.posix_spawn(words[0], words, env, file_actions=actions)
    except OSError as error:
        raise Failed(f"cannot start {words[0]}: {error.strerror}") from error


def _reap(pid: int, argv: Sequence[str]) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise Failed(f"{_name(argv)} ended with {code}: {complaints()}")


def run(argv: Sequence[str], timeout_s: float = 120) -> None:
    """Run a program to its end; words like K=V before it are its environment.

    Raises:
        Failed: when it could not be started, ended with another code than 0, or was killed
            because it took longer than *timeout_s* seconds.
    """
    pid = start(argv)
    pidfd = os.pidfd_open(pid)
    try:
        watch = select.poll()
        watch.register(pidfd, select.POLLIN)
        if not watch.poll(timeout_s * 1000):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Failed(f"{_name(argv)} took longer than {timeout_s} s")
    finally:
        os.close(pidfd)
    _reap(pid, argv)


def run_many(argvs: Iterator[Sequence[str]], at_once: int, timeout_s: float = 120) -> None:
    """Run all of the programs to their ends, *at_once* of them at any time."""
    running: dict[int, tuple[int, Sequence[str]]] = {}
    watch = select.poll()
    try:
        exhausted = False
        while True:
            while not exhausted and len(running) < at_once:
                argv = next(argvs, None)
                if argv is None:
                    exhausted = True
                    break
                pid = start(argv)
                pidfd = os.pidfd_open(pid)
                running[pidfd] = (pid, argv)
                watch.register(pidfd, select.POLLIN)
            if not running:
                return
            ended = watch.poll(timeout_s * 1000)
            if not ended:
                raise Failed(f"{at_once} at once took longer than {timeout_s} s")
            for pidfd, _ in ended:
                pid, argv = running.pop(pidfd)
                watch.unregister(pidfd)
                os.close(pidfd)
                _reap(pid, argv)
    finally:
        for pidfd, (pid, _) in running.items():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
