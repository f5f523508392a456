"""What a container may do without any option: security.md, by its numbers."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

import tinydocker as td

pytestmark = pytest.mark.needs("root", "overlay", "busybox")

FOREVER = ["sleep", "1000"]
NUMBERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
           "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_ADMIN": 21, "MKNOD": 27, "SETFCAP": 31}  # fmt: skip
DEFAULT = frozenset(NUMBERS) - {"NET_RAW", "SYS_ADMIN", "MKNOD"}
STATUS = ["cat", "/proc/self/status"]


def mask(names):
    return sum(1 << NUMBERS[name] for name in names)


def sets(status):
    return {name: int(value, 16) for name, value in re.findall(r"^Cap(\w+):\s*([0-9a-f]+)$", status, re.MULTILINE)}


def both_ways(engine, image, command, **options):
    """Yield what a command says as a container's own and by exec."""
    yield engine.run(image, command, **options).stdout
    with engine.container(image, FOREVER, **options) as container:
        yield container.exec(command).stdout


# -- S1, S2, S3: privileges ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({}, DEFAULT),
        ({"cap_drop": ["CHOWN"]}, DEFAULT - {"CHOWN"}),
        ({"cap_add": ["NET_RAW", "CAP_MKNOD"]}, DEFAULT | {"NET_RAW", "MKNOD"}),
        ({"cap_drop": ["ALL"]}, frozenset()),
        ({"cap_drop": ["ALL"], "cap_add": ["CHOWN"]}, {"CHOWN"}),
    ],
)
def test_s1_exactly_these_capabilities_are_held(engine, busybox_dir, options, held):
    for said in both_ways(engine, busybox_dir, STATUS, **options):
        wanted = mask(held)
        assert sets(said) == {"Inh": 0, "Prm": wanted, "Eff": wanted, "Bnd": wanted, "Amb": 0}


def test_s1_another_user_than_root_holds_none(engine, busybox_dir):
    for said in both_ways(engine, busybox_dir, STATUS, user="app"):
        assert sets(said) == {"Inh": 0, "Prm": 0, "Eff": 0, "Bnd": mask(DEFAULT), "Amb": 0}


def test_s1_all_capabilities_can_be_added(engine, busybox_dir):
    own = sets(Path("/proc/self/status").read_text())["Bnd"]
    for said in both_ways(engine, busybox_dir, STATUS, cap_add=["ALL"]):
        assert sets(said)["Eff"] == own


def test_s2_no_new_privileges_unless_it_is_taken_back(engine, busybox_dir):
    for wanted in (True, False):
        for said in both_ways(
            engine, busybox_dir, ["grep", "NoNewPrivs", "/proc/self/status"], no_new_privileges=wanted
        ):
            assert said == f"NoNewPrivs:\t{int(wanted)}\n"


@pytest.mark.parametrize(("no_new_privileges", "euid"), [(True, "1000"), (False, "0")])
def test_s3_a_setuid_program_gives_nothing_unless_it_may(engine, no_new_privileges, euid):
    with engine.workspace("host") as workspace:
        shutil.copy2("/bin/cat", workspace.path / "setuid-cat")
        (workspace.path / "setuid-cat").chmod(0o4755)
        for said in both_ways(
            engine,
            workspace,
            ["/setuid-cat", "/proc/self/status"],
            user="1000:1000",
            no_new_privileges=no_new_privileges,
        ):
            assert re.findall(r"^Uid:\t1000\t(\d+)", said, re.MULTILINE) == [euid]


# -- S7, S10, S11: masks, read-only paths, mount flags -------------------------------------------


def test_s7_masked_paths_show_nothing(engine, busybox_dir):
    paths = ("acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats").split()
    script = "".join(
        f"if [ -d /proc/{p} ]; then ls -A /proc/{p}; elif [ -e /proc/{p} ]; then head -c 10 /proc/{p} | wc -c | grep -v '^0$'; fi;"
        for p in paths
    )
    script += "for d in /sys/firmware /sys/fs/selinux /sys/devices/virtual/powercap /sys/devices/system/cpu/cpu*/thermal_throttle; do [ ! -d $d ] || ls -A $d; done"
    for said in both_ways(engine, busybox_dir, ["sh", "-c", f"({script}) 2>&1; true"]):
        assert said == ""
    assert Path("/proc/interrupts").read_bytes(), "the host shows it"


