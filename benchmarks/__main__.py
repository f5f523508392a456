"""``python -m benchmarks``: measure, print the table, keep the raw numbers."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import host, peers, residue
from benchmarks.ground import ground
from benchmarks.harness import Bench
from benchmarks.report import Report
from benchmarks.scenarios import Scenario, all_scenarios
from benchmarks.table import markdown


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    names = [one.NAME for one in all_scenarios()]
    contenders = [one.name for one in peers.classes()]
    parser.add_argument("--quick", action="store_true", help="few samples, to see that everything works")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument(
        "--peer", action="append", choices=contenders, metavar="NAME", help=f"one of {', '.join(contenders)}"
    )
    parser.add_argument("--directory", default="/var/tmp", help="where all roots are made (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw numbers here")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table here, too")
    return parser.parse_args(argv)


def measure(chosen: Sequence[Scenario], wanted: Sequence[str], directory: str, quick: bool) -> Report:
    """Run the scenarios and return what they found; whatever was made for them is gone afterwards."""
    report = Report()
    with residue.removed(), ground(directory) as here, peers.field(here, report, wanted) as field:
        report.host = host.facts(here.path, field.versions)
        bench = Bench(here, report, quick)
        for scenario in chosen:
            started = time.monotonic()
            print(f"{scenario.NAME} …", end="", file=sys.stderr, flush=True)
            with report.attempt(scenario.NAME, "the whole scenario"):
                scenario.measure(bench, field)
            scenario.judge(report)
            print(f" {time.monotonic() - started:.0f} s", file=sys.stderr)
    return report


def main(argv: Sequence[str]) -> int:
    """Carry out the command line; return the exit code."""
    arguments = _arguments(argv)
    if os.geteuid():
        print("containers need root: run this as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is torn down
    scenarios = all_scenarios()
    chosen = [one for one in scenarios if not arguments.only or one.NAME in arguments.only]
    report = measure(chosen, arguments.peer or (), arguments.directory, arguments.quick)
    page = markdown(report, chosen)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.to_dict(), indent=1) + "\n")
    if arguments.table:
        arguments.table.write_text(page)
    print(page, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
