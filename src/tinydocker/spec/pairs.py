"""Read environment variables and labels: mappings that become tuples of pairs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import InvalidSpec
from .parse import parse_items, parse_text

Pairs = tuple[tuple[str, str], ...]

_ENV_ACCEPTED = "a mapping of names to texts, or a list of 'NAME=value'; a name is not empty and has no '=' or NUL"
_LABELS_ACCEPTED = "a mapping of names to texts, or a list of 'name=value' or 'name'; a name is not empty"


def parse_env(option: str, value: object) -> Pairs:
    """Return environment variables; of several with one name the last counts."""
    return _pairs(option, value, _ENV_ACCEPTED, bare=False)


def parse_labels(option: str, value: object) -> Pairs:
    """Return labels; one without a value has the empty one."""
    return _pairs(option, value, _LABELS_ACCEPTED, bare=True)


def _pairs(option: str, value: object, accepted: str, bare: bool) -> Pairs:
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        items = list(value.items())
    else:
        items = [_split(option, item, accepted, bare) for item in parse_items(option, value, accepted)]
    for name, text in items:
        key = parse_text(option, name, accepted)
        if not key or "=" in key:
            raise InvalidSpec(option, name, accepted)
        found[key] = parse_text(option, os.fsdecode(text) if isinstance(text, os.PathLike) else text, accepted)
    return tuple(found.items())


def _split(option: str, item: object, accepted: str, bare: bool) -> tuple[str, str]:
    name, equals, text = parse_text(option, item, accepted).partition("=")
    if not equals and not bare:
        raise InvalidSpec(option, item, accepted)
    return name, text
