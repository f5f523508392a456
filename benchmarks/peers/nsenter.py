"""nsenter: what one types to get into a container's namespaces without its engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import spawn
from benchmarks.peers import Action, Peer, classes
from benchmarks.report import Report, Unable


class Nsenter(Peer):
    """`nsenter -a -t PID true` into a container of tinydocker or, without it, of crun or runc."""

    name = "nsenter"
    order = 15
    _program = ""

    def version(self) -> str:
        program = spawn.find("nsenter")
        if program is None:
            raise Unable("nsenter is not installed (Debian: util-linux)")
        self._program = program
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    @contextmanager
    def execs(self) -> Iterator[Action]:
        with self._host() as host, host.sleeper() as pid:
            argv = (self._program, "-a", "-t", str(pid), "/bin/true")
            yield lambda: self.ground.runner.run(argv)

    @contextmanager
    def _host(self) -> Iterator[Peer]:
        tried = Report()
        for cls in classes():
            if cls.name not in ("tinydocker", "crun", "runc"):
                continue
            host = cls(self.ground)
            with ExitStack() as undo:
                with tried.attempt("", cls.name):
                    host.version()
                    undo.callback(host.close)
                    host.open()
                    self.note = f"-a into a container of {cls.name}; no cgroup joined, no capability dropped"
                if not tried.absences or tried.absences[-1].contender != cls.name:
                    yield host
                    return
        reasons = "; ".join(f"{one.contender}: {one.reason}" for one in tried.absences)
        raise Unable(f"no container to enter ({reasons})")
