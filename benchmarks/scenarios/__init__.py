"""What is measured: every module here is one scenario.

A scenario has ``NAME`` (for ``--only``), ``TITLE`` and ``ABOUT`` (for the table), ``ORDER``,
``measure(bench, field)``, which adds series to the report, and ``judge(report)``, which holds them
against the aims.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast

from benchmarks.harness import Bench
from benchmarks.peers import Field, Peer
from benchmarks.report import Report


class Scenario(Protocol):
    """The shape of a scenario's module."""

    NAME: str
    TITLE: str
    ABOUT: str
    ORDER: int

    def measure(self, bench: Bench, field: Field) -> None:
        """Take the samples."""

    def judge(self, report: Report) -> None:
        """Hold what was measured against the aims."""


def all_scenarios() -> list[Scenario]:
    """Return every scenario, in order."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return sorted((cast(Scenario, module) for module in modules), key=lambda one: one.ORDER)


def runners(bench: Bench, field: Field, scenario: str) -> list[Peer]:
    """Return the peers that can run a container here; the others are noted as absent."""
    able = []
    for peer in field:
        with bench.report.attempt(scenario, peer.name):
            peer.run()
            able.append(peer)
    return able
