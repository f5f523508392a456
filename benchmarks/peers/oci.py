"""crun and runc: low-level runtimes, each running an OCI bundle with tinydocker's posture."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import bundle, spawn
from benchmarks.peers import PAYLOAD, Action, Peer
from benchmarks.report import Unable


class _Runtime(Peer):
    """What the two have in common: the command line of an OCI runtime."""

    note = "the bundle has tinydocker's mounts, masks and capabilities; root read-only, no overlay"
    _program = ""

    def version(self) -> str:
        program = spawn.find(self.name)
        if program is None:
            raise Unable(f"{self.name} is not installed")
        self._program = program
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        return printed.split("\n")[0].split()[-1]

    def open(self) -> None:
        self._state = str(self.ground.fresh(self.name))
        self._true = self._bundle("true")
        self._sleep = self._bundle(*PAYLOAD)
        self._process = self.ground.fresh("process")
        self._process.write_text(json.dumps(bundle.process(("true",))))

    def _bundle(self, *command: str) -> Path:
        path = self.ground.fresh(f"{self.name}-bundle")
        bundle.write(path, self.ground.rootfs, command)
        return path

    def _verb(self, *words: str) -> Sequence[str]:
        return (self._program, "--root", self._state, *words)

    def run_argv(self) -> Sequence[str]:
        return self._verb("run", "--bundle", str(self._true), f"tdb-{self.ground.number()}")

    @contextmanager
    def _sleeping(self) -> Iterator[str]:
        name = f"tdb-{self.ground.number()}"
        self.ground.runner.run(self._verb("run", "--detach", "--bundle", str(self._sleep), name))
        try:
            yield name
        finally:
            self.ground.runner.run(self._verb("delete", "--force", name))

    @contextmanager
    def sleeper(self) -> Iterator[int]:
        with self._sleeping() as name:
            state = subprocess.run(self._verb("state", name), capture_output=True, text=True, check=True)
            yield int(json.loads(state.stdout)["pid"])

    @contextmanager
    def execs(self) -> Iterator[Action]:
        with self._sleeping() as name:
            argv = self._verb("exec", "--process", str(self._process), name)
            yield lambda: self.ground.runner.run(argv)

    @contextmanager
    def idle(self, count: int) -> Iterator[None]:
        with ExitStack() as held:
            for _ in range(count):
                held.enter_context(self._sleeping())
            yield


class Crun(_Runtime):
    """crun, in C."""

    name = "crun"
    order = 20


class Runc(_Runtime):
    """runc, in Go: what docker and containerd start."""

    name = "runc"
    order = 30
