"""How much of a container's output is kept."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..errors import InvalidSpec
from .parse import parse_int, parse_size

_ACCEPTED = "a LogConfig(max_size='10m', max_files=3), or a mapping with these keys"


def _to_bytes(value: int | str) -> int:
    return parse_size("max_size", value)


def _to_count(value: int) -> int:
    return parse_int("max_files", value, 1, 1000)


@attrs.frozen
class LogConfig:
    """Keep a container's output in at most ``max_files`` files of ``max_size`` each.

    ``max_size`` is given as bytes or as text such as ``"10m"``, and held as bytes; ``max_files`` is 1 to 1000.
    """

    max_size: int = attrs.field(default=10 << 20, converter=_to_bytes)
    max_files: int = attrs.field(default=3, converter=_to_count)


def parse_log(option: str, value: object) -> LogConfig:
    """Return ``value`` as a `LogConfig`."""
    if isinstance(value, LogConfig):
        return value
    if isinstance(value, Mapping) and set(value) <= {"max_size", "max_files"}:
        return LogConfig(**value)
    raise InvalidSpec(option, value, _ACCEPTED)
