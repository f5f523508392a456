"""The specification: defaults, options, copies, records, and checks across options."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from tinydocker.errors import InvalidSpec, NotSupported
from tinydocker.spec.container import ContainerSpec
from tinydocker.spec.later import LATER
from tinydocker.spec.logs import LogConfig
from tinydocker.spec.mounts import TmpfsMount, VolumeMount
from tinydocker.spec.options import OPTION_NAMES, OPTIONS
from tinydocker.spec.ulimits import Ulimit

EVERYTHING: dict[str, Any] = {
    "command": "sh -c 'echo up'",
    "entrypoint": ["/init", "--"],
    "name": "web",
    "env": {"A": "b=c", "EMPTY": "", "RAW": "\udcff"},
    "workdir": "/srv/",
    "user": "1000:1000",
    "hostname": "web",
    "labels": {"job": "7"},
    "shm_size": "16m",
    "ulimits": {"nofile": 1024, "core": (0, "unlimited")},
    "umask": "077",
    "oom_score_adj": -5,
    "volumes": [("/srv", "/data", "ro"), ("/srv", "/again"), "cache:/cache", (Path("rel"), "/a:b")],
    "tmpfs": {"/tmp": "size=16m,exec,uid=5", "/x:y": ""},
    "read_only": True,
    "network": "host",
    "dns": ["10.77.0.1"],
    "extra_hosts": ["db:10.0.0.1", "db:::1"],
    "cap_add": ["CHOWN"],
    "cap_drop": ["ALL"],
    "no_new_privileges": False,
    "sysctls": {"kernel.msgmax": 65536},
    "init": True,
    "tty": True,
    "stdin": True,
    "stop_signal": "INT",
    "stop_timeout": "1.5s",
    "detach": False,
    "auto_remove": False,
    "replace": True,
    "log": LogConfig("1m", 2),
}


def test_the_example_above_sets_every_option_that_this_version_has() -> None:
    assert set(EVERYTHING) == set(OPTIONS)


def test_without_options_everything_has_the_safe_default() -> None:
    spec = ContainerSpec.from_options()
    assert spec == ContainerSpec()
    assert (spec.command, spec.entrypoint, spec.user, spec.name) == (None, None, None, None)
    assert (spec.network, spec.no_new_privileges, spec.cap_add, spec.read_only) == ("none", True, (), False)
    assert (spec.shm_size_bytes, spec.umask, spec.stop_timeout_s, spec.stop_signal) == (64 << 20, 0o022, 10.0, None)
    assert (spec.detach, spec.auto_remove, spec.log) == (False, True, LogConfig("10m", 3))


def test_options_become_typed_fields_in_base_units() -> None:
    spec = ContainerSpec.from_options(**EVERYTHING)
    assert spec.command == ("sh", "-c", "echo up")
    assert spec.env_dict == {"A": "b=c", "EMPTY": "", "RAW": "\udcff"}
    assert spec.labels_dict == {"job": "7"}
    assert spec.sysctls_dict == {"kernel.msgmax": "65536"}
    assert spec.shm_size_bytes == 16 << 20
    assert spec.ulimits == (Ulimit("nofile", 1024, 1024), Ulimit("core", 0, -1))
    assert spec.volumes[2:] == (VolumeMount("cache", "/cache", named=True), VolumeMount("./rel", "/a:b"))
    assert spec.tmpfs[0] == TmpfsMount("/tmp", 16 << 20, exec=True, uid=5)
    assert (spec.workdir, spec.umask, spec.stop_signal, spec.stop_timeout_s) == ("/srv", 0o077, 2, 1.5)


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"command": None, "entrypoint": []}, {"detach": True}])
def test_a_specification_survives_json_and_pickle_unchanged(options: dict[str, Any]) -> None:
    spec = ContainerSpec.from_options(**options)
    assert ContainerSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(pickle.loads(pickle.dumps(spec))) == hash(spec)


def test_a_specification_cannot_be_changed() -> None:
    spec = ContainerSpec()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        spec.name = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "damage",
    [
        {"surprise": 1}, {"user": "-1"}, {"network": "bridge"}, {"shm_size_bytes": "x"}, {"env": [1]},
        {"read_only": "no"},
        {"volumes": [["/a", "b", "ro"]]}, {"umask": 5.5}, {"command": []}, {"log": {"size": 1}}, {"shm_size": 5},
    ],
)  # fmt: skip
def test_a_record_with_anything_unknown_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        ContainerSpec.from_dict({**ContainerSpec().to_dict(), **damage})


def test_a_record_of_an_earlier_version_has_defaults_for_what_it_lacks() -> None:
    assert ContainerSpec.from_dict({"name": "web"}) == ContainerSpec.from_options(name="web")


def test_a_copy_replaces_the_options_given_and_no_others() -> None:
    spec = ContainerSpec.from_options(name="one", env={"A": "1"}, shm_size="1m")
    copy = spec.with_options(env={"B": "2"}, shm_size=None)
    assert (copy.name, copy.env_dict, copy.shm_size_bytes) == ("one", {"B": "2"}, 64 << 20)
    assert (spec.env_dict, spec.shm_size_bytes) == ({"A": "1"}, 1 << 20)


def test_none_is_the_default_of_every_option() -> None:
    assert ContainerSpec.from_options(**dict.fromkeys(OPTION_NAMES)) == ContainerSpec()


def test_a_detached_container_stays_until_removed_unless_told_otherwise() -> None:
    assert ContainerSpec.from_options(detach=True).auto_remove is False
    assert ContainerSpec.from_options(detach=True, auto_remove=True).auto_remove is True
    assert ContainerSpec.from_options(auto_remove=False).auto_remove is False
    assert ContainerSpec().with_options(detach=True).auto_remove is False


def test_an_unknown_option_is_a_type_error_that_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'memroy'.*'memory'"):
        ContainerSpec.from_options(memroy="64m")
    with pytest.raises(TypeError, match=r"'qqqqqq'$"):
        ContainerSpec().with_options(qqqqqq=1)


WANTED_LATER: dict[str, Any] = {
    "memory": "64m", "memory_swap": "64m", "memory_high": "32m", "cpus": 0.5, "cpu_shares": 512, "cpuset": "0-1",
    "pids": 64,
    "cgroup": object(), "devices": ["/dev/fuse"], "network": "lab", "aliases": ["www"], "ip": "10.77.0.5",
    "ports": {80: 8080}, "restart": "on-failure:3", "healthcheck": object(), "seccomp": "default", "userns": "auto",
    "privileged": True,
}  # fmt: skip


@pytest.mark.parametrize("option", sorted(LATER))
def test_an_option_of_a_later_version_is_never_ignored(option: str) -> None:
    with pytest.raises(NotSupported, match=f"^{option}=.*not in this version"):
        ContainerSpec.from_options(**{option: WANTED_LATER[option]})


@pytest.mark.parametrize(
    "options",
    [
        {"memory": 0},
        {"cpus": 0},
        {"privileged": 1},
        {"privileged": 0},
        {"network": ["none"]},
        {"network": ""},
        {"network": object()},
    ],
)
def test_a_value_that_only_resembles_a_neutral_one_is_not_taken_for_it(options: dict[str, Any]) -> None:
    with pytest.raises(NotSupported):
        ContainerSpec.from_options(**options)


@pytest.mark.parametrize(("option", "neutral"), [(o, n) for o, (_, values) in sorted(LATER.items()) for n in values])
def test_a_neutral_value_asks_for_nothing(option: str, neutral: object) -> None:
    spec = ContainerSpec.from_options(**{option: neutral})
    assert spec == ContainerSpec() or spec.network == neutral


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"volumes": {"/a": "/x"}, "tmpfs": ["/x/"]}, "tmpfs"),
        ({"detach": True, "stdin": True}, "stdin"),
        ({"cap_add": ["ALL"], "cap_drop": ["ALL"]}, "cap_drop"),
        ({"network": "host", "sysctls": {"net.core.somaxconn": "1"}}, "sysctls"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        ContainerSpec.from_options(**options)
    assert caught.value.option == named
    first, *others = options
    with pytest.raises(InvalidSpec):
        ContainerSpec.from_options(**{first: options[first]}).with_options(**{o: options[o] for o in others})


def test_its_text_shows_what_differs_from_the_defaults() -> None:
    assert repr(ContainerSpec.from_options(name="web", read_only=True)) == "ContainerSpec(name='web', read_only=True)"
