"""Every option is also a method that returns a changed copy."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import pytest

from tinydocker.errors import InvalidSpec, NotSupported
from tinydocker.spec.container import ContainerSpec
from tinydocker.spec.fluent import Fluent
from tinydocker.spec.mounts import VolumeMount
from tinydocker.spec.options import OPTION_NAMES

SINGULAR = {
    "aliases": "alias",
    "devices": "device",
    "extra_hosts": "extra_host",
    "labels": "label",
    "ports": "port",
    "sysctls": "sysctl",
    "ulimits": "ulimit",
    "volumes": "volume",
}
LATER_CALLS: dict[str, tuple[Any, ...]] = {
    "memory": ("64m",), "memory_swap": ("64m",), "memory_high": ("64m",), "cpus": (0.5,), "cpu_shares": (512,),
    "cpuset": ("0",), "pids": (64,), "cgroup": (object(),), "device": ("/dev/fuse",), "alias": ("www",),
    "ip": ("10.0.0.5",),
    "port": (80, 8080), "restart": ("always",), "healthcheck": (object(),), "seccomp": ("default",),
    "userns": ("auto",),
    "privileged": (), "network": ("lab",),
}  # fmt: skip
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "command": (("echo hi",), {"command": "echo hi"}),
    "entrypoint": (([],), {"entrypoint": []}),
    "name": (("web",), {"name": "web"}),
    "env": (({"A": "1"},), {"env": {"A": "1"}}),
    "workdir": (("/srv",), {"workdir": "/srv"}),
    "user": (("nobody",), {"user": "nobody"}),
    "hostname": (("web",), {"hostname": "web"}),
    "label": ((["job=7"],), {"labels": {"job": "7"}}),
    "shm_size": (("1m",), {"shm_size": "1m"}),
    "ulimit": (("nofile", 5, 6), {"ulimits": {"nofile": (5, 6)}}),
    "umask": ((0o77,), {"umask": 0o77}),
    "oom_score_adj": ((5,), {"oom_score_adj": 5}),
    "volume": (("/srv", "/data", True), {"volumes": {"/srv": ("/data", "ro")}}),
    "tmpfs": (("/tmp", "size=1m"), {"tmpfs": {"/tmp": "size=1m"}}),
    "read_only": ((), {"read_only": True}),
    "network": (("host",), {"network": "host"}),
    "dns": (("10.0.0.1",), {"dns": ["10.0.0.1"]}),
    "extra_host": (("db", "10.0.0.1"), {"extra_hosts": {"db": "10.0.0.1"}}),
    "cap_add": (("NET_RAW",), {"cap_add": ["NET_RAW"]}),
    "cap_drop": (("ALL",), {"cap_drop": ["ALL"]}),
    "no_new_privileges": ((False,), {"no_new_privileges": False}),
    "sysctl": (("kernel.msgmax", 1), {"sysctls": {"kernel.msgmax": "1"}}),
    "init": ((), {"init": True}),
    "tty": ((), {"tty": True}),
    "stdin": ((), {"stdin": True}),
    "stop_signal": (("INT",), {"stop_signal": 2}),
    "stop_timeout": ((1,), {"stop_timeout": 1}),
    "detach": ((), {"detach": True}),
    "auto_remove": ((False,), {"auto_remove": False}),
    "replace": ((), {"replace": True}),
    "log": (({"max_files": 1},), {"log": {"max_files": 1}}),
}


@attrs.define(eq=False)
class Sentence(Fluent):
    _spec: ContainerSpec = attrs.Factory(ContainerSpec)

    def _with(self, **options: Any) -> Sentence:
        return Sentence(self._spec.with_options(**options))

    @property
    def spec(self) -> ContainerSpec:
        return self._spec


def methods() -> dict[str, Any]:
    return {name[len("with_") :]: m for name, m in vars(Fluent).items() if name.startswith("with_")}


def test_every_option_has_a_twin_and_every_twin_an_option() -> None:
    assert set(methods()) == {SINGULAR.get(option, option) for option in OPTION_NAMES}


def test_every_twin_has_a_docstring_of_one_line_and_typed_arguments() -> None:
    for name, method in methods().items():
        assert method.__doc__, name
        assert "\n" not in method.__doc__, name
        assert all(p.annotation is not p.empty for p in inspect.signature(method).parameters.values()), name


def test_the_calls_below_cover_every_twin() -> None:
    assert set(CALLS) | set(LATER_CALLS) == set(methods())


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_twin_does_what_the_option_does_and_leaves_the_original_alone(name: str) -> None:
    arguments, options = CALLS[name]
    before = Sentence()
    after = getattr(before, f"with_{name}")(*arguments)
    assert after.spec == ContainerSpec.from_options(**options) != before.spec
    assert before.spec == ContainerSpec()


@pytest.mark.parametrize("name", sorted(LATER_CALLS))
def test_a_twin_of_a_later_version_says_so(name: str) -> None:
    with pytest.raises(NotSupported, match="not in this version"):
        getattr(Sentence(), f"with_{name}")(*LATER_CALLS[name])


def test_variables_and_labels_add_to_what_is_there() -> None:
    found = Sentence().with_env(A="1", B="1").with_env({"B": "2"}, C="3").with_env(["D=4=5"])
    assert found.spec.env_dict == {"A": "1", "B": "2", "C": "3", "D": "4=5"}
    assert Sentence().with_label(a="1").with_label({"b.c": "2"}).spec.labels_dict == {"a": "1", "b.c": "2"}


def test_mounts_add_up_and_one_source_may_have_several_targets() -> None:
    found = (
        Sentence().with_volume("/srv", "/a").with_volume("/srv", "/b", read_only=True).with_tmpfs("/t").with_tmpfs("/u")
    )
    assert found.spec.volumes == (VolumeMount("/srv", "/a"), VolumeMount("/srv", "/b", True))
    assert [mount.target for mount in found.spec.tmpfs] == ["/t", "/u"]
    with pytest.raises(InvalidSpec):
        found.with_volume("/etc", "/a")
    with pytest.raises(InvalidSpec):
        found.with_volume("/etc", "/t")


def test_limits_settings_hosts_resolvers_and_capabilities_add_up() -> None:
    found = (
        Sentence()
        .with_ulimit("nofile", 1).with_ulimit("core", "unlimited").with_ulimit("nofile", 2, 3)
        .with_sysctl("kernel.msgmax", 1).with_sysctl("kernel.sem", "1 2 3 4")
        .with_extra_host("db", "10.0.0.1").with_extra_host("db", "10.0.0.2")
        .with_dns("10.0.0.1").with_dns("10.0.0.2", "10.0.0.1")
        .with_cap_drop("ALL").with_cap_add("CHOWN").with_cap_add("KILL")
    ).spec  # fmt: skip
    assert [(u.name, u.soft, u.hard) for u in found.ulimits] == [("nofile", 2, 3), ("core", -1, -1)]
    assert found.sysctls_dict == {"kernel.msgmax": "1", "kernel.sem": "1 2 3 4"}
    assert found.extra_hosts == (("db", "10.0.0.1"), ("db", "10.0.0.2"))
    assert found.dns == ("10.0.0.1", "10.0.0.2")
    assert (found.cap_add, found.cap_drop) == (("CAP_CHOWN", "CAP_KILL"), ("ALL",))


def test_a_sentence_can_be_shared_and_varied() -> None:
    base = Sentence().with_command("sleep 1").with_env(A="1")
    one, two = base.with_name("one"), base.with_name("two").with_command(None)
    assert (one.spec.name, two.spec.name, base.spec.name) == ("one", "two", None)
    assert (one.spec.command, two.spec.command) == (("sleep", "1"), None)
