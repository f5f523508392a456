"""A container that was not entered is a value: copied, shared, varied and pickled without I/O."""

from __future__ import annotations

import inspect
import os
import pickle

import pytest

import tinydocker as td
from tinydocker.spec.options import OPTION_NAMES

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

VALUES = {
    "env": {"A": "1"}, "workdir": "/tmp", "user": "app", "hostname": "h", "labels": {"a": "b"}, "shm_size": "1m",
    "ulimits": {"nofile": 64}, "umask": 0o027, "oom_score_adj": 5, "volumes": {"/tmp": "/x"}, "tmpfs": {"/t": ""},
    "read_only": True, "network": "host", "dns": ["1.1.1.1"], "extra_hosts": {"a": "1.2.3.4"}, "cap_add": ["NET_RAW"],
    "cap_drop": ["CHOWN"], "no_new_privileges": False, "sysctls": {"kernel.msgmax": "1"}, "init": True, "tty": True,
    "stdin": True, "entrypoint": ["e"], "stop_signal": "USR1", "stop_timeout": 1, "detach": True, "auto_remove": False,
    "replace": True, "name": "n", "command": ["c"], "log": td.LogConfig(max_size="1m"),
}  # fmt: skip
ARGUMENTS = {
    "env": ({"A": "1"},), "labels": ({"a": "b"},), "ulimits": ("nofile", 64), "volumes": ("/tmp", "/x"), "tmpfs": ("/t",),
    "dns": ("1.1.1.1",), "extra_hosts": ("a", "1.2.3.4"), "cap_add": ("NET_RAW",), "cap_drop": ("CHOWN",),
    "sysctls": ("kernel.msgmax", "1"),
}  # fmt: skip
TWINS = {
    "labels": "label", "ulimits": "ulimit", "volumes": "volume", "extra_hosts": "extra_host", "sysctls": "sysctl",
    "devices": "device", "aliases": "alias", "ports": "port",
}  # fmt: skip


@pytest.mark.parametrize("option", sorted(VALUES))
def test_each_option_and_its_twin_make_the_same_value(option):
    base = td.Container("image")
    twin = getattr(base, f"with_{TWINS.get(option, option)}")
    changed = twin(*ARGUMENTS.get(option, (VALUES[option],)))
    assert changed is not base
    assert changed.spec == td.Container("image", **{option: VALUES[option]}).spec != base.spec
    assert base.spec == td.Container("image").spec, "the original stays as it was"


def test_every_option_has_a_twin():
    names = {name for name, _ in inspect.getmembers(td.Container, inspect.isfunction)}
    missing = {option for option in OPTION_NAMES if f"with_{TWINS.get(option, option)}" not in names}
    assert missing == set()


def test_a_base_is_shared_and_varied(engine, busybox_dir):
    base = engine.container(busybox_dir).with_env(A="1").with_network("none").with_workdir("/tmp")
    say = base.with_command(["sh", "-c", "echo $A $B; pwd"])
    with say.with_name("one") as one, say.with_env(B="2").with_name("two") as two:
        assert (one.wait(), two.wait()) == (0, 0)
        assert (one.logs(), two.logs()) == ("1\n/tmp\n", "1 2\n/tmp\n")
    with say.with_name("one") as again:
        assert again.wait() == 0


def test_a_running_containers_copy_is_a_value_again(engine, busybox_dir):
    with engine.container(busybox_dir, ["sleep", "1000"], name="web") as web:
        copy = web.with_name("copy").with_command(["true"])
        assert copy.status == "defined"
        with copy as started:
            assert started.wait() == 0 and started.id != web.id


def test_a_value_is_pickled_with_its_engine_and_runs_where_it_lands(engine, busybox_dir):
    value = engine.container(
        busybox_dir, ["echo", "hi"], env={"A": "1"}, labels={"job": "7"}, log=td.LogConfig(max_size="1m")
    )
    copy = pickle.loads(pickle.dumps(value))
    assert copy.spec == value.spec
    with copy as container:
        assert container.wait() == 0 and container.logs() == "hi\n"
        assert engine.get(container.id).labels == {"job": "7"}
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(container)
    copy._engine.close()


def test_images_workspaces_engines_and_specs_are_pickled_until_they_are_entered(engine, busybox_dir):
    for value in (td.Image(busybox_dir), td.Image.host(), td.Image.scratch(), td.Image.reference("x")):
        assert repr(pickle.loads(pickle.dumps(value))) == repr(value)
    assert repr(pickle.loads(pickle.dumps(engine))) == repr(engine)
    workspace = engine.workspace(busybox_dir)
    assert repr(pickle.loads(pickle.dumps(workspace))) == repr(workspace)
    for value in (workspace, engine.image(busybox_dir)):
        with value, pytest.raises(TypeError):
            pickle.dumps(value)


def test_making_values_does_no_io(roots):
    td.Container("no/such/image.tar", ["x"], volumes={"/no/such/place": "/x"}, name="n").with_env(A="1")
    td.Image("no/such/image.tar")
    td.Workspace("no/such/image.tar", size="1m")
    td.Engine()
    assert os.listdir(roots.root) == []
