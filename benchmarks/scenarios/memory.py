"""Memory that an engine holds: once, and for each idle container beyond its own processes."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from benchmarks.figures import Series
from benchmarks.harness import Bench
from benchmarks.memory import Held, engine_processes, held
from benchmarks.peers import PAYLOAD, Field, Peer
from benchmarks.peers.tinydocker import Tinydocker
from benchmarks.program import Program
from benchmarks.report import Report, Unable

NAME = "memory"
TITLE = "Memory held"
ABOUT = (
    "Supervisor, monitors, shims and daemons; the containers' own processes are left out. Fixed: with one container, "
    "less the share of that one. PSS counts shared pages by their share, USS only those that nobody else holds. "
    "What the calling program itself holds for each of tinydocker's containers is a line of its own."
)
ORDER = 50
MB = 1 << 20
SETTLE_S = 0.5


def measure(bench: Bench, field: Field) -> None:
    """Hold one container, then several, and divide the difference."""
    count = 5 if bench.quick else 21
    for peer in field:
        with bench.report.attempt(NAME, peer.name):
            figures = _ours(bench, peer, count) if isinstance(peer, Tinydocker) else _theirs(bench, peer, count)
            for (case, kind), value in figures.items():
                bench.report.series.append(Series(NAME, case, kind, peer.name, "MB", (value,), peer.note))


def _split(one: Held, many: Held, count: int) -> dict[tuple[str, str], float]:
    figures = {}
    for kind in ("pss", "uss"):
        first, last = (getattr(held_now, f"{kind}_bytes") / MB for held_now in (one, many))
        share = (last - first) / (count - 1)
        figures["per container", kind.upper()] = share
        figures["fixed", kind.upper()] = max(0.0, first - share)
    return figures


def _theirs(bench: Bench, peer: Peer, count: int) -> dict[tuple[str, str], float]:
    ancestors = {os.getpid(), bench.ground.runner.pid}
    find = functools.partial(engine_processes, ancestors, str(bench.ground.path), " ".join(PAYLOAD))
    others = find() - peer.daemons()

    def snapshot() -> Held:
        return _settled(lambda: find() - others)

    with peer.idle(1):
        one = snapshot()
    with peer.idle(count):
        many = snapshot()
    return _split(one, many, count)


def _settled(pids: Callable[[], Iterable[int]]) -> Held:
    time.sleep(SETTLE_S)  # helpers of a start that are still about to end
    return held(pids())


@contextmanager
def _program(bench: Bench, peer: Tinydocker) -> Iterator[Program]:
    program = Program(str(bench.ground.archive), {**os.environ, **peer.environment()})
    try:
        yield program
    finally:
        program.close()


def _ours(bench: Bench, peer: Tinydocker, count: int) -> dict[tuple[str, str], float]:
    with _program(bench, peer) as program:

        def snapshot(containers: int) -> tuple[Held, Held]:
            program.ask(f"hold {containers}")
            engine = _settled(lambda: engine_processes({program.pid}, "\0", " ".join(PAYLOAD)))
            return engine, held([program.pid])

        (one, own_one), (many, own_many) = snapshot(1), snapshot(count)
    if not one.pss_bytes:
        raise Unable("no supervisor was found among the program's descendants")
    figures = _split(one, many, count)
    for (case, kind), value in _split(own_one, own_many, count).items():
        if case == "per container":
            figures["per container, in the calling program", kind] = value
    return figures


def judge(report: Report) -> None:
    """8 MB once, 0.1 MB for each."""
    for case, most in (("fixed", 8.0), ("per container", 0.1)):
        ours = report.find(NAME, "tinydocker", case, "PSS")
        words = "fixed" if case == "fixed" else "per running container beyond its own processes"
        figure = f"{ours.median:.3f} MB (PSS)" if ours else None
        report.judge(NAME, f"memory, {words}: {most:g} MB", figure, bool(ours and ours.median <= most))
