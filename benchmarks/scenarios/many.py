"""Starting one more container while many are alive."""

from __future__ import annotations

import functools
import os
from contextlib import ExitStack

from benchmarks.figures import ratio
from benchmarks.harness import Bench, Contender
from benchmarks.peers import Field
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.program import Program
from benchmarks.report import Report

NAME = "many"
TITLE = "One more of many"
ABOUT = "Until a container is started, by a program that holds none and by one that holds many, each with its own root."
ORDER = 45
FEW, MANY = "none alive", "many alive"


def measure(bench: Bench, field: Field) -> None:
    """Hold two programs, fill one of them, and ask them in turn."""
    peer = field.get("tinydocker")
    if not isinstance(peer, Tinydocker):
        return
    count = 100 if bench.quick else 999
    with ExitStack() as held:
        contenders = []
        for name, alive in ((FEW, 0), (MANY, count)):
            root = bench.ground.fresh("many")
            env = {"TINYDOCKER_ROOT": str(root / "root"), "TINYDOCKER_RUN_ROOT": str(root / "run")}
            program = Program(str(bench.ground.archive), {**os.environ, **env})
            held.callback(program.close)
            with bench.report.attempt(NAME, name):
                program.ask(f"hold {alive}")
                note = f"{alive} containers"
                contenders.append(Contender(name, functools.partial(program.ask, "start"), note=note))
        bench.compare_at_both_paces(NAME, "start", contenders, full=100, quick=10)


def judge(report: Report) -> None:
    """Within 20 % of the first."""
    few, many = report.find(NAME, FEW), report.find(NAME, MANY)
    value = ratio(many, few) if few and many else None
    figure = f"{value:.2f} of the first's, with {many.note}" if value and many else None
    report.judge(
        NAME, "the 1000th live container's start: within 20 % of the 1st", figure, bool(value and value <= 1.2)
    )
