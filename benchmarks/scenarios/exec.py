"""`true` in a container that runs already."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.figures import ratio
from benchmarks.harness import PACED, Bench
from benchmarks.peers import Field, contender
from benchmarks.report import Report

NAME = "exec"
TITLE = "Exec"
ABOUT = "busybox `true` in a container that runs already, to its recorded end."
ORDER = 20


def measure(bench: Bench, field: Field) -> None:
    """Measure every peer that can run a command in a running container."""
    with ExitStack() as held:
        contenders = []
        for peer in field:
            with bench.report.attempt(NAME, peer.name):
                contenders.append(contender(peer, held.enter_context(peer.execs())))
        bench.compare_at_both_paces(NAME, "true", contenders, full=200, quick=16)


def judge(report: Report) -> None:
    """Below nsenter, and at most half of crun."""
    for peer, most, words in (("nsenter", 1.0, "below `nsenter -a`"), ("crun", 0.5, "at most half of `crun exec`")):
        found = []
        for pace in ("back to back", PACED):
            ours, theirs = (report.find(NAME, who, pace=pace) for who in ("tinydocker", peer))
            if ours and theirs and (value := ratio(ours, theirs)) is not None:
                found.append((pace, value))
        figure = ", ".join(f"{value:.2f} of it {pace}" for pace, value in found)
        report.judge(NAME, f"exec: {words}", figure, all(value <= most for _, value in found))
