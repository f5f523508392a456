"""How much memory processes hold, from the kernel's own accounts of each.

Source: proc_pid_smaps_rollup, https://docs.kernel.org/filesystems/proc.html
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from attrs import frozen


@frozen
class Held:
    """Memory in bytes: PSS shares what is shared among its holders, USS counts what one alone holds."""

    pss_bytes: int = 0
    uss_bytes: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(self.pss_bytes + other.pss_bytes, self.uss_bytes + other.uss_bytes)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:  # it ended in between
        return ""


def held(pids: Iterable[int]) -> Held:
    """Return what the processes hold together."""
    total = Held()
    for pid in pids:
        figures = dict.fromkeys(("Pss", "Private_Clean", "Private_Dirty"), 0)
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            key, _, rest = line.partition(":")
            if key in figures:
                figures[key] = int(rest.split()[0]) * 1024
        total += Held(figures["Pss"], figures["Private_Clean"] + figures["Private_Dirty"])
    return total


def _parents() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _read(f"/proc/{name}/stat")):
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def engine_processes(ancestors: Iterable[int], mark: str, payload: str) -> set[int]:
    """Return the processes that an engine keeps: none of them a container's own.

    Args:
        ancestors: pids whose descendants count (they themselves do not).
        mark: text; processes with it on their command line count, wherever they come from.
        payload: a command line that marks a container's own process, which does not count.
    """
    parents = _parents()
    wanted = set(ancestors)
    found = set()
    for pid in parents:
        line = " ".join(_read(f"/proc/{pid}/cmdline").split("\0")).strip()
        chain = pid
        while chain in parents and parents[chain] not in wanted:
            chain = parents[chain]
        if (chain in parents or mark in line) and line not in ("", payload):
            found.add(pid)
    return found - wanted - {os.getpid()}
