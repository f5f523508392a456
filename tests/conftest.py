"""The marks ``needs`` and ``leaves``, and the promise of TINYDOCKER_MUST_RUN.

With ``TINYDOCKER_MUST_RUN=1`` a need that is not met fails its test, unless it is listed in
``TINYDOCKER_MAY_SKIP`` (needs separated by commas, such as ``cap.sys_resource,tool crun``), and any
other skip fails the run: what was not run was not tested.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

import host

MUST_RUN = os.environ.get("TINYDOCKER_MUST_RUN", "") not in ("", "0")
MAY_SKIP = frozenset(filter(None, (word.strip() for word in os.environ.get("TINYDOCKER_MAY_SKIP", "").split(","))))
FOR_A_NEED = "needs "
unexpected_skips: list[str] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail, a test whose needs this host does not meet."""
    reasons: list[str] = []
    for mark in item.iter_markers("needs"):
        reasons.extend(host.unmet(mark.args, **mark.kwargs))
    if not reasons:
        return
    message = FOR_A_NEED + "; ".join(reasons)
    if MUST_RUN and any(reason.partition(":")[0] not in MAY_SKIP for reason in reasons):
        pytest.fail(f"{message} (TINYDOCKER_MUST_RUN is set)", pytrace=False)
    pytest.skip(message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take down every skip that no need explains."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not why.removeprefix("Skipped: ").startswith(FOR_A_NEED):
            unexpected_skips.append(f"{item.nodeid}: {why}")
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Take down a whole module that skipped itself."""
    if report.skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        unexpected_skips.append(f"{report.nodeid}: {why}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when something was skipped that had to run."""
    if MUST_RUN and unexpected_skips and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was skipped and had to run."""
    if MUST_RUN and unexpected_skips:
        terminalreporter.section("skipped without a need, and TINYDOCKER_MUST_RUN is set", red=True)
        for line in unexpected_skips:
            terminalreporter.line(line)
