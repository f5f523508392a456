"""Read kernel settings that a container has for itself.

Only settings that belong to a namespace are accepted: any other would change the host.
Source: Documentation/admin-guide/sysctl, namespaces(7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import InvalidSpec
from .pairs import Pairs
from .parse import parse_items, parse_text

NETWORK_PREFIX = "net."
_OWN = r"net(?:\.[A-Za-z0-9_-]+)+|fs\.mqueue\.[a-z0-9_]+|kernel\.(?:sem|msg[a-z0-9_]*|shm[a-z0-9_]*)"
_ACCEPTED = "settings of a namespace to texts or numbers: net.*, kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*"


def parse_sysctls(option: str, value: object) -> Pairs:
    """Return settings and their values; a list of ``name=value`` is read too."""
    if isinstance(value, Mapping):
        items = list(value.items())
    else:
        items = [_split(option, item) for item in parse_items(option, value, _ACCEPTED)]
    found: dict[str, str] = {}
    for name, setting in items:
        key = parse_text(option, name, _ACCEPTED)
        if key in ("kernel.hostname", "kernel.domainname"):
            raise InvalidSpec(option, key, f"{_ACCEPTED}; the option hostname names the container")
        if not re.fullmatch(_OWN, key):
            raise InvalidSpec(option, key, _ACCEPTED)
        if isinstance(setting, int) and not isinstance(setting, bool):
            setting = str(setting)
        text = parse_text(option, setting, _ACCEPTED)
        if not text.strip() or "\n" in text:
            raise InvalidSpec(option, {key: setting}, _ACCEPTED)
        found[key] = text
    return tuple(found.items())


def _split(option: str, item: object) -> tuple[str, str]:
    name, equals, setting = parse_text(option, item, _ACCEPTED).partition("=")
    if not equals:
        raise InvalidSpec(option, item, _ACCEPTED)
    return name, setting
