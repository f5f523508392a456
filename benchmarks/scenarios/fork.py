"""Forking a workspace, whatever its layer holds."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import spawn
from benchmarks.harness import Bench, Contender, Rounds
from benchmarks.peers import Field
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.report import Report

NAME = "fork"
TITLE = "Fork of a workspace"
ABOUT = (
    "`workspace.fork()` with so many files in its layer, which was sealed by an earlier fork; just written: with one "
    "more file written before each fork; entered: until the fork is mounted as well. Beside `cp -a` of as many files."
)
ORDER = 90
SIZES = (1, 1_000, 100_000)


def measure(bench: Bench, field: Field) -> None:
    """One case for each number of files."""
    peer = field.get("tinydocker")
    for files in SIZES:
        if bench.quick and files > 10_000:
            bench.report.absent(NAME, f"{files:,} files", "left out of a quick run")
            continue
        directory = bench.ground.fresh("files")
        fill(directory, files)
        with ExitStack() as held:
            copies = bench.ground.fresh("copies")
            copies.mkdir()
            held.callback(shutil.rmtree, copies)
            contenders = [Contender("cp -a", _copy(bench, directory, copies), heavy=True)]
            if isinstance(peer, Tinydocker):
                workspace = held.enter_context(peer.workspace())
                fill(Path(workspace.path) / "files", files)
                workspace.fork().close()
                contenders.insert(0, Contender("tinydocker", _fork(workspace, entered=False), note=peer.note))
                contenders.insert(1, Contender("tinydocker, entered", _fork(workspace, entered=True)))
                written = held.enter_context(peer.workspace())
                fill(Path(written.path) / "files", files)
                contenders.insert(2, Contender("tinydocker, just written", _written(bench, written)))
            rounds = Rounds(8 if bench.quick else 40, share_of_heavy=20 if files > 10_000 else 4)
            bench.compare(NAME, f"{files:,} files", contenders, rounds)
        shutil.rmtree(directory)


def fill(directory: Path, files: int) -> None:
    """Make a directory with so many small files, a thousand in each directory below it."""
    for first in range(0, files, 1000):
        below = directory / str(first)
        below.mkdir(parents=True)
        for number in range(first, min(first + 1000, files)):
            (below / str(number)).write_text(f"{number}\n")


def _fork(workspace: Any, *, entered: bool) -> Callable[[], float]:
    def sample() -> float:
        before = time.perf_counter()
        with workspace.fork() if entered else contextlib.closing(workspace.fork()):
            return time.perf_counter() - before

    return sample


def _written(bench: Bench, workspace: Any) -> Callable[[], float]:
    fork = _fork(workspace, entered=False)

    def sample() -> float:
        (Path(workspace.path) / str(bench.ground.number())).touch()
        return fork()

    return sample


def _copy(bench: Bench, directory: Path, copies: Path) -> Callable[[], float]:
    program = spawn.find("cp") or "cp"

    def sample() -> float:
        return bench.ground.runner.run((program, "-a", str(directory), str(copies / str(bench.ground.number()))))

    return sample


def judge(report: Report) -> None:
    """0.2 ms, whatever the size."""
    for files in SIZES:
        ours = report.find(NAME, "tinydocker", f"{files:,} files")
        figure = f"{ours.median:.3f} ms" if ours else None
        report.judge(
            NAME,
            f"fork of a prepared workspace with {files:,} files: 0.2 ms",
            figure,
            bool(ours and ours.median <= 0.2),
        )
