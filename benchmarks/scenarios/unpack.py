"""Unpacking a root file system archive, beside `tar` and `podman load`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import spawn, trees
from benchmarks.figures import ratio
from benchmarks.harness import Bench, Contender, Rounds
from benchmarks.peers import Field
from benchmarks.peers.podman import Podman
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.report import Report

NAME = "unpack"
TITLE = "Unpack"
ABOUT = (
    "A root file system archive of 10,000 files (2,000 in a quick run) into an empty engine root, hashed and recorded; "
    "beside GNU tar with the same compression into an empty directory, and `podman load` of a `docker save` archive "
    "with the same files."
)
ORDER = 80
FILES, FILES_OF_QUICK = 10_000, 2_000
SETTLE_S = 6  # for 5 s ext4 avoids inodes that were just deleted, and every creation searches longer


def measure(bench: Bench, field: Field) -> None:
    """One case for each compression; nothing is deleted before the end, and nothing was shortly before."""
    time.sleep(SETTLE_S)
    plain = bench.ground.fresh("tree").with_suffix(".tar")
    trees.write_archive(plain, FILES_OF_QUICK if bench.quick else FILES)
    ours, podman = field.get("tinydocker"), field.get("podman")
    saved = None
    if isinstance(podman, Podman):
        saved = bench.ground.fresh("saved").with_suffix(".tar")
        podman.save(saved, of=plain)
    for suffix in trees.COMPRESSORS:
        archive = None
        with bench.report.attempt(NAME, f".tar{suffix}"):
            archive = trees.compress(plain, suffix)
        if archive is None:
            continue
        contenders = [Contender("tar", _tar(bench, archive), note="--xattrs, owners and modes kept")]
        if isinstance(ours, Tinydocker):
            contenders.insert(0, Contender("tinydocker", _ours(bench, archive), note=ours.note))
        if isinstance(podman, Podman) and saved:
            loading = functools.partial(podman.load, trees.compress(saved, suffix))
            contenders.append(Contender("podman", loading, heavy=True, note="podman load into empty storage"))
        rounds = Rounds(2 if bench.quick else 9, warm_up=1, share_of_heavy=3)
        bench.compare(NAME, f".tar{suffix}", contenders, rounds)


def _tar(bench: Bench, archive: Path) -> Callable[[], float]:
    tar = spawn.find("tar") or "tar"

    def sample() -> float:
        target = bench.ground.fresh("tar")
        target.mkdir()
        argv = (tar, "--numeric-owner", "--same-owner", "--xattrs", "-xpf", str(archive), "-C", str(target))
        return bench.ground.runner.run(argv)

    return sample


def _ours(bench: Bench, archive: Path) -> Callable[[], float]:
    def sample() -> float:
        import tinydocker as td

        base = bench.ground.fresh("unpack")
        engine = td.Engine(root=str(base / "root"), run_root=str(base / "run"))
        try:
            before = time.perf_counter()
            with engine.image(str(archive)):
                return time.perf_counter() - before
        finally:
            engine.close()

    return sample


def judge(report: Report) -> None:
    """Within 1.3 of tar, half of podman load."""
    for suffix in trees.COMPRESSORS:
        case = f".tar{suffix}"
        ours = report.find(NAME, "tinydocker", case)
        for peer, most, words in (("tar", 1.3, "within 1.3 of `tar`"), ("podman", 0.5, "half of `podman load`")):
            theirs = report.find(NAME, peer, case)
            value = ratio(ours, theirs) if ours and theirs else None
            figure = f"{value:.2f} of it" if value else None
            report.judge(NAME, f"unpack {case}: {words}", figure, value is not None and value <= most)
