"""Samples and what is said about them: median, 95th percentile, least, ratio pair by pair."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from attrs import frozen

Samples = Sequence[float | None]


@frozen
class Series:
    """The samples of one contender in one case of a scenario, in the order of the rounds.

    A round in which the contender was not asked (heavy ones are asked less often) is None, so that
    the same position of two series of one case was measured side by side.
    """

    scenario: str
    case: str
    pace: str
    contender: str
    unit: str
    samples: tuple[float | None, ...]
    note: str = ""

    @property
    def values(self) -> list[float]:
        """The samples that were taken."""
        return [value for value in self.samples if value is not None]

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The sample that 95 of 100 do not exceed (of a rate: that 95 of 100 reach)."""
        ordered = sorted(self.values, reverse=self.unit.endswith("/s"))
        return ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]

    @property
    def best(self) -> float:
        """The least time or size, or the highest rate."""
        return max(self.values) if self.unit.endswith("/s") else min(self.values)


def ratio(ours: Series, theirs: Series) -> float | None:
    """Return the median over the rounds of ours divided by theirs, None without a common round."""
    return _median(a / b for a, b in zip(ours.samples, theirs.samples, strict=False) if a is not None and b)


def difference(ours: Series, theirs: Series) -> float | None:
    """Return the median over the rounds of ours less theirs, None without a common round."""
    pairs = zip(ours.samples, theirs.samples, strict=False)
    return _median(a - b for a, b in pairs if a is not None and b is not None)


def _median(values: Iterable[float]) -> float | None:
    listed = list(values)
    return statistics.median(listed) if listed else None
