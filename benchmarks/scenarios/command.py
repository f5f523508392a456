"""`tinydocker run` as a command, beside an interpreter that does nothing."""

from __future__ import annotations

import functools
import os
import sys

from benchmarks.figures import difference
from benchmarks.harness import Bench, Contender
from benchmarks.peers import Field
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.report import Report

NAME = "command"
TITLE = "The command line"
ABOUT = (
    "`tinydocker run ARCHIVE true` typed in a shell: interpreter, engine and supervisor started and ended each time."
)
ORDER = 70
BARE = "python -c pass"
OURS = "tinydocker run"


def measure(bench: Bench, field: Field) -> None:
    """Run the command and the bare interpreter in turn."""
    contenders = [Contender(BARE, functools.partial(bench.ground.runner.run, (sys.executable, "-c", "pass")))]
    peer = field.get("tinydocker")
    if isinstance(peer, Tinydocker):
        env = [f"{key}={value}" for key, value in peer.environment().items()]
        script = os.path.join(os.path.dirname(sys.executable), "tinydocker")
        command = (script,) if os.path.exists(script) else (sys.executable, "-m", "tinydocker")
        argv = (*env, *command, "run", "--network", "none", str(bench.ground.archive), "true")
        with bench.report.attempt(NAME, OURS):
            bench.ground.runner.run(argv)
            contenders.append(Contender(OURS, functools.partial(bench.ground.runner.run, argv)))
    bench.compare_at_both_paces(NAME, "true", contenders, full=60, quick=8)


def judge(report: Report) -> None:
    """Within 40 ms of the interpreter's own start."""
    ours, bare = report.find(NAME, OURS), report.find(NAME, BARE)
    more = difference(ours, bare) if ours and bare else None
    figure = None if more is None else f"{more:.1f} ms more"
    aim = "`tinydocker run` as a command: within 40 ms of the interpreter's start with site"
    report.judge(NAME, aim, figure, more is not None and more <= 40)
