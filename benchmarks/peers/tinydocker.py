"""tinydocker itself, called in process, with private roots."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.peers import Action, Peer
from benchmarks.report import Unable

SLEEP = ["sleep", "31536000"]
NAME = "tinydocker"


def timed_run(td: Any, image: Any) -> float:
    """Run `true` in a new container of the image; return the seconds it took."""
    before = time.perf_counter()
    done = td.run(image, ["true"])
    taken = time.perf_counter() - before
    if done.returncode:
        raise RuntimeError(f"true ended with {done.returncode}: {done.stderr}")
    return taken


def timed_exec(container: Any) -> float:
    """Run `true` in a running container; return the seconds it took."""
    before = time.perf_counter()
    done = container.exec(["true"])
    taken = time.perf_counter() - before
    if done.returncode:
        raise RuntimeError(f"true ended with {done.returncode}: {done.stderr}")
    return taken


class Tinydocker(Peer):
    """`tinydocker.run` and friends in this program, the image entered beforehand as a fixture would."""

    name = NAME
    order = 0
    note = "in process, default posture, overlay"
    _image: Any = None
    _td: Any = None

    def version(self) -> str:
        try:
            return importlib.metadata.version(NAME)
        except importlib.metadata.PackageNotFoundError as error:
            raise Unable("tinydocker is not installed: pip install -e .") from error

    def environment(self) -> dict[str, str]:
        """Return the variables that give a program the roots of this run."""
        return {
            "TINYDOCKER_ROOT": str(self.ground.path / "tinydocker/root"),
            "TINYDOCKER_RUN_ROOT": str(self.ground.path / "tinydocker/run"),
        }

    def open(self) -> None:
        os.environ.update(self.environment())
        import tinydocker

        self._td = tinydocker
        self._image = self._td.Image(str(self.ground.archive)).__enter__()
        timed_run(self._td, self._image)

    def close(self) -> None:
        if self._image is not None:
            self._image.__exit__(None, None, None)
            self._image = None
            self._td.Engine(**self.roots()).close()

    def roots(self) -> dict[str, str]:
        """Return the same roots as arguments of `Engine`."""
        root, run_root = self.environment().values()
        return {"root": root, "run_root": run_root}

    def run(self) -> float:
        return timed_run(self._td, self._image)

    def run_by_path(self) -> float:
        """The same with the archive's path instead of an entered image."""
        return timed_run(self._td, str(self.ground.archive))

    def run_many(self, total: int, at_once: int) -> float:
        with ThreadPoolExecutor(at_once) as pool:
            before = time.perf_counter()
            for _ in pool.map(lambda _: timed_run(self._td, self._image), range(total)):
                pass
            return time.perf_counter() - before

    @contextmanager
    def sleeper(self) -> Iterator[int]:
        with self._td.Container(self._image, SLEEP) as container:
            yield container.pid

    @contextmanager
    def execs(self) -> Iterator[Action]:
        with self._td.Container(self._image, SLEEP) as container:
            yield lambda: timed_exec(container)

    def workspace(self) -> Any:
        """Return a new workspace over the image."""
        return self._td.Workspace(self._image)