def test_s7_read_only_paths_cannot_be_written(engine, busybox_dir):
    script = """
        echo x > /proc/sys/kernel/domainname; echo 1 > /proc/sys/net/ipv4/ip_forward
        for f in /proc/sysrq-trigger /proc/irq/default_smp_affinity; do [ ! -e $f ] || echo b > $f; done
        for d in bus fs irq; do [ ! -d /proc/$d ] || touch -c /proc/$d; done
    """
    with engine.container(busybox_dir, FOREVER) as container:
        complaints = container.exec(["sh", "-c", script]).stderr.splitlines()
        assert len(complaints) >= 5 and all("Read-only file system" in line for line in complaints), complaints


def test_s10_mounts_have_their_flags_and_are_all_private(engine, busybox_dir):
    said = engine.run(busybox_dir, ["cat", "/proc/self/mountinfo"]).stdout
    found = {}
    for line in said.splitlines():
        before, after = line.split(" - ")
        fields = before.split()
        assert not fields[6:], f"it is shared or a slave: {line}"
        found.setdefault(fields[4], (set(fields[5].split(",")), after.split()[0], after.split()[2]))
    expected = {
        "/": ({"rw", "nodev"}, "overlay"),
        "/proc": ({"nosuid", "noexec", "nodev", "rw"}, "proc"),
        "/dev": ({"nosuid", "rw"}, "tmpfs"),
        "/dev/pts": ({"nosuid", "noexec"}, "devpts"),
        "/dev/shm": ({"nosuid", "noexec", "nodev"}, "tmpfs"),
        "/dev/mqueue": ({"nosuid", "noexec", "nodev"}, "mqueue"),
        "/sys": ({"ro", "nosuid", "noexec", "nodev"}, "sysfs"),
        "/sys/fs/cgroup": ({"ro", "nosuid", "noexec", "nodev"}, None),
        "/etc/hosts": (set(), None), "/etc/hostname": (set(), None), "/etc/resolv.conf": (set(), None),
    }  # fmt: skip
    for place, (flags, kind) in expected.items():
        assert flags <= found[place][0], (place, found[place])
        assert kind in (None, found[place][1]), (place, found[place])
    assert "size=65536k" in found["/dev/shm"][2] and "size=65536k" in found["/dev"][2]
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= set(found["/dev/pts"][2].split(","))
    for place in ("/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"):
        if os.path.exists(place):
            assert "ro" in found[place][0]


def test_s11_nothing_under_sys_proc_sys_and_cgroup_can_be_written(engine, busybox_dir):
    # A touch opens for writing and changes nothing.
    script = 'find /sys /proc/sys -xdev -type f 2>/dev/null | head -n 4000 | while read f; do (: >> "$f") 2>/dev/null && echo $f; done; find /sys/fs/cgroup -type f | while read f; do (: >> $f) 2>/dev/null && echo $f; done; true'
    assert engine.run(busybox_dir, ["sh", "-c", script]).stdout == ""


# -- S8: devices ---------------------------------------------------------------------------------


def test_s8_dev_holds_exactly_the_list(engine, busybox_dir):
    listed = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()
    for said in both_ways(engine, busybox_dir, ["ls", "-A", "/dev"]):
        assert said.split() == listed
    with engine.container(busybox_dir, FOREVER, tty=True) as container:
        assert container.exec(["ls", "-A", "/dev"]).stdout.split() == sorted([*listed, "console"])
    said = engine.run(
        busybox_dir, ["sh", "-c", "cd /dev; stat -c '%n %t:%T %a' full null random tty urandom zero"]
    ).stdout
    assert said.splitlines() == [
        "full 1:7 666",
        "null 1:3 666",
        "random 1:8 666",
        "tty 5:0 666",
        "urandom 1:9 666",
        "zero 1:5 666",
    ]


