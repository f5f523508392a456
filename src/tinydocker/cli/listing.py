"""Tables, JSON, times and sizes, in the forms that people know from Docker."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidSpec
from .parser import Option

JSON = Option("--json", "print JSON instead of a table")
_GAP = 3
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# below so many seconds: the unit's length, its name, and how one of it reads
_SPANS = (
    (_MINUTE, 1, "second", ""),
    (_HOUR, _MINUTE, "minute", "About a minute"),
    (2 * _DAY, _HOUR, "hour", "About an hour"),
    (14 * _DAY, _DAY, "day", ""),
    (60 * _DAY, 7 * _DAY, "week", ""),
    (730 * _DAY, 30 * _DAY, "month", ""),
    (0, 365 * _DAY, "year", ""),
)
_UNITS = ("B", "kB", "MB", "GB", "TB")


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below their headers, each column as wide as its widest cell."""
    lines = [[_plain(cell) for cell in line] for line in (headers, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        cells = [f"{cell:<{width + _GAP}}" for cell, width in zip(line, widths, strict=True)]
        print("".join(cells).rstrip())


def _plain(cell: str) -> str:
    """Return ``cell`` without what would move the cursor or break the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cell)


def shortened(text: str, most: int) -> str:
    """Return ``text`` in at most ``most`` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def duration(seconds: float) -> str:
    """Return how long something took, in words."""
    if seconds < 1:
        return "Less than a second"
    for most, length, unit, one in _SPANS:
        if seconds < most or not most:
            number = int(seconds // length)
            return one if number == 1 and one else _counted(number, unit)
    raise AssertionError("unreachable")


def ago(moment: float | None) -> str:
    """Return how long ago ``moment`` (seconds since the epoch) was, in words."""
    return "" if moment is None else f"{duration(time.time() - moment)} ago"


def size(number: int) -> str:
    """Return a number of bytes with three digits and a decimal unit."""
    amount, unit = float(number), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g}{_UNITS[unit]}"


def moment(option: str, text: str) -> float:
    """Return a time, in seconds since the epoch: that number, a date and time, or how long ago (10m, 1h30m)."""
    import re
    from datetime import datetime

    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text):
        return float(text)
    if match := re.fullmatch(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?", text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if text:
            return time.time() - (((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    # Up to Python 3.10 fromisoformat knows neither Z nor fractions of any length.
    match = re.fullmatch(r"([^.Z]{10,19})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?", text)
    try:
        if match:
            whole = datetime.fromisoformat(match[1] + (match[3] or "").replace("Z", "+00:00"))
            return whole.timestamp() + float(match[2] or 0)
    except ValueError:
        pass
    accepted = "seconds since the epoch, a time such as 2030-01-31T12:00:00Z, or how long ago, such as 10m"
    raise InvalidSpec(option, text, accepted)


def _counted(number: int, unit: str) -> str:
    return f"1 {unit}" if number == 1 else f"{number} {unit}s"
