"""The texts of /etc/hostname, /etc/hosts and /etc/resolv.conf inside a container.

Source: hosts(5), resolv.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterable

FALLBACK_RESOLVERS = ("8.8.8.8", "8.8.4.4")
_HOSTS = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
# Address of one's own name where there is no other, as Debian writes it.
_OWN_ADDRESS = "127.0.1.1"
_OTHER_LINES = ("search", "domain", "options", "sortlist")


def hostname_text(hostname: str) -> str:
    """Return the text of /etc/hostname."""
    return f"{hostname}\n"


def hosts_text(hostname: str, address: str | None = None, extra_hosts: Iterable[tuple[str, str]] = ()) -> str:
    """Return the text of /etc/hosts.

    ``address`` is the container's own, None where it has none but the loopback; ``extra_hosts`` are
    pairs of name and address.
    """
    short, dot, _ = hostname.partition(".")
    own = f"{hostname} {short}" if dot else hostname
    lines = [*_HOSTS, *((where, name) for name, where in extra_hosts), (address or _OWN_ADDRESS, own)]
    return "".join(f"{where}\t{names}\n" for where, names in lines)


def resolv_conf_text(dns: Iterable[str], host_text: str = "", *, own_network: bool = True) -> str:
    """Return the text of /etc/resolv.conf.

    ``dns`` are the resolvers to use; without any they are the host's, out of ``host_text``, the text
    of its file. A resolver on the host's loopback or on one of its links cannot be reached from a
    network of one's own and is left out there; public ones take the place of none at all. Search
    domains and options are the host's.
    """
    found, others = [], []
    for line in host_text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            if not own_network or _is_reachable(words[1]):
                found.append(words[1])
        elif words and words[0] in _OTHER_LINES:
            others.append(" ".join(words))
    resolvers = tuple(dns) or tuple(found) or FALLBACK_RESOLVERS
    return "".join(f"{line}\n" for line in (*(f"nameserver {address}" for address in resolvers), *others))


def _is_reachable(address: str) -> bool:
    lowered = address.lower()
    loopback = lowered.startswith(("127.", "::ffff:127.")) or lowered in ("::1", "0.0.0.0", "::")
    return not loopback and "%" not in lowered