def test_device_nodes_of_an_image_cannot_be_opened(engine, busybox_dir, tmp_path):
    image = shutil.copytree(busybox_dir, tmp_path / "image", symlinks=True)
    os.mknod(image / "zero", 0o666 | 0o020000, os.makedev(1, 5))
    (image / "zero").chmod(0o666)
    script = "head -c 1 /zero; mknod /made c 1 5 && head -c 1 /made; mknod /tmp/t/made c 1 5; head -c 1 /tmp/t/made"
    done = engine.run(image, ["sh", "-c", script], cap_add=["MKNOD"], tmpfs=["/tmp/t"])
    assert done.stdout == "" and done.stderr.count("Permission denied") == 3


def test_without_mknod_no_device_can_be_made(engine, busybox_dir):
    done = engine.run(busybox_dir, ["mknod", "/made", "c", "1", "3"])
    assert done.returncode == 1 and "Operation not permitted" in done.stderr


# -- S12, S13: descriptors and the working directory ---------------------------------------------


@pytest.fixture
def inheritable():
    """Hold the host's root open, inheritably, under many numbers."""
    fds = [os.open("/", os.O_RDONLY) for _ in range(64)]
    for fd in fds:
        os.set_inheritable(fd, True)
    yield fds
    for fd in fds:
        os.close(fd)


def test_s12_only_the_three_descriptors_arrive(engine, busybox_dir, inheritable):
    for options in ({}, {"tty": True}, {"init": True}, {"user": "app"}):
        for said in both_ways(engine, busybox_dir, ["ls", "/proc/self/fd"], **options):
            assert said.split() == ["0", "1", "2", "3"], "3 is the directory that ls reads"


def test_s12_process_1_is_inside_of_the_root_and_holds_nothing(engine, busybox_dir, inheritable):
    for init in (False, True):
        with engine.container(busybox_dir, ["sh", "-c", "echo up; exec sleep 1000"], init=init) as container:
            assert next(container.logs(follow=True)) == "up\n"
            for fd in os.listdir(f"/proc/{container.pid}/fd"):
                assert fd in ("0", "1", "2")
                state = os.stat(f"/proc/{container.pid}/fd/{fd}")
                assert stat.S_ISFIFO(state.st_mode) or state.st_rdev == os.makedev(1, 3)
            seen = container.exec(["sh", "-c", "readlink /proc/1/cwd; readlink /proc/1/root"]).stdout.split()
            assert seen == ([] if init else ["/", "/"]), "our own init cannot be looked into at all"


def test_s13_no_working_directory_leads_out_through_a_descriptor(engine, busybox_dir, inheritable):
    with engine.container(busybox_dir, FOREVER) as container:
        for number in range(3, 64, 4):
            for start in (
                lambda path: engine.run(busybox_dir, ["ls", "/proc/self/cwd/"], workdir=path),
                lambda path: container.exec(["ls", "/proc/self/cwd/"], workdir=path),
            ):
                with pytest.raises(td.StartFailed):
                    start(f"/proc/self/fd/{number}")
        with pytest.raises(td.StartFailed):
            engine.run(busybox_dir, ["ls"], workdir="/proc/1/cwd/x")


# -- S19, S20, S21, S26 --------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["dev", "proc", "sys", "etc/hosts", "etc/resolv.conf"])
@pytest.mark.parametrize("kind", ["link out", "link up", "fifo", "file", "device", "loop"])
def test_s19_a_mount_point_that_is_something_else_is_refused_or_safe(engine, tmp_path, busybox_dir, place, kind):
    image = tmp_path / "image"
    image.mkdir()
    for name in ("bin", "etc"):
        shutil.copytree(busybox_dir / name, image / name, symlinks=True)
    canary = tmp_path / "canary"
    canary.mkdir()
    target = image / place
    if kind == "link out":
        target.symlink_to(canary)
    elif kind == "link up":
        target.symlink_to("../../../../../../../../../../tmp")
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "file":
        target.write_text("x")
    elif kind == "device":
        os.mknod(target, 0o666 | 0o020000, os.makedev(1, 5))
    else:
        target.symlink_to(target.name)
    before = Path("/proc/self/mountinfo").read_text()
    try:
        assert engine.run(image, ["echo", "ran"]).stdout == "ran\n"
    except td.StartFailed:
        pass
    assert os.listdir(canary) == []
    assert Path("/proc/self/mountinfo").read_text() == before


