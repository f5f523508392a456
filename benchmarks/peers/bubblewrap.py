"""bubblewrap: a sandbox command, with nothing that goes on afterwards."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks import spawn
from benchmarks.peers import PAYLOAD, Peer
from benchmarks.report import Unable


class Bubblewrap(Peer):
    """All namespaces new; an overlay on tmpfs where it has one (0.11), else a read-only root with a tmpfs."""

    name = "bubblewrap"
    order = 10
    _argv: Sequence[str] = ()

    def version(self) -> str:
        program = spawn.find("bwrap")
        if program is None:
            raise Unable("bwrap is not installed (Debian: bubblewrap)")
        usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
        rootfs = str(self.ground.rootfs)
        root: Sequence[str] = ("--ro-bind", rootfs, "/", "--tmpfs", "/tmp")
        self.note = "root read-only with a tmpfs on /tmp: this version has no overlay; no cgroup, no masks"
        if "--tmp-overlay" in usage:
            root = ("--overlay-src", rootfs, "--tmp-overlay", "/")
            self.note = "overlay on tmpfs; no cgroup, no masks"
        isolation = ("--unshare-all", "--die-with-parent", "--new-session")
        self._argv = (program, *isolation, *root, "--proc", "/proc", "--dev", "/dev")
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def run_argv(self) -> Sequence[str]:
        return (*self._argv, "true")

    @contextmanager
    def idle(self, count: int) -> Iterator[None]:
        pids: list[int] = []
        try:
            for _ in range(count):
                pids.append(self.ground.runner.start((*self._argv, *PAYLOAD)))
            yield
        finally:
            for pid in pids:
                self.ground.runner.end(pid, signal.SIGKILL)
