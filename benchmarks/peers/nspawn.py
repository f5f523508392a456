"""systemd-nspawn, used as a plain command where no systemd runs."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks import spawn
from benchmarks.peers import PAYLOAD, Peer
from benchmarks.report import Unable


class Nspawn(Peer):
    """Its own network namespace, an overlay on tmpfs, not registered with systemd-machined."""

    name = "systemd-nspawn"
    order = 40
    heavy = True
    note = "--volatile=overlay, not registered with machined"
    _program = ""

    def version(self) -> str:
        program = spawn.find("systemd-nspawn")
        if program is None:
            raise Unable("systemd-nspawn is not installed (Debian: systemd-container)")
        self._program = program
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]

    def _argv(self, *command: str) -> Sequence[str]:
        quiet = ("--quiet", "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off", "--link-journal=no")
        where = (
            "--private-network",
            "--volatile=overlay",
            f"--machine=tdb-{self.ground.number()}",
            f"--directory={self.ground.rootfs}",
        )
        return (self._program, *quiet, *where, *command)

    def run_argv(self) -> Sequence[str]:
        return self._argv("/bin/true")

    @contextmanager
    def idle(self, count: int) -> Iterator[None]:
        pids: list[int] = []
        try:
            for _ in range(count):
                pids.append(self.ground.runner.start(self._argv(*PAYLOAD)))
            yield
        finally:
            for pid in pids:
                self.ground.runner.end(pid, signal.SIGTERM)
