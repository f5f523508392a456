"""docker: a daemon of our own, apart from any that the host runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import runner, spawn
from benchmarks.memory import engine_processes
from benchmarks.peers import PAYLOAD, Action, Peer
from benchmarks.report import Unable

IMAGE = "tdb:1"
PATIENCE_S = 60


class Docker(Peer):
    """dockerd with private directories, in mount and network namespaces of its own, no bridge, no firewall rules."""

    name = "docker"
    order = 70
    heavy = True
    note = "the command line client; a daemon of our own with private state, without bridge and firewall"
    _client = ""
    _daemon = ""
    _process: subprocess.Popen[bytes] | None = None

    def version(self) -> str:
        daemon, client = spawn.find("dockerd"), spawn.find("docker")
        if daemon is None or client is None:
            raise Unable("docker is not installed (Debian: docker.io)")
        self._daemon, self._client = daemon, client
        return subprocess.run([daemon, "--version"], capture_output=True, text=True, check=True).stdout.split()[2][:-1]

    def open(self) -> None:
        base = self.ground.fresh("docker")
        base.mkdir()
        self._socket = f"unix://{base / 'socket'}"
        state = ("--data-root", str(base / "data"), "--exec-root", str(base / "exec"), "--pidfile", str(base / "pid"))
        apart = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false")
        argv = runner.namespaced(self._daemon, "--host", self._socket, *state, *apart, net=True)
        with open(base / "log", "wb") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.command("version")
                break
            except spawn.Failed as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    told = (base / "log").read_text(errors="replace").strip().splitlines()[-1:]
                    raise Unable(f"dockerd did not start: {' '.join(told) or error}") from error
                time.sleep(0.1)
        self.command("import", str(self.ground.archive), IMAGE)

    def command(self, *words: str) -> float:
        """Run a command of the client to its end; return the seconds it took."""
        return self.ground.runner.run((self._client, "--host", self._socket, *words))

    def run_argv(self) -> Sequence[str]:
        return (self._client, "--host", self._socket, "run", "--rm", "--network", "none", IMAGE, "true")

    @contextmanager
    def _sleeping(self) -> Iterator[str]:
        name = f"tdb-{self.ground.number()}"
        self.command("run", "--detach", "--name", name, "--network", "none", IMAGE, *PAYLOAD)
        try:
            yield name
        finally:
            self.command("rm", "--force", name)

    @contextmanager
    def execs(self) -> Iterator[Action]:
        with self._sleeping() as name:
            yield lambda: self.command("exec", name, "true")

    @contextmanager
    def idle(self, count: int) -> Iterator[None]:
        with ExitStack() as held:
            for _ in range(count):
                held.enter_context(self._sleeping())
            yield

    def daemons(self) -> set[int]:
        if self._process is None:
            return set()
        return {self._process.pid} | engine_processes({self._process.pid}, "\0", " ".join(PAYLOAD))

    def close(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
