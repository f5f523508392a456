"""Read command lines: options as Docker writes them, from one table for each subcommand.

``-it`` is ``-i -t``; ``-nNAME``, ``-n NAME``, ``-n=NAME``, ``--name NAME`` and ``--name=NAME`` are
the same; ``--flag=false`` takes a flag back; ``--`` ends the options. A subcommand that starts
another program stops at its first argument that is no option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import TinydockerError

if TYPE_CHECKING:
    from .session import Session

_YES_AND_NO = {"true": True, "1": True, "false": False, "0": False}
_HELP_COLUMN = 30


class UsageError(TinydockerError):
    """The command line cannot be understood; ``command`` is the subcommand whose help explains it."""

    command = ""


class Option:
    """One option: its spellings, the name of its value (none for a flag) and a line of help."""

    __slots__ = ("help", "is_many", "key", "metavar", "names")

    def __init__(self, names: str, help: str, metavar: str = "", *, many: bool = False, key: str = "") -> None:
        """``names`` are the spellings, ``many`` says that each occurrence adds a value; the longest name is the key."""
        self.names = names.split()
        self.metavar = metavar
        self.help = help
        self.is_many = many
        self.key = key or max(self.names, key=len).lstrip("-").replace("-", "_")


class Command:
    """A subcommand: what it takes and what carries it out."""

    __slots__ = ("action", "arguments", "least", "most", "notes", "options", "stops_at_first")

    def __init__(
        self,
        arguments: str,
        action: Callable[[Session], int],
        options: Sequence[Option] = (),
        *,
        least: int = 0,
        most: int | None = None,
        stops_at_first: bool = False,
        notes: str = "",
    ) -> None:
        """``arguments`` is how they read in the help; ``least`` and ``most`` count them, None is without end."""
        self.arguments = arguments
        self.action = action
        self.options = options
        self.least = least
        self.most = most
        self.stops_at_first = stops_at_first
        self.notes = notes

    def check(self, arguments: Sequence[str]) -> None:
        """Raise UsageError for too few arguments or too many."""
        if len(arguments) < self.least:
            raise UsageError(f"expected {self.arguments}, got {_counted(len(arguments))}")
        if self.most is not None and len(arguments) > self.most:
            raise UsageError(f"unexpected argument {arguments[self.most]!r}")


class Values:
    """What options were given, by key."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}

    def flag(self, key: str) -> bool:
        """Return whether a flag is set."""
        return bool(self._given.get(key, False))

    def text(self, key: str) -> str | None:
        """Return an option's value, the last one given, or None."""
        found = self._given.get(key)
        return None if found is None else str(found)

    def texts(self, key: str) -> list[str]:
        """Return every value of an option that may be repeated, in order."""
        return list(self._given.get(key, ()))

    def set(self, option: Option, value: str | bool) -> None:
        """Record one occurrence of an option."""
        if option.is_many:
            self._given.setdefault(option.key, []).append(value)
        else:
            self._given[option.key] = value


def parse(options: Sequence[Option], line: Sequence[str], *, stops_at_first: bool = False) -> tuple[Values, list[str]]:
    """Split ``line`` into the values of ``options`` and the arguments; raise UsageError for what fits neither."""
    known = {name: option for option in options for name in option.names}
    values = Values()
    arguments: list[str] = []
    rest = iter(line)
    for word in rest:
        if word == "--":
            arguments.extend(rest)
        elif word.startswith("--"):
            _long(known, word, rest, values)
        elif word.startswith("-") and word != "-":
            _cluster(known, word, rest, values)
        else:
            arguments.append(word)
            if stops_at_first:
                arguments.extend(rest)
    return values, arguments


def _long(known: dict[str, Option], word: str, rest: Iterator[str], values: Values) -> None:
    name, equals, value = word.partition("=")
    option = known.get(name)
    if option is None:
        raise UsageError(f"unknown option {name}")
    if option.metavar:
        values.set(option, value if equals else _next(rest, name, option))
        return
    if equals and value not in _YES_AND_NO:
        raise UsageError(f"{name} is true or false, not {value!r}")
    values.set(option, _YES_AND_NO[value] if equals else True)


def _cluster(known: dict[str, Option], word: str, rest: Iterator[str], values: Values) -> None:
    letters = word[1:]
    for at, letter in enumerate(letters, 1):
        option = known.get(f"-{letter}")
        if option is None:
            raise UsageError(f"unknown option -{letter}" + (f" in {word}" if len(letters) > 1 else ""))
        if option.metavar:
            attached = letters[at:].removeprefix("=")
            values.set(option, attached if letters[at:] else _next(rest, f"-{letter}", option))
            return
        values.set(option, True)


def _next(rest: Iterator[str], name: str, option: Option) -> str:
    for value in rest:
        return value
    raise UsageError(f"{name} needs a value: {name} {option.metavar}")


def option_lines(options: Sequence[Option]) -> list[str]:
    """Return the options as lines of a help text."""
    lines = []
    for option in options:
        spelled = "  " + ", ".join(option.names) + (f" {option.metavar}" if option.metavar else "")
        if len(spelled) > _HELP_COLUMN - 2:
            lines.append(spelled)
            spelled = ""
        lines.append(f"{spelled:<{_HELP_COLUMN}}{option.help}")
    return lines


def _counted(number: int) -> str:
    return "nothing" if number == 0 else "one argument" if number == 1 else f"{number} arguments"
