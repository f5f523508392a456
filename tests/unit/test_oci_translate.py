"""The translation of a specification into a runtime configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tinydocker.errors import InvalidSpec
from tinydocker.oci.config import RLIM_INFINITY, Config, User
from tinydocker.oci.image_config import ImageConfig
from tinydocker.oci.translate import CAPABILITIES, labels, stop_signal, translate
from tinydocker.spec.container import ContainerSpec

ID = "0123456789abcdef"
PODMANS_ELEVEN = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
}  # fmt: skip


def made(
    image: ImageConfig | None = None, cpus: int = 0, files: dict[str, str] | None = None, **options: Any
) -> Config:
    options.setdefault("command", ["true"])
    spec = ContainerSpec.from_options(**options)
    volumes = {volume.target: "/resolved" + volume.target for volume in spec.volumes}
    return translate(
        spec, image or ImageConfig(), container_id=ID, rootfs="/root/fs", files=files or {}, volumes=volumes, cpus=cpus
    )


def destinations(config: Config) -> list[str]:
    return [mount.destination for mount in config.mounts]


IMAGE = ImageConfig(cmd=("image-cmd",), entrypoint=("image-entry",))


@pytest.mark.parametrize(
    ("image", "options", "args"),
    [
        (IMAGE, {}, ("image-entry", "image-cmd")),
        (IMAGE, {"command": ["mine"]}, ("image-entry", "mine")),
        (IMAGE, {"entrypoint": ["entry"]}, ("entry",)),
        (IMAGE, {"entrypoint": ["entry"], "command": ["mine"]}, ("entry", "mine")),
        (IMAGE, {"entrypoint": [], "command": ["mine"]}, ("mine",)),
        (ImageConfig(cmd=("only",)), {}, ("only",)),
        (ImageConfig(entrypoint=("only",)), {}, ("only",)),
    ],
)
def test_entrypoint_and_command_merge_as_docker_does(
    image: ImageConfig, options: dict[str, Any], args: tuple[str, ...]
) -> None:
    assert made(image, **{"command": None, **options}).process.args == args


@pytest.mark.parametrize(
    ("image", "options"), [(ImageConfig(), {}), (IMAGE, {"entrypoint": []}), (ImageConfig(cmd=("",)), {})]
)
def test_no_command_at_all_is_an_error(image: ImageConfig, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        made(image, command=None, **options)
    assert caught.value.option == "command"


def test_variables_come_from_the_image_and_the_options_over_it() -> None:
    env = dict(made(ImageConfig(env=(("A", "image"), ("B", "image"))), env={"B": "mine", "C": "mine"}).process.env)
    assert env == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": ID[:12],
        "A": "image",
        "B": "mine",
        "C": "mine",
    }


def test_path_of_the_image_replaces_the_default_and_home_is_left_to_the_launcher() -> None:
    env = dict(made(ImageConfig(env=(("PATH", "/bin"),))).process.env)
    assert env["PATH"] == "/bin"
    assert "HOME" not in env
    assert dict(made(env={"HOME": "/h"}).process.env)["HOME"] == "/h"


def test_a_terminal_brings_term() -> None:
    assert dict(made(tty=True).process.env)["TERM"] == "xterm"
    assert dict(made(tty=True, env={"TERM": "vt100"}).process.env)["TERM"] == "vt100"
    assert "TERM" not in dict(made().process.env)
    assert made(tty=True).process.terminal


def test_the_hostname_is_the_id_unless_given_with_the_hosts_network_too() -> None:
    assert made().hostname == ID[:12]
    given = made(hostname="web", network="host")
    assert (given.hostname, dict(given.process.env)["HOSTNAME"]) == ("web", "web")
    assert "uts" in [namespace.type for namespace in given.linux.namespaces]


@pytest.mark.parametrize(
    ("given", "user"),
    [
        (None, User(0, 0)),
        ("0:0", User(0, 0)),
        ("1000:50", User(1000, 50)),
        ("1000", User(1000, 0, username="1000")),
        ("nobody", User(65534, 65534, username="nobody")),
        ("nobody:5", User(65534, 5, username="nobody:5")),
        ("5:staff", User(5, 65534, username="5:staff")),
    ],
)
def test_numbers_stand_and_names_are_left_to_be_looked_up_never_as_root(given: str | None, user: User) -> None:
    assert made(user=given).process.user == user
    assert made(ImageConfig(user=given or "")).process.user == user


def test_the_user_of_the_options_goes_before_the_images_which_is_checked_too() -> None:
    assert made(ImageConfig(user="5:5"), user="6:6").process.user == User(6, 6)
    for hostile in ("-1", "4294967295", "0x0", "1:", ":1", "1000abc"):
        with pytest.raises(InvalidSpec):
            made(ImageConfig(user=hostile))


def test_capabilities_are_podmans_eleven_and_nothing_is_inheritable_or_ambient() -> None:
    caps = made().process.capabilities
    assert set(caps.bounding) == PODMANS_ELEVEN
    assert caps.bounding == caps.effective == caps.permitted
    assert (caps.inheritable, caps.ambient) == ((), ())
    assert list(caps.bounding) == sorted(caps.bounding, key=CAPABILITIES.index)


def test_capabilities_can_be_dropped_to_none_and_the_record_says_so() -> None:
    dropped = made(cap_drop=["ALL"]).to_dict()["process"]["capabilities"]
    assert dropped == {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []}
    assert made(cap_drop=["ALL"], cap_add=["CHOWN"]).process.capabilities.bounding == ("CAP_CHOWN",)


def test_namespaces_are_all_the_containers_own_but_the_hosts_network_when_asked_for() -> None:
    assert {n.type for n in made().linux.namespaces} == {"pid", "mount", "uts", "ipc", "cgroup", "network"}
    assert {n.type for n in made(network="host").linux.namespaces} == {"pid", "mount", "uts", "ipc", "cgroup"}


def test_network_settings_are_set_only_in_a_network_of_ones_own() -> None:
    assert dict(made().linux.sysctl) == {
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "0",
    }
    assert made(network="host").linux.sysctl == ()
    changed = made(sysctls={"net.ipv4.ip_unprivileged_port_start": 80, "kernel.msgmax": 5}).linux.sysctl
    assert dict(changed)["net.ipv4.ip_unprivileged_port_start"] == "80"
    assert dict(changed)["kernel.msgmax"] == "5"


def test_the_default_mounts_have_the_flags_of_the_posture() -> None:
    by_destination = {mount.destination: mount for mount in made(shm_size="16m").mounts}
    assert list(by_destination) == ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]
    assert set(by_destination["/proc"].options) == {"nosuid", "noexec", "nodev"}
    assert set(by_destination["/dev"].options) == {"nosuid", "strictatime", "mode=755", "size=65536k"}
    assert set(by_destination["/dev/pts"].options) == {
        "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
    }  # fmt: skip
    assert set(by_destination["/dev/shm"].options) == {"nosuid", "noexec", "nodev", "mode=1777", "size=16777216"}
    assert set(by_destination["/dev/mqueue"].options) == {"nosuid", "noexec", "nodev"}
    assert {"ro", "nosuid", "noexec", "nodev"} == set(by_destination["/sys"].options)
    assert by_destination["/sys/fs/cgroup"].type == "cgroup"
    assert {"ro", "nosuid", "noexec", "nodev"} == set(by_destination["/sys/fs/cgroup"].options)


def test_users_mounts_come_last_and_after_what_they_lie_in() -> None:
    config = made(
        files={"/etc/hosts": "/h"},
        volumes=["/a:/data/x/y", "/b:/data", "/c:/data/x:ro"],
        tmpfs={"/data/x/y/z": "size=1m", "/tmp": ""},
    )
    assert destinations(config)[7:] == ["/etc/hosts", "/data", "/tmp", "/data/x", "/data/x/y", "/data/x/y/z"]
    by_destination = {mount.destination: mount for mount in config.mounts}
    assert by_destination["/data"].source == "/resolved/data"
    assert by_destination["/data"].options == ("rbind", "rprivate", "rw")
    assert by_destination["/data/x"].options == ("rbind", "rprivate", "ro")
    assert "size=1048576" in by_destination["/data/x/y/z"].options
    assert (by_destination["/etc/hosts"].type, by_destination["/etc/hosts"].source) == ("bind", "/h")


@pytest.mark.parametrize(
    ("target", "gone"),
    [
        ("/dev/shm", {"/dev/shm"}),
        ("/sys", {"/sys", "/sys/fs/cgroup"}),
        ("/etc", {"/etc/hosts", "/etc/hostname"}),
        ("/etc/hosts", {"/etc/hosts"}),
        ("/etc/ho", set()),
        ("/de", set()),
    ],
)
def test_what_a_users_mount_hides_is_not_made_inside_it(target: str, gone: set[str]) -> None:
    files = {"/etc/hosts": "/h", "/etc/hostname": "/n"}
    usual = destinations(made(files=files))
    for options in ({"volumes": {"/srv": target}}, {"tmpfs": [target]}):
        found = destinations(made(files=files, **options))
        assert found == [d for d in usual if d not in gone] + [target]


def test_a_read_only_container_has_a_read_only_root_and_files() -> None:
    config = made(read_only=True, files={"/etc/hosts": "/h"})
    assert config.root.readonly
    assert config.mounts[-1].options == ("rbind", "rprivate", "ro")
    assert not made().root.readonly


def test_masked_and_read_only_paths_are_those_of_the_posture() -> None:
    linux = made(cpus=2).linux
    assert {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/sys/devices/virtual/powercap"} < set(
        linux.masked_paths
    )
    assert linux.masked_paths[-2:] == (
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/system/cpu/cpu1/thermal_throttle",
    )
    assert linux.readonly_paths == ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
    assert linux.rootfs_propagation == "private"


def test_devices_are_the_six_and_no_others() -> None:
    assert [(d.path, d.type, d.major, d.minor, d.file_mode) for d in made().linux.devices] == [
        ("/dev/null", "c", 1, 3, 0o666),
        ("/dev/zero", "c", 1, 5, 0o666),
        ("/dev/full", "c", 1, 7, 0o666),
        ("/dev/random", "c", 1, 8, 0o666),
        ("/dev/urandom", "c", 1, 9, 0o666),
        ("/dev/tty", "c", 5, 0, 0o666),
    ]


def test_process_settings_arrive() -> None:
    process = made(
        ulimits={"nofile": (1, 2), "core": "unlimited"}, umask=0o77, oom_score_adj=7, no_new_privileges=False
    ).to_dict()["process"]
    assert process["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2},
        {"type": "RLIMIT_CORE", "soft": RLIM_INFINITY, "hard": RLIM_INFINITY},
    ]
    assert (process["user"]["umask"], process["oomScoreAdj"], process["noNewPrivileges"]) == (0o77, 7, False)
    assert made().process.no_new_privileges


@pytest.mark.parametrize(
    ("image_dir", "option", "cwd"),
    [
        ("", None, "/"),
        ("/app/", None, "/app"),
        ("app", None, "/app"),
        ("/app", "/srv", "/srv"),
        ("//a/../b", None, "/b"),
    ],
)
def test_the_working_directory_is_the_options_or_the_images(image_dir: str, option: str | None, cwd: str) -> None:
    assert made(ImageConfig(workdir=image_dir), workdir=option).process.cwd == cwd


def test_stop_signal_and_labels_merge_with_the_images() -> None:
    image = ImageConfig(stop_signal="SIGRTMIN+3", labels=(("a", "1"), ("b", "1")))
    assert stop_signal(ContainerSpec(), ImageConfig()) == 15
    assert stop_signal(ContainerSpec(), image) == 37
    assert stop_signal(ContainerSpec.from_options(stop_signal="INT"), image) == 2
    assert labels(ContainerSpec.from_options(labels={"b": "2"}), image) == {"a": "1", "b": "2"}


def test_the_written_configuration_is_plain_json_with_the_specifications_names() -> None:
    config = made(user="nobody", volumes={"/srv": "/data"})
    written = config.to_dict()
    assert json.loads(json.dumps(written)) == written
    assert set(written) == {"ociVersion", "process", "root", "hostname", "mounts", "linux"}
    assert written["root"] == {"path": "/root/fs", "readonly": False}
    assert set(written["process"]) == {
        "terminal", "user", "args", "env", "cwd", "capabilities", "noNewPrivileges",
    }  # fmt: skip
    assert written["process"]["user"] == {"uid": 65534, "gid": 65534, "umask": 0o022, "username": "nobody"}
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in written["process"]["env"]
    assert set(written["linux"]) == {
        "namespaces", "sysctl", "maskedPaths", "readonlyPaths", "devices", "rootfsPropagation",
    }  # fmt: skip
    assert written["mounts"][-1] == {
        "destination": "/data", "type": "bind", "source": "/resolved/data", "options": ["rbind", "rprivate", "rw"],
    }  # fmt: skip
    assert "sysctl" not in made(network="host").to_dict()["linux"]


def test_equal_wishes_make_equal_configurations() -> None:
    assert made(env={"A": "1"}) == made(env={"A": "1"})
    assert hash(made()) == hash(made())
