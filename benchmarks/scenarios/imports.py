"""What `import tinydocker` costs beside what it stands on."""

from __future__ import annotations

import functools
import sys

from benchmarks.figures import difference
from benchmarks.harness import Bench, Contender
from benchmarks.peers import Field
from benchmarks.report import Report

NAME = "imports"
TITLE = "Import"
ABOUT = "A whole interpreter with site that does only this; the aims are about the difference to `pass`."
ORDER = 60
BARE = "pass"
BASIS = "import attrs, subprocess"
OURS = "import tinydocker"
SURFACE = "import tinydocker as td; td.run, td.Container, td.Image, td.Workspace, td.Engine"


def measure(bench: Bench, field: Field) -> None:
    """Start interpreters in turn."""
    programs = [BARE, BASIS]
    if field.get("tinydocker"):
        programs += [OURS, SURFACE]
    contenders = [
        Contender(program, functools.partial(bench.ground.runner.run, (sys.executable, "-c", program)))
        for program in programs
    ]
    bench.compare(NAME, "python -c", contenders, bench.rounds(full=60, quick=8))


def judge(report: Report) -> None:
    """At most half as much again as attrs and subprocess."""
    bare, basis = report.find(NAME, BARE), report.find(NAME, BASIS)
    for program, words in ((OURS, OURS), (SURFACE, "import of the whole surface")):
        ours = report.find(NAME, program)
        net = difference(ours, bare) if ours and bare else None
        allowed = difference(basis, bare) if basis and bare else None
        figure, met = None, None
        if net is not None and allowed is not None:
            figure, met = f"{net:.1f} ms against {allowed:.1f} ms", net <= 1.5 * allowed
        report.judge(NAME, f"{words}: at most 1.5 of `{BASIS}`", figure, met)
