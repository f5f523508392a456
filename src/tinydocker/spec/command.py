"""Read a command, an entrypoint and a working directory."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Set

from ..errors import InvalidSpec
from .parse import parse_items, parse_path_text, parse_text

_ACCEPTED = "a command: text that is split as a shell would, or a list of texts and paths, without NUL, not empty"
_WORKDIR_ACCEPTED = "an absolute path inside the container, without '..'"


def parse_command(option: str, value: object) -> tuple[str, ...]:
    """Return the command as its arguments; text is split as a shell would, and never run by one."""
    arguments = _arguments(option, value)
    if not arguments or not arguments[0]:
        raise InvalidSpec(option, value, _ACCEPTED)
    return arguments


def parse_entrypoint(option: str, value: object) -> tuple[str, ...]:
    """Return the entrypoint as its arguments; an empty one clears the image's."""
    arguments = _arguments(option, value)
    if arguments == ("",):
        return ()
    if arguments and not arguments[0]:
        raise InvalidSpec(option, value, _ACCEPTED)
    return arguments


def _arguments(option: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        import shlex

        text = parse_text(option, value, _ACCEPTED)
        try:
            return tuple(shlex.split(text))
        except ValueError as err:
            raise InvalidSpec(option, value, f"{_ACCEPTED} ({err})") from None
    if isinstance(value, (Mapping, Set)):
        raise InvalidSpec(option, value, _ACCEPTED)
    return tuple(_argument(option, item) for item in parse_items(option, value, _ACCEPTED))


def _argument(option: str, item: object) -> str:
    return parse_text(option, os.fsdecode(item) if isinstance(item, os.PathLike) else item, _ACCEPTED)


def parse_workdir(option: str, value: object) -> str:
    """Return an absolute, lexically clean path inside the container."""
    text = parse_path_text(option, value, _WORKDIR_ACCEPTED)
    if text[0] != "/" or ".." in text.split("/"):
        raise InvalidSpec(option, value, _WORKDIR_ACCEPTED)
    return clean_path(text)


def clean_path(text: str) -> str:
    """Return an absolute path without doubled slashes, ``.`` and a trailing slash."""
    return posixpath.normpath("/" + text.lstrip("/"))
