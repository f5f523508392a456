"""Resource limits, sysctls, capabilities, host names, logs."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from tinydocker.errors import InvalidSpec
from tinydocker.spec.capabilities import CAPABILITIES, parse_capabilities, resulting_capabilities
from tinydocker.spec.hostnames import parse_dns, parse_extra_hosts, parse_hostname
from tinydocker.spec.logs import LogConfig, parse_log
from tinydocker.spec.sysctls import parse_sysctls
from tinydocker.spec.ulimits import ULIMIT_NAMES, Ulimit, parse_ulimits


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"nofile": 1024}, Ulimit("nofile", 1024, 1024)),
        ({"nofile": (1024, 2048)}, Ulimit("nofile", 1024, 2048)),
        ({"nofile": "1024:2048"}, Ulimit("nofile", 1024, 2048)),
        ({"nofile": [1024, -1]}, Ulimit("nofile", 1024, -1)),
        ({"core": "unlimited"}, Ulimit("core", -1, -1)),
        ({"core": -1}, Ulimit("core", -1, -1)),
        ({"core": "0:unlimited"}, Ulimit("core", 0, -1)),
        (["nproc=64:128"], Ulimit("nproc", 64, 128)),
        ("nproc=64", Ulimit("nproc", 64, 64)),
    ],
)
def test_a_resource_limit_has_a_soft_and_a_hard_value(given: object, expected: Ulimit) -> None:
    assert parse_ulimits("ulimits", given) == (expected,)


@pytest.mark.parametrize(
    "given",
    [
        {"nofile": 2048.5}, {"nofile": "2048:1024"}, {"nofile": (-1, 5)}, {"nofile": -2}, {"nofile": ""},
        {"nofile": ":"},
        {"nofile": "1:2:3"}, {"nofile": ()}, {"nofile": 2**63}, {"nofile": None}, {"nofile": True}, {"NOFILE": 5},
        {"x": 5},
        ["nofile"], ["nofile=1", "nofile=2"], [5], 5, {5: 5}, {"nofile": "1k"},
    ],
)  # fmt: skip
def test_a_malformed_resource_limit_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="ulimits="):
        parse_ulimits("ulimits", given)


def test_every_resource_limit_can_be_set_by_the_standard_library() -> None:
    assert all(hasattr(resource, f"RLIMIT_{name.upper()}") for name in ULIMIT_NAMES)


@pytest.mark.parametrize(
    "name",
    ["net.core.somaxconn", "net.ipv4.conf.all.rp_filter", "kernel.msgmax", "kernel.sem", "kernel.shmmax",
     "kernel.shm_rmid_forced", "fs.mqueue.msg_max"],
)  # fmt: skip
def test_a_setting_of_a_namespace_is_accepted(name: str) -> None:
    assert parse_sysctls("sysctls", {name: 1024}) == ((name, "1024"),)
    assert parse_sysctls("sysctls", [f"{name}=a b"]) == ((name, "a b"),)


@pytest.mark.parametrize(
    "given",
    [
        {"kernel.core_pattern": "|/x"}, {"kernel.hostname": "x"}, {"kernel.domainname": "x"}, {"vm.swappiness": "1"},
        {"net": "1"}, {"net.": "1"}, {"net..x": "1"}, {"net/core/x": "1"}, {"net.../kernel/panic": "1"},
        {"fs.mqueue": "1"},
        {"fs.mqueue.a/b": "1"}, {"kernel.semx": "1"}, {"kernel.msgmax.x": "1"}, {"kernel.shm/../panic": "1"}, {"": "1"},
        {"net.core.x\n": "1"}, {"net.core.x": ""}, {"net.core.x": "1\n2"}, {"net.core.x": None}, {"net.core.x": True},
        {"net.core.x": 1.5}, ["net.core.x"], {5: "1"}, 5, {"network.x": "1"},
    ],
)  # fmt: skip
def test_a_setting_that_is_not_the_containers_own_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="sysctls="):
        parse_sysctls("sysctls", given)


def test_the_refusal_of_a_hostname_setting_names_the_option_for_it() -> None:
    with pytest.raises(InvalidSpec, match="option hostname"):
        parse_sysctls("sysctls", {"kernel.hostname": "x"})


def test_capabilities_are_the_kernels_and_in_its_order() -> None:
    assert len(CAPABILITIES) == 41
    assert (CAPABILITIES[0], CAPABILITIES[12], CAPABILITIES[21], CAPABILITIES[40]) == (
        "CAP_CHOWN",
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
        "CAP_CHECKPOINT_RESTORE",
    )
    last_of_this_kernel = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(CAPABILITIES) >= last_of_this_kernel + 1 or last_of_this_kernel > 40


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["CHOWN"], ("CAP_CHOWN",)),
        ("cap_chown", ("CAP_CHOWN",)),
        (["SYS_ADMIN", "CAP_CHOWN", "chown"], ("CAP_CHOWN", "CAP_SYS_ADMIN")),
        (["NET_RAW", "all"], ("ALL", "CAP_NET_RAW")),
        ((), ()),
    ],
)
def test_capabilities_are_read_with_and_without_their_prefix(given: object, expected: tuple[str, ...]) -> None:
    assert parse_capabilities("cap_add", given) == expected


@pytest.mark.parametrize(
    "given", [["FOO"], [""], "", ["CAP_"], ["CAP_ALL"], ["CAP_CAP_CHOWN"], [5], 5, {"CHOWN": 1}, [None]]
)
def test_an_unknown_capability_is_refused_with_the_list(given: object) -> None:
    with pytest.raises(InvalidSpec, match="CHECKPOINT_RESTORE"):
        parse_capabilities("cap_add", given)


def test_adding_and_dropping_change_the_default_set() -> None:
    default = ("CAP_CHOWN", "CAP_KILL")
    assert resulting_capabilities(default, (), ()) == default
    assert resulting_capabilities(default, ("CAP_NET_RAW",), ("CAP_KILL",)) == ("CAP_CHOWN", "CAP_NET_RAW")
    assert resulting_capabilities(default, ("CAP_CHOWN",), ("ALL",)) == ("CAP_CHOWN",)
    assert resulting_capabilities(default, (), ("ALL",)) == ()
    assert resulting_capabilities(default, ("ALL",), ()) == CAPABILITIES
    assert resulting_capabilities(default, ("ALL",), ("CAP_SYS_ADMIN",)) == tuple(
        name for name in CAPABILITIES if name != "CAP_SYS_ADMIN"
    )
    assert resulting_capabilities(default, ("CAP_NET_RAW",), ("CAP_NET_RAW",)) == default


@pytest.mark.parametrize("given", ["web", "web-1", "web_1", "a.example.org", "9", "a" * 63, "localhost"])
def test_a_host_name_is_kept(given: str) -> None:
    assert parse_hostname("hostname", given) == given


@pytest.mark.parametrize(
    "given", ["", "-a", "a-", "a..b", ".a", "a.", "a b", "a\n", "a/b", "ä", "a" * 64, "a." * 32 + "a", 5, None, "a\0"]
)
def test_a_malformed_host_name_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_hostname("hostname", given)


def test_resolvers_are_addresses_and_each_is_named_once() -> None:
    assert parse_dns("dns", ["10.0.0.1", "FD00::0001", "10.0.0.1"]) == ("10.0.0.1", "fd00::1")
    assert parse_dns("dns", "10.0.0.1") == ("10.0.0.1",)


@pytest.mark.parametrize(
    "given",
    [["example.org"], ["10.0.0"], ["10.0.0.256"], ["010.0.0.1"], [""], ["::g"], ["fe80::1%eth0"], ["1\n"], [5], {}, 5],
)
def test_a_resolver_that_is_not_an_address_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec, match="dns="):
        parse_dns("dns", given)


def test_extra_hosts_are_pairs_of_name_and_address() -> None:
    assert parse_extra_hosts("extra_hosts", {"db": "10.0.0.1"}) == (("db", "10.0.0.1"),)
    assert parse_extra_hosts("extra_hosts", ["db:10.0.0.1", "db:fd00::1", ("x.y", "::1")]) == (
        ("db", "10.0.0.1"),
        ("db", "fd00::1"),
        ("x.y", "::1"),
    )
    for bad in ({"db": "x"}, {"d b": "10.0.0.1"}, {"db\n1.2.3.4 evil": "10.0.0.1"}, ["db"], [":1.2.3.4"], {"db": 5}, 5):
        with pytest.raises(InvalidSpec, match="extra_hosts="):
            parse_extra_hosts("extra_hosts", bad)


def test_a_log_configuration_holds_bytes_and_a_count() -> None:
    assert LogConfig() == LogConfig(max_size="10m", max_files=3) == LogConfig(10 << 20, 3)
    assert parse_log("log", {"max_size": "1k"}) == LogConfig(1024)
    for bad in ({"size": 1}, "10m", 5):
        with pytest.raises(InvalidSpec, match="log="):
            parse_log("log", bad)
    with pytest.raises(InvalidSpec, match="max_files="):
        LogConfig(max_files=0)
    with pytest.raises(InvalidSpec, match="max_size="):
        LogConfig(max_size=os.devnull)
