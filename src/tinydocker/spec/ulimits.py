"""Read resource limits of a process.

Source: getrlimit(2).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..errors import InvalidSpec
from .parse import parse_int, parse_items, parse_text

UNLIMITED = -1
# Without locks: the kernel has ignored that one since 2.4.
ULIMIT_NAMES = (
    "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
_ACCEPTED = (
    "a mapping of limits to a number, 'unlimited', (soft, hard) or 'soft:hard', soft not above hard; limits are "
    + " ".join(ULIMIT_NAMES)
)


@attrs.frozen
class Ulimit:
    """A resource limit; `UNLIMITED` (-1) stands for none."""

    name: str
    soft: int
    hard: int


def parse_ulimits(option: str, value: object) -> tuple[Ulimit, ...]:
    """Return the limits, each name once; a list of ``name=soft:hard`` is read too."""
    if isinstance(value, Mapping):
        items = list(value.items())
    else:
        items = [_split(option, item) for item in parse_items(option, value, _ACCEPTED)]
    found: dict[str, Ulimit] = {}
    for name, limit in items:
        if name not in ULIMIT_NAMES or name in found:
            raise InvalidSpec(option, name, _ACCEPTED)
        soft, hard = _soft_and_hard(option, limit)
        if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
            raise InvalidSpec(option, {name: limit}, _ACCEPTED)
        found[name] = Ulimit(name, soft, hard)
    return tuple(found.values())


def _split(option: str, item: object) -> tuple[str, object]:
    name, equals, limit = parse_text(option, item, _ACCEPTED).partition("=")
    if not equals:
        raise InvalidSpec(option, item, _ACCEPTED)
    return name, limit


def _soft_and_hard(option: str, limit: object) -> tuple[int, int]:
    if isinstance(limit, str):
        limit = limit.split(":")
    halves = list(limit) if isinstance(limit, (tuple, list)) else [limit]
    if not 1 <= len(halves) <= 2:
        raise InvalidSpec(option, limit, _ACCEPTED)
    numbers = [UNLIMITED if half == "unlimited" else parse_int(option, half, UNLIMITED, 2**63 - 1) for half in halves]
    return numbers[0], numbers[-1]
