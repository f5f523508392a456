"""The texts of the files under /etc that the engine provides."""

from __future__ import annotations

import pytest

from tinydocker.oci.etc_files import hostname_text, hosts_text, resolv_conf_text


def entries(text: str) -> list[list[str]]:
    assert text.endswith("\n")
    return [line.split() for line in text.splitlines()]


def test_hosts_names_the_loopback_and_the_container_itself() -> None:
    found = entries(hosts_text("web"))
    assert found[0] == ["127.0.0.1", "localhost"]
    assert ["::1", "localhost", "ip6-localhost", "ip6-loopback"] in found
    assert found[-1] == ["127.0.1.1", "web"]


def test_hosts_uses_the_address_that_the_container_has() -> None:
    found = entries(hosts_text("web.example.org", "10.77.0.5", [("db", "10.0.0.1"), ("db", "::5")]))
    assert found[-1] == ["10.77.0.5", "web.example.org", "web"]
    assert found[-3:-1] == [["10.0.0.1", "db"], ["::5", "db"]]
    assert not any(line[0] == "127.0.1.1" for line in found)


def test_hostname_is_one_line() -> None:
    assert hostname_text("web") == "web\n"


HOST = """\
# made by something
nameserver 127.0.0.53
nameserver 10.0.0.2
nameserver\tfe80::1%eth0
nameserver ::1
search example.org  lan
options edns0 trust-ad
; a comment
nameserver
garbage
"""


def test_resolvers_of_the_host_are_kept_without_those_on_its_loopback() -> None:
    assert resolv_conf_text((), HOST) == "nameserver 10.0.0.2\nsearch example.org lan\noptions edns0 trust-ad\n"


def test_in_the_hosts_network_its_loopback_can_be_reached() -> None:
    found = [line[1] for line in entries(resolv_conf_text((), HOST, own_network=False)) if line[0] == "nameserver"]
    assert found == ["127.0.0.53", "10.0.0.2", "fe80::1%eth0", "::1"]


def test_given_resolvers_take_the_place_of_the_hosts() -> None:
    assert resolv_conf_text(["10.77.0.1"], HOST).startswith("nameserver 10.77.0.1\nsearch")
    assert "10.0.0.2" not in resolv_conf_text(["10.77.0.1"], HOST)


@pytest.mark.parametrize("host_text", ["", "nameserver 127.0.0.53\n", "nameserver ::1\n", "\n\n", "nameserver 0.0.0.0"])
def test_without_any_usable_resolver_public_ones_are_named(host_text: str) -> None:
    assert resolv_conf_text((), host_text) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
