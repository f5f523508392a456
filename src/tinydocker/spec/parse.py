"""Read single values: text, names, numbers, sizes, durations, signals.

Each reader takes the option's name (for the message) and the value as the user gave it, and
returns it in its base unit or raises `InvalidSpec`. Nothing is guessed: a number with trailing
letters, digits of another script or a value that wraps around is refused.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from math import isfinite

from ..errors import InvalidSpec

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALPHANUMERIC = frozenset(_LETTERS + "0123456789")
NAME_CHARACTERS = ALPHANUMERIC | frozenset("_.-")
NAME_RULE = "a name of letters, digits, '_', '.' and '-' that begins with a letter or digit, at most 128 characters"

_SIZE_ACCEPTED = "a size in bytes from 1 to 2**63-1: a whole number, or text such as 64m, 1.5g or 512mib"
_SIZE_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_DURATION_ACCEPTED = "seconds of 0 or more: a number, or text such as 10, 1.5s, 500ms or 1m30s"
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_MAX_S = 2.0**31
_SIGNAL_ACCEPTED = "a signal: its name such as TERM, SIGTERM or RTMIN+3, or its number from 1 to 64"
_SIGNAL_MAX = 64


def parse_text(option: str, value: object, accepted: str = "text without NUL bytes") -> str:
    """Return ``value`` if it is text that the kernel can be given; it may be empty."""
    if not isinstance(value, str) or "\0" in value:
        raise InvalidSpec(option, value, accepted)
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidSpec(option, value, accepted) from None
    return value


def parse_path_text(option: str, value: object, accepted: str) -> str:
    """Return the text of a path given as str, bytes or PathLike; not empty, no NUL."""
    if isinstance(value, (str, bytes, os.PathLike)):
        value = os.fsdecode(value)
    text = parse_text(option, value, accepted)
    if not text:
        raise InvalidSpec(option, value, accepted)
    return text


def parse_items(option: str, value: object, accepted: str) -> list[object]:
    """Return the items of a list; one text or path stands for a list of one."""
    if isinstance(value, (str, os.PathLike)):
        return [value]
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise InvalidSpec(option, value, accepted)
    return list(value)


def parse_bool(option: str, value: object) -> bool:
    """Return True or False; nothing else stands for them."""
    if not isinstance(value, bool):
        raise InvalidSpec(option, value, "True or False")
    return value


def parse_int(option: str, value: object, low: int, high: int) -> int:
    """Return a whole number from ``low`` to ``high``, given as a number or as decimal text."""
    number = _whole_number(value)
    if number is None or not low <= number <= high:
        raise InvalidSpec(option, value, f"a whole number from {low} to {high}")
    return number


def _whole_number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value) else None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def parse_size(option: str, value: object) -> int:
    """Return a size in bytes; units are binary multiples, as Docker reads them."""
    number = _whole_number(value)
    # Lower-casing turns letters of other scripts into ASCII (the Kelvin sign), hence the check before.
    if number is None and isinstance(value, str) and value.isascii():
        match = re.fullmatch(r"([0-9]{1,19})(?:\.([0-9]{1,19}))? ?([kmgtp]?)(?:i?b)?", value.lower())
        if match and (match[3] or not match[2]):
            whole, fraction, unit = match[1], match[2] or "", match[3]
            number = (int(whole + fraction) << _SIZE_UNITS[unit]) // 10 ** len(fraction)
    if number is None or not 0 < number < 1 << 63:
        raise InvalidSpec(option, value, _SIZE_ACCEPTED)
    return number


def parse_duration(option: str, value: object) -> float:
    """Return a duration in seconds."""
    seconds: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            seconds = float(value)
    elif isinstance(value, str):
        seconds = _duration_of_text(value)
    if seconds is None or not isfinite(seconds) or not 0 <= seconds < _DURATION_MAX_S:
        raise InvalidSpec(option, value, _DURATION_ACCEPTED)
    return seconds


def _duration_of_text(text: str) -> float | None:
    number = r"[0-9]{1,19}(?:\.[0-9]{1,19})?"
    if re.fullmatch(number, text):
        return float(text)
    if not re.fullmatch(rf"(?:{number}(?:ms|s|m|h))+", text):
        return None
    return sum(float(n) * _DURATION_UNITS[unit] for n, unit in re.findall(rf"({number})(ms|s|m|h)", text))


def parse_name(option: str, value: object) -> str:
    """Return the name of a container or volume."""
    text = parse_text(option, value, NAME_RULE)
    if not is_name(text):
        raise InvalidSpec(option, value, NAME_RULE)
    return text


def is_name(text: str) -> bool:
    """Tell whether ``text`` may name a container or volume."""
    return 0 < len(text) <= 128 and text[0] in ALPHANUMERIC and NAME_CHARACTERS.issuperset(text)


def parse_umask(option: str, value: object) -> int:
    """Return a umask; text is read as octal digits."""
    number: int | None = None
    if isinstance(value, str):
        if re.fullmatch(r"(?:0o)?[0-7]{1,4}", value):
            number = int(value, 8)
    else:
        number = _whole_number(value)
    if number is None or not 0 <= number <= 0o777:
        raise InvalidSpec(option, value, "a umask from 0 to 0o777: a number, or octal text such as '022'")
    return number


def parse_signal(option: str, value: object) -> int:
    """Return the number of a signal.

    Source: signal(7).
    """
    number = _whole_number(value)
    if number is None and isinstance(value, str) and value.isascii():
        number = _signal_named(value.upper().removeprefix("SIG"))
    if number is None or not 1 <= number <= _SIGNAL_MAX:
        raise InvalidSpec(option, value, _SIGNAL_ACCEPTED)
    return number


def _signal_named(name: str) -> int | None:
    import signal  # not needed by most containers, and it builds its enums when imported

    match = re.fullmatch(r"(RTMIN\+|RTMAX-)([0-9]{1,2})", name)
    if match:
        number = signal.SIGRTMIN + int(match[2]) if match[1] == "RTMIN+" else signal.SIGRTMAX - int(match[2])
        return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None
    found = getattr(signal, "SIG" + name, None)
    return int(found) if isinstance(found, signal.Signals) else None
