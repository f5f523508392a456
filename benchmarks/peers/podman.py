"""podman: an engine without a daemon, with a monitor process for each container."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import spawn
from benchmarks.peers import PAYLOAD, Action, Peer
from benchmarks.report import Unable

IMAGE = "localhost/tdb:1"
# Locks in files rather than in the host's /dev/shm; limits no higher than a root without CAP_SYS_RESOURCE may set.
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
lock_type = "file"
events_logger = "none"
"""


class Podman(Peer):
    """Its storage and state below the ground; cgroups managed by files; crun where it is installed."""

    name = "podman"
    order = 60
    heavy = True
    note = "private storage, file locks, no events"
    _program = ""

    def version(self) -> str:
        program = spawn.find("podman")
        if program is None:
            raise Unable("podman is not installed")
        self._program = program
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def open(self) -> None:
        self._configuration = self.ground.fresh("containers.conf")
        self._configuration.write_text(CONFIGURATION)
        self._base = self._storage()
        self.command("import", str(self.ground.archive), IMAGE)

    def _storage(self) -> Sequence[str]:
        """Return the beginning of a command that works in storage of its own."""
        base = self.ground.fresh("podman")
        return (
            *(f"CONTAINERS_CONF={self._configuration}", self._program, "--storage-driver=overlay"),
            *("--root", str(base / "root"), "--runroot", str(base / "run"), "--tmpdir", str(base / "tmp")),
            *("--cgroup-manager", "cgroupfs"),
        )

    def command(self, *words: str) -> float:
        """Run a podman command to its end; return the seconds it took."""
        return self.ground.runner.run((*self._base, *words))

    def save(self, path: Path, *, of: Path) -> None:
        """Write a `docker save` archive of an image whose only layer is the given root file system archive."""
        self.command("import", str(of), "localhost/tdb-saved:1")
        self.command("save", "--format", "docker-archive", "--output", str(path), "localhost/tdb-saved:1")
        self.command("rmi", "localhost/tdb-saved:1")

    def load(self, path: Path) -> float:
        """Load an archive into storage that is empty; return the seconds it took."""
        return self.ground.runner.run((*self._storage(), "load", "--input", str(path)))

    def run_argv(self) -> Sequence[str]:
        return (*self._base, "run", "--rm", "--network", "none", IMAGE, "true")

    @contextmanager
    def _sleeping(self) -> Iterator[str]:
        name = f"tdb-{self.ground.number()}"
        self.command("run", "--detach", "--name", name, "--network", "none", IMAGE, *PAYLOAD)
        try:
            yield name
        finally:
            self.command("rm", "--force", "--time", "0", name)

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

    def close(self) -> None:
        if hasattr(self, "_base"):
            self.command("system", "reset", "--force")
