"""The same run and exec from programs of different sizes."""

from __future__ import annotations

import functools
import json
import os
from contextlib import ExitStack

from benchmarks.figures import ratio
from benchmarks.harness import Bench, Contender
from benchmarks.peers import Field
from benchmarks.peers.bubblewrap import Bubblewrap
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.program import Program
from benchmarks.report import Report

NAME = "programs"
TITLE = "From a large program"
ABOUT = "Run and exec from programs with so much touched heap, or 50 threads; the contender's name says which program."
ORDER = 40
MB, GB = 1 << 20, 1 << 30
SIZES = {"10 MB": (10 * MB, 1), "1 GB": (GB, 1), "4 GB": (4 * GB, 1), "50 threads": (10 * MB, 50)}
SPARE_BYTES = 2 * GB


def available_bytes() -> int:
    """Return how much memory programs may still take."""
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields["MemAvailable"].split()[0]) * 1024


def measure(bench: Bench, field: Field) -> None:
    """Hold one program of each size and ask them in turn."""
    ours, bwrap = field.get("tinydocker"), field.get("bubblewrap")
    env = dict(os.environ)
    if isinstance(ours, Tinydocker):
        env.update(ours.environment())
    with ExitStack() as held:
        programs: dict[str, Program] = {}
        for size, (heap_bytes, threads) in SIZES.items():
            if heap_bytes + SPARE_BYTES > available_bytes():
                bench.report.absent(NAME, size, f"only {available_bytes() // MB} MB of memory are free")
                continue
            program = Program(str(bench.ground.archive), env, heap_bytes, threads)
            held.callback(program.close)
            programs[size] = program
        cases: dict[str, str] = {}
        if isinstance(ours, Tinydocker):
            cases = {"run": "run", "exec": "exec"}
        if isinstance(bwrap, Bubblewrap):
            cases["subprocess.run of bwrap"] = "subprocess " + json.dumps(bwrap.run_argv())
        for case, order in cases.items():
            contenders = []
            for size, program in programs.items():
                with bench.report.attempt(NAME, f"{case} from {size}"):
                    program.ask(order)
                    contenders.append(Contender(size, functools.partial(program.ask, order)))
            bench.compare_at_both_paces(NAME, case, contenders, full=100, quick=10)


def judge(report: Report) -> None:
    """Within 10 % of the small program."""
    for case in ("run", "exec"):
        small = report.find(NAME, "10 MB", case)
        for size in ("4 GB", "50 threads"):
            large = report.find(NAME, size, case)
            value = ratio(large, small) if large and small else None
            figure = f"{value:.2f} of the small program's" if value else None
            aim = f"{case} from a program with {size}{' of heap' if 'B' in size else ''}: within 10 %"
            report.judge(NAME, aim, figure, value is not None and value <= 1.1)
