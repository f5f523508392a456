"""Read who a command runs as.

A mistake here would mean root, so nothing is repaired: ``-1`` and ``4294967295`` (which
setresuid(2) takes for "leave it"), an empty half, hexadecimal, leading zeros and a number with
letters behind it are all refused.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from .parse import ALPHANUMERIC, NAME_CHARACTERS, parse_text

ID_MAX = 0xFFFFFFFE
_ACCEPTED = (
    "'name', 'name:group', 'uid' or 'uid:gid': a name begins with a letter or '_', "
    f"a number is decimal without leading zeros, at most {ID_MAX}"
)
_NAME_MAX = 255
_NAME_START = ALPHANUMERIC - frozenset("0123456789") | {"_"}


def parse_user(option: str, value: object) -> str:
    """Return ``user[:group]``, each a name or a decimal number; a whole number stands for a uid."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = parse_text(option, value, _ACCEPTED)
    halves = text.split(":")
    if len(halves) > 2 or not all(_is_number(half) or _is_account_name(half) for half in halves):
        raise InvalidSpec(option, value, _ACCEPTED)
    return text


def numeric_ids(user: str) -> tuple[int | None, int | None]:
    """Return the uid and gid in ``user`` (as `parse_user` gave it), None for what must be looked up."""
    name, _, group = user.partition(":")
    return (int(name) if _is_number(name) else None, int(group) if _is_number(group) else None)


def _is_number(text: str) -> bool:
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return False
    return (text == "0" or text[0] != "0") and int(text) <= ID_MAX


def _is_account_name(text: str) -> bool:
    if not 0 < len(text) <= _NAME_MAX or text[0] not in _NAME_START:
        return False
    # Machine accounts of a Windows domain end with a dollar sign.
    return NAME_CHARACTERS.issuperset(text[:-1] if text[-1] == "$" else text)
