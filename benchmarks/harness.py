"""Take samples side by side: one of each contender in turn, in an order that changes every round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from attrs import define, frozen

from benchmarks.figures import Series
from benchmarks.ground import Ground
from benchmarks.report import Report

BACK_TO_BACK = "back to back"
PACED = "ten a second"
PACE_S = 0.1
SETTLE_S = 0.15  # what heavy contenders still do in the background after they returned
SHARE_OF_HEAVY = 8  # heavy contenders take part in every eighth round


@frozen
class Contender:
    """Somebody to measure: *sample* does the work once and returns its figure, the seconds it took or a rate."""

    name: str
    sample: Callable[[], float]
    heavy: bool = False
    note: str = ""


@frozen
class Rounds:
    """How often: rounds for the light ones (heavy ones take every eighth), warm-up rounds before."""

    measured: int
    warm_up: int = 3
    share_of_heavy: int = SHARE_OF_HEAVY


@define(eq=False)
class Bench:
    """What a scenario is given: the ground to work on, the report to fill, and how thorough to be."""

    ground: Ground
    report: Report
    quick: bool
    seed: int = 3

    def rounds(self, full: int, quick: int, warm_up: int = 3) -> Rounds:
        """Choose the number of rounds for this run."""
        return Rounds(quick if self.quick else full, warm_up)

    def compare(
        self,
        scenario: str,
        case: str,
        contenders: Sequence[Contender],
        rounds: Rounds,
        *,
        unit: str = "ms",
        pace_s: float = 0,
    ) -> None:
        """Measure contenders interleaved and add one series for each of them to the report.

        Times are reported in milliseconds, whatever else a sample returns as it is.  One that fails
        is dropped from the following rounds and listed as absent with its reason.
        """
        alive = list(contenders)
        self._warm_up(scenario, case, alive, rounds.warm_up)
        samples: Mapping[str, list[float | None]] = {one.name: [] for one in alive}
        order = random.Random(self.seed)
        resume_at = 0.0
        for number in range(rounds.measured):
            order.shuffle(alive)
            for one in list(alive):
                if one.heavy and number % rounds.share_of_heavy:
                    samples[one.name].append(None)
                    continue
                time.sleep(max(0.0, resume_at - time.perf_counter()))
                started = time.perf_counter()
                samples[one.name].append(self._take(scenario, case, one, alive, unit))
                ended = time.perf_counter()
                resume_at = max(started + pace_s, ended + pace_s / 2, ended + SETTLE_S if one.heavy else 0)
        pace = PACED if pace_s else BACK_TO_BACK
        for one in contenders:
            taken = samples.get(one.name, [])
            if any(value is not None for value in taken):
                self.report.series.append(Series(scenario, case, pace, one.name, unit, tuple(taken), one.note))

    def compare_at_both_paces(
        self, scenario: str, case: str, contenders: Sequence[Contender], full: int, quick: int
    ) -> None:
        """Measure times back to back and at ten starts a second."""
        self.compare(scenario, case, contenders, self.rounds(full, quick))
        self.compare(scenario, case, contenders, self.rounds(full // 2, quick // 2 or 1), pace_s=PACE_S)

    def _take(self, scenario: str, case: str, one: Contender, alive: list[Contender], unit: str) -> float | None:
        with self.report.attempt(scenario, f"{one.name} ({case})"):
            figure = one.sample()
            return figure * 1000 if unit == "ms" else figure
        alive.remove(one)
        return None

    def _warm_up(self, scenario: str, case: str, alive: list[Contender], rounds: int) -> None:
        for number in range(rounds):
            for one in list(alive):
                if number == 0 or not one.heavy:
                    self._take(scenario, case, one, alive, "ms")
