"""How many containers a second one program starts, one after the other and several at once."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.figures import ratio
from benchmarks.harness import Bench, Contender, Rounds
from benchmarks.peers import Field, Peer
from benchmarks.report import Report
from benchmarks.scenarios import runners

NAME = "rate"
TITLE = "Starts a second"
ABOUT = (
    "Containers run to their ends in a second, 1, 2 and 8 at once: threads of one program, or commands side by side."
)
ORDER = 30
LEVELS = (1, 2, 8)


def measure(bench: Bench, field: Field) -> None:
    """Measure batches of runs at each level; every batch is one sample."""
    able = runners(bench, field, NAME)
    for at_once in LEVELS:
        contenders = [Contender(peer.name, batch(bench, peer, at_once), peer.heavy, peer.note) for peer in able]
        rounds = Rounds(3 if bench.quick else 9, warm_up=1, share_of_heavy=3)
        bench.compare(NAME, f"{at_once} at once", contenders, rounds, unit="1/s")


def batch(bench: Bench, peer: Peer, at_once: int) -> Callable[[], float]:
    """Return a sample that is a rate."""
    total = (8 if peer.heavy else 24) if bench.quick else (16 if peer.heavy else 80)

    def sample() -> float:
        return total / peer.run_many(total, at_once)

    return sample


def judge(report: Report) -> None:
    """Above bubblewrap's at 8 at once."""
    ours, theirs = (report.find(NAME, who, "8 at once") for who in ("tinydocker", "bubblewrap"))
    value = ratio(ours, theirs) if ours and theirs else None
    figure = f"{ours.median:.0f} against {theirs.median:.0f}" if ours and theirs else None
    report.judge(NAME, "starts a second, 8 at once: above bubblewrap's", figure, value is not None and value > 1)