def test_s20_no_variable_of_the_host_is_to_be_seen(engine, busybox_dir, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("SECRET_OF_THE_HOST", "word")
        with engine.container(busybox_dir, FOREVER) as container:
            for pid in ("1", "self"):
                said = container.exec(["cat", f"/proc/{pid}/environ"]).stdout
                assert {pair.split("=")[0] for pair in said.rstrip("\0").split("\0")} == {"PATH", "HOSTNAME", "HOME"}


def test_s21_killing_everything_inside_harms_nothing_outside(engine, busybox_dir):
    with engine.container(busybox_dir, FOREVER) as neighbour, engine.container(busybox_dir, FOREVER) as container:
        done = container.exec(["sh", "-c", "kill -9 -1; echo survived"])
        assert done.returncode in (-9, 0)
        assert (neighbour.status, container.status) == ("running", "running"), "process 1 is spared by the kernel"
        assert neighbour.exec(["true"]).returncode == 0


def test_s21_processes_and_ipc_of_the_host_are_out_of_reach(engine, busybox_dir):
    import socket

    with socket.socket(socket.AF_UNIX) as server, engine.container(busybox_dir, FOREVER) as container:
        server.bind("\0tinydocker-test-abstract")
        server.listen()
        script = (
            f"grep -c tinydocker-test-abstract /proc/net/unix; kill -0 {os.getpid()} 2>&1; ls /proc | grep -c '^[0-9]'"
        )
        said = container.exec(["sh", "-c", script]).stdout.splitlines()
        assert said[0] == "0" and "No such process" in said[1] and int(said[2]) <= 6
        for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup"):
            assert os.readlink(f"/proc/{container.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def test_s26_dev_and_shm_are_bounded(engine, busybox_dir):
    script = (
        "for d in /dev /dev/shm; do dd if=/dev/zero of=$d/fill bs=1M 2>/dev/null; stat -c %s $d/fill; rm $d/fill; done"
    )
    assert engine.run(busybox_dir, ["sh", "-c", script]).stdout.split() == [str(64 << 20)] * 2


def test_s29_a_volume_source_that_changes_is_what_was_opened_or_is_refused(engine, busybox_dir, tmp_path):
    from exchanging import exchanging

    (tmp_path / "good").mkdir()
    (tmp_path / "good/file").write_text("good\n")
    (tmp_path / "link").symlink_to("/proc/self/no-such-place")
    with exchanging(tmp_path / "good", tmp_path / "link"):
        for _ in range(60):
            try:
                assert engine.run(busybox_dir, ["cat", "/d/file"], volumes={tmp_path / "good": "/d"}).stdout == "good\n"
            except (td.InvalidSpec, td.StartFailed):
                continue


def test_the_hosts_mounts_are_unchanged_while_a_container_runs(engine, busybox_dir, tmp_path):
    before = Path("/proc/self/mountinfo").read_text()
    container = engine.container(busybox_dir, FOREVER, volumes={tmp_path: "/d"}, tmpfs=["/t"], tty=True)
    with container, engine.workspace(busybox_dir), engine.workspace(busybox_dir, size="1m"):
        assert container.status == "running"
        assert Path("/proc/self/mountinfo").read_text() == before


def test_state_on_disk_is_closed_to_other_users(engine, busybox_dir, roots):
    with engine.container(busybox_dir, FOREVER):
        for folder in (roots.root, roots.run_root):
            assert folder.stat().st_mode & 0o077 == 0
