"""`true` in a new container with a network namespace of its own, from nothing to torn down."""

from __future__ import annotations

from benchmarks.figures import ratio
from benchmarks.harness import PACED, Bench, Contender
from benchmarks.peers import Field, contender
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.report import Report
from benchmarks.scenarios import runners

NAME = "run"
TITLE = "Run without network"
ABOUT = "busybox `true` in a new container with its own network namespace, from nothing to torn down."
ORDER = 10
CASE = "true"


def measure(bench: Bench, field: Field) -> None:
    """Measure every peer that can run a container."""
    able = runners(bench, field, NAME)
    contenders = [contender(peer, peer.run) for peer in able]
    for peer in able:
        if isinstance(peer, Tinydocker):
            contenders.insert(1, Contender("tinydocker, archive's path", peer.run_by_path, note="image not entered"))
    bench.compare_at_both_paces(NAME, CASE, contenders, full=200, quick=16)


def judge(report: Report) -> None:
    """Below bubblewrap, and at most half of crun, at both paces."""
    for peer, most in (("bubblewrap", 1.0), ("crun", 0.5)):
        found = []
        for pace in ("back to back", PACED):
            ours, theirs = (report.find(NAME, who, pace=pace) for who in ("tinydocker", peer))
            if ours and theirs and (value := ratio(ours, theirs)) is not None:
                found.append((pace, value))
        aim = f"run, no network: below {peer}" if most == 1 else f"run, no network: at most half of {peer}"
        figure = ", ".join(f"{value:.2f} of it {pace}" for pace, value in found)
        report.judge(NAME, aim, figure, all(value <= most for _, value in found))
