"""What one run of the benchmarks found: series, verdicts on the aims, and who was absent and why."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from attrs import Factory, asdict, define, frozen

from benchmarks.figures import Series


class Unable(Exception):
    """This contender cannot do this here; the message says why."""


@frozen
class Absence:
    """A contender that did not take part in a scenario (``""``: in any), and the reason."""

    scenario: str
    contender: str
    reason: str


@frozen
class Verdict:
    """An aim, the figure that was measured for it, and whether it is met (None: not measured)."""

    scenario: str
    aim: str
    figure: str
    met: bool | None


@define(eq=False)
class Report:
    """Collects while the scenarios run; the table and the JSON file are written from it."""

    host: dict[str, Any] = Factory(dict)
    series: list[Series] = Factory(list)
    absences: list[Absence] = Factory(list)
    verdicts: list[Verdict] = Factory(list)

    def find(self, scenario: str, contender: str, case: str | None = None, pace: str | None = None) -> Series | None:
        """Return the first series that fits, None when it was not measured."""
        for one in self.series:
            named = (one.scenario, one.contender) == (scenario, contender)
            if named and case in (None, one.case) and pace in (None, one.pace) and one.values:
                return one
        return None

    def absent(self, scenario: str, contender: str, reason: str) -> None:
        """Note that a contender did not take part; the same reason is kept once."""
        absence = Absence(scenario, contender, reason)
        if absence not in self.absences:
            self.absences.append(absence)

    def attempt(self, scenario: str, contender: str) -> Attempt:
        """Do something that may fail in any way: then the contender is absent, and everybody else goes on."""
        return Attempt(self, scenario, contender)

    def judge(self, scenario: str, aim: str, figure: str | None, met: bool | None) -> None:
        """Hold a figure against an aim; a figure of None means that it was not measured here."""
        self.verdicts.append(Verdict(scenario, aim, figure or "not measured", met if figure else None))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "host": self.host,
            "series": [asdict(one) for one in self.series],
            "absences": [asdict(one) for one in self.absences],
            "verdicts": [asdict(one) for one in self.verdicts],
        }


@frozen
class Attempt:
    """A block whose failure is a line in the report: whatever a contender does, the others go on."""

    report: Report
    scenario: str
    contender: str

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        told = str(error) if isinstance(error, Unable) else f"{type(error).__name__}: {error}"
        self.report.absent(self.scenario, self.contender, told)
        return True
