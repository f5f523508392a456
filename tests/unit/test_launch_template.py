"""What of a configuration is prepared ahead: the whole is neither more nor less than its two parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tinydocker.launch import template
from tinydocker.oci import translate
from tinydocker.oci.image_config import ImageConfig
from tinydocker.spec.container import ContainerSpec


def configuration(
    container_id: str = "0123456789ab", command: tuple[str, ...] = ("true",), **options: Any
) -> dict[str, Any]:
    spec = ContainerSpec.from_options(command=command, **options)
    files = {f"/etc/{name}": f"/containers/{container_id}/{name}" for name in ("hosts", "hostname", "resolv.conf")}
    volumes = {volume.target: volume.source for volume in spec.volumes}
    config = translate.translate(
        spec, ImageConfig(), container_id=container_id, rootfs="/run/rootfs", files=files, volumes=volumes, cpus=2
    )
    return config.to_dict()


def split(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    prepared, rest = template.split(config)
    return json.loads(prepared), json.loads(rest)


OPTIONS = {
    "plain": {},
    "much": {
        "volumes": {"/srv": "/data", "/tmp": ("/dev/volume", "ro")},
        "tmpfs": {"/t": "size=1m"},
        "read_only": True,
        "sysctls": {"net.core.somaxconn": "9"},
        "cap_add": ["NET_RAW"],
        "user": "app",
        "tty": True,
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_mount_and_every_part_is_in_exactly_one_half(options):
    config = configuration(**options)
    prepared, rest = split(config)
    by_place = lambda mounts: sorted(json.dumps(mount, sort_keys=True) for mount in mounts)  # noqa: E731
    assert by_place(prepared["mounts"] + rest["mounts"]) == by_place(config["mounts"])
    assert not prepared["linux"].keys() & rest["linux"].keys()
    assert {**prepared["linux"], **rest["linux"]} == config["linux"]
    assert prepared["root"] == config["root"]["path"]
    assert prepared["bounding"] == config["process"]["capabilities"]["bounding"]
    for part in ("process", "root", "hostname"):
        assert rest[part] == config[part]


@pytest.mark.parametrize("half", [0, 1])
def test_the_order_of_mounts_is_kept(half):
    config = configuration(**OPTIONS["much"])
    places = [mount["destination"] for mount in config["mounts"]]
    kept = [places.index(mount["destination"]) for mount in split(config)[half]["mounts"]]
    assert kept == sorted(kept) and kept


def test_containers_that_differ_in_what_is_their_own_share_a_template():
    one = configuration(
        "000000000001",
        ("a",),
        env={"A": "1"},
        hostname="one",
        workdir="/x",
        user="1",
        volumes={"/srv": "/s"},
        ulimits={"core": 0},
    )
    other = configuration("000000000002", ("b", "c"))
    assert template.split(one)[0] == template.split(other)[0]
    assert template.split(one)[1] != template.split(other)[1]


@pytest.mark.parametrize(
    "options", [{"sysctls": {"kernel.msgmax": "1"}}, {"network": "host"}, {"cap_drop": ["KILL"]}, {"shm_size": "1m"}]
)
def test_containers_that_differ_in_what_is_prepared_do_not(options):
    assert template.split(configuration())[0] != template.split(configuration(**options))[0]


@pytest.mark.parametrize(
    ("destination", "kind", "staged"),
    [
        ("/proc", "proc", True),
        ("/dev", "tmpfs", True),
        ("/dev/shm", "tmpfs", True),
        ("/sys/fs/cgroup", "cgroup", True),
        ("/dev/volume", "bind", False),
        ("/devices", "tmpfs", False),
        ("/process", "tmpfs", False),
        ("/etc/hosts", "bind", False),
        ("/", "tmpfs", False),
    ],
)
def test_only_file_systems_of_the_kernel_in_their_usual_places_are_prepared(destination, kind, staged):
    assert template.is_staged({"destination": destination, "type": kind}) is staged


def test_a_mount_without_a_type_is_a_bind_and_not_prepared():
    assert not template.is_staged({"destination": "/proc/x", "source": "/x"})


def test_the_configuration_itself_is_left_as_it_was():
    config = configuration(**OPTIONS["much"])
    before = json.dumps(config)
    template.split(config)
    assert json.dumps(config) == before
