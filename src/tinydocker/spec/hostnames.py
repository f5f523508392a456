"""Read host names and addresses: the container's own name, its resolvers, its extra hosts."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidSpec
from .pairs import Pairs
from .parse import ALPHANUMERIC, parse_items, parse_text

# Source: sethostname(2), __NEW_UTS_LEN.
HOSTNAME_MAX = 64
_ACCEPTED = f"a host name of letters, digits, '-', '_' and '.', at most {HOSTNAME_MAX} characters"
_ADDRESS_ACCEPTED = "an IPv4 or IPv6 address"
_HOSTS_ACCEPTED = "a mapping of host names to addresses, or a list of 'name:address'"
_LABEL_CHARACTERS = ALPHANUMERIC | frozenset("-_")


def parse_hostname(option: str, value: object) -> str:
    """Return a host name, with or without a domain."""
    text = parse_text(option, value, _ACCEPTED)
    if not _is_host(text, HOSTNAME_MAX):
        raise InvalidSpec(option, value, _ACCEPTED)
    return text


def _is_host(text: str, longest: int) -> bool:
    labels = text.split(".")
    return len(text) <= longest and all(
        0 < len(label) <= 63 and label[0] in ALPHANUMERIC and label[-1] != "-" and _LABEL_CHARACTERS.issuperset(label)
        for label in labels
    )


def parse_address(option: str, value: object) -> str:
    """Return an address in its canonical form."""
    import socket  # only containers with addresses need it

    text = parse_text(option, value, _ADDRESS_ACCEPTED)
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        raise InvalidSpec(option, value, _ADDRESS_ACCEPTED) from None


def parse_dns(option: str, value: object) -> tuple[str, ...]:
    """Return the addresses of resolvers, in order, each once."""
    if isinstance(value, Mapping):
        raise InvalidSpec(option, value, "a list of IPv4 or IPv6 addresses")
    items = parse_items(option, value, "a list of IPv4 or IPv6 addresses")
    return tuple(dict.fromkeys(parse_address(option, item) for item in items))


def parse_extra_hosts(option: str, value: object) -> Pairs:
    """Return pairs of host name and address, in order; one name may have several addresses."""
    if isinstance(value, Mapping):
        items = list(value.items())
    else:
        items = [_split(option, item) for item in parse_items(option, value, _HOSTS_ACCEPTED)]
    found = []
    for name, address in items:
        if not _is_host(parse_text(option, name, _HOSTS_ACCEPTED), 253):
            raise InvalidSpec(option, name, _HOSTS_ACCEPTED)
        found.append((str(name), parse_address(option, address)))
    return tuple(dict.fromkeys(found))


def _split(option: str, item: object) -> tuple[object, object]:
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    name, colon, address = parse_text(option, item, _HOSTS_ACCEPTED).partition(":")
    if not colon:
        raise InvalidSpec(option, item, _HOSTS_ACCEPTED)
    return name, address
