"""The report as a page of Markdown: the aims first, then a table for each scenario."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.figures import Series, ratio
from benchmarks.report import Report
from benchmarks.scenarios import Scenario

REFERENCE = "tinydocker"
MET = {True: "met", False: "**not met**", None: "–"}


def _number(value: float, unit: str) -> str:
    if unit == "1/s":
        return f"{value:.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3f}"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield _row(row)
    yield ""


def _head(report: Report) -> Iterator[str]:
    host = report.host
    yield "# Benchmarks"
    yield ""
    yield (
        f"Taken {host['date']} on {host['cores']} cores of {host['cpu']}, {host['memory_bytes'] / 2**30:.0f} GB, "
        f"Linux {host['kernel']}, {host['distribution']}, cgroup {host['cgroups']}, Python {host['python']}; "
        f"all roots on {host['roots']}; load {host['load_at_start']:.2f} at the start."
    )
    yield ""
    notes = {one.contender: f": {one.note}" for one in report.series if one.note}
    for name, version in host["versions"].items():
        yield f"- {name} {version}{notes.get(name, '')}."
    yield ""


def _aims(report: Report) -> Iterator[str]:
    yield "## Aims"
    yield ""
    rows = [(one.aim, one.figure, MET[one.met]) for one in report.verdicts]
    yield from _table(("aim", "measured", ""), rows)


def _groups(series: Iterable[Series]) -> dict[tuple[str, str, str], list[Series]]:
    groups: dict[tuple[str, str, str], list[Series]] = {}
    for one in series:
        groups.setdefault((one.case, one.pace, one.unit), []).append(one)
    return groups


def _measured(group: Sequence[Series]) -> Iterator[Sequence[str]]:
    case, pace, unit = group[0].case, group[0].pace, group[0].unit
    first = next((one for one in group if one.contender == REFERENCE), group[0])
    for one in group:
        value = ratio(one, first) if one is not first else 1.0
        figures = (_number(figure, unit) for figure in (one.median, one.p95, one.best))
        times = "" if value is None else f"{value:.2f}"
        yield (case, pace, one.contender, *figures, unit, times, str(len(one.values)))


def _section(report: Report, scenario: Scenario) -> Iterator[str]:
    series = [one for one in report.series if one.scenario == scenario.NAME]
    absences = [one for one in report.absences if one.scenario == scenario.NAME]
    if not series and not absences:
        return
    yield f"## {scenario.TITLE}"
    yield ""
    yield scenario.ABOUT
    yield ""
    if series:
        rows = [row for group in _groups(series).values() for row in _measured(group)]
        head = ("case", "how", "contender", "median", "p95", "best", "unit", "ratio to the first", "samples")
        yield from _table(head, rows)
    notes = {one.contender: one.note for one in series if one.note and one.contender not in report.host["versions"]}
    for name, note in notes.items():
        yield f"- {name}: {note}."
    for absence in absences:
        yield f"- not measured: {absence.contender}: {absence.reason}."
    yield ""


def markdown(report: Report, scenarios: Iterable[Scenario]) -> str:
    """Return the page."""
    lines = [*_head(report), *_aims(report)]
    for scenario in scenarios:
        lines += _section(report, scenario)
    absences = [one for one in report.absences if not one.scenario]
    if absences:
        lines += ["## Not able to run here", ""]
        lines += _table(("contender", "reason"), [(one.contender, one.reason) for one in absences])
    return "\n".join(lines).rstrip() + "\n"
